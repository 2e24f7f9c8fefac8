//! Where the addresses stand: the shape of every response that carries one, as tables.
//!
//! From the message definitions of Kafka 4.3.1, for the versions that [`Api::response_treatment`] does not let flow
//! unread. A field that is behind the last address of its message is left out: it is
//! kept as it is, unread. Tagged fields that carry no address are left out as well.

use crate::api::{Api, ApiKey, ResponseTreatment};
use Kind::{Array, BlankedArray, Bytes, Endpoint, EndpointType, Error, Fixed, Setting, Struct, Text};

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
    /// The name of a setting and its value (both strings): where it is a broker's address, the value is shown as null.
    Setting,
}

/// The settings of a broker whose values are addresses.
pub(super) const ADDRESS_SETTINGS: &[&[u8]] = &[
    b"advertised.host.name",
    b"advertised.listeners",
    b"controller.quorum.bootstrap.servers",
    b"controller.quorum.voters",
    b"host.name",
    b"listeners",
    b"zookeeper.connect",
];

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
pub(super) fn response(key: ApiKey, version: i16) -> Option<&'static [Field]> {
    let treatment = Api::find(key)?.response_treatment(version);
    match (key, treatment) {
        (_, ResponseTreatment::Relay | ResponseTreatment::ApiVersions) => None,
        (ApiKey::PRODUCE, _) => Some(PRODUCE),
        (ApiKey::FETCH, _) => Some(FETCH),
        (ApiKey::METADATA, _) => Some(METADATA),
        (ApiKey::FIND_COORDINATOR, _) => Some(FIND_COORDINATOR),
        (ApiKey::DESCRIBE_CONFIGS, _) => Some(DESCRIBE_CONFIGS),
        (ApiKey::DESCRIBE_QUORUM, _) => Some(DESCRIBE_QUORUM),
        (ApiKey::DESCRIBE_CLUSTER, _) => Some(DESCRIBE_CLUSTER),
        (ApiKey::SHARE_FETCH, _) => Some(SHARE_FETCH),
        (ApiKey::SHARE_ACKNOWLEDGE, _) => Some(SHARE_ACKNOWLEDGE),
        _ => None,
    }
}

const NEWEST: i16 = i16::MAX;
const I8: Kind = Fixed(1);
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

const fn tagged(tag: u32, kind: Kind) -> Field {
    Field { kind, from: 0, to: NEWEST, tag: Some(tag) }
}

/// KIP-951: the endpoints of the leaders that a NOT_LEADER_OR_FOLLOWER error names.
const NODE_ENDPOINTS: Kind = Array(&[all(Endpoint), all(Text)]);
const LEADER_AND_EPOCH: Kind = Struct(&[all(Fixed(4 + 4))]);

/// From version 10 on: the first with endpoints (KIP-951).
const PRODUCE: &[Field] = &[
    all(Array(&[
        until(12, Text),
        from(13, UUID),
        all(Array(&[
            all(Fixed(4 + 2 + 8 + 8 + 8)), // index, error, base offset, append time, log start
            all(Array(&[all(I32), all(Text)])),
            all(Text),
        ])),
    ])),
    all(I32),
    tagged(0, NODE_ENDPOINTS),
];

/// From version 16 on: the first with endpoints (KIP-951). Neighbours of fixed size stand in one row, because this walk is
/// the one that is taken most.
const FETCH: &[Field] = &[
    all(Fixed(4 + 2 + 4)), // throttle time, error, session
    all(Array(&[
        all(UUID),
        all(Array(&[
            all(Fixed(4 + 2 + 8 + 8 + 8)), // index, error, high watermark, last stable offset, log start
            all(Array(&[all(Fixed(8 + 8))])), // aborted transactions
            all(I32),                      // preferred read replica
            all(Bytes),
        ])),
    ])),
    tagged(0, NODE_ENDPOINTS),
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
            all(Fixed(4 + 2)), // index, error
            all(Text),
            all(I16),
            all(Text),
            all(LEADER_AND_EPOCH),
            all(Bytes),
            all(Array(&[all(Fixed(8 + 8 + 2))])),
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

const DESCRIBE_CONFIGS: &[Field] = &[
    all(I32),
    all(Array(&[
        all(I16),
        all(Text),
        all(I8),
        all(Text),
        all(Array(&[
            all(Setting),
            all(I8),
            all(I8),
            all(I8),
            all(Array(&[all(Setting), all(I8)])),
            from(3, I8),
            from(3, Text),
        ])),
    ])),
];

const REPLICAS: Kind = Array(&[all(Fixed(4 + 16 + 8 + 8 + 8))]);

/// Version 2, the first with nodes (KIP-853). They are controllers, which are not for clients.
const DESCRIBE_QUORUM: &[Field] = &[
    all(Error),
    all(Text),
    all(Array(&[
        all(Text),
        all(Array(&[all(I32), all(I16), all(Text), all(I32), all(I32), all(I64), all(REPLICAS), all(REPLICAS)])),
    ])),
    all(Array(&[all(I32), all(BlankedArray(&[all(Text), all(Text), all(I16)]))])),
];
