//! TLS towards clients and towards upstream: which files, and what holds for a handshake.
//!
//! Paths only: what is in the files belongs to the [material](crate::reload::Material) of a virtual cluster.

use core::{fmt, str::FromStr, time::Duration};

use super::NonEmpty;
use crate::principal::MappingRules;

/// TLS towards the clients of a gateway.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientTls {
    /// What the proxy shows: the first that fits the name which a client asks for and the signatures that it knows.
    pub certificates: NonEmpty<CertificateFiles>,
    /// What clients have to show.
    pub client_auth: ClientAuth,
    /// Who is known by which name for the certificate that it shows; `None`: by its subject.
    pub principals: Option<MappingRules>,
    /// What may be agreed on.
    pub protocol: Protocol,
    /// How long a handshake may take; above zero.
    pub handshake_timeout: Duration,
}

impl ClientTls {
    /// How long a handshake may take unless configured: five round trips of a bad line with a lost packet in each, and
    /// little enough that connections which never finish one do not pile up.
    pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
}

/// TLS towards upstream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UpstreamTls {
    /// Whose certificates are believed.
    pub trust: Trust,
    /// What the proxy shows where upstream asks for a certificate.
    pub client_certificate: Option<CertificateFiles>,
    /// The name that upstream's certificates have to be for; `None`: the host that is connected to.
    pub server_name: Option<ServerName>,
    /// What may be agreed on.
    pub protocol: Protocol,
}

/// A certificate and its private key, in files.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CertificateFiles {
    /// Two of PEM.
    Pem {
        /// The certificate, then those that lead to a root which the other side knows.
        chain: String,
        /// The private key of the first certificate.
        key: String,
    },
    /// One of PKCS#12, which has all of it.
    Pkcs12 {
        /// The file.
        store: String,
        /// The file with its password, unless it has none.
        password_file: Option<String>,
    },
}

impl CertificateFiles {
    /// The file with the certificate.
    pub fn certificate(&self) -> &str {
        match self {
            Self::Pem { chain, .. } => chain,
            Self::Pkcs12 { store, .. } => store,
        }
    }
}

/// What the clients of a gateway have to show. A certificate that is shown has to be good in any case.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ClientAuth {
    /// Nothing, and they are not asked.
    None,
    /// They are asked, and may have none.
    Requested {
        /// PEM: who may have signed it.
        ca: String,
    },
    /// A certificate.
    Required {
        /// PEM: who must have signed it.
        ca: String,
    },
}

impl ClientAuth {
    /// The file that says whose certificates are good, unless nobody is asked for one.
    pub fn ca(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Requested { ca } | Self::Required { ca } => Some(ca),
        }
    }
}

/// Whose certificates are believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// Those that the operating system trusts.
    System,
    /// Those in this file (PEM).
    File(String),
    /// Anybody's: whoever is on the way can read and change everything.
    Anybody,
}

/// A host as certificates name it: a DNS name or an IP address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ServerName(String);

/// What keeps a text from being a host name.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no host name")]
pub struct NotAServerName(String);

impl FromStr for ServerName {
    type Err = NotAServerName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let is_label = |label: &str| {
            let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=63).contains(&label.len()) && label.chars().all(inner) && !label.starts_with('-')
        };
        let is_name = text.len() <= 253 && text.split('.').all(is_label);
        let is_address = text.parse::<std::net::IpAddr>().is_ok();
        if is_name || is_address { Ok(Self(text.to_owned())) } else { Err(NotAServerName(text.to_owned())) }
    }
}

impl ServerName {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A version of TLS. There is no older one here, since none is safe.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Version {
    /// RFC 5246.
    Tls12,
    /// RFC 8446.
    Tls13,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tls12 => "TLS 1.2",
            Self::Tls13 => "TLS 1.3",
        })
    }
}

macro_rules! cipher_suites {
    ($($variant:ident, $name:literal, $version:ident, $doc:literal;)*) => {
        /// A cipher suite. Those without forward secrecy or authenticated encryption are not there.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum CipherSuite { $(#[doc = $doc] $variant,)* }

        impl CipherSuite {
            /// All of them, the best first.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// As IANA calls it.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The version that it is for.
            pub const fn version(self) -> Version {
                match self { $(Self::$variant => Version::$version,)* }
            }
        }
    };
}

cipher_suites! {
    Aes256Gcm, "TLS_AES_256_GCM_SHA384", Tls13, "AES with 256 bits.";
    Aes128Gcm, "TLS_AES_128_GCM_SHA256", Tls13, "AES with 128 bits.";
    Chacha20, "TLS_CHACHA20_POLY1305_SHA256", Tls13, "For machines without AES in hardware.";
    EcdsaAes256Gcm, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", Tls12, "AES with 256 bits, ECDSA or EdDSA keys.";
    EcdsaAes128Gcm, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", Tls12, "AES with 128 bits, ECDSA or EdDSA keys.";
    EcdsaChacha20, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256", Tls12, "ChaCha20, ECDSA or EdDSA keys.";
    RsaAes256Gcm, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384", Tls12, "AES with 256 bits, RSA keys.";
    RsaAes128Gcm, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", Tls12, "AES with 128 bits, RSA keys.";
    RsaChacha20, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256", Tls12, "ChaCha20, RSA keys.";
}

/// What is no name of a cipher suite that kroxy has.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is no cipher suite that kroxy has")]
pub struct NotACipherSuite(String);

impl FromStr for CipherSuite {
    type Err = NotACipherSuite;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.iter().find(|suite| suite.name() == name).copied().ok_or_else(|| NotACipherSuite(name.to_owned()))
    }
}

/// Versions and cipher suites that may be agreed on: each version has a suite, and each suite a version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Protocol {
    versions: Vec<Version>,
    cipher_suites: Vec<CipherSuite>,
}

/// Why versions and cipher suites do not go together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NoProtocol {
    /// There is no version.
    #[error("without a version there is no handshake")]
    NoVersion,
    /// A version is there that no suite is for.
    #[error("{0} is wanted, and none of the cipher suites is for it")]
    VersionWithoutSuite(Version),
    /// A suite is there whose version is not.
    #[error("{} is for {}, which is not wanted", .0.name(), .0.version())]
    SuiteWithoutVersion(CipherSuite),
}

impl Default for Protocol {
    /// All that is safe.
    fn default() -> Self {
        Self { versions: vec![Version::Tls12, Version::Tls13], cipher_suites: CipherSuite::ALL.to_vec() }
    }
}

impl Protocol {
    /// These versions, with these suites in order of preference or all that they have.
    pub fn new(versions: &[Version], cipher_suites: Option<&[CipherSuite]>) -> Result<Self, NoProtocol> {
        if versions.is_empty() {
            return Err(NoProtocol::NoVersion);
        }
        let fits = |suite: &CipherSuite| versions.contains(&suite.version());
        let suites = match cipher_suites {
            None => CipherSuite::ALL.iter().copied().filter(fits).collect(),
            Some(suites) => suites.to_vec(),
        };
        if let Some(stray) = suites.iter().find(|suite| !fits(suite)) {
            return Err(NoProtocol::SuiteWithoutVersion(*stray));
        }
        if let Some(bare) = versions.iter().find(|version| suites.iter().all(|suite| suite.version() != **version)) {
            return Err(NoProtocol::VersionWithoutSuite(*bare));
        }
        let mut versions = versions.to_vec();
        versions.sort_unstable();
        versions.dedup();
        Ok(Self { versions, cipher_suites: suites })
    }

    /// At least one, the oldest first.
    pub fn versions(&self) -> &[Version] {
        &self.versions
    }

    /// At least one for each version, in order of preference.
    pub fn cipher_suites(&self) -> &[CipherSuite] {
        &self.cipher_suites
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let versions: Vec<_> = self.versions.iter().map(ToString::to_string).collect();
        f.write_str(&versions.join(" and "))?;
        if Self::new(&self.versions, None).is_ok_and(|all| all == *self) {
            return Ok(());
        }
        let suites: Vec<_> = self.cipher_suites.iter().map(|suite| suite.name()).collect();
        write!(f, " with {}", suites.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_version_has_a_suite_and_each_suite_a_version() {
        use CipherSuite::{Aes128Gcm, RsaAes128Gcm};
        use Version::{Tls12, Tls13};
        assert_eq!(Protocol::new(&[Tls13, Tls12], None), Ok(Protocol::default()));
        assert_eq!(Protocol::new(&[], None), Err(NoProtocol::NoVersion));
        assert_eq!(Protocol::new(&[Tls12], Some(&[Aes128Gcm])), Err(NoProtocol::SuiteWithoutVersion(Aes128Gcm)));
        let both = [Tls12, Tls13];
        assert_eq!(Protocol::new(&both, Some(&[RsaAes128Gcm])), Err(NoProtocol::VersionWithoutSuite(Tls13)));
        let modern = Protocol::new(&[Tls13], None).expect("valid");
        assert_eq!(modern.cipher_suites().len(), 3);
        assert_eq!(modern.to_string(), "TLS 1.3");
        let one = Protocol::new(&[Tls13], Some(&[Aes128Gcm])).expect("valid");
        assert_eq!(one.to_string(), "TLS 1.3 with TLS_AES_128_GCM_SHA256");
    }

    #[test]
    fn a_suite_reads_back_as_it_is_called() {
        for suite in CipherSuite::ALL {
            assert_eq!(suite.name().parse(), Ok(*suite));
        }
        assert!("TLS_RSA_WITH_AES_128_CBC_SHA".parse::<CipherSuite>().is_err(), "no forward secrecy");
    }

    #[test]
    fn a_server_name_is_a_dns_name_or_an_address() {
        for name in ["kafka", "kafka-1.internal", "a_b.c", "10.0.0.1", "fd00::1"] {
            assert_eq!(name.parse::<ServerName>().map(|n| n.as_str().to_owned()), Ok(name.to_owned()));
        }
        for text in ["", ".", "a..b", "-a", "kafka:9092", "*.internal", "a b", "[::1]"] {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }
}
