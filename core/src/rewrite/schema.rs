//! Where the addresses stand: the shape of every response that carries one, as tables.
//!
//! From the message definitions of Kafka 4.3.1. A field that is behind the last address of its message is left out: it is
//! kept as it is, unread. Tagged fields that carry no address are left out as well.

use crate::api::ApiKey;
use Kind::{Array, BlankedArray, Bytes, Endpoint, EndpointType, Error, Fixed, Struct, Text};

/// What a field is, as far as it matters for getting past it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// So many bytes.
    Fixed(u32),
    /// A string, nullable or not; compact in a flexible version.
    Text,
    /// Bytes or records, nullable or not; compact in a flexible version.
    Bytes,
    /// A structure.
    Struct(&'static [Field]),
    /// An array of structures, nullable or not; compact in a flexible version.
    Array(&'static [Field]),
    /// An array that clients are shown empty.
    BlankedArray(&'static [Field]),
    /// A node id, its host and its port (32 bits each but for the host), which stand together in every message.
    Endpoint,
    /// The error code of the whole message (16 bits): with an error it tells nothing of the cluster.
    Error,
    /// Whether the endpoints that follow are brokers or controllers (8 bits, KIP-919). Controllers are not for clients:
    /// the array is shown empty then.
    EndpointType,
}

/// A field, and the versions that have it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) kind: Kind,
    from: i16,
    to: i16,
    /// Its number, where it is a tagged field.
    pub(super) tag: Option<u32>,
}

impl Field {
    pub(super) const fn is_in(&self, version: i16) -> bool {
        self.from <= version && version <= self.to
    }
}

/// The fields of a response body, or `None` where it carries no address.
pub(super) const fn response(key: ApiKey) -> Option<&'static [Field]> {
    match key {
        ApiKey::PRODUCE => Some(PRODUCE),
        ApiKey::FETCH => Some(FETCH),
        ApiKey::METADATA => Some(METADATA),
        ApiKey::FIND_COORDINATOR => Some(FIND_COORDINATOR),
        ApiKey::DESCRIBE_QUORUM => Some(DESCRIBE_QUORUM),
        ApiKey::DESCRIBE_CLUSTER => Some(DESCRIBE_CLUSTER),
        ApiKey::SHARE_FETCH => Some(SHARE_FETCH),
        ApiKey::SHARE_ACKNOWLEDGE => Some(SHARE_ACKNOWLEDGE),
        _ => None,
    }
}

const NEWEST: i16 = i16::MAX;
const I16: Kind = Fixed(2);
const I32: Kind = Fixed(4);
const I64: Kind = Fixed(8);
const UUID: Kind = Fixed(16);

const fn all(kind: Kind) -> Field {
    from(0, kind)
}

const fn from(from: i16, kind: Kind) -> Field {
    Field { kind, from, to: NEWEST, tag: None }
}

const fn until(to: i16, kind: Kind) -> Field {
    Field { kind, from: 0, to, tag: None }
}

const fn between(from: i16, to: i16, kind: Kind) -> Field {
    Field { kind, from, to, tag: None }
}

const fn tagged(tag: u32, from: i16, kind: Kind) -> Field {
    Field { kind, from, to: NEWEST, tag: Some(tag) }
}

/// KIP-951: the endpoints of the leaders that a NOT_LEADER_OR_FOLLOWER error names.
const NODE_ENDPOINTS: Kind = Array(&[all(Endpoint), all(Text)]);
const LEADER_AND_EPOCH: Kind = Struct(&[all(I32), all(I32)]);

const PRODUCE: &[Field] = &[
    all(Array(&[
        until(12, Text),
        from(13, UUID),
        all(Array(&[
            all(I32),
            all(I16),
            all(I64),
            from(2, I64),
            from(5, I64),
            from(8, Array(&[all(I32), all(Text)])),
            from(8, Text),
        ])),
    ])),
    from(1, I32),
    tagged(0, 10, NODE_ENDPOINTS),
];

const FETCH: &[Field] = &[
    from(1, I32),
    from(7, I16),
    from(7, I32),
    all(Array(&[
        until(12, Text),
        from(13, UUID),
        all(Array(&[
            all(I32),
            all(I16),
            all(I64),
            from(4, I64),
            from(5, I64),
            from(4, Array(&[all(I64), all(I64)])),
            from(11, I32),
            all(Bytes),
        ])),
    ])),
    tagged(0, 16, NODE_ENDPOINTS),
];

/// The error code of version 13 stands behind the topics: a broker that sends it lists no brokers.
const METADATA: &[Field] = &[from(3, I32), all(Array(&[all(Endpoint), from(1, Text)]))];

const FIND_COORDINATOR: &[Field] = &[
    from(1, I32),
    until(3, Error),
    between(1, 3, Text),
    until(3, Endpoint),
    from(4, Array(&[all(Text), all(Endpoint), all(I16), all(Text)])),
];

const DESCRIBE_CLUSTER: &[Field] = &[
    all(I32),
    all(Error),
    all(Text),
    from(1, EndpointType),
    all(Text),
    all(I32),
    all(Array(&[all(Endpoint), all(Text), from(2, Fixed(1))])),
];

const SHARE_FETCH: &[Field] = &[
    all(I32),
    all(I16),
    all(Text),
    from(1, I32),
    all(Array(&[
        all(UUID),
        all(Array(&[
            all(I32),
            all(I16),
            all(Text),
            all(I16),
            all(Text),
            all(LEADER_AND_EPOCH),
            all(Bytes),
            all(Array(&[all(I64), all(I64), all(I16)])),
        ])),
    ])),
    all(NODE_ENDPOINTS),
];

const SHARE_ACKNOWLEDGE: &[Field] = &[
    all(I32),
    all(I16),
    all(Text),
    from(2, I32),
    all(Array(&[all(UUID), all(Array(&[all(I32), all(I16), all(Text), all(LEADER_AND_EPOCH)]))])),
    all(NODE_ENDPOINTS),
];

const REPLICAS: Kind = Array(&[all(I32), from(2, UUID), all(I64), from(1, I64), from(1, I64)]);

/// The nodes are controllers, which are not for clients.
const DESCRIBE_QUORUM: &[Field] = &[
    all(I16),
    from(2, Text),
    all(Array(&[
        all(Text),
        all(Array(&[all(I32), all(I16), from(2, Text), all(I32), all(I32), all(I64), all(REPLICAS), all(REPLICAS)])),
    ])),
    from(2, Array(&[all(I32), all(BlankedArray(&[all(Text), all(Text), all(I16)]))])),
];
