//! TLS on both sides of the proxy, on real sockets: who is let in, who is believed, and what a reload changes.

#[path = "../certificates/mod.rs"]
mod certificates;
mod clients;
#[path = "../folder/mod.rs"]
mod folder;
#[path = "../frames/mod.rs"]
mod frames;
mod large;
#[path = "../ports/mod.rs"]
mod ports;
mod principals;
mod renewing;
mod sessions;
mod sni;
mod upstream;

use certificates::{Authority, Made, keep};
use folder::Folder;
use frames::{HEARTBEAT, HEARTBEAT_OK, framed};
use kroxy_core::{
    proxy::Trigger,
    status::{ClusterState, ReloadOutcome},
};
use ports::free_port;
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client};

/// Long enough for a machine under load, short enough to notice what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// A proxy with one virtual cluster in front of an upstream that the test plays.
struct World {
    folder: Folder,
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    upstream: TcpListener,
    clients_at: SocketAddr,
    ports: (u16, u16),
}

impl World {
    /// `clients` and `upstream` are what stands in the blocks `tls`, where `{}` is the folder of the files; empty is no TLS.
    async fn new(folder: Folder, clients: &str, upstream: &str) -> Self {
        Self::limited(folder, clients, upstream, "").await
    }

    /// `limits` are fields of the virtual cluster.
    async fn limited(folder: Folder, clients: &str, upstream: &str, limits: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let ports = (free_port(), free_port());
        let text = configuration(&folder, listener.local_addr().expect("bound"), ports, clients, upstream).replacen(
            "name: \"c\",",
            &format!("name: \"c\", {limits}"),
            1,
        );
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        let proxy = Proxy::new(loaded, Source::memory(), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        let clients_at = SocketAddr::from(([127, 0, 0, 1], ports.0));
        Self { folder, proxy, lifetime, upstream: listener, clients_at, ports }
    }

    async fn serving(folder: Folder, clients: &str, upstream: &str) -> Self {
        Self::new(folder, clients, upstream).await.served().await
    }

    /// Waits until the virtual cluster serves clients.
    async fn served(self) -> Self {
        timeout(PATIENCE, self.comes_to(ClusterState::Serving)).await.expect("in time");
        self
    }

    async fn comes_to(&self, state: ClusterState) {
        let mut events = self.proxy.events();
        while self.proxy.status().virtual_clusters[0].state != state {
            let _ = events.recv().await; // whatever it was, the state is looked at again
        }
    }

    /// Reloads with these blocks, whatever their files hold now.
    async fn reload(&self, clients: &str, upstream: &str) -> kroxy_core::status::ReloadReport {
        let at = self.upstream.local_addr().expect("bound");
        let text = configuration(&self.folder, at, self.ports, clients, upstream);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        timeout(PATIENCE, self.proxy.reload(Trigger::Api, loaded)).await.expect("in time").expect("not busy")
    }

    fn metric(&self, line: &str) -> bool {
        self.proxy.metrics().text(&self.proxy.status()).lines().any(|l| l.starts_with(line))
    }

    /// Waits until so many handshakes have failed for this cause: that is counted when the alert has had its time.
    async fn failed(&self, leg: &str, cause: &str, times: u32) {
        let line = format!(
            "kroxy_tls_handshake_failures_total{{cause=\"{cause}\",leg=\"{leg}\",virtual_cluster=\"c\"}} {times}"
        );
        let counted = async {
            while !self.metric(&line) {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, counted).await.is_ok(), "{line}");
    }

    async fn end(self) {
        self.proxy.shutdown("the test is over");
        let ended = timeout(PATIENCE, self.lifetime).await.expect("it stops in time");
        assert_eq!(ended, Ok(()));
    }
}

fn configuration(folder: &Folder, upstream_at: SocketAddr, ports: (u16, u16), clients: &str, upstream: &str) -> String {
    let block = |text: &str| match text {
        "" => String::new(),
        text => format!("tls: ({}),", text.replace("{}", &folder.path(""))),
    };
    let ((bootstrap, node), clients, upstream) = (ports, block(clients), block(upstream));
    format!(
        r#"(admin: (bind: "127.0.0.1:0"), on_virtual_cluster_failure: (serve: Remaining),
        virtual_clusters: [(name: "c", drain_timeout: "5s",
        upstream: (bootstrap_servers: ["localhost:{port}"], {upstream}),
        gateways: [(name: "g", {clients} port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
        bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})]))])])"#,
        port = upstream_at.port()
    )
}

/// A client that trusts one authority and may show a certificate.
fn client_config(
    trusts: &Authority,
    shows: Option<&Made>,
    versions: &[&'static rustls::SupportedProtocolVersion],
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.pem.as_bytes()).expect("a certificate")).expect("a root");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(versions)
        .expect("supported")
        .with_root_certificates(roots);
    match shows {
        None => builder.with_no_client_auth(),
        Some(made) => builder.with_client_auth_cert(chain(made), key(made)).expect("a pair"),
    }
}

fn chain(made: &Made) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(made.chain.as_bytes()).collect::<Result<_, _>>().expect("certificates")
}

fn key(made: &Made) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(made.key.as_bytes()).expect("a key")
}

async fn connect(
    at: SocketAddr,
    config: impl Into<Arc<ClientConfig>>,
    name: &str,
) -> io::Result<client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(at).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    timeout(PATIENCE, TlsConnector::from(config.into()).connect(name, stream)).await.expect("in time")
}

/// Sends a request and takes the answer; the upstream is played beside it.
async fn ask<S: AsyncReadExt + AsyncWriteExt + Unpin>(client: &mut S) -> io::Result<()> {
    client.write_all(HEARTBEAT).await?;
    client.flush().await?;
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time")?;
    assert_eq!(answer, HEARTBEAT_OK);
    Ok(())
}

/// Answers every request of one connection, until it is closed.
async fn answer<S: AsyncReadExt + AsyncWriteExt + Unpin>(stream: &mut S) {
    let mut request = vec![0; HEARTBEAT.len()];
    while stream.read_exact(&mut request).await.is_ok() {
        stream.write_all(HEARTBEAT_OK).await.expect("writable");
        stream.flush().await.expect("writable");
    }
}

/// A plain broker.
async fn answer_all(listener: &TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let (mut stream, _) = listener.accept().await.expect("accepts");
        connections.spawn(async move { answer(&mut stream).await });
    }
}

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&rustls::version::TLS12, &rustls::version::TLS13];

/// One request of a new client, with a plain upstream behind the proxy.
async fn served(world: &World, config: impl Into<Arc<ClientConfig>>) -> io::Result<()> {
    let work = async {
        let mut client = connect(world.clients_at, config, "kroxy.example").await?;
        ask(&mut client).await
    };
    tokio::select! {
        biased;
        done = work => done,
        () = answer_all(&world.upstream) => unreachable!("it ends never"),
    }
}

/// Files of a gateway: `a.pem` and `a.key` for `kroxy.example`, `clients.pem` with those who sign clients.
fn gateway_files() -> (Folder, Authority, Authority) {
    let (folder, servers, clients) = (Folder::new(), Authority::new("servers"), Authority::new("clients"));
    keep(&folder, "a", &servers.sign(&["kroxy.example"]));
    folder.write("clients.pem", &clients.pem);
    (folder, servers, clients)
}

const PAIR: &str = r#"certificates: [(chain: "{}a.pem", key: "{}a.key")]"#;
