//! TLS between the generator of frames and what is measured: a certificate made for this run, and clients that trust it.

use rcgen::{CertifiedKey, generate_simple_self_signed};
use std::{
    fs,
    path::PathBuf,
    sync::{Arc, LazyLock},
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

const NAME: &str = "localhost";

/// A certificate and its key, in files as the targets want them.
pub(crate) struct Certificate {
    pub(crate) chain: PathBuf,
    pub(crate) key: PathBuf,
    /// Both, as HAProxy wants them.
    pub(crate) both: PathBuf,
    connector: TlsConnector,
}

pub(crate) static CERTIFICATE: LazyLock<Certificate> = LazyLock::new(|| {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed([NAME.to_owned()]).expect("a certificate");
    let (chain, key) = (cert.pem(), signing_key.serialize_pem());
    let written = |name: &str, text: &str| {
        let path = tests::scratch("bench").join(format!("{}-{name}", std::process::id()));
        fs::write(&path, text).expect("cargo's own folder is writable");
        path
    };
    let mut roots = RootCertStore::empty();
    roots.add(cert.der().clone()).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Certificate {
        both: written("both.pem", &(chain.clone() + &key)),
        chain: written("chain.pem", &chain),
        key: written("key.pem", &key),
        connector: TlsConnector::from(Arc::new(config)),
    }
});

/// What a connection is to its user, with TLS or without.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Shakes hands.
pub(crate) async fn over_tls(stream: TcpStream) -> Box<dyn Stream> {
    let name = ServerName::try_from(NAME).expect("a name");
    Box::new(CERTIFICATE.connector.connect(name, stream).await.expect("the target shakes hands"))
}
