//! The table of children, and the one place that reaps.
//!
//! Spawn and reap happen on the same thread, so a pid is in the table before it can be reaped. A pid that is not in
//! the table is an orphan that the kernel gave to init: it is reaped and counted.

mod leftover;
mod search;
mod start;
mod storm;

use super::clock;
use super::relay::RelayHandle;
use crate::config::plan::{Signal, StopScope};
use crate::supervisor::{ExitStatus, Id, Mono};
use crate::sys::cgroup::OomCounter;
use crate::sys::proc::{self, Process, Walk};
use crate::sys::reap::{self, Reaped, Reaper, WaitStatus};
use crate::sys::spawn::Context;
use crate::sys::{Pid, group, words};
use leftover::Leftover;
pub use leftover::names;
use search::{Marks, Search, Sought};
pub use start::Start;
use std::cell::OnceCell;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::io;
use std::time::Duration;
use storm::Storm;

/// Whose child it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// An instance of a service or a run of a cron entry.
    Unit(Id),
    /// The program of a probe, by its number.
    Probe(u64),
    /// The fetch child, a boot step, the migration or the one-off: one at a time.
    Step,
}

/// A child that ended.
pub struct Gone {
    pub who: Who,
    pub pid: Pid,
    /// The code of the fault, where there is one.
    pub status: ExitStatus,
    /// Why it never became the program it should have been, in words.
    pub fault: Option<String>,
    /// It failed, and the cgroup's oom_kill counter has risen since the last look.
    pub oom: bool,
    /// Its group, or a descendant that left the group, still lives.
    pub leftovers: bool,
    pub uptime: Duration,
    /// The relays of its output, which may still have its last words to read.
    pub relays: Vec<RelayHandle>,
}

struct Child {
    who: Who,
    started: Mono,
    /// What a failed exec is told with.
    context: Context,
    /// Descendants that were seen outside the group.
    escaped: Vec<Process>,
    /// How those outside the group are found. `None`: they are not looked for, and live on.
    sought: Option<Sought>,
    /// What its group was sent last to end it.
    told: Option<Signal>,
    relays: Vec<RelayHandle>,
}

/// The table.
pub struct Children {
    reaper: Reaper,
    live: HashMap<Pid, Child>,
    /// The pid of every unit that lives.
    units: HashMap<Id, Pid>,
    left: HashMap<Id, Leftover>,
    marks: Marks,
    search: Search,
    /// Looked for when the first child is on its way, which so need not wait for it.
    oom: OnceCell<Option<(OomCounter, u64)>>,
    orphans_reaped: u64,
    more: bool,
    storm: Storm,
}

impl Children {
    /// # Errors
    /// The system refused the pipe that failed children report through.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            reaper: Reaper::new()?,
            live: HashMap::new(),
            units: HashMap::new(),
            left: HashMap::new(),
            marks: Marks::new(),
            search: Search::default(),
            oom: OnceCell::new(),
            orphans_reaped: 0,
            // What init was given by the program before it may have ended while nobody looked.
            more: true,
            storm: Storm::default(),
        })
    }

    /// Ties the relays of a child's output to it.
    pub fn attach(&mut self, pid: Pid, relays: Vec<RelayHandle>) {
        if let Some(child) = self.live.get_mut(&pid) {
            child.relays = relays;
        }
    }

    /// Reaps what has ended; the children that someone waits for. [`Children::more_to_reap`] tells whether to call again.
    pub fn reap(&mut self) -> Vec<Gone> {
        let batch = self.reaper.reap();
        self.more = batch.more;
        // The kernel's own victims are killed, and whoever fails for the sake of one is ours.
        let telling = |end: &Reaped| {
            self.live.contains_key(&end.pid) || end.status == WaitStatus::Signal(Signal::KILL.number())
        };
        let oom = batch.reaped.iter().any(telling) && self.oom_rose();
        let before = self.orphans_reaped;
        let (walk, strangers) = (Walk::default(), OnceCell::new());
        let take = |end| self.take(end, oom, &walk, &strangers);
        let ours: Vec<Gone> = batch.reaped.into_iter().filter_map(take).collect();
        self.take_found();
        self.storm.looked(self.orphans_reaped.saturating_sub(before), !ours.is_empty(), clock::now());
        ours
    }

    /// Returns when it is time to reap without a signal. Safe to cancel.
    pub async fn due(&mut self) {
        tokio::select! {
            () = self.search.finished() => {}
            () = clock::until(self.storm.next()) => {}
        }
    }

    /// The last batch was full: other events first, then the rest.
    pub fn more_to_reap(&self) -> bool {
        self.more
    }

    /// `strangers`: init has children that it did not start.
    fn take(&mut self, end: Reaped, oom: bool, walk: &Walk, strangers: &OnceCell<bool>) -> Option<Gone> {
        let Some(mut child) = self.live.remove(&end.pid) else {
            self.orphans_reaped = self.orphans_reaped.saturating_add(1);
            return None;
        };
        let sought = child.sought().filter(|_| *strangers.get_or_init(|| self.has_strangers()));
        let search = sought.and_then(|sought| self.search_for(child.who, sought));
        let left = Leftover { leader: end.pid, escaped: child.escaped, search, signal: child.told };
        let leftovers = left.is_searched_for() || left.alive(walk);
        if let Who::Unit(id) = child.who {
            self.units.remove(&id);
            if leftovers {
                self.left.insert(id, left);
            }
        }
        Some(Gone {
            who: child.who,
            pid: end.pid,
            // Also where a signal came between the fault and the child's own exit.
            status: end
                .fault
                .as_ref()
                .map_or_else(|| status(end.status), |fault| ExitStatus::Code(fault.code())),
            fault: end.fault.map(|fault| fault.describe(&child.context)),
            // The kernel may have struck a process below it: a shell passes that on as 137, a worker as an error.
            oom: oom && end.status != WaitStatus::Code(0),
            leftovers,
            uptime: clock::now().since(child.started),
            relays: child.relays,
        })
    }

    fn oom_rose(&mut self) -> bool {
        let Some(Some((counter, before))) = self.oom.get_mut() else { return false };
        let now = counter.read().unwrap_or(*before);
        let rose = now > *before;
        *before = now;
        rose
    }

    /// The units whose last leftover is gone since the last call. Zombies that somebody else must reap still count.
    pub fn emptied(&mut self) -> Vec<Id> {
        self.forget_left(|left| !left.there())
    }

    /// As [`Children::emptied`], with a walk over /proc: zombies do not count.
    pub fn emptied_but_for_zombies(&mut self) -> Vec<Id> {
        let walk = Walk::default();
        self.forget_left(|left| !left.alive(&walk))
    }

    fn forget_left(&mut self, over: impl Fn(&Leftover) -> bool) -> Vec<Id> {
        let mut empty = Vec::new();
        for (id, left) in &mut self.left {
            // Those that were found are gone, and may have forked before.
            if !left.is_searched_for() && over(left) && !left.search_again(*id, &mut self.search) {
                empty.push(*id);
            }
        }
        for id in &empty {
            self.left.remove(id);
        }
        self.start_search();
        empty
    }

    /// The main process of the unit, while it lives.
    pub fn pid(&self, id: Id) -> Option<Pid> {
        self.units.get(&id).copied()
    }

    /// Neither the main process of the unit nor a leftover lives.
    pub fn is_empty(&self, id: Id) -> bool {
        !self.units.contains_key(&id) && !self.left.contains_key(&id)
    }

    /// Every process that descends from init but its own children, in the order of generations. Those that left the groups of
    /// their units' main processes are known from then on. Empty where /proc cannot be read: then only groups can be signalled.
    pub fn look_around(&mut self) -> Vec<Process> {
        if reap::has_no_child() {
            return Vec::new();
        }
        let Ok(all) = proc::descendants_but(self.live.keys().copied().collect()) else { return Vec::new() };
        self.note_escaped(&all);
        all
    }

    /// Remembers which of `all`, in the order of generations, left the groups of their units, and forgets those that are gone.
    fn note_escaped(&mut self, all: &[Process]) {
        let mains: HashSet<Pid> = self.units.values().copied().collect();
        let mut owners: HashMap<i32, Pid> = mains.iter().map(|main| (main.raw(), *main)).collect();
        let mut before: HashMap<(Pid, u64), Pid> = HashMap::new();
        for (main, child) in &mut self.live {
            before.extend(child.escaped.drain(..).map(|process| ((process.pid, process.start_time), *main)));
        }
        for process in all.iter().filter(|process| !mains.contains(&process.pid)) {
            // One whose parents have ended descends from init alone, but is still its unit's.
            let known = before.get(&(process.pid, process.start_time));
            let Some(main) = known.or_else(|| owners.get(&process.parent)).copied() else { continue };
            owners.insert(process.pid.raw(), main);
            if process.group != main.raw()
                && let Some(child) = self.live.get_mut(&main).filter(|child| child.sought.is_some())
            {
                child.escaped.push(process.clone());
            }
        }
    }

    /// Signals the main process of the unit.
    pub fn signal(&self, id: Id, signal: Signal) {
        if let Some(pid) = self.units.get(&id) {
            report(group::signal(*pid, signal), signal, &format_args!("pid {pid}"));
        }
    }

    /// Sends a stop signal, then CONT, to the main process of the unit or its whole group; with the group go those that
    /// left it.
    pub fn stop(&mut self, id: Id, scope: StopScope, signal: Signal) {
        let main = self.units.get(&id);
        if let (Some(pid), StopScope::Group) = (main, scope)
            && let Some(child) = self.live.get_mut(pid)
        {
            child.told = Some(signal);
        }
        if let Some(left) = self.left.get_mut(&id) {
            left.signal = Some(signal);
        }
        let left = self.left.get(&id);
        let outcome = match (main, scope) {
            (Some(pid), StopScope::Main) => {
                report(group::stop(*pid, signal), signal, &format_args!("pid {pid}"));
                return;
            }
            // Before the child has made its group there is none: stop_group_of_child knows.
            (Some(pid), StopScope::Group) => Some((group::stop_group_of_child(*pid, signal), *pid)),
            (None, _) => {
                left.and_then(Leftover::group).map(|leader| (group::stop_group(leader, signal), leader))
            }
        };
        if let Some((outcome, leader)) = outcome {
            report(outcome, signal, &format_args!("the group of pid {leader}"));
        }
        let escaped = main.and_then(|pid| self.live.get(pid)).map(|child| &child.escaped);
        for process in escaped.into_iter().chain(left.map(|left| &left.escaped)).flatten() {
            stop_one(process, signal);
        }
    }

    /// A process of a unit lives that was started before `moment`; services that `but` names do not count.
    pub fn any_older(&self, moment: Mono, but: impl Fn(u16) -> bool) -> bool {
        self.live.values().filter(|child| child.started < moment).any(|child| match child.who {
            Who::Unit(Id::Service { unit, .. }) => !but(unit),
            Who::Unit(Id::Run { .. }) => true,
            Who::Step | Who::Probe(_) => false,
        })
    }

    /// Something is left of a main process that has ended.
    pub fn has_left(&self) -> bool {
        !self.left.is_empty()
    }

    /// No main process of any unit lives.
    pub fn is_idle(&self) -> bool {
        self.units.is_empty()
    }

    /// Those of `descendants`, in the order of generations, that belong to no unit and to no step. What a finished run
    /// left behind is among them.
    pub fn orphans(&self, descendants: Vec<Process>) -> Vec<Process> {
        let left = || {
            self.left.iter().filter(|(id, _)| matches!(id, Id::Service { .. })).map(|(_, leftover)| leftover)
        };
        let mut owned: HashSet<i32> = self.live.keys().map(|pid| pid.raw()).collect();
        let groups: HashSet<i32> =
            owned.iter().copied().chain(left().filter_map(Leftover::group).map(Pid::raw)).collect();
        let escaped: HashMap<Pid, &Process> = self
            .live
            .values()
            .flat_map(|child| &child.escaped)
            .chain(left().flat_map(|leftover| &leftover.escaped))
            .map(|process| (process.pid, process))
            .collect();
        let mut orphans = Vec::new();
        for process in descendants {
            let known = escaped.get(&process.pid).is_some_and(|known| same(known, &process));
            if known || groups.contains(&process.group) || owned.contains(&process.parent) {
                owned.insert(process.pid.raw());
            } else if !process.zombie && !owned.contains(&process.pid.raw()) {
                orphans.push(process);
            }
        }
        orphans
    }

    /// How many orphans were reaped so far.
    pub fn orphans_reaped(&self) -> u64 {
        self.orphans_reaped
    }
}

/// The same process in two walks.
fn same(one: &Process, other: &Process) -> bool {
    (one.pid, one.start_time) == (other.pid, other.start_time)
}

fn stop_one(process: &Process, signal: Signal) {
    report(proc::stop(process, signal), signal, &format_args!("{}[{}]", process.comm, process.pid));
}

/// A process that is gone is what a signal wanted; anything else is worth a line.
fn report(outcome: io::Result<group::Sent>, signal: Signal, whom: &dyn fmt::Display) {
    if let Err(error) = outcome {
        tracing::warn!("cannot send {signal:?} to {whom}: {}", words(&error));
    }
}

fn status(status: WaitStatus) -> ExitStatus {
    match status {
        WaitStatus::Code(code) => ExitStatus::Code(code),
        // The kernel reports no signal outside 1 to 64.
        WaitStatus::Signal(number) => ExitStatus::Signal(Signal::from_number(number).unwrap_or(Signal::KILL)),
    }
}

#[cfg(test)]
mod tests;
