//! Every limit of the runtime, with its unit and its reason.

use kroxy_core::config::tls::ClientTls;
use std::time::Duration;

/// Bytes: what one worker thread reads at a time. Cost follows the number of system calls; beyond this size nothing is won.
pub(crate) const SCRATCH: usize = 256 << 10;

/// Bytes that are read of what follows bulk that went by unseen: the end of its frame, and the head of the next, which may be as large.
pub(crate) const HEAD_OF_BULK: usize = 16 << 10;

/// Bytes read from a client before upstream is connected, all of which wait in memory.
pub(crate) const READ_BEFORE_UPSTREAM: usize = 16 << 10;

/// Bytes that wait to be written to one leg above which the other leg is no longer read. One read more may come on top.
pub(crate) const OUTBOX_HIGH: usize = 64 << 10;

/// Bytes that wait to be written to one leg at which the other leg is read again.
pub(crate) const OUTBOX_LOW: usize = 16 << 10;

/// Bytes of buffer that a leg keeps while nothing waits in it: enough for the start of a frame.
pub(crate) const KEPT_BUFFER: usize = 256;

/// Bytes of a response that is read whole for which nobody is asked: with so many, all connections that there may be take as much
/// as they do for their outboxes.
pub(crate) const UNASKED_BUFFER: usize = 64 << 10;

/// Bytes of a request that is read whole for which nobody is asked: what clients that behave send in one piece, and little beside
/// what an idle connection takes anyway.
pub(crate) const UNASKED_REQUEST: usize = 4 << 10;

/// How many times a response that is read whole is held: as it came, and as it goes on.
pub(crate) const BUFFERED_TIMES: u64 = 2;

/// Segments written in one system call.
pub(crate) const WRITE_VECTOR: usize = 32;

/// How long a peer may take to close when a connection ends, and a client to take what it is still owed.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// How long upstream may take nothing of what is left for it when a connection ends. It can be records that nobody would send
/// again; the client, had it been connected to the broker itself, would have left them to TCP, which is more patient.
pub(crate) const UPSTREAM_LINGER: Duration = Duration::from_secs(30);

/// How long a command waits for a connection to the admin API.
pub(crate) const ADMIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a command waits for an answer that takes no time.
pub(crate) const ADMIN_QUESTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a command waits for the end of what it asked for: a reload answers when the last drain has ended.
pub(crate) const ADMIN_RELOAD_TIMEOUT: Duration = Duration::from_secs(600);

/// Bytes of an answer of the admin API: 200 virtual clusters need about 500 KiB.
pub(crate) const ADMIN_ANSWER: u64 = 64 << 20;

/// Worker threads that count for themselves; where there are more, some share. Each takes 3 KiB of memory for each API of each virtual
/// cluster that it serves, and sharing by a few costs little.
pub(crate) const COUNTING_PLACES: usize = 8;

/// Bytes of a frame that are waited for at a time where it comes in records of TLS: as much as a socket has room for at first.
pub(crate) const LOW_WATER: usize = 128 << 10;

/// How long so much is waited for, and what came is kept from its receiver: a client or broker that is slower costs little in any case.
pub(crate) const LOW_WATER_TIME: Duration = Duration::from_secs(1);

/// Bytes that are read at a time from a socket with TLS: rustls asks for 4 KiB, and cost follows the number of system
/// calls. Each worker thread has one such block.
pub(crate) const TLS_READ: usize = 64 << 10;

/// How long the peer of a handshake that failed is given to take the alert that says why: a round trip.
pub(crate) const ALERT_LINGER: Duration = Duration::from_millis(500);

/// Bytes: the largest file of certificates or keys that is read. The bundles of operating systems have less than 1 MiB.
pub(crate) const MATERIAL_MAX: u64 = 4 << 20;

/// Bytes of the TLS sessions that each gateway remembers, so that clients come again without signatures: two for each of the 10,000
/// connections that a virtual cluster has at the most unless configured, and some for who has left. It is taken as they come.
pub(crate) const TLS_SESSIONS: usize = 10 << 20;

/// Bytes that each of them takes beside its id and itself, as measured with 30,000 sessions.
pub(crate) const TLS_SESSION_BESIDE: usize = 170;

/// Servers of upstream whose TLS sessions are remembered, eight of each: the brokers of a large cluster.
pub(crate) const TLS_SERVERS: usize = 256;

/// Bytes of the longest line of a configuration with which its text is drawn around a problem: no screen is so wide, and the
/// library that draws counts columns in 16 bits.
pub(crate) const DRAWN_LINE: usize = 8 << 10;

/// Lines of the log that strangers cause, for each virtual cluster and [`LOG_WINDOW`]: whoever scans ports, loops over a failing
/// handshake or guesses passwords does not fill a disk.
pub(crate) const LOGGED_ENDS: u32 = 20;

/// How long [`LOGGED_ENDS`] lasts.
pub(crate) const LOG_WINDOW: Duration = Duration::from_secs(10);

/// How long before a certificate of the proxy expires the log begins to warn: time for a renewal that is done by hand, and
/// past the point at which automatic ones renew (30 days of 90, and some let it come to 20).
pub(crate) const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How often certificates are looked at for that.
pub(crate) const EXPIRY_LOOK: Duration = Duration::from_secs(24 * 60 * 60);

/// How long an issuer of tokens may take for its keys or a token, the connection included: it is behind a client that waits.
pub(crate) const FETCH_TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of what is fetched: a set of keys has some KiB.
pub(crate) const FETCHED_MAX: usize = 1 << 20;

/// How long an issuer is left alone after it was asked for keys, or did not give a token, while there is something to go on with: whoever
/// sends tokens with invented keys does not have us ask for each.
pub(crate) const FETCH_PAUSE: Duration = Duration::from_secs(10);

/// How long it is left alone after it failed, while there is nothing: clients that come at the same time wait for one answer.
pub(crate) const FETCH_PAUSE_WITHOUT: Duration = Duration::from_secs(1);

/// How long a token holds whose endpoint does not say.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// How long a token is kept at most, whatever its endpoint says: a day, so that sums with a clock stay small.
pub(crate) const TOKEN_LIFE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Percent of a token's life after which a new one is fetched: an endpoint may then be away for as long as the rest.
pub(crate) const TOKEN_RENEW_PERCENT: u32 = 80;

/// Connections to the admin API at the same time: consoles, scrapes and scripts, each with two or three.
pub(crate) const ADMIN_CONNECTIONS: usize = 256;

/// Bytes of the head of one question to the admin API, and of what is read at a time.
pub(crate) const ADMIN_HEAD: usize = 16 << 10;

/// How long a client of the admin API may take for the head of a question.
pub(crate) const ADMIN_HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a client of the admin API may take for the body of a question: a configuration of some MiB from afar.
pub(crate) const ADMIN_BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// Characters of the token of the admin API at least: 16 random ones cannot be guessed.
pub(crate) const ADMIN_TOKEN_MIN: usize = 16;

/// How long a listener waits after a failure that concerns the whole process, such as "too many open files"; twice as long after
/// the next.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection to upstream for which there was no file descriptor waits until it is tried again.
pub(crate) const DESCRIPTOR_PAUSE: Duration = Duration::from_millis(20);

/// How long a listener waits at the most: whoever waits to connect has most of his time left when there is room again.
pub(crate) const ACCEPT_PAUSE_MAX: Duration = Duration::from_secs(1);

/// How long a client may take to say which server it wants, where several share a listener, and a load balancer to say whose
/// connection it is: as a handshake unless configured, since whose timeout holds is not known before.
pub(crate) const HELLO_TIMEOUT: Duration = ClientTls::HANDSHAKE_TIMEOUT;

/// Clients at one shared listener that have not said yet which server they want; one more is closed at once. As many as may
/// be connected to one virtual cluster unless configured.
pub(crate) const HELLOS_WAITING: usize = 10_000;

/// Clients that may wait to be taken by a gateway of a shared listener: as many as wait to be accepted at one of its own.
pub(crate) const CALLERS_WAITING: usize = 4_096;

/// File descriptors for which the operating system makes room at the start, at 8 bytes and 2 bits each: more than that many come so rarely
/// that 10 ms do not matter.
pub(crate) const DESCRIPTORS_AT_ONCE: u64 = 1 << 18;

/// Steps of connections that are not served yet, or end, for each worker thread between two looks of the runtime at what has
/// happened: few enough for who waits behind them, and enough for some 250 new connections a second (reckoned) where others
/// give the thread more than it can do.
pub(crate) const STEPS: usize = 2;

/// Bytes that one connection moves until it is others' turn: what takes less than 100 µs.
pub(crate) const MOVED_AT_ONCE: usize = 256 << 10;
