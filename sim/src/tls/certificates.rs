//! Certificates of a world, signed by authorities of its own. The same seed makes the same ones, to the byte.

use crate::dice::Dice;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ED25519, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer, pem::PemObject};

/// What stands before the 32 bytes of a private key for Ed25519 in PKCS #8 (RFC 8410, 7).
const PKCS8: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Somebody who signs.
#[derive(Debug)]
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    der: CertificateDer<'static>,
    pem: String,
}

/// A certificate and its key, in PEM.
pub(super) struct Identity {
    pub(super) chain: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str, seed: u64) -> Self {
        let mut params = params(&[], &format!("the {name} authority"), false);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = key(seed);
        let certificate = params.self_signed(&key).expect("all of it is ours");
        let (der, pem) = (certificate.der().clone(), certificate.pem());
        Self { issuer: Issuer::new(params, key), der, pem }
    }

    pub(super) const fn certificate(&self) -> &CertificateDer<'static> {
        &self.der
    }

    pub(super) fn pem(&self) -> String {
        self.pem.clone()
    }

    /// A certificate for these names, good for years, or only until the day before the world begins.
    pub(super) fn sign(&self, names: &[String], seed: u64, expired: bool) -> Identity {
        let mut params = params(names, "kroxy's world", expired);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key(seed);
        let certificate = params.signed_by(&key, &self.issuer).expect("all of it is ours");
        Identity { chain: certificate.pem(), key: key.serialize_pem() }
    }
}

impl Identity {
    pub(super) fn certificate(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.chain.as_bytes()).expect("it was made here")
    }
}

fn params(names: &[String], subject: &str, expired: bool) -> CertificateParams {
    let mut params = CertificateParams::new(names).expect("names of ours");
    params.distinguished_name.push(DnType::CommonName, subject);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = if expired { date_time_ymd(2025, 12, 31) } else { date_time_ymd(2027, 1, 1) };
    params
}

fn key(seed: u64) -> KeyPair {
    let mut der = PKCS8.to_vec();
    der.resize(PKCS8.len() + 32, 0);
    Dice::new(seed).fill(&mut der[PKCS8.len()..]);
    KeyPair::from_pkcs8_der_and_sign_algo(&PrivatePkcs8KeyDer::from(der), &PKCS_ED25519)
        .expect("any 32 bytes are a key")
}
