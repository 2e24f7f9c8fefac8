//! Very many connections: that stay and do nothing, and that come and go as fast as they can.

use crate::{
    figures::{descriptors, say},
    peace::ask,
    world::{KIB, MIB, World},
};
use std::collections::BTreeMap;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    task::JoinSet,
};

/// What a service with the usual limits is asked for.
const CROWD: usize = 10_000;

/// Connections that are being made at the same time: far fewer than may wait to be accepted.
const AT_ONCE: usize = 256;

/// Descriptors that a process needs for itself and for those who behave.
const SPARE: usize = 256;

/// Bytes of memory that one idle connection may cost, both its sockets' buffers in the kernel aside. Not optimised, its task takes about
/// twice what it takes in a release.
const PLAIN_EACH: usize = 24 * KIB;
const TLS_EACH: usize = 64 * KIB;

/// As many as descriptors allow, where this process and the proxy need `each` for one.
pub(crate) fn crowd(most: usize, each: usize) -> usize {
    let allowed = descriptors().saturating_sub(SPARE) / each;
    if allowed < most {
        say(&format!("hostile: no more than {allowed} connections instead of {most}: raise `ulimit -n`"));
    }
    most.min(allowed)
}

async fn gather<T: Send + 'static>(count: usize, one: impl AsyncFn() -> T) -> Vec<T> {
    let mut all = Vec::with_capacity(count);
    while all.len() < count {
        let some = (count - all.len()).min(AT_ONCE);
        all.extend(futures_util::future::join_all((0..some).map(|_| one())).await);
    }
    all
}

/// So many connections that have asked once, and stay and do nothing: each costs less than `most` bytes. Says how they ended.
async fn stay<S>(
    world: &World,
    what: &str,
    count: usize,
    most: usize,
    connect: impl AsyncFn() -> S,
) -> BTreeMap<String, u64>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let attack = async {
        gather(count, async || {
            let mut client = connect().await;
            ask(&mut client).await.expect("served");
            client
        })
        .await
    };
    let attacked = world.attacked(attack).await;
    world.has_connected(count).await; // nobody was sent away
    let each = attacked.grown / count;
    say(&format!("hostile: {what}: {count} connections, {:.1} KiB each", each as f64 / KIB as f64));
    assert!(each < most, "{each} bytes for each of {count}");
    drop(attacked.result);
    world.all_gone().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_idle_connections_cost_little() {
    let world = World::new("idle", "limits: (max_connections: 20000),").await;
    let count = crowd(CROWD, 2);
    assert!(world.process.room() >= 2 * count, "the table of descriptors would grow while others wait");
    let ended = stay(&world, "idle", count, PLAIN_EACH, async || world.client().await).await;
    assert!(ended["client_closed"] >= count as u64, "{ended:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_with_tls_cost_little() {
    let world = World::with_tls("idle_tls", "").await;
    let connect = async || world.tls_client().await.expect("shaken hands");
    stay(&world, "idle_tls", crowd(CROWD / 10, 2), TLS_EACH, connect).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_of_connections_that_are_reset_leaves_nothing_behind() {
    let world = World::new("storm", "").await;
    let count = 5_000;
    let attack = async {
        let mut made = 0;
        while made < count {
            let connecting = (0..AT_ONCE).map(|_| TcpStream::connect(world.way.at));
            for stream in futures_util::future::join_all(connecting).await.into_iter().flatten() {
                socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).expect("supported");
                made += 1; // dropped: it is reset
            }
        }
        made
    };
    let attacked = world.attacked(attack).await;
    let ended = world.all_gone().await;
    let totals = &world.status()["totals"];
    assert_eq!(totals["connections_accepted"], totals["connections_closed"], "{ended:?}");
    assert!(attacked.result >= count);
    assert!(attacked.grown < 16 * MIB, "{} KiB", attacked.grown / KIB);
    assert!(world.upstream.accepted() < 10, "upstream heard nothing of it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn above_the_limit_of_connections_new_ones_are_closed_and_room_is_used_again() {
    let world = World::new("full", "limits: (max_connections: 40),").await;
    // The client that behaves has one of them, and a second one at the end.
    let attack = async {
        world.has_connected(1).await;
        let mut kept = Vec::new();
        for _ in 0..38 {
            let mut client = world.client().await;
            ask(&mut client).await.expect("served");
            kept.push(client);
        }
        let mut asking: JoinSet<_> = JoinSet::new();
        for _ in 0..500 {
            let mut client = world.client().await;
            // Whoever is served stays: one may, and nobody gets room by another's leaving.
            asking.spawn(async move { ask(&mut client).await.map(|()| client) });
        }
        let mut refused = 0;
        while let Some(answered) = asking.join_next().await {
            match answered.expect("no panic") {
                Ok(client) => kept.push(client),
                Err(_) => refused += 1,
            }
        }
        drop(kept);
        world.has_connected(1).await;
        refused
    };
    let attacked = world.attacked(attack).await;
    assert!((499..=500).contains(&attacked.result), "{} of 500 were sent away", attacked.result);
    world.all_gone().await;
}
