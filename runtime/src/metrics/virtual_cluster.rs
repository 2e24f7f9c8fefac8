//! What is counted of one virtual cluster.

use super::{Metrics, latency::Lately, traffic::Traffic};
use crate::{lock, tls};
use kroxy_core::{admission::Limit, api::Api, relay::Exchange, sasl::Mechanism, status::Latency, time::Instant};
use prometheus::{IntCounter, IntGauge};
use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The handles of one virtual cluster, looked up once: looking up a label costs ten times as much as a count.
#[derive(Debug)]
pub(crate) struct ClusterMetrics {
    name: String,
    pub(crate) connections: IntGauge,
    pub(crate) connections_accepted: IntCounter,
    pub(crate) connections_refused: IntCounter,
    pub(crate) unmapped_nodes: IntCounter,
    pub(crate) unanswered: IntCounter,
    pub(crate) not_authenticated: IntCounter,
    /// By cause: a status shows the counts without asking the registry.
    disconnects: Mutex<BTreeMap<&'static str, u64>>,
    traffic: Arc<Traffic>,
    /// What the proxy adds, and what upstream takes.
    lately: Lately<2>,
    all: Metrics,
}

impl ClusterMetrics {
    pub(super) fn new(all: &Metrics, name: &str) -> Self {
        Self {
            name: name.to_owned(),
            connections: all.connections.with_label_values(&[name]),
            connections_accepted: all.connections_accepted.with_label_values(&[name]),
            connections_refused: all.connections_refused.with_label_values(&[name]),
            unmapped_nodes: all.unmapped_nodes.with_label_values(&[name]),
            unanswered: all.unanswered.with_label_values(&[name]),
            not_authenticated: all.not_authenticated.with_label_values(&[name]),
            disconnects: Mutex::default(),
            traffic: all.traffic.of(name),
            lately: Lately::default(),
            all: all.clone(),
        }
    }

    /// Bytes were read from a client.
    pub(crate) fn read(&self, bytes: u64) {
        self.traffic.read(bytes);
    }

    /// Bytes were taken for a client.
    pub(crate) fn wrote(&self, bytes: u64) {
        self.traffic.wrote(bytes);
    }

    /// Requests are over. The proxy `took` so long from turning to the bytes that ended them until those were written.
    pub(crate) fn settle(&self, exchanges: &[Exchange], took: Duration) {
        let Some(last) = exchanges.last() else { return };
        self.lately.turn(last.done, || self.traffic.latencies());
        self.traffic.settle(exchanges, took);
    }

    /// How many bytes were read from clients, and written to them.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        self.traffic.bytes()
    }

    /// Latencies of the last minute or so.
    pub(crate) fn latency(&self, now: Instant) -> Latency {
        let [proxy, upstream] = self.lately.quantiles(now, || self.traffic.latencies());
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
        let mut used: Vec<_> = self.traffic.requests().collect();
        used.sort_by_key(|(api, requests)| (Reverse(*requests), api.key));
        used
    }
}

const fn outcome(accepted: bool) -> &'static str {
    if accepted { "accepted" } else { "refused" }
}
