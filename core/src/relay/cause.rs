//! Why a connection ended, and whose doing it was.

use crate::{admission::Limit, api::ApiKey, rewrite::Malformed};
use core::time::Duration;

/// Why a relayed connection is over. [`Cause::label`] is the value of the label `cause` of the disconnect metric.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Cause {
    /// The client closed its connection, with nothing owed to it.
    #[error("the client closed the connection")]
    ClientClosed,
    /// The client closed its connection while requests of it were unanswered, and did not take the answers.
    #[error("the client left with requests in flight")]
    ClientLeft,
    /// What says whose connection it is was missing, or was no such thing. Told before there is a relay.
    #[error("PROXY protocol: {0}")]
    NotIntroduced(String),
    /// The client and the proxy did not come to terms about TLS. Told before there is a relay.
    #[error("{0}")]
    HandshakeFailed(String),
    /// The connection to the client broke.
    #[error("the connection to the client broke: {0}")]
    ClientBroke(String),
    /// The client did or sent what no Kafka client does.
    #[error("the client misbehaved: {0}")]
    ClientMisbehaved(#[from] ClientMisbehaved),
    /// The proxy does not let the client in. The log has a line of its own for it.
    #[error("the client's authentication failed: {0}")]
    AuthenticationFailed(String),
    /// Nobody can tell at present who the client is.
    #[error("clients cannot be authenticated: {0}")]
    CannotAuthenticate(String),
    /// The client asked something after its session had ended (KIP-368).
    #[error("the client's session has ended, and it has not authenticated itself again")]
    SessionExpired,
    /// Upstream does not let the proxy in.
    #[error("the proxy cannot log in to upstream: {0}")]
    LoginFailed(String),
    /// Upstream closed its connection.
    #[error("upstream closed the connection")]
    UpstreamClosed,
    /// The connection to upstream broke.
    #[error("the connection to upstream broke: {0}")]
    UpstreamBroke(String),
    /// No upstream server could be connected to.
    #[error("upstream cannot be reached: {0}")]
    UpstreamUnreachable(String),
    /// Upstream sent what no Kafka broker sends.
    #[error("upstream misbehaved: {0}")]
    UpstreamMisbehaved(#[from] UpstreamMisbehaved),
    /// The proxy closed it on purpose, with nothing in flight.
    #[error("drained")]
    Drained,
    /// The client said nothing for too long after it connected.
    #[error("the client asked nothing within {0:?}")]
    FirstRequestTimedOut(Duration),
    /// The client was not let in in time.
    #[error("the client has not authenticated itself within {0:?}")]
    AuthenticationTimedOut(Duration),
    /// The client began a request and did not go on.
    #[error("a request that has begun did not go on within {0:?}")]
    RequestUnfinished(Duration),
    /// The client does not take what it has asked for.
    #[error("the client took nothing of its responses within {0:?}")]
    ResponseUnread(Duration),
    /// One more than there may be.
    #[error("{0}")]
    LimitReached(Limit),
    /// Neither side said anything for too long.
    #[error("nothing was said for {0:?}")]
    IdleTimedOut(Duration),
}

impl Cause {
    /// A short name of bounded variety, for metrics.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::ClientClosed => "client_closed",
            Self::ClientLeft => "client_left",
            Self::NotIntroduced(_) => "proxy_protocol",
            Self::HandshakeFailed(_) => "tls_handshake_failed",
            Self::ClientBroke(_) => "client_broke",
            Self::ClientMisbehaved(_) => "client_misbehaved",
            Self::AuthenticationFailed(_) => "authentication_failed",
            Self::CannotAuthenticate(_) => "authentication_unavailable",
            Self::SessionExpired => "session_expired",
            Self::LoginFailed(_) => "upstream_login_failed",
            Self::UpstreamClosed => "upstream_closed",
            Self::UpstreamBroke(_) => "upstream_broke",
            Self::UpstreamUnreachable(_) => "upstream_unreachable",
            Self::UpstreamMisbehaved(_) => "upstream_misbehaved",
            Self::Drained => "drained",
            Self::FirstRequestTimedOut(_) => "first_request_timeout",
            Self::AuthenticationTimedOut(_) => "authentication_timeout",
            Self::RequestUnfinished(_) => "unfinished_request_timeout",
            Self::ResponseUnread(_) => "unread_response_timeout",
            Self::IdleTimedOut(_) => "idle_timeout",
            Self::LimitReached(limit) => limit.label(),
        }
    }

    /// The configured limit that it ended at, if it was one.
    pub const fn limit(&self) -> Option<Limit> {
        match self {
            Self::LimitReached(limit) => Some(*limit),
            Self::FirstRequestTimedOut(_) => Some(Limit::FirstRequestTimeout),
            Self::AuthenticationTimedOut(_) => Some(Limit::AuthenticationTimeout),
            Self::RequestUnfinished(_) => Some(Limit::UnfinishedRequestTimeout),
            Self::ResponseUnread(_) => Some(Limit::UnreadResponseTimeout),
            Self::IdleTimedOut(_) => Some(Limit::IdleTimeout),
            Self::ClientMisbehaved(ClientMisbehaved::FrameTooLong { .. }) => Some(Limit::RequestFrame),
            Self::NotIntroduced(_)
            | Self::HandshakeFailed(_)
            | Self::ClientClosed
            | Self::ClientLeft
            | Self::ClientBroke(_)
            | Self::ClientMisbehaved(_)
            | Self::AuthenticationFailed(_)
            | Self::CannotAuthenticate(_)
            | Self::SessionExpired
            | Self::LoginFailed(_)
            | Self::UpstreamClosed
            | Self::UpstreamBroke(_)
            | Self::UpstreamUnreachable(_)
            | Self::UpstreamMisbehaved(_)
            | Self::Drained => None,
        }
    }

    /// Whether nothing is wrong with what the client asked: it may be served if it comes again.
    pub const fn is_worth_another_try(&self) -> bool {
        match self {
            Self::CannotAuthenticate(_)
            | Self::LoginFailed(_)
            | Self::UpstreamBroke(_)
            | Self::UpstreamUnreachable(_)
            | Self::Drained
            | Self::LimitReached(_) => true,
            Self::ClientClosed
            | Self::ClientLeft
            | Self::NotIntroduced(_)
            | Self::HandshakeFailed(_)
            | Self::ClientBroke(_)
            | Self::ClientMisbehaved(_)
            | Self::AuthenticationFailed(_)
            | Self::SessionExpired
            | Self::UpstreamClosed
            | Self::UpstreamMisbehaved(_)
            | Self::FirstRequestTimedOut(_)
            | Self::AuthenticationTimedOut(_)
            | Self::RequestUnfinished(_)
            | Self::ResponseUnread(_)
            | Self::IdleTimedOut(_) => false,
        }
    }

    /// Whether an operator would want to know: somebody broke the protocol, came up against a limit, or upstream cannot be reached.
    /// Being idle is no such thing.
    pub const fn is_suspicious(&self) -> bool {
        match self {
            Self::NotIntroduced(_)
            | Self::HandshakeFailed(_)
            | Self::ClientMisbehaved(_)
            | Self::CannotAuthenticate(_)
            | Self::LoginFailed(_)
            | Self::UpstreamUnreachable(_)
            | Self::UpstreamMisbehaved(_)
            | Self::FirstRequestTimedOut(_)
            | Self::AuthenticationTimedOut(_)
            | Self::RequestUnfinished(_)
            | Self::ResponseUnread(_)
            | Self::LimitReached(_) => true,
            Self::ClientClosed
            | Self::ClientLeft
            | Self::ClientBroke(_)
            | Self::AuthenticationFailed(_)
            | Self::SessionExpired
            | Self::UpstreamClosed
            | Self::UpstreamBroke(_)
            | Self::Drained
            | Self::IdleTimedOut(_) => false,
        }
    }
}

/// What a client did wrong. Its connection is closed; nobody else notices.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ClientMisbehaved {
    /// The first bytes belong to another protocol.
    #[error("it speaks {0} to a port that expects plain Kafka")]
    OtherProtocol(&'static str),
    /// The frame's length is negative, or too small for a request's head.
    #[error("a frame of {0} bytes: no request is so short")]
    FrameTooShort(i32),
    /// The frame's length is above the limit.
    #[error("a frame of {size} bytes, above the limit of {max} (max_request_frame)")]
    FrameTooLong {
        /// Bytes announced.
        size: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// An API that kroxy does not know.
    #[error("unknown API key {}", .0.0)]
    UnknownApi(ApiKey),
    /// A version that was not offered, or an API that is not for clients and has no error to answer with.
    #[error("{key} version {version} is not offered")]
    NotOffered {
        /// The API.
        key: ApiKey,
        /// The version that the client used.
        version: i16,
    },
    /// Something that only a client may ask who has been let in.
    #[error("{0} before it has authenticated itself")]
    NotAuthenticated(ApiKey),
    /// A request that cannot be read.
    #[error("{key} version {version} cannot be read: {why}")]
    Unreadable {
        /// The API.
        key: ApiKey,
        /// Its version.
        version: i16,
        /// What is wrong with it.
        why: String,
    },
    /// The connection ended inside a frame.
    #[error("it closed the connection inside a request")]
    Truncated,
}

/// What upstream did wrong. There is no resynchronising, so the connection is closed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum UpstreamMisbehaved {
    /// The frame's length is negative, or too small for a response's head.
    #[error("a response of {0} bytes: none is so short")]
    FrameTooShort(i32),
    /// A response that has to be read whole is larger than the limit.
    #[error("a response of {size} bytes to {key}, above the limit of {max}")]
    FrameTooLong {
        /// The API that was asked.
        key: ApiKey,
        /// Bytes announced.
        size: u32,
        /// Bytes allowed.
        max: u32,
    },
    /// A response that nobody asked for.
    #[error("a response that no request is waiting for (correlation id {0})")]
    Unasked(i32),
    /// Kafka answers in order on one connection, so a mismatch means that a frame was lost.
    #[error("a response with correlation id {got}, where {expected} was due ({key})")]
    CorrelationMismatch {
        /// The API of the oldest request.
        key: ApiKey,
        /// Its correlation id.
        expected: i32,
        /// What came.
        got: i32,
    },
    /// A response whose addresses cannot be found: it must not pass.
    #[error("a response to {key} version {version} that cannot be read: {why}")]
    Unreadable {
        /// The API that was asked.
        key: ApiKey,
        /// In which version.
        version: i16,
        /// What is wrong with it.
        why: Malformed,
    },
}
