//! Chance: one seeded generator, so that a seed makes the same case again.

use kroxy_core::seed::SplitMix64;

/// Draws numbers.
#[derive(Clone, Debug)]
pub struct Dice(SplitMix64);

impl Dice {
    /// The same seed draws the same.
    pub const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// One of 0 to `bound` − 1; 0 where `bound` is 0.
    #[expect(clippy::cast_possible_truncation, reason = "it is below a usize")]
    pub const fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound as u64) as usize
    }

    /// True so many times in 100.
    pub const fn percent(&mut self, times: usize) -> bool {
        self.below(100) < times
    }

    /// One of these.
    ///
    /// # Panics
    /// When there is none.
    pub fn one_of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    /// Any byte.
    pub const fn byte(&mut self) -> u8 {
        self.0.next_u64().to_le_bytes()[0]
    }

    /// So many bytes of any kind.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}
