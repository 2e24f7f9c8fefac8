//! From the raw configuration of TLS to good values.
//!
//! Whether a file can be read is found out when a virtual cluster is built: it is that cluster's failure and no mistake in
//! the configuration.

use super::{
    locate::FieldPath,
    parse::Parser,
    raw_tls::{RawCa, RawCertificate, RawClientAuth, RawClientTls, RawUpstreamTls, RawVersion},
};
use kroxy_core::{
    config::{
        NonEmpty,
        tls::{CertificateFiles, ClientAuth, ClientTls, NoProtocol, Protocol, Trust, UpstreamTls},
    },
    principal::MappingRules,
};

impl Parser<'_> {
    /// The outer `None` is a problem, the inner one plain Kafka.
    pub(super) fn client_tls(&mut self, raw: Option<RawClientTls>, path: &FieldPath) -> Option<Option<ClientTls>> {
        let Some(raw) = raw else { return Some(None) };
        let protocol = self.protocol(&raw.versions, raw.cipher_suites.as_deref(), path);
        let at = path.field("certificates");
        let all = raw.certificates.into_iter().enumerate();
        let all: Vec<_> = all.map(|(n, raw)| self.certificate(&raw, &at.place(n))).collect();
        let certificates = all.into_iter().collect::<Option<Vec<_>>>();
        let certificates = NonEmpty::new(certificates?).ok_or("without a certificate there is no handshake");
        let certificates = self.good(&at, certificates);
        let at = path.field("client_auth");
        let client_auth = match raw.client_auth {
            RawClientAuth::None => Some(ClientAuth::None),
            RawClientAuth::Requested { ca } => self.file(&ca, &at).map(|ca| ClientAuth::Requested { ca }),
            RawClientAuth::Required { ca } => self.file(&ca, &at).map(|ca| ClientAuth::Required { ca }),
        };
        let principals = self.mapping_rules(raw.principal_mapping_rules, client_auth.as_ref(), path);
        Some(Some(ClientTls {
            certificates: certificates?,
            client_auth: client_auth?,
            principals: principals?,
            protocol: protocol?,
            handshake_timeout: raw.handshake_timeout.get(),
        }))
    }

    /// The outer `None` is a problem, the inner one that there are no rules.
    fn mapping_rules(
        &mut self,
        raw: Option<Vec<String>>,
        client_auth: Option<&ClientAuth>,
        path: &FieldPath,
    ) -> Option<Option<MappingRules>> {
        let Some(raw) = raw else { return Some(None) };
        let at = path.field("principal_mapping_rules");
        if client_auth == Some(&ClientAuth::None) {
            self.wrong(&at, "nobody is asked for a certificate (client_auth), and yet there are rules for them");
        } else if raw.is_empty() {
            self.wrong(&at, "without a rule that matches nobody could be let in");
        }
        let rules: Vec<_> = raw.iter().enumerate().map(|(n, rule)| self.good(&at.place(n), rule.parse())).collect();
        rules.into_iter().collect::<Option<Vec<_>>>().map(|rules| Some(MappingRules::new(rules)))
    }

    /// The outer `None` is a problem, the inner one plain Kafka.
    pub(super) fn upstream_tls(
        &mut self,
        raw: Option<RawUpstreamTls>,
        path: &FieldPath,
    ) -> Option<Option<UpstreamTls>> {
        let Some(raw) = raw else { return Some(None) };
        let trust = match (raw.insecure, raw.ca) {
            (true, None) => Some(Trust::Anybody),
            (false, None | Some(RawCa::System)) => Some(Trust::System),
            (false, Some(RawCa::File(ca))) => self.file(&ca, &path.field("ca")).map(Trust::File),
            (true, Some(_)) => {
                self.wrong(
                    &path.field("insecure"),
                    "with this nobody is asked who signed a certificate, and yet there is `ca`",
                );
                None
            }
        };
        let at = path.field("client_certificate");
        let own = raw.client_certificate.map(|raw| self.certificate(&raw, &at));
        let at = path.field("server_name");
        let server_name = raw.server_name.map(|name| self.good(&at, name.parse()));
        let protocol = self.protocol(&raw.versions, raw.cipher_suites.as_deref(), path);
        Some(Some(UpstreamTls {
            trust: trust?,
            client_certificate: none_or_good(own)?,
            server_name: none_or_good(server_name)?,
            protocol: protocol?,
        }))
    }

    fn certificate(&mut self, raw: &RawCertificate, path: &FieldPath) -> Option<CertificateFiles> {
        let mut file = |name: &str, raw: &Option<String>| {
            let file = raw.as_deref().map(|raw| self.file(raw, &path.field(name)));
            none_or_good(file)
        };
        let (chain, key) = (file("chain", &raw.chain)?, file("key", &raw.key)?);
        let (store, password_file) = (file("pkcs12", &raw.pkcs12)?, file("password_file", &raw.password_file)?);
        let (at, what) = match (chain, key, store, password_file) {
            (Some(chain), Some(key), None, None) => return Some(CertificateFiles::Pem { chain, key }),
            (None, None, Some(store), password_file) => {
                return Some(CertificateFiles::Pkcs12 { store, password_file });
            }
            (None, None, None, _) => (path.clone(), "there is neither `chain` with `key` nor `pkcs12`"),
            (Some(_), None, None, _) => (path.clone(), "there is no `key` for the certificate in `chain`"),
            (None, Some(_), None, _) => (path.clone(), "there is no `chain` with the certificate of `key`"),
            (Some(_), Some(_), None, Some(_)) => {
                (path.field("password_file"), "a password is for `pkcs12`: PEM keys are not encrypted")
            }
            (_, _, Some(_), _) => {
                (path.field("pkcs12"), "there is `chain` or `key` as well, and one of both is enough")
            }
        };
        self.wrong(&at, what);
        None
    }

    pub(super) fn file(&mut self, name: &str, path: &FieldPath) -> Option<String> {
        if name.is_empty() {
            self.wrong(path, "this names no file");
            return None;
        }
        Some(self.folder.join(name).to_string_lossy().into_owned())
    }

    fn protocol(&mut self, versions: &[RawVersion], suites: Option<&[String]>, path: &FieldPath) -> Option<Protocol> {
        let at = path.field("cipher_suites");
        let suites = suites.map(|names| {
            let all = names.iter().enumerate().map(|(n, name)| self.good(&at.place(n), name.parse()));
            all.collect::<Vec<_>>().into_iter().collect::<Option<Vec<_>>>()
        });
        let suites = none_or_good(suites)?;
        let versions: Vec<_> = versions.iter().map(|raw| (*raw).into()).collect();
        Protocol::new(&versions, suites.as_deref())
            .map_err(|e| {
                let at = match e {
                    NoProtocol::NoVersion => path.field("versions"),
                    NoProtocol::VersionWithoutSuite(_) | NoProtocol::SuiteWithoutVersion(_) => at,
                };
                self.wrong(&at, e.to_string());
            })
            .ok()
    }
}

/// Something that may be absent, and is good where it is not.
fn none_or_good<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(good) => good.map(Some),
    }
}
