//! How long to wait before the next attempt: full jitter under a growing ceiling. PURE.
//!
//! Full jitter (AWS Architecture Blog, "Exponential Backoff and Jitter") because a deployment starts many tasks in
//! the same second, which would otherwise all come back in the same instant.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const MOST: Duration = Duration::from_secs(3);
/// With less left there is no time for another attempt.
const USELESS: Duration = Duration::from_millis(50);

/// The delay after the `attempts`-th attempt, with `remaining` until the deadline and `random` from the caller; `None`:
/// give up.
pub fn delay(attempts: u32, remaining: Duration, random: u64) -> Option<Duration> {
    if remaining < USELESS {
        return None;
    }
    let ceiling = FIRST.saturating_mul(1 << attempts.saturating_sub(1).min(10)).min(MOST);
    let share = (random >> 11) as f64 / (1_u64 << 53) as f64;
    // Half of what is left at most, so that the last attempt has as long as the wait for it.
    Some(ceiling.mul_f64(share).min(remaining / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_to_a_ceiling_and_leave_time() {
        let long = Duration::from_secs(60);
        assert_eq!(delay(1, long, 0), Some(Duration::ZERO));
        for (attempts, ceiling) in [(1, 100), (2, 200), (3, 400), (6, 3000), (50, 3000)] {
            let most = delay(attempts, long, u64::MAX).unwrap();
            let ceiling = Duration::from_millis(ceiling);
            assert!(most <= ceiling && most > ceiling.mul_f64(0.99), "{attempts}: {most:?}");
        }
        assert_eq!(delay(9, Duration::from_secs(1), u64::MAX), Some(Duration::from_millis(500)));
        assert_eq!(delay(1, Duration::from_millis(49), 0), None);
    }
}
