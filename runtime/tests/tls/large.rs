//! Large frames over TLS, of which the proxy waits for more than a record at a time.

use crate::{
    BOTH, HEARTBEAT, HEARTBEAT_OK, PAIR, PATIENCE, World, client_config, gateway_files,
    upstream::{broker, upstream_files},
};
use kroxy_core::status::ClusterState;
use rustls::pki_types::ServerName;
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long the proxy waits for a part of a frame at most.
const A_SECOND: Duration = Duration::from_secs(1);

/// A heartbeat whose body, which nobody reads, has so many bytes.
fn heartbeat_of(body: usize) -> Vec<u8> {
    let mut frame = vec![0, 0, 0, 0, 0, 12, 0, 4, 0, 0, 0, 7, 0, 1, b's', 0];
    frame.resize(frame.len() + body, 0xab);
    let length = u32::try_from(frame.len() - 4).expect("a frame");
    frame[..4].copy_from_slice(&length.to_be_bytes());
    frame
}

/// A connection on which bytes come in pieces with pauses, wherever records begin and end.
struct Piecemeal {
    inner: TcpStream,
    sizes: Box<dyn Iterator<Item = usize> + Send>,
    /// What of a piece is still to be sent, and what is waited for first.
    piece: usize,
    pause: Pin<Box<Sleep>>,
    between: Duration,
}

impl AsyncRead for Piecemeal {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(cx, buf)
    }
}

impl AsyncWrite for Piecemeal {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let me = self.get_mut();
        if me.piece == 0 {
            ready!(me.pause.as_mut().poll(cx));
            me.piece = me.sizes.next().expect("it goes round");
            me.pause = Box::pin(sleep(me.between));
        }
        let wrote = ready!(Pin::new(&mut me.inner).poll_write(cx, &buf[..buf.len().min(me.piece)]))?;
        me.piece -= wrote;
        Poll::Ready(Ok(wrote))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

impl Piecemeal {
    fn new(inner: TcpStream, sizes: &'static [usize], between: Duration) -> Self {
        inner.set_nodelay(true).expect("a socket");
        let sizes = Box::new(sizes.iter().copied().cycle());
        Self { inner, sizes, piece: 0, pause: Box::pin(sleep(Duration::ZERO)), between }
    }
}

/// A client of a new world whose bytes come in pieces of these sizes.
async fn piecemeal(limits: &str, sizes: &'static [usize], between: Duration) -> (World, TlsStream<Piecemeal>) {
    let (folder, servers, _) = gateway_files();
    let world = World::limited(folder, PAIR, "", limits).await;
    timeout(PATIENCE, world.comes_to(ClusterState::Serving)).await.expect("in time");
    let inner = TcpStream::connect(world.clients_at).await.expect("it listens");
    let stream = Piecemeal::new(inner, sizes, between);
    let name = ServerName::try_from("kroxy.example").expect("a name");
    let config = Arc::new(client_config(&servers, None, BOTH));
    let shaken = timeout(PATIENCE, TlsConnector::from(config).connect(name, stream)).await;
    (world, shaken.expect("in time").expect("shaken"))
}

/// A broker that answers requests on one connection, each of which has to be one of these.
async fn answer_large(listener: &TcpListener, frames: &[&[u8]]) {
    let (mut stream, _) = listener.accept().await.expect("accepts");
    let mut length = [0; 4];
    while stream.read_exact(&mut length).await.is_ok() {
        let mut request = length.to_vec();
        request.resize(4 + u32::from_be_bytes(length) as usize, 0);
        stream.read_exact(&mut request[4..]).await.expect("all of it");
        assert!(frames.contains(&&*request), "it came as it was sent");
        stream.write_all(HEARTBEAT_OK).await.expect("writable");
    }
}

/// Does something while a broker answers these requests.
async fn beside_broker<T>(world: &World, frames: &[&[u8]], work: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = work => done,
        () = answer_large(&world.upstream, frames) => unreachable!("the client is there"),
    }
}

async fn send(client: &mut TlsStream<Piecemeal>, bytes: &[u8]) {
    let sent = async {
        client.write_all(bytes).await?;
        client.flush().await
    };
    timeout(PATIENCE, sent).await.expect("in time").expect("taken");
}

/// Takes an answer.
async fn answered(client: &mut TlsStream<Piecemeal>) {
    let mut answer = vec![0; HEARTBEAT_OK.len()];
    timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time").expect("relayed");
    assert_eq!(answer, HEARTBEAT_OK);
}

/// Most of what was waited for took less than a second: nobody has waited for what does not come until that is over.
fn assert_most_are_fast(mut took: Vec<Duration>) {
    took.sort();
    assert!(took[took.len() / 2] < A_SECOND, "it waits for a second and gives up: {took:?}");
}

/// Pieces that are cut anywhere.
const SIZES: &[usize] = &[1, 4, 20_000, 11, 9_973, 16_384, 40_000, 3];

#[tokio::test]
async fn a_large_request_is_relayed_wherever_it_is_cut_on_its_way_and_nobody_waits_for_what_does_not_come() {
    let (world, mut client) = piecemeal("", SIZES, Duration::from_millis(1)).await;
    let frame = heartbeat_of(100_000);
    let work = async {
        let mut took = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            send(&mut client, &frame).await;
            answered(&mut client).await;
            took.push(began.elapsed());
        }
        took
    };
    assert_most_are_fast(beside_broker(&world, &[&frame], work).await);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_small_request_whose_begin_comes_with_the_end_of_a_large_one_is_not_waited_for_as_long_as_that() {
    let (world, mut client) = piecemeal("", SIZES, Duration::from_millis(1)).await;
    let (large, small) = (heartbeat_of(100_000), heartbeat_of(20));
    let work = async {
        let mut took = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            send(&mut client, &[&large[..], &small[..10]].concat()).await;
            answered(&mut client).await;
            send(&mut client, &small[10..]).await;
            answered(&mut client).await;
            took.push(began.elapsed());
        }
        took
    };
    assert_most_are_fast(beside_broker(&world, &[&large, &small], work).await);
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_sends_a_large_request_slowly_goes_on_and_is_not_late() {
    let within = "unfinished_request_timeout: \"3s\",";
    let (world, mut client) = piecemeal(within, &[6_000], Duration::from_millis(400)).await;
    let frame = heartbeat_of(60_000);
    beside_broker(&world, &[&frame], async {
        send(&mut client, &frame).await;
        answered(&mut client).await;
    })
    .await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_large_response_is_relayed_wherever_it_is_cut_on_its_way_and_nobody_waits_for_what_does_not_come() {
    let (folder, brokers, _) = upstream_files();
    let world = World::serving(folder, "", r#"ca: File("{}ca.pem")"#).await;
    let broker = broker(&brokers.sign(&["localhost"]), None);
    let mut response = HEARTBEAT_OK.to_vec();
    response.resize(100_000, 0xab);
    let length = u32::try_from(response.len() - 4).expect("a frame");
    response[..4].copy_from_slice(&length.to_be_bytes());
    let answering = async {
        let (stream, _) = world.upstream.accept().await.expect("accepts");
        let stream = Piecemeal::new(stream, SIZES, Duration::from_millis(1));
        let mut stream = broker.accept(stream).await.expect("shaken");
        let mut request = vec![0; HEARTBEAT.len()];
        while stream.read_exact(&mut request).await.is_ok() {
            stream.write_all(&response).await.expect("writable");
            stream.flush().await.expect("writable");
        }
    };
    let work = async {
        let mut client = TcpStream::connect(world.clients_at).await.expect("it listens");
        let (mut took, mut answer) = (Vec::new(), vec![0; response.len()]);
        for _ in 0..20 {
            let began = Instant::now();
            client.write_all(HEARTBEAT).await.expect("writable");
            timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time").expect("relayed");
            assert!(answer == response, "it came as it was sent");
            took.push(began.elapsed());
        }
        took
    };
    let took = tokio::select! {
        biased;
        took = work => took,
        () = answering => unreachable!("the client is there"),
    };
    assert_most_are_fast(took);
    world.end().await;
}
