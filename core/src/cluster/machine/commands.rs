//! What somebody may ask of a virtual cluster, state by state.

use super::{Cluster, Initializing, Next, Purpose, State, Step, Then};
use crate::{
    cluster::{Change, Output, Reason, Refused, RetryPolicy, Spec},
    limits,
    status::{ClusterOutcome, DrainReason},
    time::Instant,
};

impl Cluster {
    /// Has listeners left unbound until [`Cluster::proceed`], because another cluster still has addresses that this one is
    /// to have.
    pub fn hold(&mut self) {
        self.held = true;
    }

    /// Whatever this cluster was held for is over.
    pub fn proceed(&mut self, now: Instant, out: &mut Vec<Output>) {
        self.held = false;
        if let State::Initializing(Initializing { step: Step::Waiting, .. }) = self.state {
            self.bind(now, out);
        }
    }

    /// Has the next failure followed by retries of this kind: a setting of the proxy, and no reason to touch a cluster.
    pub fn set_retry(&mut self, retry: RetryPolicy) {
        self.retry = retry;
    }

    pub(super) fn drain_for_operator(&mut self, now: Instant, out: &mut Vec<Output>) -> Result<(), Refused> {
        match &mut self.state {
            State::Serving { build, next: None } => {
                let (build, cause) = (*build, Reason::new("an operator asked for it"));
                self.drain(build, DrainReason::Operator, Then::Stay, cause, now, out);
                Ok(())
            }
            State::Serving { next: Some(_), .. } => Err(Refused::ReloadRunning),
            State::Drained { .. } => Ok(()),
            State::Draining(d) => match &d.then {
                Then::Stay => Ok(()),
                // The operator wanted it back, and now does not.
                Then::Rebuild { purpose: Purpose::Serve, .. } => {
                    d.then = Then::Stay;
                    Ok(())
                }
                Then::Rebuild { purpose: Purpose::Reload | Purpose::Rollback(_), .. } | Then::Continue { .. } => {
                    Err(Refused::ReloadRunning)
                }
                Then::Stop => Err(Refused::Leaving),
            },
            State::Initializing(_) | State::Failed { .. } => Err(Refused::NotServing(self.state())),
            State::Stopped => Err(Refused::Gone),
        }
    }

    pub(super) fn retry_for_operator(&mut self, now: Instant, out: &mut Vec<Output>) -> Result<(), Refused> {
        let cause = Reason::new("an operator wants it back");
        match &mut self.state {
            State::Failed { .. } | State::Drained { .. } => {
                self.retries = 0;
                self.initialize(Purpose::Serve, cause, now, out);
                Ok(())
            }
            State::Draining(d) => match &d.then {
                Then::Stay => {
                    d.then = Then::Rebuild { spec: self.spec.clone(), purpose: Purpose::Serve };
                    Ok(())
                }
                // It comes back anyway.
                Then::Rebuild { .. } | Then::Continue { .. } => Ok(()),
                Then::Stop => Err(Refused::Leaving),
            },
            State::Initializing(_) | State::Serving { .. } => Err(Refused::NothingToRetry(self.state())),
            State::Stopped => Err(Refused::Gone),
        }
    }

    pub(super) fn reload(
        &mut self,
        spec: Spec,
        change: Change,
        now: Instant,
        out: &mut Vec<Output>,
    ) -> Result<(), Refused> {
        let cause = Reason::new(format!("generation {} changes it", spec.generation));
        match &mut self.state {
            State::Serving { next: next @ None, .. } => {
                self.last_build.attempt += 1;
                let (build, generation) = (self.last_build, spec.generation);
                *next = Some(Next { build, spec, change, deadline: now + limits::BUILD_TIMEOUT });
                out.push(Output::Prepare { build, generation });
            }
            State::Initializing(i) if i.purpose == Purpose::Serve => {
                // Not a transition: it goes on initializing, from another configuration.
                out.push(Output::Release { build: i.build });
                (self.spec, self.retries) = (spec, 0);
                self.state = self.prepare(Purpose::Reload, now);
                self.ask_to_prepare(out);
            }
            State::Failed { .. } | State::Drained { .. } => {
                (self.spec, self.retries) = (spec, 0);
                self.initialize(Purpose::Reload, cause, now, out);
            }
            State::Draining(d) => match &d.then {
                Then::Stay | Then::Rebuild { purpose: Purpose::Serve, .. } => {
                    d.then = Then::Rebuild { spec, purpose: Purpose::Reload };
                }
                Then::Rebuild { purpose: Purpose::Reload | Purpose::Rollback(_), .. } | Then::Continue { .. } => {
                    return Err(Refused::ReloadRunning);
                }
                Then::Stop => return Err(Refused::Leaving),
            },
            State::Serving { next: Some(_), .. } | State::Initializing(_) => return Err(Refused::ReloadRunning),
            State::Stopped => return Err(Refused::Gone),
        }
        Ok(())
    }

    /// Takes the shortest way to stopped that the table has.
    pub(super) fn leave(&mut self, why: DrainReason, cause: &str, now: Instant, out: &mut Vec<Output>) {
        let cause = Reason::new(cause);
        match &mut self.state {
            State::Initializing(i) => {
                let build = i.build;
                if i.purpose != Purpose::Serve {
                    overtaken(&cause, out);
                }
                out.push(Output::Release { build });
                let reason = cause.clone().within("it was not ready yet");
                self.enter(State::Failed { reason: reason.clone(), retry_at: None }, reason, now, out);
                self.enter(State::Stopped, cause, now, out);
            }
            State::Serving { build, .. } => {
                let build = *build;
                self.drop_next(ClusterOutcome::Overtaken, cause.clone(), out);
                self.drain(build, why, Then::Stop, cause, now, out);
            }
            State::Draining(d) => {
                d.why = why;
                match core::mem::replace(&mut d.then, Then::Stop) {
                    Then::Continue { build, .. } => {
                        out.push(Output::Release { build });
                        overtaken(&cause, out);
                    }
                    Then::Rebuild { purpose: Purpose::Reload | Purpose::Rollback(_), .. } => overtaken(&cause, out),
                    Then::Rebuild { purpose: Purpose::Serve, .. } | Then::Stay | Then::Stop => {}
                }
            }
            State::Drained { .. } | State::Failed { .. } => self.enter(State::Stopped, cause, now, out),
            State::Stopped => {}
        }
    }
}

fn overtaken(cause: &Reason, out: &mut Vec<Output>) {
    out.push(Output::Reloaded { outcome: ClusterOutcome::Overtaken, cause: Some(cause.clone()) });
}
