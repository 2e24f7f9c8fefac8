//! Both ends of what is relayed: connections that ask, and a sink that answers.

use crate::{
    frames::{self, Frames, IN_REQUEST, IN_RESPONSE, Kind},
    pace::{Pace, Turns},
    secret::{Stream, over_tls},
    stalls::Stalls,
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
    select,
    task::JoinSet,
};

/// Bytes: what either end reads at a time at most.
const READ: usize = 256 << 10;

/// Connections that are opened at the same time: fewer than a listener's backlog.
const OPENED_AT_ONCE: usize = 100;

/// Requests without a stall around them that tell how long answers take: of fewer, a handful makes the slowest of 100.
const FEWEST_WITHOUT_STALLS: usize = 1_000;

/// What is asked on a connection again and again, what answers it, and when it is asked.
#[derive(Clone)]
pub(crate) struct Exchange {
    request: Bytes,
    response: Bytes,
    pace: Pace,
}

impl Exchange {
    /// The direction that carries the bulk has `bytes` bytes of records in each frame.
    pub(crate) fn new(kind: Kind, bytes: usize, pace: Pace) -> Self {
        Self { request: frames::request(kind, bytes), response: frames::response(kind, bytes), pace }
    }

    /// Room for all of these frames that are in flight. More, for each of thousands of connections, would drive what is
    /// measured out of the caches that it shares with both ends.
    fn buffer(&self, frame: &Bytes) -> Vec<u8> {
        vec![0; READ.min(self.pace.in_flight() * frame.len())]
    }
}

/// Answers every request with the same response, whatever it asks.
pub(crate) struct Sink {
    pub(crate) at: SocketAddr,
    exchange: Arc<Mutex<Option<Exchange>>>,
    _connections: JoinSet<()>,
}

impl Sink {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let at = listener.local_addr().expect("bound");
        let exchange = Arc::new(Mutex::new(None::<Exchange>));
        let mut connections = JoinSet::new();
        let given = exchange.clone();
        connections.spawn(async move {
            let mut served = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.expect("a connection");
                while served.try_join_next().is_some() {}
                let exchange = given.lock().expect("nobody panics with it").clone();
                served.spawn(serve(stream, exchange.expect("told before anybody connects")));
            }
        });
        Self { at, exchange, _connections: connections }
    }

    /// What is asked and answered on connections that are opened from now on.
    pub(crate) fn serve(&mut self, exchange: Exchange) {
        *self.exchange.lock().expect("nobody panics with it") = Some(exchange);
    }
}

async fn serve(mut stream: TcpStream, exchange: Exchange) {
    let _ = stream.set_nodelay(true); // a hint
    let (mut buffer, mut frames, mut answers) = (exchange.buffer(&exchange.request), Frames::default(), Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        frames.feed(&buffer[..read], |head| {
            let at = answers.len();
            answers.extend_from_slice(&exchange.response);
            answers[at..][IN_RESPONSE].copy_from_slice(&head[IN_REQUEST]);
        });
        if !answers.is_empty() && stream.write_all(&answers).await.is_err() {
            return;
        }
        answers.clear();
    }
}

/// Requests over connections.
pub(crate) struct Load {
    pub(crate) at: SocketAddr,
    pub(crate) exchange: Exchange,
    pub(crate) connections: usize,
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
    /// The fastest first.
    answers: Vec<Answer>,
    _streams: Vec<Box<dyn Stream>>,
}

/// When something was asked, and how long the answer took.
#[derive(Clone, Copy)]
struct Answer {
    asked: Instant,
    took: Duration,
}

impl Load {
    pub(crate) async fn open(self) -> Open {
        let mut streams = Vec::with_capacity(self.connections);
        while streams.len() < self.connections {
            let mut opening = JoinSet::new();
            for _ in streams.len()..self.connections.min(streams.len() + OPENED_AT_ONCE) {
                opening.spawn(open(self.at, self.tls, self.exchange.clone()));
            }
            streams.append(&mut opening.join_all().await);
        }
        Open { load: self, streams }
    }
}

/// Opens a connection, and asks once: a target may connect to the sink only then, and the sink takes only so many at a time.
async fn open(at: SocketAddr, tls: bool, exchange: Exchange) -> Box<dyn Stream> {
    let stream = TcpStream::connect(at).await.expect("the target accepts");
    stream.set_nodelay(true).expect("a socket");
    let stream: Box<dyn Stream> = if tls { over_tls(stream).await } else { Box::new(stream) };
    let (stream, ..) = ask(stream, exchange, Turns::InFlight(1), 1).await;
    stream
}

impl Open {
    pub(crate) async fn run(self) -> Done {
        let each = self.load.frames.div_ceil(self.load.connections as u64);
        let (began, turns) = self.load.exchange.pace.begin(self.streams.len(), each);
        let mut running = JoinSet::new();
        for (stream, turns) in self.streams.into_iter().zip(turns) {
            running.spawn(ask(stream, self.load.exchange.clone(), turns, each));
        }
        let (mut bytes, mut answers, mut streams) = (0, Vec::new(), Vec::new());
        while let Some(done) = running.join_next().await {
            let (stream, moved, mut given) = done.expect("a connection serves to the end");
            bytes += moved;
            answers.append(&mut given);
            streams.push(stream);
        }
        let took = began.elapsed();
        answers.sort_unstable_by_key(|answer| answer.took);
        Done { took, frames: answers.len() as u64, bytes, answers, _streams: streams }
    }
}

impl Done {
    /// The latency that `percent` of the requests did not exceed.
    pub(crate) fn latency(&self, percent: usize) -> Option<Duration> {
        percentile(&self.answers, percent)
    }

    /// The same of the requests without a stall around them, if those are enough, and how many of 100 the others are.
    pub(crate) fn latency_without(&self, stalls: &Stalls, percent: usize) -> (Option<Duration>, f64) {
        let without = self.answers.iter().filter(|answer| !stalls.are_around(answer.asked));
        let without: Vec<_> = without.copied().collect();
        let share = 1.0 - without.len() as f64 / self.answers.len() as f64;
        (percentile(&without, percent).filter(|_| without.len() >= FEWEST_WITHOUT_STALLS), share * 100.0)
    }
}

fn percentile(sorted: &[Answer], percent: usize) -> Option<Duration> {
    sorted.get(sorted.len() * percent / 100).map(|answer| answer.took)
}

/// Asks `count` times, when it is its turn; returns the bytes that moved, and the answers.
async fn ask(
    mut stream: Box<dyn Stream>,
    exchange: Exchange,
    mut turns: Turns,
    count: u64,
) -> (Box<dyn Stream>, u64, Vec<Answer>) {
    let (mut buffer, mut frames) = (exchange.buffer(&exchange.response), Frames::default());
    let (mut sent, mut bytes) = (0_u64, 0_u64);
    let (mut waiting, mut answers) = (VecDeque::<Instant>::new(), Vec::new());
    while (answers.len() as u64) < count {
        let moments = select! {
            biased; // what may be sent, before what has come
            moments = turns.next(waiting.len()), if sent < count => moments,
            read = stream.read(&mut buffer) => {
                let read = read.expect("the target answers");
                assert!(read > 0, "the target closed the connection");
                bytes += read as u64;
                frames.feed(&buffer[..read], |head| {
                    let correlation = u32::from_be_bytes(head[IN_RESPONSE].try_into().expect("four bytes"));
                    assert_eq!(u64::from(correlation), answers.len() as u64, "answers come in order");
                    let asked = waiting.pop_front().expect("asked before");
                    answers.push(Answer { asked, took: asked.elapsed() });
                });
                continue;
            }
        };
        let mut burst = Vec::new();
        for (since, correlation) in moments.into_iter().zip(sent..count) {
            let at = burst.len();
            burst.extend_from_slice(&exchange.request);
            let correlation = u32::try_from(correlation).expect("not that many");
            burst[at..][IN_REQUEST].copy_from_slice(&correlation.to_be_bytes());
            waiting.push_back(since);
            sent += 1;
        }
        stream.write_all(&burst).await.expect("the target reads");
        stream.flush().await.expect("the target reads");
        bytes += burst.len() as u64;
    }
    (stream, bytes, answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10,000 requests, one each millisecond, of which every fiftieth takes so long and the others a millisecond.
    fn done(began: Instant, slow: Duration) -> Done {
        let took = |n: u32| if n.is_multiple_of(50) { slow } else { Duration::from_millis(1) };
        let mut answers: Vec<_> =
            (0..10_000).map(|n| Answer { asked: began + Duration::from_millis(n.into()), took: took(n) }).collect();
        answers.sort_unstable_by_key(|answer| answer.took);
        Done { took: Duration::from_secs(10), frames: 10_000, bytes: 0, answers, _streams: Vec::new() }
    }

    #[test]
    fn what_a_relay_is_slow_with_shows_though_slow_answers_meet_more_stalls() {
        let (began, slow) = (Instant::now(), Duration::from_millis(30));
        let each = |n: u64| began + Duration::from_millis(n * 17); // as many around quick requests as around slow ones
        let seen = Stalls::new((0..600).map(|n| (each(n), each(n) + Duration::from_millis(3))).collect());
        let (p99, stalled) = done(began, slow).latency_without(&seen, 99);
        assert_eq!(p99, Some(slow));
        assert!((40.0..60.0).contains(&stalled), "{stalled}");
    }

    #[test]
    fn too_few_requests_tell_nothing() {
        let (began, slow) = (Instant::now(), Duration::from_millis(30));
        let seen = Stalls::new(vec![(began, began + Duration::from_secs(9))]);
        let (p99, stalled) = done(began, slow).latency_without(&seen, 99);
        assert_eq!((p99, stalled.round()), (None, 90.0));
    }
}
