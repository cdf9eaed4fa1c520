//! Time limits that do not count what a frozen container has lost.

use super::event::Mono;
use std::time::Duration;

/// How often one limit is extended. Where a busy machine is mistaken for a frozen container (a kernel without
/// /proc/thread-self/schedstat), this is what bounds the mistake.
const FREEZES: u8 = 8;

/// By when something must have been done. A container that is frozen (docker pause, a snapshot of its machine) does nothing
/// while clocks go on, so the limit is extended by what was lost, and by no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    pub at: Mono,
    freezes: u8,
}

impl Limit {
    pub const fn new(at: Mono) -> Self {
        Self { at, freezes: 0 }
    }

    /// The container was frozen for so long.
    pub fn frozen(&mut self, lost: Duration) {
        if self.freezes < FREEZES {
            self.freezes = self.freezes.saturating_add(1);
            self.at = self.at.after(lost);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_extended_by_what_was_lost_and_not_for_ever() {
        let second = Duration::from_secs(1);
        let mut limit = Limit::new(Mono::new(second));
        limit.frozen(second / 2);
        assert_eq!(limit.at, Mono::new(second + second / 2));
        (0..100).for_each(|_| limit.frozen(second));
        assert_eq!(limit.at, Mono::new(second + second / 2 + 7 * second));
    }
}
