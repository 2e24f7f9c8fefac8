//! Latencies, counted in steps, and what they were lately.
//!
//! Counts only ever grow, so several threads may count without a lock and a difference of two moments is what happened
//! between them. Steps are a fraction of a power of two: a percentile is a little above the truth, never below it.

use crate::{limits, time::Instant};
use core::time::Duration;
use std::collections::VecDeque;

/// Steps for each power of two, as a power of two: 8 of them, so that a percentile is at most 12.5 % above the truth.
pub const STEP_BITS: u32 = 3;

/// Powers of two of µs that are told apart: up to 67 s, beyond the longest poll of a client with default settings.
const POWERS: u32 = 26;

/// How many buckets [`Counts`] has. The last one takes everything above.
pub const BUCKETS: usize = bucket(STEP_BITS, (1 << POWERS) - 1) + 1;

/// How often which latency occurred.
pub type Counts = [u64; BUCKETS];

/// The bucket of a latency in µs, with 2^`step_bits` of them for each power of two.
pub const fn bucket(step_bits: u32, micros: u64) -> usize {
    let power = (u64::BITS - micros.leading_zeros()).saturating_sub(step_bits + 1);
    // Below 2 × 2^step_bits every value has a bucket of its own.
    (power as usize) * (1 << step_bits) + (micros >> power) as usize
}

/// The highest latency of a bucket, in µs.
pub const fn upper(step_bits: u32, bucket: usize) -> u64 {
    let (bucket, steps) = (bucket as u64, 1 << step_bits);
    if bucket < 2 * steps {
        return bucket;
    }
    let power = bucket / steps - 1;
    let above = ((bucket % steps + steps + 1) as u128) << power;
    if above > u64::MAX as u128 { u64::MAX } else { above as u64 - 1 }
}

/// The bucket of [`Counts`] that a latency belongs to.
pub fn bucket_of(latency: Duration) -> usize {
    let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
    bucket(STEP_BITS, micros).min(BUCKETS - 1)
}

/// The first bucket at or above 2^`power` µs.
pub const fn bucket_at(power: u32) -> usize {
    bucket(STEP_BITS, 1 << power)
}

/// The bucket that `percent` of all that is counted lie in or below; `None` where nothing is counted.
pub fn percentile(counts: &[u64], percent: u64) -> Option<usize> {
    let total: u64 = counts.iter().sum();
    let rank = (u128::from(total) * u128::from(percent)).div_ceil(100).max(1);
    let mut seen = 0;
    counts.iter().position(|count| {
        seen += u128::from(*count);
        seen >= rank
    })
}

/// The latency in µs that `percent` of all that is counted did not exceed; `None` where nothing is counted.
pub fn percentile_us(counts: &Counts, percent: u64) -> Option<u64> {
    percentile(counts, percent).map(|bucket| upper(STEP_BITS, bucket))
}

/// Remembers what counts were, so as to tell what they were lately.
///
/// Whoever counts asks [`Self::due`] before and hands in the counts when it is. So nothing needs a timer, and however
/// long nobody counts, nothing old passes for new.
#[derive(Debug)]
pub struct Window {
    /// Counts, and since when they have been so at the latest, oldest first.
    turns: VecDeque<(Instant, Box<Counts>)>,
    due: Instant,
}

impl Window {
    /// A window over counts that are all zero now.
    pub const fn new(now: Instant) -> Self {
        Self { turns: VecDeque::new(), due: now }
    }

    /// When the counts are to be handed in, before anything else is counted.
    pub const fn due(&self) -> Instant {
        self.due
    }

    /// Takes note of the counts, if that is due.
    pub fn turn(&mut self, counts: &Counts, now: Instant) {
        if now < self.due {
            return;
        }
        // Whoever had counted after that moment would have come by here first.
        self.turns.push_back((self.due, Box::new(*counts)));
        self.due = now + limits::LATENCY_TURN;
        while let Some((since, _)) = self.turns.get(1)
            && *since + limits::LATENCY_WINDOW <= now
        {
            self.turns.pop_front();
        }
    }

    /// What was counted within about [`limits::LATENCY_WINDOW`], of the counts as they are now.
    pub fn recent(&self, counts: &Counts, now: Instant) -> Counts {
        let before = self.turns.iter().rev().find(|(since, _)| *since + limits::LATENCY_WINDOW <= now);
        let mut recent = *counts;
        if let Some((_, before)) = before {
            recent.iter_mut().zip(before.iter()).for_each(|(now, before)| *now = now.saturating_sub(*before));
        }
        recent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_upper_end() {
        for bits in [3, 6] {
            let powers = (0..64).flat_map(|p| [1_u64 << p, (1 << p) - 1, (1 << p) + 1, (1 << p) / 3 * 5]);
            for value in powers.chain([u64::MAX]) {
                let upper = upper(bits, bucket(bits, value));
                assert!(upper >= value && upper - value <= value >> bits, "{bits} {value} {upper}");
            }
        }
    }

    #[test]
    fn a_power_of_two_begins_a_bucket_so_that_coarse_bounds_are_exact() {
        for power in 4..POWERS {
            assert_eq!(upper(STEP_BITS, bucket_at(power) - 1), (1 << power) - 1);
        }
        assert_eq!(bucket_of(Duration::from_secs(3_600)), BUCKETS - 1, "the last takes the rest");
    }

    fn counted(at_us: &[u64]) -> Counts {
        let mut counts = [0; BUCKETS];
        at_us.iter().for_each(|us| counts[bucket_of(Duration::from_micros(*us))] += 1);
        counts
    }

    #[test]
    fn percentiles_are_where_they_belong() {
        let counts = counted(&(1..=100).map(|ms| ms * 1_000).collect::<Vec<_>>());
        for percent in [1, 50, 90, 99, 100] {
            let got = percentile_us(&counts, percent).expect("something is counted");
            assert!((percent * 1_000..=percent * 1_125).contains(&got), "p{percent}: {got}");
        }
        assert_eq!(percentile_us(&counted(&[]), 50), None);
        assert_eq!(percentile_us(&counted(&[7]), 1), Some(7));
    }

    /// Counts one latency at each of these seconds, as the driver does, and shows what a reader sees at `now`.
    fn seen(at: &[(u64, u64)], now: u64) -> Option<u64> {
        let second = |s: u64| Instant::from_millis(s * 1_000);
        let (mut counts, mut window) = ([0; BUCKETS], Window::new(Instant::ZERO));
        for (s, us) in at {
            window.turn(&counts, second(*s));
            counts[bucket_of(Duration::from_micros(*us))] += 1;
        }
        window.turn(&counts, second(now));
        percentile_us(&window.recent(&counts, second(now)), 100)
    }

    #[test]
    fn only_the_last_minute_counts() {
        assert_eq!(seen(&[(1, 9), (2, 3)], 30), Some(9));
        let busy: Vec<_> = (0..200).map(|s| (s, if s < 100 { 9 } else { 3 })).collect();
        assert_eq!(seen(&busy, 155), Some(9), "a second of the worse time lies within the last minute");
        assert_eq!(seen(&busy, 199), Some(3));
    }

    #[test]
    fn what_happened_before_a_long_silence_is_old() {
        assert_eq!(seen(&[(0, 9), (3, 9)], 1_000), None);
        assert_eq!(seen(&[(0, 9), (3, 9), (999, 3)], 1_000), Some(3));
    }

    #[test]
    fn memory_is_bounded() {
        let (counts, mut window) = ([0; BUCKETS], Window::new(Instant::ZERO));
        for s in 0..10_000 {
            window.turn(&counts, Instant::from_millis(s * 1_000));
        }
        assert!(window.turns.len() <= 8, "{}", window.turns.len());
    }
}
