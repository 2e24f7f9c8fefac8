//! When the proxy's own certificates expire, and who is told.
//!
//! Roots of trust are not watched: no date of theirs counts in a handshake.

use super::{
    Crypto,
    certificate::{Described, date},
    files::{File, PASSWORD_FILE, PKCS12, Store},
    identity::certificates,
    store,
};
use crate::limits;
use kroxy_core::{reload::Material, status::CertificateStatus};
use std::{fmt, time::Duration};
use tracing::warn;

const CHAIN: &str = "chain";

/// A certificate that the proxy shows, or of its chain the one that expires first.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Own {
    /// The field that names it.
    pub(crate) field: String,
    subject: String,
    /// Seconds since 1970-01-01.
    not_after: i64,
}

/// The certificates that a virtual cluster shows, as far as they can be read.
pub(crate) fn own(material: &Material) -> Vec<Own> {
    let file = |field: &str| {
        let secret = material.files.get(field)?.contents.as_ref().ok()?;
        Some(File { path: "", bytes: &secret.0 })
    };
    let chains = material.files.keys().filter_map(|field| {
        let (owner, kind) = field.rsplit_once('.')?;
        let chain = match kind {
            CHAIN => certificates(file(field)?).ok()?,
            PKCS12 => {
                let password = file(&format!("{owner}.{PASSWORD_FILE}"));
                store::open(Store { file: file(field)?, password }).ok()?.0
            }
            _ => return None,
        };
        let first_to_expire = chain.into_iter().map(|(_, described)| described).min_by_key(|d| d.not_after)?;
        let Described { subject, not_after, .. } = first_to_expire;
        Some(Own { field: owner.to_owned(), subject, not_after })
    });
    chains.collect()
}

impl Own {
    pub(crate) fn status(&self) -> CertificateStatus {
        let not_after_unix_ms = u64::try_from(self.not_after).unwrap_or_default() * 1_000;
        CertificateStatus { field: self.field.clone(), subject: self.subject.clone(), not_after_unix_ms }
    }

    /// Whether somebody should see to it.
    fn is_near(&self, now: i64) -> bool {
        self.not_after - now <= limits::EXPIRY_WARNING.as_secs().cast_signed()
    }

    /// Says so in the log where it is time to renew.
    pub(crate) fn warn_if_near(&self, cluster: &str, crypto: &Crypto) {
        let now = crypto.now();
        if self.is_near(now) {
            warn!(%cluster, field = self.field, "{}", self.at(now));
        }
    }

    /// For people, at this time.
    pub(crate) fn at(&self, now: i64) -> impl fmt::Display {
        const DAY: u64 = 24 * 60 * 60;
        let Self { subject, not_after, .. } = self;
        let left = Duration::from_secs(u64::try_from(not_after - now).unwrap_or_default());
        let date = date(*not_after);
        match left.as_secs() / DAY {
            _ if *not_after < now => format!("the certificate of {subject} has expired: it was valid until {date}"),
            0 => format!("the certificate of {subject} expires within a day: it is valid until {date}"),
            days => format!("the certificate of {subject} is valid until {date}: {days} days"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_near_its_end_is_said_with_the_days_that_are_left() {
        const DAY: i64 = 24 * 60 * 60;
        let own = Own {
            field: "gateways.g.tls.certificates[0]".to_owned(),
            subject: "CN=a".to_owned(),
            not_after: 400 * DAY,
        };
        assert!(!own.is_near(300 * DAY) && own.is_near(390 * DAY) && own.is_near(500 * DAY));
        let says = [
            (300, "the certificate of CN=a is valid until 1971-02-05T00:00:00Z: 100 days"),
            (400, "the certificate of CN=a expires within a day: it is valid until 1971-02-05T00:00:00Z"),
            (401, "the certificate of CN=a has expired: it was valid until 1971-02-05T00:00:00Z"),
        ];
        for (day, wanted) in says {
            assert_eq!(own.at(day * DAY).to_string(), wanted);
        }
    }
}
