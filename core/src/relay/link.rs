//! The way to upstream: found out, dialed and opened when the first request that goes there is here.
//!
//! ```text
//!            a request wants upstream         candidates         connected
//!  Unneeded ─────────────────────────► Resolving ─────► Dialing ─────────► Up
//!      ▲                                   │               │
//!      └───────────────────────────────────┴───────────────┘ all who wanted it were turned away
//! ```
//!
//! Up, the proxy may have to log in first (`login`). It knows nothing of a drain: what waits for it goes the way that it would go on a connection that is up.

use super::{Action, Cause, Plan, Relay, State, login::Standing};
use crate::{address::HostPort, api::ApiKey, time::Instant};

/// How far the way to upstream is.
#[derive(Debug)]
pub(super) enum Link {
    /// Nobody wants it: upstream is not bothered with port scans and health checks.
    Unneeded,
    /// A request is waiting; where to connect is being found out.
    Resolving { deadline: Instant },
    /// A request is waiting; the candidates are tried in turn.
    Dialing { candidates: std::vec::IntoIter<HostPort>, trying: HostPort, deadline: Instant, failures: String },
    /// Connected.
    Up(Standing),
}

impl Link {
    /// Whether a request waits for it.
    pub(super) const fn is_connecting(&self) -> bool {
        match self {
            Self::Resolving { .. }
            | Self::Dialing { .. }
            | Self::Up(Standing::AskingForSecrets { .. } | Standing::LoggingIn { .. }) => true,
            Self::Unneeded
            | Self::Up(Standing::Needless | Standing::Fresh | Standing::Greeted | Standing::LoggedIn { .. }) => false,
        }
    }

    /// Nobody waits for it any more: what has begun and is not connected ends.
    pub(super) fn give_up(&mut self) {
        match self {
            Self::Resolving { .. } | Self::Dialing { .. } => *self = Self::Unneeded,
            Self::Unneeded | Self::Up(_) => {}
        }
    }

    /// When [`Relay::link_is_late`] has something to say.
    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Resolving { deadline } | Self::Dialing { deadline, .. } => Some(*deadline),
            Self::Unneeded => None,
            Self::Up(standing) => standing.deadline(),
        }
    }
}

impl Relay {
    /// Whether requests can go upstream now; the first one that wants to starts the connection.
    pub(super) fn upstream_is_open(&mut self, key: ApiKey, now: Instant, plan: &mut Plan) -> bool {
        match (&self.state, &self.link) {
            (State::Flushing | State::Leaving { .. } | State::Closed { .. }, _) => false,
            (State::Silent { .. } | State::Open | State::Draining | State::Finishing { .. }, link) => match link {
                Link::Up(_) => self.has_standing(key, now, plan),
                Link::Resolving { .. } | Link::Dialing { .. } => false,
                Link::Unneeded => {
                    plan.actions.push(Action::Resolve);
                    self.link = Link::Resolving { deadline: now + self.spec.resolve_timeout };
                    if matches!(self.state, State::Silent { .. }) {
                        self.state = State::Open;
                    }
                    false
                }
            },
        }
    }

    pub(super) fn resolved(&mut self, candidates: Vec<HostPort>, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        match &self.link {
            Link::Resolving { .. } => self.dial(candidates.into_iter(), String::new(), now, plan),
            // An answer that comes after its deadline, or twice.
            Link::Unneeded | Link::Dialing { .. } | Link::Up(_) => Ok(()),
        }
    }

    fn dial(
        &mut self,
        mut candidates: std::vec::IntoIter<HostPort>,
        failures: String,
        now: Instant,
        plan: &mut Plan,
    ) -> Result<(), Cause> {
        let Some(trying) = candidates.next() else {
            let why = if failures.is_empty() { "no address is known".to_owned() } else { failures };
            return Err(Cause::UpstreamUnreachable(why));
        };
        plan.actions.push(Action::Connect(trying.clone()));
        let deadline = now + self.spec.connect_timeout;
        self.link = Link::Dialing { candidates, trying, deadline, failures };
        Ok(())
    }

    pub(super) fn connected(&mut self, plan: &mut Plan) {
        match &self.link {
            Link::Dialing { trying, .. } => {
                plan.attempts.push((trying.clone(), Ok(())));
                self.link = Link::Up(Standing::new(self.spec.logs_in));
            }
            // The driver has one attempt under way and gives it up when told to connect elsewhere.
            Link::Unneeded | Link::Resolving { .. } | Link::Up(_) => {}
        }
    }

    pub(super) fn connect_failed(&mut self, why: &str, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        match &mut self.link {
            Link::Dialing { candidates, trying, failures, .. } => {
                plan.attempts.push((trying.clone(), Err(why.to_owned())));
                let separator = if failures.is_empty() { "" } else { "; " };
                let failures = format!("{failures}{separator}{trying}: {why}");
                let candidates = core::mem::take(candidates);
                self.dial(candidates, failures, now, plan)
            }
            // Late news of an attempt that was given up.
            Link::Unneeded | Link::Resolving { .. } | Link::Up(_) => Ok(()),
        }
    }

    /// Time has passed: where to connect is not known in time, or nobody answers there.
    pub(super) fn link_is_late(&mut self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        match &self.link {
            Link::Resolving { deadline } if *deadline <= now => {
                Err(Cause::UpstreamUnreachable("its address could not be found out in time".to_owned()))
            }
            Link::Dialing { deadline, .. } if *deadline <= now => {
                self.connect_failed(&format!("no answer within {:?}", self.spec.connect_timeout), now, plan)
            }
            Link::Up(_) => self.login_is_late(now, plan),
            Link::Unneeded | Link::Resolving { .. } | Link::Dialing { .. } => Ok(()),
        }
    }
}
