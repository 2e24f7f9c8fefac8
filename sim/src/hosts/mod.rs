//! What runs on the simulated hosts.

pub(crate) mod brokers;
mod claims;
pub(crate) mod proxy;
mod tunnel;

use crate::{findings::Findings, journal::Journal, limits, net::Wires};
use runtime::clock::Clock;
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

/// What every host knows of its world.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) wires: Wires,
    pub(crate) journal: Journal,
    pub(crate) findings: Findings,
    pub(crate) seed: u64,
    /// ms by which the time of day is wrong.
    pub(crate) wrong_by_ms: Arc<AtomicI64>,
}

impl Surroundings {
    /// The host's clock. To be called on the host: each has a time of its own.
    pub(crate) fn clock(&self) -> Clock {
        let right = turmoil::since_epoch().unwrap_or(limits::EPOCH);
        let wrong_by_ms = self.wrong_by_ms.load(Ordering::Relaxed);
        let off = Duration::from_millis(wrong_by_ms.unsigned_abs());
        Clock::starting_at(if wrong_by_ms < 0 { right.saturating_sub(off) } else { right + off })
    }
}
