//! What passes between clients and upstream: each worker thread counts for itself, and whoever asks sums.
//!
//! A count is an addition to memory that no other worker writes, without a lock or a look-up by name. What was counted of a virtual
//! cluster stays when that is removed, and goes on when it comes back.

use super::{
    latency::Latencies,
    per_worker::{Apart, PerWorker},
};
use crate::lock;
use kroxy_core::{
    api::{APIS, Api},
    latency::{BUCKETS, Counts},
    relay::{AnsweredBy, Exchange},
};
use prometheus::{
    core::{Collector, Desc},
    proto,
};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// What has passed of one virtual cluster.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    workers: PerWorker<Share>,
}

/// What one worker thread has counted of it.
#[derive(Debug)]
struct Share {
    bytes: Bytes,
    /// By API key; made when the thread first sees a request of that API.
    apis: [OnceLock<Box<Apart<OfApi>>>; APIS.len()],
}

impl Default for Share {
    fn default() -> Self {
        Self { bytes: Bytes::default(), apis: [const { OnceLock::new() }; APIS.len()] }
    }
}

/// Bytes that clients sent and got.
#[derive(Debug, Default)]
struct Bytes {
    read: AtomicU64,
    written: AtomicU64,
}

/// Requests of one API that are over.
#[derive(Debug, Default)]
struct OfApi {
    requests: AtomicU64,
    own_answers: AtomicU64,
    request_bytes: AtomicU64,
    response_bytes: AtomicU64,
    upstream: Latencies,
    added: Latencies,
}

impl Traffic {
    /// Bytes were read from a client.
    pub(super) fn read(&self, bytes: u64) {
        self.workers.mine().bytes.read.fetch_add(bytes, Relaxed);
    }

    /// Bytes were taken for a client.
    pub(super) fn wrote(&self, bytes: u64) {
        self.workers.mine().bytes.written.fetch_add(bytes, Relaxed);
    }

    /// Requests are over. The proxy `took` so long from turning to the bytes that ended them until those were written.
    pub(super) fn settle(&self, exchanges: &[Exchange], took: Duration) {
        let mine = self.workers.mine();
        for exchange in exchanges {
            if let Some(api) = usize::try_from(exchange.asked.key.0).ok().and_then(|key| mine.apis.get(key)) {
                api.get_or_init(Box::default).0.settle(exchange, took);
            }
        }
    }

    /// How many bytes were read from clients, and written to them.
    pub(super) fn bytes(&self) -> (u64, u64) {
        let Bytes { read, written } = self.sum_of_bytes();
        (read.into_inner(), written.into_inner())
    }

    /// How many requests are over, of each API that was used.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&'static Api, u64)> {
        APIS.iter().enumerate().filter_map(|(at, api)| {
            let requests = self.of_api(at).map(|counted| counted.requests.load(Relaxed));
            Some((api, requests.reduce(|sum, requests| sum + requests)?))
        })
    }

    /// What the proxy added, and what upstream took where it did not wait on purpose.
    pub(super) fn latencies(&self) -> [Counts; 2] {
        let (mut added, mut upstream) = ([0; BUCKETS], [0; BUCKETS]);
        for (at, api) in APIS.iter().enumerate() {
            for counted in self.of_api(at) {
                counted.added.add_to(&mut added);
                if !api.is_long_poll() {
                    counted.upstream.add_to(&mut upstream);
                }
            }
        }
        [added, upstream]
    }

    /// What each worker has counted of an API.
    fn of_api(&self, at: usize) -> impl Iterator<Item = &OfApi> {
        self.workers.iter().filter_map(move |share| share.apis[at].get()).map(|counted| &counted.0)
    }

    fn sum_of_bytes(&self) -> Bytes {
        let mut sum = Bytes::default();
        self.workers.iter().for_each(|share| sum.add(&share.bytes));
        sum
    }

    /// The sum for each API that was used.
    fn sums_by_api(&self) -> impl Iterator<Item = (&'static Api, OfApi)> {
        APIS.iter().enumerate().filter_map(|(at, api)| {
            let mut counted = self.of_api(at).peekable();
            counted.peek()?;
            let mut sum = OfApi::default();
            counted.for_each(|counted| sum.add(counted));
            Some((api, sum))
        })
    }
}

impl Bytes {
    fn add(&mut self, other: &Self) {
        add(&mut self.read, &other.read);
        add(&mut self.written, &other.written);
    }
}

impl OfApi {
    fn settle(&self, exchange: &Exchange, took: Duration) {
        let asked = &exchange.asked;
        self.requests.fetch_add(1, Relaxed);
        self.request_bytes.fetch_add(asked.request_bytes, Relaxed);
        self.response_bytes.fetch_add(exchange.response_bytes, Relaxed);
        match exchange.by {
            AnsweredBy::Upstream(upstream) => {
                self.upstream.record(upstream);
                self.added.record(asked.took() + took);
            }
            AnsweredBy::Nobody => self.added.record(took),
            AnsweredBy::Proxy => _ = self.own_answers.fetch_add(1, Relaxed), // it added nothing: it was all there was
        }
    }

    fn add(&mut self, other: &Self) {
        add(&mut self.requests, &other.requests);
        add(&mut self.own_answers, &other.own_answers);
        add(&mut self.request_bytes, &other.request_bytes);
        add(&mut self.response_bytes, &other.response_bytes);
        self.upstream.add(&other.upstream);
        self.added.add(&other.added);
    }
}

/// A sum has one owner, so adding to it takes no atomic operation.
fn add(sum: &mut AtomicU64, count: &AtomicU64) {
    *sum.get_mut() += count.load(Relaxed);
}

/// One family of metrics, and where a sum has its figure.
struct Family<T> {
    name: &'static str,
    help: &'static str,
    figure: Figure<T>,
}

enum Figure<T> {
    Total(fn(&T) -> &AtomicU64),
    Latencies(fn(&T) -> &Latencies),
}

/// What is shown of each virtual cluster.
const BY_CLUSTER: [Family<Bytes>; 2] = [
    Family {
        name: "kroxy_client_bytes_read_total",
        help: "Bytes read from clients.",
        figure: Figure::Total(|bytes| &bytes.read),
    },
    Family {
        name: "kroxy_client_bytes_written_total",
        help: "Bytes written to clients.",
        figure: Figure::Total(|bytes| &bytes.written),
    },
];

/// What is shown of each API that a virtual cluster's clients have used.
const BY_API: [Family<OfApi>; 6] = [
    Family {
        name: "kroxy_requests_total",
        help: "Requests that are over, by API.",
        figure: Figure::Total(|api| &api.requests),
    },
    Family {
        name: "kroxy_own_answers_total",
        help: "Requests that the proxy answered itself, by API.",
        figure: Figure::Total(|api| &api.own_answers),
    },
    Family {
        name: "kroxy_request_bytes_total",
        help: "Bytes of requests that are over, by API.",
        figure: Figure::Total(|api| &api.request_bytes),
    },
    Family {
        name: "kroxy_response_bytes_total",
        help: "Bytes of responses, by API.",
        figure: Figure::Total(|api| &api.response_bytes),
    },
    Family {
        name: "kroxy_request_upstream_seconds",
        help: "How long upstream had a request: from all of it handed over, and everything before it on its connection \
               answered, to the last byte of the response read. Long polls included: Fetch, ShareFetch, JoinGroup, SyncGroup.",
        figure: Figure::Latencies(|api| &api.upstream),
    },
    Family {
        name: "kroxy_request_added_seconds",
        help: "What the proxy added to a request: from turning to the bytes that end it until they were written, and the \
               same for its response. Waiting for a peer is not in it.",
        figure: Figure::Latencies(|api| &api.added),
    },
];

impl<T> Family<T> {
    fn desc(&self, labels: &[&str]) -> Desc {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        Desc::new(self.name.to_owned(), self.help.to_owned(), labels, Default::default()).expect("a valid metric")
    }

    fn metric(&self, sum: &T, labels: &[(&str, &str)]) -> proto::Metric {
        let label = |(name, value): &(&str, &str)| {
            let mut label = proto::LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        };
        let mut metric = proto::Metric::from_label(labels.iter().map(label).collect());
        match self.figure {
            Figure::Total(of) => {
                let mut counter = proto::Counter::default();
                counter.set_value(of(sum).load(Relaxed) as f64);
                metric.set_counter(counter);
            }
            Figure::Latencies(of) => metric.set_histogram(of(sum).for_prometheus()),
        }
        metric
    }

    fn with(&self, metrics: Vec<proto::Metric>) -> proto::MetricFamily {
        let mut family = proto::MetricFamily::default();
        family.set_name(self.name.to_owned());
        family.set_help(self.help.to_owned());
        family.set_field_type(match self.figure {
            Figure::Total(_) => proto::MetricType::COUNTER,
            Figure::Latencies(_) => proto::MetricType::HISTOGRAM,
        });
        family.set_metric(metrics);
        family
    }
}

/// What has passed of all virtual clusters, as Prometheus is shown it.
#[derive(Clone, Debug)]
pub(super) struct TrafficVec {
    descs: Vec<Desc>,
    /// By name.
    clusters: Arc<Mutex<BTreeMap<String, Arc<Traffic>>>>,
}

impl TrafficVec {
    pub(super) fn new() -> Self {
        let by_cluster = BY_CLUSTER.iter().map(|family| family.desc(&["virtual_cluster"]));
        let by_api = BY_API.iter().map(|family| family.desc(&["virtual_cluster", "api"]));
        Self { descs: by_cluster.chain(by_api).collect(), clusters: Arc::default() }
    }

    pub(super) fn of(&self, virtual_cluster: &str) -> Arc<Traffic> {
        lock(&self.clusters).entry(virtual_cluster.to_owned()).or_default().clone()
    }
}

impl Collector for TrafficVec {
    fn desc(&self) -> Vec<&Desc> {
        self.descs.iter().collect()
    }

    fn collect(&self) -> Vec<proto::MetricFamily> {
        let (mut by_cluster, mut by_api) =
            (BY_CLUSTER.map(|family| (family, Vec::new())), BY_API.map(|family| (family, Vec::new())));
        for (name, traffic) in lock(&self.clusters).iter() {
            let cluster = ("virtual_cluster", name.as_str());
            let bytes = traffic.sum_of_bytes();
            by_cluster.iter_mut().for_each(|(family, metrics)| metrics.push(family.metric(&bytes, &[cluster])));
            for (api, sum) in traffic.sums_by_api() {
                let labels = [("api", api.name), cluster];
                by_api.iter_mut().for_each(|(family, metrics)| metrics.push(family.metric(&sum, &labels)));
            }
        }
        let by_cluster = by_cluster.into_iter().map(|(family, metrics)| family.with(metrics));
        by_cluster.chain(by_api.into_iter().map(|(family, metrics)| family.with(metrics))).collect()
    }
}
