//! A broker that answers whatever arrives: heartbeats, logins and who asks for the brokers in earnest, fetches with far too much, the
//! rest with bombs.

use crate::frames::{METADATA, framed, metadata_ok};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::sleep,
};

/// Bytes of every response to a `Fetch`.
pub(crate) const FETCHED: usize = 100 << 20;

/// Counts that no message can hold, in each way in which Kafka writes a count.
pub(crate) const BOMBS: [&[u8]; 3] =
    [&[0x7f, 0xff, 0xff, 0xff], &[0xff, 0xff, 0xff, 0xff, 0x0f], &[0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff]];

/// A bomb of some size.
pub(crate) fn bomb(which: usize, bytes: usize) -> Vec<u8> {
    BOMBS[which % BOMBS.len()].iter().copied().cycle().take(bytes).collect()
}

/// The running broker.
pub(crate) struct Upstream {
    _tasks: JoinSet<()>,
    accepted: Arc<AtomicUsize>,
}

impl Upstream {
    /// Listens, and says that the cluster's only broker is somewhere else, or that it is that one; returns where it listens. For
    /// what is asked in earnest it `takes` a while.
    pub(crate) async fn new(broker: Option<SocketAddr>, takes: Duration) -> (SocketAddr, Self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let broker = broker.unwrap_or(at);
        let (mut tasks, accepted) = (JoinSet::new(), Arc::<AtomicUsize>::default());
        let counted = accepted.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    Ok((stream, _)) = listener.accept() => {
                        counted.fetch_add(1, Relaxed);
                        connections.spawn(answer(stream, broker, takes));
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
        (at, Self { _tasks: tasks, accepted })
    }

    /// How many connections it has had.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Relaxed)
    }
}

async fn answer(mut stream: TcpStream, broker: SocketAddr, takes: Duration) {
    let mut unread = vec![0; 64 << 10];
    let mut head = [0; 12];
    // An error is the proxy's hanging up, which ends the conversation.
    while stream.read_exact(&mut head).await.is_ok() {
        let [a, b, c, d, key @ .., _, _, e, f, g, h] = head;
        let mut left = u32::from_be_bytes([a, b, c, d]) as usize - 8;
        while left > 0 {
            let most = left.min(unread.len());
            match stream.read(&mut unread[..most]).await {
                Ok(n @ 1..) => left -= n,
                Ok(0) | Err(_) => return,
            }
        }
        let id = [e, f, g, h];
        let sent = match i16::from_be_bytes(key) {
            1 => pour(&mut stream, id).await,
            3 if head[4..] == METADATA[4..12] => {
                stream.write_all(&metadata_ok(&broker.ip().to_string(), broker.port())).await
            }
            12 => {
                sleep(takes).await;
                respond(&mut stream, id, &[0]).await
            }
            // No error, and one mechanism; then error 58, no words, no token, no session.
            17 => respond(&mut stream, id, b"\0\0\0\0\0\x01\0\x05PLAIN").await,
            36 => respond(&mut stream, id, &[0, 58, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]).await,
            _ => respond(&mut stream, id, &bomb(usize::from(h), 64)).await,
        };
        if sent.is_err() {
            return;
        }
    }
}

async fn respond(stream: &mut TcpStream, id: [u8; 4], body: &[u8]) -> std::io::Result<()> {
    stream.write_all(&framed(&[&id, body])).await
}

async fn pour(stream: &mut TcpStream, id: [u8; 4]) -> std::io::Result<()> {
    let size = u32::try_from(FETCHED - 4).expect("fits").to_be_bytes();
    stream.write_all(&[&size[..], &id].concat()).await?;
    let zeros = vec![0; 64 << 10];
    let mut left = FETCHED - 8;
    while left > 0 {
        let n = left.min(zeros.len());
        stream.write_all(&zeros[..n]).await?;
        left -= n;
    }
    Ok(())
}
