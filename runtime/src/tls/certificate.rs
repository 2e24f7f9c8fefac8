//! What people want to know of a certificate.

use super::TlsError;
use rustls::pki_types::CertificateDer;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};
use x509_parser::{
    asn1_rs::ToDer,
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name},
};

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

/// The distinguished name of a certificate that was accepted, as Java's `X500Principal.getName()` and so Kafka's rules have it
/// (RFC 2253): the last part first, without blanks.
pub(super) fn distinguished_name_of(der: &CertificateDer<'_>) -> String {
    X509Certificate::from_der(der).map_or_else(|_| String::new(), |(_, certificate)| rfc2253(certificate.subject()))
}

fn rfc2253(name: &X509Name<'_>) -> String {
    let part = |part: &RelativeDistinguishedName<'_>| part.iter().map(attribute).collect::<Vec<_>>().join("+");
    let parts: Vec<_> = name.iter_rdn().map(part).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

/// What RFC 2253 has a word for is text; of anything else the number and the bytes are shown.
fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    const WORDS: [(&str, &str); 9] = [
        ("2.5.4.3", "CN"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "STREET"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("0.9.2342.19200300.100.1.25", "DC"),
        ("0.9.2342.19200300.100.1.1", "UID"),
    ];
    let id = attribute.attr_type().to_id_string();
    match (WORDS.iter().find(|(number, _)| *number == id), attribute.as_str()) {
        (Some((_, word)), Ok(value)) => format!("{word}={}", escaped(value)),
        (_, _) => {
            let value = attribute.attr_value();
            let bytes = value.to_der_vec().unwrap_or_else(|_| value.data.to_vec());
            format!("{id}=#{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
    }
}

fn escaped(value: &str) -> String {
    let blanks_before = value.len() - value.trim_start_matches(' ').len();
    let blanks_behind = value.trim_end_matches(' ').len();
    let mut out = String::with_capacity(value.len());
    for (at, c) in value.char_indices() {
        if ",=+<>#;\"\\".contains(c) || (c == ' ' && (at < blanks_before || at >= blanks_behind)) {
            out.push('\\');
        }
        out.push(if c.is_control() { char::REPLACEMENT_CHARACTER } else { c });
    }
    out
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

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair, string::Ia5String};

    /// What `new X500Principal(…).getName()` of Java 17 says to the same name.
    #[test]
    fn a_distinguished_name_is_written_as_java_does() {
        let ia5 = |text: &str| DnValue::Ia5String(Ia5String::try_from(text).expect("ASCII"));
        let printable = |text: &str| DnValue::PrintableString(text.try_into().expect("printable"));
        let mut name = DistinguishedName::new();
        name.push(DnType::OrganizationName, "#x");
        name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), printable("5"));
        name.push(DnType::CustomDnType(vec![0, 9, 2342, 19_200_300, 100, 1, 25]), ia5("Example"));
        name.push(DnType::OrganizationalUnitName, "grün");
        name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), ia5("x@y.z"));
        name.push(DnType::CommonName, r#"a=b#c, d+e<f>;g"h\i"#);
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = name;
        let made = params.self_signed(&KeyPair::generate().expect("a key")).expect("signed");
        assert_eq!(
            distinguished_name_of(made.der()),
            r#"CN=a\=b\#c\, d\+e\<f\>\;g\"h\\i,1.2.840.113549.1.9.1=#16057840792e7a,OU=grün,DC=Example,2.5.4.5=#130135,O=\#x"#
        );
    }
}
