//! What the relay answers to bytes: where each of them goes.

use super::{Asked, Leg};
use crate::{
    address::{HostPort, NodeId},
    reload::Secret,
    sasl::{Mechanism, scram::Derivation},
    time::Instant,
};
use bytes::Bytes;
use core::{ops::Range, time::Duration};

/// A piece of what is to be written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Segment {
    /// A part of the slice that was just shown.
    Input(Range<usize>),
    /// Bytes of ours: a rewritten response, an answer.
    Own(Bytes),
}

impl Segment {
    /// The bytes that are to be written, where `input` is what was shown.
    pub fn bytes<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Input(range) => &input[range.clone()],
            Self::Own(bytes) => bytes,
        }
    }
}

/// What the driver is asked to do besides moving bytes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Find out where upstream is, and say it with [`super::Event::Resolved`].
    Resolve,
    /// Connect there, and say how it went with [`super::Event::Connected`] or [`super::Event::ConnectFailed`].
    Connect(HostPort),
    /// The client said who it is, or upstream took its word for it.
    Introduced,
    /// Upstream did not let the client in.
    NotAuthenticated,
    /// Bring what it takes to judge a client's tokens, of which this is the first, and say it with [`super::Event::Examiner`].
    Examine {
        /// What the client and the proxy have agreed on.
        mechanism: Mechanism,
        /// The token.
        token: Secret,
    },
    /// Derive keys for the exchange on this leg, which takes long, and say it with [`super::Event::Derived`].
    Derive(Leg, Box<Derivation>),
    /// The proxy has let the client in.
    LetIn(Mechanism),
    /// The proxy does not let the client in.
    Denied {
        /// How it tried; `None`: in a way that is not allowed here.
        mechanism: Option<Mechanism>,
        /// Who it says it is, fit for a log line.
        name: Option<Box<str>>,
        /// What is wrong. Not for the client.
        why: String,
    },
    /// Bring what it takes to log in to upstream, and say it with [`super::Event::Secrets`].
    LogIn,
    /// Upstream has let the proxy in.
    LoggedIn,
    /// It has not.
    NotLoggedIn,
    /// Send FIN to the client behind everything decided so far, and go on reading both legs: what crossed the FIN is
    /// settled like anything else, until the relay ends.
    Finish,
}

/// A request that is over: its answer has been decided to the last byte, or it needs none.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exchange {
    /// The request.
    pub asked: Asked,
    /// Bytes of the answer, length prefix included; 0 for `Produce` with `acks=0`.
    pub response_bytes: u64,
    /// When the last byte of the answer was decided.
    pub done: Instant,
    /// Who gave the answer.
    pub by: AnsweredBy,
}

impl Exchange {
    /// Whether the proxy gave the answer itself.
    pub const fn is_own(&self) -> bool {
        match self.by {
            AnsweredBy::Proxy => true,
            AnsweredBy::Upstream(_) | AnsweredBy::Nobody => false,
        }
    }
}

/// Who answered a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnsweredBy {
    /// Upstream, and how long it had the request: from when all of it was handed to upstream, and upstream had answered
    /// everything before it on this connection, to the last byte of the response.
    Upstream(Duration),
    /// The proxy itself.
    Proxy,
    /// Nobody: `Produce` with `acks=0`.
    Nobody,
}

/// The answer to one slice of bytes or one event. Owned by the driver and reused, so that the steady state allocates
/// nothing.
#[derive(Debug, Default)]
pub struct Plan {
    /// How many bytes from the start of the slice are settled: they need not be shown again.
    pub consumed: usize,
    /// How many bytes behind `consumed` have to be shown together before it makes sense to ask again; 0: any.
    pub want: usize,
    /// Nothing more is taken from this leg until something happens on the other one.
    pub blocked: bool,
    /// What goes to upstream, in order.
    pub to_upstream: Vec<Segment>,
    /// What goes to the client, in order.
    pub to_client: Vec<Segment>,
    /// What else is to be done, in order.
    pub actions: Vec<Action>,
    /// Upstream endpoints that were seen.
    pub learned: Vec<(NodeId, HostPort)>,
    /// How attempts to connect to upstream servers ended.
    pub attempts: Vec<(HostPort, Result<(), String>)>,
    /// Requests that are over.
    pub exchanges: Vec<Exchange>,
    /// Nodes that upstream named and that this gateway has no address for.
    pub unmapped: Vec<NodeId>,
}

impl Plan {
    /// Makes room for the next answer and keeps the memory.
    pub fn clear(&mut self) {
        let Self { consumed, want, blocked, to_upstream, to_client, actions, learned, attempts, exchanges, unmapped } =
            self;
        (*consumed, *want, *blocked) = (0, 0, false);
        to_upstream.clear();
        to_client.clear();
        actions.clear();
        learned.clear();
        attempts.clear();
        exchanges.clear();
        unmapped.clear();
    }

    /// What goes to one leg.
    pub fn to(&self, leg: Leg) -> &[Segment] {
        match leg {
            Leg::Client => &self.to_client,
            Leg::Upstream => &self.to_upstream,
        }
    }

    fn to_mut(&mut self, leg: Leg) -> &mut Vec<Segment> {
        match leg {
            Leg::Client => &mut self.to_client,
            Leg::Upstream => &mut self.to_upstream,
        }
    }

    /// Settles the next `n` bytes of the slice and forwards them. Neighbouring parts become one segment, and one write.
    pub(super) fn forward(&mut self, to: Leg, n: usize) {
        let part = self.consumed..self.consumed + n;
        self.consumed = part.end;
        match self.to_mut(to).last_mut() {
            Some(Segment::Input(last)) if last.end == part.start => last.end = part.end,
            Some(Segment::Input(_) | Segment::Own(_)) | None if n == 0 => {}
            Some(Segment::Input(_) | Segment::Own(_)) | None => self.to_mut(to).push(Segment::Input(part)),
        }
    }

    /// Settles the next `n` bytes of the slice without forwarding them.
    pub(super) fn skip(&mut self, n: usize) {
        self.consumed += n;
    }

    /// Sends bytes of ours.
    pub(super) fn send(&mut self, to: Leg, bytes: Bytes) {
        self.to_mut(to).push(Segment::Own(bytes));
    }
}
