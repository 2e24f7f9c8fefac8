//! Latencies, counted: 64 steps for each power of two, so that a percentile is at most 1.6 % above the truth.

use std::time::Duration;

/// Steps for each power of two.
const STEPS: u64 = 64;
/// Powers of two that [`STEPS`] stand for.
const STEP_BITS: u32 = STEPS.trailing_zeros();
/// Up to 2⁶⁴ µs.
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) * STEPS as usize;

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
        self.counts[bucket(micros)] += 1;
        self.total += 1;
        self.max = self.max.max(micros);
    }

    /// The latency that `percent` of all did not exceed; zero where there is none.
    pub(super) fn percentile(&self, percent: f64) -> Duration {
        let rank = ((self.total as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.counts.iter().position(|count| {
            seen += count;
            seen >= rank
        });
        Duration::from_micros(reached.map_or(0, upper).min(self.max))
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

fn bucket(micros: u64) -> usize {
    let power = (u64::BITS - micros.leading_zeros()).saturating_sub(STEP_BITS + 1);
    // Below 2 × STEPS every value has a bucket of its own.
    (u64::from(power) * STEPS + (micros >> power)) as usize
}

/// The highest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * STEPS {
        return bucket;
    }
    let power = bucket / STEPS - 1;
    let step = u128::from(bucket % STEPS + STEPS + 1);
    u64::try_from((step << power) - 1).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_its_bucket_and_close_to_its_upper_end() {
        let powers =
            (0..64).flat_map(|power| [1_u64 << power, (1 << power) - 1, (1 << power) + 1, (1 << power) / 3 * 5]);
        for value in powers.chain([u64::MAX]) {
            let upper = upper(bucket(value));
            assert!(upper >= value && (upper - value) as f64 <= value as f64 / STEPS as f64, "{value} {upper}");
        }
    }

    #[test]
    fn percentiles_are_where_they_belong() {
        let mut histogram = Histogram::default();
        (1..=100).for_each(|ms| histogram.record(Duration::from_millis(ms)));
        for (percent, ms) in [(50.0, 50), (90.0, 90), (99.0, 99), (100.0, 100)] {
            let got = histogram.percentile(percent).as_secs_f64() * 1e3;
            assert!((f64::from(ms)..=f64::from(ms) * 1.016).contains(&got), "p{percent}: {got}");
        }
        assert_eq!(histogram.max(), Duration::from_millis(100));
        assert_eq!(Histogram::default().percentile(50.0), Duration::ZERO);
    }
}
