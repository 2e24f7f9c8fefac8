//! What happened, line by line: simulated time, host, event. Lengths of what was read and written, never the bytes.

use crate::{digest::Fnv, limits, lock};
use std::{
    collections::VecDeque,
    fmt::{self, Write},
    sync::{Arc, Mutex},
    time::Duration,
};

/// A journal. Clones write to the same one.
#[derive(Clone, Debug, Default)]
pub struct Journal(Arc<Mutex<Lines>>);

#[derive(Debug, Default)]
struct Lines {
    now: Duration,
    digest: Fnv,
    count: u64,
    tail: VecDeque<String>,
    /// All of it, where somebody wants that.
    whole: Option<String>,
}

impl Journal {
    /// A journal that keeps all its lines, not only the last ones.
    pub fn whole() -> Self {
        Self(Arc::new(Mutex::new(Lines { whole: Some(String::new()), ..Lines::default() })))
    }

    /// The time of what is noted outside of any host.
    pub(crate) fn set_now(&self, now: Duration) {
        lock(&self.0).now = now;
    }

    /// Writes a line.
    pub(crate) fn note(&self, host: &str, what: fmt::Arguments<'_>) {
        let mut lines = lock(&self.0);
        let now = turmoil::sim_elapsed().unwrap_or(lines.now);
        let mut line = String::with_capacity(64);
        write!(line, "{:>10.6} {host:<9} {what}", now.as_secs_f64()).expect("a string takes everything");
        lines.digest.add(line.as_bytes());
        lines.digest.add(b"\n");
        lines.count += 1;
        if let Some(whole) = &mut lines.whole {
            whole.push_str(&line);
            whole.push('\n');
        }
        if is_worth_showing(&line) {
            if lines.tail.len() == limits::TAIL {
                lines.tail.pop_front();
            }
            lines.tail.push_back(line);
        }
    }

    /// How many lines there are, and a digest over all of them.
    pub fn digest(&self) -> (u64, u64) {
        let lines = lock(&self.0);
        (lines.count, lines.digest.value())
    }

    /// The last lines, without reads and writes.
    pub fn tail(&self) -> Vec<String> {
        lock(&self.0).tail.iter().cloned().collect()
    }

    /// All lines, where they were kept.
    pub fn text(&self) -> Option<String> {
        lock(&self.0).whole.clone()
    }
}

/// Reads and writes are most of a journal, and in a failure nobody looks for them first.
fn is_worth_showing(line: &str) -> bool {
    !line.contains(" read ") && !line.contains(" wrote ")
}
