//! What can be seen of a proxy from outside: the JSON of `GET /api/v1/status` and of `GET /api/v1/events`.
//!
//! Plain data, without behaviour: the runtime fills it from the machines' snapshots and its counters, the console and
//! scripts read it. Reading is lenient so that versions may differ: a field that is not known is skipped, one that is
//! missing has its default, and a state, reason or event that is not known reads as `Unknown`. Writing is strict: a field
//! is never renamed or given another meaning without a new [`API_VERSION`].
//!
//! Units stand in the names. `…_unix_ms` is wall-clock time, `…_in_ms` counts from [`Status::at_unix_ms`], totals count
//! from the start of the process and survive reloads.

mod events;
mod names;
mod reloads;

pub use events::{ClusterTransition, Event, EventKind, ProxyTransition, Severity};
pub use names::{ClusterState, DrainReason, ProxyState};
pub use reloads::{ClusterOutcome, ClusterReload, ReloadAction, ReloadOutcome, ReloadReport};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::{HostPort, NodeId};
use crate::time::Instant;

/// The version of this model, raised when a field changes its meaning or goes.
pub const API_VERSION: u32 = 1;

/// The answer to `GET /api/v1/status`: one moment of one proxy.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Status {
    /// The version of the API of the proxy that wrote this.
    pub api_version: u32,
    /// The version of kroxy, such as `0.1.0`.
    pub version: String,
    /// When this was taken: differences of totals over differences of this are rates.
    pub at_unix_ms: u64,
    /// `seq` of the last event that this status includes: events that follow it continue the picture.
    pub last_event_seq: u64,
    /// The process.
    pub proxy: ProxyStatus,
    /// The configuration in force.
    pub configuration: ConfigurationStatus,
    /// Every virtual cluster, `stopped` ones excepted (they are gone), sorted by name.
    pub virtual_clusters: Vec<ClusterStatus>,
}

/// The proxy process.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ProxyStatus {
    /// Where it is in its life.
    pub state: ProxyState,
    /// When it entered that state.
    pub since_unix_ms: u64,
    /// How long the process has been up.
    pub uptime_ms: u64,
    /// The operating system's id of the process; it changes with a restart.
    pub process_id: u32,
    /// Why it is stopping, outermost first; empty where it is not or where somebody asked for it.
    pub reason: Vec<String>,
    /// The last transitions, oldest first.
    pub last_transitions: Vec<ProxyTransition>,
}

/// The configuration that is really in force, which after a failed reload is not the file's.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ConfigurationStatus {
    /// 1 for the configuration of the start, one more for each reload that changed something.
    pub generation: u64,
    /// Hexadecimal digest over the configuration and the files it names. Equal digests, equal configurations.
    pub digest: String,
    /// When that generation came into force.
    pub loaded_at_unix_ms: u64,
    /// The path that it was read from, where it was a file.
    pub source: Option<String>,
    /// A reload is running.
    pub reloading: bool,
    /// How the last reload ended, if there was one.
    pub last_reload: Option<ReloadReport>,
}

/// One virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ClusterStatus {
    /// Its identity, as the configuration spells it.
    pub name: String,
    /// Where it is in its life. `serving` says nothing about health: see `upstream`.
    pub state: ClusterState,
    /// When it entered that state.
    pub since_unix_ms: u64,
    /// Why it failed, outermost first: present exactly where `failed`.
    pub reason: Option<Vec<String>>,
    /// Where attempts have failed since it last served.
    pub retry: Option<RetryStatus>,
    /// Present exactly where `draining`.
    pub drain: Option<DrainStatus>,
    /// The configuration generation that this cluster runs (or last ran) with.
    pub generation: u64,
    /// The last transitions, oldest first.
    pub last_transitions: Vec<ClusterTransition>,
    /// Client connections open now.
    pub connections: u64,
    /// Requests that clients have begun to send and not yet been answered in full.
    pub in_flight: u64,
    /// Counters since the process started.
    pub totals: Totals,
    /// Request latency over about the last minute.
    pub latency: Latency,
    /// Requests by API, most used first.
    pub apis: Vec<ApiCount>,
    /// Where clients come in.
    pub gateways: Vec<GatewayStatus>,
    /// The Kafka cluster behind it.
    pub upstream: UpstreamStatus,
    /// The proxy's own certificates, towards clients and towards upstream.
    pub certificates: Vec<CertificateStatus>,
    /// The busiest clients, by bytes, at most a fixed number.
    pub clients: Vec<ClientStatus>,
    /// Client connections closed since the process started, by cause.
    pub disconnects: BTreeMap<String, u64>,
}

/// A certificate that the proxy shows.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct CertificateStatus {
    /// The field that names it, such as `gateways.internal.tls.certificates[0]`.
    pub field: String,
    /// Whose it is. Of a chain, whose certificate expires first.
    pub subject: String,
    /// When it, or one of its chain, expires.
    pub not_after_unix_ms: u64,
}

/// A retry of a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct RetryStatus {
    /// Retries made or under way since it last served; 0 before the first one.
    pub attempt: u32,
    /// How many there may be; absent where there is no end.
    pub max_retries: Option<u32>,
    /// When the next one begins; absent while one runs and after the last one (an operator's retry still works).
    pub next_in_ms: Option<u64>,
}

/// How far a drain is.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct DrainStatus {
    /// What it is for.
    pub why: DrainReason,
    /// When it began.
    pub started_unix_ms: u64,
    /// When the backstop closes what is left, or fell; absent once every connection has gone.
    pub deadline_in_ms: Option<u64>,
    /// Connections that were open when it began.
    pub connections_at_start: u64,
    /// Connections still open.
    pub connections_left: u64,
    /// Requests still in flight on them.
    pub in_flight: u64,
}

/// Counters since the process started.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Totals {
    /// Requests read from clients.
    pub requests: u64,
    /// Requests that ended in a fault of the proxy or of the connection to upstream. Kafka's own error codes are not counted.
    pub errors: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Client connections accepted.
    pub connections_accepted: u64,
    /// Client connections closed.
    pub connections_closed: u64,
}

/// Latency of the requests of about the last minute, split by who took the time. Answers that the proxy gave itself are not
/// among them.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Latency {
    /// What the proxy added: from turning to the bytes that end a request until they were written, and the same for its
    /// response. Waiting for a peer is not in it. Absent where nothing was measured.
    pub proxy: Option<Quantiles>,
    /// What upstream took, from all of a request handed over, and everything before it answered, to the end of its response.
    /// `Fetch`, `ShareFetch`, `JoinGroup` and `SyncGroup` are left out, which upstream may keep waiting on purpose. Absent
    /// where nothing was measured.
    pub upstream: Option<Quantiles>,
}

/// Two points of a latency distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct Quantiles {
    /// Half took no longer.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
}

/// Requests of one API.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ApiCount {
    /// Kafka's name of the API, such as `Fetch`, or its key as a number where it has none here.
    pub api: String,
    /// Requests since the process started.
    pub requests: u64,
}

/// One way into a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct GatewayStatus {
    /// Its name in the configuration.
    pub name: String,
    /// How it tells brokers apart: by `port` or by `sni`.
    pub kind: String,
    /// What clients use as `bootstrap.servers`.
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub bootstrap: Option<HostPort>,
    /// Clients must use TLS here.
    pub tls: bool,
    /// What is bound. Empty while the cluster holds no resources.
    pub listeners: Vec<ListenerStatus>,
}

/// One bound socket.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ListenerStatus {
    /// The local address, such as `0.0.0.0:9192`.
    pub address: String,
    /// Where a connection to it goes: `bootstrap`, `node 3` or `by SNI`.
    pub route: String,
}

/// The Kafka cluster behind a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct UpstreamStatus {
    /// As configured.
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub bootstrap_servers: Vec<HostPort>,
    /// The proxy uses TLS towards it.
    pub tls: bool,
    /// As whom the proxy logs in to it; absent where that is for its clients or for nobody.
    pub user: Option<String>,
    /// The mechanism of that login, such as `SCRAM-SHA-512`.
    pub sasl_mechanism: Option<String>,
    /// The brokers that are known, sorted by id.
    pub nodes: Vec<NodeStatus>,
}

/// One upstream broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct NodeStatus {
    /// Its node id; -1 for a bootstrap server that is not known to be one of the others.
    pub id: NodeId,
    /// Where it says it can be reached. Text, because what upstream says need not be a valid address.
    pub address: String,
    /// Connections of ours to it, open now.
    pub connections: u64,
    /// How the last attempt to reach it ended; absent before the first.
    pub reachable: Option<bool>,
    /// Since when attempts have ended that way; absent before the first.
    pub since_unix_ms: Option<u64>,
    /// The last failure, outermost first; empty where there was none since it was last reached.
    pub last_error: Vec<String>,
}

impl Default for NodeStatus {
    fn default() -> Self {
        let (id, address, last_error) = (NodeId(-1), String::new(), Vec::new());
        Self { id, address, connections: 0, reachable: None, since_unix_ms: None, last_error }
    }
}

/// One client: connections with the same client id, host, software and principal.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default)]
pub struct ClientStatus {
    /// `client.id`; empty where the client gives none.
    pub client_id: String,
    /// The address that it connects from, without the port.
    pub address: String,
    /// The address of the load balancer that told so by the PROXY protocol; absent where nobody stands before the client.
    pub via: Option<String>,
    /// What it says it is in ApiVersions, such as `apache-kafka-java`.
    pub software_name: Option<String>,
    /// The version it says it has.
    pub software_version: Option<String>,
    /// Whom upstream or the proxy takes it for: the user or subject of the SASL exchange that was accepted last, or the subject of
    /// its certificate.
    pub principal: Option<String>,
    /// The mechanism of that exchange, such as `SCRAM-SHA-512`; absent where there was none.
    pub sasl_mechanism: Option<String>,
    /// Its connections open now.
    pub connections: u64,
    /// Its requests in flight.
    pub in_flight: u64,
    /// Bytes read from its connections open now.
    pub bytes_in: u64,
    /// Bytes written to its connections open now.
    pub bytes_out: u64,
}

/// What the wall clock showed at [`Instant::ZERO`]: turns the machines' times into those of this model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WallClock {
    /// Milliseconds since 1970 at the driver's origin.
    pub origin_unix_ms: u64,
}

impl WallClock {
    /// `at` as milliseconds since 1970.
    pub const fn unix_ms(self, at: Instant) -> u64 {
        self.origin_unix_ms.saturating_add(at.as_micros() / 1_000)
    }
}

#[cfg(test)]
#[path = "status/tests.rs"]
mod tests;
