//! What happened: the JSON of `GET /api/v1/events`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ClusterState, DrainReason, ProxyState, ReloadOutcome, ReloadReport, names::named};

/// One line of `GET /api/v1/events`: the `data` of one server-sent event.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Events that this reader has not heard and that are not kept any more. It is no event of its own: it has the number
    /// of the last of them.
    Missed {
        /// How many; absent where the reader has last heard another process.
        events: Option<u64>,
    },
    /// Something that this version does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

/// How much an event matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
            EventKind::Missed { .. } => Severity::Warn,
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
            EventKind::ProxyTransition { .. }
            | EventKind::Reload { .. }
            | EventKind::Missed { .. }
            | EventKind::Unknown => None,
        }
    }
}

/// A virtual cluster went from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

named! {
    Severity { Debug => "debug", Info => "info", Warn => "warn", Error => "error" }
}
