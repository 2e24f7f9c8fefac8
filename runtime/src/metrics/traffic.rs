//! What passes between clients and upstream: each worker thread counts for itself, and whoever asks sums.
//!
//! A count is an addition to memory that no other worker writes, without a lock or a look-up by name. What was counted of a virtual
//! cluster stays when that is removed, and goes on when it comes back.

use super::{
    latency::{self, Latencies},
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
    /// Bytes that clients sent.
    read: AtomicU64,
    /// Bytes that clients got.
    written: AtomicU64,
    /// By API key; made when the thread first sees a request of that API.
    apis: [OnceLock<Box<Apart<OfApi>>>; APIS.len()],
}

impl Default for Share {
    fn default() -> Self {
        Self { read: AtomicU64::new(0), written: AtomicU64::new(0), apis: [const { OnceLock::new() }; APIS.len()] }
    }
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
        self.workers.mine().read.fetch_add(bytes, Relaxed);
    }

    /// Bytes were taken for a client.
    pub(super) fn wrote(&self, bytes: u64) {
        self.workers.mine().written.fetch_add(bytes, Relaxed);
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
        (total(self.workers.iter(), |share| &share.read), total(self.workers.iter(), |share| &share.written))
    }

    /// How many requests are over, of each API that was used.
    pub(super) fn requests(&self) -> impl Iterator<Item = (&'static Api, u64)> {
        self.used().map(|(api, counted)| (api, total(counted, |of| &of.requests)))
    }

    /// What the proxy added, and what upstream took where it did not wait on purpose.
    pub(super) fn latencies(&self) -> [Counts; 2] {
        let (mut added, mut upstream) = ([0; BUCKETS], [0; BUCKETS]);
        for (api, counted) in self.used() {
            for of in counted {
                of.added.add_to(&mut added);
                if !api.is_long_poll() {
                    of.upstream.add_to(&mut upstream);
                }
            }
        }
        [added, upstream]
    }

    /// Each API that was used, with what each worker has counted of it.
    fn used(&self) -> impl Iterator<Item = (&'static Api, impl Iterator<Item = &OfApi> + Clone)> {
        APIS.iter().enumerate().filter_map(|(at, api)| {
            let counted = self.workers.iter().filter_map(move |share| share.apis[at].get()).map(|counted| &counted.0);
            counted.clone().next().is_some().then_some((api, counted))
        })
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
}

fn total<'a, T: 'a>(counted: impl Iterator<Item = &'a T>, figure: fn(&T) -> &AtomicU64) -> u64 {
    counted.map(|counted| figure(counted).load(Relaxed)).sum()
}

/// One family of metrics, and where its figure is in what a worker has counted.
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
const BY_CLUSTER: [Family<Share>; 2] = [
    Family {
        name: "kroxy_client_bytes_read_total",
        help: "Bytes read from clients.",
        figure: Figure::Total(|share| &share.read),
    },
    Family {
        name: "kroxy_client_bytes_written_total",
        help: "Bytes written to clients.",
        figure: Figure::Total(|share| &share.written),
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

    /// The sum of what was counted.
    fn metric<'a>(&self, counted: impl Iterator<Item = &'a T>, labels: &[(&str, &str)]) -> proto::Metric
    where
        T: 'a,
    {
        let label = |(name, value): &(&str, &str)| {
            let mut label = proto::LabelPair::default();
            label.set_name((*name).to_owned());
            label.set_value((*value).to_owned());
            label
        };
        let mut metric = proto::Metric::from_label(labels.iter().map(label).collect());
        match self.figure {
            Figure::Total(figure) => {
                let mut counter = proto::Counter::default();
                counter.set_value(total(counted, figure) as f64);
                metric.set_counter(counter);
            }
            Figure::Latencies(figure) => metric.set_histogram(latency::histogram(counted.map(figure))),
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
            for (family, metrics) in &mut by_cluster {
                metrics.push(family.metric(traffic.workers.iter(), &[cluster]));
            }
            for (api, counted) in traffic.used() {
                let labels = [("api", api.name), cluster];
                for (family, metrics) in &mut by_api {
                    metrics.push(family.metric(counted.clone(), &labels));
                }
            }
        }
        let by_cluster = by_cluster.into_iter().map(|(family, metrics)| family.with(metrics));
        by_cluster.chain(by_api.into_iter().map(|(family, metrics)| family.with(metrics))).collect()
    }
}
