//! What happens when the process cannot accept a connection: it waits, and goes on when it can again.
//!
//! Nearly always it has run out of file descriptors. Whoever is connected notices nothing of it; whoever comes waits in the operating
//! system. All listeners of a proxy fail together then, so the log says it once for all of them. What is accepted takes the turns of the
//! whole proxy (`turns.rs`), which are kept here for that.

use crate::{
    limits, lock,
    metrics::Metrics,
    turns::{Newcomer, Turns},
};
use rustix::io::Errno;
use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;
use tracing::{debug, info, warn};

/// How accepting goes for all listeners of a proxy.
#[derive(Debug)]
pub(crate) struct Accepting {
    metrics: Metrics,
    trouble: Mutex<Option<Trouble>>,
    turns: Arc<Turns>,
}

/// It has failed lately.
#[derive(Clone, Copy, Debug)]
struct Trouble {
    since: Instant,
    last: Instant,
}

/// One listener's part in it.
pub(crate) struct Acceptor {
    all: Arc<Accepting>,
    newcomer: Newcomer,
    /// How often it has failed in a row.
    failures: u32,
}

impl Accepting {
    pub(crate) fn new(metrics: Metrics) -> Arc<Self> {
        Arc::new(Self { metrics, trouble: Mutex::default(), turns: Turns::new() })
    }

    pub(crate) fn listener(self: Arc<Self>) -> Acceptor {
        let newcomer = self.newcomer();
        Acceptor { all: self, newcomer, failures: 0 }
    }

    /// For a connection that takes turns.
    pub(crate) fn newcomer(&self) -> Newcomer {
        self.turns.newcomer()
    }

    fn failed(&self, e: &io::Error, now: Instant) {
        self.metrics.accept_failed(cause(e));
        let mut trouble = lock(&self.trouble);
        match &mut *trouble {
            Some(trouble) => trouble.last = now,
            None => {
                *trouble = Some(Trouble { since: now, last: now });
                drop(trouble);
                warn!("connections cannot be accepted, and wait until they can: {e}");
            }
        }
    }

    /// One listener may find a descriptor that another misses: only after a while without failures is it over.
    fn succeeded(&self, now: Instant) {
        let mut trouble = lock(&self.trouble);
        let Some(Trouble { since, last }) = *trouble else { return };
        if now - last > 2 * limits::ACCEPT_PAUSE_MAX {
            *trouble = None;
            drop(trouble);
            info!("connections are accepted again, after {:?}", last - since);
        }
    }
}

impl Acceptor {
    /// A connection was accepted.
    pub(crate) fn succeeded(&mut self) {
        self.failures = 0;
        self.all.succeeded(Instant::now());
    }

    /// Waits until it is the turn of one that was accepted. Those behind it wait in the operating system.
    pub(crate) async fn turn(&mut self) {
        self.newcomer.turn().await;
    }

    /// For the connection that was accepted.
    pub(crate) fn newcomer(&self) -> Newcomer {
        self.all.newcomer()
    }

    /// None was. Waits as long as makes sense before the next attempt.
    pub(crate) async fn failed(&mut self, e: &io::Error) {
        if is_of_one_connection(e) {
            return debug!("a connection was gone before it was accepted: {e}");
        }
        self.all.failed(e, Instant::now());
        let pause = self.pause();
        tokio::time::sleep(pause).await;
    }

    /// How long the next attempt is waited for.
    fn pause(&mut self) -> Duration {
        let pause = limits::ACCEPT_PAUSE * 2_u32.saturating_pow(self.failures.min(16));
        self.failures = self.failures.saturating_add(1);
        pause.min(limits::ACCEPT_PAUSE_MAX)
    }
}

/// Whether the next connection has nothing to do with it.
fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted)
}

/// Whether there was no file descriptor for it.
pub(crate) fn lacks_descriptor(e: &io::Error) -> bool {
    matches!(Errno::from_io_error(e), Some(Errno::MFILE | Errno::NFILE))
}

/// The value of the label `cause`.
fn cause(e: &io::Error) -> &'static str {
    match Errno::from_io_error(e) {
        Some(_) if lacks_descriptor(e) => "descriptors",
        Some(Errno::NOBUFS | Errno::NOMEM) => "memory",
        Some(_) | None => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> io::Error {
        io::Error::from_raw_os_error(Errno::MFILE.raw_os_error())
    }

    #[test]
    fn the_pauses_grow_up_to_a_second_and_begin_anew_after_a_success() {
        let mut acceptor = Accepting::new(Metrics::new()).listener();
        let pauses: Vec<_> = (0..7).map(|_| acceptor.pause().as_millis()).collect();
        assert_eq!(pauses, [50, 100, 200, 400, 800, 1_000, 1_000]);
        acceptor.succeeded();
        assert_eq!(acceptor.pause().as_millis(), 50);
    }

    #[test]
    fn what_is_missing_is_told_and_a_connection_that_is_gone_is_nothing() {
        let of = |code: Errno| cause(&io::Error::from_raw_os_error(code.raw_os_error()));
        assert_eq!([of(Errno::MFILE), of(Errno::NFILE)], ["descriptors"; 2]);
        assert_eq!([of(Errno::NOBUFS), of(Errno::NOMEM)], ["memory"; 2]);
        assert_eq!(of(Errno::PERM), "other");
        assert!(is_of_one_connection(&io::ErrorKind::ConnectionAborted.into()) && !is_of_one_connection(&full()));
    }

    #[test]
    fn it_is_over_only_after_a_while_without_failures() {
        let (all, began) = (Accepting::new(Metrics::new()), Instant::now());
        all.failed(&full(), began);
        let later = began + 2 * limits::ACCEPT_PAUSE_MAX;
        all.failed(&full(), began + limits::ACCEPT_PAUSE_MAX);
        all.succeeded(later);
        assert!(lock(&all.trouble).is_some());
        all.succeeded(later + 2 * limits::ACCEPT_PAUSE_MAX);
        assert!(lock(&all.trouble).is_none());
    }
}
