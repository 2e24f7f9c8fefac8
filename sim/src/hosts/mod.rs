//! What runs on the simulated hosts.

pub(crate) mod brokers;
pub(crate) mod proxy;

use crate::{journal::Journal, limits, net::Wires};
use runtime::clock::Clock;

/// What every host knows of its world.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    pub(crate) wires: Wires,
    pub(crate) journal: Journal,
    pub(crate) seed: u64,
}

/// The host's clock. To be called on the host: each has a time of its own.
pub(crate) fn clock() -> Clock {
    Clock::starting_at(turmoil::since_epoch().unwrap_or(limits::EPOCH))
}
