//! Every limit of the core, with its unit and its reason.

/// Bytes: the largest request frame taken from a client unless configured; Kafka's own `socket.request.max.bytes`.
pub const REQUEST_FRAME_MAX: u32 = 100 << 20;

/// Bytes: the largest request that the proxy reads whole (ApiVersions, SaslHandshake, DescribeCluster): all are tiny. A
/// larger SASL token passes unread.
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

/// Bytes of an answer that rejects a request partition by partition while its connection drains: some 100,000 partitions,
/// more than a broker has. The connection of a client that names more is closed.
pub const REJECTION_MAX: usize = 4 << 20;

/// How long a client that has asked nothing when a drain begins is waited for: one that has just connected is about to ask,
/// and an end before the first answer reads to some clients as a refusal, which they tell the application.
pub const FIRST_WORDS: core::time::Duration = core::time::Duration::from_millis(500);

/// How long a drained connection is read after its FIN: more than the round trip of any client, and little enough for a
/// shutdown. Some clients, such as sarama, see a FIN only when they ask the next time, and would hold up every drain.
pub const LINGER: core::time::Duration = core::time::Duration::from_millis(500);

/// The same where records with `acks=0` have come, since the last of them: those that cross the FIN would be lost, and the client may
/// be on a machine that is overloaded.
pub const LINGER_UNACKNOWLEDGED: core::time::Duration = core::time::Duration::from_secs(5);

/// Bytes: the largest raw SASL token; Kafka's own `sasl.server.max.receive.size`.
pub const SASL_TOKEN_MAX: u32 = 512 << 10;

/// Repetitions of the hash of SCRAM at least: what RFC 7677 demands, and Kafka's clients and brokers with it.
pub const SCRAM_ITERATIONS_MIN: u32 = 4_096;

/// Repetitions of the hash of SCRAM at most: some 50 ms of a core, which a peer may have us spend for each exchange. Kafka's
/// brokers allow 16,384.
pub const SCRAM_ITERATIONS_MAX: u32 = 100_000;

/// Repetitions of the hash of SCRAM unless said otherwise: as many as Kafka's brokers allow, some 10 ms for whoever guesses.
pub const SCRAM_ITERATIONS: u32 = 16_384;

/// Bytes of salt of a SCRAM credential that is made here: no two users have the same.
pub const SCRAM_SALT: usize = 24;

/// Percent of a session at upstream after which the proxy logs in again with the next request: Kafka's clients do it after 85 to
/// 95.
pub const LOGIN_AGAIN_PERCENT: u32 = 85;

/// How far apart the clocks of whoever issues tokens and of the proxy may be.
pub const TOKEN_CLOCK_SKEW: core::time::Duration = core::time::Duration::from_secs(30);

/// Bits of an RSA key that signs tokens at least; NIST SP 800-131A allows no less.
pub const TOKEN_RSA_BITS_MIN: usize = 2_048;

/// Bytes: how much of a client id or software name is kept and shown.
pub const SHOWN_NAME_MAX: usize = 255;

/// Nodes of one upstream cluster whose addresses are kept. The largest clusters known have a few thousand brokers.
pub const NODES_MAX: usize = 10_000;

/// How long reading the files of a virtual cluster and binding its listeners may take, so that a file system that hangs
/// makes a failed cluster with a reason instead of one that initializes for ever.
pub const BUILD_TIMEOUT: core::time::Duration = core::time::Duration::from_secs(30);

/// Transitions of a virtual cluster or of the proxy that are remembered: enough for two rolled-back reloads.
pub const TRANSITIONS_KEPT: usize = 16;

/// Links of a chain of causes; what lies deeper is dropped.
pub const REASON_LINKS_MAX: usize = 8;

/// Bytes of one link of a chain of causes: a screenful. A cause may quote what a peer or a file said.
pub const REASON_LINK_MAX: usize = 1_024;

/// The port that clients are told for a node that a gateway has no port for: `tcpmux`, where practically nobody listens,
/// so that connecting is refused at once instead of reaching some other node.
pub const UNMAPPED_NODE_PORT: u16 = 1;

/// Client connections of one virtual cluster unless configured. Two file descriptors each, so well within the 65,536 and
/// more that service managers allow; a Kafka broker in production has some thousands.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Addresses of which it is remembered how fast connections came, without one being there; some 6 MB. More within a second come
/// from somebody who has them all, against whom a limit for each is no help.
pub const ADDRESSES_KEPT: usize = 65_536;

/// Bytes that the responses which are read whole may take together in one virtual cluster unless configured: ten of the largest,
/// and the usual ones of some hundred KiB for thousands of clients that start together.
pub const BUFFERED_MAX: u64 = 1 << 30;

/// Bytes that requests which are read whole may take together while their ends are missing, in the whole process, unless
/// configured: a thousand of the largest. Those of clients that behave are there with one read, or a moment later.
pub const UNFINISHED_REQUESTS_MAX: u64 = 64 << 20;

/// The largest rate: a millionth of a second is the clock's step.
pub const RATE_MAX: u32 = 1_000_000;

/// How far back "lately" goes where latencies are told: long enough for a percentile of a quiet cluster, short enough to see
/// a change while looking.
pub const LATENCY_WINDOW: core::time::Duration = core::time::Duration::from_secs(60);

/// How often latencies are set aside: the window is longer than it should be by no more than this.
pub const LATENCY_TURN: core::time::Duration = core::time::Duration::from_secs(10);

/// Bytes of a header of the PROXY protocol: the addresses take 52, what else load balancers say takes some hundreds, and with
/// a client's certificate some thousands. The format itself ends at 64 KiB.
pub const PROXY_HEADER_MAX: usize = 16 << 10;
