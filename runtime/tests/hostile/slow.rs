//! Clients that take their time, to hold what others need.

use crate::{
    crowds::crowd,
    frames::HEARTBEAT,
    peace::ask,
    world::{KIB, MIB, World, closed},
};
use std::time::Duration;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    task::JoinSet,
    time::{Instant, sleep},
};

const CROWD: usize = 300;

/// Sends byte after byte, each in time for any limit on silence, until the proxy has had enough; says how long it had not.
async fn dribble(mut stream: TcpStream, bytes: &'static [u8], every: Duration) -> Duration {
    let began = Instant::now();
    for byte in bytes.iter().cycle() {
        if stream.write_all(&[*byte]).await.is_err() {
            return began.elapsed();
        }
        tokio::select! {
            () = sleep(every) => {}
            _ = stream.readable() => {
                closed(&mut stream).await;
                return began.elapsed();
            }
        }
    }
    unreachable!("it repeats itself")
}

async fn dribble_all(world: &World, bytes: &'static [u8], every: Duration) -> Vec<Duration> {
    let mut clients = JoinSet::new();
    for _ in 0..CROWD {
        clients.spawn(dribble(world.client().await, bytes, every));
    }
    clients.join_all().await
}

/// The start of a `ClientHello` in a record that is far longer than what is ever sent of it.
const HELLO: &[u8] = &[0x16, 0x03, 0x01, 0x3f, 0xff, 0x01, 0x00, 0x3f, 0xfb, 0x03, 0x03];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handshake_that_dribbles_is_cut_off_at_its_time() {
    let world = World::with_tls("slow_handshakes", r#"handshake_timeout: "1s""#).await;
    let attacked = world.attacked(dribble_all(&world, HELLO, Duration::from_millis(100))).await;
    let shortest = attacked.result.iter().min().expect("many");
    assert!(*shortest >= Duration::from_millis(900), "{shortest:?}: it had its time");
    let ended = world.all_gone().await;
    assert_eq!(ended.get("tls_handshake_failed"), Some(&(CROWD as u64)), "{ended:?}");
    assert!(attacked.grown < CROWD * 64 * KIB, "{} KiB", attacked.grown / KIB);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_request_that_dribbles_is_cut_off_at_its_time_and_upstream_hears_nothing() {
    let world = World::new("slow_first_requests", r#"first_request_timeout: "1s","#).await;
    let attacked = world.attacked(dribble_all(&world, HEARTBEAT, Duration::from_millis(100))).await;
    assert_eq!(attacked.result.len(), CROWD);
    let ended = world.all_gone().await;
    assert_eq!(ended.get("first_request_timeout"), Some(&(CROWD as u64)), "{ended:?}");
    assert!(world.upstream.accepted() < 10, "only for those who behave");
    assert!(attacked.grown < 16 * MIB, "{} KiB", attacked.grown / KIB);
}

/// `ApiVersions` version 3 of 64 KiB, without its end.
fn half_a_request() -> Vec<u8> {
    [&[0, 0, 0xff, 0xf0, 0, 18, 0, 3, 0, 0, 0, 1, 0, 1, b's', 0][..], &[0; 60 * KIB]].concat()
}

/// Requests that are read whole have to wait in memory, so they are the dearest ones to begin and never to end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_never_end_cost_no_more_than_what_was_sent() {
    let world = World::new("half_requests", "").await;
    // And `Produce` version 9 of 100 MiB, without its end.
    let collected = half_a_request();
    let streamed = [&[6, 0x40, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 1, b's', 0, 0, 0, 1][..], &[0; 60 * KIB]].concat();
    let attack = async {
        let mut kept = Vec::new();
        for begun in [&collected, &streamed] {
            for _ in 0..CROWD / 2 {
                let mut client = world.client().await;
                client.write_all(begun).await.expect("read");
                kept.push(client);
            }
        }
        kept
    };
    let attacked = world.attacked(attack).await;
    let sent = CROWD / 2 * collected.len();
    assert!(attacked.grown < 2 * sent + 16 * MIB, "{} KiB for {} KiB", attacked.grown / KIB, sent / KIB);
    drop(attacked.result);
    let ended = world.all_gone().await;
    assert_eq!(ended.get("client_misbehaved"), Some(&(CROWD as u64)), "closed inside a request: {ended:?}");
}

/// On connections that have asked before, where no other limit of time holds: as many as there is room for, whoever they are, and each
/// for its time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_requests_on_old_connections_share_what_the_process_has_for_them_and_end_in_their_time() {
    let count = crowd(2 * CROWD, 2);
    let world = World::configured(
        "half_requests_old",
        r#"max_unfinished_requests: "4MiB","#,
        r#"unfinished_request_timeout: "3s","#,
    )
    .await;
    let half = half_a_request();
    let attack = async {
        let mut kept = Vec::new();
        for _ in 0..count {
            let mut client = world.client().await;
            ask(&mut client).await.expect("served");
            client.write_all(&half).await.expect("read");
            kept.push(client);
        }
        for mut client in kept {
            closed(&mut client).await;
        }
    };
    let attacked = world.attacked(attack).await;
    let ended = world.all_gone().await;
    let of = |cause: &str| ended.get(cause).copied().unwrap_or_default();
    let (without_room, late) = (of("unfinished_requests"), of("unfinished_request_timeout"));
    assert_eq!(without_room + late, count as u64, "{ended:?}");
    assert!(late > 0 && (late > 64 || without_room > 0), "there is room for 64 at a time: {ended:?}");
    assert!(attacked.grown < 20 * MIB, "{} KiB for {} KiB", attacked.grown / KIB, count * half.len() / KIB);
    for limit in ["unfinished_requests", "unfinished_request_timeout"] {
        let counted = format!("kroxy_limit_reached_total{{limit=\"{limit}\",virtual_cluster=\"c\"}} {}", of(limit));
        assert!(world.metrics().contains(&counted), "{counted} is not in\n{}", world.metrics());
    }
}
