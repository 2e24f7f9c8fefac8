//! TLS towards clients.

use super::{
    Contents, Crypto, Hello, Stream, TlsError, files,
    handshake::{Failure, handshake},
    identity::{identity, roots},
    read_ahead::ReadAhead,
    sessions::Sessions,
    verify::NamingClients,
    versions,
};
use kroxy_core::{
    config::tls::{ClientAuth, ClientTls},
    principal::MappingRules,
};
use rustls::{
    ServerConfig,
    client::verify_server_name,
    pki_types::ServerName,
    server::{
        ClientHello, NoClientAuth, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier,
        danger::ClientCertVerifier,
    },
    sign::CertifiedKey,
};
use std::{sync::Arc, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::{Accept, TlsAcceptor};

/// Makes what rustls needs to serve these settings; `contents` has the files of their block.
///
/// # Errors
/// The first thing that is wrong with the files.
pub fn server_config(tls: &ClientTls, contents: &Contents<'_>, crypto: &Crypto) -> Result<Arc<ServerConfig>, TlsError> {
    let certificates = tls.certificates.iter().enumerate();
    let certificates = certificates.map(|(n, c)| identity(c, contents, &files::certificate(n), crypto));
    let shown = Shown(certificates.collect::<Result<_, _>>()?);
    let mut config = ServerConfig::builder_with_details(crypto.limited_to(&tls.protocol), crypto.time())
        .with_protocol_versions(&versions(&tls.protocol))
        .map_err(|e| TlsError::Setup(e.to_string()))?
        .with_client_cert_verifier(verifier(&tls.client_auth, contents, crypto)?)
        .with_cert_resolver(Arc::new(shown));
    config.session_storage = Arc::new(Sessions::default());
    Ok(Arc::new(config))
}

fn verifier(
    auth: &ClientAuth,
    contents: &Contents<'_>,
    crypto: &Crypto,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let builder = |ca: &str| {
        let roots = roots(ca, "client_auth.ca", contents, crypto.now())?;
        Ok(WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::new(crypto.provider.clone())))
    };
    let verifier = match auth {
        ClientAuth::None => return Ok(Arc::new(NoClientAuth)),
        ClientAuth::Requested { ca } => builder(ca)?.allow_unauthenticated().build(),
        ClientAuth::Required { ca } => builder(ca)?.build(),
    };
    Ok(Arc::new(NamingClients(verifier.map_err(|e| TlsError::Setup(e.to_string()))?)))
}

/// The certificates of a gateway, in order of preference.
#[derive(Debug)]
struct Shown(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for Shown {
    /// The first that is for the name which the client asks for and has a signature that it knows. A client that asks for
    /// another name or for none gets the first that it can verify, and decides for itself.
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let usable = || self.0.iter().filter(|c| c.key.choose_scheme(hello.signature_schemes()).is_some());
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| usable().find(|certificate| is_for(certificate, &name)));
        // Where none is usable, rustls finds that out by itself, and has the right alert for it.
        named.or_else(|| usable().next()).or(self.0.first()).cloned()
    }
}

fn is_for(certificate: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let parsed = certificate.end_entity_cert().ok().and_then(|der| ParsedCertificate::try_from(der).ok());
    parsed.is_some_and(|parsed| verify_server_name(&parsed, name).is_ok())
}

/// What a client of a gateway meets.
pub(crate) struct Acceptor {
    acceptor: TlsAcceptor,
    /// How long a handshake may take.
    pub(crate) timeout: Duration,
    principals: Option<MappingRules>,
}

/// The certificate that a client has shown is good, and nobody knows whose it is.
#[derive(Debug, thiserror::Error)]
#[error("no rule of principal_mapping_rules matches {0:?}")]
pub(crate) struct Unnamed(String);

impl std::fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Acceptor").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl Acceptor {
    pub(crate) fn new(tls: &ClientTls, contents: &Contents<'_>, crypto: &Crypto) -> Result<Self, TlsError> {
        let acceptor = TlsAcceptor::from(server_config(tls, contents, crypto)?);
        Ok(Self { acceptor, timeout: tls.handshake_timeout, principals: tls.principals.clone() })
    }

    /// Whom the certificate is of that a client has shown, if it has shown one.
    pub(crate) fn principal<S>(&self, stream: &Stream<S>) -> Result<Option<String>, Unnamed> {
        let Some(rules) = &self.principals else { return Ok(stream.peer_subject()) };
        let Some(name) = stream.peer_distinguished_name() else { return Ok(None) };
        rules.principal(&name).map(Some).ok_or(Unnamed(name))
    }

    /// Shakes hands with a client, within the time that there is for it. Its `first` byte may have been read.
    pub(crate) async fn accept<S>(&self, stream: S, first: Option<u8>) -> Result<Stream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.finish(self.acceptor.accept(ReadAhead::begun(stream, first))).await
    }

    /// The same with a client whose first message has been read.
    pub(crate) async fn resume<S>(&self, hello: Hello<S>) -> Result<Stream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.finish(hello.0.into_stream(self.acceptor.config().clone())).await
    }

    async fn finish<S>(&self, accept: Accept<ReadAhead<S>>) -> Result<Stream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let shaken = tokio::time::timeout(self.timeout, handshake(accept.into_fallible()));
        match shaken.await {
            Ok(Ok(stream)) => Ok(Stream::Tls(Box::new(stream.into()))),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::timed_out(self.timeout)),
        }
    }
}
