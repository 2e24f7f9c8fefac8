//! From upstream to the client: responses are paired with requests, and addresses in them become the gateway's.

use super::{
    Action, AnsweredBy, Exchange, Leg, Plan, Relay, State, Step, UpstreamMisbehaved,
    cause::Cause,
    ledger::{Asked, Owed},
    part,
    requests::Requests,
    take_in,
};
use crate::{
    address::{HostPort, NodeId},
    api::{Api, ApiKey, ResponseTreatment},
    gateway::Gateway,
    limits,
    rewrite::{self, Learn, Malformed, Masker, Rewritten, Span},
    time::Instant,
    wire::{self, LENGTH_PREFIX, Unread},
};
use bytes::Bytes;

/// Bytes: a response's length prefix and correlation id.
const HEAD: usize = LENGTH_PREFIX + 4;

/// Where in the stream of responses upstream is.
#[derive(Debug)]
pub(super) enum Responses {
    /// At the start of a frame, or so close to it that nothing is decided.
    Head,
    /// Inside a frame that flows to the client.
    Streaming { left: u64, total: u64 },
    /// Inside the body of a large response with records, whose addresses are masked where they stand.
    Masking { masker: Box<Masker>, total: u64 },
    /// Inside a raw SASL token that no request announced.
    StreamingToken { left: u64 },
    /// Inside the response to a request that was cut short: the client has its answer.
    Dropping { left: u64 },
}

impl Responses {
    /// How many of the next bytes flow to the client as they are.
    pub(super) const fn streams(&self) -> u64 {
        match self {
            Self::Streaming { left, .. } => *left,
            Self::Masking { masker, .. } => masker.keeps(),
            Self::Head | Self::StreamingToken { .. } | Self::Dropping { .. } => 0,
        }
    }
}

/// Takes note of upstream endpoints, and of those that the gateway has no address for.
struct Noting<'a> {
    gateway: &'a Gateway,
    learned: &'a mut Vec<(NodeId, HostPort)>,
    unmapped: &'a mut Vec<NodeId>,
}

impl Learn for Noting<'_> {
    fn learn(&mut self, node: NodeId, host: &str, port: i32) {
        if let (Ok(port @ 1..), false) = (u16::try_from(port), host.is_empty()) {
            self.learned.push((node, HostPort::new(host, port)));
        }
        if !self.gateway.is_mapped(node) {
            self.unmapped.push(node);
        }
    }
}

impl Relay {
    pub(super) fn feed_responses(&mut self, input: &[u8], now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        if self.is_logging_in() {
            return take_in(input, plan, |rest, plan| self.login_response(rest, now, plan));
        }
        let is_finishing = matches!(self.state, State::Finishing { .. } | State::Flushing);
        if is_finishing && self.ledger.front_late().is_none() {
            plan.skip(input.len()); // the client is told nothing behind its FIN
            return Ok(());
        }
        take_in(input, plan, |rest, plan| self.next_response(rest, now, plan))?;
        self.upstream_said(now, plan)
    }

    /// Upstream has been heard: it may have been the last that was waited for.
    pub(super) fn upstream_said(&mut self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        if matches!(self.state, State::Leaving { .. }) && self.ledger.is_empty() {
            return Err(Cause::ClientClosed);
        }
        if matches!(self.state, State::Flushing) {
            return self.flush();
        }
        self.finish_if_quiet(now, plan);
        Ok(())
    }

    fn next_response(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        match &mut self.responses {
            Responses::Head => self.response_head(rest, now, plan),
            Responses::Streaming { left, .. } => {
                let n = part(*left, rest);
                plan.forward(Leg::Client, n);
                self.response_flowed(n as u64, now, plan)?;
                Ok(Step::Again)
            }
            Responses::Masking { masker, total } => {
                let (total, before) = (*total, plan.consumed);
                let settled = masker.feed(rest, &mut |span| match span {
                    Span::Keep(n) => plan.forward(Leg::Client, n),
                    Span::Replace(bytes) => {
                        plan.skip(bytes.len());
                        plan.send(Leg::Client, bytes);
                    }
                });
                let over = masker.is_done();
                settled.map_err(|why| self.unreadable(why))?;
                if over {
                    self.answered(total, now, plan);
                } else if plan.consumed == before {
                    return Ok(Step::Want(0)); // it stands inside a field, and needs the rest of it
                }
                Ok(Step::Again)
            }
            Responses::StreamingToken { left } => {
                let n = part(*left, rest);
                *left -= n as u64;
                if *left == 0 {
                    self.responses = Responses::Head;
                }
                plan.forward(Leg::Client, n);
                Ok(Step::Again)
            }
            Responses::Dropping { left } => {
                let n = part(*left, rest);
                *left -= n as u64;
                if *left == 0 {
                    self.responses = Responses::Head;
                    self.ledger.pop_late(now);
                }
                plan.skip(n);
                Ok(Step::Again)
            }
        }
    }

    /// So many further bytes of a response have gone to the client as they are, or are about to.
    pub(super) fn response_flowed(&mut self, n: u64, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        let (over, total) = match &mut self.responses {
            Responses::Streaming { left, total } => {
                *left -= n;
                (*left == 0, *total)
            }
            Responses::Masking { masker, total } => {
                let (passed, over, total) = (masker.passed(n), masker.is_done(), *total);
                passed.map_err(|why| self.unreadable(why))?;
                (over, total)
            }
            Responses::Head | Responses::StreamingToken { .. } | Responses::Dropping { .. } => {
                unreachable!("only frames that stream flow")
            }
        };
        if over {
            self.answered(total, now, plan);
        }
        Ok(())
    }

    /// Whether some of the response to the oldest request has gone to the client.
    pub(super) const fn response_has_begun(&self) -> bool {
        match self.responses {
            Responses::Streaming { .. } | Responses::Masking { .. } => true,
            Responses::Head | Responses::StreamingToken { .. } | Responses::Dropping { .. } => false,
        }
    }

    fn response_head(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        let Some(prefix) = rest.first_chunk::<LENGTH_PREFIX>() else { return Ok(Step::Want(HEAD)) };
        let size = i32::from_be_bytes(*prefix);
        let size = u32::try_from(size).map_err(|_| UpstreamMisbehaved::FrameTooShort(size))?;
        let total = LENGTH_PREFIX as u64 + u64::from(size);
        let late = self.ledger.front_late().copied();
        let asked = match self.ledger.front() {
            _ if late.is_some() => late,
            Some(Owed::TokenAnswer) => {
                self.responses = Responses::Streaming { left: total, total };
                return Ok(Step::Again);
            }
            None if self.requests.takes_any_tokens() => {
                self.responses = Responses::StreamingToken { left: total };
                return Ok(Step::Again);
            }
            Some(Owed::Response(asked, _)) => Some(*asked),
            Some(Owed::Own(..) | Owed::CutShort(..)) | None => None,
        };
        if total < HEAD as u64 {
            return Err(UpstreamMisbehaved::FrameTooShort(i32::from_be_bytes(*prefix)).into());
        }
        let Some(head) = rest.first_chunk::<HEAD>() else { return Ok(Step::Want(HEAD)) };
        let got = i32::from_be_bytes([head[4], head[5], head[6], head[7]]);
        let Some(asked) = asked else { return Err(UpstreamMisbehaved::Unasked(got).into()) };
        if got != asked.correlation_id {
            let (key, expected) = (asked.key, asked.correlation_id);
            return Err(UpstreamMisbehaved::CorrelationMismatch { key, expected, got }.into());
        }
        if late.is_some() {
            self.responses = Responses::Dropping { left: total };
            return Ok(Step::Again);
        }
        let api = Api::find(asked.key).expect("only known APIs enter the ledger");
        let treatment = api.response_treatment(asked.version);
        match treatment {
            ResponseTreatment::Relay if !self.reads_in_passing(asked.key, size) => {
                self.responses = Responses::Streaming { left: total, total };
                Ok(Step::Again)
            }
            ResponseTreatment::Records if size > limits::RECORDS_COLLECT_MAX => {
                self.begin_masking(api, &asked, rest, total, plan)
            }
            ResponseTreatment::Relay
            | ResponseTreatment::Records
            | ResponseTreatment::Rewrite
            | ResponseTreatment::ApiVersions => {
                if size > limits::RESPONSE_COLLECT_MAX {
                    let (key, max) = (asked.key, limits::RESPONSE_COLLECT_MAX);
                    return Err(UpstreamMisbehaved::FrameTooLong { key, size, max }.into());
                }
                let total = LENGTH_PREFIX + size as usize;
                match rest.get(..total) {
                    Some(frame) => self.whole_response(api, &asked, treatment, frame, now, plan),
                    None => Ok(Step::Want(total)),
                }
            }
        }
    }

    fn begin_masking(
        &mut self,
        api: &Api,
        asked: &Asked,
        rest: &[u8],
        total: u64,
        plan: &mut Plan,
    ) -> Result<Step, Cause> {
        match wire::response_body_at(api.response_header_version(asked.version), rest) {
            Ok(at) => {
                plan.forward(Leg::Client, at);
                let body_len = u32::try_from(total - at as u64).expect("a frame's size has 32 bits");
                let masker = Box::new(Masker::new(asked.key, asked.version, body_len));
                self.responses = Responses::Masking { masker, total };
                Ok(Step::Again)
            }
            Err(Unread::Short) if rest.len() < limits::REQUEST_PEEK_MAX => Ok(Step::Want(0)),
            Err(Unread::Short | Unread::Wrong(_)) => Err(self.unreadable(Malformed::header())),
        }
    }

    /// Responses that are read whole.
    fn whole_response(
        &mut self,
        api: &Api,
        asked: &Asked,
        treatment: ResponseTreatment,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Step, Cause> {
        let body_at = wire::response_body_at(api.response_header_version(asked.version), frame)
            .map_err(|_| self.unreadable(Malformed::header()))?;
        let body = &frame[body_at..];
        let mut out = Vec::new();
        let rewritten = match treatment {
            ResponseTreatment::ApiVersions => {
                rewrite::api_versions::intersect(asked.version, body, &mut out).map(|()| Rewritten::Changed)
            }
            ResponseTreatment::Rewrite | ResponseTreatment::Records => {
                let gateway = &*self.spec.gateway;
                let mut noting = Noting { gateway, learned: &mut plan.learned, unmapped: &mut plan.unmapped };
                rewrite::rewrite(asked.key, asked.version, body, gateway, &mut noting, &mut out)
            }
            ResponseTreatment::Relay => {
                match asked.key {
                    ApiKey::SASL_HANDSHAKE => self.handshake_answered(body),
                    _ => self.token_answered(api, asked.version, body, plan),
                }
                Ok(Rewritten::Unchanged)
            }
        };
        match rewritten.map_err(|why| self.unreadable(why))? {
            Rewritten::Unchanged => {
                plan.forward(Leg::Client, frame.len());
                self.answered(frame.len() as u64, now, plan);
            }
            Rewritten::Changed => {
                let answer = with_length([&frame[..body_at], &out].concat());
                plan.skip(frame.len());
                let total = answer.len() as u64;
                plan.send(Leg::Client, answer);
                self.answered(total, now, plan);
            }
        }
        Ok(Step::Again)
    }

    /// Whether a response that reaches the client as it is has to be read all the same.
    fn reads_in_passing(&self, key: ApiKey, size: u32) -> bool {
        match key {
            ApiKey::SASL_HANDSHAKE => matches!(self.requests, Requests::AwaitingHandshake { .. }),
            ApiKey::SASL_AUTHENTICATE => self.sasl.is_some() && size <= limits::REQUEST_COLLECT_MAX,
            _ => false,
        }
    }

    /// Upstream has answered a token: perhaps the client is known now.
    fn token_answered(&mut self, api: &Api, version: i16, body: &[u8], plan: &mut Plan) {
        // What cannot be read is the client's to complain about: its own library reads the same.
        match wire::sasl_answer(api, version, body) {
            Ok((0, token)) => self.token_accepted(token, plan),
            Ok((_, _)) => {
                self.sasl = None; // only another handshake can begin another exchange
                plan.actions.push(Action::NotAuthenticated);
            }
            Err(_) => {}
        }
    }

    fn token_accepted(&mut self, answer: usize, plan: &mut Plan) {
        if let Some(principal) = self.sasl.as_ref().and_then(|exchange| exchange.accepted(answer))
            && let Some(client) = &mut self.client
        {
            client.principal = Some(principal);
            plan.actions.push(Action::Introduced);
        }
    }

    /// After a successful `SaslHandshake` v0 the client sends raw tokens.
    fn handshake_answered(&mut self, body: &[u8]) {
        if let Requests::AwaitingHandshake { tokens } = self.requests {
            self.requests = match body {
                [0, 0, ..] => Requests::Token { tokens },
                _ => Requests::Head,
            };
        }
    }

    /// The response to the oldest request is decided to its last byte.
    fn answered(&mut self, response_bytes: u64, now: Instant, plan: &mut Plan) {
        self.responses = Responses::Head;
        match self.ledger.pop_answered() {
            Some(asked) => {
                let by = AnsweredBy::Upstream(self.ledger.upstream_took(&asked, now));
                self.settle(Exchange { asked, response_bytes, done: now, by }, plan);
            }
            // A raw token: upstream answers only those that it accepts.
            None => self.token_accepted(response_bytes as usize - LENGTH_PREFIX, plan),
        }
        self.release_own_answers(now, plan);
    }

    fn unreadable(&self, why: Malformed) -> Cause {
        match self.ledger.front() {
            Some(Owed::Response(asked, _)) => {
                UpstreamMisbehaved::Unreadable { key: asked.key, version: asked.version, why }.into()
            }
            Some(Owed::TokenAnswer | Owed::Own(..) | Owed::CutShort(..)) | None => {
                unreachable!("only an asked response is read")
            }
        }
    }
}

/// Puts a frame's length in front, where four bytes are kept for it.
fn with_length(mut frame: Vec<u8>) -> Bytes {
    let size =
        u32::try_from(frame.len() - LENGTH_PREFIX).expect("a rewritten frame is not much longer than the original");
    frame[..LENGTH_PREFIX].copy_from_slice(&size.to_be_bytes());
    Bytes::from(frame)
}
