//! The client against embedded brokers over real sockets, while those are disturbed.

use super::*;
use crate::{
    clock::Clock,
    demo::{
        Faults,
        host::{Host, HostHandle},
        workload::{Outcome, Workload},
    },
    net::OsNet,
};
use bytes::Bytes;
use fixture_broker::{ClusterSpec, NodeSpec};
use std::net::{Ipv4Addr, SocketAddr};
use tokio::{
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
    async fn disturbed(&self, records: u64, disturb: impl Future<Output = ()>) -> Outcome {
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
        let run = workload.run(OsNet, Clock::system(), stop, |_| {});
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
    assert_clean(&world.disturbed(RECORDS, disturb).await, RECORDS);
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
    assert_clean(&world.disturbed(RECORDS, disturb).await, RECORDS);
}

#[tokio::test]
async fn a_client_gives_up_when_its_patience_is_over_and_says_what_happened() {
    let nowhere = HostPort::new("127.0.0.1", 1);
    let mut client = Client::new(OsNet, "lost", vec![nowhere], Duration::from_millis(50));
    let failure = client.partitions("t").await.expect_err("nobody is there");
    assert!(matches!(&failure, ClientError::GaveUp { last, .. } if matches!(**last, ClientError::Connect { .. })));
    assert!(failure.to_string().contains("cannot connect to 127.0.0.1:1"), "{failure}");
}
