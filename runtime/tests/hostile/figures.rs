//! What a process costs, as the kernel counts it.

use std::{
    fs,
    io::Write,
    time::{Duration, Instant},
};

/// Clock ticks of a second in `/proc`, which Linux fixes for user space.
const TICKS: u64 = 100;

/// Writes a line of figures past the test runner, which keeps to itself what a test that passes prints.
pub(crate) fn say(line: &str) {
    // Nobody reads standard error: then there is nobody to tell.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// How many files this process, and so the one that it starts, may have open.
pub(crate) fn descriptors() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").expect("Linux");
    let line = limits.lines().find(|line| line.starts_with("Max open files")).expect("a limit");
    line.split_whitespace().nth(3).and_then(|soft| soft.parse().ok()).unwrap_or(usize::MAX) // else it is unlimited
}

/// A running process.
pub(crate) struct Process(pub(crate) u32);

impl Process {
    /// Bytes of memory in use.
    pub(crate) fn memory(&self) -> usize {
        self.status("VmRSS:") << 10
    }

    /// The most bytes of memory since [`Self::forget_peak`].
    pub(crate) fn peak(&self) -> usize {
        self.status("VmHWM:") << 10
    }

    /// How many descriptors the operating system has made room for.
    pub(crate) fn room(&self) -> usize {
        self.status("FDSize:")
    }

    pub(crate) fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5").expect("it is ours");
    }

    fn status(&self, field: &str) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0)).expect("it runs");
        let line = status.lines().find(|line| line.starts_with(field)).expect("Linux tells it");
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect("a number")
    }

    /// What it has computed so far.
    pub(crate) fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.0)).expect("it runs");
        let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
        let ticks: u64 = fields.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1_000 / TICKS)
    }
}

/// How long the answers to a client took.
#[derive(Default)]
pub(crate) struct Latencies(Vec<Duration>);

impl Latencies {
    pub(crate) fn note(&mut self, asked: Instant) {
        self.0.push(asked.elapsed());
    }

    pub(crate) const fn count(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn p99(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        sorted[sorted.len() * 99 / 100]
    }
}
