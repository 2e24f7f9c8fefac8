//! A progress bar, where somebody watches.

use std::{
    io::{IsTerminal, Write, stderr},
    time::Instant,
};

/// Columns of the bar itself.
const WIDTH: usize = 30;

/// How far something has come. It is drawn on standard error if that is a terminal, and gone afterwards.
pub(super) struct Progress {
    of: u64,
    done: u64,
    failed: u64,
    began: Instant,
    shown: bool,
}

impl Progress {
    pub(super) fn new(of: u64) -> Self {
        Self { of, done: 0, failed: 0, began: Instant::now(), shown: stderr().is_terminal() }
    }

    /// One more is done.
    pub(super) fn step(&mut self, failed: bool) {
        self.done += 1;
        self.failed += u64::from(failed);
        if self.shown {
            let filled = usize::try_from(self.done * WIDTH as u64 / self.of.max(1)).unwrap_or(WIDTH).min(WIDTH);
            let rate = self.done as f64 / self.began.elapsed().as_secs_f64().max(1e-3);
            let bar = format!("{}{}", "━".repeat(filled), "╌".repeat(WIDTH - filled));
            let failed = if self.failed > 0 { format!(", {} failed", self.failed) } else { String::new() };
            eprint!("\r\x1b[K{bar} {} of {}, {rate:.1} each second{failed}", self.done, self.of);
            let _ = stderr().flush(); // nobody depends on it
        }
    }

    /// Makes room for a line.
    pub(super) fn clear(&self) {
        if self.shown {
            eprint!("\r\x1b[K");
        }
    }
}
