//! What is counted, in Prometheus' names and base units. docs/metrics.md lists all of it; a test compares.
//!
//! What happens with each frame is counted by each worker thread for itself, and summed when it is scraped (`traffic`). What is rarer
//! is counted in prometheus' own metrics.

mod latency;
mod per_worker;
mod traffic;
mod virtual_cluster;

pub(crate) use self::virtual_cluster::ClusterMetrics;

use self::traffic::TrafficVec;
use kroxy_core::{
    cluster, proxy,
    status::{CertificateStatus, ClusterState, ProxyState, Status},
};
use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder,
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
    traffic: TrafficVec,
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
        let registry = Registry::new();
        let counter = |name: &str, help: &str, labels: &[&str]| {
            let metric = IntCounterVec::new(Opts::new(name, help), labels).expect("a valid metric");
            registry.register(Box::new(metric.clone())).expect("registered once");
            metric
        };
        let traffic = TrafficVec::new();
        registry.register(Box::new(traffic.clone())).expect("registered once");
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
            traffic,
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
        ClusterMetrics::new(self, name)
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

#[cfg(test)]
mod tests;
