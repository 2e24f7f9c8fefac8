//! What a drain changes: which requests are turned away, which long polls are cut short, and how the connection ends.
//!
//! A request that is turned away has reached nobody, so whoever asks again cannot have it executed twice. What is executed
//! all the same is what would be lost, or would trouble the application, if it were not.

use super::{
    Action, ClientMisbehaved, Plan, Relay, State, Step,
    cause::Cause,
    ledger::{Asked, Parked},
    requests::{Requests, unread},
};
use crate::{
    api::{Api, ApiKey, DrainTreatment},
    limits,
    reject::{self, Naming, Unnamed},
    time::Instant,
    wire::{self, LENGTH_PREFIX, RequestHead, Unread},
};
use bytes::Bytes;
use core::time::Duration;

/// What becomes of a request that is not executed as long as nothing speaks for it.
enum Verdict {
    Execute,
    /// The answer is complete.
    Answer(Bytes),
    /// The answer has to name what is asked for.
    Name,
    /// It is too large to be answered.
    Close,
}

impl Relay {
    pub(super) fn drain(&mut self, now: Instant, plan: &mut Plan) -> Result<(), Cause> {
        match &self.state {
            State::Silent { until, .. } if !self.is_served => {
                self.state = State::Silent { until: (*until).min(now + limits::FIRST_WORDS), drains: true };
                Ok(())
            }
            State::Silent { .. } | State::Open => {
                self.state = State::Draining;
                self.cut_short(now, plan);
                if !self.link.is_connecting() {
                    self.finish_if_quiet(now, plan);
                } // else a request is waiting, which is looked at again now
                Ok(())
            }
            State::Leaving { .. } => {
                self.cut_short(now, plan);
                if self.ledger.is_empty() { Err(Cause::ClientClosed) } else { Ok(()) }
            }
            // Already on its way out.
            State::Draining | State::Finishing { .. } | State::Flushing | State::Closed { .. } => Ok(()),
        }
    }

    /// A request has gone to upstream to its last byte.
    pub(super) fn forwarded(&mut self, now: Instant, plan: &mut Plan) {
        if matches!(self.state, State::Draining) {
            self.cut_short(now, plan); // it may have begun before the drain did
        }
    }

    /// Answers the long polls that upstream has not begun to answer.
    fn cut_short(&mut self, now: Instant, plan: &mut Plan) {
        let sending = matches!(self.requests, Requests::Streaming { .. });
        self.ledger.cut_short(self.response_has_begun(), sending, |asked, parked| {
            let Asked { key, version, correlation_id, .. } = *asked;
            match parked {
                Parked::No => None,
                Parked::Rejected => reject::from_head(key, version, correlation_id),
                Parked::Fetch { session } => Some(reject::nothing_fetched(version, correlation_id, session)),
                Parked::ShareFetch => Some(reject::nothing_share_fetched(version, correlation_id)),
            }
        });
        self.release_own_answers(now, plan);
    }

    /// With nothing in flight that is to be waited for, and the client at the start of a frame, a draining connection gets its
    /// FIN. Says whether that happened now.
    pub(super) fn finish_if_quiet(&mut self, now: Instant, plan: &mut Plan) -> bool {
        let may_finish = matches!(self.state, State::Draining)
            && !self.requests.is_inside_frame()
            && !self.requests.is_at_the_gate();
        if !may_finish || !self.ledger.leave_behind_polls(|asked| may_be_left(asked.key)) {
            return false;
        }
        self.state = State::Finishing { deadline: now + self.linger() };
        if self.link.is_connecting() {
            self.link.give_up(); // all who wanted it were turned away
        }
        self.requests = match self.requests {
            Requests::Stuck { left: left @ 1.. } => Requests::Discarding { left },
            // It is about to authenticate itself with frames that have no head: none of them is a record.
            Requests::Token { .. } | Requests::OwnToken => Requests::Discarding { left: u64::MAX },
            Requests::Head
            | Requests::Stuck { left: 0 }
            | Requests::Streaming { .. }
            | Requests::StreamingUnanswered { .. }
            | Requests::Discarding { .. }
            | Requests::TurningAway { .. }
            | Requests::AwaitingHandshake { .. }
            | Requests::StreamingToken { .. }
            | Requests::Examining(_)
            | Requests::Refusing(_) => Requests::Head,
        };
        plan.actions.push(Action::Finish);
        true
    }

    /// The client has had its time to close after our FIN. Records that are on their way may end it.
    pub(super) fn linger_ended(&mut self, now: Instant) -> Result<(), Cause> {
        if !matches!(self.requests, Requests::StreamingUnanswered { .. }) && !self.link.is_connecting() {
            return self.flush();
        }
        self.linger_anew(now);
        Ok(())
    }

    /// The client still sends records, or is not read: it has its time to close from now on.
    pub(super) fn linger_anew(&mut self, now: Instant) {
        let linger = self.linger();
        if let State::Finishing { deadline } = &mut self.state {
            *deadline = now + linger;
        }
    }

    const fn linger(&self) -> Duration {
        if self.sends_unacknowledged { limits::LINGER_UNACKNOWLEDGED } else { limits::LINGER }
    }

    /// The client is done with: the connection is over once upstream could read all of it.
    pub(super) fn flush(&mut self) -> Result<(), Cause> {
        if !self.ledger.has_unanswered_behind_poll() {
            return Err(Cause::Drained);
        }
        self.state = State::Flushing;
        Ok(())
    }

    /// The head of a request that crossed our FIN: it is dropped, unless nobody waits for an answer to it.
    pub(super) fn crossing_head(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        let Some(head) = self.read_head(rest)? else { return Ok(Step::Want(RequestHead::LEN)) };
        let asked = Asked::new(&head, now);
        if let Some(api) = Api::find(ApiKey::PRODUCE).filter(|api| api.key == head.key && api.supports(head.version)) {
            let total = LENGTH_PREFIX + head.size as usize;
            let frame = &rest[..total.min(rest.len())];
            match wire::produce_acks(api, head.version, frame) {
                Ok(0) => return Ok(self.relay_unanswered(asked, now, plan)),
                Ok(_) => {}
                Err(why) => return unread(why, &asked, frame.len()),
            }
        }
        self.requests = Requests::Discarding { left: asked.request_bytes };
        Ok(Step::Again)
    }

    /// What becomes of a request while draining; `None`: what at any other time becomes of it.
    pub(super) fn turn_away(
        &mut self,
        api: &Api,
        asked: Asked,
        frame: &[u8],
        now: Instant,
        plan: &mut Plan,
    ) -> Result<Option<Step>, Cause> {
        let total = usize::try_from(asked.request_bytes).expect("a frame's size has 32 bits");
        let verdict = match api.drain {
            DrainTreatment::Serve | DrainTreatment::Execute => return Ok(None),
            DrainTreatment::Close => Ok(Verdict::Close),
            DrainTreatment::Reject(_) => verdict(api, &asked, frame, total),
        };
        match verdict {
            Ok(Verdict::Execute) => Ok(None),
            Ok(Verdict::Close) => {
                self.requests = Requests::Stuck { left: asked.request_bytes };
                Ok(Some(Step::Again))
            }
            Ok(Verdict::Answer(answer)) => Ok(Some(self.answer(asked, answer, now, plan))),
            Ok(Verdict::Name) => match wire::request_body(api, asked.version, frame) {
                Ok(body) => {
                    let body_len = u32::try_from(total - body.position()).expect("a frame's size has 32 bits");
                    let naming = Naming::new(asked.key, asked.version, asked.correlation_id, body_len)
                        .expect("every API that is rejected has an answer");
                    plan.skip(body.position());
                    self.requests = Requests::TurningAway { asked, naming: Box::new(naming) };
                    if body_len == 0 { unread(Unread::Short, &asked, total).map(Some) } else { Ok(Some(Step::Again)) }
                }
                Err(why) => unread(why, &asked, frame.len()).map(Some),
            },
            Err(why) => unread(why, &asked, frame.len()).map(Some),
        }
    }

    /// More of a request whose answer is made while it streams past.
    pub(super) fn turn_away_further(&mut self, rest: &[u8], now: Instant, plan: &mut Plan) -> Result<Step, Cause> {
        let Requests::TurningAway { asked, mut naming } = core::mem::replace(&mut self.requests, Requests::Head) else {
            unreachable!("it is inside such a request")
        };
        let before = naming.left();
        match naming.feed(rest) {
            Ok(n) => {
                plan.skip(n);
                if naming.is_done() {
                    self.owe(asked, naming.into_answer(), now, plan);
                    return Ok(Step::Again);
                }
                self.requests = Requests::TurningAway { asked, naming };
                Ok(if n == 0 { Step::Want(0) } else { Step::Again })
            }
            Err(Unnamed::TooMany) => {
                plan.skip((before - naming.left()) as usize);
                self.requests = Requests::Stuck { left: u64::from(naming.left()) };
                Ok(Step::Again)
            }
            Err(Unnamed::Malformed(why)) => {
                let Asked { key, version, .. } = asked;
                Err(ClientMisbehaved::Unreadable { key, version, why: why.to_owned() }.into())
            }
        }
    }
}

/// Whether a request may be left unanswered: it changes nothing, and whoever is disconnected asks it again elsewhere.
const fn may_be_left(key: ApiKey) -> bool {
    matches!(
        key,
        ApiKey::LIST_OFFSETS
            | ApiKey::METADATA
            | ApiKey::OFFSET_FETCH
            | ApiKey::FIND_COORDINATOR
            | ApiKey::HEARTBEAT
            | ApiKey::API_VERSIONS
            | ApiKey::OFFSET_FOR_LEADER_EPOCH
            | ApiKey::DESCRIBE_CLUSTER
    )
}

/// What becomes of a request that has an error to be rejected with.
fn verdict(api: &Api, asked: &Asked, frame: &[u8], total: usize) -> Result<Verdict, Unread> {
    let Asked { key, version, correlation_id, .. } = *asked;
    let body = || wire::request_body(api, version, frame);
    let executed = match key {
        ApiKey::PRODUCE => wire::produce_acks(api, version, frame)? == 0,
        ApiKey::FETCH if reject::incremental_session(version, &mut body()?)?.is_none() => return Ok(Verdict::Name),
        ApiKey::SHARE_FETCH => acknowledges(api, version, frame, total)?,
        ApiKey::CONSUMER_GROUP_HEARTBEAT | ApiKey::SHARE_GROUP_HEARTBEAT | ApiKey::STREAMS_GROUP_HEARTBEAT => {
            reject::says_goodbye(&mut body()?)?
        }
        _ => false,
    };
    Ok(match reject::from_head(key, version, correlation_id) {
        _ if executed => Verdict::Execute,
        Some(answer) => Verdict::Answer(answer),
        None if !reject::lists_names(key, version) => Verdict::Name,
        None if total > limits::REQUEST_COLLECT_MAX as usize => Verdict::Close,
        None => reject::listing(key, version, correlation_id, &mut body()?)?.map_or(Verdict::Name, Verdict::Answer),
    })
}

/// How a request that goes upstream can be answered without waiting for upstream, should a drain begin.
pub(super) fn parked(api: &Api, version: i16, frame: &[u8], total: usize) -> Result<Parked, Unread> {
    match api.key {
        ApiKey::JOIN_GROUP | ApiKey::SYNC_GROUP => Ok(Parked::Rejected),
        ApiKey::FETCH => {
            let session = reject::incremental_session(version, &mut wire::request_body(api, version, frame)?)?;
            Ok(Parked::Fetch { session })
        }
        ApiKey::SHARE_FETCH => {
            Ok(if acknowledges(api, version, frame, total)? { Parked::No } else { Parked::ShareFetch })
        }
        _ => Ok(Parked::No),
    }
}

/// Whether a `ShareFetch` request has to be executed: it carries acknowledgements, or is too large to tell.
fn acknowledges(api: &Api, version: i16, frame: &[u8], total: usize) -> Result<bool, Unread> {
    if total > limits::REQUEST_COLLECT_MAX as usize {
        return Ok(true);
    }
    reject::carries_acknowledgements(version, &mut wire::request_body(api, version, frame)?)
}
