//! Who comes in at a gateway, as whom, and how much of it: on real sockets, in front of an upstream that the test plays.

#[path = "../certificates/mod.rs"]
#[expect(dead_code, reason = "the stories of TLS need more of it")]
mod certificates;
#[path = "../folder/mod.rs"]
mod folder;
#[path = "../frames/mod.rs"]
#[expect(dead_code, reason = "other stories need more of it")]
mod frames;
mod limits;
mod pkcs12;
#[path = "../ports/mod.rs"]
mod ports;
mod proxy_protocol;

use certificates::Authority;
use folder::Folder;
use frames::{HEARTBEAT, HEARTBEAT_OK, framed};
use kroxy_core::{
    proxy::Trigger,
    status::{ClusterState, ReloadReport},
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
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket, TcpStream},
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Long enough for a machine under load, short enough to notice what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

/// What stands in a configuration besides the usual.
#[derive(Clone, Copy, Default)]
struct More<'a> {
    cluster: &'a str,
    gateway: &'a str,
    upstream: &'a str,
}

/// A proxy with one virtual cluster.
struct World {
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    upstream: TcpListener,
    clients_at: SocketAddr,
    node_port: u16,
}

impl World {
    async fn new(more: More<'_>) -> Self {
        let world = Self::starting(more).await;
        world.comes_to(ClusterState::Serving).await;
        world
    }

    async fn starting(more: More<'_>) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let clients_at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let node_port = free_port();
        let text = text(&upstream, clients_at, node_port, more);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        let proxy = Proxy::new(loaded, Source::memory(), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        Self { proxy, lifetime, upstream, clients_at, node_port }
    }

    async fn comes_to(&self, state: ClusterState) {
        let mut events = self.proxy.events();
        let there = async {
            while self.proxy.status().virtual_clusters[0].state != state {
                let _ = events.recv().await; // whatever it was, the state is looked at again
            }
        };
        timeout(PATIENCE, there).await.expect("in time");
    }

    /// Puts other settings in force.
    async fn reload(&self, more: More<'_>) {
        assert_eq!(self.reloaded(more).await.errors, [""; 0]);
    }

    /// The same, which may not come off.
    async fn reloaded(&self, more: More<'_>) -> ReloadReport {
        let text = text(&self.upstream, self.clients_at, self.node_port, more);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        let reloaded = timeout(PATIENCE, self.proxy.reload(Trigger::Api, loaded)).await.expect("in time");
        reloaded.expect("not busy")
    }

    /// A client on this machine, at one of its addresses.
    async fn client_at(&self, from: [u8; 4]) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(SocketAddr::from((Ipv4Addr::from(from), 0))).expect("loopback is wide");
        socket.connect(self.clients_at).await.expect("the gateway listens")
    }

    async fn client(&self) -> TcpStream {
        self.client_at([127, 0, 0, 1]).await
    }

    async fn accept(&self) -> TcpStream {
        timeout(PATIENCE, self.upstream.accept()).await.expect("in time").expect("accepts").0
    }

    /// The upstream connection on which a client's first question arrives.
    async fn asked(&self) -> TcpStream {
        let mut upstream = self.accept().await;
        take(&mut upstream, HEARTBEAT).await;
        upstream
    }

    /// A client whose question has arrived upstream.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let mut client = self.client().await;
        client.write_all(HEARTBEAT).await.expect("the proxy reads");
        (client, self.asked().await)
    }

    /// Waits until the metrics have this line.
    async fn counts(&self, line: &str) {
        let (name, times) = line.rsplit_once(' ').expect("a name and a number");
        self.counts_where(name, |n| n.to_string() == times).await;
    }

    /// Waits until a metric has a value of this kind.
    async fn counts_where(&self, name: &str, is_right: impl Fn(u64) -> bool) {
        let text = || self.proxy.metrics().text(&self.proxy.status());
        let value = || text().lines().find_map(|l| l.strip_prefix(name)?.trim().parse().ok());
        let counted = async {
            while !value().is_some_and(&is_right) {
                tokio::task::yield_now().await;
            }
        };
        if timeout(PATIENCE, counted).await.is_err() {
            panic!("{name} is another in\n{}", text());
        }
    }

    async fn reached(&self, limit: &str, times: u32) {
        self.counts(&format!("kroxy_limit_reached_total{{limit=\"{limit}\",virtual_cluster=\"c\"}} {times}")).await;
    }

    async fn ended(&self, cause: &str, times: u32) {
        self.counts(&format!("kroxy_disconnects_total{{cause=\"{cause}\",virtual_cluster=\"c\"}} {times}")).await;
    }

    async fn end(self) {
        self.proxy.shutdown("the test is over");
        assert_eq!(timeout(PATIENCE, self.lifetime).await.expect("it stops in time"), Ok(()));
    }
}

fn text(upstream: &TcpListener, clients_at: SocketAddr, node_port: u16, more: More<'_>) -> String {
    let upstream = upstream.local_addr().expect("bound");
    let More { cluster, gateway, upstream: of_upstream } = more;
    let kind = format!(
        r#"port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1", bootstrap_port: {}, nodes: [(ids: (0, 0),
        first_port: {node_port})])"#,
        clients_at.port()
    );
    let kind = if gateway.contains("sni:") { "" } else { &kind };
    let gateway = gateway.replace("{at}", &clients_at.to_string());
    format!(
        r#"(admin: (bind: "127.0.0.1:0"), on_virtual_cluster_failure: (serve: Remaining), virtual_clusters: [(name: "c", drain_timeout: "200ms", {cluster}
        upstream: (bootstrap_servers: ["{upstream}"], {of_upstream}), gateways: [(name: "g", {gateway} {kind})])])"#
    )
}

/// Reads exactly these bytes.
async fn take<S: AsyncReadExt + Unpin>(stream: &mut S, wanted: &[u8]) {
    let mut read = vec![0; wanted.len()];
    timeout(PATIENCE, stream.read_exact(&mut read)).await.expect("in time").expect("readable");
    assert_eq!(read, wanted, "{}", read.escape_ascii());
}

/// Shakes hands with a server for `name` that this authority has signed.
async fn shake_hands(stream: TcpStream, authority: &Authority, name: &str) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("one")).expect("a root");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("supported")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    timeout(PATIENCE, TlsConnector::from(Arc::new(config)).connect(name, stream)).await.expect("in time")
}

/// Whether the other side has ended the connection, one way or the other, before it said anything.
async fn is_closed<S: AsyncReadExt + Unpin>(stream: &mut S) -> bool {
    match timeout(PATIENCE, stream.read(&mut [0; 1])).await.expect("in time") {
        Ok(read) => read == 0,
        Err(e) => e.kind() == io::ErrorKind::ConnectionReset,
    }
}
