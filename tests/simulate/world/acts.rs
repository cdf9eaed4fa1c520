//! What the core's actions do to the world.

use super::{Happening, Moment, World};
use crate::invariants::Invariant;
use crate::process::{Behaviour, Death, Proc};
use crate::subject::Core;
use php_init::config::plan::{Signal, StopScope};
use php_init::supervisor::{Action, Event, ExitStatus, Id, Notice, SpawnFault, State};
use std::time::Duration;

/// How long what survives SIGKILL holds its successor up.
pub(super) const CLEAR: Duration = Duration::from_secs(2);

/// More than these live at once nowhere; a pid comes again as soon as it is free.
const PIDS: i32 = 200;

impl<C: Core> World<C> {
    pub(super) fn act(&mut self, action: Action) {
        if self.exit.is_some() {
            return self.fail(Invariant::LastWord, || format!("{action:?} follows the exit"));
        }
        self.note(|| match &action {
            Action::Notice(notice) => {
                format!("      {:?} {:?}: {}", notice.severity, notice.about, notice.text)
            }
            other => format!("   => {other:?}"),
        });
        match action {
            Action::Spawn { id } => self.spawn(id),
            Action::Signal { id, signal } => self.signal(id, signal),
            Action::Stop { id, scope, signal } => self.stop(id, scope, signal),
            Action::KillGroup { id } => self.kill(id),
            Action::StartProbe { id } => self.begin_probe(id),
            Action::StopProbe { id } => {
                if !self.probed.remove(&id) {
                    self.fail(Invariant::Probed, || format!("{id:?} is not probed"));
                }
            }
            Action::StartLiveness { id } => self.watch(id),
            Action::StopLiveness { id } => {
                if !self.watched.remove(&id) {
                    self.fail(Invariant::Watched, || format!("{id:?} is not watched"));
                }
            }
            Action::SignalOrphans { signal } => {
                if signal == Signal::KILL {
                    self.orphans = 0;
                }
                self.plan(Duration::ZERO, Happening::Counted);
            }
            Action::CountOrphans => self.plan(Duration::ZERO, Happening::Counted),
            Action::Notice(notice) => self.told(notice),
            Action::Exit { code } => self.exited(code),
        }
    }

    fn spawn(&mut self, id: Id) {
        self.may_start(id);
        if self.broken.is_some() {
            return;
        }
        let count = self.starts.entry(id).or_insert(0);
        *count += 1;
        let behaviour = (self.behave)(id, *count);
        let famine = (self.now < self.famine).then_some(71);
        if let Some(code) = famine.or(behaviour.unstartable) {
            self.refused.insert(id);
            return self.at(Duration::ZERO, Event::SpawnFailed { id, fault: SpawnFault { code } });
        }
        self.serial += 1;
        let generation = self.serial;
        let pid = self.next_pid();
        self.pids.insert(pid, id);
        // What ends at once has ended before the shell has it in its table: it is reaped after this all the same.
        self.at(Duration::ZERO, Event::Spawned { id, pid });
        if let Some((after, code)) = behaviour.faults {
            self.plan(after, Happening::Dies(id, generation, Death::Faulted(code)));
        }
        if let Some((after, status)) = behaviour.ends {
            self.plan(after, Happening::Dies(id, generation, Death::Ended(status)));
        }
        self.relayed(|relay| {
            relay.open(generation);
            Ok(())
        });
        let timeout = match id {
            Id::Run { unit, .. } => self.crons.get(usize::from(unit)).and_then(|cron| cron.timeout),
            Id::Service { .. } => None,
        };
        self.procs.insert(id, Proc { timeout, ..fresh(behaviour, generation, self.now) });
    }

    fn told(&mut self, notice: Notice) {
        if let Some(process) = notice.about.and_then(|id| self.procs.get(&id))
            && notice.text.contains("beyond its timeout")
        {
            let awake = self.now.since(process.since).saturating_sub(process.frozen);
            if process.timeout.is_none_or(|timeout| awake < timeout) {
                self.fail(Invariant::InTime, || format!("{:?} has had {awake:?}", notice.about));
            }
        }
        self.notices.push((self.now, notice));
    }

    /// Clocks go on, and nothing else does; what should have happened meanwhile happens afterwards.
    pub fn freeze(&mut self, span: Duration) {
        self.now = self.now.after(span);
        self.procs.values_mut().for_each(|process| process.frozen += span);
        self.tell(Event::Frozen { lost: span });
    }

    fn next_pid(&mut self) -> i32 {
        loop {
            self.last_pid = if self.last_pid >= PIDS { 2 } else { self.last_pid + 1 };
            if !self.pids.contains_key(&self.last_pid) || self.pids.len() >= 190 {
                return self.last_pid;
            }
        }
    }

    /// Nothing of an earlier process may live, but what has survived KILL for long.
    pub(super) fn clear(&mut self, id: Id) {
        let Some(process) = self.procs.get(&id) else { return };
        if process.main {
            return self.fail(Invariant::OneProcess, || format!("{id:?} lives twice"));
        }
        if process.killed.is_none_or(|killed| self.now.since(killed) < CLEAR) {
            self.fail(Invariant::ClearGround, || format!("{id:?} starts beside what it left behind"));
        }
    }

    fn begin_probe(&mut self, id: Id) {
        let Some(process) = self.procs.get(&id).filter(|process| process.main) else {
            return self.fail(Invariant::Probed, || format!("{id:?} is not there"));
        };
        let (generation, ready, flaps) =
            (process.generation, process.behaviour.ready_after, process.behaviour.flaps);
        if !self.probed.insert(id) {
            return self.fail(Invariant::Probed, || format!("{id:?} is probed already"));
        }
        if let Some(after) = ready.or(flaps.then_some(Duration::ZERO)) {
            self.plan(after, Happening::Ready(id, generation));
        }
    }

    pub(super) fn ready(&mut self, id: Id, generation: u64) {
        if !self.probed.contains(&id) {
            return;
        }
        let Some(process) = self.current(id, generation).filter(|process| process.main) else { return };
        process.asked += 1;
        let ok = process.zombie.is_none()
            && process.behaviour.ready_after.is_some()
            && !(process.behaviour.flaps && process.asked % 3 == 1);
        // What never is ready need not say so for ever.
        if process.asked < 30 {
            self.plan(Duration::from_millis(10), Happening::Ready(id, generation));
        }
        self.tell(Event::Probe { id, ok });
    }

    fn watch(&mut self, id: Id) {
        let Some(process) = self.procs.get(&id).filter(|process| process.main) else {
            return self.fail(Invariant::Watched, || format!("{id:?} is not there"));
        };
        let generation = process.generation;
        if !self.watched.insert(id) {
            return self.fail(Invariant::Watched, || format!("{id:?} is watched already"));
        }
        self.plan(Duration::from_secs(1), Happening::Pulse(id, generation));
    }

    pub(super) fn pulse(&mut self, id: Id, generation: u64) {
        if !self.watched.contains(&id) {
            return;
        }
        let now = self.now;
        let Some(process) = self.current(id, generation).filter(|process| process.main) else { return };
        process.asked += 1;
        let (sick, flaps) = (process.behaviour.sick_after, process.behaviour.flaps);
        let ok = sick.is_none_or(|after| now.since(process.since) < after)
            && !(flaps && process.asked.is_multiple_of(2))
            && process.zombie.is_none();
        // It would answer for ever; what has not changed need not be told.
        if sick.is_some() || (flaps && process.asked < 20) {
            let wait = sick.filter(|_| ok && !flaps).unwrap_or_default().max(Duration::from_secs(1));
            self.plan(wait, Happening::Pulse(id, generation));
        }
        self.tell(Event::Live { id, ok, why: None });
    }

    /// The signal of a reload, of a pause, or of somebody.
    fn signal(&mut self, id: Id, signal: Signal) {
        let state = self.core.state(id).map(|(state, _)| state);
        let Some(process) = self.procs.get(&id) else {
            return self
                .fail(Invariant::SignalsTheLiving, || format!("{signal:?} for {id:?}, which is gone"));
        };
        // USR1, TERM and KILL are what people send here; USR2 and CONT are those of reloads and pauses.
        let knows = !matches!(signal, Signal::USR2 | Signal::CONT)
            || matches!(state, Some(State::Running | State::Stopping));
        if !process.main || !knows {
            let how = || format!("{signal:?} for {id:?}, which may not know it yet");
            return self.fail(Invariant::SignalsTheReady, how);
        }
        if matches!(signal, Signal::TERM | Signal::KILL) {
            self.obey(id, signal);
        }
    }

    fn stop(&mut self, id: Id, scope: StopScope, signal: Signal) {
        let most = if self.stops >= 2 { 2 } else { 1 };
        let Some(process) = self.procs.get_mut(&id) else {
            return self
                .fail(Invariant::SignalsTheLiving, || format!("{signal:?} for {id:?}, which is gone"));
        };
        process.signalled = true;
        if (signal, scope) == (Signal::TERM, StopScope::Group) {
            process.terms += 1;
            if process.terms > most {
                return self
                    .fail(Invariant::TermOnce, || format!("one more SIGTERM for the group of {id:?}"));
            }
        }
        let (generation, killed) = (process.generation, process.killed.is_some());
        let heirs = process.heirs && process.behaviour.heirs_obey && scope == StopScope::Group;
        self.obey(id, signal);
        if heirs && !killed {
            self.plan(Duration::ZERO, Happening::HeirsGone(id, generation));
        }
    }

    /// The main process gets a signal that ends it.
    fn obey(&mut self, id: Id, signal: Signal) {
        let Some(process) = self.procs.get(&id) else { return };
        let Behaviour { obeys_after, immortal, .. } = process.behaviour;
        let (generation, lives) = (process.generation, process.main && process.zombie.is_none() && !immortal);
        let wait = if signal == Signal::KILL { Some(Duration::ZERO) } else { obeys_after };
        if let Some(after) = wait.filter(|_| lives) {
            let status =
                if signal == Signal::QUIT { ExitStatus::Code(0) } else { ExitStatus::Signal(signal) };
            self.plan(after, Happening::Dies(id, generation, Death::Ended(status)));
        }
    }

    fn kill(&mut self, id: Id) {
        let now = self.now;
        let stopping = self.stopping_since.is_some();
        let state = self.core.state(id);
        let Some(process) = self.procs.get_mut(&id) else {
            return self.fail(Invariant::SignalsTheLiving, || format!("KILL for {id:?}, which is gone"));
        };
        process.signalled = true;
        process.killed = process.killed.or(Some(now));
        let told = stopping || state.is_none_or(|(state, _)| state == State::Stopping);
        let (generation, main, survive) = (process.generation, process.main, process.behaviour.heirs_survive);
        if main && !process.behaviour.immortal {
            let death = Death::Ended(ExitStatus::Signal(Signal::KILL));
            self.plan(Duration::ZERO, Happening::Dies(id, generation, death));
        }
        if main && !told {
            self.fail(Invariant::KillsTheTold, || format!("KILL for {id:?}, which is {state:?}"));
        }
        self.plan(survive.max(Duration::from_millis(1)), Happening::HeirsGone(id, generation));
    }
}

fn fresh(behaviour: Behaviour, generation: u64, now: Moment) -> Proc {
    Proc {
        behaviour,
        main: true,
        zombie: None,
        generation,
        heirs: false,
        heirs_dead: false,
        since: now,
        signalled: false,
        timeout: None,
        frozen: Duration::ZERO,
        terms: 0,
        killed: None,
        kill_by: None,
        heirs_kill_by: None,
        asked: 0,
    }
}
