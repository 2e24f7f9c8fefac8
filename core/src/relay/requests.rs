//! From the client to upstream: where each request's bytes go.

use super::{
    Action, AnsweredBy, Client, ClientMisbehaved, Exchange, Leg, Plan, Relay, State, Step,
    authentication::{Held, Token},
    cause::Cause,
    draining::parked,
    ledger::{Asked, Owed, Parked},
    part, take_in, want_more,
};
use crate::{
    api::{Api, ApiKey, RequestTreatment},
    limits,
    reject::Naming,
    rewrite,
    sasl::{self, CERTIFICATE, Mechanism, Principal},
    time::Instant,
    wire::{self, LENGTH_PREFIX, RequestHead, Unread},
};
use bytes::Bytes;

/// Bytes: the smallest request, a head with a null client id.
const SMALLEST_REQUEST: u32 = 10;

/// Where in the stream of requests the client is.
#[derive(Debug)]
pub(super) enum Requests {
    /// At the start of a frame, or so close to it that nothing is decided.
    Head,
    /// Inside a frame that flows upstream and will be answered.
    Streaming { left: u64 },
    /// Inside a `Produce` request with `acks=0`, which has no response: it is over with its last byte.
    StreamingUnanswered { left: u64, asked: Asked },
    /// Inside a frame that we have answered ourselves.
    Discarding { left: u64 },
    /// Inside a request that is turned away, and whose answer is made while it streams past.
    TurningAway { asked: Asked, naming: Box<Naming> },
    /// So many bytes before the end of a request that can neither be executed nor answered. It stays where it is, and the
    /// connection ends when everything before it is answered.
    Stuck { left: u64 },
    /// `SaslHandshake` v0 is with upstream: what comes next depends on its answer.
    AwaitingHandshake { tokens: Tokens },
    /// Raw SASL tokens, without any header (`SaslHandshake` v0), at the start of one.
    Token { tokens: Tokens },
    /// Inside a raw SASL token.
    StreamingToken { left: u64, then: Tokens },
    /// Raw SASL tokens for the proxy itself, at the start of one.
    OwnToken,
    /// A token is here, and what it takes to judge it is not.
    Examining(Token),
    /// A client is not let in, and will be told.
    Refusing(Box<Held>),
}

/// How many raw tokens a client sends with its SASL mechanism.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Tokens {
    /// So many, and then Kafka requests.
    Exactly(u8),
    /// As many as it takes (GSSAPI): the first frame that reads like a Kafka request ends them.
    UntilRequest,
}

impl Tokens {
    const fn of(mechanism: Option<Mechanism>) -> Self {
        match mechanism {
            Some(mechanism) => Self::Exactly(mechanism.client_tokens()),
            None => Self::UntilRequest,
        }
    }
}

impl Requests {
    /// Whether a request is in flight that the ledger does not know.
    pub(super) const fn holds_one_in_flight(&self) -> bool {
        matches!(self, Self::StreamingUnanswered { .. } | Self::TurningAway { .. }) || self.is_at_the_gate()
    }

    /// Whether a client waits to be let in or refused.
    pub(super) const fn is_at_the_gate(&self) -> bool {
        matches!(self, Self::Examining(_) | Self::Refusing(_))
    }

    /// When [`Relay::refusal_is_due`] has something to say.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Refusing(held) => Some(held.until),
            Self::Head
            | Self::Streaming { .. }
            | Self::StreamingUnanswered { .. }
            | Self::Discarding { .. }
            | Self::TurningAway { .. }
            | Self::Stuck { .. }
            | Self::AwaitingHandshake { .. }
            | Self::Token { .. }
            | Self::StreamingToken { .. }
            | Self::OwnToken
            | Self::Examining(_) => None,
        }
    }

    pub(super) const fn is_inside_frame(&self) -> bool {
        match self {
            Self::Streaming { .. }
            | Self::StreamingUnanswered { .. }
            | Self::Discarding { .. }
            | Self::TurningAway { .. }
            | Self::StreamingToken { .. } => true,
            Self::Head
            | Self::Stuck { .. }
            | Self::AwaitingHandshake { .. }
            | Self::Token { .. }
            | Self::OwnToken
            | Self::Examining(_)
            | Self::Refusing(_) => false,
        }
    }

    /// What is left of a frame that flows upstream as it is.
    pub(super) const fn streams(&self) -> u64 {
        if let Self::Streaming { left } | Self::StreamingUnanswered { left, .. } = self { *left } else { 0 }
    }

    /// Whether upstream may send tokens that no ledger entry announces.
    pub(super) const fn takes_any_tokens(&self) -> bool {
        matches!(
            self,
            Self::Token { tokens: Tokens::UntilRequest } | Self::StreamingToken { then: Tokens::UntilRequest, .. }
        )
    }
}

impl Relay {
    pub(super) fn feed_requests(&mut self, input: &[u8], now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        if matches!(self.state, State::Flushing) {
            plan.skip(input.len()); // it has had its time
            return Ok(());
        }
        loop {
            take_in(input, plan, |rest, plan| self.next_request(rest, now, plan))?;
            let waits = plan.blocked && self.link.is_connecting() && matches!(self.requests, Requests::Head);
            if waits || !self.finish_if_quiet(now, plan) {
                return Ok(());
            } // else the rest has crossed our FIN
        }
    }

    fn next_request(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        match self.requests {
            Requests::Head if matches!(self.state, State::Finishing { .. }) => self.crossing_head(rest, now, plan),
            Requests::Head => self.request_head(rest, now, plan),
            Requests::Streaming { left } | Requests::StreamingUnanswered { left, .. } => {
                let n = part(left, rest);
                plan.forward(Leg::Upstream, n);
                self.request_flowed(n as u64, now, plan);
                Ok(Step::Again)
            }
            Requests::Discarding { left } => {
                let n = part(left, rest);
                plan.skip(n);
                self.requests = match left - n as u64 {
                    0 => Requests::Head,
                    left => Requests::Discarding { left },
                };
                Ok(Step::Again)
            }
            Requests::TurningAway { .. } => self.turn_away_further(rest, now, plan),
            Requests::Stuck { .. }
            | Requests::AwaitingHandshake { .. }
            | Requests::Examining(_)
            | Requests::Refusing(_) => Ok(Step::Blocked),
            Requests::OwnToken => self.own_token(rest, now, plan),
            Requests::Token { tokens } => self.token_head(tokens, rest),
            Requests::StreamingToken { left, then } => {
                let n = part(left, rest);
                plan.forward(Leg::Upstream, n);
                self.requests = match (left - n as u64, then) {
                    (0, Tokens::Exactly(0)) => Requests::Head,
                    (0, tokens) => Requests::Token { tokens },
                    (left, then) => Requests::StreamingToken { left, then },
                };
                Ok(Step::Again)
            }
        }
    }

    /// So many further bytes of a request that streams have gone upstream, or are about to.
    pub(super) fn request_flowed(&mut self, n: u64, now: Instant, plan: &mut Plan) {
        let (Requests::Streaming { left } | Requests::StreamingUnanswered { left, .. }) = &mut self.requests else {
            unreachable!("only frames that stream flow");
        };
        *left -= n;
        let is_over = *left == 0;
        if let Requests::StreamingUnanswered { asked, .. } = self.requests {
            self.linger_anew(now);
            if is_over {
                self.requests = Requests::Head;
                let (response_bytes, by) = (0, AnsweredBy::Nobody);
                self.settle(Exchange { asked, response_bytes, done: now, by }, plan);
            }
        } else if is_over {
            self.requests = Requests::Head;
            self.ledger.complete(now);
            self.forwarded(now, plan);
        }
    }

    fn request_head(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        if self.client.is_none()
            && let Some(protocol) = wire::other_protocol(rest)
        {
            return Err(ClientMisbehaved::OtherProtocol(protocol).into());
        }
        let Some(head) = self.read_head(rest)? else { return Ok(Step::Want(RequestHead::LEN)) };
        let Some(api) = Api::find(head.key) else {
            return Err(ClientMisbehaved::UnknownApi(head.key).into());
        };
        if matches!(self.state, State::Silent { drains: true, .. }) && api.supports(head.version) {
            self.state = State::Draining;
        }
        let total = LENGTH_PREFIX + head.size as usize;
        let frame = &rest[..total.min(rest.len())];
        let asked = Asked::new(&head, now);
        if self.client.is_none() {
            match wire::request_client_id(frame) {
                Ok(id) => self.introduce(id, plan),
                Err(why) => return unread(why, &asked, frame.len()),
            }
        }
        if !self.ledger.has_room() {
            return Ok(Step::Blocked);
        }
        if let Some(step) = self.at_the_gate(api, asked, frame, now, plan)? {
            return Ok(step);
        }
        if !api.supports(head.version) {
            // A client ahead of us is told our range (KIP-511). Any other API it can only use against our offer.
            return match head.key {
                ApiKey::API_VERSIONS => {
                    Ok(self.answer(asked, rewrite::api_versions::too_new(head.correlation_id), now, plan))
                }
                key => Err(ClientMisbehaved::NotOffered { key, version: head.version }.into()),
            };
        }
        if matches!(self.state, State::Draining)
            && let Some(step) = self.turn_away(api, asked, frame, now, plan)?
        {
            return Ok(step);
        }
        match api.request {
            RequestTreatment::Refuse => match rewrite::refused(head.key, head.version, head.correlation_id) {
                Some(answer) => Ok(self.answer(asked, answer, now, plan)),
                None => Err(ClientMisbehaved::NotOffered { key: head.key, version: head.version }.into()),
            },
            RequestTreatment::Frame => {
                if head.size > limits::REQUEST_COLLECT_MAX && head.key == ApiKey::SASL_AUTHENTICATE {
                    self.sasl = None; // a token too large to be read in passing
                    return self.relay_request(api, asked, frame, now, plan);
                }
                match missing(&asked, frame)? {
                    Some(step) => Ok(step),
                    None => self.whole_request(api, asked, frame, now, plan),
                }
            }
            RequestTreatment::Relay => self.relay_request(api, asked, frame, now, plan),
            RequestTreatment::Produce => match wire::produce_acks(api, head.version, frame) {
                Ok(0) => Ok(self.relay_unanswered(asked, now, plan)),
                Ok(_) => self.relay_request(api, asked, frame, now, plan),
                Err(why) => unread(why, &asked, frame.len()),
            },
        }
    }

    /// A `Produce` request with `acks=0`, which streams and is owed nothing.
    pub(super) fn relay_unanswered(&mut self, asked: Asked, now: Instant, plan: &mut Plan) -> Step {
        if !self.upstream_is_open(asked.key, now, plan) {
            return Step::Blocked;
        }
        self.ledger.note_unanswered();
        self.sends_unacknowledged = true;
        self.requests = Requests::StreamingUnanswered { left: asked.request_bytes, asked };
        Step::Again
    }

    /// Requests that stream.
    fn relay_request(
        &mut self,
        api: &Api,
        asked: Asked,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Step, Cause> {
        let total = asked.request_bytes;
        match parked(api, asked.version, frame, total as usize) {
            Ok(parked) => {
                if !self.upstream_is_open(asked.key, now, plan) {
                    return Ok(Step::Blocked);
                }
                self.ledger.push(Owed::Response(asked, parked));
                self.requests = Requests::Streaming { left: total };
                Ok(Step::Again)
            }
            Err(why) => unread(why, &asked, frame.len()),
        }
    }

    /// Requests that are read whole: those from which something is learned, or which may be answered here.
    fn whole_request(
        &mut self,
        api: &Api,
        asked: Asked,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Step, Cause> {
        let unreadable = |why: String| ClientMisbehaved::Unreadable { key: asked.key, version: asked.version, why };
        let mut next = Requests::Head;
        match asked.key {
            ApiKey::API_VERSIONS => {
                let software =
                    wire::client_software(api, asked.version, frame).map_err(|e| unreadable(e.to_string()))?;
                if let (Some((name, version)), Some(client)) = (software, &mut self.client)
                    && client.software.is_none()
                {
                    client.software = Some((wire::printable(name), wire::printable(version)));
                    plan.actions.push(Action::Introduced);
                }
            }
            ApiKey::SASL_HANDSHAKE => {
                let name = wire::sasl_mechanism(api, asked.version, frame).map_err(|e| unreadable(e.to_string()))?;
                let mechanism = Mechanism::named(name);
                self.sasl = Some(Box::new(sasl::Exchange::new(mechanism)));
                if asked.version == 0 {
                    next = Requests::AwaitingHandshake { tokens: Tokens::of(mechanism) };
                }
            }
            ApiKey::DESCRIBE_CLUSTER => {
                let body = wire::request_body(api, asked.version, frame).map_err(|e| unreadable(e.to_string()))?;
                let body = &frame[body.position()..];
                if rewrite::asks_for_controllers(asked.version, body).map_err(|e| unreadable(e.to_string()))? {
                    let answer = rewrite::controllers_not_shown(asked.version, asked.correlation_id);
                    return Ok(self.answer(asked, answer, now, plan));
                }
            }
            _ => {}
        }
        if !self.upstream_is_open(asked.key, now, plan) {
            return Ok(Step::Blocked);
        }
        if asked.key == ApiKey::API_VERSIONS {
            self.gate.greet();
        }
        if asked.key == ApiKey::SASL_AUTHENTICATE
            && let Some(exchange) = &mut self.sasl
        {
            exchange.client_token(wire::sasl_token(api, asked.version, frame).map_err(|e| unreadable(e.to_string()))?);
        }
        self.ledger.push(Owed::Response(asked, Parked::No));
        self.ledger.complete(now);
        plan.forward(Leg::Upstream, frame.len());
        self.requests = next;
        Ok(Step::Again)
    }

    /// Gives an answer of ours, in its turn; the request goes nowhere.
    pub(super) fn answer(&mut self, asked: Asked, answer: Bytes, now: Instant, plan: &mut Plan) -> Step {
        self.requests = Requests::Discarding { left: asked.request_bytes };
        self.owe(asked, answer, now, plan);
        Step::Again
    }

    /// Lets an answer of ours go out in its turn.
    pub(super) fn owe(&mut self, asked: Asked, answer: Bytes, now: Instant, plan: &mut Plan) {
        self.ledger.push(Owed::Own(asked, answer));
        if self.ledger.len() == 1 {
            self.release_own_answers(now, plan);
        }
    }

    fn token_head(&mut self, tokens: Tokens, rest: &[u8]) -> Result<Step, Cause> {
        let size = wire::frame_size(rest).map_err(ClientMisbehaved::FrameTooShort)?;
        let Some(size) = size else { return Ok(Step::Want(LENGTH_PREFIX)) };
        if size > limits::SASL_TOKEN_MAX {
            return Err(ClientMisbehaved::FrameTooLong { size, max: limits::SASL_TOKEN_MAX }.into());
        }
        let then = match tokens {
            Tokens::Exactly(n) => {
                if size <= limits::REQUEST_COLLECT_MAX {
                    let total = LENGTH_PREFIX + size as usize;
                    let Some(token) = rest.get(LENGTH_PREFIX..total) else { return Ok(Step::Want(total)) };
                    if let Some(exchange) = &mut self.sasl {
                        exchange.client_token(token);
                    }
                } else {
                    self.sasl = None; // too large to be read in passing
                }
                self.ledger.push(Owed::TokenAnswer);
                Tokens::Exactly(n.saturating_sub(1))
            }
            Tokens::UntilRequest => {
                if size >= SMALLEST_REQUEST {
                    if rest.len() < RequestHead::LEN {
                        return Ok(Step::Want(RequestHead::LEN));
                    }
                    let head = RequestHead::read(rest).expect("its size is checked and its bytes are there");
                    if Api::find(head.key).is_some_and(|api| api.supports(head.version)) {
                        self.requests = Requests::Head;
                        return Ok(Step::Again);
                    }
                }
                tokens
            }
        };
        self.requests = Requests::StreamingToken { left: LENGTH_PREFIX as u64 + u64::from(size), then };
        Ok(Step::Again)
    }

    /// The fixed part of the head at the start of a frame; `None`: its bytes are not all there.
    pub(super) fn read_head(&self, rest: &[u8]) -> Result<Option<RequestHead>, ClientMisbehaved> {
        if let Some(prefix) = rest.first_chunk::<LENGTH_PREFIX>() {
            self.check_size(i32::from_be_bytes(*prefix))?;
        }
        let is_there = rest.len() >= RequestHead::LEN;
        Ok(is_there.then(|| RequestHead::read(rest).expect("its size is checked and its bytes are there")))
    }

    fn check_size(&self, size: i32) -> Result<(), ClientMisbehaved> {
        match u32::try_from(size) {
            Ok(size) if size > self.spec.request_frame_max => {
                Err(ClientMisbehaved::FrameTooLong { size, max: self.spec.request_frame_max })
            }
            Ok(size) if size >= SMALLEST_REQUEST => Ok(()),
            Ok(_) | Err(_) => Err(ClientMisbehaved::FrameTooShort(size)),
        }
    }

    fn introduce(&mut self, id: Option<&[u8]>, plan: &mut Plan) {
        let principal = self.certified.take().map(|subject| Principal { name: Some(subject), mechanism: CERTIFICATE });
        self.client = Some(Box::new(Client { id: id.map(wire::printable), principal, ..Client::default() }));
        plan.actions.push(Action::Introduced);
    }
}

/// What has to come before a request can be read whole, of which `frame` is there; `None`: nothing.
pub(super) fn missing(asked: &Asked, frame: &[u8]) -> Result<Option<Step>, ClientMisbehaved> {
    let max = limits::REQUEST_COLLECT_MAX;
    let size = u32::try_from(asked.request_bytes).expect("a frame's size has 32 bits") - LENGTH_PREFIX as u32;
    if size > max {
        return Err(ClientMisbehaved::FrameTooLong { size, max });
    }
    let total = LENGTH_PREFIX + size as usize;
    Ok((frame.len() < total).then_some(Step::Want(total)))
}

/// What to do about a head that could not be read from the `seen` bytes of a frame.
pub(super) fn unread(why: Unread, asked: &Asked, seen: usize) -> Result<Step, Cause> {
    let total = usize::try_from(asked.request_bytes).expect("a frame's size has 32 bits");
    let why = match why {
        Unread::Short if seen < total && seen < limits::REQUEST_PEEK_MAX => {
            return Ok(Step::Want(want_more(seen, total)));
        }
        Unread::Short if seen < total => "its head is too long",
        Unread::Short => "it ends inside its head",
        Unread::Wrong(why) => why,
    };
    Err(ClientMisbehaved::Unreadable { key: asked.key, version: asked.version, why: why.to_owned() }.into())
}
