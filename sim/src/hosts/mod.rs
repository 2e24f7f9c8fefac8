//! What runs on the simulated hosts.

pub(crate) mod brokers;
mod claims;
pub(crate) mod proxy;
mod tunnel;

use crate::{findings::Findings, journal::Journal, limits, net::Wires};
use runtime::clock::Clock;
use std::{cell::Cell, time::Duration};

/// What every host knows of its world.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) wires: Wires,
    pub(crate) journal: Journal,
    pub(crate) findings: Findings,
    pub(crate) seed: u64,
}

thread_local! {
    /// ms by which the time of day is wrong on the hosts of the world that this thread plays.
    static WRONG_BY_MS: Cell<i64> = const { Cell::new(0) };
}

/// Lets the time of day jump.
pub(crate) fn jump(by_ms: i64) {
    WRONG_BY_MS.set(WRONG_BY_MS.get().saturating_add(by_ms));
}

/// Puts the time of day right.
pub(crate) fn put_clock_right() {
    WRONG_BY_MS.set(0);
}

/// The right time of day: since 1970-01-01.
pub(crate) fn right_time() -> Duration {
    turmoil::since_epoch().unwrap_or(limits::EPOCH)
}

/// The time of day as hosts have it.
fn time_of_day() -> Duration {
    let (right, wrong_by_ms) = (right_time(), WRONG_BY_MS.get());
    let off = Duration::from_millis(wrong_by_ms.unsigned_abs());
    if wrong_by_ms < 0 { right.saturating_sub(off) } else { right + off }
}

impl Surroundings {
    /// The host's clock. To be called on the host: each has a time of its own.
    pub(crate) fn clock(&self) -> Clock {
        Clock::following(time_of_day)
    }
}
