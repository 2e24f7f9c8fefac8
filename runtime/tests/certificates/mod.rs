//! Certificates for tests, made as they are needed.

use crate::folder::Folder;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

/// Writes `NAME.pem` and `NAME.key`.
pub(crate) fn keep(folder: &Folder, name: &str, made: &Made) {
    folder.write(&format!("{name}.pem"), &made.chain);
    folder.write(&format!("{name}.key"), &made.key);
}

/// Who signs.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
}

/// A certificate and its key, in PEM.
pub(crate) struct Made {
    pub(crate) chain: String,
    pub(crate) key: String,
}

impl Authority {
    pub(crate) fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate with its key.
    pub(crate) fn itself(&self) -> Made {
        Made { chain: self.pem.clone(), key: self.issuer.key().serialize_pem() }
    }

    /// A certificate for these names, the first of which is its subject, that is good now.
    pub(crate) fn sign(&self, names: &[&str]) -> Made {
        self.sign_for_years(names, 2020, 2090)
    }

    /// A certificate of somebody with this distinguished name, that is good now.
    pub(crate) fn sign_as(&self, name: &[(DnType, &str)]) -> Made {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.distinguished_name = DistinguishedName::new();
        name.iter().for_each(|(kind, value)| params.distinguished_name.push(kind.clone(), *value));
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.signed(&params)
    }

    /// The same that is good from and until the first of January of these years.
    pub(crate) fn sign_for_years(&self, names: &[&str], from: i32, until: i32) -> Made {
        let alternatives: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(alternatives).expect("names");
        params.distinguished_name.push(DnType::CommonName, names[0]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.not_before, params.not_after) = (date_time_ymd(from, 1, 1), date_time_ymd(until, 1, 1));
        self.signed(&params)
    }

    fn signed(&self, params: &CertificateParams) -> Made {
        let key = KeyPair::generate().expect("a key");
        let chain = params.signed_by(&key, &self.issuer).expect("signed").pem();
        Made { chain, key: key.serialize_pem() }
    }
}
