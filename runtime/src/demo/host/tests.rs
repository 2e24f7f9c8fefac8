//! The host over real sockets, against clients that know only bytes.

use super::*;
use crate::net::OsNet;
use fixture_broker::NodeSpec;
use kroxy_core::address::HostPort;
use std::net::Ipv4Addr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

type TcpStream = <OsNet as Net>::Stream;

/// ApiVersions v0 with correlation id 7 and no client id.
const API_VERSIONS: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 7, 0xff, 0xff];

struct Running {
    handle: HostHandle,
    addresses: BTreeMap<i32, SocketAddr>,
    _stop: watch::Sender<bool>,
    _tasks: JoinSet<()>,
}

impl Running {
    async fn start() -> Self {
        let node = |id| NodeSpec { id, host: "127.0.0.1".to_owned(), port: 0, rack: None };
        let spec = ClusterSpec { nodes: vec![node(0), node(1)], ..ClusterSpec::default() };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let (host, handle) =
            Host::bind(OsNet, Clock::system(), spec, &[(0, anywhere), (1, anywhere)], 1).await.expect("binds");
        let addresses = host.addresses();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(host.run(stopped));
        Self { handle, addresses, _stop: stop, _tasks: tasks }
    }

    async fn connect(&self, node: i32) -> io::Result<TcpStream> {
        let at = self.addresses[&node];
        OsNet.connect(&HostPort::new(at.ip().to_string(), at.port())).await
    }

    async fn open(&self) -> usize {
        self.handle.with(|cluster, _, _| cluster.connections()).await.expect("runs")
    }
}

/// Asks for the versions and returns the correlation id of the answer.
async fn ask(stream: &mut TcpStream) -> io::Result<i32> {
    stream.write_all(&API_VERSIONS).await?;
    let length = stream.read_i32().await?;
    let mut frame = vec![0; usize::try_from(length).expect("a length")];
    stream.read_exact(&mut frame).await?;
    Ok(i32::from_be_bytes(frame[..4].try_into().expect("four bytes")))
}

/// Reads until the broker has hung up.
async fn is_hung_up(stream: &mut TcpStream) -> bool {
    // A reset is a hang-up as well: the kernel sends one when bytes are left unread.
    matches!(stream.read(&mut [0; 64]).await, Ok(0) | Err(_))
}

#[tokio::test]
async fn frames_are_taken_however_they_are_cut() {
    let running = Running::start().await;
    let mut stream = running.connect(0).await.expect("connects");
    for byte in API_VERSIONS {
        stream.write_all(&[byte]).await.expect("takes it");
    }
    assert!(stream.read_i32().await.expect("an answer") > 4);
    assert_eq!(stream.read_i32().await.expect("an answer"), 7);
    let mut two = running.connect(1).await.expect("connects");
    two.write_all(&[API_VERSIONS, API_VERSIONS].concat()).await.expect("takes it");
    assert_eq!(ask(&mut two).await.expect("an answer"), 7);
}

#[tokio::test]
async fn a_length_that_no_frame_has_is_hung_up_on_before_anything_arrives() {
    let running = Running::start().await;
    for length in [0, -1, i32::MIN, i32::MAX, i32::from_be_bytes(*b"GET ")] {
        let mut stream = running.connect(0).await.expect("connects");
        stream.write_all(&length.to_be_bytes()).await.expect("takes it");
        assert!(is_hung_up(&mut stream).await, "{length}");
    }
    assert_eq!(ask(&mut running.connect(0).await.expect("connects")).await.expect("others are served"), 7);
}

#[tokio::test]
async fn a_node_that_stops_closes_its_port_and_connections_and_comes_back_where_it_was() {
    let running = Running::start().await;
    let mut gone = running.connect(0).await.expect("connects");
    let mut kept = running.connect(1).await.expect("connects");
    assert_eq!((ask(&mut gone).await.expect("served"), ask(&mut kept).await.expect("served")), (7, 7));

    running.handle.with(|cluster, now, out| cluster.stop_node(0, now, out)).await.expect("stops");
    assert!(is_hung_up(&mut gone).await);
    assert!(running.connect(0).await.is_err(), "nobody listens");
    assert_eq!(ask(&mut kept).await.expect("the other node goes on"), 7);
    assert_eq!(running.open().await, 1);

    running.handle.with(|cluster, now, out| cluster.start_node(0, now, out)).await.expect("starts");
    assert_eq!(ask(&mut running.connect(0).await.expect("listens again")).await.expect("served"), 7);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_hung_up_on_at_a_bound() {
    let running = Running::start().await;
    let mut stream = running.connect(0).await.expect("connects");
    // Answers are some thirty times as large as the question; whoever takes none of them cannot ask for ever.
    let questions = API_VERSIONS.repeat(1_000);
    let mut asked = 0;
    while stream.write_all(&questions).await.is_ok() {
        asked += 1_000;
        assert!(asked < 10_000_000, "it is still served");
    }
    let mut other = running.connect(0).await.expect("connects");
    assert_eq!(ask(&mut other).await.expect("others are served"), 7);
    assert_eq!(running.open().await, 1);
}

#[tokio::test]
async fn answers_wait_up_to_the_limit_and_one_may_be_larger() {
    let (queue, mut queued) = connection::queue();
    let large = Bytes::from(vec![0; limits::ANSWER_BYTES_WAITING + 1]);
    assert!(queue.push(large.clone()).is_ok());
    assert!(queue.push(Bytes::from_static(b"more")).is_err());

    let (queue, _kept) = connection::queue();
    let full = (0..=limits::ANSWERS_WAITING).find(|_| queue.push(Bytes::from_static(b"x")).is_err());
    assert_eq!(full, Some(limits::ANSWERS_WAITING));
    assert_eq!(queued.next().await, Some(large));
}

#[tokio::test]
async fn a_host_that_stops_leaves_nothing_listening_and_its_handle_says_so() {
    let running = Running::start().await;
    let mut stream = running.connect(0).await.expect("connects");
    assert_eq!(ask(&mut stream).await.expect("served"), 7);
    let Running { handle, addresses, _stop: stop, _tasks: mut tasks } = running;
    stop.send_replace(true);
    while tasks.join_next().await.is_some() {}
    assert!(is_hung_up(&mut stream).await);
    assert!(matches!(handle.with(|_, _, _| ()).await, Err(HostError::Gone)));
    for at in addresses.values() {
        assert!(OsNet.bind(*at).await.is_ok(), "{at} is still bound");
    }
}
