//! What can be seen of a proxy from outside: the JSON of `GET /api/v1/status` and of `GET /api/v1/events`.
//!
//! Plain data, without behaviour: the runtime fills it from the machines' snapshots and its counters, the console and
//! scripts read it. Reading is lenient so that versions may differ: a field that is not known is skipped, one that is
//! missing has its default, and a state, reason or event that is not known reads as `Unknown`. Writing is strict: a field
//! is never renamed or given another meaning without a new [`API_VERSION`].
//!
//! Units stand in the names. `…_unix_ms` is wall-clock time, `…_in_ms` counts from [`Status::at_unix_ms`], totals count
//! from the start of the process and survive reloads.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::address::{HostPort, NodeId};
use crate::time::Instant;

/// The version of this model, raised when a field changes its meaning or goes.
pub const API_VERSION: u32 = 1;

/// The answer to `GET /api/v1/status`: one moment of one proxy.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// [`API_VERSION`] of the proxy that wrote this.
    pub api_version: u32,
    /// The version of kroxy, such as `0.1.0`.
    pub version: String,
    /// When this was taken: differences of totals over differences of this are rates.
    pub at_unix_ms: u64,
    /// [`Event::seq`] of the last event that this status includes: events that follow it continue the picture.
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
#[serde(default)]
pub struct ClusterStatus {
    /// Its identity, as the configuration spells it.
    pub name: String,
    /// Where it is in its life. `serving` says nothing about health: see [`UpstreamStatus`].
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
    /// The busiest clients, by bytes, at most a fixed number.
    pub clients: Vec<ClientStatus>,
    /// Client connections closed since the process started, by cause.
    pub disconnects: BTreeMap<String, u64>,
}

/// A retry of a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
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

/// Request latency, split by who took the time.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    /// What the proxy added; absent where nothing was measured.
    pub proxy: Option<Quantiles>,
    /// What upstream took, long polls included; absent where nothing was measured.
    pub upstream: Option<Quantiles>,
}

/// Two points of a latency distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Quantiles {
    /// Half took no longer.
    pub p50_us: u64,
    /// 99 of 100 took no longer.
    pub p99_us: u64,
}

/// Requests of one API.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ApiCount {
    /// Kafka's name of the API, such as `Fetch`, or its key as a number where it has none here.
    pub api: String,
    /// Requests since the process started.
    pub requests: u64,
}

/// One way into a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct GatewayStatus {
    /// Its name in the configuration.
    pub name: String,
    /// How it tells brokers apart: by `port` or by `sni`.
    pub kind: String,
    /// What clients use as `bootstrap.servers`.
    pub bootstrap: Option<HostPort>,
    /// Clients must use TLS here.
    pub tls: bool,
    /// What is bound. Empty while the cluster holds no resources.
    pub listeners: Vec<ListenerStatus>,
}

/// One bound socket.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ListenerStatus {
    /// The local address, such as `0.0.0.0:9192`.
    pub address: String,
    /// Where a connection to it goes: `bootstrap`, `node 3` or `by SNI`.
    pub route: String,
}

/// The Kafka cluster behind a virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct UpstreamStatus {
    /// As configured.
    pub bootstrap_servers: Vec<HostPort>,
    /// The proxy uses TLS towards it.
    pub tls: bool,
    /// The brokers that are known, sorted by id.
    pub nodes: Vec<NodeStatus>,
}

/// One upstream broker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The last failure, outermost first; empty where there was none since it was last reached.
    pub last_error: Vec<String>,
}

impl Default for NodeStatus {
    fn default() -> Self {
        Self { id: NodeId(-1), address: String::new(), connections: 0, reachable: None, last_error: Vec::new() }
    }
}

/// One client: connections with the same client id, host and software.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClientStatus {
    /// `client.id`; empty where the client gives none.
    pub client_id: String,
    /// The address that it connects from, without the port.
    pub address: String,
    /// What it says it is in ApiVersions, such as `apache-kafka-java`.
    pub software_name: Option<String>,
    /// The version it says it has.
    pub software_version: Option<String>,
    /// Its connections open now.
    pub connections: u64,
    /// Its requests in flight.
    pub in_flight: u64,
    /// Bytes read from its connections open now.
    pub bytes_in: u64,
    /// Bytes written to its connections open now.
    pub bytes_out: u64,
}

/// Where a virtual cluster is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// Being built: certificates read, filters made, listeners bound.
    Initializing,
    /// Clients are served.
    Serving,
    /// Clients are being asked to leave; [`DrainStatus::why`] says what for.
    Draining,
    /// It could not be built. It has a reason and holds nothing.
    Failed,
    /// Gone from the configuration, for good.
    Stopped,
    /// A state that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a drain is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DrainReason {
    /// A new configuration that connections cannot be kept across.
    Reload,
    /// The cluster is no longer in the configuration.
    Removal,
    /// The proxy stops.
    Shutdown,
    /// An operator asked for it. The cluster stays drained until it is retried, reloaded or removed.
    Operator,
    /// A reason that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// Where the proxy is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ProxyState {
    /// Made, not asked to start.
    New,
    /// Virtual clusters are being built for the first time.
    Starting,
    /// Up.
    Started,
    /// Virtual clusters are draining for the last time.
    Stopping,
    /// Over. Whether it went well is in the exit code.
    Stopped,
    /// A state that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// A virtual cluster went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterTransition {
    /// The state left; absent for a cluster that is new.
    pub from: Option<ClusterState>,
    /// The state entered.
    pub to: ClusterState,
    /// What the drain is for, where `to` is `draining`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<DrainReason>,
    /// When.
    pub at_unix_ms: u64,
    /// What led to it, outermost first, never empty. For `failed` it is the reason.
    pub cause: Vec<String>,
}

/// The proxy went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ProxyTransition {
    /// The state left; absent for the first.
    pub from: Option<ProxyState>,
    /// The state entered.
    pub to: ProxyState,
    /// When.
    pub at_unix_ms: u64,
    /// What led to it, outermost first, never empty.
    pub cause: Vec<String>,
}

/// How a reload ended: the answer to `POST /api/v1/reload` as well.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ReloadReport {
    /// Who asked: `signal`, `api` or `watch`.
    pub trigger: String,
    /// When it was asked for.
    pub at_unix_ms: u64,
    /// How long it took.
    pub duration_ms: u64,
    /// The whole of it.
    pub outcome: ReloadOutcome,
    /// The generation in force after it.
    pub generation: u64,
    /// The digest in force after it.
    pub digest: String,
    /// Why nothing was tried, outermost first: what is wrong with the file, or which settings need a restart.
    pub errors: Vec<String>,
    /// What the operator should know all the same, such as "looks like a rename".
    pub warnings: Vec<String>,
    /// What happened to each virtual cluster, sorted by name; empty where nothing was tried.
    pub virtual_clusters: Vec<ClusterReload>,
}

/// How a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// There was nothing to change.
    Unchanged,
    /// Everything asked for is in force.
    Applied,
    /// Some virtual clusters run with the new configuration and some do not.
    Partial,
    /// Nothing of it is in force.
    Failed,
    /// The configuration was not accepted; nothing was touched.
    Rejected,
    /// Another reload was running; nothing was touched.
    Busy,
    /// An outcome that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// What a reload did to one virtual cluster.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterReload {
    /// Its name.
    pub name: String,
    /// What the plan said.
    pub action: ReloadAction,
    /// The fields that made it so.
    pub fields: Vec<String>,
    /// How it went.
    pub outcome: ClusterOutcome,
    /// Why it went otherwise than planned, outermost first.
    pub cause: Vec<String>,
}

/// What a reload does to a virtual cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReloadAction {
    /// Nothing: it is as it was.
    Unchanged,
    /// Applied while connections stay open.
    Live,
    /// Connections are drained, then it is built anew.
    Drain,
    /// It is new.
    Add,
    /// It goes.
    Remove,
    /// An action that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How one virtual cluster's part of a reload ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClusterOutcome {
    /// There was nothing to do.
    Unchanged,
    /// The new configuration is in force.
    Applied,
    /// It could not be prepared; the cluster went on with the old one, undisturbed.
    NotPrepared,
    /// It failed after the drain; the cluster serves with the old one again.
    RolledBack,
    /// It failed, and so did the way back or there was none: the cluster is `failed`.
    Failed,
    /// A removal, shutdown or operator came in between.
    Overtaken,
    /// An outcome that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// One line of `GET /api/v1/events`: the `data` of one server-sent event.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Event {
    /// Counts from 1 within one process: a gap means that the reader was too slow and missed some.
    pub seq: u64,
    /// When it happened.
    pub at_unix_ms: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: EventKind,
}

/// What happened, named in the field `event`.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// A virtual cluster went from one state to another.
    ClusterTransition {
        /// Which one.
        virtual_cluster: String,
        /// From where to where, and why.
        transition: ClusterTransition,
    },
    /// The proxy went from one state to another.
    ProxyTransition {
        /// From where to where, and why.
        transition: ProxyTransition,
    },
    /// A reload ended.
    Reload {
        /// How.
        report: ReloadReport,
    },
    /// Client connections closed; counted together so that a storm of them is one event.
    Disconnects {
        /// Of which virtual cluster.
        virtual_cluster: String,
        /// Over how long they were counted.
        window_ms: u64,
        /// How many, by cause.
        causes: BTreeMap<String, u64>,
    },
    /// A line of the proxy's log.
    Log {
        /// How much it matters.
        severity: Severity,
        /// The part of kroxy that says so.
        target: String,
        /// The virtual cluster that it is about, if it is about one.
        virtual_cluster: Option<String>,
        /// The text.
        message: String,
    },
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// For whoever looks for a fault.
    Debug,
    /// As it should be.
    #[default]
    Info,
    /// Somebody may want to look.
    Warn,
    /// Something does not work.
    Error,
}

impl Event {
    /// How much it matters: what a reader filters by.
    pub fn severity(&self) -> Severity {
        match &self.kind {
            EventKind::ClusterTransition { transition, .. } => match transition.to {
                ClusterState::Failed => Severity::Error,
                ClusterState::Draining => Severity::Warn,
                ClusterState::Initializing | ClusterState::Serving | ClusterState::Stopped | ClusterState::Unknown => {
                    Severity::Info
                }
            },
            EventKind::Reload { report } => match report.outcome {
                ReloadOutcome::Partial | ReloadOutcome::Failed | ReloadOutcome::Rejected => Severity::Error,
                ReloadOutcome::Busy => Severity::Warn,
                ReloadOutcome::Unchanged | ReloadOutcome::Applied | ReloadOutcome::Unknown => Severity::Info,
            },
            EventKind::Log { severity, .. } => *severity,
            EventKind::ProxyTransition { .. } | EventKind::Disconnects { .. } | EventKind::Unknown => Severity::Info,
        }
    }

    /// The virtual cluster that it is about, if it is about one.
    pub fn virtual_cluster(&self) -> Option<&str> {
        match &self.kind {
            EventKind::ClusterTransition { virtual_cluster, .. } | EventKind::Disconnects { virtual_cluster, .. } => {
                Some(virtual_cluster)
            }
            EventKind::Log { virtual_cluster, .. } => virtual_cluster.as_deref(),
            EventKind::ProxyTransition { .. } | EventKind::Reload { .. } | EventKind::Unknown => None,
        }
    }
}

macro_rules! named {
    ($($type:ident { $($variant:ident => $name:literal),+ $(,)? })+) => {$(
        impl $type {
            /// The name as it stands in JSON, metrics labels and logs.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }
        }

        impl core::fmt::Display for $type {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                f.pad(self.name())
            }
        }
    )+};
}

named! {
    ClusterState {
        Initializing => "initializing", Serving => "serving", Draining => "draining", Failed => "failed",
        Stopped => "stopped", Unknown => "unknown",
    }
    ProxyState {
        New => "new", Starting => "starting", Started => "started", Stopping => "stopping", Stopped => "stopped",
        Unknown => "unknown",
    }
    DrainReason {
        Reload => "reload", Removal => "removal", Shutdown => "shutdown", Operator => "operator", Unknown => "unknown",
    }
    ReloadAction {
        Unchanged => "unchanged", Live => "live", Drain => "drain", Add => "add", Remove => "remove",
        Unknown => "unknown",
    }
    ReloadOutcome {
        Unchanged => "unchanged", Applied => "applied", Partial => "partial", Failed => "failed",
        Rejected => "rejected", Busy => "busy", Unknown => "unknown",
    }
    ClusterOutcome {
        Unchanged => "unchanged", Applied => "applied", NotPrepared => "not_prepared", RolledBack => "rolled_back",
        Failed => "failed", Overtaken => "overtaken", Unknown => "unknown",
    }
    Severity { Debug => "debug", Info => "info", Warn => "warn", Error => "error" }
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
