//! One call of the core: its moment, the actions it gives rise to, and the dice.

use super::event::{Action, Id, Mono, Notice, Severity};
use std::time::Duration;

/// What the parts of the core pass along while one event is handled.
pub(super) struct Turn<'a> {
    pub now: Mono,
    pub dice: &'a mut Dice,
    pub actions: &'a mut Vec<Action>,
}

impl Turn<'_> {
    pub fn act(&mut self, action: Action) {
        self.actions.push(action);
    }

    pub fn tell(&mut self, severity: Severity, about: impl Into<Option<Id>>, text: impl Into<String>) {
        self.act(Action::Notice(Notice { severity, about: about.into(), text: text.into() }));
    }
}

/// Random numbers from a seed (SplitMix64): enough to spread restarts, and the same for the same seed.
#[derive(Clone, Debug)]
pub(super) struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// From 0 up to, not including, 1.
    pub fn share(&mut self) -> f64 {
        let high = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(high) / (f64::from(u32::MAX) + 1.0)
    }

    /// From zero up to `most`.
    pub fn up_to(&mut self, most: Duration) -> Duration {
        share_of(most, self.share())
    }
}

/// The part `share`, 0 to 1, of a duration. `Duration::mul_f64` would panic at the far end of time.
pub(super) fn share_of(whole: Duration, share: f64) -> Duration {
    Duration::try_from_secs_f64(whole.as_secs_f64() * share).unwrap_or(whole).min(whole)
}

/// One of `count` equal parts of a duration.
pub(super) fn part(whole: Duration, count: u32) -> Duration {
    whole.checked_div(count).unwrap_or(Duration::ZERO)
}

/// The nearer of two moments that may not exist.
pub(super) fn nearer(one: Option<Mono>, other: Option<Mono>) -> Option<Mono> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_throws_the_same_dice() {
        let mut one = Dice::new(7);
        let mut two = Dice::new(7);
        assert!((0..100).all(|_| one.next() == two.next()));
        assert_ne!(Dice::new(1).next(), Dice::new(2).next());
    }

    #[test]
    fn shares_cover_the_range_and_never_leave_it() {
        let mut dice = Dice::new(42);
        let shares: Vec<f64> = (0..10_000).map(|_| dice.share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.01) && shares.iter().any(|share| *share > 0.99));
        assert!(dice.up_to(Duration::MAX) <= Duration::MAX);
        assert_eq!(dice.up_to(Duration::ZERO), Duration::ZERO);
    }
}
