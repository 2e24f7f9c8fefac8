//! What is no TLS, is broken TLS, or is TLS that does nothing but cost.

use crate::{
    peace::ask,
    world::{KIB, MIB, World, closed},
};
use tokio::io::AsyncWriteExt;

/// A TLS record of a type.
fn record(kind: u8, content: &[u8]) -> Vec<u8> {
    [&[kind, 3, 3][..], &u16::try_from(content.len()).expect("small").to_be_bytes(), content].concat()
}

/// Openings of a handshake that no client makes.
fn openings() -> Vec<Vec<u8>> {
    let (change, alert, handshake, data) = (20, 21, 22, 23);
    let noise: Vec<u8> = (0..16_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    vec![
        noise.clone(),
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        vec![0xff; 20_000],
        [&[22, 3, 1, 0xff, 0xff][..], &noise].concat(), // a record longer than any
        record(handshake, &noise),
        record(handshake, &[&[1, 0xff, 0xff, 0xff][..], &noise[..1_000]].concat()), // a message of 16 MiB begins
        [record(handshake, &[&[1, 0x10, 0, 0][..], &noise[..1_000]].concat()), record(handshake, &noise).repeat(70)]
            .concat(),
        record(handshake, &[1]).repeat(4_000), // byte after byte in records of their own
        record(handshake, &[]).repeat(4_000),
        record(alert, &[1, 90]).repeat(4_000), // warnings
        record(change, &[1]).repeat(4_000),
        record(data, &noise),
        // A hello whose extensions are longer than it is.
        record(handshake, &[&[1, 0, 0, 46, 3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0xff, 0xff]].concat()),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_instead_of_a_handshake_ends_its_connection() {
    let world = World::with_tls("tls_garbage", r#"handshake_timeout: "1s""#).await;
    let openings = openings();
    let times = 8;
    let attack = async {
        for _ in 0..times {
            let each = openings.iter().map(async |opening| {
                let mut client = world.client().await;
                let _ = client.write_all(opening).await; // it may be closed in between
                closed(&mut client).await;
            });
            futures_util::future::join_all(each).await;
        }
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < 32 * MIB, "{} KiB", attacked.grown / KIB);
    let ended = world.all_gone().await;
    assert_eq!(ended.get("tls_handshake_failed"), Some(&(times * openings.len() as u64)), "{ended:?}");
    assert!(world.upstream.accepted() < 10, "upstream heard nothing of it");
}

/// TLS 1.3 has no renegotiation. New keys are what is left of it: one side may ask for them as often as it likes, and each time the other
/// has to answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn asking_for_new_keys_again_and_again_buys_nothing() {
    let world = World::with_tls("tls_new_keys", "").await;
    let attack = async {
        let mut clients = Vec::new();
        for _ in 0..20 {
            let mut client = world.tls_client().await.expect("shaken hands");
            ask(&mut client).await.expect("served");
            clients.push(client);
        }
        for _ in 0..200 {
            for client in &mut clients {
                let (_, session) = client.get_mut();
                session.refresh_traffic_keys().expect("TLS 1.3");
                ask(client).await.expect("with new keys as well");
            }
        }
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < 16 * MIB, "{} KiB", attacked.grown / KIB);
    world.all_gone().await;
}
