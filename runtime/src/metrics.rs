//! What is counted, in Prometheus' names and base units. docs/metrics.md lists all of it; a test compares.
//!
//! Every handle that the hot path touches is looked up once for each virtual cluster: a label look-up costs ten times as
//! much as the count itself.

mod latency;

use self::latency::{Lately, Latencies, LatencyVec};
use crate::{lock, tls};
use kroxy_core::{
    admission::Limit,
    api::{APIS, Api},
    cluster,
    latency::{BUCKETS, Counts},
    proxy,
    relay::{AnsweredBy, Exchange},
    sasl::Mechanism,
    status::{CertificateStatus, ClusterState, Latency, ProxyState, Status},
    time::Instant,
};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

/// Seconds that drains take: from nothing in flight to a long deadline.
const DRAIN_BUCKETS: &[f64] = &[0.001, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];

/// Seconds that states last: from a moment to a day.
const STATE_BUCKETS: &[f64] = &[0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3_600.0, 86_400.0];

/// Every state has a line from the first moment.
const CLUSTER_STATES: [ClusterState; 5] = [
    ClusterState::Initializing,
    ClusterState::Serving,
    ClusterState::Draining,
    ClusterState::Failed,
    ClusterState::Stopped,
];

/// Likewise.
const PROXY_STATES: [ProxyState; 5] =
    [ProxyState::New, ProxyState::Starting, ProxyState::Started, ProxyState::Stopping, ProxyState::Stopped];

const fn outcome(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}

fn histogram(name: &str, help: &str, buckets: Vec<f64>) -> HistogramOpts {
    HistogramOpts::new(name, help).buckets(buckets)
}

/// All metrics of one proxy.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Registry,
    accept_failures: IntCounterVec,
    connections: IntGaugeVec,
    connections_accepted: IntCounterVec,
    connections_refused: IntCounterVec,
    disconnects: IntCounterVec,
    limits_reached: IntCounterVec,
    bytes_in: IntCounterVec,
    bytes_out: IntCounterVec,
    requests: IntCounterVec,
    own_answers: IntCounterVec,
    request_bytes: IntCounterVec,
    response_bytes: IntCounterVec,
    upstream_duration: LatencyVec,
    added_duration: LatencyVec,
    unmapped_nodes: IntCounterVec,
    upstream_servers: IntGaugeVec,
    handshake_failures: IntCounterVec,
    not_after: GaugeVec,
    sni_refused: IntCounterVec,
    unanswered: IntCounterVec,
    not_authenticated: IntCounterVec,
    authentications: IntCounterVec,
    logins: IntCounterVec,
    proxy_state: IntGaugeVec,
    startup_duration: Gauge,
    cluster_state: IntGaugeVec,
    cluster_since: GaugeVec,
    cluster_state_duration: HistogramVec,
    cluster_transitions: IntCounterVec,
    drain_duration: HistogramVec,
    drain_connections: IntCounterVec,
    reloads: IntCounterVec,
    reload_duration: Histogram,
}

impl Metrics {
    /// A registry of its own: several proxies may live in one process.
    pub fn new() -> Self {
        const CLUSTER: &[&str] = &["virtual_cluster"];
        const API: &[&str] = &["virtual_cluster", "api"];
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric");
            registry.register(Box::new(metric.clone())).expect("registered once");
            metric
        };
        let with_latencies = |name: &str, help: &str| {
            let metric = LatencyVec::new(name, help);
            registry.register(Box::new(metric.clone())).expect("registered once");
            metric
        };
        let connections = IntGaugeVec::new(Opts::new("kroxy_connections", "Client connections open now."), CLUSTER)
            .expect("a valid metric");
        registry.register(Box::new(connections.clone())).expect("registered once");
        macro_rules! registered {
            ($metric:expr) => {{
                let metric = $metric.expect("a valid metric");
                registry.register(Box::new(metric.clone())).expect("registered once");
                metric
            }};
        }
        let states = STATE_BUCKETS.to_vec();
        Self {
            proxy_state: registered!(IntGaugeVec::new(
                Opts::new("kroxy_proxy_state", "1 for the state that the proxy is in, 0 for the others."),
                &["state"]
            )),
            startup_duration: registered!(Gauge::new(
                "kroxy_proxy_startup_duration_seconds",
                "From startup() until the proxy was started."
            )),
            cluster_state: registered!(IntGaugeVec::new(
                Opts::new(
                    "kroxy_virtual_cluster_state",
                    "1 for the state that the virtual cluster is in, 0 for the others."
                ),
                &["virtual_cluster", "state"]
            )),
            cluster_since: registered!(GaugeVec::new(
                Opts::new(
                    "kroxy_virtual_cluster_state_since_seconds",
                    "Unix time at which the present state was entered."
                ),
                CLUSTER
            )),
            cluster_state_duration: registered!(HistogramVec::new(
                histogram(
                    "kroxy_virtual_cluster_state_duration_seconds",
                    "How long a state lasted, counted when it was left.",
                    states.clone()
                ),
                &["virtual_cluster", "state"]
            )),
            cluster_transitions: counter(
                "kroxy_virtual_cluster_transitions_total",
                "Changes of state.",
                &["virtual_cluster", "from", "to"],
            ),
            drain_duration: registered!(HistogramVec::new(
                histogram("kroxy_drain_duration_seconds", "How long drains took.", DRAIN_BUCKETS.to_vec()),
                CLUSTER
            )),
            drain_connections: counter(
                "kroxy_drain_connections_total",
                "Connections that a drain ended: quiet, with nothing in flight, or cut at the timeout.",
                &["virtual_cluster", "outcome"],
            ),
            reloads: counter(
                "kroxy_reload_total",
                "Reloads, by how they ended; not begun: rejected, busy.",
                &["outcome"],
            ),
            reload_duration: registered!(Histogram::with_opts(histogram(
                "kroxy_reload_duration_seconds",
                "How long reloads took.",
                states
            ))),
            upstream_servers: registered!(IntGaugeVec::new(
                Opts::new(
                    "kroxy_upstream_servers",
                    "Upstream servers that are known, by how the last attempt to connect to them ended: reachable, \
                     unreachable, or untried."
                ),
                &["virtual_cluster", "state"]
            )),
            accept_failures: counter(
                "kroxy_accept_failures_total",
                "Times that a connection could not be accepted, by cause: descriptors, memory, other.",
                &["cause"],
            ),
            connections,
            upstream_duration: with_latencies(
                "kroxy_request_upstream_seconds",
                "How long upstream had a request: from all of it handed over, and everything before it on its connection \
                 answered, to the last byte of the response read. Long polls included: Fetch, ShareFetch, JoinGroup, SyncGroup.",
            ),
            added_duration: with_latencies(
                "kroxy_request_added_seconds",
                "What the proxy added to a request: from turning to the bytes that end it until they were written, and the \
                 same for its response. Waiting for a peer is not in it.",
            ),
            connections_accepted: counter("kroxy_connections_accepted_total", "Client connections accepted.", CLUSTER),
            connections_refused: counter(
                "kroxy_connections_refused_total",
                "Client connections closed at once because the cluster's max_connections was reached.",
                CLUSTER,
            ),
            disconnects: counter(
                "kroxy_disconnects_total",
                "Client connections that ended, by cause.",
                &["virtual_cluster", "cause"],
            ),
            limits_reached: counter(
                "kroxy_limit_reached_total",
                "Times that a configured limit was reached, by limit: a connection was closed or not let in, or something waited.",
                &["virtual_cluster", "limit"],
            ),
            bytes_in: counter("kroxy_client_bytes_read_total", "Bytes read from clients.", CLUSTER),
            bytes_out: counter("kroxy_client_bytes_written_total", "Bytes written to clients.", CLUSTER),
            requests: counter("kroxy_requests_total", "Requests that are over, by API.", API),
            own_answers: counter("kroxy_own_answers_total", "Requests that the proxy answered itself, by API.", API),
            request_bytes: counter("kroxy_request_bytes_total", "Bytes of requests that are over, by API.", API),
            response_bytes: counter("kroxy_response_bytes_total", "Bytes of responses, by API.", API),
            not_authenticated: counter("kroxy_sasl_refused_total", "SASL exchanges that upstream refused.", CLUSTER),
            authentications: counter(
                "kroxy_sasl_authentications_total",
                "Clients that authenticated themselves at the proxy, or tried to, by mechanism and outcome: accepted or refused.",
                &["virtual_cluster", "mechanism", "outcome"],
            ),
            logins: counter(
                "kroxy_sasl_logins_total",
                "Logins of the proxy to upstream, by outcome: accepted or refused.",
                &["virtual_cluster", "outcome"],
            ),
            unanswered: counter(
                "kroxy_requests_unanswered_total",
                "Requests in flight on connections that ended, the client's own doing included.",
                CLUSTER,
            ),
            not_after: registered!(GaugeVec::new(
                Opts::new(
                    "kroxy_tls_certificate_not_after_seconds",
                    "Unix time at which a certificate of the proxy expires, by the field that names it."
                ),
                &["virtual_cluster", "certificate"]
            )),
            sni_refused: counter(
                "kroxy_sni_refused_total",
                "Connections to shared listeners that got to no gateway, by cause.",
                &["cause"],
            ),
            handshake_failures: counter(
                "kroxy_tls_handshake_failures_total",
                "TLS handshakes that failed, by the side of the proxy and the cause.",
                &["virtual_cluster", "leg", "cause"],
            ),
            unmapped_nodes: counter(
                "kroxy_unmapped_nodes_total",
                "Times that upstream named a node outside the configured node ids.",
                CLUSTER,
            ),
            registry,
        }
    }

    /// The handles of one virtual cluster.
    pub(crate) fn cluster(&self, name: &str) -> ClusterMetrics {
        ClusterMetrics {
            name: name.to_owned(),
            connections: self.connections.with_label_values(&[name]),
            connections_accepted: self.connections_accepted.with_label_values(&[name]),
            connections_refused: self.connections_refused.with_label_values(&[name]),
            bytes_in: self.bytes_in.with_label_values(&[name]),
            bytes_out: self.bytes_out.with_label_values(&[name]),
            unmapped_nodes: self.unmapped_nodes.with_label_values(&[name]),
            unanswered: self.unanswered.with_label_values(&[name]),
            not_authenticated: self.not_authenticated.with_label_values(&[name]),
            disconnects: Mutex::default(),
            apis: [const { OnceLock::new() }; APIS.len()],
            lately: Lately::default(),
            all: self.clone(),
        }
    }

    pub(crate) fn proxy_transition(&self, transition: &proxy::Transition) {
        if transition.to == ProxyState::Started {
            self.startup_duration.set(transition.lasted.as_secs_f64());
        }
    }

    pub(crate) fn cluster_transition(&self, name: &str, transition: &cluster::Transition) {
        for state in CLUSTER_STATES {
            let is = i64::from(state == transition.to);
            self.cluster_state.with_label_values(&[name, state.name()]).set(is);
        }
        if transition.to == ClusterState::Stopped {
            self.forget_states(name);
        }
        if let Some(from) = transition.from {
            self.cluster_state_duration
                .with_label_values(&[name, from.name()])
                .observe(transition.lasted.as_secs_f64());
            self.cluster_transitions.with_label_values(&[name, from.name(), transition.to.name()]).inc();
        }
    }

    /// A virtual cluster that is gone is in no state: what it once counted stays.
    fn forget_states(&self, name: &str) {
        for state in CLUSTER_STATES {
            let _ = self.cluster_state.remove_label_values(&[name, state.name()]); // there, unless it never was
        }
    }

    pub(crate) fn drained(&self, name: &str, drained: &cluster::Drained) {
        self.drain_duration.with_label_values(&[name]).observe(drained.lasted.as_secs_f64());
        let quiet = drained.connections.saturating_sub(drained.cut_connections);
        self.drain_connections.with_label_values(&[name, "quiet"]).inc_by(quiet);
        self.drain_connections.with_label_values(&[name, "timeout"]).inc_by(drained.cut_connections);
    }

    pub(crate) fn reloaded(&self, reloaded: &proxy::Reloaded) {
        self.reloads.with_label_values(&[reloaded.outcome.name()]).inc();
        if reloaded.errors.is_empty() {
            self.reload_duration.observe(reloaded.lasted.as_secs_f64()); // it was begun
        }
    }

    /// A listener could not accept a connection.
    pub(crate) fn accept_failed(&self, cause: &str) {
        self.accept_failures.with_label_values(&[cause]).inc();
    }

    /// A client of a shared listener did not get to any gateway.
    pub(crate) fn sni_refused(&self, cause: &str) {
        self.sni_refused.with_label_values(&[cause]).inc();
    }

    /// The text that Prometheus scrapes.
    pub fn text(&self, status: &Status) -> String {
        for state in PROXY_STATES {
            self.proxy_state.with_label_values(&[state.name()]).set(i64::from(state == status.proxy.state));
        }
        self.upstream_servers.reset(); // a cluster that is gone has none
        self.not_after.reset(); // likewise
        self.cluster_since.reset(); // likewise
        for cluster in &status.virtual_clusters {
            for (state, reachable) in [("reachable", Some(true)), ("unreachable", Some(false)), ("untried", None)] {
                let servers = cluster.upstream.nodes.iter().filter(|node| node.reachable == reachable).count();
                self.upstream_servers.with_label_values(&[&cluster.name, state]).set(servers as i64);
            }
            for CertificateStatus { field, not_after_unix_ms, .. } in &cluster.certificates {
                let not_after = *not_after_unix_ms as f64 / 1e3;
                self.not_after.with_label_values(&[&cluster.name, field]).set(not_after);
            }
            let since = cluster.since_unix_ms as f64 / 1e3;
            self.cluster_since.with_label_values(&[&cluster.name]).set(since);
        }
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.registry.gather(), &mut text).expect("writing to memory does not fail");
        String::from_utf8(text).expect("the text format is UTF-8")
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

/// The handles of one virtual cluster.
#[derive(Debug)]
pub(crate) struct ClusterMetrics {
    name: String,
    pub(crate) connections: IntGauge,
    pub(crate) connections_accepted: IntCounter,
    pub(crate) connections_refused: IntCounter,
    pub(crate) bytes_in: IntCounter,
    pub(crate) bytes_out: IntCounter,
    pub(crate) unmapped_nodes: IntCounter,
    pub(crate) unanswered: IntCounter,
    pub(crate) not_authenticated: IntCounter,
    /// By cause: a status shows the counts without asking the registry.
    disconnects: Mutex<BTreeMap<&'static str, u64>>,
    /// By API key; made when an API is first used.
    apis: [OnceLock<ApiMetrics>; APIS.len()],
    /// What the proxy adds, and what upstream takes.
    lately: Lately<2>,
    all: Metrics,
}

#[derive(Debug)]
struct ApiMetrics {
    requests: IntCounter,
    own_answers: IntCounter,
    request_bytes: IntCounter,
    response_bytes: IntCounter,
    upstream: Arc<Latencies>,
    added: Arc<Latencies>,
}

impl ClusterMetrics {
    /// Requests are over. The proxy `took` so long from turning to the bytes that ended them until those were written.
    pub(crate) fn settle(&self, exchanges: &[Exchange], took: Duration) {
        let Some(last) = exchanges.last() else { return };
        self.lately.turn(last.done, || self.latencies());
        for exchange in exchanges {
            self.settle_one(exchange, took);
        }
    }

    fn settle_one(&self, exchange: &Exchange, took: Duration) {
        let asked = &exchange.asked;
        let Some(api) = usize::try_from(asked.key.0).ok().and_then(|key| self.apis.get(key)) else { return };
        let api = api.get_or_init(|| {
            let labels = &[self.name.as_str(), asked.key.name()];
            ApiMetrics {
                requests: self.all.requests.with_label_values(labels),
                own_answers: self.all.own_answers.with_label_values(labels),
                request_bytes: self.all.request_bytes.with_label_values(labels),
                response_bytes: self.all.response_bytes.with_label_values(labels),
                upstream: self.all.upstream_duration.of(&self.name, asked.key.name()),
                added: self.all.added_duration.of(&self.name, asked.key.name()),
            }
        });
        api.requests.inc();
        api.request_bytes.inc_by(asked.request_bytes);
        api.response_bytes.inc_by(exchange.response_bytes);
        match exchange.by {
            AnsweredBy::Upstream(upstream) => {
                api.upstream.record(upstream);
                api.added.record(asked.took() + took);
            }
            AnsweredBy::Nobody => api.added.record(took),
            AnsweredBy::Proxy => api.own_answers.inc(), // it added nothing: it was all there was
        }
    }

    /// What the proxy adds, and what upstream takes where it does not wait on purpose.
    fn latencies(&self) -> [Counts; 2] {
        let (mut added, mut upstream) = ([0; BUCKETS], [0; BUCKETS]);
        for (api, used) in APIS.iter().zip(&self.apis).filter_map(|(api, used)| Some((api, used.get()?))) {
            used.added.add_to(&mut added);
            if !api.is_long_poll() {
                used.upstream.add_to(&mut upstream);
            }
        }
        [added, upstream]
    }

    /// Latencies of the last minute or so.
    pub(crate) fn latency(&self, now: Instant) -> Latency {
        let [proxy, upstream] = self.lately.quantiles(now, || self.latencies());
        Latency { proxy, upstream }
    }

    /// A connection ended, with so many requests unanswered.
    pub(crate) fn disconnected(&self, cause: &'static str, in_flight: u64) {
        self.all.disconnects.with_label_values(&[&self.name, cause]).inc();
        *lock(&self.disconnects).entry(cause).or_default() += 1;
        self.unanswered.inc_by(in_flight);
    }

    /// A configured limit was reached.
    pub(crate) fn reached(&self, limit: Limit) {
        self.all.limits_reached.with_label_values(&[self.name.as_str(), limit.label()]).inc();
    }

    /// A client was let in, or was not; `None`: with a mechanism that is not there.
    pub(crate) fn authentication(&self, mechanism: Option<Mechanism>, accepted: bool) {
        let mechanism = mechanism.map_or("none", Mechanism::name);
        self.all.authentications.with_label_values(&[&self.name, mechanism, outcome(accepted)]).inc();
    }

    /// Upstream has let the proxy in, or has not.
    pub(crate) fn login(&self, accepted: bool) {
        self.all.logins.with_label_values(&[&self.name, outcome(accepted)]).inc();
    }

    /// A TLS handshake failed.
    pub(crate) fn handshake_failed(&self, leg: tls::Leg, failure: &tls::Failure) {
        self.all.handshake_failures.with_label_values(&[&self.name, leg.label(), failure.label()]).inc();
    }

    /// Connections that ended, by cause.
    pub(crate) fn disconnects(&self) -> BTreeMap<String, u64> {
        lock(&self.disconnects).iter().map(|(cause, n)| ((*cause).to_owned(), *n)).collect()
    }

    /// Requests that are over, by API, most used first.
    pub(crate) fn requests_by_api(&self) -> Vec<(&'static Api, u64)> {
        let mut used: Vec<_> =
            APIS.iter().zip(&self.apis).filter_map(|(api, used)| Some((api, used.get()?.requests.get()))).collect();
        used.sort_by_key(|(api, requests)| (std::cmp::Reverse(*requests), api.key));
        used
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kroxy_core::{
        api::ApiKey,
        cluster::Reason,
        relay::Asked,
        reload::Digest,
        status::{ClusterStatus, DrainReason, ProxyStatus, ReloadOutcome},
        time::Instant,
    };
    use std::{fmt::Write, path::Path, time::Duration};

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    /// A request that was handed to upstream in 1 ms, and took upstream `ms`.
    fn exchange(key: ApiKey, done: u64, ms: u64) -> Exchange {
        let by = AnsweredBy::Upstream(Duration::from_millis(ms));
        let asked =
            Asked { key, version: 12, correlation_id: 1, request_bytes: 9, since: at(0), complete: at(0), sent: at(1) };
        Exchange { asked, response_bytes: 5, done: at(done), by }
    }

    /// Metrics of which every family has been used once.
    fn used() -> (Metrics, Status) {
        let metrics = Metrics::new();
        let cluster = metrics.cluster("orders");
        let own = Exchange { by: AnsweredBy::Proxy, ..exchange(ApiKey::FETCH, 0, 0) };
        cluster.settle(&[exchange(ApiKey::FETCH, 0, 0), own], Duration::ZERO);
        cluster.disconnected("client_closed", 0);
        cluster.reached(Limit::Connections);
        metrics.sni_refused("no_name");
        metrics.accept_failed("descriptors");
        cluster.handshake_failed(tls::Leg::Client, &tls::Failure::timed_out(Duration::ZERO));
        let (from, to, lasted, at) = (ProxyState::Starting, ProxyState::Started, Duration::ZERO, Instant::ZERO);
        metrics.proxy_transition(&proxy::Transition { from, to, cause: Reason::new("test"), at, lasted });
        metrics.cluster_transition(
            "orders",
            &cluster::Transition {
                from: Some(ClusterState::Initializing),
                to: ClusterState::Serving,
                why: None,
                cause: Reason::new("test"),
                at,
                lasted,
            },
        );
        let (why, connections) = (DrainReason::Operator, 2);
        let drained = cluster::Drained { why, lasted, connections, cut_connections: 1, cut_in_flight: 1 };
        cluster.authentication(None, false);
        cluster.login(true);
        metrics.drained("orders", &drained);
        metrics.reloaded(&proxy::Reloaded {
            trigger: proxy::Trigger::Api,
            at,
            lasted,
            outcome: ReloadOutcome::Applied,
            generation: 2,
            digest: Digest::default(),
            errors: Vec::new(),
            warnings: Vec::new(),
            virtual_clusters: Vec::new(),
        });
        let certificates = vec![CertificateStatus::default()];
        let shown = ClusterStatus { name: "orders".to_owned(), certificates, ..ClusterStatus::default() };
        let proxy = ProxyStatus { state: ProxyState::Started, ..ProxyStatus::default() };
        (metrics, Status { proxy, virtual_clusters: vec![shown], ..Status::default() })
    }

    #[test]
    fn the_page_of_metrics_is_the_list_of_metrics() {
        let (metrics, status) = used();
        metrics.text(&status);
        let mut page = String::from(
            "# Metrics\n\n`GET /metrics` on the admin API, in Prometheus' text format. A label's values are bounded: virtual \
             clusters and APIs\nare known beforehand, causes and states are listed in the code. Clients are no label.\n\n\
             | metric | type | labels | what |\n|---|---|---|---|\n",
        );
        for family in metrics.registry.gather() {
            let kind = format!("{:?}", family.get_field_type()).to_lowercase();
            let labels: Vec<_> = family.get_metric()[0].get_label().iter().map(|l| format!("`{}`", l.name())).collect();
            let (name, labels) = (family.name(), labels.join(", "));
            writeln!(page, "| `{name}` | {kind} | {labels} | {} |", family.help()).expect("writing to a string");
        }
        page.push_str(
            "\nWhat the proxy adds is measured around each read of a socket: reading what ends a request or a response, deciding, \
             writing.\nBytes that wait in the operating system because every worker is busy are not seen, nor are those that a \
             peer does not\ntake: the first shows as CPU, the second is the peer's. Answers of the proxy's own are in neither \
             histogram. The percentiles\nof a status are of the last minute, and those of upstream leave the long polls out.\n",
        );
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/metrics.md");
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(&path, &page).expect("docs can be written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == page, "docs/metrics.md is stale: UPDATE_DOCS=1 cargo test -p runtime metrics");
    }

    #[test]
    fn a_long_poll_does_not_spoil_the_figures_of_a_cluster() {
        let cluster = Metrics::new().cluster("orders");
        let took = Duration::from_millis(2);
        cluster.settle(&[exchange(ApiKey::PRODUCE, 5_000, 10), exchange(ApiKey::FETCH, 5_000, 30_000)], took);
        let latency = cluster.latency(at(6_000));
        assert_eq!(latency.upstream.map(|q| q.p99_us / 1_000), Some(10), "{latency:?}");
        assert_eq!(latency.proxy.map(|q| q.p99_us / 1_000), Some(3), "1 ms there and 2 ms back: {latency:?}");
        assert_eq!(cluster.latency(at(100_000)), Latency::default(), "nothing was asked for more than a minute");
    }

    #[test]
    fn each_state_of_a_cluster_has_a_line_and_one_of_them_is_1() {
        let (metrics, status) = used();
        let text = metrics.text(&status);
        let lines: Vec<_> = text.lines().filter(|l| l.starts_with("kroxy_virtual_cluster_state{")).collect();
        assert_eq!(lines.len(), CLUSTER_STATES.len(), "{lines:?}");
        let ones: Vec<_> = lines.iter().filter(|l| l.ends_with(" 1")).collect();
        assert!(ones.len() == 1 && ones[0].contains("serving"), "{ones:?}");
    }

    #[test]
    fn each_state_of_the_proxy_has_a_line_and_a_cluster_that_is_gone_has_none() {
        let (metrics, status) = used();
        let (from, at, lasted) = (Some(ClusterState::Draining), Instant::ZERO, Duration::ZERO);
        metrics.cluster_transition(
            "orders",
            &cluster::Transition { from, to: ClusterState::Stopped, why: None, cause: Reason::new("test"), at, lasted },
        );
        let text = metrics.text(&Status { virtual_clusters: Vec::new(), ..status });
        let states: Vec<_> = text.lines().filter(|l| l.starts_with("kroxy_proxy_state{")).collect();
        assert_eq!(states.len(), PROXY_STATES.len(), "{states:?}");
        assert!(states.contains(&r#"kroxy_proxy_state{state="started"} 1"#), "{states:?}");
        assert!(!text.contains("kroxy_virtual_cluster_state{"), "{text}");
    }
}
