//! Latencies of requests: counted without a lock, shown to Prometheus in coarse steps and to a status as percentiles.
//!
//! Prometheus' own histogram costs three times as much for each request and has no percentile to show. Bounds of ours are
//! powers of four, in µs: each of them begins a bucket of the fine counts, so nothing is told twice.

use crate::lock;
use kroxy_core::{
    latency::{BUCKETS, Counts, Window, bucket_at, bucket_of, percentile_us},
    status::Quantiles,
    time::Instant,
};
use prometheus::proto;
use std::{
    array,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Powers of two of µs that are a bound for Prometheus: from 16 µs to 17 s.
const BOUNDS: [u32; 11] = [4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24];

/// How often which latency occurred, and all of them together.
#[derive(Debug)]
pub(super) struct Latencies {
    counts: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { counts: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

impl Latencies {
    pub(super) fn record(&self, latency: Duration) {
        self.counts[bucket_of(latency)].fetch_add(1, Relaxed);
        self.sum_us.fetch_add(u64::try_from(latency.as_micros()).unwrap_or(u64::MAX), Relaxed);
    }

    pub(super) fn add_to(&self, counts: &mut Counts) {
        counts.iter_mut().zip(&self.counts).for_each(|(sum, count)| *sum += count.load(Relaxed));
    }
}

/// All of these together, for Prometheus.
pub(super) fn histogram<'a>(latencies: impl Iterator<Item = &'a Latencies>) -> proto::Histogram {
    let (mut counts, mut sum_us) = ([0; BUCKETS], 0);
    for each in latencies {
        each.add_to(&mut counts);
        sum_us += each.sum_us.load(Relaxed);
    }
    let bucket = |power| {
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound((1_u64 << power) as f64 / 1e6);
        bucket.set_cumulative_count(counts[..bucket_at(power)].iter().sum());
        bucket
    };
    let mut histogram = proto::Histogram::default();
    histogram.set_bucket(BOUNDS.map(bucket).to_vec());
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum_us as f64 / 1e6);
    histogram
}

/// What `N` latencies of a virtual cluster were lately.
#[derive(Debug)]
pub(super) struct Lately<const N: usize> {
    windows: Mutex<[Window; N]>,
    /// µs of the driver's clock: when the counts are to be set aside.
    due: AtomicU64,
}

impl<const N: usize> Default for Lately<N> {
    fn default() -> Self {
        Self { windows: Mutex::new(array::from_fn(|_| Window::new(Instant::ZERO))), due: AtomicU64::new(0) }
    }
}

impl<const N: usize> Lately<N> {
    /// Sets the counts aside, if that is due. To be called before anything is counted.
    pub(super) fn turn(&self, now: Instant, counts: impl Fn() -> [Counts; N]) {
        if now.as_micros() < self.due.load(Relaxed) {
            return;
        }
        let mut windows = lock(&self.windows);
        if now.as_micros() < self.due.load(Relaxed) {
            return; // somebody else has, while we waited
        }
        for (window, counts) in windows.iter_mut().zip(&counts()) {
            window.turn(counts, now);
            self.due.store(window.due().as_micros(), Relaxed);
        }
    }

    /// Half of the latest latencies, and 99 of 100, did not exceed these.
    pub(super) fn quantiles(&self, now: Instant, counts: impl Fn() -> [Counts; N]) -> [Option<Quantiles>; N] {
        self.turn(now, &counts);
        let (windows, counts) = (lock(&self.windows), counts());
        array::from_fn(|i| {
            let recent = windows[i].recent(&counts[i], now);
            Some(Quantiles { p50_us: percentile_us(&recent, 50)?, p99_us: percentile_us(&recent, 99)? })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prometheus_is_told_how_many_lie_below_each_bound() {
        let workers = [Latencies::default(), Latencies::default()];
        for (us, latencies) in [3, 15, 16, 63, 64, 1_000, 90_000_000].into_iter().zip(workers.iter().cycle()) {
            latencies.record(Duration::from_micros(us));
        }
        let histogram = histogram(workers.iter());
        let below = |bound: f64| {
            let mut buckets = histogram.get_bucket().iter();
            buckets.find(|b| b.upper_bound() == bound).map(proto::Bucket::cumulative_count)
        };
        assert_eq!(below(0.000_016), Some(2));
        assert_eq!(below(0.000_064), Some(4));
        assert_eq!(below(0.001_024), Some(6));
        assert_eq!(below(16.777_216), Some(6));
        assert_eq!((histogram.get_sample_count(), histogram.get_sample_sum()), (7, 90.001_161));
    }
}
