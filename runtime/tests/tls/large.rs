//! Large frames over TLS, of which the proxy waits for more than a record at a time.

use crate::{
    BOTH, HEARTBEAT, HEARTBEAT_OK, PAIR, PATIENCE, World, client_config, framed, gateway_files,
    upstream::{broker, upstream_files},
};
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
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, copy, sink, split},
    net::{TcpListener, TcpStream},
    time::{Sleep, sleep, timeout},
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// How long the proxy waits for a part of a frame at most.
const A_SECOND: Duration = Duration::from_secs(1);

/// A frame with so many bytes more, which nobody reads.
fn with_more(frame: &[u8], bytes: usize) -> Vec<u8> {
    framed(&[&frame[4..], &vec![0xab; bytes]])
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
    let world = World::limited(folder, PAIR, "", limits).await.served().await;
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
async fn beside_broker(world: &World, frames: &[&[u8]], work: impl Future<Output = ()>) {
    tokio::select! {
        biased;
        () = work => {}
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

/// Does it again and again, and in less than a second: nobody has waited for what does not come until that is over. A few times
/// something else may have held it up.
async fn mostly_fast(mut it: impl AsyncFnMut()) {
    const TIMES: usize = 20;
    const HELD_UP: usize = 2;
    let mut took = Vec::new();
    for _ in 0..TIMES {
        let began = Instant::now();
        it().await;
        took.push(began.elapsed());
    }
    let slow = took.iter().filter(|took| **took >= A_SECOND).count();
    assert!(slow <= HELD_UP, "it waits for a second and gives up: {took:?}");
}

/// Pieces that are cut anywhere.
const SIZES: &[usize] = &[1, 4, 20_000, 11, 9_973, 16_384, 40_000, 3];

#[tokio::test]
async fn a_large_request_is_relayed_wherever_it_is_cut_on_its_way_and_nobody_waits_for_what_does_not_come() {
    let (world, mut client) = piecemeal("", SIZES, Duration::from_millis(1)).await;
    let frame = with_more(HEARTBEAT, 100_000);
    let work = mostly_fast(async || {
        send(&mut client, &frame).await;
        answered(&mut client).await;
    });
    beside_broker(&world, &[&frame], work).await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_small_request_whose_begin_comes_with_the_end_of_a_large_one_is_not_waited_for_as_long_as_that() {
    let (world, mut client) = piecemeal("", SIZES, Duration::from_millis(1)).await;
    let (large, small) = (with_more(HEARTBEAT, 100_000), with_more(HEARTBEAT, 20));
    let work = mostly_fast(async || {
        send(&mut client, &[&large[..], &small[..10]].concat()).await;
        answered(&mut client).await;
        send(&mut client, &small[10..]).await;
        answered(&mut client).await;
    });
    beside_broker(&world, &[&large, &small], work).await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn a_client_that_sends_a_large_request_slowly_goes_on_and_is_not_late() {
    let within = "unfinished_request_timeout: \"3s\",";
    let (world, mut client) = piecemeal(within, &[6_000], Duration::from_millis(400)).await;
    let frame = with_more(HEARTBEAT, 60_000);
    beside_broker(&world, &[&frame], async {
        send(&mut client, &frame).await;
        answered(&mut client).await;
    })
    .await;
    drop(client);
    world.end().await;
}

#[tokio::test]
async fn what_came_of_a_large_request_waits_for_the_rest_only_so_long_though_upstream_goes_on_talking() {
    let (world, client) = piecemeal("", &[1 << 20], Duration::ZERO).await;
    let (mut responses, mut requests) = split(client);
    let (request, response) = (with_more(HEARTBEAT, 100_000), with_more(HEARTBEAT_OK, 10 << 20));
    let (now, later) = request[..40_000].split_at(30_000);
    let asking = async {
        requests.write_all(&[HEARTBEAT, now].concat()).await.expect("taken");
        requests.flush().await.expect("taken");
        sleep(Duration::from_millis(200)).await; // the proxy has that, and waits for more than comes
        requests.write_all(later).await.expect("taken");
        requests.flush().await.expect("taken");
        Instant::now()
    };
    let answering = async {
        let (stream, _) = world.upstream.accept().await.expect("accepts");
        let (mut from, mut to) = stream.into_split();
        from.read_exact(&mut [0; HEARTBEAT.len()]).await.expect("relayed");
        let mut part = vec![0; now.len() + later.len()];
        tokio::select! {
            taken = from.read_exact(&mut part) => assert!(taken.is_ok(), "it is relayed"),
            () = async {
                for piece in response.chunks(500) {
                    to.write_all(piece).await.expect("taken");
                    sleep(Duration::from_millis(1)).await;
                }
            } => unreachable!("that takes longer"),
        }
        Instant::now()
    };
    let mut nowhere = sink();
    let (sent, came) = tokio::select! {
        times = async { tokio::join!(asking, answering) } => times,
        _ = copy(&mut responses, &mut nowhere) => unreachable!("it goes on"),
    };
    assert!(came - sent < A_SECOND, "it came {:?} later", came - sent);
    world.end().await;
}

#[tokio::test]
async fn a_large_response_is_relayed_wherever_it_is_cut_on_its_way_and_nobody_waits_for_what_does_not_come() {
    let (folder, brokers, _) = upstream_files();
    let world = World::serving(folder, "", r#"ca: File("{}ca.pem")"#).await;
    let broker = broker(&brokers.sign(&["localhost"]), None);
    let response = with_more(HEARTBEAT_OK, 100_000);
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
        let mut answer = vec![0; response.len()];
        mostly_fast(async || {
            client.write_all(HEARTBEAT).await.expect("writable");
            timeout(PATIENCE, client.read_exact(&mut answer)).await.expect("in time").expect("relayed");
            assert!(answer == response, "it came as it was sent");
        })
        .await;
    };
    tokio::select! {
        biased;
        () = work => {}
        () = answering => unreachable!("the client is there"),
    }
    world.end().await;
}
