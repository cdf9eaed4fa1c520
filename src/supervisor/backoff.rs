//! How long to wait before a restart, and when there were too many.
//!
//! Failures are runs that ended before they were worth anything, whatever their exit code: a queue worker that lost
//! its database exits 0 in a loop (Laravel `Illuminate\Queue\Worker`, `EXIT_SUCCESS` on a lost connection).

use super::event::Mono;
use super::turn::{Dice, share_of};
use crate::config::plan::{Backoff, GiveUp};
use std::collections::VecDeque;
use std::time::Duration;

/// The delay after the `failures`-th failure in a row (from 1): `initial · factor^(failures−1)`, at most `max`, of
/// which the share `jitter` is random. So it lies between `(1−jitter)·delay` and `delay`.
pub(super) fn delay(backoff: &Backoff, failures: u32, dice: &mut Dice) -> Duration {
    let factor = if backoff.factor.is_finite() { backoff.factor.max(1.0) } else { 1.0 };
    let exponent = i32::try_from(failures.saturating_sub(1)).unwrap_or(i32::MAX);
    let seconds = backoff.initial.as_secs_f64() * factor.powi(exponent);
    let full = Duration::try_from_secs_f64(seconds).unwrap_or(backoff.max).min(backoff.max);
    let jitter = if backoff.jitter.is_finite() { backoff.jitter.clamp(0.0, 1.0) } else { 0.0 };
    let random = share_of(full, jitter);
    full.saturating_sub(random).saturating_add(dice.up_to(random)).max(Backoff::LEAST_DELAY)
}

/// When the failures of one instance were.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures(VecDeque<Mono>);

impl Failures {
    /// Counts a failure now. True when there were more than the limit allows within its time.
    pub fn one_more(&mut self, limit: &GiveUp, now: Mono) -> bool {
        let most = usize::try_from(limit.restarts.min(GiveUp::MOST_RESTARTS)).unwrap_or(usize::MAX);
        self.0.retain(|failure| now.since(*failure) < limit.within);
        self.0.push_back(now);
        self.0.len() > most
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::plan::Then;

    fn plan(jitter: f64) -> Backoff {
        Backoff {
            initial: Duration::from_millis(500),
            factor: 2.0,
            max: Duration::from_secs(60),
            jitter,
            reset_after: Duration::from_secs(60),
        }
    }

    #[test]
    fn delays_double_up_to_the_cap() {
        let mut dice = Dice::new(1);
        let delays: Vec<u128> = (1..=10).map(|n| delay(&plan(0.0), n, &mut dice).as_millis()).collect();
        assert_eq!(delays, [500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
        assert_eq!(delay(&plan(0.0), u32::MAX, &mut dice), Duration::from_secs(60));
    }

    #[test]
    fn jitter_only_shortens_and_never_beyond_its_share() {
        let mut dice = Dice::new(1);
        for _ in 0..1000 {
            let delay = delay(&plan(0.2), 2, &mut dice);
            assert!((800..=1000).contains(&delay.as_millis()), "{delay:?}");
        }
    }

    #[test]
    fn a_senseless_plan_still_gives_a_delay() {
        let mut dice = Dice::new(1);
        for (initial, factor, jitter) in
            [(0, 2.0, 0.0), (500, f64::NAN, f64::NAN), (500, -3.0, 9.0), (u64::MAX, f64::INFINITY, -1.0)]
        {
            let plan = Backoff { initial: Duration::from_millis(initial), factor, jitter, ..plan(0.0) };
            for failures in [0, 1, 50, u32::MAX] {
                let delay = delay(&plan, failures, &mut dice);
                assert!(delay >= Backoff::LEAST_DELAY && delay <= plan.max, "{plan:?} {failures}: {delay:?}");
            }
        }
    }

    #[test]
    fn one_failure_beyond_the_limit_within_its_time_is_too_many() {
        let limit = GiveUp { restarts: 3, within: Duration::from_secs(10), then: Then::Stay };
        let at = |seconds| Mono::new(Duration::from_secs(seconds));
        let mut failures = Failures::default();
        assert_eq!([0, 1, 2, 3].map(|t| failures.one_more(&limit, at(t))), [false, false, false, true]);
        let mut failures = Failures::default();
        assert_eq!([0, 4, 8, 12, 16].map(|t| failures.one_more(&limit, at(t))), [false; 5]);
        let never = GiveUp { restarts: 0, ..limit };
        assert!(Failures::default().one_more(&never, at(0)));
    }
}
