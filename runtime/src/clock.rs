//! The driver's clocks: monotonic time for the machines, and the wall clock for people.

use kroxy_core::time::Instant;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Turns tokio's time, which a simulation controls, into the core's, and tells the time of day.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: tokio::time::Instant,
    wall_origin: Duration,
    /// Tells the time of day where that may be set while the proxy runs.
    wall: Option<fn() -> Duration>,
}

impl Clock {
    /// A clock that starts now, at the operating system's time of day.
    pub fn system() -> Self {
        Self::following(since_epoch)
    }

    /// A clock that starts now, at the time of day that `wall` tells: since 1970-01-01.
    pub fn following(wall: fn() -> Duration) -> Self {
        Self { wall: Some(wall), ..Self::starting_at(wall()) }
    }

    /// A clock that starts now, when it is `since_epoch` after 1970-01-01.
    pub fn starting_at(since_epoch: Duration) -> Self {
        Self { origin: tokio::time::Instant::now(), wall_origin: since_epoch, wall: None }
    }

    /// Now, for a machine.
    pub fn now(&self) -> Instant {
        Instant::ZERO + self.origin.elapsed()
    }

    /// The moment of tokio's clock at which it will be `at`.
    pub fn tokio(&self, at: Instant) -> tokio::time::Instant {
        self.origin + Duration::from_micros(at.as_micros())
    }

    /// The time of day, as certificates are judged by: since 1970-01-01. A system whose clock is set right after the start
    /// is judged by the right one.
    pub fn since_epoch(&self) -> Duration {
        self.wall.map_or_else(|| self.wall_origin + self.origin.elapsed(), |wall| wall())
    }

    /// ms since 1970-01-01.
    pub fn unix_ms(&self) -> u64 {
        self.unix_ms_at(self.now())
    }

    /// ms from 1970-01-01 to a moment of this clock.
    pub fn unix_ms_at(&self, at: Instant) -> u64 {
        u64::try_from((self.wall_origin + Duration::from_micros(at.as_micros())).as_millis()).unwrap_or(u64::MAX)
    }
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}
