//! Lets clients in where the proxy ends their SASL: what may be asked before, and who they are.
//!
//! ```text
//!        SaslHandshake           last token accepted
//!  Shut ───────────────► Exchanging ──────────────► Open
//!    │                    ▲   │                       │ SaslHandshake: again (KIP-368)
//!    │                    └───┼───────────────────────┤
//!    │ anything else          │ refused               │ any other request after the session's end
//!    └────────► closed ◄──────┴───────────────────────┘
//! ```
//!
//! An exchange is taken up when everything before it is answered, and answered before anything behind it is looked at. A refusal
//! is held back for a while, in which nothing is read: whoever guesses passwords gets few answers.
//!
//! Which users there are, and which tokens hold, is in the exchange that the driver brings for each.

use super::{
    Action, ClientMisbehaved, Leg, Plan, Relay, State, Step,
    cause::Cause,
    ledger::Asked,
    requests::{Requests, missing},
};
use crate::{
    api::{Api, ApiKey},
    limits,
    reload::Secret,
    rewrite,
    sasl::{
        self, Mechanism, Principal,
        scram::Keys,
        server::{Exchange, Verdict},
    },
    time::Instant,
    wire::{self, LENGTH_PREFIX, printable},
};
use bytes::Bytes;
use core::time::Duration;
use kafka_protocol::{
    messages::{SaslAuthenticateResponse, SaslHandshakeResponse},
    protocol::StrBytes,
};

/// `UNSUPPORTED_SASL_MECHANISM`.
const UNSUPPORTED_SASL_MECHANISM: i16 = 33;

/// `ILLEGAL_SASL_STATE`.
const ILLEGAL_SASL_STATE: i16 = 34;

/// `SASL_AUTHENTICATION_FAILED`.
const SASL_AUTHENTICATION_FAILED: i16 = 58;

/// How clients prove who they are to the proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Authentication {
    /// What they may use; not empty.
    pub mechanisms: Vec<Mechanism>,
    /// How long a client is taken for who it was, before it has to prove it again; `None`: as long as its token holds, or for
    /// ever.
    pub session_max: Option<Duration>,
    /// How long a refusal is held back.
    pub failure_delay: Duration,
    /// How long a client may take from connecting until it is let in.
    pub timeout: Duration,
}

/// Who has been let in.
#[derive(Clone, Debug)]
pub(super) struct Session {
    user: Box<str>,
    mechanism: Mechanism,
    ends: Option<Instant>,
}

/// How far a client is.
#[derive(Debug)]
pub(super) enum Gate {
    /// SASL is between the client and upstream.
    Passing,
    /// The proxy logs in to upstream, and its clients do not log in at all.
    Unwanted,
    /// Nobody has been let in.
    Shut {
        /// The client has asked for the versions, which it may once.
        greeted: bool,
    },
    /// A mechanism is agreed on.
    Exchanging {
        mechanism: Mechanism,
        /// Whom the first token named.
        claimed: Option<Box<str>>,
        /// What the driver has brought, with the first token.
        exchange: Option<Box<Exchange>>,
        /// Who has been let in before.
        was: Option<Session>,
    },
    /// Somebody has been let in.
    Open(Session),
}

/// A token that has come, and how its answer is framed.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// `None`: behind a `SaslHandshake` v0, without any header.
    asked: Option<Asked>,
    token: Secret,
}

/// A refusal that is held back.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) until: Instant,
    answer: Option<(Asked, Bytes)>,
    cause: Cause,
}

impl Gate {
    pub(super) const fn new(authentication: Option<&Authentication>, logs_in: bool) -> Self {
        match (authentication, logs_in) {
            (Some(_), _) => Self::Shut { greeted: false },
            (None, true) => Self::Unwanted,
            (None, false) => Self::Passing,
        }
    }

    /// The client's question for the versions goes upstream.
    pub(super) const fn greet(&mut self) {
        if let Self::Shut { greeted } = self {
            *greeted = true;
        }
    }

    /// Whether the client still has to say who it is.
    pub(super) const fn is_shut(&self) -> bool {
        match self {
            Self::Shut { .. } | Self::Exchanging { was: None, .. } => true,
            Self::Passing | Self::Unwanted | Self::Exchanging { was: Some(_), .. } | Self::Open(_) => false,
        }
    }
}

impl Relay {
    /// Decides about a request that is none before the client has been let in, or is one of SASL; `None`: what becomes of it
    /// otherwise.
    pub(super) fn at_the_gate(
        &mut self,
        api: &Api,
        asked: Asked,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Option<Step>, Cause> {
        let key = asked.key;
        let is_sasl = key == ApiKey::SASL_HANDSHAKE || key == ApiKey::SASL_AUTHENTICATE;
        match &self.gate {
            Gate::Passing => Ok(None),
            Gate::Unwanted if !is_sasl => Ok(None),
            Gate::Shut { greeted: false } if key == ApiKey::API_VERSIONS => Ok(None),
            Gate::Open(Session { ends, .. }) if !is_sasl => match ends {
                Some(ends) if *ends <= now => Err(Cause::SessionExpired),
                Some(_) | None => Ok(None),
            },
            Gate::Shut { .. } | Gate::Exchanging { .. } if !is_sasl => {
                Err(ClientMisbehaved::NotAuthenticated(key).into())
            }
            _ if !api.supports(asked.version) => Ok(None), // closes like any other
            _ if !self.ledger.is_empty() => Ok(Some(Step::Blocked)),
            Gate::Unwanted | Gate::Shut { .. } | Gate::Exchanging { .. } | Gate::Open(_) => {
                self.sasl_request(api, asked, frame, now, plan).map(Some)
            }
        }
    }

    fn sasl_request(
        &mut self,
        api: &Api,
        asked: Asked,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Step, Cause> {
        let Asked { key, version, .. } = asked;
        if let Some(step) = missing(&asked, frame)? {
            return Ok(step);
        }
        let unreadable = |e: wire::Unread| ClientMisbehaved::Unreadable { key, version, why: e.to_string() };
        if key == ApiKey::SASL_HANDSHAKE {
            let name = wire::sasl_mechanism(api, version, frame).map_err(unreadable)?;
            return Ok(self.handshake(asked, name, now, plan));
        }
        let token = wire::sasl_token(api, version, frame).map_err(unreadable)?;
        match &self.gate {
            Gate::Exchanging { .. } => {
                plan.skip(frame.len());
                let token = Secret(Bytes::copy_from_slice(token));
                self.judge(Token { asked: Some(asked), token }, now, plan);
                Ok(Step::Again)
            }
            // What a broker says to a client that is in already, or to whom it has no SASL.
            Gate::Open(_) | Gate::Unwanted | Gate::Passing => {
                let said = "SaslAuthenticate comes behind a SaslHandshake";
                Ok(self.answer(asked, authenticate_error(&asked, ILLEGAL_SASL_STATE, said), now, plan))
            }
            Gate::Shut { .. } => Err(ClientMisbehaved::NotAuthenticated(key).into()),
        }
    }

    /// A client asks for a mechanism.
    fn handshake(&mut self, asked: Asked, name: &[u8], now: Instant, plan: &mut Plan) -> Step {
        let Some(authentication) = self.spec.authentication.clone() else {
            return self.answer(asked, handshake_answer(&asked, ILLEGAL_SASL_STATE, &[]), now, plan);
        };
        plan.skip(usize::try_from(asked.request_bytes).expect("a frame's size has 32 bits"));
        let mechanism = Mechanism::named(name).filter(|mechanism| authentication.mechanisms.contains(mechanism));
        let error = if mechanism.is_some() { 0 } else { UNSUPPORTED_SASL_MECHANISM };
        let answer = handshake_answer(&asked, error, &authentication.mechanisms);
        let Some(mechanism) = mechanism else {
            let why = format!("{:?} is no mechanism for clients here", printable(name));
            self.refuse(None, None, why, Some((asked, answer)), now, plan);
            return Step::Again;
        };
        let was = match core::mem::replace(&mut self.gate, Gate::Unwanted) {
            Gate::Open(session) => Some(session),
            Gate::Exchanging { was, .. } => was,
            Gate::Passing | Gate::Unwanted | Gate::Shut { .. } => None,
        };
        self.gate = Gate::Exchanging { mechanism, claimed: None, exchange: None, was };
        self.requests = if asked.version == 0 { Requests::OwnToken } else { Requests::Head };
        self.owe(asked, answer, now, plan);
        Step::Again
    }

    /// A token without any header (`SaslHandshake` v0).
    pub(super) fn own_token(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        let size = wire::frame_size(rest).map_err(ClientMisbehaved::FrameTooShort)?;
        let Some(size) = size else { return Ok(Step::Want(LENGTH_PREFIX)) };
        if size > limits::REQUEST_COLLECT_MAX {
            return Err(ClientMisbehaved::FrameTooLong { size, max: limits::REQUEST_COLLECT_MAX }.into());
        }
        let total = LENGTH_PREFIX + size as usize;
        let Some(token) = rest.get(LENGTH_PREFIX..total) else { return Ok(Step::Want(total)) };
        plan.skip(total);
        self.judge(Token { asked: None, token: Secret(Bytes::copy_from_slice(token)) }, now, plan);
        Ok(Step::Again)
    }

    /// The driver has brought what it takes to judge the token that waits, or says why it cannot.
    pub(super) fn examiner(
        &mut self,
        brought: Result<Box<Exchange>, String>,
        now: Instant,
        plan: &mut Plan,
    ) -> Result<(), Cause> {
        match (&mut self.gate, core::mem::replace(&mut self.requests, Requests::Head)) {
            (Gate::Exchanging { exchange: exchange @ None, .. }, Requests::Examining(token)) => {
                *exchange = Some(brought.map_err(Cause::CannotAuthenticate)?);
                self.judge(token, now, plan);
                self.finish_if_quiet(now, plan);
                Ok(())
            }
            // Nobody waits for it.
            (_, requests) => {
                self.requests = requests;
                Ok(())
            }
        }
    }

    /// The driver has derived what it takes to judge the token that waits.
    pub(super) fn token_derived(&mut self, keys: &Keys, now: Instant, plan: &mut Plan) {
        match (&mut self.gate, core::mem::replace(&mut self.requests, Requests::Head)) {
            (Gate::Exchanging { exchange: Some(exchange), .. }, Requests::Examining(token)) => {
                let verdict = exchange.derived(keys);
                self.judged(verdict, token, now, plan);
                self.finish_if_quiet(now, plan);
            }
            // Nobody waits for it.
            (_, requests) => self.requests = requests,
        }
    }

    fn judge(&mut self, token: Token, now: Instant, plan: &mut Plan) {
        let Gate::Exchanging { mechanism, claimed, exchange, .. } = &mut self.gate else {
            unreachable!("a token is judged within an exchange")
        };
        let mechanism = *mechanism;
        let Some(machine) = exchange else {
            *claimed = sasl::claimed(mechanism, &token.token.0);
            plan.actions.push(Action::Examine { mechanism, token: token.token.clone() });
            self.requests = Requests::Examining(token);
            return;
        };
        let verdict = machine.step(&token.token.0);
        self.judged(verdict, token, now, plan);
    }

    fn judged(&mut self, verdict: Verdict, token: Token, now: Instant, plan: &mut Plan) {
        let Gate::Exchanging { mechanism, was, .. } = &self.gate else {
            unreachable!("a token is judged within an exchange")
        };
        let mechanism = *mechanism;
        match verdict {
            Verdict::Derive(derivation) => {
                plan.actions.push(Action::Derive(Leg::Client, derivation));
                self.requests = Requests::Examining(token);
            }
            Verdict::Challenge(challenge) => {
                self.answer_token(&token, challenge.0, Duration::ZERO, now, plan);
                self.requests = if token.asked.is_some() { Requests::Head } else { Requests::OwnToken };
            }
            Verdict::Accepted { token: last, user, valid_for } => {
                if let Some(was) = was
                    && (was.mechanism != mechanism || was.user != user)
                {
                    let why = format!("it was {} with {} before", was.user, was.mechanism);
                    self.deny(mechanism, why, &token, now, plan);
                    return;
                }
                self.let_in(mechanism, user, valid_for, (&token, last.0), now, plan);
            }
            Verdict::Refused(why) => self.deny(mechanism, why.to_string(), &token, now, plan),
        }
    }

    fn let_in(
        &mut self,
        mechanism: Mechanism,
        user: Box<str>,
        valid_for: Option<Duration>,
        (token, answer): (&Token, Bytes),
        now: Instant,
        plan: &mut Plan,
    ) {
        let session_max = self.spec.authentication.as_ref().and_then(|authentication| authentication.session_max);
        let lasts = [valid_for, session_max].into_iter().flatten().min();
        // A client takes 0 for "for ever".
        let lasts = lasts.map(|lasts| lasts.max(Duration::from_millis(1)));
        if let Some(client) = &mut self.client {
            client.principal = Some(Principal { name: Some(printable(user.as_bytes())), mechanism: mechanism.name() });
        }
        plan.actions.extend([Action::Introduced, Action::LetIn(mechanism)]);
        self.gate = Gate::Open(Session { user, mechanism, ends: lasts.map(|lasts| now + lasts) });
        if matches!(self.state, State::Silent { .. }) {
            self.state = State::Open;
        }
        self.answer_token(token, answer, lasts.unwrap_or_default(), now, plan);
        self.requests = Requests::Head;
    }

    fn answer_token(&mut self, token: &Token, answer: Bytes, lasts: Duration, now: Instant, plan: &mut Plan) {
        match token.asked {
            Some(asked) => {
                let lasts = i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX);
                let body = SaslAuthenticateResponse::default().with_auth_bytes(answer);
                // Before version 1 there is no place for it.
                let body = if asked.version >= 1 { body.with_session_lifetime_ms(lasts) } else { body };
                self.owe(asked, authenticate_answer(&asked, &body), now, plan);
            }
            None => {
                let size = u32::try_from(answer.len()).expect("an answer of ours is short");
                plan.send(Leg::Client, [&size.to_be_bytes(), answer.as_ref()].concat().into());
            }
        }
    }

    /// A client is not let in. It is told that, and nothing of why.
    fn deny(&mut self, mechanism: Mechanism, why: String, token: &Token, now: Instant, plan: &mut Plan) {
        let answer = token.asked.map(|asked| {
            let said = format!("Authentication failed: invalid credentials with SASL mechanism {mechanism}");
            (asked, authenticate_error(&asked, SASL_AUTHENTICATION_FAILED, &said))
        });
        let name = match &mut self.gate {
            Gate::Exchanging { claimed, .. } => claimed.take(),
            Gate::Passing | Gate::Unwanted | Gate::Shut { .. } | Gate::Open(_) => None,
        };
        self.refuse(Some(mechanism), name, why, answer, now, plan);
    }

    fn refuse(
        &mut self,
        mechanism: Option<Mechanism>,
        name: Option<Box<str>>,
        why: String,
        answer: Option<(Asked, Bytes)>,
        now: Instant,
        plan: &mut Plan,
    ) {
        let cause = Cause::AuthenticationFailed(why.clone());
        plan.actions.push(Action::Denied { mechanism, name, why });
        let delay =
            self.spec.authentication.as_ref().map_or(Duration::ZERO, |authentication| authentication.failure_delay);
        self.requests = Requests::Refusing(Box::new(Held { until: now + delay, answer, cause }));
    }

    /// When the client has to be let in at the latest, and after how long that is.
    fn gate_closes(&self) -> Option<(Instant, Duration)> {
        let timeout = self.spec.authentication.as_ref().filter(|_| self.gate.is_shut())?.timeout;
        Some((self.born + timeout, timeout))
    }

    /// When [`Self::authentication_is_late`] has something to say.
    pub(super) fn gate_deadline(&self) -> Option<Instant> {
        self.gate_closes().map(|(at, _)| at)
    }

    /// Time has passed: nobody has been let in.
    pub(super) fn authentication_is_late(&self, now: Instant) -> Result<(), Cause> {
        match self.gate_closes() {
            Some((at, timeout)) if at <= now => Err(Cause::AuthenticationTimedOut(timeout)),
            Some(_) | None => Ok(()),
        }
    }

    /// Gives the refusal that was held back long enough.
    pub(super) fn refusal_is_due(&mut self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        if self.requests.deadline().is_some_and(|until| until <= now)
            && let Requests::Refusing(held) = core::mem::replace(&mut self.requests, Requests::Head)
        {
            let Held { answer, cause, .. } = *held;
            if let Some((asked, answer)) = answer {
                self.owe(asked, answer, now, plan);
            }
            return Err(cause);
        }
        Ok(())
    }
}

fn handshake_answer(asked: &Asked, error: i16, mechanisms: &[Mechanism]) -> Bytes {
    let mechanisms = mechanisms.iter().map(|mechanism| StrBytes::from_static_str(mechanism.name())).collect();
    let body = SaslHandshakeResponse::default().with_error_code(error).with_mechanisms(mechanisms);
    rewrite::framed(asked.key, asked.version, asked.correlation_id, &body).expect("it is encoded in every version")
}

fn authenticate_error(asked: &Asked, error: i16, said: &str) -> Bytes {
    let said = Some(StrBytes::from_string(said.to_owned()));
    authenticate_answer(asked, &SaslAuthenticateResponse::default().with_error_code(error).with_error_message(said))
}

fn authenticate_answer(asked: &Asked, body: &SaslAuthenticateResponse) -> Bytes {
    rewrite::framed(asked.key, asked.version, asked.correlation_id, body).expect("it is encoded in every version")
}
