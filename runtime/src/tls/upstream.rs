//! TLS towards upstream.

use super::{
    Contents, Crypto, Stream, TlsError,
    handshake::{Failure, handshake},
    identity::{identity, roots},
    read_ahead::ReadAhead,
    verify::{Anybody, NamingServers},
    versions,
};
use kroxy_core::{
    address::HostPort,
    config::tls::{Trust, UpstreamTls},
};
use rustls::{
    ClientConfig, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::ServerName,
    sign::SingleCertAndKey,
};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// What upstream meets.
pub(crate) struct Connector {
    connector: TlsConnector,
    /// The name that certificates have to be for, unless it is the host that is connected to.
    server_name: Option<String>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

impl Connector {
    pub(crate) fn new(tls: &UpstreamTls, contents: &Contents<'_>, crypto: &Crypto) -> Result<Self, TlsError> {
        let builder = ClientConfig::builder_with_details(crypto.limited_to(&tls.protocol), crypto.time())
            .with_protocol_versions(&versions(&tls.protocol))
            .map_err(|e| TlsError::Setup(e.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(verifier(&tls.trust, contents, crypto)?);
        let config = match &tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let own = identity(files, contents, "client_certificate", crypto)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        let server_name = tls.server_name.as_ref().map(|name| name.as_str().to_owned());
        Ok(Self { connector: TlsConnector::from(Arc::new(config)), server_name })
    }

    /// Shakes hands with the server at `to`.
    pub(crate) async fn connect<S>(&self, stream: S, to: &HostPort) -> Result<Stream<S>, Failure>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = self.server_name.as_ref().unwrap_or(&to.host);
        let name = ServerName::try_from(name.clone()).map_err(|_| Failure::no_name(name))?;
        let connect = self.connector.connect(name, ReadAhead::new(stream)).into_fallible();
        Ok(Stream::Tls(Box::new(handshake(connect).await?.into())))
    }
}

fn verifier(trust: &Trust, contents: &Contents<'_>, crypto: &Crypto) -> Result<Arc<dyn ServerCertVerifier>, TlsError> {
    let roots = match trust {
        Trust::Anybody => return Ok(Arc::new(Anybody(crypto.provider.signature_verification_algorithms))),
        Trust::File(path) => roots(path, "ca", contents, crypto.now())?,
        Trust::System => system_roots()?,
    };
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::new(crypto.provider.clone())).build();
    Ok(Arc::new(NamingServers(verifier.map_err(|e| TlsError::Setup(e.to_string()))?)))
}

/// Whom the operating system trusts. What of it cannot be read is no loss as long as somebody is left.
fn system_roots() -> Result<RootCertStore, TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
        let why = if why.is_empty() { "there are none".to_owned() } else { why.join(", ") };
        return Err(TlsError::NoSystemRoots(why));
    }
    Ok(roots)
}
