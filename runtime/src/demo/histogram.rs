//! Latencies, counted: 64 steps for each power of two, so that a percentile is at most 1.6 % above the truth.

use kroxy_core::latency::{bucket, percentile, upper};
use std::time::Duration;

/// Steps for each power of two, as a power of two.
const STEP_BITS: u32 = 6;
/// Up to 2⁶⁴ µs.
const BUCKETS: usize = bucket(STEP_BITS, u64::MAX) + 1;

/// How often which latency occurred, in µs.
#[derive(Clone, Debug)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.counts[bucket(STEP_BITS, micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The latency that `percent` of all did not exceed; zero where there is none.
    pub(super) fn percentile(&self, percent: u64) -> Duration {
        let reached = percentile(&self.counts, percent).map_or(0, |bucket| upper(STEP_BITS, bucket));
        Duration::from_micros(reached.min(self.max))
    }

    pub(super) fn max(&self) -> Duration {
        Duration::from_micros(self.max)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        (self.total, self.max) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_where_they_belong() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        for (percent, ms) in [(50, 50), (90, 90), (99, 99), (100, 100)] {
            let got = histogram.percentile(percent).as_secs_f64() * 1e3;
            assert!((f64::from(ms)..=f64::from(ms) * 1.016).contains(&got), "p{percent}: {got}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(100));
        assert_eq!(Histogram::default().percentile(50), Duration::ZERO);
    }
}
