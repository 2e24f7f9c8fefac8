//! The lifecycle of one virtual cluster: when it is built, serves, drains, fails, is tried again, and goes.
//!
//! What must hold: only the [`EDGES`] can be gone; `failed` has a reason and holds nothing; a drain ends by its deadline;
//! `stopped` is final. What it is not: `serving` says nothing about the health of upstream, and the machine knows neither
//! the cluster's name (its identity, which is the key of the [registry](crate::proxy)) nor its configuration, only the
//! number of the generation that the driver keeps it under.
//!
//! Everything that a cluster holds (files read, filters, listeners, connections) belongs to one *build*, named by a
//! [`BuildId`]. Between [`Output::Prepare`] and [`Output::Release`] of a build the driver may hold things for it, and at
//! no other time. Reports about a build that was released are late, and ignored.

mod edges;
mod machine;
mod reason;
mod retry;

pub use edges::{EDGES, Edge, diagram, has_edge};
pub use machine::Cluster;
pub use reason::Reason;
pub use retry::RetryPolicy;

use core::{fmt, time::Duration};

use crate::{
    status::{ClusterOutcome, ClusterState, ClusterTransition, DrainReason, WallClock},
    time::Instant,
};

/// One attempt to build a virtual cluster and whatever came of it. Never used twice in one process, not even by a cluster
/// whose name left the configuration and came back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct BuildId {
    /// The number of the virtual cluster, counted over all that the process has ever had.
    pub entity: u32,
    /// The number of the attempt, from 1.
    pub attempt: u64,
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.entity, self.attempt)
    }
}

/// What the machine has to know of a virtual cluster's configuration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Spec {
    /// The configuration that this is from: the driver keeps the rest, file contents included, under this number, and for
    /// as long as [`Cluster::generations`] names it. A rollback must find what was served, not what the files say now.
    pub generation: u64,
    /// How long a drain may take before what is left is closed; above zero.
    pub drain_timeout: Duration,
}

/// What the world did. Legal in every state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// All that [`Output::Prepare`] asked for is there.
    Prepared {
        /// Of which build.
        build: BuildId,
    },
    /// It could not be prepared.
    PreparationFailed {
        /// Of which build.
        build: BuildId,
        /// Why.
        reason: Reason,
    },
    /// Every listener is bound.
    Bound {
        /// Of which build.
        build: BuildId,
    },
    /// Some listener could not be bound.
    BindFailed {
        /// Of which build.
        build: BuildId,
        /// Why.
        reason: Reason,
    },
    /// What is left to drain, counted after [`Output::Drain`] was carried out: once at once, then at every change.
    ConnectionsLeft {
        /// Of which build.
        build: BuildId,
        /// Client connections still open.
        connections: u64,
        /// Requests in flight on them.
        in_flight: u64,
    },
    /// Time went on. Early and late ones are harmless.
    Tick,
}

/// What somebody asks for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Command {
    /// An operator wants clients off it. It stays drained, holding nothing, until it is retried, changed or removed.
    Drain,
    /// An operator wants a failed or drained one back now. The count of retries begins anew.
    Retry,
    /// The configuration changed. Ends with [`Output::Reloaded`].
    Reload {
        /// What it is to be.
        spec: Spec,
        /// Whether connections can stay open across the change.
        change: Change,
    },
    /// It is no longer in the configuration.
    Remove,
    /// The proxy stops.
    Shutdown,
    /// The proxy stops now: nothing is waited for.
    Halt,
}

/// What a new configuration means for a cluster that serves. One that does not serve is built anew in either case.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Change {
    /// Prepared, then swapped in while connections stay open.
    Live,
    /// Prepared, then connections are drained, then built.
    Drain,
}

/// What the driver is to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Output {
    /// Build what can be built beside whatever else there is: read files, make TLS and filters, bind free ports. Answered
    /// by [`Input::Prepared`] or [`Input::PreparationFailed`].
    Prepare {
        /// The build to make.
        build: BuildId,
        /// Of which configuration.
        generation: u64,
    },
    /// Bind the listeners that are not bound yet. Answered by [`Input::Bound`] or [`Input::BindFailed`].
    Bind {
        /// The build, which is prepared.
        build: BuildId,
    },
    /// Accept connections.
    Serve {
        /// The build, which is bound.
        build: BuildId,
    },
    /// Put a prepared build in the place of the serving one, in one step that cannot fail. Listeners and connections go
    /// over to it, the rest of the old build is released.
    Swap {
        /// The serving build.
        from: BuildId,
        /// The prepared one, which serves from now on.
        to: BuildId,
    },
    /// Refuse new connections and ask those that are open to leave. Answered by [`Input::ConnectionsLeft`].
    Drain {
        /// The build, which has been serving.
        build: BuildId,
        /// When it will be over in any case.
        deadline: Instant,
    },
    /// The drain's backstop has fallen: close the connections that are left. [`Output::Release`] follows.
    Cut {
        /// The draining build.
        build: BuildId,
    },
    /// Let go of everything that the build holds: work in progress, files, listeners, connections.
    Release {
        /// The build. It is never named again.
        build: BuildId,
    },
    /// A drain is over: for the log and the metrics.
    Drained(Drained),
    /// The state changed. What the cluster held in the state left has been released before this.
    Transitioned(Transition),
    /// The reload that [`Command::Reload`] began is over. Given once for each.
    Reloaded {
        /// How it ended.
        outcome: ClusterOutcome,
        /// Why it did not end as asked.
        cause: Option<Reason>,
    },
    /// It failed and there will be no retry unless somebody asks for one.
    GaveUp {
        /// Why it failed.
        reason: Reason,
    },
}

/// How a drain ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Drained {
    /// What it was for.
    pub why: DrainReason,
    /// How long it took.
    pub lasted: Duration,
    /// Connections that were open when it began.
    pub connections: u64,
    /// Connections that had to be cut.
    pub cut_connections: u64,
    /// Requests that were in flight on those.
    pub cut_in_flight: u64,
}

/// A change of state.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transition {
    /// The state left; `None` for a cluster that is new.
    pub from: Option<ClusterState>,
    /// The state entered.
    pub to: ClusterState,
    /// What the drain is for, where `to` is draining.
    pub why: Option<DrainReason>,
    /// What led to it; the reason, where `to` is failed.
    pub cause: Reason,
    /// When.
    pub at: Instant,
    /// How long it was in the state left.
    pub lasted: Duration,
}

impl Transition {
    /// The same as it is shown.
    pub fn status(&self, wall: WallClock) -> ClusterTransition {
        ClusterTransition {
            from: self.from,
            to: self.to,
            why: self.why,
            at_unix_ms: wall.unix_ms(self.at),
            cause: self.cause.links().to_vec(),
        }
    }
}

/// Why a command was not obeyed. Nothing has changed then.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// Only a serving cluster can be drained.
    #[error("it is {0}; only a serving virtual cluster can be drained")]
    NotServing(ClusterState),
    /// Only a failed or drained cluster can be retried.
    #[error("it is {0}; only a failed or drained virtual cluster can be retried")]
    NothingToRetry(ClusterState),
    /// A reload of it has not ended.
    #[error("a reload of it is running")]
    ReloadRunning,
    /// It is being removed or shut down.
    #[error("it is on its way out")]
    Leaving,
    /// It has stopped.
    #[error("it has stopped")]
    Gone,
}

#[cfg(test)]
mod tests;
