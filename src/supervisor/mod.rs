//! PURE: what every service and cron run should do next.
//!
//! Events in, actions out, one deadline. No clock, no processes, no I/O: the shell ([`crate::runtime`]) carries out
//! the actions and reports what became of them, so a day of a container's life runs in a test in milliseconds.
//!
//! | file | what |
//! |---|---|
//! | [`event`] | the contract with the shell |
//! | `spec` | the names of the states, and what the core needs of a service's plan |
//! | `service` | what each event makes of an instance: its states, its restart policy, probes, requests |
//! | `unit`, `roll` | a service: staggered starts, rolling reload |
//! | `process` | a process and its group, from the request to the last leftover; shared with runs |
//! | `runs` | cron entries: overlap, jitter, timeouts |
//! | `order` | who waits for whom |
//! | `asks` | what people ask for: start, stop, restart, signal, run, pause |
//! | `replan` | another plan in the place of this one |
//! | `judge` | when the container ends because of its services |
//! | `stop`, `budget` | the end of the container, under one budget; how that is shared out |
//! | `limit` | time limits, which a frozen container does not use up |
//! | `backoff`, `reason`, `causes`, `words`, `turn` | delays, endings in words, counted by cause, durations in words, the dice |
//! | [`status`] | what a user is shown |
//!
//! Decisions that no other page tells:
//!
//! - A service is *up* for those that wait for it when one of its instances is RUNNING: four workers of which one
//!   crashes are a service that works. A start waits, a restart after a failure does not.
//! - `after` stops waiting when the other can never be up. `requires` makes the dependent FATAL then, unless the
//!   other is a one-shot that ended well.
//! - An essential service ends the container when none of its instances is left; `give-up` with `then = "exit"`, and
//!   only that, does so for a single instance.
//! - When nothing is up or to be restarted and there is no cron entry, the container stops by itself, with
//!   the code of the first failure.
//! - What somebody stopped has not failed: nobody waits for it, nobody fails with it, and the container goes on without
//!   it, even when nothing else is left.
//! - A run of `schedule:run` succeeds often; only an entry due less than every ten minutes tells of success at info level.
//!
//! `transitions.snap` beside this file shows every state and event with what they lead to; a test keeps it fresh.

#![forbid(unsafe_code)]
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::unreachable))]

mod asks;
mod backoff;
mod budget;
mod causes;
pub mod event;
mod judge;
mod limit;
mod order;
mod process;
mod reason;
mod replan;
mod roll;
mod runs;
mod service;
mod spec;
pub mod status;
mod stop;
#[cfg(test)]
mod tests;
mod turn;
mod unit;
pub mod words;

pub use budget::Budget;
pub use event::{Action, Event, ExitStatus, Id, Mono, Notice, Replan, Severity, SpawnFault, Target, Verb};
pub use limit::Limit;
pub use spec::{State, Want};

use crate::config::plan::{CronPlan, ServicePlan};
use order::Order;
use runs::Cron;
use service::Instance;
use spec::Spec;
use std::time::Duration;
use stop::Stop;
use turn::{Dice, Turn, nearer};
use unit::{Gate, Health, Unit};

/// How often one event may lead to the next without time passing. A chain is a stop, a kill, a restart: three.
const ROUNDS: usize = 8;

/// The state of everything that init supervises.
///
/// ```
/// use php_init::supervisor::{Action, Event, Mono, Supervisor};
/// use std::time::Duration;
///
/// // Nothing to supervise: it stops by itself, as soon as the shell has counted no orphans.
/// let mut core = Supervisor::new(&[], &[], Duration::from_secs(25), 1);
/// assert!(core.handle(Event::Boot, Mono::default()).contains(&Action::CountOrphans));
/// let actions = core.handle(Event::Orphans { alive: 0 }, Mono::default());
/// assert_eq!(actions.last(), Some(&Action::Exit { code: 0 }));
/// assert_eq!(core.next_deadline(), None);
/// ```
#[derive(Clone, Debug)]
pub struct Supervisor {
    units: Vec<Unit>,
    crons: Vec<Cron>,
    order: Order,
    budget: Duration,
    dice: Dice,
    phase: Phase,
    paused: bool,
    stop: Option<Stop>,
    /// The code of the first service that failed for good.
    first_failure: Option<u8>,
    now: Mono,
    deadline: Option<Mono>,
}

/// What an [`Id`] names: an instance with what its plan says, or a run of an entry.
enum Found<'a> {
    Instance(&'a Spec, &'a mut Instance),
    Run(&'a mut Cron, u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Booting,
    Up,
    Stopping,
    Over,
}

impl Supervisor {
    /// Supervises the services and cron entries of a plan, all of them down until [`Event::Boot`].
    ///
    /// `stop_timeout` is the budget of a stop from the request to init's own exit. `seed` decides jitter and nothing else.
    pub fn new(services: &[ServicePlan], crons: &[CronPlan], stop_timeout: Duration, seed: u64) -> Self {
        let units = services.iter().enumerate();
        let entries = crons.iter().enumerate();
        Self {
            units: units
                .map(|(unit, plan)| {
                    Unit::new(index(unit), Spec::new(plan, stop_timeout), plan.instances.max(1))
                })
                .collect(),
            crons: entries.map(|(unit, plan)| Cron::new(index(unit), plan)).collect(),
            order: Order::new(services, |_| false),
            budget: stop_timeout,
            dice: Dice::new(seed),
            phase: Phase::Booting,
            paused: false,
            stop: None,
            first_failure: None,
            now: Mono::default(),
            deadline: None,
        }
    }

    /// Takes in what happened and says what to do about it. Never blocks and never fails: an event that makes no
    /// sense now (an unknown id, news of a process that is gone) changes nothing. After [`Action::Exit`] there is
    /// no further action.
    pub fn handle(&mut self, event: Event, now: Mono) -> Vec<Action> {
        let mut actions = Vec::new();
        self.handle_all([event], now, &mut actions);
        actions
    }

    /// As [`Supervisor::handle`], of all that happened until now in this order, adding to a list that the caller uses again.
    /// Every unit is looked at once: told one by one, a thousand starts would look a thousand times at a thousand units.
    pub fn handle_all(
        &mut self,
        events: impl IntoIterator<Item = Event>,
        now: Mono,
        actions: &mut Vec<Action>,
    ) {
        self.turn(now, actions, |core, turn| events.into_iter().for_each(|event| core.take(event, turn)));
    }

    /// Takes in what `take` does, then does all that it made possible.
    fn turn(&mut self, now: Mono, actions: &mut Vec<Action>, take: impl FnOnce(&mut Self, &mut Turn<'_>)) {
        // A monotonic clock does not go back; should the shell's do so, deadlines must not be met twice.
        self.now = self.now.max(now);
        let mut dice = self.dice.clone();
        let mut turn = Turn { now: self.now, dice: &mut dice, actions };
        if self.phase != Phase::Over {
            take(self, &mut turn);
        }
        for _ in 0..ROUNDS {
            if self.phase != Phase::Over {
                self.settle(&mut turn);
            }
            self.deadline = self.find_deadline();
            if self.deadline.is_none_or(|deadline| deadline > self.now) {
                break;
            }
        }
        self.dice = dice;
    }

    /// When the shell must send [`Event::Deadline`] at the latest; `None`: only events matter.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.deadline
    }

    /// A stop is under way or complete.
    pub fn is_stopping(&self) -> bool {
        matches!(self.phase, Phase::Stopping | Phase::Over)
    }

    fn take(&mut self, event: Event, turn: &mut Turn<'_>) {
        match event {
            Event::Boot if self.phase == Phase::Booting => {
                self.phase = Phase::Up;
                self.units.iter_mut().for_each(Unit::boot);
            }
            Event::Boot | Event::Deadline => {}
            Event::Frozen { lost } => {
                self.units.iter_mut().for_each(|unit| unit.frozen(lost, turn));
                self.crons.iter_mut().for_each(|cron| cron.frozen(lost));
            }
            Event::Spawned { id, pid } => match self.find(id) {
                Some(Found::Instance(spec, instance)) => instance.spawned(spec, pid, turn),
                Some(Found::Run(cron, run)) => cron.spawned(run, pid, turn),
                None => {}
            },
            Event::SpawnFailed { id, fault } => match self.find(id) {
                Some(Found::Instance(spec, instance)) => instance.spawn_failed(spec, fault, turn),
                Some(Found::Run(cron, run)) => cron.spawn_failed(run, fault, turn),
                None => {}
            },
            Event::Exited { id, status, oom, leftovers } => {
                match self.find(id) {
                    Some(Found::Instance(spec, instance)) => {
                        instance.exited(spec, status, oom, leftovers, turn);
                    }
                    Some(Found::Run(cron, run)) => cron.exited(run, status, oom, leftovers, turn),
                    None => {}
                }
                self.stop.iter_mut().for_each(Stop::ended);
            }
            Event::GroupEmpty { id } => {
                match self.find(id) {
                    Some(Found::Instance(spec, instance)) => instance.group_empty(spec, turn),
                    Some(Found::Run(cron, run)) => cron.group_empty(run),
                    None => {}
                }
                self.stop.iter_mut().for_each(Stop::ended);
            }
            Event::Probe { id, ok } => {
                if let Some(Found::Instance(spec, instance)) = self.find(id) {
                    instance.probe(spec, ok, turn);
                }
            }
            Event::Live { id, ok, why } => {
                if let Some(Found::Instance(spec, instance)) = self.find(id) {
                    instance.live(spec, ok, why.as_deref(), turn);
                }
            }
            Event::Ask { target, verb } => self.asked(target, verb, turn),
            Event::RunNow { unit } => self.run_now(unit, turn),
            Event::Pause => self.pause(turn),
            Event::Resume => self.resume(turn),
            Event::CronDue { unit } => self.due(unit, turn),
            Event::Stop => self.asked_to_stop(turn),
            Event::Reload if self.phase == Phase::Up => {
                self.units.iter_mut().for_each(|unit| unit.reload(turn));
            }
            Event::Reload => {}
            Event::Orphans { alive } => {
                if let Some(stop) = &mut self.stop {
                    stop.counted(alive);
                }
            }
        }
    }

    /// What an id names, if it is there.
    fn find(&mut self, id: Id) -> Option<Found<'_>> {
        match id {
            Id::Service { unit, instance } => {
                let (spec, instance) = self.units.get_mut(usize::from(unit))?.instance(instance)?;
                Some(Found::Instance(spec, instance))
            }
            Id::Run { unit, run } => Some(Found::Run(self.crons.get_mut(usize::from(unit))?, run)),
        }
    }

    fn asked_to_stop(&mut self, turn: &mut Turn<'_>) {
        if let Some(stop) = &mut self.stop {
            stop.requested(&mut self.units, &mut self.crons, turn);
        } else {
            self.begin_stop(crate::exit::OK, true, turn);
        }
    }

    fn begin_stop(&mut self, code: u8, requested: bool, turn: &mut Turn<'_>) {
        self.phase = Phase::Stopping;
        self.units.iter_mut().for_each(|unit| unit.unwant(turn));
        self.crons.iter_mut().for_each(Cron::unwant);
        self.stop = Some(Stop::new(code, requested, self.budget, self.units.len(), turn));
    }

    /// Does what is due and what the event made possible.
    fn settle(&mut self, turn: &mut Turn<'_>) {
        self.units.iter_mut().for_each(|unit| unit.tick(turn));
        self.crons.iter_mut().for_each(|cron| cron.tick(turn));
        // Judged before anything starts: what begins a stop must not start a service or a run in the same breath.
        if self.phase == Phase::Up {
            self.each_with_gate(turn, Unit::suffer);
            self.judge(turn);
        }
        if self.phase == Phase::Up {
            self.crons.iter_mut().for_each(|cron| cron.advance(turn));
            self.each_with_gate(turn, Unit::advance);
        }
        if let Some(stop) = &mut self.stop
            && let Some(code) = stop.advance(&self.order, &mut self.units, &mut self.crons, turn)
        {
            turn.act(Action::Exit { code });
            self.phase = Phase::Over;
        }
    }

    /// Visits every unit with the state of its dependencies. These come first, so a failure reaches all who require
    /// it in one pass.
    fn each_with_gate(&mut self, turn: &mut Turn<'_>, visit: fn(&mut Unit, Gate<'_>, &mut Turn<'_>)) {
        for index in self.order.starts.iter().copied() {
            let Some((before, rest)) = self.units.split_at_mut_checked(index) else { continue };
            let Some((unit, after)) = rest.split_first_mut() else { continue };
            let other = |wanted: usize| match wanted.checked_sub(index) {
                None => before.get(wanted),
                Some(beyond) => after.get(beyond.saturating_sub(1)),
            };
            visit(unit, gate(&self.order, index, other), turn);
        }
    }

    fn find_deadline(&self) -> Option<Mono> {
        if self.phase == Phase::Over {
            return None;
        }
        let stopping = self.is_stopping();
        let units = self.units.iter().map(|unit| unit.deadline(stopping));
        let crons = self.crons.iter().map(Cron::deadline);
        let stop = self.stop.as_ref().and_then(|stop| stop.deadline(&self.order));
        // What is due at the far end of time never is, and the shell's timer need not reach that far.
        units.chain(crons).fold(stop, nearer).filter(|deadline| deadline.since_origin() < Duration::MAX)
    }
}

/// The index of a service or an entry as an [`Id`] has it.
fn index(index: usize) -> u16 {
    u16::try_from(index).unwrap_or(u16::MAX)
}

/// Whether the dependencies of a unit let it start.
fn gate<'a>(order: &Order, index: usize, other: impl Fn(usize) -> Option<&'a Unit>) -> Gate<'a> {
    let Some(node) = order.node(index) else { return Gate::Open };
    let failed = node.requires.iter().filter_map(|unit| other(*unit)).find_map(|unit| match unit.health() {
        Health::Failed(code) => Some(Gate::Lost(&unit.spec.name, code)),
        Health::Up | Health::Pending | Health::Halted | Health::Done => None,
    });
    let pending = || {
        let mut others = node.waits_for.iter().filter_map(|unit| other(*unit));
        others.find(|unit| unit.health() == Health::Pending).map(|unit| Gate::Waits(&unit.spec.name))
    };
    failed.or_else(pending).unwrap_or(Gate::Open)
}
