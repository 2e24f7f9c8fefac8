//! Which requests of a connection still owe the client an answer, in the order in which the answers go out.
//!
//! Kafka answers in order on one connection. So an answer that the proxy gives itself queues behind the responses that
//! upstream still owes, and a response that does not match the oldest request means that a frame was lost.

use crate::{
    api::ApiKey,
    limits,
    time::Instant,
    wire::{LENGTH_PREFIX, RequestHead},
};
use bytes::Bytes;
use core::time::Duration;
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
    /// When its first bytes were taken from the client: it does not count how long it waited for upstream to be connected.
    pub since: Instant,
    /// When the bytes that ended it were read.
    pub complete: Instant,
    /// When they had been handed to upstream.
    pub sent: Instant,
}

impl Asked {
    /// A request whose head is here now.
    pub(super) const fn new(head: &RequestHead, now: Instant) -> Self {
        let RequestHead { size, key, version, correlation_id } = *head;
        let request_bytes = LENGTH_PREFIX as u64 + size as u64;
        Self { key, version, correlation_id, request_bytes, since: now, complete: now, sent: now }
    }

    /// How long the proxy worked on it: reading its last bytes, deciding, writing them.
    pub const fn took(&self) -> Duration {
        self.sent.since(self.complete)
    }
}

/// What a drain answers to a request that upstream takes its time with, so as not to wait for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Parked {
    /// Nothing: it is no long poll, or upstream has to be heard on it.
    No,
    /// "Not here any more": `JoinGroup`, `SyncGroup`.
    Rejected,
    /// "Nothing new": `Fetch`, in an incremental session or without one.
    Fetch { session: Option<i32> },
    /// "Nothing new": `ShareFetch`.
    ShareFetch,
}

/// What is owed to the client, oldest first.
#[derive(Debug)]
pub(super) enum Owed {
    /// The response to a request that upstream has.
    Response(Asked, Parked),
    /// An answer of ours to a request that upstream has as well: its response is dropped when it comes.
    CutShort(Asked, Bytes),
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
    /// Requests that were cut short or given up: upstream's responses to them come before any other, and are for nobody.
    late: VecDeque<Asked>,
    /// A request that will not be answered went to upstream behind a long poll that is not over: a broker reads it only then.
    unanswered_behind_poll: bool,
    /// How many of the newest requests upstream is being handed the end of.
    leaving: usize,
    /// When upstream's last response was over: only then does a broker turn to the next request of a connection.
    free_since: Instant,
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
        if let Owed::Own(_, answer) | Owed::CutShort(_, answer) = &owed {
            self.own_bytes += answer.len();
        }
        self.owed.push_back(owed);
    }

    /// What is owed next. Answers of ours never stay at the front: see [`Self::pop_own`].
    pub(super) fn front(&self) -> Option<&Owed> {
        self.owed.front()
    }

    /// The request that was cut short or given up and that upstream answers next.
    pub(super) fn front_late(&self) -> Option<&Asked> {
        self.late.front()
    }

    /// The newest request has been read to its end, and goes upstream now.
    pub(super) fn complete(&mut self, now: Instant) {
        if let Some(Owed::Response(asked, _)) = self.owed.back_mut() {
            asked.complete = now;
            self.leaving += 1;
        }
    }

    /// What ended lately has been handed to upstream; the newest request may be one that the client is still `sending`.
    pub(super) fn sent(&mut self, sending: bool, now: Instant) {
        let leaving = core::mem::take(&mut self.leaving);
        let ended = self.owed.iter_mut().rev().skip(usize::from(sending)).filter_map(|owed| match owed {
            Owed::Response(asked, _) | Owed::CutShort(asked, _) => Some(asked),
            Owed::TokenAnswer | Owed::Own(..) => None,
        });
        ended.take(leaving).for_each(|asked| asked.sent = now);
    }

    /// How long upstream has had a request that it has answered now: from when it had all of it, and nothing else before it.
    pub(super) fn upstream_took(&mut self, asked: &Asked, now: Instant) -> Duration {
        let from = asked.sent.max(self.free_since);
        self.free_since = now;
        now.since(from)
    }

    /// Upstream has answered the oldest of the requests that were cut short or given up.
    pub(super) fn pop_late(&mut self, now: Instant) {
        self.free_since = now;
        self.late.pop_front();
        self.unanswered_behind_poll = self.unanswered_behind_poll && self.holds_poll();
    }

    /// Takes note that a request that will not be answered goes to upstream.
    pub(super) fn note_unanswered(&mut self) {
        self.unanswered_behind_poll = self.unanswered_behind_poll || self.holds_poll();
    }

    /// Whether all that upstream still works on was cut short, so that nobody waits for it.
    pub(super) fn is_only_late(&self) -> bool {
        self.owed.is_empty() && !self.late.is_empty() && !self.unanswered_behind_poll
    }

    /// Whether upstream has yet to read a request that will not be answered, as far as can be told.
    pub(super) const fn has_unanswered_behind_poll(&self) -> bool {
        self.unanswered_behind_poll
    }

    fn holds_poll(&self) -> bool {
        let is_poll = |owed: &Owed| match owed {
            Owed::Response(_, parked) => *parked != Parked::No,
            Owed::CutShort(..) => true,
            Owed::TokenAnswer | Owed::Own(..) => false,
        };
        !self.late.is_empty() || self.owed.iter().any(is_poll)
    }

    /// Puts answers of ours in the place of responses to long polls. Two are left alone: the oldest where its response has
    /// `begun`, and the newest where the client is still `sending` it.
    pub(super) fn cut_short(&mut self, begun: bool, sending: bool, answer: impl Fn(&Asked, Parked) -> Option<Bytes>) {
        let end = self.owed.len() - usize::from(sending && !self.owed.is_empty());
        for owed in self.owed.iter_mut().take(end).skip(usize::from(begun)) {
            if let Owed::Response(asked, parked) = owed
                && let Some(answer) = answer(asked, *parked)
            {
                self.own_bytes += answer.len();
                *owed = Owed::CutShort(*asked, answer);
            }
        }
    }

    /// Gives up all that is owed where a broker reads it only when a long poll that was cut short is over, and all of it
    /// `may_be_left`. Says whether nothing is owed any more.
    pub(super) fn leave_behind_polls(&mut self, may_be_left: impl Fn(&Asked) -> bool) -> bool {
        let is_left = |owed: &Owed| match owed {
            Owed::Response(asked, _) => may_be_left(asked),
            Owed::CutShort(..) | Owed::Own(..) => true, // its turn comes only behind the others
            Owed::TokenAnswer => false,
        };
        if self.late.is_empty() || !self.owed.iter().all(is_left) {
            return self.owed.is_empty();
        }
        for owed in self.owed.drain(..) {
            match owed {
                Owed::Response(asked, _) | Owed::CutShort(asked, _) => self.late.push_back(asked),
                Owed::Own(..) | Owed::TokenAnswer => {} // upstream has not heard of it
            }
        }
        self.own_bytes = 0;
        true
    }

    /// Removes the oldest entry, which upstream has answered.
    pub(super) fn pop_answered(&mut self) -> Option<Asked> {
        match self.owed.pop_front() {
            Some(Owed::Response(asked, _)) => {
                self.unanswered_behind_poll = self.unanswered_behind_poll && self.holds_poll();
                Some(asked)
            }
            Some(Owed::TokenAnswer) | None => None,
            Some(Owed::Own(..) | Owed::CutShort(..)) => unreachable!("answers of ours leave the front at once"),
        }
    }

    /// Removes the oldest entry if it is an answer of ours, whose turn has come.
    pub(super) fn pop_own(&mut self) -> Option<(Asked, Bytes)> {
        match self.owed.pop_front() {
            Some(Owed::Own(asked, answer)) => {
                self.own_bytes -= answer.len();
                Some((asked, answer))
            }
            Some(Owed::CutShort(asked, answer)) => {
                self.own_bytes -= answer.len();
                self.late.push_back(asked);
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
