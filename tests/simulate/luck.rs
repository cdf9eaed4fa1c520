//! Random numbers from a seed.

use std::time::Duration;

/// SplitMix64: the same for the same seed, for ever.
#[derive(Clone, Debug)]
pub struct Luck(u64);

impl Luck {
    pub const fn new(seed: u64) -> Self {
        Self(seed ^ 0x5EED_5EED_5EED_5EED)
    }

    /// Of one thing out of many: the same whatever became of the others.
    pub fn of(seed: u64, words: [u64; 4]) -> Self {
        let mix = |luck: u64, word: u64| Self(luck ^ word.wrapping_mul(0xD6E8_FEB8_6659_FD93)).next();
        Self(words.into_iter().fold(seed, mix))
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    pub fn small(&mut self, end: u16) -> u16 {
        u16::try_from(self.below(u64::from(end))).unwrap_or(0)
    }

    pub fn index(&mut self, end: usize) -> usize {
        usize::try_from(self.below(end as u64)).unwrap_or(0)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())].clone()
    }

    /// Mostly short, sometimes very long, now and then nothing.
    pub fn span(&mut self) -> Duration {
        let scale = self.pick(&[0, 1, 50, 1000, 10_000, 100_000, 5_000_000]);
        Duration::from_millis(self.below(scale + 1))
    }
}
