//! One client connection with its upstream connection.
//!
//! The relay never holds bulk bytes: the driver shows it a slice ([`Relay::feed`]), and the [`Plan`] says where each byte
//! goes. Frames stream; only those that must be read whole (small ones by nature) are asked for in one piece.
//!
//! ```text
//!         first request       told to drain             nothing in flight: FIN to the client
//!  Silent ────────────► Open ──────────────► Draining ────────────► Finishing
//!    │                   │ client's FIN,     │ client's FIN,         │
//!    │ nothing asked     ▼ answers owed      │ answers owed          │
//!    │ in time        Leaving ◄──────────────┘                       │
//!    │                   │ answered, or late                         │ client's FIN, or late
//!    └───────────────────┴──► Closed(cause) ◄────────────────────────┘
//! ```
//!
//! The way to upstream has states of its own (`link`): a request may wait for it in Open, Draining and Finishing.
//! From Finishing it goes by way of Flushing where upstream cannot have read everything yet.
//!
//! What it is not: it opens no socket, knows no TLS, and decides nothing about other connections.

mod authentication;
mod cause;
mod draining;
mod ledger;
mod link;
mod login;
mod patience;
mod plan;
mod requests;
mod responses;
#[cfg(test)]
mod tests;

pub use self::{
    authentication::Authentication,
    cause::{Cause, ClientMisbehaved, UpstreamMisbehaved},
    ledger::Asked,
    plan::{Action, AnsweredBy, Exchange, Plan, Segment},
};

use self::{
    authentication::Gate, ledger::Ledger, link::Link, patience::Patience, requests::Requests, responses::Responses,
};
use crate::{
    address::HostPort,
    api::ApiKey,
    gateway::Gateway,
    limits,
    sasl::{self, Principal, scram::Keys},
    time::{Instant, earliest},
    wire::printable,
};
use core::time::Duration;
use std::sync::Arc;

/// One side of a relayed connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Leg {
    /// Towards the Kafka client.
    Client,
    /// Towards the Kafka broker.
    Upstream,
}

impl Leg {
    /// The opposite side.
    pub const fn other(self) -> Self {
        match self {
            Self::Client => Self::Upstream,
            Self::Upstream => Self::Client,
        }
    }
}

/// What all connections of one gateway have in common.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Gives the addresses that clients are told.
    pub gateway: Arc<Gateway>,
    /// Bytes: the largest request frame.
    pub request_frame_max: u32,
    /// How long a client may take to its first request.
    pub first_request_timeout: Duration,
    /// How long a request that has begun may take where it is read whole, and stand still where it streams.
    pub unfinished_request_timeout: Duration,
    /// How long a client may take nothing of what waits for it.
    pub unread_response_timeout: Duration,
    /// How long it may take to find out where upstream is.
    pub resolve_timeout: Duration,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How long nobody may say anything while nothing is in flight; `None`: upstream decides.
    pub idle_timeout: Option<Duration>,
    /// How clients prove who they are; `None`: upstream asks them.
    pub authentication: Option<Authentication>,
    /// Whether the proxy itself logs in to upstream.
    pub logs_in: bool,
    /// How long that may take.
    pub login_timeout: Duration,
}

/// Something that happened other than bytes.
#[derive(Clone, Debug)]
pub enum Event {
    /// The answer to [`Action::Resolve`]: where to connect, in this order. Empty when nothing is known.
    Resolved(Vec<HostPort>),
    /// The connection that [`Action::Connect`] asked for is up.
    Connected,
    /// It is not, and why.
    ConnectFailed(String),
    /// The answer to [`Action::Examine`], or why there is none.
    Examiner(Result<Box<sasl::server::Exchange>, String>),
    /// The answer to [`Action::LogIn`], or why there is none.
    Secrets(Result<Box<sasl::client::Exchange>, String>),
    /// The answer to [`Action::Derive`] for the exchange on this leg.
    Derived(Leg, Box<Keys>),
    /// The peer will send no more. Said after everything it sent was shown and was not blocked.
    Eof {
        /// Whose connection.
        leg: Leg,
        /// Bytes that were shown and not consumed: the start of a frame that will not end.
        left: usize,
    },
    /// Reading or writing failed.
    Broke(Leg, String),
    /// Execute no further request but those that a rejection would harm, and end when nothing is in flight.
    Drain,
    /// Time has passed.
    Tick,
}

/// Who is at the other end, as far as it said.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Client {
    /// `client.id` of the first request.
    pub id: Option<Box<str>>,
    /// `ClientSoftwareName` and `ClientSoftwareVersion` of `ApiVersions` (KIP-511).
    pub software: Option<(Box<str>, Box<str>)>,
    /// Whom upstream or the proxy takes it for, once it has authenticated itself: with SASL, or with a certificate.
    pub principal: Option<Principal>,
}

#[derive(Debug)]
enum State {
    /// Connected, nothing asked of upstream. Once it is to drain, it is waited for a little.
    Silent { until: Instant, drains: bool },
    /// Relaying.
    Open,
    /// Requests are turned away where that does no harm; over as soon as nothing is in flight.
    Draining,
    /// Nothing is in flight and the client has our FIN: what crossed it is dropped, or forwarded where nobody waits for an
    /// answer.
    Finishing { deadline: Instant },
    /// The client has closed, or had its time, but records of it stand behind a long poll that was cut short: a broker reads
    /// them only when the poll is over. The drain's own limit is the deadline.
    Flushing,
    /// The client will send no more, but answers are owed to it: it may only have closed its sending half.
    Leaving { deadline: Instant },
    /// Over.
    Closed { cause: Cause },
}

/// How long a client that closed its sending half is given to take the answers that it is still owed.
///
/// Clients' own request timeout is 30 s, and no fetch waits longer by default.
const LEAVING: Duration = Duration::from_secs(30);

/// The state machine of one client connection.
#[derive(Debug)]
pub struct Relay {
    spec: Arc<Spec>,
    state: State,
    link: Link,
    gate: Gate,
    requests: Requests,
    responses: Responses,
    ledger: Ledger,
    patience: Patience,
    client: Option<Box<Client>>,
    is_served: bool,
    /// It has sent records with `acks=0`.
    sends_unacknowledged: bool,
    /// Whose certificate the client has shown.
    certified: Option<Box<str>>,
    /// The SASL exchange that the client is in, or has been in last.
    sasl: Option<Box<sasl::Exchange>>,
    last_active: Instant,
    born: Instant,
}

impl Relay {
    /// A connection that a client has just opened.
    pub fn new(spec: Arc<Spec>, now: Instant) -> Self {
        let first_request_timeout = spec.first_request_timeout;
        Self {
            gate: Gate::new(spec.authentication.as_ref(), spec.logs_in),
            spec,
            state: State::Silent { until: now + first_request_timeout, drains: false },
            link: Link::Unneeded,
            requests: Requests::Head,
            responses: Responses::Head,
            ledger: Ledger::default(),
            patience: Patience::default(),
            client: None,
            is_served: false,
            sends_unacknowledged: false,
            certified: None,
            sasl: None,
            last_active: now,
            born: now,
        }
    }

    /// The same from a client that has shown a good certificate of this subject: that is who it is, until SASL says otherwise.
    #[must_use]
    pub fn certified(mut self, subject: &str) -> Self {
        self.certified = Some(printable(subject.as_bytes()));
        self
    }

    /// Shows the bytes that have arrived on one leg and were not consumed before; `plan` says what becomes of them.
    ///
    /// With an error the connection is over: what the plan holds was decided before the error, is to be written, and
    /// then both legs are closed.
    pub fn feed(&mut self, leg: Leg, input: &[u8], now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        debug_assert!(plan.consumed == 0 && plan.to_client.is_empty() && plan.to_upstream.is_empty());
        self.last_active = now;
        if let State::Closed { cause } = &self.state {
            return Err(cause.clone());
        }
        let fed = match leg {
            Leg::Client => self.feed_requests(input, now, plan),
            Leg::Upstream => self.feed_responses(input, now, plan),
        };
        if leg == Leg::Client {
            self.patience.fed(self.requests.is_inside_frame(), plan.want > 0, plan.consumed > 0, now);
        }
        fed.map_err(|cause| self.close(cause))
    }

    /// How many of the next bytes on this leg go to the other one whatever they are. Behind all that was decided before, a driver may
    /// move them there without looking at them, and says so with [`Self::passed`].
    pub const fn unseen(&self, leg: Leg) -> u64 {
        match (&self.state, leg) {
            (State::Open | State::Draining | State::Leaving { .. }, Leg::Client) => self.requests.streams(),
            (State::Open | State::Draining | State::Leaving { .. }, Leg::Upstream) => self.responses.streams(),
            (State::Silent { .. } | State::Finishing { .. } | State::Flushing | State::Closed { .. }, _) => 0,
        }
    }

    /// So many bytes that need not be seen have been moved from this leg to the other one; `plan` says what follows from that.
    pub fn passed(&mut self, leg: Leg, n: u64, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        debug_assert!(n <= self.unseen(leg) && plan.to_client.is_empty() && plan.to_upstream.is_empty());
        self.last_active = now;
        let passed = match leg {
            Leg::Client => {
                self.request_flowed(n, now, plan);
                self.patience.fed(self.requests.is_inside_frame(), false, true, now);
                self.finish_if_quiet(now, plan);
                Ok(())
            }
            Leg::Upstream => self.response_flowed(n, now, plan).and_then(|()| self.upstream_said(now, plan)),
        };
        passed.map_err(|cause| self.close(cause))
    }

    /// What a plan had for upstream has been written, as far as upstream takes it. Said after each [`Self::feed`], it tells
    /// the time that the proxy took from the time that upstream takes.
    pub fn sent(&mut self, now: Instant) {
        let sending = matches!(self.requests, Requests::Streaming { .. });
        self.ledger.sent(sending, now);
    }

    /// Takes in something that happened. Legal in every state.
    pub fn handle(&mut self, event: Event, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        let handled = match event {
            Event::Resolved(candidates) => self.resolved(candidates, now, plan),
            Event::Connected => {
                self.connected(plan);
                Ok(())
            }
            Event::ConnectFailed(why) => self.connect_failed(&why, now, plan),
            Event::Examiner(brought) => self.examiner(brought, now, plan),
            Event::Secrets(brought) => self.secrets(brought, plan),
            Event::Derived(Leg::Client, keys) => {
                self.token_derived(&keys, now, plan);
                Ok(())
            }
            Event::Derived(Leg::Upstream, keys) => self.login_derived(&keys, now, plan),
            Event::Eof { leg, left } => self.eof(leg, left, now),
            Event::Broke(..) if matches!(self.state, State::Finishing { .. } | State::Flushing) => Err(Cause::Drained),
            Event::Broke(Leg::Client, _) if matches!(self.state, State::Leaving { .. }) => Err(Cause::ClientLeft),
            Event::Broke(Leg::Client, why) => Err(Cause::ClientBroke(why)),
            Event::Broke(Leg::Upstream, why) => Err(Cause::UpstreamBroke(why)),
            Event::Drain => self.drain(now, plan),
            Event::Tick => self.tick(now, plan),
        };
        match (&self.state, handled) {
            (State::Closed { cause }, _) => Err(cause.clone()),
            (_, Ok(())) => Ok(()),
            (_, Err(cause)) => Err(self.close(cause)),
        }
    }

    /// When [`Event::Tick`] is due at the latest; an early or late one is harmless.
    pub fn deadline(&self) -> Option<Instant> {
        let idle = self.idle_deadline();
        let gate = earliest(self.requests.deadline(), self.gate_deadline());
        match &self.state {
            State::Silent { until, .. } => earliest(Some(*until), gate),
            State::Open => earliest(earliest(self.link.deadline(), idle), earliest(gate, self.patience_ends())),
            // The cluster's drain has a deadline for all of them.
            State::Draining => earliest(self.link.deadline(), gate),
            State::Flushing => self.link.deadline(),
            State::Finishing { deadline } => earliest(Some(*deadline), self.link.deadline()),
            State::Leaving { deadline } => earliest(Some(*deadline), idle),
            State::Closed { .. } => None,
        }
    }

    /// Requests that were taken from the client and whose answers have not all gone out.
    pub fn in_flight(&self) -> usize {
        self.ledger.len() + usize::from(self.requests.holds_one_in_flight())
    }

    /// Whether upstream's connection may be dropped when this one is over: all it still works on are long polls that were
    /// cut short. A broker closes such a connection only when the last of them is over.
    pub fn leaves_only_long_polls(&self) -> bool {
        self.ledger.is_only_late()
    }

    /// Whether the client has got an answer that it can work with.
    pub const fn is_served(&self) -> bool {
        self.is_served
    }

    /// Who the client said it is, once it has asked something.
    pub fn client(&self) -> Option<&Client> {
        self.client.as_deref()
    }

    fn close(&mut self, cause: Cause) -> Cause {
        self.state = State::Closed { cause: cause.clone() };
        self.link = Link::Unneeded;
        cause
    }

    fn idle_deadline(&self) -> Option<Instant> {
        let is_idle = self.in_flight() == 0 && !self.link.is_connecting();
        self.spec.idle_timeout.filter(|_| is_idle).map(|timeout| self.last_active + timeout)
    }

    fn eof(&mut self, leg: Leg, left: usize, now: Instant) -> Result<(), Cause> {
        match (&self.state, leg) {
            (State::Closed { cause }, _) => Err(cause.clone()),
            (State::Finishing { .. } | State::Flushing, Leg::Upstream) => Err(Cause::Drained),
            (State::Finishing { .. }, Leg::Client) => self.flush(),
            (State::Flushing, Leg::Client) => Ok(()),
            (_, Leg::Upstream) => Err(Cause::UpstreamClosed),
            (State::Leaving { .. }, Leg::Client) => Ok(()),
            (_, Leg::Client) if left > 0 || self.requests.is_inside_frame() => Err(ClientMisbehaved::Truncated.into()),
            (_, Leg::Client) if self.ledger.is_empty() => Err(Cause::ClientClosed),
            (State::Open | State::Draining, Leg::Client) => {
                self.state = State::Leaving { deadline: now + LEAVING };
                Ok(())
            }
            (State::Silent { .. }, Leg::Client) => Err(Cause::ClientLeft),
        }
    }

    fn tick(&mut self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        self.refusal_is_due(now, plan)?;
        self.link_is_late(now, plan)?;
        match &self.state {
            State::Silent { .. } | State::Open | State::Draining => self.authentication_is_late(now)?,
            State::Finishing { .. } | State::Flushing | State::Leaving { .. } | State::Closed { .. } => {}
        }
        if matches!(self.state, State::Open) {
            self.client_is_late(now)?;
        }
        match &self.state {
            State::Silent { until, drains: true } if *until <= now => {
                self.state = State::Draining;
                self.finish_if_quiet(now, plan);
                Ok(())
            }
            State::Silent { until, drains: false } if *until <= now => {
                Err(Cause::FirstRequestTimedOut(self.spec.first_request_timeout))
            }
            State::Leaving { deadline } if *deadline <= now => Err(Cause::ClientLeft),
            State::Finishing { deadline } if *deadline <= now && self.patience.is_held_back() => {
                self.linger_anew(now);
                Ok(())
            }
            State::Finishing { deadline } if *deadline <= now => self.linger_ended(now),
            State::Open | State::Leaving { .. } => match (self.idle_deadline(), self.spec.idle_timeout) {
                (Some(deadline), Some(timeout)) if deadline <= now => Err(Cause::IdleTimedOut(timeout)),
                (Some(_) | None, Some(_) | None) => Ok(()),
            },
            // A tick before its time.
            State::Silent { .. }
            | State::Draining
            | State::Finishing { .. }
            | State::Flushing
            | State::Closed { .. } => Ok(()),
        }
    }

    /// A request is over.
    fn settle(&mut self, exchange: Exchange, plan: &mut Plan) {
        self.is_served |= match exchange.by {
            AnsweredBy::Upstream(_) => true,
            // To `ApiVersions`, ours only says in which version to ask again.
            AnsweredBy::Proxy => exchange.asked.key != ApiKey::API_VERSIONS,
            AnsweredBy::Nobody => false,
        };
        plan.exchanges.push(exchange);
    }

    /// Sends the answers of ours whose turn has come.
    fn release_own_answers(&mut self, now: Instant, plan: &mut Plan) {
        while let Some((asked, answer)) = self.ledger.pop_own() {
            self.settle(
                Exchange { asked, response_bytes: answer.len() as u64, done: now, by: AnsweredBy::Proxy },
                plan,
            );
            plan.send(Leg::Client, answer);
        }
    }
}

/// Whether the relay takes the next frame at once, has to see more of it, or has to wait for the other leg.
enum Step {
    Again,
    Want(usize),
    Blocked,
}

/// Takes in one frame, or part of one, after the other, until `next` wants more of the slice or waits for the other leg.
fn take_in(
    input: &[u8],
    plan: &mut Plan,
    mut next: impl FnMut(&[u8], &mut Plan) -> Result<Step, Cause>,
) -> Result<(), Cause> {
    (plan.want, plan.blocked) = (0, false);
    while plan.consumed < input.len() {
        match next(&input[plan.consumed..], plan)? {
            Step::Again => {}
            Step::Want(want) => {
                plan.want = want;
                break;
            }
            Step::Blocked => {
                plan.blocked = true;
                break;
            }
        }
    }
    Ok(())
}

/// How many bytes to wait for when `seen` were not enough to decide about a frame of `total`: twice as many, so that a
/// head that arrives byte by byte is not read again for each of them.
fn want_more(seen: usize, total: usize) -> usize {
    total.min((2 * seen).max(64)).min(limits::REQUEST_PEEK_MAX.max(seen + 1))
}

/// How much of `rest` belongs to a frame of which `left` bytes are still to come.
fn part(left: u64, rest: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(rest.len())
}
