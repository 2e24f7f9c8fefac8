//! PKCS#12: a certificate, those that lead to a root, and the private key, in one file with a password.

use super::{
    TlsError,
    certificate::Described,
    files::{File, Store},
    identity::Chain,
};
use p12_keystore::{Pkcs12Archive, error::Error};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// What is in it: the chain, which begins with the certificate of the key, and the key.
pub(super) fn open(store: Store<'_>) -> Result<(Chain, PrivateKeyDer<'static>), TlsError> {
    let path = || store.file.path.to_owned();
    let archive = Pkcs12Archive::from_pkcs12(store.file.bytes, password(store)?).map_err(|e| unopened(store, &e))?;
    let [key] = archive.keys.as_slice() else {
        return Err(match archive.keys.len() {
            0 => TlsError::NoKey { path: path() },
            keys => TlsError::SeveralKeys { path: path(), keys },
        });
    };
    // Whoever makes a store says with an id which certificate is the key's. Where nobody has, it is the first.
    let id = key.local_key_id.as_ref().map(|id| id.as_ref());
    let of_key = archive.certs.iter().find(|bag| id.is_some() && bag.local_key_id.as_deref() == id);
    let mut next = of_key.or(archive.certs.first()).map(|bag| &bag.cert);
    let mut chain: Vec<(CertificateDer<'static>, Described)> = Vec::new();
    while let Some(certificate) = next {
        let der = CertificateDer::from(certificate.as_der().to_vec());
        let place = chain.len() + 1;
        let described = Described::of(&der).map_err(|why| TlsError::NotACertificate { path: path(), place, why })?;
        chain.push((der, described));
        let is_there = |der: &[u8]| chain.iter().any(|(known, _)| known.as_ref() == der);
        let issuer = archive.certs.iter().map(|bag| &bag.cert).find(|other| other.subject() == certificate.issuer());
        next = issuer.filter(|issuer| !is_there(issuer.as_der()));
    }
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path() });
    }
    Ok((chain, PrivatePkcs8KeyDer::from(key.key.as_der().to_vec()).into()))
}

/// What its file says, without the end of the line.
fn password(store: Store<'_>) -> Result<&str, TlsError> {
    let Some(File { path, bytes }) = store.password else { return Ok("") };
    let text = std::str::from_utf8(bytes);
    let text =
        text.map_err(|_| TlsError::Unreadable { path: path.to_owned(), why: "it is no text in UTF-8".to_owned() });
    Ok(text?.trim_end_matches(['\r', '\n']))
}

/// What keeps a store closed. That a password is another one shows in a sum that is wrong, or in what is read with it.
fn unopened(store: Store<'_>, e: &Error) -> TlsError {
    let path = store.file.path.to_owned();
    match (e, store.password) {
        (Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_), Some(file)) => {
            TlsError::WrongPassword { path, file: file.path.to_owned() }
        }
        (Error::MacError(_) | Error::UnpadError | Error::Pkcs5Error(_), None) => TlsError::NoPassword { path },
        _ if store.file.bytes.starts_with(b"-----BEGIN") => {
            TlsError::NotAStore { path, why: "it is PEM, which goes to `chain` and `key`".to_owned() }
        }
        _ => TlsError::NotAStore { path, why: e.to_string() },
    }
}
