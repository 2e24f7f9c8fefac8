//! What can be seen of a virtual cluster.

use super::{Cluster, Draining, State, Then};
use crate::{
    cluster::Reason,
    status::{ClusterState, ClusterStatus, DrainReason, DrainStatus, RetryStatus, WallClock},
    time::Instant,
};

impl Cluster {
    /// When a [`Input::Tick`](super::Input::Tick) will have something to do.
    pub fn deadline(&self) -> Option<Instant> {
        match &self.state {
            State::Initializing(i) => i.deadline,
            State::Serving { next, .. } => next.as_ref().map(|n| n.deadline),
            State::Draining(d) => Some(d.deadline),
            State::Failed { retry_at, .. } => *retry_at,
            State::Drained { .. } | State::Stopped => None,
        }
    }

    /// Where it is in its life.
    pub fn state(&self) -> ClusterState {
        self.state.name()
    }

    /// Why it failed, where it is failed.
    pub fn failure(&self) -> Option<&Reason> {
        match &self.state {
            State::Failed { reason, .. } => Some(reason),
            State::Initializing(_)
            | State::Serving { .. }
            | State::Draining(_)
            | State::Drained { .. }
            | State::Stopped => None,
        }
    }

    /// Failed, and nothing will happen unless somebody asks for it.
    pub fn gave_up(&self) -> bool {
        matches!(self.state, State::Failed { retry_at: None, .. })
    }

    /// The generation that it serves, is built from, or is to be built from next.
    pub fn generation(&self) -> u64 {
        self.spec.generation
    }

    /// Every generation that an output may still name.
    pub fn generations(&self) -> impl Iterator<Item = u64> {
        let pending = match &self.state {
            State::Serving { next: Some(n), .. } => Some(n.spec.generation),
            State::Draining(Draining { then: Then::Continue { spec, .. } | Then::Rebuild { spec, .. }, .. }) => {
                Some(spec.generation)
            }
            State::Initializing(_)
            | State::Serving { next: None, .. }
            | State::Draining(_)
            | State::Drained { .. }
            | State::Failed { .. }
            | State::Stopped => None,
        };
        [Some(self.spec.generation), self.last_served.as_ref().map(|s| s.generation), pending].into_iter().flatten()
    }

    /// What can be seen of it. Name and traffic are the driver's to fill in.
    pub fn snapshot(&self, now: Instant, wall: WallClock) -> ClusterStatus {
        let in_ms = |at: Instant| u64::try_from(at.since(now).as_millis()).unwrap_or(u64::MAX);
        let drain = match &self.state {
            State::Draining(d) => Some(DrainStatus {
                why: d.why,
                started_unix_ms: wall.unix_ms(d.began),
                deadline_in_ms: Some(in_ms(d.deadline)),
                connections_at_start: d.connections.unwrap_or(0),
                connections_left: d.left,
                in_flight: d.in_flight,
            }),
            State::Drained { began, connections } => Some(DrainStatus {
                why: DrainReason::Operator,
                started_unix_ms: wall.unix_ms(*began),
                connections_at_start: *connections,
                ..DrainStatus::default()
            }),
            State::Initializing(_) | State::Serving { .. } | State::Failed { .. } | State::Stopped => None,
        };
        let retry_at = match &self.state {
            State::Failed { retry_at, .. } => *retry_at,
            State::Initializing(_)
            | State::Serving { .. }
            | State::Draining(_)
            | State::Drained { .. }
            | State::Stopped => None,
        };
        let retry = (self.failure().is_some() || self.retries > 0).then(|| RetryStatus {
            attempt: self.retries,
            max_retries: self.retry.max_retries,
            next_in_ms: retry_at.map(in_ms),
        });
        ClusterStatus {
            state: self.state(),
            since_unix_ms: wall.unix_ms(self.since),
            reason: self.failure().map(|r| r.links().to_vec()),
            retry,
            drain,
            generation: self.spec.generation,
            last_transitions: self.transitions.iter().map(|t| t.status(wall)).collect(),
            ..ClusterStatus::default()
        }
    }
}
