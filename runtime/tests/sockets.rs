//! The proxy on real sockets, between a client and an upstream that do what no good peer does.

mod frames;
mod ports;

use frames::{HEARTBEAT, HEARTBEAT_OK, METADATA, metadata_ok};
use kroxy_core::config::Config;
use ports::free_port;
use runtime::{
    clock::Clock,
    config, load,
    net::OsNet,
    proxy::{Lifetime, Proxy, Source},
};
use std::{io::ErrorKind, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Long enough for a machine under load, short enough to notice what hangs.
const PATIENCE: Duration = Duration::from_secs(30);

const MIB: usize = 1 << 20;

/// Bytes by which this process may grow while the proxy moves far more: the tests beside it count as well.
const MEMORY: usize = 16 * MIB;

struct World {
    proxy: Proxy<OsNet>,
    lifetime: Lifetime<OsNet>,
    upstream: TcpListener,
    clients_at: SocketAddr,
}

impl World {
    /// A virtual cluster with one gateway, and whatever else is given.
    async fn new(more: &str) -> Self {
        Self::with(more, "").await
    }

    /// The same with further gateways.
    async fn with(more: &str, gateways: &str) -> Self {
        let upstream = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let upstream_at = upstream.local_addr().expect("bound");
        let (bootstrap, node) = (free_port(), free_port());
        let text = format!(
            r#"(admin: (bind: "127.0.0.1:0"), virtual_clusters: [(name: "c", upstream: (bootstrap_servers: ["{upstream_at}"]), {more}
            gateways: [(name: "g", port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
            bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})])), {gateways}])])"#
        );
        let config: Config = config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}"));
        let proxy = Proxy::new(load::loaded(config), Source::memory(), OsNet, Clock::system(), 1);
        let lifetime = proxy.startup().expect("a new proxy can be started");
        let clients_at = SocketAddr::from(([127, 0, 0, 1], bootstrap));
        timeout(PATIENCE, async {
            while proxy.status().virtual_clusters[0].state != kroxy_core::status::ClusterState::Serving {
                tokio::task::yield_now().await;
            }
        })
        .await
        .expect("the cluster comes to serve");
        Self { proxy, lifetime, upstream, clients_at }
    }

    async fn client(&self) -> TcpStream {
        TcpStream::connect(self.clients_at).await.expect("the gateway listens")
    }

    /// A client that has asked something, and its upstream connection, on which the question has arrived.
    async fn pair(&self) -> (TcpStream, TcpStream) {
        let mut client = self.client().await;
        client.write_all(HEARTBEAT).await.expect("the proxy reads");
        let (mut upstream, _) = timeout(PATIENCE, self.upstream.accept()).await.expect("in time").expect("accepts");
        let mut asked = vec![0; HEARTBEAT.len()];
        upstream.read_exact(&mut asked).await.expect("the question arrives");
        assert_eq!(asked, HEARTBEAT);
        (client, upstream)
    }

    async fn end(self) {
        self.proxy.shutdown("the test is over");
        let ended = timeout(PATIENCE, self.lifetime).await.expect("it stops in time");
        assert_eq!(ended, Ok(()));
    }

    /// Waits until the cluster has no connection left, and says how they ended.
    async fn all_gone(&self) -> Vec<(String, u64)> {
        timeout(PATIENCE, async {
            loop {
                let status = self.proxy.status();
                let cluster = &status.virtual_clusters[0];
                if cluster.connections == 0 && cluster.totals.connections_accepted > 0 {
                    return cluster.disconnects.clone().into_iter().collect();
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        })
        .await
        .expect("every connection ends")
    }
}

/// Bytes of memory that this process has at the most used.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).expect("a peak");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<usize>().ok()).expect("a number") << 10
}

/// Reads and throws away so many bytes.
async fn sink(stream: &mut TcpStream, mut bytes: usize) {
    let mut buf = vec![0; 64 << 10];
    while bytes > 0 {
        let n = stream.read(&mut buf).await.expect("readable");
        assert!(n > 0, "{bytes} bytes are missing");
        bytes -= n;
    }
}

async fn pour(stream: &mut TcpStream, head: &[u8], total: usize) {
    stream.write_all(head).await.expect("writable");
    let (zeros, mut left) = (vec![0; 64 << 10], total - head.len());
    while left > 0 {
        let n = left.min(zeros.len());
        stream.write_all(&zeros[..n]).await.expect("writable");
        left -= n;
    }
}

/// A `Produce` request (version 9, acks 1) and a `Fetch` response (version 12) of 100 MiB each.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn frames_of_100_mib_move_in_the_memory_of_small_ones() {
    let world = World::new("").await;
    let (mut client, mut upstream) = world.pair().await;
    upstream.write_all(HEARTBEAT_OK).await.expect("writable");
    sink(&mut client, HEARTBEAT_OK.len()).await;
    let before = peak_memory();

    let total = 100 * MIB;
    let size = u32::try_from(total - 4).expect("fits").to_be_bytes();
    let produce = [&size[..], &[0, 0, 0, 9, 0, 0, 0, 8, 0, 1, b's', 0, 0, 0, 1]].concat();
    tokio::join!(pour(&mut client, &produce, total), sink(&mut upstream, total));
    let answer = [0, 0, 0, 5, 0, 0, 0, 8, 0];
    upstream.write_all(&answer).await.expect("writable");
    sink(&mut client, answer.len()).await;

    // Version 12: replica -1, waits 500 ms for 1 byte and takes all there are, session 0, epoch -1, no topic.
    let limits = [0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0x7f, 0xff, 0xff, 0xff, 0];
    let session = [0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 0];
    let fetch = [&[0, 0, 0, 41, 0, 1, 0, 12, 0, 0, 0, 9, 0, 1, b's', 0][..], &limits, &session].concat();
    client.write_all(&fetch).await.expect("writable");
    sink(&mut upstream, fetch.len()).await;
    let response = [&size[..], &[0, 0, 0, 9]].concat();
    tokio::join!(pour(&mut upstream, &response, total), sink(&mut client, total));

    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY, "{} KiB for 200 MiB", grown >> 10);
    drop((client, upstream));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_never_reads_costs_little_and_slows_nobody() {
    let world = World::new("").await;
    let (client, mut upstream) = world.pair().await;
    let before = peak_memory();
    let mut flood = JoinSet::new();
    flood.spawn(async move {
        let total = 64 * MIB;
        let size = u32::try_from(total - 4).expect("fits").to_be_bytes();
        pour(&mut upstream, &[&size[..], &[0, 0, 0, 7]].concat(), total).await;
    });
    // The flood stands when the sockets' buffers are full; another client is served all the same.
    for _ in 0..50 {
        let (mut other, mut behind) = world.pair().await;
        behind.write_all(HEARTBEAT_OK).await.expect("writable");
        timeout(PATIENCE, sink(&mut other, HEARTBEAT_OK.len())).await.expect("others are served");
    }
    assert!(flood.try_join_next().is_none(), "upstream is held back");
    let grown = peak_memory().saturating_sub(before);
    assert!(grown < MEMORY, "{} KiB kept for a client that does not read", grown >> 10);
    flood.shutdown().await;
    drop(client);
    world.all_gone().await;
    world.end().await;
}

#[tokio::test]
async fn each_gateway_answers_with_its_own_addresses_and_nobody_needs_the_bootstrap_port_first() {
    let (bootstrap, node) = (free_port(), free_port());
    let second = format!(
        r#"(name: "outside", port_per_broker: (bind: "127.0.0.1", advertised_host: "kroxy.example",
        bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})])),"#
    );
    let world = World::with("", &second).await;
    let inside = world.clients_at;
    let outside = SocketAddr::from(([127, 0, 0, 1], bootstrap));
    for (at, is_told) in [(outside, Some(("kroxy.example", node))), (inside, None)] {
        let mut client = TcpStream::connect(at).await.expect("the gateway listens");
        client.write_all(METADATA).await.expect("writable");
        let (mut upstream, _) = timeout(PATIENCE, world.upstream.accept()).await.expect("in time").expect("accepts");
        sink(&mut upstream, METADATA.len()).await;
        let upstream_at = world.upstream.local_addr().expect("bound");
        upstream.write_all(&metadata_ok("127.0.0.1", upstream_at.port())).await.expect("writable");
        let mut size = [0; 4];
        client.read_exact(&mut size).await.expect("an answer");
        let mut answer = vec![0; u32::from_be_bytes(size) as usize];
        client.read_exact(&mut answer).await.expect("all of it");
        let answer = [&size[..], &answer].concat();
        if let Some((host, port)) = is_told {
            assert_eq!(answer, metadata_ok(host, port));
        } else {
            assert_ne!(answer, metadata_ok("127.0.0.1", upstream_at.port()), "upstream's own port");
            assert_eq!(answer.len(), metadata_ok("127.0.0.1", 1).len());
        }
    }
    // The node's address is learned by now: its own port leads there.
    let mut client = TcpStream::connect(("127.0.0.1", node)).await.expect("bound before anything was asked");
    client.write_all(HEARTBEAT).await.expect("writable");
    let (mut upstream, _) = timeout(PATIENCE, world.upstream.accept()).await.expect("in time").expect("accepts");
    sink(&mut upstream, HEARTBEAT.len()).await;
    drop((client, upstream));
    world.end().await;
}

#[tokio::test]
async fn a_client_that_never_writes_is_let_go_and_upstream_never_hears_of_it() {
    let world = World::new(r#"first_request_timeout: "50ms","#).await;
    let mut client = world.client().await;
    let n = timeout(PATIENCE, client.read(&mut [0; 1])).await.expect("closed in time").expect("closed cleanly");
    assert_eq!(n, 0);
    drop(client);
    assert_eq!(world.all_gone().await, [("first_request_timeout".to_owned(), 1)]);
    world.end().await;
}

#[tokio::test]
async fn what_is_no_kafka_is_closed_before_upstream_is_bothered() {
    let world = World::new("").await;
    let hostile: [&[u8]; 6] = [
        &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc],
        b"GET / HTTP/1.1\r\nHost: kafka\r\n\r\n",
        &[0xff; 64],
        &[0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 9],
        &[0, 0, 0, 1, 0],
        &[0, 0, 0, 12, 0x27, 0x10, 0, 0, 0, 0, 0, 7, 0, 1, b's', 0],
    ];
    for bytes in hostile {
        let mut client = world.client().await;
        client.write_all(bytes).await.expect("writable");
        let n = timeout(PATIENCE, client.read(&mut [0; 1])).await.expect("closed in time").unwrap_or(0);
        assert_eq!(n, 0, "{bytes:x?}");
    }
    assert_eq!(world.all_gone().await, [("client_misbehaved".to_owned(), hostile.len() as u64)]);
    assert!(timeout(Duration::ZERO, world.upstream.accept()).await.is_err(), "upstream has heard nothing");
    world.end().await;
}

#[tokio::test]
async fn an_upstream_that_answers_out_of_order_is_cut_off_and_nothing_of_it_passes() {
    let world = World::new("").await;
    let (mut client, mut upstream) = world.pair().await;
    upstream.write_all(&[0, 0, 0, 5, 0, 0, 0, 8, 0]).await.expect("writable");
    let n = timeout(PATIENCE, client.read(&mut [0; 1])).await.expect("closed in time").expect("closed cleanly");
    assert_eq!(n, 0);
    drop((client, upstream));
    assert_eq!(world.all_gone().await, [("upstream_misbehaved".to_owned(), 1)]);
    world.end().await;
}

#[tokio::test]
async fn produce_without_acks_reaches_upstream_though_the_client_has_left() {
    let world = World::new("").await;
    let (mut client, mut upstream) = world.pair().await;
    upstream.write_all(HEARTBEAT_OK).await.expect("writable");
    sink(&mut client, HEARTBEAT_OK.len()).await;
    let total = 4 * MIB;
    let size = u32::try_from(total - 4).expect("fits").to_be_bytes();
    let produce = [&size[..], &[0, 0, 0, 9, 0, 0, 0, 8, 0, 1, b's', 0, 0, 0, 0]].concat();
    let sending = async move {
        pour(&mut client, &produce, total).await;
        client.shutdown().await.expect("closable");
        drop(client);
    };
    tokio::join!(sending, sink(&mut upstream, total));
    assert_eq!(world.all_gone().await, [("client_closed".to_owned(), 1)]);
    world.end().await;
}

#[tokio::test]
async fn a_status_tells_the_time_of_both_sides_and_where_upstream_is() {
    let world = World::new("").await;
    let (mut client, mut upstream) = world.pair().await;
    let server = world.upstream.local_addr().expect("bound").to_string();
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    client.read_exact(&mut answer).await.expect("the answer arrives");
    let status = world.proxy.status();
    let cluster = &status.virtual_clusters[0];
    let (proxy, upstream_took) =
        (cluster.latency.proxy.expect("measured"), cluster.latency.upstream.expect("measured"));
    let most = u64::try_from(PATIENCE.as_micros()).expect("small");
    assert!(proxy.p99_us < most && upstream_took.p99_us < most, "{:?}", cluster.latency);
    let [node] = &cluster.upstream.nodes[..] else { panic!("one server: {:?}", cluster.upstream) };
    assert_eq!((&node.address, node.reachable, node.connections), (&server, Some(true), 1));
    assert!(node.since_unix_ms.is_some_and(|since| since <= status.at_unix_ms));
    drop((client, upstream));

    let World { proxy, lifetime, upstream, clients_at } = world;
    drop(upstream); // from now on it is refused
    let mut client = TcpStream::connect(clients_at).await.expect("the gateway listens");
    // That version 99 of ApiVersions is too new is no answer that it could work with.
    client.write_all(&[0, 0, 0, 12, 0, 18, 0, 99, 0, 0, 0, 7, 0, 1, b's', 0]).await.expect("the proxy reads");
    sink(&mut client, 20).await;
    client.write_all(HEARTBEAT).await.expect("the proxy reads");
    let closed = timeout(PATIENCE, client.read(&mut [0])).await.expect("in time");
    // An orderly end before the first answer would read as a refusal.
    assert_eq!(closed.map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));
    let status = proxy.status();
    let node = &status.virtual_clusters[0].upstream.nodes[0];
    assert_eq!((node.reachable, node.last_error.len()), (Some(false), 1), "{node:?}");
    let text = proxy.metrics().text(&status);
    let unreachable = r#"kroxy_upstream_servers{state="unreachable",virtual_cluster="c"} 1"#;
    assert!(text.contains(unreachable), "{text}");
    proxy.shutdown("the test is over");
    assert_eq!(timeout(PATIENCE, lifetime).await.expect("it stops in time"), Ok(()));
}
