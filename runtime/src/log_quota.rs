//! Keeps a log readable, and a disk from filling, where each line is caused by a stranger.

use crate::limits;
use tokio::time::Instant;

/// How much may be logged within a window of time.
#[derive(Debug, Default)]
pub(crate) struct Quota {
    began: Option<Instant>,
    used: u32,
    dropped: u64,
}

impl Quota {
    /// Whether one more line may be logged, and how many were not before it.
    pub(crate) fn take(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.began.is_none_or(|began| now - began >= limits::LOG_WINDOW) {
            (self.began, self.used) = (Some(now), 0);
        }
        if self.used == limits::LOGGED_ENDS {
            self.dropped += 1;
            return None;
        }
        self.used += 1;
        Some(std::mem::take(&mut self.dropped))
    }
}
