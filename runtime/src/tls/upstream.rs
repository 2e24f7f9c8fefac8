//! TLS towards upstream.

use super::{
    Contents, Crypto, Stream, TlsError,
    handshake::{Failure, handshake},
    identity::{identity, roots},
    read_ahead::ReadAhead,
    verify::{Anybody, NamingServers},
    versions,
};
use crate::limits;
use kroxy_core::{
    address::HostPort,
    config::tls::{Trust, UpstreamTls},
};
use rustls::{
    ClientConfig, RootCertStore,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    pki_types::ServerName,
    sign::SingleCertAndKey,
};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;

/// Sessions that rustls keeps of each server.
const SESSIONS_EACH: usize = 8;

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
        let mut config = match &tls.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let own = identity(files, contents, "client_certificate", crypto)?;
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(own)))
            }
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS_EACH * limits::TLS_SERVERS);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use kroxy_core::config::tls::Protocol;
    use rustls::{
        HandshakeKind, ServerConfig,
        crypto::ring,
        pki_types::{PrivateKeyDer, pem::PemObject},
        version::{TLS12, TLS13},
    };
    use std::collections::BTreeMap;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio_rustls::TlsAcceptor;

    fn broker(version: &'static rustls::SupportedProtocolVersion) -> TlsAcceptor {
        let made = rcgen::generate_simple_self_signed(Vec::new()).expect("a certificate");
        let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[version])
            .expect("supported")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key);
        Arc::new(config.expect("a pair")).into()
    }

    /// How a broker sees a connection of the proxy to it.
    async fn shaken(connector: &Connector, broker: &TlsAcceptor, host: String) -> Option<HandshakeKind> {
        let (ours, theirs) = duplex(16 << 10);
        let to = HostPort { host, port: 9_093 };
        let (stream, accepted) = tokio::join!(connector.connect(ours, &to), async {
            let mut stream = broker.accept(theirs).await.expect("shaken hands");
            stream.write_u8(1).await.expect("there is room"); // behind what it takes to come again
            stream.flush().await.expect("there is room");
            stream.get_ref().1.handshake_kind()
        });
        assert_eq!(stream.expect("shaken hands").read_u8().await.expect("sent"), 1);
        accepted
    }

    #[tokio::test]
    async fn sessions_with_the_brokers_of_a_large_cluster_are_resumed() {
        const BROKERS: u32 = 100; // rustls remembers 32 by itself
        let tls = UpstreamTls {
            trust: Trust::Anybody,
            client_certificate: None,
            server_name: None,
            protocol: Protocol::default(),
        };
        let files = BTreeMap::new();
        let crypto = Crypto::new(Clock::system());
        for version in [&TLS12, &TLS13] {
            let connector = Connector::new(&tls, &Contents::new(&files, "upstream.tls"), &crypto).expect("no file");
            let broker = broker(version);
            for is_again in [false, true] {
                for n in 0..BROKERS {
                    let kind = shaken(&connector, &broker, format!("b{n}.kafka.example")).await;
                    assert_eq!(kind == Some(HandshakeKind::Resumed), is_again, "{version:?}, broker {n}");
                }
            }
        }
    }
}
