//! Gateways that share a port: the name that a client asks for decides, and nobody notices another's lifecycle.

use super::*;
use crate::frames::{METADATA, metadata_ok};

/// Two virtual clusters at one port, `one` and `two`, each in front of an upstream that the test plays.
struct Shared {
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    upstream: [TcpListener; 2],
    at: SocketAddr,
    servers: Authority,
    folder: Folder,
}

const ONE: usize = 0;
const TWO: usize = 1;
const NAMES: [&str; 2] = ["one", "two"];

impl Shared {
    async fn new() -> Self {
        let (folder, servers) = (Folder::new(), Authority::new("servers"));
        keep(&folder, "a", &servers.sign(&["kafka.example", "*.kafka.example", "*.one.kafka.example"]));
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.expect("a free port") };
        let upstream = [bind().await, bind().await];
        let at = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let text = configuration(&folder, &upstream, at, &NAMES);
        let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
        let proxy = Proxy::new(loaded, Source::memory(), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        let world = Self { proxy, lifetime, upstream, at, servers, folder };
        for which in [ONE, TWO] {
            world.comes_to(which, ClusterState::Serving).await;
        }
        world
    }

    async fn comes_to(&self, which: usize, state: ClusterState) {
        let mut events = self.proxy.events();
        let there = async {
            while self.proxy.status().virtual_clusters[which].state != state {
                let _ = events.recv().await; // whatever it was, the state is looked at again
            }
        };
        timeout(PATIENCE, there).await.expect("in time");
    }

    async fn connect(&self, name: &str) -> io::Result<client::TlsStream<TcpStream>> {
        connect(self.at, client_config(&self.servers, None, BOTH), name).await
    }

    /// A client that has asked for this name, and its upstream connection, on which its question has arrived.
    async fn pair(&self, name: &str, which: usize, ask: &[u8]) -> (client::TlsStream<TcpStream>, TcpStream) {
        let mut client = self.connect(name).await.expect("served");
        client.write_all(ask).await.expect("writable");
        client.flush().await.expect("writable");
        let accepted = timeout(PATIENCE, self.upstream[which].accept()).await.expect("in time");
        let (mut upstream, _) = accepted.expect("accepts");
        let mut asked = vec![0; ask.len()];
        upstream.read_exact(&mut asked).await.expect("the question arrives");
        assert_eq!(asked, ask);
        (client, upstream)
    }

    async fn refused(&self, cause: &str, times: u32) {
        let line = format!("kroxy_sni_refused_total{{cause=\"{cause}\"}} {times}");
        let counted = async {
            while !self.proxy.metrics().text(&self.proxy.status()).lines().any(|l| l == line) {
                tokio::task::yield_now().await;
            }
        };
        assert!(timeout(PATIENCE, counted).await.is_ok(), "{line}");
    }

    async fn end(self) {
        self.proxy.shutdown("the test is over");
        assert_eq!(timeout(PATIENCE, self.lifetime).await.expect("it stops in time"), Ok(()));
        TcpListener::bind(self.at).await.expect("the shared port is given back");
    }
}

fn configuration(folder: &Folder, upstream: &[TcpListener; 2], at: SocketAddr, names: &[&str]) -> String {
    let cluster = |(name, upstream): (&&str, &TcpListener)| {
        let upstream = upstream.local_addr().expect("bound");
        format!(
            r#"(name: "{name}", upstream: (bootstrap_servers: ["{upstream}"]), gateways: [(name: "g",
            tls: (certificates: [(chain: "{folder}a.pem", key: "{folder}a.key")]),
            sni: (bind: "{at}", bootstrap: "{{cluster}}.kafka.example:9092",
                advertised: "B{{node}}.{{cluster}}.kafka.example:{port}"))])"#,
            folder = folder.path(""),
            port = at.port(),
        )
    };
    let clusters: Vec<_> = names.iter().zip(upstream).map(cluster).collect();
    format!(
        r#"(admin: (bind: "127.0.0.1:0"), on_virtual_cluster_failure: (serve: Remaining), virtual_clusters: [{}])"#,
        clusters.join(", ")
    )
}

#[tokio::test]
async fn a_name_leads_to_its_cluster_and_its_node_whatever_its_case() {
    let world = Shared::new().await;
    let (mut client, mut upstream) = world.pair("ONE.kafka.example", ONE, METADATA).await;
    let broker = world.upstream[ONE].local_addr().expect("bound");
    upstream.write_all(&metadata_ok("127.0.0.1", broker.port())).await.expect("writable");
    let told = metadata_ok("b0.one.kafka.example", world.at.port());
    let mut answer = vec![0; told.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time").expect("an answer");
    assert_eq!(answer, told);

    let (_of_node, _) = world.pair("b0.One.kafka.example", ONE, HEARTBEAT).await;
    let (_of_two, _) = world.pair("two.kafka.example", TWO, HEARTBEAT).await;
    let gateway = &world.proxy.status().virtual_clusters[ONE].gateways[0];
    assert_eq!((gateway.kind.as_str(), gateway.tls), ("sni", true));
    assert_eq!(gateway.bootstrap.as_ref().map(ToString::to_string).as_deref(), Some("one.kafka.example:9092"));
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_client_without_a_name_or_with_an_unknown_one_is_closed_and_counted() {
    let world = Shared::new().await;
    assert!(world.connect("three.kafka.example").await.is_err());
    world.refused("unknown_name", 1).await;
    assert!(world.connect("b07.one.kafka.example").await.is_err(), "no id is written so");
    world.refused("unknown_name", 2).await;
    assert!(world.connect("127.0.0.1").await.is_err(), "an address is no name");
    world.refused("no_name", 1).await;
    let mut plain = TcpStream::connect(world.at).await.expect("listens");
    plain.write_all(HEARTBEAT).await.expect("writable");
    world.refused("not_tls", 1).await;
    world.end().await;
}

#[tokio::test]
async fn one_cluster_drains_goes_and_comes_and_the_other_at_the_same_port_notices_nothing() {
    let world = Shared::new().await;
    let (mut stays, mut behind) = world.pair("one.kafka.example", ONE, HEARTBEAT).await;
    let (mut leaves, mut behind_two) = world.pair("two.kafka.example", TWO, HEARTBEAT).await;
    behind_two.write_all(HEARTBEAT_OK).await.expect("writable");

    assert_eq!(world.proxy.drain("two".parse().expect("a name")).await, Ok(()));
    let mut answer = Vec::new();
    timeout(PATIENCE, leaves.read_to_end(&mut answer)).await.expect("in time").expect("close_notify");
    assert_eq!(answer, HEARTBEAT_OK, "what was in flight is answered");
    drop((leaves, behind_two));
    assert!(world.connect("two.kafka.example").await.is_err(), "closed at once while it drains");
    let (_fresh, _) = world.pair("one.kafka.example", ONE, HEARTBEAT).await;

    assert_eq!(world.proxy.retry("two".parse().expect("a name")).await, Ok(()));
    world.comes_to(TWO, ClusterState::Serving).await;
    let (_back, _) = world.pair("two.kafka.example", TWO, HEARTBEAT).await;

    let text = configuration(&world.folder, &world.upstream, world.at, &NAMES[..1]);
    let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
    drop(_back);
    let report = timeout(PATIENCE, world.proxy.reload(Trigger::Api, loaded)).await.expect("in time").expect("not busy");
    assert_eq!(report.outcome, ReloadOutcome::Applied);
    assert!(world.connect("two.kafka.example").await.is_err(), "it is gone");

    behind.write_all(HEARTBEAT_OK).await.expect("writable");
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, stays.read_exact(&mut answer)).await.expect("in time").expect("still connected");
    assert_eq!(answer, HEARTBEAT_OK);
    drop((stays, behind));
    world.end().await;
}

#[tokio::test]
async fn a_port_that_nobody_shares_any_more_can_be_bound_by_a_gateway_of_its_own() {
    let world = Shared::new().await;
    let text = format!(
        r#"(admin: (bind: "127.0.0.1:0"), on_virtual_cluster_failure: (serve: Remaining),
        virtual_clusters: [(name: "one", upstream: (bootstrap_servers: ["{}"]), gateways: [(name: "g",
        port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1", bootstrap_port: {},
        nodes: [(ids: (0, 0), first_port: {})]))])])"#,
        world.upstream[ONE].local_addr().expect("bound"),
        world.at.port(),
        free_port(),
    );
    let loaded = load::loaded(config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}")));
    let report = timeout(PATIENCE, world.proxy.reload(Trigger::Api, loaded)).await.expect("in time").expect("not busy");
    assert_eq!(report.outcome, ReloadOutcome::Applied, "{report:?}");
    let mut plain = TcpStream::connect(world.at).await.expect("listens");
    plain.write_all(HEARTBEAT).await.expect("writable");
    timeout(PATIENCE, world.upstream[ONE].accept()).await.expect("in time").expect("accepts");
    drop(plain);
    world.end().await;
}
