//! How much of the proxy one client, one address, one principal and all together may take.

use super::*;
use kroxy_core::proxy_protocol::{Ends, Header, Version};
use std::time::Instant;
use tokio::task::JoinSet;

fn limits(text: &str) -> String {
    format!("limits: ({text}),")
}

impl World {
    async fn limited(text: &str) -> Self {
        Self::new(More { cluster: &limits(text), ..More::default() }).await
    }

    async fn pair_at(&self, from: [u8; 4]) -> (TcpStream, TcpStream) {
        let mut client = self.client_at(from).await;
        client.write_all(HEARTBEAT).await.expect("the proxy reads");
        (client, self.asked().await)
    }

    /// Waits until so many clients are connected.
    async fn has(&self, connections: u32) {
        self.counts(&format!("kroxy_connections{{virtual_cluster=\"c\"}} {connections}")).await;
    }
}

/// Upstream answers, and the client has it.
async fn answered(client: &mut TcpStream, upstream: &mut TcpStream) {
    upstream.write_all(HEARTBEAT_OK).await.expect("the proxy reads");
    take(client, HEARTBEAT_OK).await;
}

#[tokio::test]
async fn one_connection_more_than_an_address_may_have_is_closed_and_no_other_notices() {
    let world = World::limited("max_connections_per_address: 2").await;
    let (mut one, mut behind) = world.pair_at([127, 0, 0, 2]).await;
    let two = world.pair_at([127, 0, 0, 2]).await;
    assert!(is_closed(&mut world.client_at([127, 0, 0, 2]).await).await);
    world.reached("connections_per_address", 1).await;
    world.ended("connections_per_address", 1).await;
    let other = world.pair_at([127, 0, 0, 3]).await;
    answered(&mut one, &mut behind).await;

    // A place that is free again is taken, and a reload makes more of them.
    drop(two);
    world.has(2).await;
    let two = world.pair_at([127, 0, 0, 2]).await;
    let more = limits("max_connections_per_address: 3");
    world.reload(More { cluster: &more, ..More::default() }).await;
    let three = world.pair_at([127, 0, 0, 2]).await;
    assert!(is_closed(&mut world.client_at([127, 0, 0, 2]).await).await);
    drop((one, two, three, other));
    world.end().await;
}

#[tokio::test]
async fn behind_a_load_balancer_it_is_the_clients_address_that_counts() {
    let cluster = limits("max_connections_per_address: 1");
    let gateway = r#"proxy_protocol: Required(from: ["127.0.0.1"]),"#;
    let world = World::new(More { cluster: &cluster, gateway, ..More::default() }).await;
    let header = |client: &str| {
        let ends = Ends { client: client.parse().expect("one"), server: world.clients_at };
        [&Header::Proxied(ends).to_bytes(Version::V2)[..], HEARTBEAT].concat()
    };
    let mut all = Vec::new();
    for client in ["203.0.113.9:1", "203.0.113.10:1", "[2001:db8::1]:1"] {
        let mut stream = world.client().await;
        stream.write_all(&header(client)).await.expect("the proxy reads");
        all.push((stream, world.asked().await));
    }
    for client in ["203.0.113.9:2", "[2001:db8::ffff:2]:1"] {
        let mut stream = world.client().await;
        stream.write_all(&header(client)).await.expect("the proxy reads");
        assert!(is_closed(&mut stream).await, "{client}");
    }
    world.reached("connections_per_address", 2).await;
    drop(all);
    world.end().await;
}

#[tokio::test]
async fn an_address_that_connects_too_fast_is_closed_and_others_are_not() {
    let world = World::limited("max_connection_rate_per_address: 1").await;
    let began = Instant::now();
    let one = world.pair_at([127, 0, 0, 2]).await;
    let mut fast = world.client_at([127, 0, 0, 2]).await;
    let closed = is_closed(&mut fast).await;
    // On a machine so slow that the second was over, it was not too fast.
    assert!(closed || began.elapsed() >= Duration::from_secs(1));
    if closed {
        world.reached("connection_rate_per_address", 1).await;
    }
    let other = world.pair_at([127, 0, 0, 3]).await;
    drop((one, other));
    world.end().await;
}

#[tokio::test]
async fn connections_that_come_faster_than_they_may_wait_and_all_are_served() {
    let world = World::limited("max_connection_rate: 2").await;
    let began = Instant::now();
    let mut all = Vec::new();
    for _ in 0..4 {
        all.push(world.pair().await);
    }
    assert!(
        began.elapsed() >= Duration::from_millis(900),
        "two at once, and one each half second: {:?}",
        began.elapsed()
    );
    for (client, upstream) in &mut all {
        answered(client, upstream).await;
    }
    // On a machine that is slow itself, one of them may have been in time.
    let name = "kroxy_limit_reached_total{limit=\"connection_rate\",virtual_cluster=\"c\"}";
    world.counts_where(name, |times| (1..=2).contains(&times)).await;
    drop(all);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_asks_too_fast_is_read_slower_and_gets_every_answer() {
    let world = World::limited("max_request_rate: 10").await;
    let (mut client, mut upstream) = world.pair().await;
    let (mut other, mut behind) = world.pair().await;
    let began = Instant::now();
    client.write_all(&HEARTBEAT.repeat(14)).await.expect("the proxy reads");
    take(&mut upstream, &HEARTBEAT.repeat(14)).await; // they came together, and were taken together
    client.write_all(HEARTBEAT).await.expect("the proxy reads");
    answered(&mut other, &mut behind).await;
    take(&mut upstream, HEARTBEAT).await;
    // The first 10 were free of charge.
    assert!(began.elapsed() >= Duration::from_millis(400), "{:?}", began.elapsed());
    upstream.write_all(&HEARTBEAT_OK.repeat(16)).await.expect("the proxy reads");
    take(&mut client, &HEARTBEAT_OK.repeat(16)).await;
    // Once or, where the machine is fast, once more for the last one.
    let name = "kroxy_limit_reached_total{limit=\"request_rate\",virtual_cluster=\"c\"}";
    world.counts_where(name, |times| (1..=2).contains(&times)).await;

    // A limit that is lifted is lifted for those who are there.
    world.reload(More::default()).await;
    let many = HEARTBEAT.repeat(50);
    for _ in 0..4 {
        client.write_all(&many).await.expect("the proxy reads");
        take(&mut upstream, &many).await;
    }
    drop((client, other));
    world.end().await;
}

/// Authenticates itself as this user, and upstream believes it.
async fn authenticated(world: &World, user: &str, open: &mut JoinSet<()>) -> TcpStream {
    let mut client = world.client().await;
    // SaslHandshake version 1, and SaslAuthenticate version 0.
    let handshake = framed(&[&[0, 17, 0, 1, 0, 0, 0, 1, 0, 1, b's', 0, 5], b"PLAIN"]);
    client.write_all(&handshake).await.expect("the proxy reads");
    let mut upstream = world.accept().await;
    take(&mut upstream, &handshake).await;
    let mechanisms = framed(&[&[0, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 5], b"PLAIN"]);
    upstream.write_all(&mechanisms).await.expect("the proxy reads");
    take(&mut client, &mechanisms).await;
    let token = format!("\0{user}\0secret");
    let token = framed(&[&[0, 36, 0, 0, 0, 0, 0, 2, 0, 1, b's'], &framed(&[token.as_bytes()])]);
    client.write_all(&token).await.expect("the proxy reads");
    take(&mut upstream, &token).await;
    let welcome = framed(&[&[0, 0, 0, 2, 0, 0, 0xff, 0xff, 0, 0, 0, 0]]);
    upstream.write_all(&welcome).await.expect("the proxy reads");
    take(&mut client, &welcome).await;
    open.spawn(async move {
        let _ = upstream.read(&mut [0; 1]).await; // until the proxy closes it
    });
    client
}

#[tokio::test]
async fn one_connection_more_than_a_principal_may_have_is_closed_once_it_is_known_whose_it_is() {
    let (world, mut open) = (World::limited("max_connections_per_principal: 1").await, JoinSet::new());
    let alice = authenticated(&world, "alice", &mut open).await;
    let bob = authenticated(&world, "bob", &mut open).await;
    let mut again = authenticated(&world, "alice", &mut open).await;
    assert!(is_closed(&mut again).await);
    world.reached("connections_per_principal", 1).await;
    world.has(2).await;
    drop(alice);
    world.has(1).await;
    let alice = authenticated(&world, "alice", &mut open).await;
    world.has(2).await;
    drop((alice, bob));
    world.end().await;
}

#[tokio::test]
async fn time_limits_are_counted_as_limits() {
    let world = World::new(More { cluster: r#"first_request_timeout: "50ms","#, ..More::default() }).await;
    assert!(is_closed(&mut world.client().await).await);
    world.reached("first_request_timeout", 1).await;
    world.end().await;
}

#[tokio::test]
async fn a_later_request_that_does_not_go_on_ends_its_connection_and_no_other() {
    let world = World::new(More { cluster: r#"unfinished_request_timeout: "50ms","#, ..More::default() }).await;
    let (mut other, mut others) = world.pair().await;
    for begun in [&HEARTBEAT[..9], &HEARTBEAT[..HEARTBEAT.len() - 1]] {
        let (mut client, mut upstream) = world.pair().await;
        answered(&mut client, &mut upstream).await;
        client.write_all(begun).await.expect("the proxy reads");
        assert!(is_closed(&mut client).await);
    }
    world.reached("unfinished_request_timeout", 2).await;
    world.ended("unfinished_request_timeout", 2).await;
    answered(&mut other, &mut others).await;
    world.end().await;
}

#[tokio::test]
async fn a_client_that_is_paused_by_its_rate_inside_a_request_is_not_late() {
    let cluster = r#"unfinished_request_timeout: "300ms", limits: (max_request_rate: 1),"#;
    let world = World::new(More { cluster, ..More::default() }).await;
    let (mut client, mut upstream) = world.pair().await;
    // The second question is above the rate, and the third has to wait with all but its first bytes.
    client.write_all(&[HEARTBEAT, HEARTBEAT, &HEARTBEAT[..9]].concat()).await.expect("the proxy reads");
    take(&mut upstream, &[HEARTBEAT, HEARTBEAT].concat()).await;
    client.write_all(&HEARTBEAT[9..]).await.expect("it is not read yet");
    take(&mut upstream, HEARTBEAT).await;
    world.end().await;
}

/// An answer to `Metadata` version 1 with topics of such long names, so many of them; its broker is `b` at port 9092.
fn metadata(topics: u32) -> Vec<u8> {
    let mut body = vec![0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 1, b'b'];
    body.extend_from_slice(&9_092_i32.to_be_bytes());
    body.extend_from_slice(&[0xff, 0xff, 0, 0, 0, 0]);
    body.extend_from_slice(&topics.to_be_bytes());
    for n in 0..topics {
        let name = format!("{n:0>249}");
        body.extend_from_slice(&[0, 0, 0, 249]);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&[0, 0, 0, 0, 0]);
    }
    framed(&[&body])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn responses_that_find_no_room_wait_with_upstream_while_small_ones_pass() {
    let world = World::limited(r#"max_buffered: "16MiB""#).await;
    let large = metadata(28_000); // 7 MB, and twice that
    let ask = async || {
        let mut client = world.client().await;
        client.write_all(frames::METADATA).await.expect("the proxy reads");
        let mut upstream = world.accept().await;
        take(&mut upstream, frames::METADATA).await;
        (client, upstream)
    };
    let (mut first, mut behind) = ask().await;
    behind.write_all(&large).await.expect("the proxy reads all of it"); // and the client takes nothing
    let (mut second, mut waits) = ask().await;
    let mut pouring = Box::pin(waits.write_all(&large));
    tokio::select! {
        biased;
        poured = &mut pouring => panic!("where to? {poured:?}"),
        () = world.reached("buffered", 1) => {}
    }
    let (mut small, mut served) = world.pair().await;
    answered(&mut small, &mut served).await;

    let mut answer = vec![0; large.len() + "127.0.0.1".len() - "b".len()];
    timeout(PATIENCE, first.read_exact(&mut answer)).await.expect("in time").expect("all of it");
    let (poured, read) = tokio::join!(pouring, timeout(PATIENCE, second.read_exact(&mut answer)));
    poured.expect("it has its turn");
    read.expect("in time").expect("all of it");
    assert!(answer.windows(9).any(|window| window == b"127.0.0.1"), "rewritten as ever");
    drop((first, behind, second, small, served));
    world.end().await;
}
