//! The lifecycle of the proxy: start-up, the registry of virtual clusters, reload, shutdown, and how it all ended.
//!
//! What must hold: single use; every virtual cluster by its name is in the registry from its first moment to `stopped`; one
//! reload at a time, and a cluster that it does not change notices nothing; one result, which is the last word. What it is
//! not: it reads no file and holds no socket; the clusters' machines inside it say what is to be done.

mod machine;
mod reloading;
mod shown;

pub use machine::Proxy;

use core::time::Duration;

use crate::{
    cluster::{self, Reason},
    config::ClusterName,
    reload::{Digest, Loaded},
    status::{ClusterReload, ProxyState, ProxyTransition, ReloadOutcome, ReloadReport, WallClock},
    time::Instant,
};

/// What the world did. Legal in every state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// Something happened to a virtual cluster. News of one that is gone is ignored.
    Cluster {
        /// Which one.
        name: ClusterName,
        /// What.
        input: cluster::Input,
    },
    /// The proxy cannot go on, for a reason that no virtual cluster has: the admin listener cannot be bound, a task died.
    Fault(Reason),
    /// A reload was asked for and not begun: its configuration cannot be read or was refused.
    ReloadNotBegun {
        /// Who asked.
        trigger: Trigger,
        /// [`ReloadOutcome::Rejected`] or [`ReloadOutcome::Busy`].
        outcome: ReloadOutcome,
        /// Why.
        errors: Vec<String>,
    },
    /// Time went on. Early and late ones are harmless.
    Tick,
}

/// What somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// Start. Asking again changes nothing.
    Startup,
    /// Stop gracefully. Asking again changes nothing.
    Shutdown {
        /// Who asks.
        cause: Reason,
    },
    /// Stop now: nothing is waited for, and the proxy has not ended well.
    Halt {
        /// Who asks.
        cause: Reason,
    },
    /// Put a configuration in force. Ends with [`Output::Reloaded`] unless it is refused.
    Reload {
        /// Who asks.
        trigger: Trigger,
        /// What is wanted.
        loaded: Box<Loaded>,
    },
    /// Take clients off a virtual cluster.
    Drain(ClusterName),
    /// Bring a failed or drained virtual cluster back.
    Retry(ClusterName),
}

/// Who asks for a reload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The admin API, and so the command line and the console.
    Api,
    /// A file that changed.
    Watch,
}

impl Trigger {
    /// The name as it is shown.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Api => "api",
            Self::Watch => "watch",
        }
    }
}

/// What the driver is to do, or to tell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Something is to be done for a virtual cluster, or it has something to tell. The configuration of a generation is
    /// [`Proxy::loaded`].
    Cluster {
        /// Which one.
        name: ClusterName,
        /// What.
        output: cluster::Output,
    },
    /// The state changed.
    Transitioned(Transition),
    /// Settings of the proxy itself come into force: those of [`Proxy::loaded`] of this generation.
    ApplySettings {
        /// Which generation.
        generation: u64,
    },
    /// A reload is over. Given once for each that was begun.
    Reloaded(Reloaded),
    /// A reload was not begun. Given once for each [`Input::ReloadNotBegun`].
    ReloadNotBegun(Reloaded),
    /// The proxy has stopped. The last output there is.
    Ended(Result<(), Failure>),
}

/// A change of state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The state left.
    pub from: ProxyState,
    /// The state entered.
    pub to: ProxyState,
    /// What led to it.
    pub cause: Reason,
    /// When.
    pub at: Instant,
    /// How long it was in the state left.
    pub lasted: Duration,
}

impl Transition {
    /// The same as it is shown.
    pub fn status(&self, wall: WallClock) -> ProxyTransition {
        ProxyTransition {
            from: Some(self.from),
            to: self.to,
            at_unix_ms: wall.unix_ms(self.at),
            cause: self.cause.links().to_vec(),
        }
    }
}

/// How a reload ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reloaded {
    /// Who asked for it.
    pub trigger: Trigger,
    /// When.
    pub at: Instant,
    /// How long it took.
    pub lasted: Duration,
    /// The whole of it.
    pub outcome: ReloadOutcome,
    /// The generation in force after it.
    pub generation: u64,
    /// The digest in force after it.
    pub digest: Digest,
    /// Why it was not begun; empty where it was.
    pub errors: Vec<String>,
    /// What the operator should know all the same.
    pub warnings: Vec<String>,
    /// What happened to each virtual cluster, sorted by name.
    pub virtual_clusters: Vec<ClusterReload>,
}

impl Reloaded {
    /// The same as it is shown.
    pub fn report(&self, wall: WallClock) -> ReloadReport {
        ReloadReport {
            trigger: self.trigger.name().to_owned(),
            at_unix_ms: wall.unix_ms(self.at),
            duration_ms: u64::try_from(self.lasted.as_millis()).unwrap_or(u64::MAX),
            outcome: self.outcome,
            generation: self.generation,
            digest: self.digest.to_string(),
            errors: self.errors.clone(),
            warnings: self.warnings.clone(),
            virtual_clusters: self.virtual_clusters.clone(),
        }
    }
}

/// Why a proxy did not end well.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Failure {
    /// It did not come up.
    #[error("start-up failed: {0}")]
    Startup(Reason),
    /// It was up, and could not go on.
    #[error("the proxy failed: {0}")]
    Running(Reason),
    /// It was asked to stop, and that did not go well.
    #[error("shutdown failed: {0}")]
    Shutdown(Reason),
}

impl Failure {
    /// What `kroxy serve` exits with. 0 is for the clean stop, 2 for a wrong command line.
    pub const fn exit_code(&self) -> u8 {
        match self {
            Self::Startup(_) => 1,
            Self::Running(_) | Self::Shutdown(_) => 3,
        }
    }

    /// Why.
    pub const fn reason(&self) -> &Reason {
        match self {
            Self::Startup(reason) | Self::Running(reason) | Self::Shutdown(reason) => reason,
        }
    }
}

/// Why a command was not obeyed. Nothing has changed then.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// A proxy is started once.
    #[error("the proxy is {0}; a proxy is started once")]
    Over(ProxyState),
    /// Only a starting or started proxy can do that.
    #[error("the proxy is {0}")]
    NotRunning(ProxyState),
    /// One reload at a time.
    #[error("busy: another reload is running")]
    Busy,
    /// What was asked for takes a restart.
    #[error("this takes a restart: {}", .0.join("; "))]
    CannotChange(Vec<String>),
    /// There is no such virtual cluster.
    #[error("there is no virtual cluster {0}")]
    NoSuchCluster(ClusterName),
    /// The virtual cluster refuses.
    #[error(transparent)]
    Cluster(#[from] cluster::Refused),
}

/// One way from one state to another.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Edge {
    /// The state left.
    pub from: ProxyState,
    /// The state entered.
    pub to: ProxyState,
    /// When that happens.
    pub when: &'static str,
}

/// Every edge there is.
pub const EDGES: &[Edge] = &[
    edge(ProxyState::New, ProxyState::Starting, "startup()"),
    edge(ProxyState::New, ProxyState::Stopped, "shutdown() before startup()"),
    edge(
        ProxyState::Starting,
        ProxyState::Started,
        "every virtual cluster serves, or with `serve: Remaining` one does",
    ),
    edge(ProxyState::Starting, ProxyState::Stopping, "start-up failed, or shutdown()"),
    edge(ProxyState::Started, ProxyState::Stopping, "shutdown(), or a virtual cluster that `serve` does not forgive"),
    edge(ProxyState::Stopping, ProxyState::Stopped, "every virtual cluster has stopped"),
];

const fn edge(from: ProxyState, to: ProxyState, when: &'static str) -> Edge {
    Edge { from, to, when }
}

/// Whether there is such an edge.
pub fn has_edge(from: ProxyState, to: ProxyState) -> bool {
    EDGES.iter().any(|e| e.from == from && e.to == to)
}

/// The edges as a Mermaid state diagram.
pub fn diagram() -> String {
    let lines = EDGES.iter().map(|e| format!("    {} --> {}\n", e.from, e.to));
    let (first, last) = (ProxyState::New, ProxyState::Stopped);
    format!("stateDiagram-v2\n    [*] --> {first}\n{}    {last} --> [*]\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests;
