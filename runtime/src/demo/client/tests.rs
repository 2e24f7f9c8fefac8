//! The client against embedded brokers over real sockets, while those are disturbed.

use super::*;
use crate::{
    clock::Clock,
    demo::{
        Faults,
        host::{Host, HostHandle},
        workload::{Outcome, Workload},
    },
    net::{Listener, OsNet},
};
use bytes::Bytes;
use fixture_broker::{ClusterSpec, NodeSpec};
use std::{
    net::{Ipv4Addr, SocketAddr},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    sync::{mpsc, watch},
    time::timeout,
};

const NODES: i32 = 3;
const PARTITIONS: i32 = 6;
const PATIENCE: Duration = Duration::from_secs(20);
/// Against a test that never ends.
const AT_MOST: Duration = Duration::from_secs(60);

struct World {
    handle: HostHandle,
    bootstrap: Vec<HostPort>,
    tasks: JoinSet<Result<(), ClientError>>,
    _stop: watch::Sender<bool>,
}

impl World {
    async fn start() -> Self {
        let node = |id| NodeSpec { id, host: "127.0.0.1".to_owned(), port: 0, rack: None };
        let spec = ClusterSpec {
            nodes: (0..NODES).map(node).collect(),
            auto_create_topics: Some(PARTITIONS),
            ..ClusterSpec::default()
        };
        let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let binds: Vec<_> = (0..NODES).map(|id| (id, anywhere)).collect();
        let (host, handle) = Host::bind(OsNet, Clock::system(), spec, &binds, 1).await.expect("binds");
        let bootstrap = host.addresses().values().map(|at| HostPort::new("127.0.0.1", at.port())).collect();
        let (stop, stopped) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(async {
            host.run(stopped).await;
            Ok(())
        });
        Self { handle, bootstrap, tasks, _stop: stop }
    }

    fn client(&self, name: &str) -> Client<OsNet> {
        Client::new(OsNet, name, self.bootstrap.clone(), PATIENCE)
    }

    /// A producer of the topic "t": what it is given, and how much of it is acknowledged.
    async fn producer(&mut self) -> (mpsc::Sender<Vec<Outgoing>>, watch::Receiver<u64>) {
        let producer = Producer::new(self.client("producer"), Clock::system(), "t").await.expect("gets an id");
        assert_eq!(producer.partitions(), PARTITIONS);
        let (records, inbox) = mpsc::channel(1);
        let (acknowledge, acknowledged) = watch::channel(0);
        self.tasks.spawn(async move { producer.run(inbox, &acknowledge).await });
        (records, acknowledged)
    }

    /// A member of the group "g": what it reads, and the way to make it leave.
    fn member(&mut self, name: &str) -> (mpsc::Receiver<Delivery>, watch::Sender<bool>) {
        let spec = ConsumerSpec { group: "g".to_owned(), topic: "t".to_owned() };
        let consumer = Consumer::new(self.client(name), &spec);
        let (deliver, deliveries) = mpsc::channel(1);
        let (leave, leaving) = watch::channel(false);
        self.tasks.spawn(consumer.run(deliver, leaving));
        (deliveries, leave)
    }

    /// A workload through the brokers, and what `disturb` does to them meanwhile.
    async fn disturbed(&self, net: impl Net, records: u64, disturb: impl Future<Output = ()>) -> Outcome {
        let workload = Workload {
            bootstrap: self.bootstrap.clone(),
            topic: "t".to_owned(),
            group: "g".to_owned(),
            members: 2,
            record_bytes: 100,
            records: Some(records),
            rate: None,
            patience: PATIENCE,
        };
        let (_never, stop) = watch::channel(false);
        let run = workload.run(net, Clock::system(), stop, |_| {});
        timeout(AT_MOST, async { tokio::join!(run, disturb).0 }).await.expect("it ends")
    }

    /// Waits until that many records are in the logs.
    async fn filled_to(&self, records: i64) {
        loop {
            let end = |cluster: &fixture_broker::Cluster| {
                cluster.topics().iter().flat_map(|t| &t.partitions).map(|p| p.high_watermark).sum::<i64>()
            };
            if self.handle.with(move |cluster, _, _| end(cluster)).await.expect("runs") >= records {
                return;
            }
            tokio::task::yield_now().await;
        }
    }
}

/// A network whose connections break after so many reads, and keep what they have read last to themselves: the broker has
/// done what it was asked to, and the client does not know.
#[derive(Clone)]
struct Forgetful {
    reads: u32,
    broken: Arc<AtomicU32>,
}

struct Breaking {
    stream: <OsNet as Net>::Stream,
    reads_left: u32,
    broken: Arc<AtomicU32>,
}

impl Net for Forgetful {
    type Stream = Breaking;
    type Listener = Never;

    async fn bind(&self, _: SocketAddr) -> io::Result<Never> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, to: &HostPort) -> io::Result<Breaking> {
        let stream = OsNet.connect(to).await?;
        Ok(Breaking { stream, reads_left: self.reads, broken: self.broken.clone() })
    }

    fn address_of(connection: &Breaking) -> io::Result<SocketAddr> {
        OsNet::address_of(&connection.stream)
    }

    fn break_off(connection: &Breaking) -> io::Result<()> {
        OsNet::break_off(&connection.stream)
    }
}

/// Clients do not listen.
enum Never {}

impl Listener for Never {
    type Stream = Breaking;

    async fn accept(&mut self) -> io::Result<(Breaking, SocketAddr)> {
        match *self {}
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        match *self {}
    }
}

impl AsyncRead for Breaking {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_read(cx, buf))?;
        match self.reads_left.checked_sub(1) {
            Some(left) => self.reads_left = left,
            None => {
                self.broken.fetch_add(1, Relaxed);
                return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Breaking {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// One record for each partition; its value is its number.
fn round(number: u64) -> Vec<Outgoing> {
    let value = Bytes::from(number.to_be_bytes().to_vec());
    (0..PARTITIONS).map(|partition| Outgoing { partition, value: value.clone() }).collect()
}

fn assert_clean(outcome: &Outcome, records: u64) {
    assert_eq!(outcome.failure, None, "{outcome:?}");
    assert_eq!(outcome.faults, Faults::default(), "{outcome:?}");
    assert_eq!((outcome.sent, outcome.received), (records, records), "{outcome:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_divides_the_partitions_and_takes_over_those_of_a_member_that_leaves() {
    let mut world = World::start().await;
    let (records, _acknowledged) = world.producer().await;
    let (mut first, leave_first) = world.member("first");
    let (mut second, leave_second) = world.member("second");
    let (mut rounds, mut received) = (0_u64, BTreeMap::<i32, Vec<u64>>::new());
    let mut take = |delivery: Delivery| {
        let line = received.entry(delivery.partition).or_default();
        let number = |value: &Bytes| u64::from_be_bytes(value[..].try_into().expect("a number"));
        line.extend(delivery.records.iter().map(|record| number(&record.value)));
        delivery.records.len()
    };
    let story = async {
        // Until both have read something, however often the group rebalances on the way.
        let (mut from_first, mut from_second) = (0, 0);
        while from_first == 0 || from_second == 0 {
            records.send(round(rounds)).await.expect("the producer runs");
            rounds += 1;
            let mut missing = usize::try_from(PARTITIONS).expect("positive");
            while missing > 0 {
                tokio::select! {
                    Some(delivery) = first.recv() => { let n = take(delivery); from_first += n; missing -= n; }
                    Some(delivery) = second.recv() => { let n = take(delivery); from_second += n; missing -= n; }
                }
            }
        }
        leave_first.send_replace(true);
        assert_eq!(first.recv().await, None, "it leaves, and everything it had read was taken");
        for _ in 0..10 {
            records.send(round(rounds)).await.expect("the producer runs");
            rounds += 1;
        }
        let mut missing = 10 * usize::try_from(PARTITIONS).expect("positive");
        while missing > 0 {
            missing -= take(second.recv().await.expect("it goes on"));
        }
        leave_second.send_replace(true);
        assert_eq!(second.recv().await, None);
    };
    timeout(AT_MOST, story).await.expect("it ends");
    for partition in 0..PARTITIONS {
        assert_eq!(received[&partition], (0..rounds).collect::<Vec<_>>(), "partition {partition}");
    }
    let committed = world.handle.with(|cluster, _, _| cluster.committed("g")).await.expect("runs");
    assert!(committed.iter().all(|c| c.offset == i64::try_from(rounds).expect("few")), "{committed:?}");
    assert_eq!(committed.len(), usize::try_from(PARTITIONS).expect("positive"));
    let groups = world.handle.with(|cluster, _, _| cluster.groups()).await.expect("runs");
    assert!(groups.iter().all(|group| group.members.is_empty()), "{groups:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_nodes_stop_and_start_again() {
    const RECORDS: u64 = 30_000;
    let world = World::start().await;
    let disturb = async {
        for node in 0..NODES {
            world.filled_to(4_000 * i64::from(2 * node + 1)).await;
            world.handle.with(move |cluster, now, out| cluster.stop_node(node, now, out)).await.expect("stops");
            world.filled_to(4_000 * i64::from(2 * node + 2)).await;
            world.handle.with(move |cluster, now, out| cluster.start_node(node, now, out)).await.expect("starts");
        }
    };
    assert_clean(&world.disturbed(OsNet, RECORDS, disturb).await, RECORDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_leaders_and_the_coordinator_move() {
    const RECORDS: u64 = 30_000;
    let world = World::start().await;
    let disturb = async {
        for step in 0..28_i32 {
            world.filled_to(1_000 * i64::from(step + 1)).await;
            let (partition, to) = (step % PARTITIONS, (step / PARTITIONS + step) % NODES);
            let moved = world.handle.with(move |cluster, now, out| {
                cluster.move_coordinator("g", to, now, out);
                cluster.move_leader("t", partition, to, now, out)
            });
            assert!(moved.await.expect("runs"));
        }
    };
    assert_clean(&world.disturbed(OsNet, RECORDS, disturb).await, RECORDS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_while_answers_get_lost_with_their_connections() {
    const RECORDS: u64 = 30_000;
    let world = World::start().await;
    let net = Forgetful { reads: 15, broken: Arc::default() };
    assert_clean(&world.disturbed(net.clone(), RECORDS, async {}).await, RECORDS);
    assert!(net.broken.load(Relaxed) >= 5, "only {} connections broke", net.broken.load(Relaxed));
}

#[tokio::test]
async fn a_client_gives_up_when_its_patience_is_over_and_says_what_happened() {
    let nowhere = HostPort::new("127.0.0.1", 1);
    let mut client = Client::new(OsNet, "lost", vec![nowhere], Duration::from_millis(50));
    let failure = client.partitions("t").await.expect_err("nobody is there");
    assert!(matches!(&failure, ClientError::GaveUp { last, .. } if matches!(**last, ClientError::Connect { .. })));
    assert!(failure.to_string().contains("cannot connect to 127.0.0.1:1"), "{failure}");
}

/// Answers the requests of every connection with these frames, one each.
async fn answer_with(mut listener: <OsNet as Net>::Listener, frames: Vec<Vec<u8>>) {
    let mut connections = JoinSet::new();
    while let Ok((mut stream, _)) = Listener::accept(&mut listener).await {
        let frames = frames.clone();
        connections.spawn(async move {
            for frame in frames {
                let request = stream.read_i32().await.ok().and_then(|length| usize::try_from(length).ok());
                let Some(length) = request else { return };
                if stream.read_exact(&mut vec![0; length]).await.is_err() || stream.write_all(&frame).await.is_err() {
                    return;
                }
            }
        });
    }
}

fn frame(correlation: i32, body: &[u8]) -> Vec<u8> {
    let length = i32::try_from(4 + body.len()).expect("short");
    [&length.to_be_bytes(), &correlation.to_be_bytes(), body].concat()
}

#[tokio::test]
async fn a_broker_that_talks_nonsense_is_an_error_whatever_it_says() {
    let metadata_only = frame(0, &[0, 0, 0, 0, 0, 1, 0, 3, 0, 0, 0, 13]);
    let cases: [(&str, Vec<Vec<u8>>); 9] = [
        ("a negative length", vec![(-1_i32).to_be_bytes().to_vec()]),
        ("a length beyond all limits", vec![i32::MAX.to_be_bytes().to_vec()]),
        ("no room for a correlation id", vec![vec![0, 0, 0, 2, 0, 0]]),
        ("another correlation id", vec![frame(7, &[0; 6])]),
        ("no body", vec![frame(0, &[])]),
        ("versions that are not there", vec![frame(0, &[0, 0, 0x7f, 0xff, 0xff, 0xff])]),
        ("an error", vec![frame(0, &[0, 35, 0, 0, 0, 0])]),
        ("metadata of nothing", vec![metadata_only.clone(), frame(1, &[])]),
        ("brokers that are not there", vec![metadata_only, frame(1, &[0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x0f])]),
    ];
    for (what, frames) in cases {
        let listener = OsNet.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await.expect("binds");
        let port = listener.local_addr().expect("bound").port();
        let mut server = JoinSet::new();
        server.spawn(answer_with(listener, frames));
        let bootstrap = vec![HostPort::new("127.0.0.1", port)];
        let mut client = Client::new(OsNet, "patient", bootstrap, Duration::from_millis(50));
        assert!(client.partitions("t").await.is_err(), "{what}");
    }
}
