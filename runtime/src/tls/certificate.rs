//! What people want to know of a certificate.

use super::TlsError;
use rustls::pki_types::CertificateDer;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

/// Characters of a subject that are shown: it may come from anybody.
const SUBJECT_MAX: usize = 200;

/// Whose certificate it is, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Described {
    pub(super) subject: String,
    /// Seconds since 1970-01-01.
    pub(super) not_before: i64,
    /// Seconds since 1970-01-01.
    pub(super) not_after: i64,
}

impl Described {
    /// # Errors
    /// With what keeps it from being a certificate.
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let (_, certificate) = X509Certificate::from_der(der).map_err(|e| e.to_string())?;
        let validity = certificate.validity();
        Ok(Self {
            subject: subject(&certificate),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
        })
    }

    /// Whether it is good at this time, for the file `path`.
    pub(super) fn check_time(&self, now: i64, path: &str) -> Result<(), TlsError> {
        let (path, subject) = (path.to_owned(), self.subject.clone());
        if now < self.not_before {
            return Err(TlsError::NotYetValid { path, subject, not_before: date(self.not_before) });
        }
        if now > self.not_after {
            return Err(TlsError::Expired { path, subject, not_after: date(self.not_after) });
        }
        Ok(())
    }
}

/// The subject of a certificate that a peer has shown, whatever it is.
pub(super) fn subject_of(der: &CertificateDer<'_>) -> String {
    Described::of(der).map_or_else(|_| "something that is no certificate".to_owned(), |described| described.subject)
}

/// The distinguished name, or where that is empty the first alternative name.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let mut name = certificate.subject().to_string();
    if name.is_empty() {
        let alternatives = certificate.subject_alternative_name().ok().flatten();
        name = alternatives
            .and_then(|names| names.value.general_names.first())
            .map_or_else(|| "nobody".to_owned(), alternative);
    }
    name.chars().take(SUBJECT_MAX).map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[expect(clippy::wildcard_enum_match_arm, reason = "there are many kinds, and the rest print themselves")]
fn alternative(name: &GeneralName<'_>) -> String {
    match name {
        GeneralName::DNSName(name) | GeneralName::URI(name) | GeneralName::RFC822Name(name) => (*name).to_owned(),
        other => other.to_string(),
    }
}

/// Seconds since 1970-01-01 as a date, such as `2026-01-01T00:00:00Z`.
pub(super) fn date(unix: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix).ok().and_then(|at| at.format(&Rfc3339).ok());
    date.unwrap_or_else(|| format!("{unix} s after 1970"))
}
