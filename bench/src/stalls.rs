//! When processors stood still. Those of a virtual machine do, for milliseconds at a time, while their host runs others, and the machine
//! is not told of all of it.
//!
//! On each processor a thread with the highest real-time priority wakes up every 200 µs. Where it is late, nothing else ran there, or the
//! kernel let go of nothing, whoever it worked for.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::{Sender, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use thread_priority::{
    RealtimeThreadSchedulePolicy::Fifo, ThreadPriority, ThreadSchedulePolicy::Realtime, set_thread_priority_and_policy,
    thread_native_id,
};

/// How often it is looked.
const EVERY: Duration = Duration::from_micros(200);

/// A processor that comes later than this stood still.
const LATE: Duration = Duration::from_micros(100);

/// A stall counts for whoever asks from so long before it, which is several times what an answer takes, until so long after it, when what
/// has piled up is done.
///
/// How long an answer took has no part in it: a slow one would meet a stall more often than a quick one, and be excused
/// for a slowness that is the relay's.
const AROUND: Duration = Duration::from_millis(2);

/// From when to when, to 200 µs.
type Stall = (Instant, Instant);

/// A watch over all processors that this process may use.
pub(crate) struct Watch {
    over: Arc<AtomicBool>,
    watching: Vec<JoinHandle<Vec<Stall>>>,
}

impl Watch {
    /// `None` if threads may not have such a priority; root's may.
    pub(crate) fn start() -> Option<Self> {
        let over = Arc::new(AtomicBool::new(false));
        let (tell, told) = channel();
        let watching: Vec<_> = core_affinity::get_core_ids()?
            .into_iter()
            .map(|processor| {
                let (over, tell) = (over.clone(), tell.clone());
                thread::spawn(move || if stand_on(processor, &tell) { watch(&over) } else { Vec::new() })
            })
            .collect();
        let stand = told.iter().take(watching.len()).filter(|stands| *stands).count();
        let watch = Self { over, watching };
        if stand < watch.watching.len() {
            watch.end();
            return None;
        }
        Some(watch)
    }

    /// What it has seen.
    pub(crate) fn end(self) -> Stalls {
        self.over.store(true, Relaxed);
        let seen = self.watching.into_iter().flat_map(|one| one.join().expect("it does not panic"));
        Stalls::new(seen.collect())
    }
}

/// Binds this thread to a processor, before all others; tells and says whether it could.
fn stand_on(processor: core_affinity::CoreId, tell: &Sender<bool>) -> bool {
    let stands = core_affinity::set_for_current(processor)
        && set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Max, Realtime(Fifo)).is_ok();
    tell.send(stands).is_ok() && stands
}

fn watch(over: &AtomicBool) -> Vec<Stall> {
    let (mut stalls, mut woke) = (Vec::new(), Instant::now());
    while !over.load(Relaxed) {
        thread::sleep((woke + EVERY).saturating_duration_since(Instant::now()));
        let before = woke;
        woke = Instant::now();
        if woke - before > EVERY + LATE {
            stalls.push((before, woke));
        }
    }
    stalls
}

/// Times in which a processor stood still, in order and apart.
pub(crate) struct Stalls(Vec<Stall>);

impl Stalls {
    pub(crate) fn new(mut seen: Vec<Stall>) -> Self {
        seen.sort_unstable();
        let mut apart: Vec<Stall> = Vec::new();
        for (from, to) in seen {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(to),
                Some(_) | None => apart.push((from, to)),
            }
        }
        Self(apart)
    }

    /// Whether one counts for what was asked then.
    pub(crate) fn are_around(&self, asked: Instant) -> bool {
        let begun = self.0.partition_point(|(from, _)| *from <= asked + AROUND);
        begun.checked_sub(1).is_some_and(|last| self.0[last].1 + AROUND >= asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_counts_for_what_was_asked_shortly_before_it_until_shortly_after() {
        let zero = Instant::now();
        let at = |ms| zero + Duration::from_millis(ms);
        // Two processors: one stood still three times, the other within the first of these and across the second.
        let seen = [(10, 20), (40, 43), (60, 61), (12, 13), (42, 50)].map(|(from, to)| (at(from), at(to)));
        let stalls = Stalls::new(seen.to_vec());
        for asked in [8, 10, 15, 20, 22, 38, 43, 47, 52, 58, 63] {
            assert!(stalls.are_around(at(asked)), "{asked}");
        }
        for asked in [0, 7, 23, 37, 53, 57, 64, 99] {
            assert!(!stalls.are_around(at(asked)), "{asked}");
        }
        assert!(!Stalls::new(Vec::new()).are_around(at(0)));
    }
}
