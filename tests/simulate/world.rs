//! A fake world: a kernel with processes, pids and one coalesced SIGCHLD, a shell that keeps the contract of
//! [`Event`] and [`Action`], and a virtual clock that jumps from one happening to the next.

mod acts;
mod belief;
mod checks;

use super::invariants::Invariant;
use super::luck::Luck;
use super::process::{Behaviour, Death, Proc};
use super::relay::Relay;
use super::subject::Core;
use super::wall::Wall;
use php_init::config::plan::{CronPlan, ServicePlan};
use php_init::supervisor::{Action, Event, ExitStatus, Id, Mono, Notice, SpawnFault};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub type Moment = Mono;
pub type Script = Box<dyn FnMut(Id, u32) -> Behaviour>;

#[derive(Clone, Debug)]
enum Happening {
    Tell(Event),
    /// The readiness probe answers.
    Ready(Id, u64),
    /// The liveness probe answers.
    Pulse(Id, u64),
    /// The main process ends.
    Dies(Id, u64, Death),
    /// init learns that children have ended: of how many, the signal does not say.
    Sigchld,
    HeirsGone(Id, u64),
    OrphanGone,
    /// The shell counts the orphans and tells.
    Counted,
}

pub struct World<C> {
    pub core: C,
    pub now: Mono,
    pub exit: Option<(Mono, u8)>,
    /// The first invariant that did not hold, and how.
    pub broken: Option<(Invariant, String)>,
    /// How often each id was started.
    pub starts: BTreeMap<Id, u32>,
    pub notices: Vec<(Mono, Notice)>,
    pub events: u64,
    /// What happened, in words, when somebody wants to read it.
    pub trace: Option<Vec<String>>,
    /// The plan as it is now, and what of it is retired.
    pub services: Vec<ServicePlan>,
    pub crons: Vec<CronPlan>,
    pub retired: BTreeSet<u16>,
    /// What somebody stopped: it may not start by itself.
    pub halted: BTreeSet<Id>,
    pub relay: Option<Relay>,
    pub wall: Option<Wall>,
    /// How late SIGCHLD is: what ends meanwhile is told of at once, the last one first.
    pub sigchld_lag: Duration,
    /// Until when no process can be started.
    pub famine: Mono,
    behave: Script,
    procs: BTreeMap<Id, Proc>,
    /// Pids, of which there are few, so that they soon come again.
    pids: BTreeMap<i32, Id>,
    last_pid: i32,
    /// Asked for, and the answer is that there is none.
    refused: BTreeSet<Id>,
    probed: BTreeSet<Id>,
    watched: BTreeSet<Id>,
    orphans: u32,
    agenda: BTreeMap<(Mono, u64), Happening>,
    serial: u64,
    reaping: bool,
    stopping_since: Option<Mono>,
    stop_was_asked: bool,
    /// Requests to stop, and when the second or third of them kills.
    stops: u32,
    hurried: Option<Mono>,
    budget: Duration,
    booted: bool,
    paused: bool,
    /// Actions of the event that is handled; kept for its memory.
    actions: Vec<Action>,
}

impl<C: Core> World<C> {
    pub fn new(
        core: C,
        services: &[ServicePlan],
        crons: &[CronPlan],
        budget: Duration,
        behave: Script,
    ) -> Self {
        Self {
            core,
            now: Mono::default(),
            exit: None,
            broken: None,
            starts: BTreeMap::new(),
            notices: Vec::new(),
            events: 0,
            trace: None,
            services: services.to_vec(),
            crons: crons.to_vec(),
            retired: BTreeSet::new(),
            halted: BTreeSet::new(),
            relay: None,
            wall: None,
            sigchld_lag: Duration::ZERO,
            famine: Mono::default(),
            behave,
            procs: BTreeMap::new(),
            pids: BTreeMap::new(),
            last_pid: 1,
            refused: BTreeSet::new(),
            probed: BTreeSet::new(),
            watched: BTreeSet::new(),
            orphans: 0,
            agenda: BTreeMap::new(),
            serial: 0,
            reaping: false,
            stopping_since: None,
            stop_was_asked: false,
            stops: 0,
            hurried: None,
            budget,
            booted: false,
            paused: false,
            actions: Vec::new(),
        }
    }

    /// An invariant does not hold. The first one counts.
    pub fn fail(&mut self, invariant: Invariant, how: impl FnOnce() -> String) {
        if self.broken.is_none() {
            let how = how();
            self.note(|| format!("!! {invariant:?}: {how}"));
            self.broken = Some((invariant, how));
        }
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(line());
        }
    }

    pub const fn booted(&self) -> bool {
        self.booted
    }

    /// Nothing more is to come.
    pub fn over(&self) -> bool {
        self.exit.is_some() || self.broken.is_some()
    }

    /// Sends an event at a later moment.
    pub fn at(&mut self, delay: Duration, event: Event) {
        self.plan(delay, Happening::Tell(event));
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.agenda.insert((self.now.after(delay), self.serial), happening);
    }

    /// Lets time pass until `end`, the container's exit, or `most` happenings.
    pub fn run_until(&mut self, end: Mono, most: u64) {
        let stop_at = self.events.saturating_add(most);
        let mut at_this_moment = 0;
        while !self.over() && self.events < stop_at {
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.core.next_deadline();
            let due = self.wall.as_ref().and_then(|wall| wall.due(self.now));
            let Some(next) = planned.into_iter().chain(deadline).chain(due).min() else { break };
            if next > end {
                break;
            }
            at_this_moment = if next > self.now { 0 } else { at_this_moment + 1 };
            if at_this_moment > 10_000 {
                return self.fail(Invariant::NoSpin, || "time stands still".to_owned());
            }
            self.now = self.now.max(next);
            if planned == Some(next) {
                if let Some((_, happening)) = self.agenda.pop_first() {
                    self.happen(happening);
                }
            } else if due == Some(next) {
                self.look_at_the_wall();
            } else {
                self.tell(Event::Deadline);
            }
        }
        if !self.over() && self.events < stop_at {
            self.now = self.now.max(end);
        }
    }

    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now.after(span), u64::MAX);
    }

    pub fn said(&self, text: &str) -> bool {
        self.notices.iter().any(|(_, notice)| notice.text.contains(text))
    }

    /// How things are.
    pub fn story(&self) -> String {
        self.core.core().snapshot(self.now).to_string()
    }

    pub fn running(&self) -> usize {
        self.procs.values().filter(|process| process.main).count()
    }

    /// What has a process, or has left some behind.
    pub fn living(&self) -> Vec<Id> {
        self.procs.keys().copied().collect()
    }

    /// Entries may be due, or the wall clock was set.
    pub fn look_at_the_wall(&mut self) {
        let now = self.now;
        let Some(due) = self.wall.as_mut().map(|wall| wall.advance(now)) else { return };
        match due {
            Ok(units) => units.into_iter().for_each(|unit| self.tell(Event::CronDue { unit })),
            Err((invariant, how)) => self.fail(invariant, || how),
        }
    }

    /// Somebody outside kills one process, any.
    pub fn shoot(&mut self, luck: &mut Luck) {
        let alive = |(id, process): (&Id, &Proc)| (process.main && process.zombie.is_none()).then_some(*id);
        let alive: Vec<Id> = self.procs.iter().filter_map(alive).collect();
        if let Some(id) = alive.get(luck.index(alive.len())).copied()
            && let Some(process) = self.procs.get(&id).filter(|process| !process.behaviour.immortal)
        {
            let death = Death::Ended(ExitStatus::Signal(php_init::config::plan::Signal::KILL));
            self.happen(Happening::Dies(id, process.generation, death));
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tell(event) => {
                let mut events = vec![event];
                // What came of one answer of the core's is told together.
                while let Some(next) = self.agenda.first_entry().filter(|next| next.key().0 <= self.now)
                    && matches!(next.get(), Happening::Tell(_))
                    && let Happening::Tell(event) = next.remove()
                {
                    events.push(event);
                }
                self.tell_all(events);
            }
            Happening::Ready(id, generation) => self.ready(id, generation),
            Happening::Pulse(id, generation) => self.pulse(id, generation),
            Happening::Dies(id, generation, death) => {
                let lives = |process: &&mut Proc| process.main && process.zombie.is_none();
                let Some(process) = self.current(id, generation).filter(lives) else { return };
                process.zombie = Some(death);
                if !std::mem::replace(&mut self.reaping, true) {
                    self.plan(self.sigchld_lag, Happening::Sigchld);
                }
            }
            Happening::Sigchld => self.reap_all(),
            Happening::HeirsGone(id, generation) => {
                let Some(process) = self.current(id, generation) else { return };
                if process.main {
                    process.heirs_dead = true;
                } else if process.heirs {
                    self.procs.remove(&id);
                    self.tell(Event::GroupEmpty { id });
                }
            }
            Happening::Counted => self.tell(Event::Orphans { alive: self.orphans }),
            Happening::OrphanGone => {
                self.orphans = self.orphans.saturating_sub(1);
                if self.stopping_since.is_some() {
                    self.tell(Event::Orphans { alive: self.orphans });
                }
            }
        }
    }

    fn current(&mut self, id: Id, generation: u64) -> Option<&mut Proc> {
        self.procs.get_mut(&id).filter(|process| process.generation == generation)
    }

    /// waitpid until there is nothing more to reap.
    fn reap_all(&mut self) {
        self.reaping = false;
        let ended = |(pid, id): (&i32, &Id)| {
            self.procs.get(id).is_some_and(|process| process.zombie.is_some()).then_some((*pid, *id))
        };
        let ended: Vec<(i32, Id)> = self.pids.iter().rev().filter_map(ended).collect();
        let mut news = Vec::new();
        for (pid, id) in ended {
            self.pids.remove(&pid);
            news.extend(self.reap(id));
        }
        if !news.is_empty() {
            self.tell_all(news);
        }
    }

    fn reap(&mut self, id: Id) -> Option<Event> {
        let process = self.procs.get_mut(&id)?;
        let death = process.zombie.take()?;
        process.main = false;
        let generation = process.generation;
        self.relayed(|relay| relay.close(generation));
        let process = self.procs.get_mut(&id)?;
        let status = match death {
            Death::Ended(status) => status,
            Death::Faulted(code) => {
                self.procs.remove(&id);
                return Some(Event::SpawnFailed { id, fault: SpawnFault { code } });
            }
        };
        let leftovers = process.behaviour.leaves.is_some() && !process.heirs_dead;
        let killed = status == ExitStatus::Signal(php_init::config::plan::Signal::KILL);
        process.heirs = leftovers;
        let told = process.terms > 0 && process.behaviour.heirs_obey;
        let life = process.behaviour.leaves.flatten().filter(|_| !told).or(told.then_some(Duration::ZERO));
        let stopped = process.signalled;
        if !leftovers {
            self.procs.remove(&id);
        } else if matches!(id, Id::Run { .. }) && !stopped {
            // Background tasks of a run that ended by itself: nobody's but init's.
            self.procs.remove(&id);
            self.orphans += 1;
            if let Some(life) = life {
                self.plan(life, Happening::OrphanGone);
            }
        } else if let Some(life) = life {
            self.plan(life, Happening::HeirsGone(id, generation));
        }
        let oom = killed && generation.is_multiple_of(2);
        Some(Event::Exited { id, status, oom, leftovers })
    }

    pub fn tell(&mut self, event: Event) {
        self.tell_all(vec![event]);
    }

    fn tell_all(&mut self, events: Vec<Event>) {
        if self.broken.is_some() {
            return;
        }
        let now = self.now;
        for event in &events {
            self.events += 1;
            self.note(|| format!("{now:?} {event:?}"));
            self.believe(event);
            if let Event::SpawnFailed { id, .. } = event {
                self.refused.remove(id);
            }
        }
        let is_stop = events.contains(&Event::Stop);
        let mut actions = std::mem::take(&mut self.actions);
        self.core.handle_all(events, now, &mut actions);
        self.carry_out(&mut actions, is_stop);
        self.actions = actions;
    }

    fn carry_out(&mut self, actions: &mut Vec<Action>, asked: bool) {
        if self.core.is_stopping() && self.stopping_since.is_none() {
            self.stopping_since = Some(self.now);
            self.stop_was_asked = asked;
        }
        if self.exit.is_some() && !actions.is_empty() {
            self.fail(Invariant::LastWord, || format!("{:?} after the exit", &actions));
        }
        for action in actions.drain(..) {
            self.act(action);
        }
        self.relayed(Relay::stir);
        if self.broken.is_none() {
            self.check();
        }
    }

    fn relayed(&mut self, what: impl FnOnce(&mut Relay) -> Result<(), (Invariant, String)>) {
        if let Some(Err((invariant, how))) = self.relay.as_mut().map(what) {
            self.fail(invariant, || how);
        }
    }
}
