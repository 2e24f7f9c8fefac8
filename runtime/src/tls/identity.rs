//! Certificates with their keys, and roots of trust, out of files.

use super::{
    Contents, Crypto, TlsError,
    certificate::Described,
    files::{File, PASSWORD_FILE, PKCS12, Store},
    store,
};
use kroxy_core::config::tls::CertificateFiles;
use rustls::{
    InconsistentKeys, RootCertStore,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    sign::CertifiedKey,
};
use std::sync::Arc;
use tracing::warn;

/// Certificates, each leading to the next.
pub(super) type Chain = Vec<(CertificateDer<'static>, Described)>;

/// Reads a certificate and its key, which have to be good now.
pub(super) fn identity(
    files: &CertificateFiles,
    contents: &Contents<'_>,
    field: &str,
    crypto: &Crypto,
) -> Result<Arc<CertifiedKey>, TlsError> {
    let (chain, key, key_path) = match files {
        CertificateFiles::Pem { chain, key } => {
            let chain_file = contents.file(&format!("{field}.chain"), chain)?;
            let key_file = contents.file(&format!("{field}.key"), key)?;
            (certificates(chain_file)?, private_key(key_file), key)
        }
        CertificateFiles::Pkcs12 { store, password_file } => {
            let file = contents.file(&format!("{field}.{PKCS12}"), store)?;
            let password = password_file.as_deref();
            let password = password.map(|path| contents.file(&format!("{field}.{PASSWORD_FILE}"), path)).transpose()?;
            let (chain, key) = store::open(Store { file, password })?;
            (chain, Ok(key), store)
        }
    };
    let (_, described) = &chain[0];
    described.check_time(crypto.now(), files.certificate())?;
    let subject = described.subject.clone();
    let bad = |e: rustls::Error| TlsError::BadKey { path: key_path.clone(), why: e.to_string() };
    let key = crypto.provider.key_provider.load_private_key(key?).map_err(bad)?;
    let certified = CertifiedKey::new(chain.into_iter().map(|(der, _)| der).collect(), key);
    match certified.keys_match() {
        // A key that cannot tell its public half is found out in the first handshake.
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(Arc::new(certified)),
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
            Err(TlsError::KeyMismatch { key: key_path.clone(), chain: files.certificate().to_owned(), subject })
        }
        Err(other) => Err(bad(other)),
    }
}

/// Reads roots of trust. One that has expired is named in the log and stays: a bundle has old ones beside new ones.
pub(super) fn roots(path: &str, field: &str, contents: &Contents<'_>, now: i64) -> Result<RootCertStore, TlsError> {
    let file = contents.file(field, path)?;
    let mut roots = RootCertStore::empty();
    for (der, described) in certificates(file)? {
        if let Err(e) = described.check_time(now, path) {
            warn!("{e}");
        }
        roots.add(der).map_err(|e| TlsError::BadRoot {
            path: path.to_owned(),
            subject: described.subject,
            why: e.to_string(),
        })?;
    }
    Ok(roots)
}

/// At least one.
pub(super) fn certificates(file: File<'_>) -> Result<Chain, TlsError> {
    let mut all = Vec::new();
    for (n, block) in CertificateDer::pem_slice_iter(file.bytes).enumerate() {
        let der = block.map_err(|e| not_pem(file, &e))?;
        let described = Described::of(&der).map_err(|why| TlsError::NotACertificate {
            path: file.path.to_owned(),
            place: n + 1,
            why,
        })?;
        all.push((der, described));
    }
    if all.is_empty() {
        let hint = if PrivateKeyDer::from_pem_slice(file.bytes).is_ok() { ", but there is a private key" } else { "" };
        return Err(no_block(file, "certificate", "CERTIFICATE", hint));
    }
    Ok(all)
}

fn private_key(file: File<'_>) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::from_pem_slice(file.bytes).map_err(|e| {
        if matches!(e, pem::Error::NoItemsFound) {
            no_block(file, "private key", "PRIVATE KEY", instead_of_a_key(file.bytes))
        } else {
            not_pem(file, &e)
        }
    })
}

fn instead_of_a_key(bytes: &[u8]) -> &'static str {
    let has = |needle: &[u8]| bytes.windows(needle.len()).any(|window| window == needle);
    if has(b"BEGIN ENCRYPTED PRIVATE KEY") {
        ", but there is an encrypted key: decrypt it with `openssl pkey -in FILE -out KEY`"
    } else if has(b"BEGIN CERTIFICATE") {
        ", but there is a certificate"
    } else {
        ""
    }
}

fn no_block(file: File<'_>, wanted: &'static str, block: &'static str, hint: &'static str) -> TlsError {
    TlsError::NoBlock { path: file.path.to_owned(), wanted, block, hint }
}

fn not_pem(file: File<'_>, e: &pem::Error) -> TlsError {
    TlsError::NotPem { path: file.path.to_owned(), why: e.to_string() }
}
