//! When a failed virtual cluster is tried again.

use core::time::Duration;

use crate::seed::SplitMix64;

/// How often and how fast a failed virtual cluster is built again by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryPolicy {
    /// How often; `None` is for ever.
    pub max_retries: Option<u32>,
    /// The pause before the first retry. Each further one doubles it.
    pub initial: Duration,
    /// The longest pause.
    pub cap: Duration,
}

impl RetryPolicy {
    /// The pause before the retry that follows `made` others, or `None` when there were enough.
    ///
    /// Half of it is fixed and half is drawn, so that clusters that failed together for one reason do not come back
    /// together, and yet none comes back at once.
    pub(super) fn pause(&self, made: u32, random: &mut SplitMix64) -> Option<Duration> {
        if self.max_retries.is_some_and(|max| made >= max) {
            return None;
        }
        let whole = self.initial.saturating_mul(1_u32.checked_shl(made).unwrap_or(u32::MAX)).min(self.cap);
        let half = whole / 2;
        let drawn = random.below(u64::try_from(half.as_micros()).unwrap_or(u64::MAX));
        Some(whole - half + Duration::from_micros(drawn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_cap_and_half_of_each_is_drawn() {
        let policy =
            RetryPolicy { max_retries: None, initial: Duration::from_millis(500), cap: Duration::from_secs(30) };
        let mut random = SplitMix64::new(1);
        let wholes = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000];
        for (made, whole) in (0..).zip(wholes).chain([(u32::MAX, 30_000)]) {
            let pause = policy.pause(made, &mut random).expect("no end");
            let whole = Duration::from_millis(whole);
            assert!(pause >= whole / 2 && pause <= whole, "retry {made}: {pause:?} of {whole:?}");
        }
    }

    #[test]
    fn retries_end_where_they_are_counted() {
        let policy =
            RetryPolicy { max_retries: Some(2), initial: Duration::from_millis(1), cap: Duration::from_secs(1) };
        let mut random = SplitMix64::new(1);
        assert!(policy.pause(1, &mut random).is_some());
        assert_eq!(policy.pause(2, &mut random), None);
    }
}
