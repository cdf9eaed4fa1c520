//! PURE: when the task is protected from a scale-in, and when not any more.
//!
//! ECS limits how often it may be told, so a quick job asks for nothing, and after a longer one the protection stays
//! until there has been none for a while. It is given for `MINUTES` and renewed, so that an init that cannot end it
//! does not hold the task for long.

use crate::supervisor::Mono;
use std::time::Duration;

/// A job that takes less is over before a scale-in could reach its container.
const WORTH: Duration = Duration::from_secs(1);
/// For how long a protection is asked for.
const MINUTES: u32 = 15;
const LASTS: Duration = Duration::from_secs(15 * 60);
/// Half of it is left then, for agents that fail for a while.
const RENEW: Duration = Duration::from_secs(7 * 60 + 30);
/// The pause after the first failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(5 * 60);

/// What the agent is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    Protect { minutes: u32 },
    Release,
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Ask, then tell [`Guard::answered`].
    Ask(Ask),
    /// Look again then, or when a job begins or ends.
    Wait(Option<Mono>),
}

#[derive(Debug)]
pub struct Guard {
    release_after: Duration,
    /// When the protection that ECS last agreed to began.
    protected: Option<Mono>,
    idle_since: Option<Mono>,
    failures: u32,
    not_before: Mono,
    stopping: bool,
}

impl Guard {
    /// The protection is lifted after nothing was at a job for `release_after`.
    pub fn new(release_after: Duration) -> Self {
        Self {
            release_after,
            protected: None,
            idle_since: None,
            failures: 0,
            not_before: Mono::default(),
            stopping: false,
        }
    }

    /// The container stops: nothing is protected anew, and what is protected is released as soon as it is idle.
    pub fn stop(&mut self) {
        self.stopping = true;
        self.not_before = Mono::default();
    }

    pub fn is_protected(&self) -> bool {
        self.protected.is_some()
    }

    /// What to do while the oldest job has been going on since `busy`.
    pub fn step(&mut self, busy: Option<Mono>, now: Mono) -> Step {
        self.idle_since = match busy {
            Some(_) => None,
            None => Some(self.idle_since.unwrap_or(now)),
        };
        if self.protected.is_some_and(|since| now.since(since) >= LASTS) {
            // It has ended by itself.
            self.protected = None;
        }
        let (wanted, at) = match (self.protected, busy) {
            (None, None) => return Step::Wait(None),
            (None, Some(_)) if self.stopping => return Step::Wait(None),
            (None, Some(began)) => (Ask::Protect { minutes: MINUTES }, began.after(WORTH)),
            (Some(since), Some(_)) => (Ask::Protect { minutes: MINUTES }, since.after(RENEW)),
            (Some(since), None) => {
                let stays = if self.stopping { Duration::ZERO } else { self.release_after };
                let release = self.idle_since.unwrap_or(now).after(stays);
                let renew = since.after(RENEW);
                if release <= renew {
                    (Ask::Release, release)
                } else {
                    (Ask::Protect { minutes: MINUTES }, renew)
                }
            }
        };
        let at = at.max(self.not_before);
        if at <= now { Step::Ask(wanted) } else { Step::Wait(Some(at)) }
    }

    /// The agent's answer to what was asked at `asked`.
    pub fn answered(&mut self, ask: Ask, ok: bool, asked: Mono, now: Mono) {
        if ok {
            self.failures = 0;
            self.not_before = Mono::default();
            self.protected = matches!(ask, Ask::Protect { .. }).then_some(asked);
            return;
        }
        let pause = FIRST_PAUSE.saturating_mul(1 << self.failures.min(10)).min(LONGEST_PAUSE);
        self.failures = self.failures.saturating_add(1);
        self.not_before = now.after(pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::new(Duration::from_secs(seconds))
    }

    const PROTECT: Step = Step::Ask(Ask::Protect { minutes: MINUTES });
    const RELEASE: Step = Step::Ask(Ask::Release);

    fn guard() -> Guard {
        Guard::new(Duration::from_secs(60))
    }

    fn ok(guard: &mut Guard, step: Step, now: Mono) {
        let Step::Ask(ask) = step else { panic!("{step:?}") };
        guard.answered(ask, true, now, now);
    }

    fn protected(now: Mono) -> Guard {
        let mut guard = guard();
        ok(&mut guard, PROTECT, now);
        guard
    }

    #[test]
    fn quick_jobs_ask_for_nothing() {
        let mut guard = guard();
        for job in 0..100 {
            assert_eq!(guard.step(Some(at(job)), at(job)), Step::Wait(Some(at(job + 1))));
            assert_eq!(guard.step(None, at(job)), Step::Wait(None));
        }
    }

    #[test]
    fn a_long_job_is_protected_renewed_and_released_once_it_is_idle() {
        let mut guard = guard();
        let began = Some(at(10));
        assert_eq!(guard.step(began, at(10)), Step::Wait(Some(at(11))));
        let step = guard.step(began, at(11));
        assert_eq!(step, PROTECT);
        ok(&mut guard, step, at(11));
        assert_eq!(guard.step(began, at(12)), Step::Wait(Some(at(11 + 450))));
        let step = guard.step(began, at(461));
        assert_eq!(step, PROTECT);
        ok(&mut guard, step, at(461));
        // It ends; another one begins before the minute is over, and then none.
        assert_eq!(guard.step(None, at(500)), Step::Wait(Some(at(560))));
        assert_eq!(guard.step(Some(at(559)), at(559)), Step::Wait(Some(at(461 + 450))));
        assert_eq!(guard.step(None, at(600)), Step::Wait(Some(at(660))));
        assert_eq!(guard.step(None, at(660)), RELEASE);
        ok(&mut guard, RELEASE, at(660));
        assert_eq!(guard.step(None, at(661)), Step::Wait(None), "idle is without a timer");
    }

    #[test]
    fn failures_are_tried_again_ever_more_slowly_and_the_stop_does_not_wait_for_that() {
        let mut guard = guard();
        let began = Some(at(0));
        let mut now = at(1);
        for pause in [5, 10, 20, 40, 80, 160, 300, 300] {
            let Step::Ask(ask) = guard.step(began, now) else { panic!("{guard:?}") };
            guard.answered(ask, false, now, now);
            now = now.after(Duration::from_secs(pause));
            assert_eq!(guard.step(began, at(1)), Step::Wait(Some(now)));
        }
        ok(&mut guard, PROTECT, now);
        guard.answered(Ask::Release, false, now, now);
        guard.stop();
        assert_eq!(guard.step(None, now), RELEASE);
    }

    #[test]
    fn a_stop_keeps_the_protection_of_a_job_in_flight_and_gives_none() {
        let mut guard = protected(at(0));
        guard.stop();
        assert_eq!(guard.step(Some(at(0)), at(1)), Step::Wait(Some(at(450))));
        assert_eq!(guard.step(None, at(2)), RELEASE);
        ok(&mut guard, RELEASE, at(2));
        assert_eq!(guard.step(Some(at(3)), at(9)), Step::Wait(None));
    }

    #[test]
    fn what_ecs_let_go_is_not_taken_for_protected() {
        let mut guard = protected(at(0));
        for now in [450, 480, 899] {
            guard.answered(Ask::Protect { minutes: MINUTES }, false, at(now), at(now));
        }
        assert!(guard.is_protected());
        assert_eq!(guard.step(None, at(900)), Step::Wait(None));
        assert!(!guard.is_protected());
    }

    #[test]
    fn a_release_that_is_far_away_does_not_let_the_protection_lapse() {
        let mut guard = Guard::new(Duration::from_secs(3600));
        ok(&mut guard, PROTECT, at(0));
        assert_eq!(guard.step(None, at(1)), Step::Wait(Some(at(450))));
        assert_eq!(guard.step(None, at(450)), PROTECT);
    }
}
