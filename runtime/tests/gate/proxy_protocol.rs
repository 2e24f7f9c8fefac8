//! A load balancer says whose connections they are.

use super::*;
use kroxy_core::proxy_protocol::{Ends, Header, Version};

const REQUIRED: &str = r#"proxy_protocol: Required(from: ["127.0.0.1"]),"#;
const ALLOWED: &str = r#"proxy_protocol: Allowed(from: ["127.0.0.1"]),"#;

fn ends() -> Ends {
    let address = |text: &str| text.parse().expect("an address");
    Ends { client: address("203.0.113.9:50001"), server: address("198.51.100.1:9092") }
}

fn header(version: Version) -> Vec<u8> {
    Header::Proxied(ends()).to_bytes(version)
}

impl World {
    /// The address of the only client that the status has, and who has told it.
    fn shown(&self) -> (String, Option<String>) {
        let status = self.proxy.status();
        let [client] = status.virtual_clusters[0].clients.as_slice() else { panic!("one client") };
        (client.address.clone(), client.via.clone())
    }
}

#[tokio::test]
async fn a_header_in_any_split_is_taken_off_and_names_the_client() {
    let world = World::new(More { gateway: REQUIRED, ..More::default() }).await;
    for version in [Version::V1, Version::V2] {
        for step in [1, 7, usize::MAX] {
            let mut client = world.client().await;
            client.set_nodelay(true).expect("possible");
            for part in [&header(version)[..], HEARTBEAT].concat().chunks(step.min(1_000)) {
                client.write_all(part).await.expect("the proxy reads");
                tokio::task::yield_now().await;
            }
            let mut upstream = world.asked().await;
            upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
            take(&mut client, HEARTBEAT_OK).await;
            assert_eq!(world.shown(), ("203.0.113.9".to_owned(), Some("127.0.0.1".to_owned())));
            drop((client, upstream));
            world.counts(r#"kroxy_connections{virtual_cluster="c"} 0"#).await;
        }
    }
    world.end().await;
}

#[tokio::test]
async fn where_a_header_may_come_a_client_may_also_come_by_itself() {
    let world = World::new(More { gateway: ALLOWED, ..More::default() }).await;
    let (mut client, mut upstream) = world.pair().await;
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(&mut client, HEARTBEAT_OK).await;
    assert_eq!(world.shown(), ("127.0.0.1".to_owned(), None));
    drop((client, upstream));
    world.counts(r#"kroxy_connections{virtual_cluster="c"} 0"#).await;

    let mut balanced = world.client().await;
    balanced.write_all(&[&header(Version::V2)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
    let upstream = world.asked().await;
    assert_eq!(world.shown().0, "203.0.113.9");
    drop((balanced, upstream));

    // Whoever else claims to be somebody is no load balancer: what it says is no Kafka.
    let mut stranger = world.client_at([127, 0, 0, 2]).await;
    stranger.write_all(&header(Version::V1)).await.expect("the proxy reads");
    assert!(is_closed(&mut stranger).await);
    world.ended("client_misbehaved", 1).await;
    world.end().await;
}

#[tokio::test]
async fn a_health_check_is_a_client_of_its_own() {
    let world = World::new(More { gateway: REQUIRED, ..More::default() }).await;
    let mut check = world.client().await;
    check.write_all(&[&Header::Local.to_bytes(Version::V2)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
    let mut upstream = world.asked().await;
    assert_eq!(world.shown(), ("127.0.0.1".to_owned(), None));
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(&mut check, HEARTBEAT_OK).await;
    drop(check);
    world.ended("client_closed", 1).await;
    // One that only connects.
    drop(world.client().await);
    world.ended("client_closed", 2).await;
    world.end().await;
}

#[tokio::test]
async fn without_a_header_from_the_right_address_nobody_comes_in() {
    let world = World::new(More { gateway: REQUIRED, ..More::default() }).await;
    let mut stranger = world.client_at([127, 0, 0, 2]).await;
    assert!(is_closed(&mut stranger).await, "before it has said a word");
    world.ended("proxy_protocol", 1).await;
    for (n, said) in (2..).zip([HEARTBEAT, b"PROXY TCP4 oops\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x31\x11\x00\x00"]) {
        let mut client = world.client().await;
        client.write_all(said).await.expect("the proxy reads");
        assert!(is_closed(&mut client).await);
        world.ended("proxy_protocol", n).await;
    }
    // A reload that takes another load balancer in leaves those that are there alone.
    let mut client = world.client().await;
    client.write_all(&[&header(Version::V1)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
    let mut upstream = world.asked().await;
    world.reload(More { gateway: r#"proxy_protocol: Required(from: ["127.0.0.2"]),"#, ..More::default() }).await;
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(&mut client, HEARTBEAT_OK).await;
    let mut newer = world.client_at([127, 0, 0, 2]).await;
    newer.write_all(&[&header(Version::V1)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
    let _upstream = world.asked().await;
    let mut older = world.client().await;
    assert!(is_closed(&mut older).await);
    drop((client, newer));
    world.end().await;
}

/// Files of a gateway for `kafka.example`, and what a client needs to trust it.
struct Tls {
    folder: Folder,
    authority: Authority,
}

impl Tls {
    fn new() -> Self {
        let (folder, authority) = (Folder::new(), Authority::new("servers"));
        let made = authority.sign(&["c.kafka.example", "*.c.kafka.example"]);
        folder.write("a.pem", &made.chain);
        folder.write("a.key", &made.key);
        Self { folder, authority }
    }

    /// The fields of the gateway.
    fn fields(&self, more: &str) -> String {
        let folder = self.folder.path("");
        format!(
            r#"tls: (certificates: [(chain: "{folder}a.pem", key: "{folder}a.key")], handshake_timeout: "300ms"), {more}"#
        )
    }

    async fn connect(&self, mut stream: TcpStream, first: &[u8]) -> io::Result<TlsStream<TcpStream>> {
        stream.write_all(first).await?;
        shake_hands(stream, &self.authority, "c.kafka.example").await
    }
}

#[tokio::test]
async fn the_header_comes_before_tls_and_has_the_time_of_a_handshake() {
    let tls = Tls::new();
    let world = World::new(More { gateway: &tls.fields(ALLOWED), ..More::default() }).await;
    for first in [header(Version::V1), header(Version::V2), Vec::new()] {
        let mut client = tls.connect(world.client().await, &first).await.expect("served");
        client.write_all(HEARTBEAT).await.expect("writable");
        client.flush().await.expect("writable");
        let upstream = world.asked().await;
        let address = if first.is_empty() { "127.0.0.1" } else { "203.0.113.9" };
        assert_eq!(world.shown().0, address);
        drop((client, upstream));
        world.counts(r#"kroxy_connections{virtual_cluster="c"} 0"#).await;
    }
    let mut slow = world.client().await;
    slow.write_all(b"PROXY TCP4 203.0").await.expect("the proxy reads");
    assert!(is_closed(&mut slow).await);
    world.ended("proxy_protocol", 1).await;
    world.end().await;
}

#[tokio::test]
async fn the_header_comes_before_a_server_name() {
    let tls = Tls::new();
    let sni = r#"sni: (bind: "{at}", bootstrap: "{cluster}.kafka.example:9092", advertised: "b{node}.{cluster}.kafka.example:9092"),"#;
    let fields = tls.fields(&format!("{REQUIRED} {sni}"));
    let world = World::new(More { gateway: &fields, ..More::default() }).await;
    for version in [Version::V1, Version::V2] {
        let mut client = tls.connect(world.client().await, &header(version)).await.expect("served");
        client.write_all(HEARTBEAT).await.expect("writable");
        client.flush().await.expect("writable");
        let upstream = world.asked().await;
        assert_eq!(world.shown(), ("203.0.113.9".to_owned(), Some("127.0.0.1".to_owned())));
        drop((client, upstream));
        world.counts(r#"kroxy_connections{virtual_cluster="c"} 0"#).await;
    }
    assert!(tls.connect(world.client().await, b"").await.is_err(), "a hello is no header");
    world.counts(r#"kroxy_sni_refused_total{cause="proxy_protocol"} 1"#).await;
    world.end().await;
}

#[tokio::test]
async fn upstream_is_told_whose_connection_it_is() {
    for (field, version) in [("V1", Version::V1), ("V2", Version::V2)] {
        let upstream = format!("proxy_protocol: {field},");
        let world = World::new(More { upstream: &upstream, gateway: ALLOWED, ..More::default() }).await;
        let mut balanced = world.client().await;
        balanced.write_all(&[&header(Version::V1)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
        let mut told = world.accept().await;
        take(&mut told, &[&header(version)[..], HEARTBEAT].concat()).await;

        let mut client = world.client().await;
        client.write_all(HEARTBEAT).await.expect("the proxy reads");
        let ends = Ends { client: client.local_addr().expect("connected"), server: world.clients_at };
        let mut told = world.accept().await;
        take(&mut told, &[&Header::Proxied(ends).to_bytes(version)[..], HEARTBEAT].concat()).await;

        // What kroxy asks itself is nobody's connection: here, where the node is that a client wants.
        let node = SocketAddr::from(([127, 0, 0, 1], world.node_port));
        let mut lost = TcpStream::connect(node).await.expect("the gateway listens");
        lost.write_all(&[&header(Version::V1)[..], HEARTBEAT].concat()).await.expect("the proxy reads");
        let mut own = world.accept().await;
        take(&mut own, &Header::Local.to_bytes(version)).await;
        drop((balanced, client, lost, own));
        world.end().await;
    }
}
