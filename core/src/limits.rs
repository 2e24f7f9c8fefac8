//! Every limit of the core, with its unit and its reason.

/// Bytes: the largest request frame taken from a client unless configured; Kafka's own `socket.request.max.bytes`.
pub const REQUEST_FRAME_MAX: u32 = 100 << 20;

/// Bytes: the largest request that the proxy reads whole (ApiVersions, SaslHandshake, DescribeCluster): all are tiny.
pub const REQUEST_COLLECT_MAX: u32 = 64 << 10;

/// Bytes: how far into a request the proxy looks before it must have decided. A client id takes up to 32 KiB and a
/// transactional id as much.
pub const REQUEST_PEEK_MAX: usize = 128 << 10;

/// Bytes: the largest response that is read whole to have its addresses rewritten (a Metadata response of 10,000
/// topics with 100 partitions each takes about 40 MB).
pub const RESPONSE_COLLECT_MAX: u32 = 100 << 20;

/// Bytes: a response with records up to this size is read whole and rewritten properly; a larger one is walked while it
/// streams, and what cannot be rewritten in place is masked.
pub const RECORDS_COLLECT_MAX: u32 = 64 << 10;

/// Requests of one connection that may wait for their responses; beyond it the client is not read. A broker works on
/// one request of a connection at a time, so a deeper pipeline wins nothing.
pub const IN_FLIGHT_MAX: usize = 1_024;

/// Bytes of answers of our own that may wait behind responses still owed on a connection; beyond it the client is not
/// read.
pub const OWN_ANSWERS_MAX: usize = 64 << 10;
