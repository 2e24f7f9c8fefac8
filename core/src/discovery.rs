//! Asks upstream for its nodes, on a connection of the proxy's own.
//!
//! Needed where a client comes to a node's port before any response has told where that node is: after a restart, for
//! example. Two requests: `ApiVersions` v0, which every broker answers, and `Metadata` for no topic at all in a version
//! that both sides know. In between the proxy logs in, where it does. Where upstream wants SASL of its clients, it does not answer,
//! and the proxy learns from the responses to them.

use crate::{
    address::{HostPort, NodeId},
    api::{Api, ApiKey},
    limits,
    reload::Secret,
    rewrite::{self, Addresses, Learn, Malformed},
    sasl::{
        client::Exchange,
        login::{self, Login, LoginError},
        scram::{Derivation, Keys},
    },
    wire::{self, LENGTH_PREFIX, Reader, Unread},
};

/// Why upstream's nodes could not be learned.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DiscoveryError {
    /// Its answer cannot be read.
    #[error("its answer to {key} cannot be read: {why}")]
    Unreadable {
        /// What was asked.
        key: ApiKey,
        /// What is wrong.
        why: String,
    },
    /// It refuses to say which versions it speaks.
    #[error("it answers ApiVersions with error {0}")]
    Refused(i16),
    /// There is no version of `Metadata` that both know.
    #[error("it offers no Metadata version that kroxy knows")]
    NoCommonVersion,
    /// It names no node.
    #[error("it names no node")]
    Empty,
    /// It does not let the proxy in.
    #[error("the proxy cannot log in: {0}")]
    Login(#[from] LoginError),
}

/// What comes next.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Send these bytes, then read on.
    Send(Secret),
    /// More bytes are needed.
    Wait,
    /// What comes next takes these keys, for [`Discovery::derived`].
    Derive(Box<Derivation>),
    /// All nodes and their addresses.
    Done(Vec<(NodeId, HostPort)>),
}

#[derive(Debug)]
enum Awaiting {
    Versions,
    Login { login: Box<Login>, version: i16 },
    Metadata { version: i16 },
}

/// One conversation with one server.
#[derive(Debug)]
pub struct Discovery {
    awaiting: Awaiting,
    received: Vec<u8>,
    /// What it takes to log in, until it is used.
    exchange: Option<Box<Exchange>>,
}

impl Discovery {
    /// A conversation that begins with these bytes, in which the proxy logs in if it is given what that takes.
    pub fn start(exchange: Option<Box<Exchange>>) -> (Self, Vec<u8>) {
        let first = wire::own_request(ApiKey::API_VERSIONS, 0, 1, &[]);
        (Self { awaiting: Awaiting::Versions, received: Vec::new(), exchange }, first)
    }

    /// Takes in what has been received.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<Progress, DiscoveryError> {
        self.received.extend_from_slice(bytes);
        let Some(prefix) = self.received.first_chunk::<LENGTH_PREFIX>() else { return Ok(Progress::Wait) };
        let size = i32::from_be_bytes(*prefix);
        let size = u32::try_from(size)
            .ok()
            .filter(|size| *size <= limits::RESPONSE_COLLECT_MAX)
            .ok_or_else(|| self.unreadable(&"an impossible frame length"))?;
        let total = LENGTH_PREFIX + size as usize;
        if self.received.len() < total {
            return Ok(Progress::Wait);
        }
        let frame: Vec<u8> = self.received.drain(..total).collect();
        match &mut self.awaiting {
            Awaiting::Versions => {
                let version = self.common_metadata_version(&frame)?;
                let Some(exchange) = self.exchange.take() else { return Ok(self.ask_for_metadata(version)) };
                let (login, first) = Login::start(*exchange);
                self.awaiting = Awaiting::Login { login: Box::new(login), version };
                Ok(Progress::Send(first))
            }
            Awaiting::Login { login, version } => {
                let (progress, version) = (login.response(&frame)?, *version);
                Ok(self.goes_on(progress, version))
            }
            Awaiting::Metadata { version } => {
                let version = *version;
                self.nodes(version, &frame).map(Progress::Done)
            }
        }
    }

    /// Takes in the keys that were to be derived.
    pub fn derived(&mut self, keys: &Keys) -> Result<Progress, DiscoveryError> {
        let Awaiting::Login { login, version } = &mut self.awaiting else { return Ok(Progress::Wait) };
        let (progress, version) = (login.derived(keys)?, *version);
        Ok(self.goes_on(progress, version))
    }

    fn goes_on(&mut self, progress: login::Progress, version: i16) -> Progress {
        match progress {
            login::Progress::Send(next) => Progress::Send(next),
            login::Progress::Derive(derivation) => Progress::Derive(derivation),
            login::Progress::Done { .. } => self.ask_for_metadata(version),
        }
    }

    fn ask_for_metadata(&mut self, version: i16) -> Progress {
        self.awaiting = Awaiting::Metadata { version };
        Progress::Send(Secret(wire::own_request(ApiKey::METADATA, version, 2, &no_topics(version)).into()))
    }

    fn unreadable(&self, why: &dyn core::fmt::Display) -> DiscoveryError {
        let key = match self.awaiting {
            Awaiting::Versions => ApiKey::API_VERSIONS,
            Awaiting::Login { .. } => ApiKey::SASL_AUTHENTICATE,
            Awaiting::Metadata { .. } => ApiKey::METADATA,
        };
        DiscoveryError::Unreadable { key, why: why.to_string() }
    }

    fn common_metadata_version(&self, frame: &[u8]) -> Result<i16, DiscoveryError> {
        let known = Api::find(ApiKey::METADATA).expect("Metadata is known");
        let read = || -> Result<(i16, Option<i16>), Unread> {
            let mut r = Reader::new(frame);
            r.take(wire::response_body_at(0, frame)?)?;
            let error = r.i16()?;
            for _ in 0..r.i32()? {
                let (key, min, max) = (ApiKey(r.i16()?), r.i16()?, r.i16()?);
                if key == ApiKey::METADATA {
                    let common = max.min(known.max);
                    return Ok((error, (common >= min.max(known.min).max(1)).then_some(common)));
                }
            }
            Ok((error, None))
        };
        match read().map_err(|e| self.unreadable(&e))? {
            (0, Some(version)) => Ok(version),
            (0, None) => Err(DiscoveryError::NoCommonVersion),
            (error, _) => Err(DiscoveryError::Refused(error)),
        }
    }

    fn nodes(&self, version: i16, frame: &[u8]) -> Result<Vec<(NodeId, HostPort)>, DiscoveryError> {
        let api = Api::find(ApiKey::METADATA).expect("Metadata is known");
        let at =
            wire::response_body_at(api.response_header_version(version), frame).map_err(|e| self.unreadable(&e))?;
        let mut seen = Seen(Vec::new());
        let read: Result<_, Malformed> =
            rewrite::rewrite(ApiKey::METADATA, version, &frame[at..], &Nowhere, &mut seen, &mut Vec::new());
        read.map_err(|e| self.unreadable(&e))?;
        if seen.0.is_empty() { Err(DiscoveryError::Empty) } else { Ok(seen.0) }
    }
}

struct Seen(Vec<(NodeId, HostPort)>);

impl Learn for Seen {
    fn learn(&mut self, node: NodeId, host: &str, port: i32) {
        if let (Ok(port @ 1..), false) = (u16::try_from(port), host.is_empty()) {
            self.0.push((node, HostPort::new(host, port)));
        }
    }
}

/// The rewritten response is thrown away: only what is learned on the way counts.
struct Nowhere;

impl Addresses for Nowhere {
    fn virtual_address(&self, _: NodeId) -> (std::borrow::Cow<'_, str>, u16) {
        ("".into(), 0)
    }
}

/// The body of a `Metadata` request (version 1 and later) for no topic: an empty list, where null would mean all.
fn no_topics(version: i16) -> Vec<u8> {
    let flexible = Api::find(ApiKey::METADATA).expect("Metadata is known").is_flexible(version);
    let mut body = if flexible { vec![1] } else { vec![0; 4] };
    if version >= 4 {
        body.push(0); // allow_auto_topic_creation
    }
    if (8..=10).contains(&version) {
        body.push(0); // include_cluster_authorized_operations
    }
    if version >= 8 {
        body.push(0); // include_topic_authorized_operations
    }
    if flexible {
        body.push(0); // no tagged fields
    }
    body
}
