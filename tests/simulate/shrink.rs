//! Makes a failing history smaller: whatever can go, goes, as long as the same invariant breaks, and no later.

use crate::case::{Case, Step};
use crate::history::{Outcome, live};
use crate::invariants::Invariant;
use crate::plans::{cron, secs, service};
use crate::process::ODDITIES;
use crate::subject::Core;
use php_init::config::plan::ServicePlan;
use php_init::supervisor::{Id, Supervisor};
use std::time::Duration;

/// Histories that are tried at most.
const TRIES: u32 = 20_000;

struct Shrinker<C> {
    case: Case,
    make: fn(Supervisor) -> C,
    invariant: Invariant,
    tries: u32,
    /// Until it breaks.
    last: Outcome,
}

/// The smallest that was found.
pub fn shrink<C: Core>(case: Case, make: fn(Supervisor) -> C, invariant: Invariant) -> Case {
    let last = live(&case, make, false);
    let mut shrinker = Shrinker { case, make, invariant, tries: 0, last };
    while shrinker.pass() && shrinker.tries < TRIES {}
    shrinker.case
}

impl<C: Core> Shrinker<C> {
    /// Keeps the change if the same invariant breaks with it, no later than before.
    fn attempt(&mut self, change: impl FnOnce(&mut Case)) -> bool {
        self.attempt_below(self.last.events.saturating_add(1), change)
    }

    fn attempt_below(&mut self, events: u64, change: impl FnOnce(&mut Case)) -> bool {
        let mut smaller = self.case.clone();
        change(&mut smaller);
        self.tries += 1;
        let outcome = live(&smaller, self.make, false);
        let breaks = outcome.broken.as_ref().is_some_and(|(broken, _)| *broken == self.invariant);
        let kept = breaks && outcome.events < events;
        if kept {
            (self.case, self.last) = (smaller, outcome);
        }
        kept
    }

    /// Other dice, when it breaks earlier with them.
    fn dice(&mut self) -> bool {
        (0..100).fold(false, |any, seed| any | self.attempt_below(self.last.events, |case| case.seed = seed))
    }

    /// Starts lose their oddities.
    fn starts(&mut self) -> bool {
        let starts: Vec<(Id, u32)> = self.last.starts.iter().map(|(id, count)| (*id, *count)).collect();
        let all =
            starts.into_iter().flat_map(|(id, count)| (1..=count.min(20)).map(move |start| (id, start)));
        let mut any = false;
        for start in all {
            any |= !self.case.plain.contains(&start) && self.attempt(|case| case.plain.extend([start]));
        }
        any
    }

    /// True when anything could go.
    fn pass(&mut self) -> bool {
        let mut any = self.steps();
        for unit in (0..u16::try_from(self.case.services.len()).unwrap_or(0)).rev() {
            any |= self.attempt(|case| case.remove(unit));
        }
        for unit in (0..self.case.crons.len()).rev() {
            any |= self.attempt(|case| drop(case.crons.remove(unit)));
        }
        for bit in (0..ODDITIES).filter(|bit| self.case.odd & (1 << bit) != 0).collect::<Vec<_>>() {
            any |= self.attempt(|case| case.odd &= !(1 << bit));
        }
        any |= self.starts() | self.dice();
        if self.case.logs {
            any |= self.attempt(|case| case.logs = false);
        }
        if self.case.sigchld_lag > Duration::ZERO {
            any |= self.attempt(|case| case.sigchld_lag = Duration::ZERO);
        }
        for unit in 0..self.case.services.len() {
            any |= self.values(unit);
        }
        for unit in 0..self.case.crons.len() {
            let plain = cron(&self.case.crons[unit].name);
            if self.case.crons[unit] != plain {
                any |= self.attempt(|case| case.crons[unit] = plain);
            }
        }
        any
    }

    fn steps(&mut self) -> bool {
        let mut any = false;
        let mut size = self.case.steps.len();
        while size > 0 {
            let mut at = 0;
            while at + size <= self.case.steps.len() {
                if self.attempt(|case| drop(case.steps.drain(at..at + size))) {
                    any = true;
                } else {
                    at += size;
                }
            }
            size /= 2;
        }
        for at in 0..self.case.steps.len() {
            let wait = self.case.steps[at].0;
            for simpler in [Duration::ZERO, secs(1), secs(wait.as_secs())] {
                if simpler < wait && self.attempt(|case| case.steps[at].0 = simpler) {
                    any = true;
                    break;
                }
            }
            if matches!(self.case.steps[at].1, Step::Replan(_)) {
                for dice in 0..64 {
                    any |= self.attempt_below(self.last.events, |case| case.steps[at].1 = Step::Replan(dice));
                }
            }
        }
        any
    }

    /// The values of a service's plan become those of a plain one.
    fn values(&mut self, unit: usize) -> bool {
        let plain = service(&self.case.services[unit].name);
        if self.case.services[unit] == plain {
            return false;
        }
        if self.attempt(|case| case.services[unit] = plain.clone()) {
            return true;
        }
        type Value = fn(&mut ServicePlan, ServicePlan);
        let values: [Value; 14] = [
            |plan, plain| plan.instances = plain.instances,
            |plan, plain| plan.after = plain.after,
            |plan, plain| plan.requires = plain.requires,
            |plan, plain| plan.ready = plain.ready,
            |plan, plain| plan.live = plain.live,
            |plan, plain| plan.give_up = plain.give_up,
            |plan, plain| plan.stagger = plain.stagger,
            |plan, plain| plan.start_grace = plain.start_grace,
            |plan, plain| plan.backoff = plain.backoff,
            |plan, plain| plan.restart = plain.restart,
            |plan, plain| plan.essential = plain.essential,
            |plan, plain| (plan.stop_signal, plan.stop_scope) = (plain.stop_signal, plain.stop_scope),
            |plan, plain| {
                (plan.stop_timeout, plan.reload_timeout) = (plain.stop_timeout, plain.reload_timeout)
            },
            |plan, plain| {
                (plan.pause_signal, plan.resume_signal) = (plain.pause_signal, plain.resume_signal);
                (plan.reload_signal, plan.command) = (plain.reload_signal, plain.command);
            },
        ];
        let mut any = false;
        for value in values {
            let mut simpler = self.case.services[unit].clone();
            value(&mut simpler, plain.clone());
            if simpler != self.case.services[unit] {
                any |= self.attempt(|case| case.services[unit] = simpler);
            }
        }
        any
    }
}
