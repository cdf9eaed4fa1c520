//! A fake world: processes with scripted behaviour that answer the core's actions under a virtual clock which jumps
//! from one happening to the next. It checks the core's promises at every step.

mod belief;

use super::super::*;
use super::script::Names;
use crate::config::plan::{CronPlan, ServicePlan, Signal, StopScope};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;

/// How one process behaves.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// No process comes of it, with this code.
    pub unstartable: Option<u8>,
    /// It ends after so long without having become its program, with this code.
    pub faults: Option<(Duration, u8)>,
    /// From its start until its probe says yes.
    pub ready_after: Option<Duration>,
    /// It ends by itself after this, so.
    pub ends: Option<(Duration, ExitStatus)>,
    /// How long its main process takes to obey a stop signal; `None`: it never does.
    pub obeys_after: Option<Duration>,
    /// It leaves others behind, which live for so long (`None`: for ever) unless they are signalled.
    pub leaves: Option<Option<Duration>>,
    /// What it leaves behind obeys TERM.
    pub heirs_obey: bool,
    /// From when on its liveness probe fails, counted from its start.
    pub sick_after: Option<Duration>,
    /// Even KILL does not end it: it waits in the kernel.
    pub immortal: bool,
}

impl Default for Behaviour {
    /// Runs for ever, is ready at once, obeys at once, leaves nothing behind.
    fn default() -> Self {
        Self {
            unstartable: None,
            faults: None,
            ready_after: Some(Duration::ZERO),
            ends: None,
            obeys_after: Some(Duration::ZERO),
            leaves: None,
            heirs_obey: true,
            sick_after: None,
            immortal: false,
        }
    }
}

#[derive(Clone, Debug)]
struct Proc {
    behaviour: Behaviour,
    main: bool,
    /// Tells this process from earlier ones of the same id, so that their happenings do not touch it.
    generation: u64,
    heirs: bool,
    probed: bool,
    watched: bool,
    since: Mono,
    signalled: bool,
}

#[derive(Clone, Debug)]
enum Happening {
    Tell(Event),
    Ready(Id, u64),
    /// The liveness probe answers.
    Pulse(Id, u64),
    /// The main process ends.
    Ends(Id, u64, ExitStatus),
    /// It never became its program.
    Faults(Id, u64, u8),
    HeirsGone(Id, u64),
    OrphanGone,
    /// The shell counts the orphans and tells.
    Counted,
}

pub type Script = Box<dyn FnMut(Id, u32) -> Behaviour>;

pub struct World {
    pub core: Supervisor,
    pub now: Mono,
    pub exit: Option<(Mono, u8)>,
    /// How often each id was started.
    pub starts: BTreeMap<Id, u32>,
    pub notices: Vec<(Mono, Notice)>,
    pub events: u64,
    names: Names,
    behave: Script,
    procs: BTreeMap<Id, Proc>,
    orphans: u32,
    agenda: BTreeMap<(Mono, u64), Happening>,
    serial: u64,
    stop_asked: Option<Mono>,
    stopping_since: Option<Mono>,
    budget: Duration,
    /// The plan as it is now, and what of it is retired.
    pub services: Vec<ServicePlan>,
    pub crons: Vec<CronPlan>,
    pub retired: BTreeSet<u16>,
    /// What somebody stopped: it may not start by itself.
    pub halted: BTreeSet<Id>,
    pub paused: bool,
    booted: bool,
    /// The last events and actions, for a failing test.
    log: VecDeque<String>,
}

/// From the end of the core's part of the budget to that of the container's.
const SLACK: Duration = Duration::from_millis(50);

impl World {
    pub fn new(
        services: &[ServicePlan],
        crons: &[CronPlan],
        budget: Duration,
        seed: u64,
        behave: Script,
    ) -> Self {
        Self {
            core: Supervisor::new(services, crons, budget, seed),
            now: Mono::default(),
            exit: None,
            starts: BTreeMap::new(),
            notices: Vec::new(),
            events: 0,
            names: Names::new(services, crons),
            behave,
            procs: BTreeMap::new(),
            orphans: 0,
            agenda: BTreeMap::new(),
            serial: 0,
            stop_asked: None,
            stopping_since: None,
            budget,
            services: services.to_vec(),
            crons: crons.to_vec(),
            retired: BTreeSet::new(),
            halted: BTreeSet::new(),
            paused: false,
            booted: false,
            log: VecDeque::new(),
        }
    }

    /// Sends an event at a later moment.
    pub fn at(&mut self, delay: Duration, event: Event) {
        self.plan(delay, Happening::Tell(event));
    }

    fn plan(&mut self, delay: Duration, happening: Happening) {
        self.serial += 1;
        self.agenda.insert((self.now.after(delay), self.serial), happening);
    }

    /// Lets time pass until `end` or the container's exit.
    pub fn run_until(&mut self, end: Mono) {
        let mut at_this_moment = 0;
        while self.exit.is_none() {
            let planned = self.agenda.first_key_value().map(|((at, _), _)| *at);
            let deadline = self.core.next_deadline();
            let Some(next) = planned.into_iter().chain(deadline).min() else { break };
            if next > end {
                break;
            }
            at_this_moment = if next > self.now { 0 } else { at_this_moment + 1 };
            assert!(at_this_moment < 10_000, "time stands still\n{}", self.story());
            self.now = self.now.max(next);
            if planned == Some(next) {
                let (_, happening) = self.agenda.pop_first().unwrap();
                self.happen(happening);
            } else {
                self.tell(Event::Deadline);
            }
        }
        if self.exit.is_none() {
            self.now = self.now.max(end);
        }
    }

    pub fn run_for(&mut self, span: Duration) {
        self.run_until(self.now.after(span));
    }

    pub fn running(&self) -> usize {
        self.procs.values().filter(|process| process.main).count()
    }

    /// What has a process, or has left some behind.
    pub fn living(&self) -> Vec<Id> {
        self.procs.keys().copied().collect()
    }

    pub fn said(&self, text: &str) -> bool {
        self.notices.iter().any(|(_, notice)| notice.text.contains(text))
    }

    /// What happened last, and how things are.
    pub fn story(&self) -> String {
        let log: Vec<&str> = self.log.iter().map(String::as_str).collect();
        format!("{}\n{}", log.join("\n"), self.core.snapshot(self.now))
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Tell(event) => self.tell(event),
            Happening::Ready(id, generation) => {
                if self.current(id, generation).is_some_and(|process| process.main && process.probed) {
                    self.plan(Duration::from_millis(10), Happening::Ready(id, generation));
                    self.tell(Event::Probe { id, ok: true });
                }
            }
            Happening::Pulse(id, generation) => self.pulse(id, generation),
            Happening::Ends(id, generation, status) => {
                if self.current(id, generation).is_some_and(|process| process.main) {
                    self.end_main(id, status);
                }
            }
            Happening::Faults(id, generation, code) => {
                if self.current(id, generation).is_some_and(|process| process.main) {
                    self.procs.remove(&id);
                    self.tell(Event::SpawnFailed { id, fault: SpawnFault { code } });
                }
            }
            Happening::HeirsGone(id, generation) => {
                if self.current(id, generation).is_some_and(|process| process.heirs && !process.main) {
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

    fn end_main(&mut self, id: Id, status: ExitStatus) {
        let Some(process) = self.procs.get_mut(&id) else { return };
        process.main = false;
        let leftovers = process.behaviour.leaves.is_some();
        let oom = status == ExitStatus::Signal(Signal::KILL) && self.serial.is_multiple_of(2);
        process.heirs = leftovers;
        let (generation, life) = (process.generation, process.behaviour.leaves.flatten());
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
        self.tell(Event::Exited { id, status, oom, leftovers });
    }

    pub fn tell(&mut self, event: Event) {
        self.events += 1;
        if event == Event::Stop {
            self.stop_asked = self.stop_asked.or(Some(self.now));
        }
        self.note(format!("{:?} {event:?}", self.now));
        self.believe(&event);
        let actions = self.core.handle(event, self.now);
        self.carry_out(actions);
    }

    fn carry_out(&mut self, actions: Vec<Action>) {
        let over = self.exit.is_some();
        if self.core.is_stopping() {
            self.stopping_since = self.stopping_since.or(Some(self.now));
        }
        assert!(!over || actions.is_empty(), "{actions:?} after the exit\n{}", self.story());
        for action in actions {
            self.act(action);
        }
        self.check();
    }

    fn note(&mut self, line: String) {
        self.log.push_back(line);
        if self.log.len() > 60 {
            self.log.pop_front();
        }
    }

    fn act(&mut self, action: Action) {
        assert!(self.exit.is_none(), "{action:?} follows the exit\n{}", self.story());
        let mut line = String::from("            ");
        let _ = match &action {
            Action::Notice(notice) => {
                let about = notice.about.map_or_else(|| "init".to_owned(), |id| self.names.of(id));
                write!(line, "  {:?} {about}: {}", notice.severity, notice.text)
            }
            other => write!(line, "=> {}", self.names.action(other).unwrap_or_default()),
        };
        self.note(line);
        match action {
            Action::Spawn { id } => self.spawn(id),
            Action::Signal { id, scope, signal } => self.signal(id, scope, signal),
            Action::KillGroup { id } => self.kill(id),
            Action::StartProbe { id } => self.probe(id),
            Action::StopProbe { id } => {
                if let Some(process) = self.procs.get_mut(&id) {
                    process.probed = false;
                }
            }
            Action::StartLiveness { id } => self.watch(id),
            Action::StopLiveness { id } => {
                if let Some(process) = self.procs.get_mut(&id) {
                    assert!(process.watched, "{id:?} is not watched\n{}", self.story());
                    process.watched = false;
                }
            }
            Action::SignalOrphans { signal } => {
                if signal == Signal::KILL {
                    self.orphans = 0;
                }
                self.plan(Duration::ZERO, Happening::Counted);
            }
            Action::CountOrphans => self.plan(Duration::ZERO, Happening::Counted),
            Action::Notice(notice) => self.notices.push((self.now, notice)),
            Action::Exit { code } => self.exited(code),
        }
    }

    fn spawn(&mut self, id: Id) {
        assert!(!self.procs.contains_key(&id), "{id:?} lives twice\n{}", self.story());
        assert!(self.stopping_since.is_none(), "{id:?} starts during the stop\n{}", self.story());
        self.may_start(id);
        let count = self.starts.entry(id).or_insert(0);
        *count += 1;
        let behaviour = (self.behave)(id, *count);
        if let Some(code) = behaviour.unstartable {
            return self.at(Duration::ZERO, Event::SpawnFailed { id, fault: SpawnFault { code } });
        }
        self.serial += 1;
        let generation = self.serial;
        let pid = i32::try_from(generation % 30_000).unwrap() + 2;
        self.at(Duration::ZERO, Event::Spawned { id, pid });
        if let Some((after, code)) = behaviour.faults {
            self.plan(after, Happening::Faults(id, generation, code));
        }
        if let Some((after, status)) = behaviour.ends {
            self.plan(after, Happening::Ends(id, generation, status));
        }
        let process = Proc {
            behaviour,
            main: true,
            generation,
            heirs: false,
            probed: false,
            watched: false,
            since: self.now,
            signalled: false,
        };
        self.procs.insert(id, process);
    }

    fn watch(&mut self, id: Id) {
        let Some(process) = self.procs.get_mut(&id).filter(|process| process.main && !process.watched) else {
            panic!("{id:?} is not there or watched already\n{}", self.story());
        };
        process.watched = true;
        let generation = process.generation;
        self.plan(Duration::from_secs(1), Happening::Pulse(id, generation));
    }

    fn pulse(&mut self, id: Id, generation: u64) {
        let now = self.now;
        let Some(process) = self.current(id, generation).filter(|process| process.main && process.watched)
        else {
            return;
        };
        let sick = process.behaviour.sick_after;
        let ok = sick.is_none_or(|after| now.since(process.since) < after);
        // It would answer for ever; what has not changed need not be told.
        if let Some(after) = sick {
            let wait = if ok { after } else { Duration::from_secs(1) };
            self.plan(wait, Happening::Pulse(id, generation));
        }
        self.tell(Event::Live { id, ok, why: None });
    }

    fn probe(&mut self, id: Id) {
        let Some(process) = self.procs.get_mut(&id) else { return };
        process.probed = true;
        let (generation, ready) = (process.generation, process.behaviour.ready_after);
        if let Some(after) = ready {
            self.plan(after, Happening::Ready(id, generation));
        }
    }

    fn signal(&mut self, id: Id, scope: StopScope, signal: Signal) {
        let Some(process) = self.procs.get_mut(&id) else {
            panic!("{signal:?} for {id:?}, which is not there\n{}", self.story());
        };
        let generation = process.generation;
        let Behaviour { obeys_after, heirs_obey, .. } = process.behaviour;
        // USR1 is what people send here; the others are those of reloads and pauses.
        if matches!(signal.number(), 10 | 12 | 18) {
            let main = process.main;
            assert!(main, "{signal:?} for what {id:?} left behind\n{}", self.story());
            let state = self.core.state(id).map(|(state, _)| state);
            let knows = signal.number() == 10 || matches!(state, Some(State::Running | State::Stopping));
            assert!(knows, "{signal:?} for {id:?}, which may not know it yet\n{}", self.story());
            return;
        }
        process.signalled = true;
        let (main, heirs) = (process.main, process.heirs && scope == StopScope::Group);
        if main && let Some(after) = obeys_after {
            let status =
                if signal == Signal::QUIT { ExitStatus::Code(0) } else { ExitStatus::Signal(signal) };
            self.plan(after, Happening::Ends(id, generation, status));
        }
        if heirs && heirs_obey {
            self.plan(Duration::ZERO, Happening::HeirsGone(id, generation));
        }
    }

    fn kill(&mut self, id: Id) {
        let Some(process) = self.procs.get_mut(&id) else {
            panic!("KILL for {id:?}, which is not there\n{}", self.story());
        };
        process.signalled = true;
        if process.behaviour.immortal {
            return;
        }
        let generation = process.generation;
        if process.main {
            self.plan(Duration::ZERO, Happening::Ends(id, generation, ExitStatus::Signal(Signal::KILL)));
        }
        self.plan(Duration::from_millis(1), Happening::HeirsGone(id, generation));
    }

    fn exited(&mut self, code: u8) {
        let unsignalled: Vec<&Id> =
            self.procs.iter().filter(|(_, process)| !process.signalled).map(|(id, _)| id).collect();
        assert!(unsignalled.is_empty(), "nobody told {unsignalled:?} of the end\n{}", self.story());
        let immortal = self.procs.values().any(|process| process.behaviour.immortal);
        let left = self.procs.len() + usize::try_from(self.orphans).unwrap();
        let early = self.now < self.stopping_since.unwrap_or(self.now).after(self.budget);
        assert!(left == 0 || immortal || !early || self.late(), "{left} left behind\n{}", self.story());
        self.exit = Some((self.now, code));
    }

    /// The core's part of the budget has passed.
    fn late(&self) -> bool {
        let reserve = (self.budget / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        self.now.since(self.stopping_since.unwrap_or(self.now)) >= self.budget.saturating_sub(reserve)
    }

    fn check(&self) {
        let story = || self.story();
        let deadline = self.core.next_deadline();
        if self.exit.is_some() {
            assert_eq!(deadline, None, "{}", story());
            return;
        }
        assert!(deadline.is_none_or(|deadline| deadline > self.now), "a deadline in the past\n{}", story());
        if let Some(since) = self.stopping_since {
            let end = since.after(self.budget).after(SLACK);
            assert!(self.now <= end, "the stop takes too long\n{}", story());
            assert!(deadline.is_some_and(|deadline| deadline <= end), "the stop may hang\n{}", story());
        }
        for status in self.core.snapshot(self.now).instances {
            let waits = match status.state {
                State::Backoff => true,
                State::Starting | State::Stopping => status.pid.is_some(),
                State::Stopped | State::Running | State::Exited | State::Fatal => false,
            };
            let stuck = self.procs.get(&status.id).is_some_and(|process| process.behaviour.immortal);
            assert!(!waits || deadline.is_some() || stuck, "{} waits for nothing\n{}", status.name, story());
        }
    }
}
