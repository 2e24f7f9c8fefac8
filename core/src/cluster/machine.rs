//! The machine itself.

use std::collections::VecDeque;

mod commands;
mod shown;

use super::{
    BuildId, Change, Command, Drained, Input, Output, Reason, Refused, RetryPolicy, Spec, Transition, edges::has_edge,
};
use crate::{
    limits,
    seed::SplitMix64,
    status::{ClusterOutcome, ClusterState, DrainReason},
    time::Instant,
};

/// One virtual cluster.
///
/// ```text
///                  ┌──────────── retry, changed configuration, rollback ───────────┐
///                  ▼                                                               │
///   (new) ──► initializing ──────────── cannot be built, overtaken ───────────► failed
///              ▲   │                                                               │
///       reload │   │ built                                      removal, shutdown  │
///     operator │   ▼                                                               ▼
///              │  serving ──► draining ───────── removal, shutdown ────────────► stopped
///              └─────────────────┘
/// ```
///
/// Decided where the table leaves it open:
/// - A cluster that an operator drained stays `draining` when its last connection has gone, and releases everything:
///   there is no edge to anywhere without somebody's wish. A retry, or a reload that changes it, brings it back; a reload
///   that leaves it as it is does not.
/// - A drain for one thing can become one for another (an operator's drain that a shutdown overtakes) without leaving
///   `draining` and without a new deadline.
/// - A rollback goes back to the last generation that served. A cluster that never served has none: it stays failed
///   and is retried with the configuration that it was given last.
#[derive(Debug)]
pub struct Cluster {
    state: State,
    since: Instant,
    /// What it serves, is built from, or is to be built from next.
    spec: Spec,
    last_served: Option<Spec>,
    retry: RetryPolicy,
    /// Since it last served or somebody last intervened.
    retries: u32,
    last_build: BuildId,
    /// Another cluster still has addresses that it is to have: listeners are not bound yet.
    held: bool,
    random: SplitMix64,
    transitions: VecDeque<Transition>,
}

#[derive(Debug)]
enum State {
    Initializing(Initializing),
    Serving {
        build: BuildId,
        next: Option<Next>,
    },
    Draining(Draining),
    /// Shown as draining: an operator's drain that is over. Nothing is held.
    Drained {
        began: Instant,
        connections: u64,
    },
    Failed {
        reason: Reason,
        retry_at: Option<Instant>,
    },
    Stopped,
}

#[derive(Debug)]
struct Initializing {
    build: BuildId,
    step: Step,
    purpose: Purpose,
    /// None while it waits, which ends with somebody else's drain.
    deadline: Option<Instant>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Preparing,
    /// Prepared, and held.
    Waiting,
    Binding,
}

/// What a build is for, which decides what follows its end.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Purpose {
    /// The first one, a retry, an operator's wish: nobody waits for a report.
    Serve,
    Reload,
    /// A reload that failed for this reason is being undone.
    Rollback(Reason),
}

/// What a reload prepares beside the serving build.
#[derive(Debug)]
struct Next {
    build: BuildId,
    spec: Spec,
    change: Change,
    deadline: Instant,
}

#[derive(Debug)]
struct Draining {
    build: BuildId,
    why: DrainReason,
    began: Instant,
    deadline: Instant,
    /// At the first report.
    connections: Option<u64>,
    left: u64,
    in_flight: u64,
    then: Then,
}

#[derive(Debug)]
enum Then {
    Stay,
    /// Go on with what was prepared.
    Continue {
        build: BuildId,
        spec: Spec,
    },
    Rebuild {
        spec: Spec,
        purpose: Purpose,
    },
    Stop,
}

impl Cluster {
    /// A cluster that appears in the configuration: begins to initialize at once. The seed spreads its retries.
    ///
    /// `entity` is the number of this cluster in this process: no other one has or had it.
    pub fn new(entity: u32, spec: Spec, retry: RetryPolicy, seed: u64, now: Instant, out: &mut Vec<Output>) -> Self {
        let mut cluster = Self {
            state: State::Stopped,
            since: now,
            spec,
            last_served: None,
            retry,
            retries: 0,
            last_build: BuildId { entity, attempt: 0 },
            held: false,
            random: SplitMix64::new(seed),
            transitions: VecDeque::with_capacity(limits::TRANSITIONS_KEPT),
        };
        let state = cluster.prepare(Purpose::Serve, now);
        cluster.go(None, state, Reason::new("it is in the configuration"), now, out);
        cluster.ask_to_prepare(out);
        cluster
    }

    /// Takes in what happened. Total: late news about a build that was released is ignored.
    pub fn handle(&mut self, input: Input, now: Instant, out: &mut Vec<Output>) {
        match (&mut self.state, input) {
            (State::Initializing(i), Input::Prepared { build }) if i.build == build && i.step == Step::Preparing => {
                self.bind(now, out);
            }
            (State::Initializing(i), Input::Bound { build }) if i.build == build && i.step == Step::Binding => {
                let purpose = i.purpose.clone();
                self.serve(build, purpose, now, out);
            }
            (
                State::Initializing(i),
                Input::PreparationFailed { build, reason } | Input::BindFailed { build, reason },
            ) if i.build == build => {
                let purpose = i.purpose.clone();
                self.fail(build, purpose, reason, now, out);
            }
            (State::Initializing(i), Input::Tick) if i.deadline.is_some_and(|d| now >= d) => {
                let (build, purpose, reason) = (i.build, i.purpose.clone(), too_slow(i.step));
                self.fail(build, purpose, reason, now, out);
            }

            (State::Serving { build: from, next: next @ Some(_) }, Input::Prepared { build })
                if next.as_ref().is_some_and(|n| n.build == build) =>
            {
                let (from, next) = (*from, next.take().expect("the guard has seen it"));
                self.go_on_with(next, from, now, out);
            }
            (State::Serving { next: Some(n), .. }, Input::PreparationFailed { build, reason }) if n.build == build => {
                self.drop_next(ClusterOutcome::NotPrepared, reason, out);
            }
            (State::Serving { next: Some(n), .. }, Input::Tick) if now >= n.deadline => {
                self.drop_next(ClusterOutcome::NotPrepared, too_slow(Step::Preparing), out);
            }

            (State::Draining(d), Input::ConnectionsLeft { build, connections, in_flight }) if d.build == build => {
                d.connections.get_or_insert(connections);
                (d.left, d.in_flight) = (connections, in_flight);
                if connections == 0 {
                    self.end_drain(now, out);
                }
            }
            (State::Draining(d), Input::Tick) if now >= d.deadline => {
                out.push(Output::Cut { build: d.build });
                self.end_drain(now, out);
            }

            (State::Failed { retry_at: Some(at), .. }, Input::Tick) if now >= *at => {
                self.retries = self.retries.saturating_add(1);
                let cause = Reason::new(format!("retry {}", self.retries));
                self.initialize(Purpose::Serve, cause, now, out);
            }

            // Nothing is due.
            (
                State::Initializing(_)
                | State::Serving { .. }
                | State::Draining(_)
                | State::Drained { .. }
                | State::Failed { .. }
                | State::Stopped,
                Input::Tick,
            ) => {}
            // News of a build that has been released, or that does not concern its present step.
            (
                State::Initializing(_)
                | State::Serving { .. }
                | State::Draining(_)
                | State::Drained { .. }
                | State::Failed { .. }
                | State::Stopped,
                Input::Prepared { .. }
                | Input::PreparationFailed { .. }
                | Input::Bound { .. }
                | Input::BindFailed { .. }
                | Input::ConnectionsLeft { .. },
            ) => {}
        }
    }

    /// Does what somebody asks for, or says why not.
    pub fn command(&mut self, command: Command, now: Instant, out: &mut Vec<Output>) -> Result<(), Refused> {
        match command {
            Command::Drain => self.drain_for_operator(now, out),
            Command::Retry => self.retry_for_operator(now, out),
            Command::Reload { spec, change } => self.reload(spec, change, now, out),
            Command::Remove => {
                self.leave(DrainReason::Removal, "it is no longer in the configuration", now, out);
                Ok(())
            }
            Command::Shutdown => {
                self.leave(DrainReason::Shutdown, "the proxy stops", now, out);
                Ok(())
            }
            Command::Halt => {
                self.leave(DrainReason::Shutdown, "the proxy stops at once", now, out);
                if let State::Draining(d) = &self.state {
                    out.push(Output::Cut { build: d.build });
                    self.end_drain(now, out);
                }
                Ok(())
            }
        }
    }

    fn serve(&mut self, build: BuildId, purpose: Purpose, now: Instant, out: &mut Vec<Output>) {
        out.push(Output::Serve { build });
        (self.last_served, self.retries) = (Some(self.spec.clone()), 0);
        let cause = Reason::new(format!("built from generation {}", self.spec.generation));
        self.enter(State::Serving { build, next: None }, cause, now, out);
        match purpose {
            Purpose::Serve => {}
            Purpose::Reload => out.push(Output::Reloaded { outcome: ClusterOutcome::Applied, cause: None }),
            Purpose::Rollback(failed) => {
                out.push(Output::Reloaded { outcome: ClusterOutcome::RolledBack, cause: Some(failed) });
            }
        }
    }

    /// An attempt to initialize has failed.
    fn fail(&mut self, build: BuildId, purpose: Purpose, reason: Reason, now: Instant, out: &mut Vec<Output>) {
        out.push(Output::Release { build });
        let reason = match &purpose {
            Purpose::Serve | Purpose::Reload => reason,
            Purpose::Rollback(failed) => reason.within("the way back failed as well").because(failed),
        };
        self.enter(State::Failed { reason: reason.clone(), retry_at: None }, reason.clone(), now, out);
        match (purpose, self.last_served.clone()) {
            (Purpose::Reload, Some(spec)) => {
                let cause = reason.clone().within(format!("rolling back to generation {}", spec.generation));
                self.spec = spec;
                self.initialize(Purpose::Rollback(reason), cause, now, out);
            }
            (Purpose::Reload, None) | (Purpose::Rollback(_), _) => {
                out.push(Output::Reloaded { outcome: ClusterOutcome::Failed, cause: Some(reason) });
                self.schedule_retry(now, out);
            }
            (Purpose::Serve, _) => self.schedule_retry(now, out),
        }
    }

    fn schedule_retry(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let State::Failed { reason, retry_at } = &mut self.state {
            match self.retry.pause(self.retries, &mut self.random) {
                Some(pause) => *retry_at = Some(now + pause),
                None => out.push(Output::GaveUp { reason: reason.clone() }),
            }
        }
    }

    /// What a reload prepared is there: swap it in, or drain for it.
    fn go_on_with(&mut self, next: Next, from: BuildId, now: Instant, out: &mut Vec<Output>) {
        let Next { build: to, spec, change, .. } = next;
        match change {
            Change::Live => {
                out.push(Output::Swap { from, to });
                self.state = State::Serving { build: to, next: None };
                (self.spec, self.last_served) = (spec.clone(), Some(spec));
                out.push(Output::Reloaded { outcome: ClusterOutcome::Applied, cause: None });
            }
            Change::Drain => {
                let cause = Reason::new(format!("generation {} is ready", spec.generation));
                self.drain(from, DrainReason::Reload, Then::Continue { build: to, spec }, cause, now, out);
            }
        }
    }

    /// The reload is off; what serves goes on serving.
    fn drop_next(&mut self, outcome: ClusterOutcome, cause: Reason, out: &mut Vec<Output>) {
        if let State::Serving { next, .. } = &mut self.state
            && let Some(Next { build, .. }) = next.take()
        {
            out.push(Output::Release { build });
            out.push(Output::Reloaded { outcome, cause: Some(cause) });
        }
    }

    /// Begins a drain; its deadline is that of the configuration which the connections came to.
    fn drain(
        &mut self,
        build: BuildId,
        why: DrainReason,
        then: Then,
        cause: Reason,
        now: Instant,
        out: &mut Vec<Output>,
    ) {
        let deadline = now + self.spec.drain_timeout;
        let draining = Draining { build, why, began: now, deadline, connections: None, left: 0, in_flight: 0, then };
        self.enter(State::Draining(draining), cause, now, out);
        out.push(Output::Drain { build, deadline });
    }

    /// Everybody has left or been cut.
    fn end_drain(&mut self, now: Instant, out: &mut Vec<Output>) {
        let State::Draining(d) = core::mem::replace(&mut self.state, State::Stopped) else {
            unreachable!("only a drain ends as one")
        };
        let lasted = now.since(d.began);
        let connections = d.connections.unwrap_or(0);
        out.push(Output::Release { build: d.build });
        out.push(Output::Drained(Drained {
            why: d.why,
            lasted,
            connections,
            cut_connections: d.left,
            cut_in_flight: d.in_flight,
        }));
        let from = Some(ClusterState::Draining);
        let cause = Reason::new(format!("drained in {} ms, {} connections cut", lasted.as_millis(), d.left));
        match d.then {
            // Not a transition: it stays draining until somebody wants it back, or gone.
            Then::Stay => self.state = State::Drained { began: d.began, connections },
            Then::Stop => self.go(from, State::Stopped, cause, now, out),
            Then::Continue { build, spec } => {
                (self.spec, self.retries) = (spec, 0);
                let (step, purpose) = (Step::Waiting, Purpose::Reload);
                let state = State::Initializing(Initializing { build, step, purpose, deadline: None });
                self.go(from, state, cause, now, out);
                self.bind(now, out);
            }
            Then::Rebuild { spec, purpose } => {
                (self.spec, self.retries) = (spec, 0);
                let state = self.prepare(purpose, now);
                self.go(from, state, cause, now, out);
                self.ask_to_prepare(out);
            }
        }
    }

    fn initialize(&mut self, purpose: Purpose, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        let state = self.prepare(purpose, now);
        self.enter(state, cause, now, out);
        self.ask_to_prepare(out);
    }

    /// The state in which a new build begins.
    fn prepare(&mut self, purpose: Purpose, now: Instant) -> State {
        let (build, deadline) = (self.next_build(), Some(now + limits::BUILD_TIMEOUT));
        State::Initializing(Initializing { build, step: Step::Preparing, purpose, deadline })
    }

    fn ask_to_prepare(&self, out: &mut Vec<Output>) {
        out.push(Output::Prepare { build: self.last_build, generation: self.spec.generation });
    }

    fn next_build(&mut self) -> BuildId {
        self.last_build.attempt += 1;
        self.last_build
    }

    /// Binds the listeners of a build that is prepared, unless somebody else still has their addresses.
    fn bind(&mut self, now: Instant, out: &mut Vec<Output>) {
        if let State::Initializing(i) = &mut self.state {
            if self.held {
                (i.step, i.deadline) = (Step::Waiting, None);
            } else {
                (i.step, i.deadline) = (Step::Binding, Some(now + limits::BUILD_TIMEOUT));
                out.push(Output::Bind { build: i.build });
            }
        }
    }

    fn enter(&mut self, state: State, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        self.go(Some(self.state.name()), state, cause, now, out);
    }

    fn go(&mut self, from: Option<ClusterState>, state: State, cause: Reason, now: Instant, out: &mut Vec<Output>) {
        let to = state.name();
        debug_assert!(has_edge(from, to), "no edge from {from:?} to {to}");
        let why = match &state {
            State::Draining(d) => Some(d.why),
            State::Initializing(_)
            | State::Serving { .. }
            | State::Drained { .. }
            | State::Failed { .. }
            | State::Stopped => None,
        };
        let transition = Transition { from, to, why, cause, at: now, lasted: now.since(self.since) };
        if self.transitions.len() == limits::TRANSITIONS_KEPT {
            self.transitions.pop_front();
        }
        self.transitions.push_back(transition.clone());
        (self.state, self.since) = (state, now);
        out.push(Output::Transitioned(transition));
    }
}

impl State {
    const fn name(&self) -> ClusterState {
        match self {
            Self::Initializing(_) => ClusterState::Initializing,
            Self::Serving { .. } => ClusterState::Serving,
            Self::Draining(_) | Self::Drained { .. } => ClusterState::Draining,
            Self::Failed { .. } => ClusterState::Failed,
            Self::Stopped => ClusterState::Stopped,
        }
    }
}

fn too_slow(step: Step) -> Reason {
    Reason::new(match step {
        Step::Preparing => format!("reading files and building took longer than {:?}", limits::BUILD_TIMEOUT),
        Step::Waiting | Step::Binding => format!("binding listeners took longer than {:?}", limits::BUILD_TIMEOUT),
    })
}
