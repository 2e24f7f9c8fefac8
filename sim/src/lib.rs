//! Simulations of kroxy: the production runtime in a turmoil world with injected faults.
//!
//! A [`plan::Plan`] says what the world is made of and what goes wrong in it, and [`world::run`] plays it: the proxy of
//! `kroxy serve` between embedded brokers and clients, all in one thread and in simulated time. The same plan in a fresh
//! process gives the same run to the byte. What is right is judged outside of kroxy, by `check` and by the streams that
//! the clients are given.

mod check;
mod clients;
mod dice;
mod digest;
pub mod draw;
pub mod findings;
mod gentle;
mod history;
mod hosts;
pub mod journal;
mod ledger;
mod limits;
mod logins;
mod mailbox;
mod net;
pub mod plan;
pub mod report;
mod timeline;
mod tls;
mod topology;
pub mod world;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// This build would not be deterministic.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "built without --cfg tokio_unstable: panics of simulated hosts would be swallowed and a seed would not repeat itself. \
     .cargo/config.toml sets it; a RUSTFLAGS in the environment replaces that"
)]
pub struct NotDeterministic;

/// Says whether simulations may run.
///
/// # Errors
/// Without `--cfg tokio_unstable` nothing of what they say could be relied on.
pub const fn may_run() -> Result<(), NotDeterministic> {
    may_run_with(cfg!(tokio_unstable))
}

const fn may_run_with(tokio_unstable: bool) -> Result<(), NotDeterministic> {
    if tokio_unstable { Ok(()) } else { Err(NotDeterministic) }
}

/// Locks what a panic leaves whole, because every change under the lock is one call.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulations_are_refused_where_a_seed_would_not_repeat_itself() {
        let refused = may_run_with(false).expect_err("without tokio_unstable nothing can be relied on");
        assert!(refused.to_string().contains("--cfg tokio_unstable"), "{refused}");
        assert_eq!(may_run_with(true), Ok(()));
    }
}
