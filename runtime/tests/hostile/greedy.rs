//! Clients that ask for far more than they take.

use crate::{
    kroxy::PATIENCE,
    upstream::FETCHED,
    world::{KIB, MIB, World},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

/// `Fetch` version 12 with correlation id 9: replica -1, waits 500 ms for 1 byte and takes all there are, session 0, epoch -1, no topic.
const FETCH: &[u8] = &[
    0, 0, 0, 41, 0, 1, 0, 12, 0, 0, 0, 9, 0, 1, b's', 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 1, 0xf4, 0, 0, 0, 1, 0x7f, 0xff,
    0xff, 0xff, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 1, 1, 1, 0,
];

const CLIENTS: usize = 24;

/// How long the one that reads slowly rests between parts of a response.
const PACE: Duration = Duration::from_millis(100);

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
        take(first, FETCHED).await;
        assert!(!rest.is_empty());
        clients
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < CLIENTS * EACH + 4 * MIB, "{} KiB", attacked.grown / KIB);
    world.has_connected(CLIENTS).await;
    drop(attacked.result);
    world.all_gone().await;
}

async fn take(client: &mut TcpStream, mut left: usize) {
    let mut buffer = vec![0; 64 * KIB];
    while left > 0 {
        let most = left.min(buffer.len());
        let read = timeout(PATIENCE, client.read(&mut buffer[..most])).await.expect("in time").expect("connected");
        assert!(read > 0, "{left} bytes are missing");
        left -= read;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_never_read_are_closed_in_their_time_and_one_that_reads_slowly_is_not() {
    let world = World::new("never_reads_for_long", r#"unread_response_timeout: "3s","#).await;
    let never_read = CLIENTS as u64;
    let attack = async {
        let mut slow = world.client().await;
        let mut clients = Vec::new();
        slow.write_all(FETCH).await.expect("read");
        for _ in 0..CLIENTS {
            let mut client = world.client().await;
            client.write_all(FETCH).await.expect("read");
            clients.push(client);
        }
        let mut buffer = vec![0; 512 * KIB];
        let gone = || world.status()["disconnects"]["unread_response_timeout"].as_u64() == Some(never_read);
        let slowly = async {
            let mut read = 0;
            while !gone() {
                read += timeout(PATIENCE, slow.read_exact(&mut buffer)).await.expect("in time").expect("connected");
                assert!(read + buffer.len() < FETCHED, "those who do not read have had far longer");
                sleep(PACE).await;
            }
            read
        };
        let read = timeout(PATIENCE, slowly).await.expect("they are closed");
        take(&mut slow, FETCHED - read).await;
    };
    world.attacked(attack).await;
    assert_eq!(world.all_gone().await.get("unread_response_timeout"), Some(&never_read));
}
