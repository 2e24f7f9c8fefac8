//! Lengths and counts that no message can have, from both sides.

use crate::{
    frames::framed,
    upstream::{BOMBS, bomb},
    world::{KIB, MIB, World, closed},
};
use kroxy_core::api::{APIS, Api};
use tokio::io::AsyncWriteExt;

/// Bytes by which the program may grow whatever is announced: buffers of connections that are there at the same time.
const MEMORY: usize = 16 * MIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lengths_that_no_request_has_are_refused_and_long_ones_cost_nothing_before_they_are_there() {
    let world = World::new("length_bombs", "").await;
    let impossible = [-1, i32::MIN, 0, 9, (100 << 20) + 1, i32::MAX];
    let attack = async {
        for size in impossible.iter().cycle().take(1_200) {
            let mut client = world.client().await;
            let frame = [&size.to_be_bytes()[..], &[0, 12, 0, 4, 0, 0, 0, 7, 0, 1, b's', 0]].concat();
            let _ = client.write_all(&frame).await; // it may have been closed by its first bytes
            assert_eq!(closed(&mut client).await, 0);
        }
        let mut kept = Vec::new();
        for _ in 0..300 {
            let mut client = world.client().await;
            // 100 MiB of `Produce` and of `Heartbeat` are announced, and their heads are there.
            client.write_all(&[6, 0x40, 0, 0, 0, 0, 0, 9, 0, 0, 0, 8, 0, 1, b's', 0]).await.expect("read");
            kept.push(client);
            let mut client = world.client().await;
            client.write_all(&[6, 0x40, 0, 0, 0, 12, 0, 4, 0, 0, 0, 7, 0, 1, b's', 0]).await.expect("read");
            kept.push(client);
        }
        kept
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < MEMORY, "{} KiB", attacked.grown / KIB);
    drop(attacked.result);
    let ended = world.all_gone().await;
    assert_eq!(ended.get("client_misbehaved"), Some(&1_800), "{ended:?}");
}

/// The head of a request, and a body that is nothing but a bomb.
fn request(api: &Api, version: i16, which: usize) -> Vec<u8> {
    let mut frame = [api.key.0.to_be_bytes(), version.to_be_bytes()].concat();
    frame.extend_from_slice(&u32::try_from(which).expect("small").to_be_bytes()); // the correlation id chooses upstream's bomb
    frame.extend_from_slice(&[0, 1, b's']);
    frame.extend_from_slice(if api.is_flexible(version) { &[0] } else { &[] });
    frame.extend(bomb(which, 64));
    framed(&[&frame])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_two_thousand_million_cost_nothing_in_any_api_in_either_direction() {
    let world = World::new("count_bombs", "").await;
    let attack = async {
        let mut sent = 0;
        for api in &APIS {
            for version in api.min..=api.max {
                for which in 0..BOMBS.len() {
                    let mut client = world.client().await;
                    let _ = client.write_all(&request(api, version, which)).await; // it may be closed by its head
                    let _ = client.shutdown().await; // likewise
                    closed(&mut client).await;
                    sent += 1;
                }
            }
        }
        sent
    };
    let attacked = world.attacked(attack).await;
    let ended = world.all_gone().await;
    assert!(attacked.result > 500);
    assert!(attacked.grown < MEMORY, "{} KiB for {} bombs", attacked.grown / KIB, attacked.result);
    for cause in ["client_misbehaved", "upstream_misbehaved", "client_closed"] {
        assert!(ended.get(cause).is_some_and(|n| *n > 20), "{cause}: {ended:?}");
    }
}
