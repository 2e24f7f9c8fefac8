//! TLS as it is spelled in the configuration file.

use super::units::Span;
use kroxy_core::config::tls::{ClientTls, Version};
use serde::Deserialize;

/// TLS towards whoever connects. At a gateway all of it can be changed while connections stay open; what the files hold
/// counts as well, and is for new connections.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawClientTls {
    /// The certificates to show, at least one. A client gets the first that is for the name it asks for and has a
    /// signature that it knows.
    pub(super) certificates: Vec<RawCertificate>,
    /// Whether clients show certificates: `None`, `Requested` (they may have none) or `Required`. `ca` is a PEM file with
    /// those who may sign them. A certificate that is shown has to be good in either case.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "String"))]
    pub(super) client_auth: RawClientAuth,
    /// What a client that shows a certificate is called: the first rule that matches its whole subject decides, as with Kafka's
    /// `ssl.principal.mapping.rules`. A rule is `RULE:pattern/replacement/`, with `L` or `U` behind it for lower or upper case, or
    /// `DEFAULT`, the subject itself. Whom no rule matches is refused. Unless set, the subject as kroxy shows it.
    #[serde(default)]
    pub(super) principal_mapping_rules: Option<Vec<String>>,
    /// Versions of TLS that may be agreed on.
    #[serde(default = "versions")]
    pub(super) versions: Vec<RawVersion>,
    /// Cipher suites that may be agreed on, by their IANA names, the preferred one first. Unless set, all that kroxy has;
    /// all of them are safe.
    #[serde(default)]
    pub(super) cipher_suites: Option<Vec<String>>,
    /// How long a handshake may take.
    #[serde(default = "handshake_timeout")]
    pub(super) handshake_timeout: Span,
}

fn versions() -> Vec<RawVersion> {
    vec![RawVersion::Tls12, RawVersion::Tls13]
}

fn handshake_timeout() -> Span {
    ClientTls::HANDSHAKE_TIMEOUT.into()
}

/// A certificate and its private key: `chain` and `key`, or `pkcs12`. Paths are relative to the folder of the configuration file.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawCertificate {
    /// PEM file: the certificate, then those that lead to a root which the other side knows.
    #[serde(default)]
    pub(super) chain: Option<String>,
    /// PEM file: the private key of the first certificate, not encrypted.
    #[serde(default)]
    pub(super) key: Option<String>,
    /// PKCS#12 file (`.p12`, `.pfx`) with one private key, its certificate, and those that lead to a root.
    #[serde(default)]
    pub(super) pkcs12: Option<String>,
    /// File with the password of the `pkcs12` file, in its first and only line. Unless set, it is the empty one.
    #[serde(default)]
    pub(super) password_file: Option<String>,
}

/// What clients have to show.
#[derive(Deserialize, Default, Debug)]
#[cfg_attr(test, derive(serde::Serialize))]
pub(super) enum RawClientAuth {
    #[default]
    None,
    Requested {
        ca: String,
    },
    Required {
        ca: String,
    },
}

/// A version of TLS.
#[derive(Deserialize, Clone, Copy, Debug)]
#[cfg_attr(test, derive(schemars::JsonSchema, serde::Serialize))]
pub(super) enum RawVersion {
    Tls12,
    Tls13,
}

impl From<RawVersion> for Version {
    fn from(raw: RawVersion) -> Self {
        match raw {
            RawVersion::Tls12 => Self::Tls12,
            RawVersion::Tls13 => Self::Tls13,
        }
    }
}

/// TLS towards upstream. A change of it, or of what its files hold, takes new connections: the virtual cluster is drained.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct RawUpstreamTls {
    /// Who may have signed upstream's certificates: a PEM file, or those whom the operating system trusts. Those are read when
    /// the virtual cluster is built, and an update of them is no change of the configuration.
    #[serde(default)]
    #[cfg_attr(test, schemars(with = "Option<String>"))]
    pub(super) ca: Option<RawCa>,
    /// The certificate that upstream may ask for.
    #[serde(default)]
    pub(super) client_certificate: Option<RawCertificate>,
    /// The name that upstream's certificates have to be for. Unless set, the host that is connected to: a bootstrap server's
    /// or the one that a broker advertises.
    #[serde(default)]
    pub(super) server_name: Option<String>,
    /// Versions of TLS that may be agreed on.
    #[serde(default = "versions")]
    pub(super) versions: Vec<RawVersion>,
    /// Cipher suites that may be agreed on, by their IANA names, the preferred one first. Unless set, all that kroxy has.
    #[serde(default)]
    pub(super) cipher_suites: Option<Vec<String>>,
    /// Do not verify who upstream is. Whoever is on the way can then read and change everything; the log warns at each start.
    #[serde(default)]
    pub(super) insecure: bool,
}

/// Who may have signed upstream's certificates.
#[derive(Deserialize, Debug)]
pub(super) enum RawCa {
    System,
    File(String),
}
