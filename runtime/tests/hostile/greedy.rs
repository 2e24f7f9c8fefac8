//! Clients that ask for far more than they take.

use crate::{
    kroxy::PATIENCE,
    upstream::FETCHED,
    world::{KIB, MIB, World},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// `Fetch` version 12 with correlation id 9: replica -1, waits 500 ms for 1 byte and takes all there are, session 0, epoch -1, no topic.
const FETCH: &[u8] = &[
    0, 0, 0, 41, 0, 1, 0, 12, 0, 0, 0, 9, 0, 1, b's', 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0x7f, 0xff,
    0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 0,
];

const CLIENTS: usize = 24;

/// Bytes that are kept for a client that does not read: what waits for it at the most, and what is read on top.
const EACH: usize = 512 * KIB;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_100_mib_are_kept_waiting_in_little_memory_and_lose_nothing() {
    let world = World::new("never_reads", "").await;
    let attack = async {
        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut client = world.client().await;
            for _ in 0..8 {
                client.write_all(FETCH).await.expect("read");
            }
            clients.push(client);
        }
        // One of them takes all that it asked for first, at last.
        let (first, rest) = clients.split_first_mut().expect("some");
        take(first).await;
        assert!(!rest.is_empty());
        clients
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < CLIENTS * EACH + 4 * MIB, "{} KiB", attacked.grown / KIB);
    assert_eq!(world.status()["connections"], CLIENTS);
    drop(attacked.result);
    world.all_gone().await;
}

async fn take(client: &mut TcpStream) {
    let mut buffer = vec![0; 64 * KIB];
    let mut left = FETCHED;
    while left > 0 {
        let most = left.min(buffer.len());
        let read = timeout(PATIENCE, client.read(&mut buffer[..most])).await.expect("in time").expect("connected");
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}
