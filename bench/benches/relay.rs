//! What the relay's decisions cost, without a socket: `cargo bench -p bench`.
//!
//! Heads of requests and the ledger of what is owed, by size of the frames, since bodies should cost nothing; and the walk over
//! responses that may carry addresses, by partition.

#[path = "../src/frames.rs"]
#[expect(dead_code, reason = "the benchmark of whole relays needs more of it")]
mod frames;

use divan::{Bencher, counter::ItemsCount};
use frames::{IN_REQUEST, IN_RESPONSE, Kind};
use kafka_protocol::{
    messages::{
        ApiKey, BrokerId, FetchRequest, FetchResponse, MetadataRequest, MetadataResponse, TopicName,
        fetch_response::{FetchableTopicResponse, PartitionData},
        metadata_response::{MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic},
    },
    protocol::StrBytes,
};
use kroxy_core::{
    address::HostPort,
    gateway::{Gateway, NodeRange, PortPerBroker},
    relay::{Event, Leg, Plan, Relay, Spec},
    time::Instant,
};
use std::{sync::Arc, time::Duration};

const METADATA_VERSION: i16 = 12;
/// The first in which the response may carry addresses (KIP-951) is 16; from 13 on topics have ids.
const FETCH_VERSION: i16 = 17;
const PARTITIONS: i32 = 1_000;
const BROKERS: i32 = 3;

fn main() {
    divan::main();
}

/// A connection whose upstream is there, and on which nothing is owed.
struct Open {
    relay: Relay,
    plan: Plan,
}

impl Open {
    fn new() -> Self {
        let nodes = vec![NodeRange { ids: 0..=99, first_port: 9_100 }];
        let ports = PortPerBroker::new("127.0.0.1".parse().expect("an address"), "kroxy.example", 9_092, nodes);
        let gateway = Gateway::port_per_broker("bench", ports.expect("ports in order")).expect("a gateway");
        let spec = Spec {
            gateway: Arc::new(gateway),
            request_frame_max: 100 << 20,
            first_request_timeout: Duration::from_secs(60),
            unfinished_request_timeout: Duration::from_secs(60),
            unread_response_timeout: Duration::from_secs(300),
            resolve_timeout: Duration::from_secs(15),
            connect_timeout: Duration::from_secs(5),
            idle_timeout: None,
            authentication: None,
            logs_in: false,
            login_timeout: Duration::from_secs(10),
        };
        let mut open = Self { relay: Relay::new(Arc::new(spec), Instant::ZERO), plan: Plan::default() };
        let request = frames::request(Kind::Produce, 100);
        open.show(Leg::Client, &request);
        for event in [Event::Resolved(vec![HostPort::new("kafka.example", 9_092)]), Event::Connected] {
            open.relay.handle(event, Instant::ZERO, &mut open.plan).expect("the connection lives");
        }
        open.exchange(&request, &frames::response(Kind::Produce, 100));
        open
    }

    /// As much as the relay takes; returns how much that is.
    fn show(&mut self, leg: Leg, bytes: &[u8]) -> usize {
        self.plan.clear();
        self.relay.feed(leg, bytes, Instant::ZERO, &mut self.plan).expect("good frames");
        self.plan.consumed
    }

    fn exchange(&mut self, requests: &[u8], responses: &[u8]) {
        assert_eq!(self.show(Leg::Client, requests), requests.len(), "the relay takes all requests");
        assert_eq!(self.show(Leg::Upstream, responses), responses.len(), "the relay takes all responses");
    }
}

/// The same frame a number of times, with correlation ids that count.
fn numbered(frame: &[u8], count: u32, at: std::ops::Range<usize>) -> Vec<u8> {
    let mut all = frame.repeat(count as usize);
    for (id, frame) in (0..count).zip(all.chunks_mut(frame.len())) {
        frame[at.clone()].copy_from_slice(&id.to_be_bytes());
    }
    all
}

#[divan::bench(args = [100, 1_000, 10_000])]
fn exchanges(bencher: Bencher, bytes: usize) {
    const DEPTH: u32 = 20;
    let requests = numbered(&frames::request(Kind::Produce, bytes), DEPTH, IN_REQUEST);
    let responses = numbered(&frames::response(Kind::Produce, bytes), DEPTH, IN_RESPONSE);
    let mut open = Open::new();
    bencher.counter(ItemsCount::new(DEPTH)).bench_local(|| open.exchange(&requests, &responses));
}

fn name(topic: &'static str) -> TopicName {
    TopicName(StrBytes::from_static_str(topic))
}

/// A partition each for a fetch that brings nothing, as consumers of many partitions do most of the time.
#[divan::bench]
fn fetch_response_by_partition(bencher: Bencher) {
    let partitions = (0..PARTITIONS)
        .map(|n| PartitionData::default().with_partition_index(n).with_records(Some(bytes::Bytes::new())));
    let topic = FetchableTopicResponse::default().with_partitions(partitions.collect());
    let response = FetchResponse::default().with_responses(vec![topic]);
    let response = frames::answered(ApiKey::Fetch, FETCH_VERSION, &response);
    let request = frames::asked(ApiKey::Fetch, FETCH_VERSION, &FetchRequest::default());
    let mut open = Open::new();
    bencher.counter(ItemsCount::new(PARTITIONS.unsigned_abs())).bench_local(|| open.exchange(&request, &response));
}

/// The response that has most to rewrite: brokers stand in front, and what is behind them is not looked at.
#[divan::bench]
fn metadata_response_by_partition(bencher: Bencher) {
    let brokers = (0..BROKERS).map(|id| {
        MetadataResponseBroker::default()
            .with_node_id(BrokerId(id))
            .with_host(StrBytes::from_static_str("kafka.example"))
            .with_port(9_092)
    });
    let partitions = (0..PARTITIONS).map(|n| {
        let replicas: Vec<_> = (0..BROKERS).map(BrokerId).collect();
        MetadataResponsePartition::default()
            .with_partition_index(n)
            .with_leader_id(BrokerId(n % BROKERS))
            .with_replica_nodes(replicas.clone())
            .with_isr_nodes(replicas)
    });
    let topic = MetadataResponseTopic::default().with_name(Some(name("bench"))).with_partitions(partitions.collect());
    let response = MetadataResponse::default().with_brokers(brokers.collect()).with_topics(vec![topic]);
    let response = frames::answered(ApiKey::Metadata, METADATA_VERSION, &response);
    let request = frames::asked(ApiKey::Metadata, METADATA_VERSION, &MetadataRequest::default());
    let mut open = Open::new();
    bencher.counter(ItemsCount::new(PARTITIONS.unsigned_abs())).bench_local(|| open.exchange(&request, &response));
}
