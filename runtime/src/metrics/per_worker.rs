//! What each worker thread has for itself, so that none waits for a cache line that another one writes.

use crate::limits;
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

thread_local! {
    /// The place of this thread: the first threads that count have one each.
    static PLACE: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Relaxed) % limits::COUNTING_PLACES
    };
}

/// A `T` for each worker thread, made when that thread first counts.
///
/// Threads beyond [`limits::COUNTING_PLACES`] share, and whoever sums reads what others write: a `T` is made of atomics. They cost
/// little where nobody else wants them.
#[derive(Debug)]
pub(super) struct PerWorker<T> {
    places: [OnceLock<Box<Apart<T>>>; limits::COUNTING_PLACES],
}

impl<T> Default for PerWorker<T> {
    fn default() -> Self {
        Self { places: [const { OnceLock::new() }; limits::COUNTING_PLACES] }
    }
}

impl<T: Default> PerWorker<T> {
    /// That of the current thread.
    pub(super) fn mine(&self) -> &T {
        &self.places[PLACE.with(|place| *place)].get_or_init(Box::default).0
    }

    /// Those of all threads that have counted.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> + Clone {
        self.places.iter().filter_map(OnceLock::get).map(|place| &place.0)
    }
}

/// What shares no cache line with anything else. Processors fetch lines of 64 bytes in pairs, or have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Apart<T>(pub(super) T);

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::atomic::AtomicU64, thread};

    #[test]
    fn nothing_is_lost_where_threads_share_a_place() {
        const THREADS: usize = 3 * limits::COUNTING_PLACES;
        const TIMES: usize = 10_000;
        let counts = PerWorker::<AtomicU64>::default();
        thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| (0..TIMES).for_each(|_| _ = counts.mine().fetch_add(1, Relaxed)));
            }
        });
        let each: Vec<_> = counts.iter().map(|count| count.load(Relaxed)).collect();
        assert_eq!(each.iter().sum::<u64>(), (THREADS * TIMES) as u64, "{each:?}");
        assert!(each.len() > 1, "threads have places of their own: {each:?}");
        assert!(each.iter().all(|count| count % TIMES as u64 == 0), "a thread stays at its place: {each:?}");
    }

    #[test]
    fn a_thread_that_does_not_count_takes_no_place() {
        let counts = PerWorker::<AtomicU64>::default();
        assert_eq!(counts.iter().count(), 0);
        for _ in 0..2 {
            counts.mine().fetch_add(1, Relaxed);
        }
        assert_eq!(counts.iter().map(|count| count.load(Relaxed)).collect::<Vec<_>>(), [2]);
    }
}
