//! Keeps attackers apart from the proxy and from those who behave, as far as one machine allows.
//!
//! Otherwise figures are about who gets a processor: a wake-up waits until a system call of somebody else has ended.

use rustix::{
    process::Pid,
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};
use std::{fs, process::Command, sync::LazyLock};

/// What the threads of those who behave are called.
pub(crate) const PEACE: &str = "peace";

/// The processors of the proxy and of those who behave, and the one of attackers. `None`: there is only one.
static SIDES: LazyLock<Option<[CpuSet; 2]>> = LazyLock::new(|| {
    let all = sched_getaffinity(None).ok()?;
    let (mut theirs, mut ours) = (CpuSet::new(), all);
    let last = (0..CpuSet::MAX_CPU).rfind(|cpu| all.is_set(*cpu))?;
    theirs.set(last);
    ours.unset(last);
    (ours.count() > 0).then_some([ours, theirs])
});

/// Starts the proxy on its side.
pub(crate) fn on_our_side<T>(start: impl FnOnce() -> T) -> T {
    let Some([ours, theirs]) = &*SIDES else { return start() };
    let _ = sched_setaffinity(None, ours); // then it is where it was, which costs the figures' precision alone
    let started = start();
    let _ = sched_setaffinity(None, theirs);
    started
}

/// Sends every thread of this process to its side. Those who behave come before the proxy where we may say so: on another machine they
/// would not wait for it.
pub(crate) fn take_sides() {
    let Some([ours, theirs]) = &*SIDES else { return };
    for task in fs::read_dir("/proc/self/task").expect("Linux").flatten() {
        let is_peaceful = fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == PEACE);
        let id = task.file_name().to_str().and_then(|id| id.parse().ok()).and_then(Pid::from_raw);
        let _ = sched_setaffinity(id, if is_peaceful { ours } else { theirs });
        if is_peaceful {
            let _ = Command::new("chrt").args(["--rr", "--pid", "1"]).arg(task.file_name()).output();
        }
    }
}
