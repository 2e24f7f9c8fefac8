//! Logs the proxy in to upstream, before the first request that needs it and whenever the session there nears its end.
//!
//! ```text
//!         ApiVersions            another request                      brought
//!  Fresh ─────────────► Greeted ─────────────────► AskingForSecrets ─────────► LoggingIn
//!    └──────────────────────────────────────────────▲    ▲                        │ let in
//!                                                   │    │ the first request      ▼
//!  Needless                                         └────┴─ after it is due ── LoggedIn
//! ```
//!
//! While the proxy logs in, upstream owes nothing: what it says belongs to the login. Requests wait, and long polls are waited for;
//! upstream takes the handshake of a session that has ended as well, as long as nothing else comes before it.

use super::{Action, Leg, Plan, Relay, Step, UpstreamMisbehaved, cause::Cause, link::Link};
use crate::{
    api::ApiKey,
    limits,
    sasl::{
        client::Exchange,
        login::{Login, LoginError, Progress},
        scram::Keys,
    },
    time::Instant,
    wire::{self, LENGTH_PREFIX},
};

/// What upstream takes the proxy for.
#[derive(Debug)]
pub(super) enum Standing {
    /// The proxy does not log in: SASL is between the client and upstream, or there is none.
    Needless,
    /// Nothing was sent yet.
    Fresh,
    /// An `ApiVersions` request was sent, and upstream answers one only.
    Greeted,
    /// The driver is asked for what it takes.
    AskingForSecrets { deadline: Instant },
    /// A handshake or a token was sent.
    LoggingIn { login: Box<Login>, deadline: Instant },
    /// It is known, and should log in again from `due` on.
    LoggedIn { due: Option<Instant> },
}

impl Standing {
    pub(super) const fn new(logs_in: bool) -> Self {
        if logs_in { Self::Fresh } else { Self::Needless }
    }

    pub(super) const fn deadline(&self) -> Option<Instant> {
        match self {
            Self::AskingForSecrets { deadline } | Self::LoggingIn { deadline, .. } => Some(*deadline),
            Self::Needless | Self::Fresh | Self::Greeted | Self::LoggedIn { .. } => None,
        }
    }
}

impl Relay {
    /// Whether this request can go upstream now. The first one that needs the proxy to be logged in has it do so.
    pub(super) fn has_standing(&mut self, key: ApiKey, now: Instant, plan: &mut Plan) -> bool {
        let owes_nothing = self.ledger.is_empty() && self.ledger.front_late().is_none();
        let Link::Up(standing) = &mut self.link else { return false };
        match standing {
            Standing::Needless => return true,
            Standing::Fresh if key == ApiKey::API_VERSIONS => {
                *standing = Standing::Greeted;
                return true;
            }
            Standing::LoggedIn { due } if due.is_none_or(|due| now < due) => return true,
            Standing::AskingForSecrets { .. } | Standing::LoggingIn { .. } => return false,
            Standing::Fresh | Standing::Greeted | Standing::LoggedIn { .. } => {}
        }
        if owes_nothing {
            *standing = Standing::AskingForSecrets { deadline: now + self.spec.login_timeout };
            plan.actions.push(Action::LogIn);
        } // else it is looked at again when upstream has answered
        false
    }

    /// The driver has brought what it takes to log in, or says why it cannot.
    pub(super) fn secrets(&mut self, brought: Result<Box<Exchange>, String>, plan: &mut Plan) -> Result<(), Cause> {
        let Link::Up(standing @ Standing::AskingForSecrets { .. }) = &mut self.link else {
            return Ok(()); // nobody waits for it any more
        };
        let deadline = standing.deadline().expect("asking has one");
        match brought {
            Ok(exchange) => {
                let (login, first) = Login::start(*exchange);
                *standing = Standing::LoggingIn { login: Box::new(login), deadline };
                plan.send(Leg::Upstream, first.0);
                Ok(())
            }
            Err(why) => Err(not_logged_in(why, plan)),
        }
    }

    /// What upstream answers to the proxy itself.
    pub(super) fn login_response(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        let size = wire::frame_size(rest).map_err(UpstreamMisbehaved::FrameTooShort)?;
        let Some(size) = size else { return Ok(Step::Want(LENGTH_PREFIX)) };
        if size > limits::REQUEST_COLLECT_MAX {
            let (key, max) = (ApiKey::SASL_AUTHENTICATE, limits::REQUEST_COLLECT_MAX);
            return Err(UpstreamMisbehaved::FrameTooLong { key, size, max }.into());
        }
        let total = LENGTH_PREFIX + size as usize;
        let Some(frame) = rest.get(..total) else { return Ok(Step::Want(total)) };
        let Link::Up(standing) = &mut self.link else { unreachable!("what answers is connected") };
        let Standing::LoggingIn { login, .. } = standing else { unreachable!("it is the login that is answered") };
        plan.skip(total);
        let progress = login.response(frame);
        self.log_in_further(progress, now, plan)?;
        Ok(Step::Again)
    }

    /// The driver has derived what the login goes on with.
    pub(super) fn login_derived(&mut self, keys: &Keys, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        let Link::Up(Standing::LoggingIn { login, .. }) = &mut self.link else {
            return Ok(()); // nobody waits for it any more
        };
        let progress = login.derived(keys);
        self.log_in_further(progress, now, plan)
    }

    fn log_in_further(
        &mut self,
        progress: Result<Progress, LoginError>,
        now: Instant,
        plan: &mut Plan,
    ) -> Result<(), Cause> {
        match progress {
            Ok(Progress::Send(next)) => plan.send(Leg::Upstream, next.0),
            Ok(Progress::Derive(derivation)) => plan.actions.push(Action::Derive(Leg::Upstream, derivation)),
            Ok(Progress::Done { session }) => {
                let due = session.map(|session| now + session * limits::LOGIN_AGAIN_PERCENT / 100);
                self.link = Link::Up(Standing::LoggedIn { due });
                plan.actions.push(Action::LoggedIn);
            }
            Err(why) => return Err(not_logged_in(why.to_string(), plan)),
        }
        Ok(())
    }

    pub(super) const fn is_logging_in(&self) -> bool {
        matches!(self.link, Link::Up(Standing::LoggingIn { .. }))
    }

    /// Time has passed: upstream does not answer, or the driver does not.
    pub(super) fn login_is_late(&self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        match &self.link {
            Link::Up(standing) if standing.deadline().is_some_and(|deadline| deadline <= now) => {
                Err(not_logged_in(format!("it took longer than {:?}", self.spec.login_timeout), plan))
            }
            Link::Unneeded | Link::Resolving { .. } | Link::Dialing { .. } | Link::Up(_) => Ok(()),
        }
    }
}

fn not_logged_in(why: String, plan: &mut Plan) -> Cause {
    plan.actions.push(Action::NotLoggedIn);
    Cause::LoginFailed(why)
}
