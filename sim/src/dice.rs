//! Chance: one seeded generator, so that a seed replays a run.

use kroxy_core::seed::SplitMix64;
use std::ops::RangeInclusive;

/// Draws numbers.
#[derive(Clone, Debug)]
pub(crate) struct Dice(SplitMix64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A seed for something that draws on its own, so that what it draws shifts nothing here.
    pub(crate) const fn seed(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Fills with bytes, each as likely.
    pub(crate) fn fill(&mut self, bytes: &mut [u8]) {
        bytes.chunks_mut(8).for_each(|part| part.copy_from_slice(&self.0.next_u64().to_be_bytes()[..part.len()]));
    }

    /// A number of the range, each as likely.
    pub(crate) fn between(&mut self, range: RangeInclusive<u64>) -> u64 {
        let span = range.end().saturating_sub(*range.start()).saturating_add(1);
        range.start() + self.0.below(span)
    }

    /// True so many times in 1000.
    pub(crate) const fn per_mille(&mut self, times: u16) -> bool {
        times > 0 && self.0.below(1000) < times as u64
    }
}
