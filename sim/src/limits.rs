//! Every limit of the simulations, with its unit and its reason.

use std::time::Duration;

/// The time of day at which every world begins: 2026-01-01, so that no run depends on today.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_767_225_600);

/// How much time passes at a step of the world. Messages arrive at steps, timers ring in between as well.
pub(crate) const TICK: Duration = Duration::from_millis(1);

/// Segments on their way in one direction of a connection, and connections that wait to be accepted: turmoil panics or loses
/// a FIN beyond it, so it is out of reach; what limits a connection is the window of [`crate::plan::Weather`].
pub(crate) const TCP_CAPACITY: usize = 1 << 16;

/// How long clients go on trying: longer than any world lasts, so that giving up is never what ends an operation.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// How long one operation of a plain producer may take before its outcome counts as unknown.
pub(crate) const OPERATION: Duration = Duration::from_secs(5);

/// How long a plain producer waits after a failure.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// Once everything is healed: how long until all producers are done and all is consumed. A session of a group (6 s), a
/// rebalance (10 s) and a lost answer (10 s) fit into it one after the other.
pub(crate) const PROGRESS: Duration = Duration::from_secs(60);

/// Once all clients are gone: how long until the proxy shows no connection and nothing in flight. Answers that somebody is
/// owed who has closed his sending half are waited for for 30 s, and some brokers have swallowed one.
pub(crate) const QUIET: Duration = Duration::from_secs(35);

/// How long the proxy may take to stop beyond the drain timeout of its clusters.
pub(crate) const STOP: Duration = Duration::from_secs(5);

/// How long a connection may be open at which nothing is said: the time that a client has for its first request, which worlds
/// configure as 5 s, and what ending it may take.
pub(crate) const SILENCE: Duration = Duration::from_millis(7_500);

/// How much longer than its timeout a drain may have connections: the status is looked at now and then.
pub(crate) const DRAIN_OVERRUN: Duration = Duration::from_millis(300);

/// The shortest pause before a retry: half of what worlds configure, for the other half is drawn.
pub(crate) const RETRY_PAUSE_MIN: Duration = Duration::from_millis(100);

/// How long a cluster that has failed may wait until it is tried again: the longest pause that worlds configure (2 s), and
/// half a second in which it is noticed.
pub(crate) const RETRY_PAUSE_MAX: Duration = Duration::from_millis(2_500);

/// How long after the end of a login at a broker it may still be asked: what was sent before may be held back on its way, for
/// three seconds by a fault, twice, and for a while by the weather.
pub(crate) const SESSION_OVERRUN: Duration = Duration::from_secs(8);

/// The drain timeout that worlds configure.
pub(crate) const DRAIN: Duration = Duration::from_secs(2);

/// How often the proxy's status is looked at.
pub(crate) const LOOK: Duration = Duration::from_millis(50);

/// Lines of the journal that a failure shows.
pub(crate) const TAIL: usize = 60;

/// Bytes that a client asks for at once: many times what a connection may hold for it.
pub(crate) const FETCH: i32 = 4 << 20;

/// Bytes of one response that a simulated client takes.
pub(crate) const RESPONSE: usize = 16 << 20;
