//! What the relay allocates while frames flow: nothing for a frame.
//!
//! The proxy runs on the thread of the test, where allocations are counted; client and upstream have threads of their own.

#[path = "../../bench/src/frames.rs"]
mod frames;
mod ports;

use frames::{Frames, IN_REQUEST, IN_RESPONSE, Kind};
use ports::free_port;
use runtime::{clock::Clock, config, load, net::OsNet, proxy::Proxy, proxy::Source};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};
use tokio::sync::oneshot;

/// Longer than anything here takes, on any machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// Allocations that frames may share among all of them: a timer that moves, a buffer that grows once.
const SHARED: u64 = 20;

/// Answers every request on one connection with the same response.
fn answer(listener: &TcpListener, response: &[u8]) {
    let (mut stream, _) = listener.accept().expect("the proxy connects");
    let (mut buffer, mut frames, mut answers) = (vec![0; 256 << 10], Frames::default(), Vec::new());
    while let Ok(read @ 1..) = stream.read(&mut buffer) {
        frames.feed(&buffer[..read], |head| {
            let at = answers.len();
            answers.extend_from_slice(response);
            answers[at..][IN_RESPONSE].copy_from_slice(&head[IN_REQUEST]);
        });
        if stream.write_all(&answers).is_err() {
            return;
        }
        answers.clear();
    }
}

/// Asks `count` times with five requests in flight.
fn ask(stream: &mut TcpStream, request: &[u8], count: usize) {
    const DEPTH: usize = 5;
    let (mut buffer, mut frames) = (vec![0; 256 << 10], Frames::default());
    let (mut sent, mut answered) = (0, 0);
    while answered < count {
        let burst = (DEPTH - (sent - answered)).min(count - sent);
        stream.write_all(&request.repeat(burst)).expect("the proxy reads");
        sent += burst;
        let read = stream.read(&mut buffer).expect("the proxy answers");
        assert!(read > 0, "the proxy closed the connection");
        frames.feed(&buffer[..read], |_| answered += 1);
    }
}

/// How often memory is allocated while this many frames pass, after as many have passed before.
fn allocations(kind: Kind, bytes: usize, count: usize) -> u64 {
    let upstream = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let upstream_at = upstream.local_addr().expect("bound");
    let response = frames::response(kind, bytes);
    let answering = thread::spawn(move || answer(&upstream, &response));

    let (bootstrap, node) = (free_port(), free_port());
    let text = format!(
        r#"(admin: (bind: "127.0.0.1:0"), virtual_clusters: [(name: "c", upstream: (bootstrap_servers: ["{upstream_at}"]),
        gateways: [(name: "g", port_per_broker: (bind: "127.0.0.1", advertised_host: "127.0.0.1",
        bootstrap_port: {bootstrap}, nodes: [(ids: (0, 0), first_port: {node})]))])])"#
    );
    let config = config::parse_str("test", &text).unwrap_or_else(|e| panic!("{e}"));
    let at = SocketAddr::from((Ipv4Addr::LOCALHOST, bootstrap));
    let (warm, is_warm) = oneshot::channel();
    let (go, goes) = std::sync::mpsc::channel();
    let (done, is_done) = oneshot::channel();
    let asking = thread::spawn(move || {
        let mut stream = connect(at);
        let request = frames::request(kind, bytes);
        ask(&mut stream, &request, count);
        warm.send(()).expect("the test waits");
        goes.recv().expect("the test goes on");
        ask(&mut stream, &request, count);
        done.send(stream).expect("the test waits");
    });

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let proxy = Proxy::new(load::loaded(config), Source::memory(), OsNet, Clock::system(), 1);
    let lifetime = runtime.block_on(async { proxy.startup() }).expect("a new proxy can be started");
    let warming = allocation_counter::measure(|| {
        runtime.block_on(async { tokio::time::timeout(PATIENCE, is_warm).await }).expect("in time").expect("warm");
    });
    assert!(
        warming.count_total > SHARED,
        "a proxy that starts and connects does allocate: are its allocations counted?"
    );
    let counted = allocation_counter::measure(|| {
        go.send(()).expect("the client waits");
        let finished = runtime.block_on(async { tokio::time::timeout(PATIENCE, is_done).await });
        drop(finished.expect("in time").expect("all is answered"));
    });
    proxy.shutdown("the test is over");
    runtime.block_on(lifetime).expect("it ends well");
    asking.join().expect("the client is content");
    answering.join().expect("upstream is content");
    counted.count_total
}

/// Connects as soon as somebody listens.
fn connect(at: SocketAddr) -> TcpStream {
    let began = std::time::Instant::now();
    loop {
        match TcpStream::connect(at) {
            Ok(stream) => {
                stream.set_nodelay(true).expect("a socket");
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
                return stream;
            }
            Err(e) => assert!(began.elapsed() < PATIENCE, "nobody listens: {e}"),
        }
        thread::yield_now();
    }
}

#[test]
fn frames_flow_without_an_allocation_for_any_of_them() {
    for (kind, bytes, count) in [
        (Kind::Produce, 100, 10_000),
        (Kind::Produce, 100 << 10, 1_000),
        (Kind::Fetch, 100, 10_000),
        (Kind::Fetch, 100 << 10, 1_000),
    ] {
        let allocations = allocations(kind, bytes, count);
        println!("{} of {bytes} bytes: {allocations} allocations in {count} exchanges", kind.name());
        assert!(
            allocations <= SHARED,
            "{} of {bytes} bytes: {allocations} allocations in {count} exchanges",
            kind.name()
        );
    }
}
