//! How often something may happen: so many times a second on the average, and a second's worth at once.

use crate::time::Instant;
use core::time::Duration;

/// What may happen at once after a pause is what may happen in so long.
const BURST: Duration = Duration::from_secs(1);

/// A token bucket. How fast it fills is told at each question, since that may change while it is in use; so it can be full and
/// nobody needs to have set a rate.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Bucket {
    /// When all tokens are back, if none is taken.
    full_at: Instant,
}

impl Bucket {
    /// Takes one where there is one, with so many a second; otherwise it says when there will be.
    pub fn try_take(&mut self, per_second: u32, now: Instant) -> Result<(), Instant> {
        match self.ready_at(per_second, now) {
            Some(later) => Err(later),
            None => {
                self.take(1, per_second, now);
                Ok(())
            }
        }
    }

    /// When the next one can be taken, unless that is now.
    pub fn ready_at(&self, per_second: u32, now: Instant) -> Option<Instant> {
        self.over(self.full_at.max(now) + cost(1, per_second), now)
    }

    /// Takes so many, whether they are there or not; where they were not, it says when the debt is paid.
    pub fn take(&mut self, tokens: u64, per_second: u32, now: Instant) -> Option<Instant> {
        self.full_at = self.full_at.max(now) + cost(tokens, per_second);
        self.over(self.full_at, now)
    }

    /// Whether nobody has taken any for so long that it is as good as new.
    pub fn is_full(&self, now: Instant) -> bool {
        self.full_at <= now
    }

    /// When a bucket that is full at `full_at` is no longer below empty, unless it is above.
    fn over(&self, full_at: Instant, now: Instant) -> Option<Instant> {
        let late = full_at.since(now).checked_sub(BURST).filter(|late| !late.is_zero())?;
        Some(now + late)
    }
}

/// How long it takes until so many tokens are back.
fn cost(tokens: u64, per_second: u32) -> Duration {
    Duration::from_micros(tokens.saturating_mul(1_000_000) / u64::from(per_second.max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const fn at(ms: u64) -> Instant {
        Instant::from_millis(ms)
    }

    #[test]
    fn a_seconds_worth_goes_at_once_and_the_rest_at_the_rate() {
        let mut bucket = Bucket::default();
        for _ in 0..10 {
            assert_eq!(bucket.try_take(10, at(5_000)), Ok(()));
        }
        assert_eq!(bucket.try_take(10, at(5_000)), Err(at(5_100)));
        assert_eq!(bucket.try_take(10, at(5_099)), Err(at(5_100)));
        assert_eq!(bucket.try_take(10, at(5_100)), Ok(()));
        assert!(!bucket.is_full(at(6_099)) && bucket.is_full(at(6_100)));
    }

    #[test]
    fn who_takes_more_than_there_is_waits_until_it_is_paid() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.take(10, 10, at(0)), None);
        assert_eq!(bucket.take(5, 10, at(0)), Some(at(500)));
        assert_eq!(bucket.ready_at(10, at(500)), Some(at(600)));
        assert_eq!(bucket.ready_at(10, at(600)), None);
    }

    proptest! {
        #[test]
        fn in_no_stretch_of_time_is_more_taken_than_the_rate_and_one_burst(rate in 1_u32..2_000, steps in prop::collection::vec(0_u64..400, 1..300)) {
            let (mut bucket, mut now, mut taken) = (Bucket::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if bucket.try_take(rate, at(now)).is_ok() {
                    taken.push(now);
                }
            }
            for (n, from) in taken.iter().enumerate() {
                for (m, to) in taken.iter().enumerate().skip(n) {
                    let most = u64::from(rate) * (1_000 + to - from) / 1_000 + 1;
                    prop_assert!((m - n + 1) as u64 <= most, "{} from {from} to {to} ms", m - n + 1);
                }
            }
        }

        #[test]
        fn whoever_waits_as_long_as_told_gets_one(rate in 1_u32..1_000_000, tokens in 0_u64..10_000) {
            let mut bucket = Bucket::default();
            bucket.take(tokens, rate, at(0));
            let ready = bucket.ready_at(rate, at(0)).unwrap_or(at(0));
            prop_assert_eq!(bucket.try_take(rate, ready), Ok(()));
        }
    }
}
