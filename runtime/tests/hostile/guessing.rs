//! Clients that guess passwords.

use crate::{
    frames::framed,
    kroxy::PATIENCE,
    world::{KIB, MIB, World},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const GUESSES: u64 = 1_000;

/// `SaslHandshake` version 1 for PLAIN.
pub(crate) const HANDSHAKE: &[u8] = b"\0\0\0\x12\0\x11\0\x01\0\0\0\x01\0\x01s\0\x05PLAIN";

/// `SaslAuthenticate` version 1 with a token.
pub(crate) fn guess(token: &str) -> Vec<u8> {
    framed(&[b"\0\x24\0\x01\0\0\0\x02\0\x01s", &framed(&[token.as_bytes()])])
}

pub(crate) async fn answer(client: &mut TcpStream) -> Vec<u8> {
    let mut size = [0; 4];
    timeout(PATIENCE, client.read_exact(&mut size)).await.expect("in time").expect("answered");
    let mut answer = vec![0; u32::from_be_bytes(size) as usize];
    client.read_exact(&mut answer).await.expect("all of it");
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn guessing_passwords_is_counted_fills_no_log_and_shows_no_guess() {
    let mut world = World::new("sasl_guessing", "").await;
    let attack = async {
        for n in 0..GUESSES {
            let mut client = world.client().await;
            client.write_all(HANDSHAKE).await.expect("read");
            assert_eq!(answer(&mut client).await[4..6], [0, 0], "PLAIN is offered");
            client.write_all(&guess(&format!("\0alice\0guess-{n}"))).await.expect("read");
            assert_eq!(answer(&mut client).await[4..6], [0, 58], "SASL_AUTHENTICATION_FAILED");
        }
    };
    let attacked = world.attacked(attack).await;
    assert!(attacked.grown < 16 * MIB, "{} KiB", attacked.grown / KIB);
    world.all_gone().await;
    let counted = format!("kroxy_sasl_refused_total{{virtual_cluster=\"c\"}} {GUESSES}");
    let metrics = world.metrics();
    assert!(metrics.contains(&counted), "{counted} is not in\n{metrics}");

    world.kroxy.signal("TERM");
    assert_eq!(world.kroxy.ended(), 0);
    let log = world.kroxy.heard();
    let lines = log.matches("upstream refused the client's authentication").count();
    assert!((1..=100).contains(&lines), "{lines} lines for {GUESSES} guesses");
    assert!(!log.contains("guess-"), "a guess is in the log");
}
