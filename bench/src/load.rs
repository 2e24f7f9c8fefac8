//! Both ends of what is relayed: connections that ask, and a sink that answers.

use crate::{
    frames::{Frames, IN_REQUEST, IN_RESPONSE},
    secret::{Stream, over_tls},
};
use bytes::Bytes;
use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

/// Bytes: what either end reads at a time.
const READ: usize = 256 << 10;

/// Connections that are opened at the same time: fewer than a listener's backlog.
const OPENED_AT_ONCE: usize = 100;

/// Answers every request with the same response, whatever it asks.
pub(crate) struct Sink {
    pub(crate) at: SocketAddr,
    response: Arc<Mutex<Bytes>>,
    _connections: JoinSet<()>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let response = Arc::new(Mutex::new(Bytes::new()));
        let mut connections = JoinSet::new();
        let given = response.clone();
        connections.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                while served.try_join_next().is_some() {}
                let response = given.lock().expect("nobody panics with it").clone();
                served.spawn(serve(stream, response));
            }
        });
        Self { at, response, _connections: connections }
    }

    /// What connections that are opened from now on are answered.
    pub(crate) fn answer(&mut self, response: Bytes) {
        *self.response.lock().expect("nobody panics with it") = response;
    }
}

async fn serve(mut stream: TcpStream, response: Bytes) {
    let _ = stream.set_nodelay(true); // a hint
    let (mut buffer, mut frames, mut answers) = (vec![0; READ], Frames::default(), Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        frames.feed(&buffer[..read], |head| {
            let at = answers.len();
            answers.extend_from_slice(&response);
            answers[at..][IN_RESPONSE].copy_from_slice(&head[IN_REQUEST]);
        });
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
    }
}

/// Requests over connections that each have some of them in flight.
pub(crate) struct Load {
    pub(crate) at: SocketAddr,
    pub(crate) request: Bytes,
    pub(crate) connections: usize,
    pub(crate) depth: usize,
    pub(crate) frames: u64,
    pub(crate) tls: bool,
}

/// The same with its connections open.
pub(crate) struct Open {
    load: Load,
    streams: Vec<Box<dyn Stream>>,
}

/// What came of it; the connections are still open.
pub(crate) struct Done {
    pub(crate) took: Duration,
    pub(crate) frames: u64,
    /// Bytes of requests and responses.
    pub(crate) bytes: u64,
    latencies: Vec<Duration>,
    _streams: Vec<Box<dyn Stream>>,
}

impl Load {
    pub(crate) async fn open(self) -> Open {
        let mut streams = Vec::with_capacity(self.connections);
        while streams.len() < self.connections {
            let mut opening = JoinSet::new();
            for _ in streams.len()..self.connections.min(streams.len() + OPENED_AT_ONCE) {
                opening.spawn(open(self.at, self.tls, self.request.clone()));
            }
            streams.append(&mut opening.join_all().await);
        }
        Open { load: self, streams }
    }
}

/// Opens a connection, and asks once: a target may connect to the sink only then, and the sink takes only so many at a time.
async fn open(at: SocketAddr, tls: bool, request: Bytes) -> Box<dyn Stream> {
    let stream = TcpStream::connect(at).await.expect("the target accepts");
    stream.set_nodelay(true).expect("a socket");
    let stream: Box<dyn Stream> = if tls { over_tls(stream).await } else { Box::new(stream) };
    let (stream, ..) = ask(stream, request, 1, 1).await;
    stream
}

impl Open {
    pub(crate) async fn run(self) -> Done {
        let each = self.load.frames.div_ceil(self.load.connections as u64);
        let (began, mut running) = (Instant::now(), JoinSet::new());
        for stream in self.streams {
            running.spawn(ask(stream, self.load.request.clone(), self.load.depth, each));
        }
        let (mut bytes, mut latencies, mut streams) = (0, Vec::new(), Vec::new());
        while let Some(done) = running.join_next().await {
            let (stream, moved, mut took) = done.expect("a connection serves to the end");
            bytes += moved;
            latencies.append(&mut took);
            streams.push(stream);
        }
        let took = began.elapsed();
        latencies.sort_unstable();
        Done { took, frames: latencies.len() as u64, bytes, latencies, _streams: streams }
    }
}

impl Done {
    /// The latency that `percent` of the requests did not exceed.
    pub(crate) fn latency(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)]
    }
}

/// Asks `count` times with `depth` requests in flight; returns the bytes that moved, and how long each answer took.
async fn ask(
    mut stream: Box<dyn Stream>,
    request: Bytes,
    depth: usize,
    count: u64,
) -> (Box<dyn Stream>, u64, Vec<Duration>) {
    let (mut buffer, mut frames) = (vec![0; READ], Frames::default());
    let (mut sent, mut bytes) = (0_u64, 0_u64);
    let (mut waiting, mut latencies) = (VecDeque::new(), Vec::new());
    let mut free = depth as u64;
    while (latencies.len() as u64) < count {
        let mut burst = Vec::new();
        for _ in 0..free.min(count - sent) {
            let at = burst.len();
            burst.extend_from_slice(&request);
            let correlation = u32::try_from(sent).expect("not that many");
            burst[at..][IN_REQUEST].copy_from_slice(&correlation.to_be_bytes());
            waiting.push_back(Instant::now());
            sent += 1;
        }
        free = 0;
        stream.write_all(&burst).await.expect("the target reads");
        stream.flush().await.expect("the target reads");
        let read = stream.read(&mut buffer).await.expect("the target answers");
        assert!(read > 0, "the target closed the connection");
        bytes += (burst.len() + read) as u64;
        frames.feed(&buffer[..read], |head| {
            let correlation = u32::from_be_bytes(head[IN_RESPONSE].try_into().expect("four bytes"));
            assert_eq!(u64::from(correlation), latencies.len() as u64, "answers come in order");
            latencies.push(waiting.pop_front().expect("asked before").elapsed());
            free += 1;
        });
    }
    (stream, bytes, latencies)
}
