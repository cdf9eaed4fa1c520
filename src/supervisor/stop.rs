//! The end of the container, under one total budget.
//!
//! ```text
//! 0 ─────────── ⅕ ──────────────── ½ ─────────────── kill ── exit ── budget
//! │ services, dependents first     │ runs and        │ KILL  │ hard │ logs are
//! │ each wave at the latest in     │ orphans: stop   │ to    │ end  │ drained,
//! │ its share of the first fifth   │ signal or TERM  │ all   │      │ init exits
//! ```
//!
//! [`Budget`] says when *kill* and *exit* are.
//!
//! A service gets its stop signal when everything that depends on it is down, but no later than its share of the first
//! fifth: a hanging worker must not take from PHP-FPM the time that its requests need. Runs are left to finish for half of the budget, since few scheduled
//! commands handle a signal and a killed one leaves its `withoutOverlapping` lock for a day (Laravel's default
//! expiry of 1440 minutes); orphans are such runs' background tasks and get the same.
//!
//! Asked once: as above. Asked again: TERM to everything now, KILL after five seconds. A third time: KILL now. A stop that a
//! failure began has not been asked for, so the first request changes nothing.

use super::budget::Budget;
use super::event::{Action, Mono, Severity};
use super::order::Order;
use super::runs::Cron;
use super::turn::{Turn, nearer, part};
use super::unit::Unit;
use super::words::Words;
use crate::config::plan::Signal;
use std::time::Duration;

/// From the second request to KILL.
const HURRY: Duration = Duration::from_secs(5);

/// A stop under way.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    begun: Mono,
    code: u8,
    requests: u8,
    kill_at: Mono,
    exit_at: Mono,
    /// Runs and orphans are told.
    soft_until: Mono,
    /// Which services are told.
    told: Vec<bool>,
    runs_told: bool,
    killed: bool,
    orphans: Orphans,
    /// The user knows that only runs are waited for.
    runs_wait_told: bool,
    /// The user knows that only orphans are waited for.
    waiting_told: bool,
}

/// What is known of the orphans.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Orphans {
    /// Something ended since they were counted, and may have left some.
    Stale,
    Asked,
    Alive(u32),
}

impl Stop {
    pub fn new(code: u8, requested: bool, budget: Duration, units: usize, turn: &mut Turn<'_>) -> Self {
        let Budget { kill_at, exit_at, .. } = Budget::new(turn.now, budget);
        turn.act(Action::CountOrphans);
        Self {
            begun: turn.now,
            code,
            requests: u8::from(requested),
            kill_at,
            exit_at,
            soft_until: turn.now.after(part(kill_at.since(turn.now), 2)),
            told: vec![false; units],
            runs_told: false,
            killed: false,
            orphans: Orphans::Asked,
            runs_wait_told: false,
            waiting_told: false,
        }
    }

    /// By when a service of this level has its signal, of `depth` levels.
    fn turn_of(&self, level: u32, depth: u32) -> Mono {
        let fifth = part(self.kill_at.since(self.begun), 5);
        let share = fifth.saturating_mul(level).checked_div(depth).unwrap_or(Duration::ZERO);
        self.begun.after(share)
    }

    /// Someone asked for it.
    pub fn requested(&mut self, units: &mut [Unit], crons: &mut [Cron], turn: &mut Turn<'_>) {
        self.requests = self.requests.saturating_add(1);
        match self.requests {
            0 | 1 => {}
            2 if !self.killed => {
                turn.tell(Severity::Warn, None, "asked to stop again: SIGTERM to everything now");
                self.end_by(turn.now.after(HURRY));
                self.told.fill(true);
                self.runs_told = true;
                units.iter_mut().for_each(|unit| unit.hurry(self.kill_at, turn));
                crons.iter_mut().for_each(|cron| cron.hurry(self.kill_at, turn));
                self.signal_orphans(Signal::TERM, turn);
            }
            3 if !self.killed => {
                turn.tell(Severity::Warn, None, "asked to stop a third time: SIGKILL to everything now");
                self.end_by(turn.now);
            }
            _ => {}
        }
    }

    fn end_by(&mut self, kill_at: Mono) {
        let reserve = self.exit_at.since(self.kill_at);
        self.kill_at = self.kill_at.min(kill_at);
        self.exit_at = self.kill_at.after(reserve);
        self.soft_until = self.soft_until.min(self.kill_at);
    }

    /// A process ended; it may have left orphans.
    pub fn ended(&mut self) {
        self.orphans = Orphans::Stale;
    }

    pub fn counted(&mut self, alive: u32) {
        self.orphans = Orphans::Alive(alive);
    }

    /// Tells whoever's turn it is, kills at the limit. The code to exit with once everything is down.
    pub fn advance(
        &mut self,
        order: &Order,
        units: &mut [Unit],
        crons: &mut [Cron],
        turn: &mut Turn<'_>,
    ) -> Option<u8> {
        if turn.now >= self.kill_at && !self.killed {
            self.kill(units, crons, turn);
        }
        self.tell_services(order, units, turn);
        if turn.now >= self.soft_until && !self.runs_told {
            self.runs_told = true;
            crons.iter_mut().for_each(|cron| cron.stop(self.kill_at, turn));
            self.signal_orphans(Signal::TERM, turn);
        }
        self.finished(units, crons, turn)
    }

    fn tell_services(&mut self, order: &Order, units: &mut [Unit], turn: &mut Turn<'_>) {
        for unit in order.starts.iter().rev().copied() {
            if self.told.get(unit).copied().unwrap_or(true) {
                continue;
            }
            let Some(node) = order.node(unit) else { continue };
            let down = |unit: &usize| units.get(*unit).is_none_or(Unit::down);
            if node.dependents.iter().all(down) || turn.now >= self.turn_of(node.level, order.depth) {
                if let Some(told) = self.told.get_mut(unit) {
                    *told = true;
                }
                if let Some(unit) = units.get_mut(unit) {
                    unit.stop(self.kill_at, turn);
                }
            }
        }
    }

    /// The shell tells whom it signals.
    fn signal_orphans(&mut self, signal: Signal, turn: &mut Turn<'_>) {
        if self.orphans != Orphans::Alive(0) {
            self.orphans = Orphans::Asked;
            turn.act(Action::SignalOrphans { signal });
        }
    }

    fn kill(&mut self, units: &mut [Unit], crons: &mut [Cron], turn: &mut Turn<'_>) {
        self.killed = true;
        self.runs_told = true;
        self.told.fill(true);
        units.iter_mut().for_each(|unit| unit.kill(turn));
        crons.iter_mut().for_each(|cron| cron.kill(turn));
        self.signal_orphans(Signal::KILL, turn);
    }

    fn finished(&mut self, units: &[Unit], crons: &[Cron], turn: &mut Turn<'_>) -> Option<u8> {
        let took = Words(turn.now.since(self.begun));
        let left = lives(units, crons);
        if left == 0 && self.orphans == Orphans::Alive(0) {
            turn.tell(Severity::Info, None, format!("everything stopped in {took}, exit code {}", self.code));
            return Some(self.code);
        }
        if turn.now >= self.exit_at {
            let text = format!(
                "not everything stopped in {took}, left behind: {}; exit code {}",
                self.left_behind(units, crons),
                self.code
            );
            turn.tell(Severity::Error, None, text);
            return Some(self.code);
        }
        self.tell_of_runs(units, crons, turn);
        if left == 0 && self.orphans == Orphans::Stale {
            // Past its TERM or KILL the rest gets it as well, or it would live on to the hard end.
            self.orphans = Orphans::Asked;
            turn.act(match (self.killed, self.runs_told) {
                (true, _) => Action::SignalOrphans { signal: Signal::KILL },
                (false, true) => Action::SignalOrphans { signal: Signal::TERM },
                (false, false) => Action::CountOrphans,
            });
        }
        if let Orphans::Alive(alive @ 1..) = self.orphans
            && left == 0
            && !self.waiting_told
        {
            self.waiting_told = true;
            let wait = Words(self.kill_at.since(turn.now));
            let text =
                format!("waiting at most {wait} for orphans ({alive}) that services and runs left behind");
            turn.tell(Severity::Info, None, text);
        }
        None
    }

    /// A run that is left to finish can hold up the stop for long, and is silent about it.
    fn tell_of_runs(&mut self, units: &[Unit], crons: &[Cron], turn: &mut Turn<'_>) {
        let last = units.iter().all(Unit::down) && crons.iter().any(|cron| !cron.runs.is_empty());
        if last && !self.runs_told && !self.runs_wait_told {
            self.runs_wait_told = true;
            let names = crons.iter().filter(|cron| !cron.runs.is_empty()).map(|cron| cron.name.as_str());
            let wait = Words(self.soft_until.since(turn.now));
            let text = format!(
                "waiting at most {wait} for cron runs to finish: {}",
                names.collect::<Vec<_>>().join(", ")
            );
            turn.tell(Severity::Info, None, text);
        }
    }

    /// What lives, by name, each service and entry once.
    fn left_behind(&self, units: &[Unit], crons: &[Cron]) -> String {
        let units = units.iter().filter(|unit| !unit.down()).map(|unit| unit.spec.name.clone());
        let crons = crons.iter().filter(|cron| !cron.runs.is_empty()).map(|cron| cron.name.clone());
        let orphans = match self.orphans {
            Orphans::Alive(alive @ 1..) => Some(format!("orphans ({alive})")),
            Orphans::Alive(0) => None,
            Orphans::Stale | Orphans::Asked => Some("perhaps orphans".to_owned()),
        };
        units.chain(crons).chain(orphans).collect::<Vec<_>>().join(", ")
    }

    /// When [`Stop::advance`] has something to do. There is always one: a stop never hangs.
    pub fn deadline(&self, order: &Order) -> Option<Mono> {
        let kill = (!self.killed).then_some(self.kill_at);
        let runs = (!self.runs_told).then_some(self.soft_until);
        let services = self.told.iter().enumerate().filter(|(_, told)| !**told).filter_map(|(unit, _)| {
            let node = order.node(unit)?;
            Some(self.turn_of(node.level, order.depth))
        });
        nearer(Some(self.exit_at), services.fold(nearer(kill, runs), |one, other| nearer(one, Some(other))))
    }
}

/// How many instances and runs have a process.
pub(super) fn lives(units: &[Unit], crons: &[Cron]) -> usize {
    let services: usize = units.iter().map(Unit::lives).sum();
    let runs: usize = crons.iter().map(|cron| cron.runs.len()).sum();
    services.saturating_add(runs)
}
