//! Which requests of a connection still owe the client an answer, in the order in which the answers go out.
//!
//! Kafka answers in order on one connection. So an answer that the proxy gives itself queues behind the responses that
//! upstream still owes, and a response that does not match the oldest request means that a frame was lost.

use crate::{api::ApiKey, limits, time::Instant};
use bytes::Bytes;
use std::collections::VecDeque;

/// A request that upstream will answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The API that was asked.
    pub key: ApiKey,
    /// In which version.
    pub version: i16,
    /// What the response has to carry.
    pub correlation_id: i32,
    /// Bytes of the request, length prefix included.
    pub request_bytes: u64,
    /// When it was taken from the client: it does not count how long it waited for upstream to be connected.
    pub since: Instant,
}

/// What is owed to the client, oldest first.
#[derive(Debug)]
pub(super) enum Owed {
    /// The response to a request that upstream has.
    Response(Asked),
    /// The answer to a raw SASL token (after `SaslHandshake` v0): a frame without any header.
    TokenAnswer,
    /// An answer of ours, complete with its length prefix, waiting for its turn.
    Own(Asked, Bytes),
}

/// Entries whose memory a connection keeps when nothing is owed any more: enough for the usual pipeline, so that the
/// steady state does not allocate, and little enough for an idle connection.
const KEPT_WHEN_IDLE: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Ledger {
    owed: VecDeque<Owed>,
    own_bytes: usize,
}

impl Ledger {
    pub(super) fn len(&self) -> usize {
        self.owed.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.owed.is_empty()
    }

    /// Whether one more request may be taken in.
    pub(super) fn has_room(&self) -> bool {
        self.owed.len() < limits::IN_FLIGHT_MAX && self.own_bytes < limits::OWN_ANSWERS_MAX
    }

    pub(super) fn push(&mut self, owed: Owed) {
        if let Owed::Own(_, answer) = &owed {
            self.own_bytes += answer.len();
        }
        self.owed.push_back(owed);
    }

    /// What upstream has to answer next. Answers of ours never stay at the front: see [`Self::pop_own`].
    pub(super) fn front(&self) -> Option<&Owed> {
        self.owed.front()
    }

    /// Removes the oldest entry, which upstream has answered.
    pub(super) fn pop_answered(&mut self) -> Option<Asked> {
        match self.owed.pop_front() {
            Some(Owed::Response(asked)) => Some(asked),
            Some(Owed::TokenAnswer) | None => None,
            Some(Owed::Own(..)) => unreachable!("answers of ours leave the front at once"),
        }
    }

    /// Removes the oldest entry if it is an answer of ours, whose turn has come.
    pub(super) fn pop_own(&mut self) -> Option<(Asked, Bytes)> {
        match self.owed.pop_front() {
            Some(Owed::Own(asked, answer)) => {
                self.own_bytes -= answer.len();
                Some((asked, answer))
            }
            Some(other) => {
                self.owed.push_front(other);
                None
            }
            None => {
                if self.owed.capacity() > KEPT_WHEN_IDLE {
                    self.owed = VecDeque::new();
                }
                None
            }
        }
    }
}
