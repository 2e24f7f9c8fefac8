//! Every limit of the embedded brokers and of the demo's client, with its unit and its reason.

use std::time::Duration;

/// Client connections of one embedded cluster; beyond it new ones are hung up on. Far more than a demo or a test opens.
pub(crate) const CONNECTIONS: usize = 4_096;

/// Bytes read from a client at a time. A frame's memory grows by what has arrived, never by what its length claims.
pub(crate) const READ_CHUNK: usize = 64 << 10;

/// Requests of all connections that wait for the cluster; beyond it clients are not read.
pub(crate) const EVENTS_WAITING: usize = 64;

/// Bytes of answers that may wait for one client when another is to be added: whoever takes nothing is hung up on. One
/// answer may be larger, so that a Fetch of any size is served.
pub(crate) const ANSWER_BYTES_WAITING: usize = 16 << 20;

/// Answers that may wait for one client.
pub(crate) const ANSWERS_WAITING: usize = 1_024;

/// How long a client that was hung up on has to take what was answered before.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long an acceptor waits after a failure that concerns the whole process, such as "too many open files".
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bytes of one response: more than a Fetch of ours asks for.
pub(crate) const RESPONSE: usize = 64 << 20;

/// Array elements and tagged fields of one response: decoded they take up to some 300 bytes each.
pub(crate) const RESPONSE_ELEMENTS: usize = 100_000;

/// Requests of one connection that wait for their responses.
pub(crate) const CALLS_IN_FLIGHT: usize = 32;

/// How long connecting may take.
pub(crate) const CONNECT: Duration = Duration::from_secs(5);

/// How long a request may take beyond what it lets the broker wait.
pub(crate) const REQUEST: Duration = Duration::from_secs(10);

/// The first pause before something is tried again, and the longest: it doubles.
pub(crate) const BACKOFF: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));

/// Bytes of records in one batch, unless one record is larger.
pub(crate) const BATCH_BYTES: usize = 64 << 10;

/// Bytes of records that wait in a producer; beyond it no more are taken.
pub(crate) const PRODUCER_BYTES_WAITING: usize = 4 << 20;

/// Produce requests in flight to one broker.
pub(crate) const PRODUCES_IN_FLIGHT: usize = 5;

/// How long a Fetch waits for records.
pub(crate) const FETCH_WAIT: Duration = Duration::from_millis(500);

/// Bytes of records in one Fetch response, and of each partition in it.
pub(crate) const FETCH_BYTES: (i32, i32) = (8 << 20, 1 << 20);

/// How long a member may be silent before its group goes on without it: the least that Kafka's brokers allow.
pub(crate) const SESSION: Duration = Duration::from_secs(6);

/// How long members have to join again when their group rebalances.
pub(crate) const REBALANCE: Duration = Duration::from_secs(10);

/// How often a member says that it is alive; it learns of rebalances this way.
pub(crate) const HEARTBEAT: Duration = Duration::from_millis(500);

/// How often a member commits its offsets.
pub(crate) const COMMIT: Duration = Duration::from_secs(1);

/// Records of the demo's workload on their way at a time. By Little's law the latency at full speed is this through the rate.
pub(crate) const WINDOW_RECORDS: u64 = 4_096;

/// Bytes of records on their way at a time: below what any partition retains, so that nothing is lost unread.
pub(crate) const WINDOW_BYTES: u64 = 4 << 20;

/// Records that are handed to the producer at a time, all for one partition.
pub(crate) const CHUNK_RECORDS: u64 = 64;

/// How often a workload with a rate looks whether records are due.
pub(crate) const PACE: Duration = Duration::from_millis(5);

/// Deliveries that wait for the ledger; beyond it consumers read no further.
pub(crate) const DELIVERIES_WAITING: usize = 64;

/// How long a workload that was told to stop waits for what is on its way.
pub(crate) const DRAIN: Duration = Duration::from_secs(3);

/// How long consumers have to commit and leave their group.
pub(crate) const LEAVE: Duration = Duration::from_secs(2);
