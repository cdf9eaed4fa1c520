//! A service: its instances and their staggered starts.

use super::causes::Cause;
use super::event::{Id, Mono, Severity};
use super::service::Instance;
use super::spec::{Spec, State, Want};
use super::turn::{Turn, nearer};
use crate::config::plan::Then;
use std::time::Duration;

/// What the others see of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// An instance is RUNNING.
    Up,
    /// None is, and one may still be.
    Pending,
    /// None is, and somebody stopped one that could be: nobody waits for it, and it has not failed.
    Halted,
    /// Every instance ended well and for good: a one-shot that has done its work.
    Done,
    /// No instance will be RUNNING again and one failed. The code is that one's.
    Failed(u8),
}

/// How a unit's dependencies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Gate<'a> {
    Open,
    /// Waits for this service.
    Waits(&'a str),
    /// This service, which is required, failed with this code.
    Lost(&'a str, u8),
}

#[derive(Clone, Debug)]
pub(super) struct Unit {
    unit: u16,
    pub spec: Spec,
    /// Those of the plan, then those that it has no room for any more, until they are down.
    pub instances: Vec<Instance>,
    /// How many the plan wants; none when it has retired the service.
    pub count: u16,
    /// The container is paused.
    pub paused: bool,
    /// The last start, and whose it was: the next of another instance keeps its distance.
    last_start: Option<(Mono, Id)>,
    /// The instance that a reload is restarting.
    pub(super) rolling: Option<usize>,
}

impl Unit {
    pub fn new(unit: u16, spec: Spec, count: u16) -> Self {
        let instances = (0..count).map(|instance| Instance::new(Id::Service { unit, instance })).collect();
        Self { unit, spec, instances, count, paused: false, last_start: None, rolling: None }
    }

    pub fn boot(&mut self) {
        for instance in self.instances.iter_mut().filter(|instance| !instance.surplus) {
            instance.want = Want::Up;
        }
    }

    /// The plan has it no more.
    pub const fn retired(&self) -> bool {
        self.count == 0
    }

    /// Nothing of it starts now: its instances would not know the pause signal yet.
    pub const fn held(&self) -> bool {
        self.paused && self.spec.pause_signal.is_some()
    }

    /// The instances that the plan has.
    pub fn kept(&self) -> impl Iterator<Item = &Instance> {
        self.instances.iter().filter(|instance| !instance.surplus)
    }

    pub fn instance(&mut self, instance: u16) -> Option<(&Spec, &mut Instance)> {
        self.instances.get_mut(usize::from(instance)).map(|instance| (&self.spec, instance))
    }

    pub fn health(&self) -> Health {
        if self.kept().any(|instance| instance.state == State::Running) {
            return Health::Up;
        }
        if self.kept().any(|instance| !instance.halted() && !instance.state.is_final()) {
            return Health::Pending;
        }
        if self.retired() || self.kept().any(Instance::halted) {
            return Health::Halted;
        }
        self.failure().map_or(Health::Done, Health::Failed)
    }

    /// The code of the first instance that failed for good.
    pub fn failure(&self) -> Option<u8> {
        let failed = |instance: &&Instance| instance.state == State::Fatal || instance.failed_exit();
        let first = self.kept().find(failed)?;
        Some(first.last.as_ref().map_or(0, |last| last.code).max(crate::exit::FAILED))
    }

    /// The code that the container must stop with because of this service, with the reason.
    pub fn verdict(&self) -> Option<(u8, &'static str)> {
        let gave_up = self.kept().any(|instance| instance.state == State::Fatal);
        if gave_up && self.spec.give_up.is_some_and(|limit| limit.then == Then::Exit) {
            return self.failure().map(|code| (code, "failed for good"));
        }
        match self.health() {
            Health::Failed(code) if self.spec.essential => Some((code, "is essential and failed for good")),
            Health::Done if self.spec.essential => Some((0, "is essential and has done its work")),
            _ => None,
        }
    }

    /// No process of it is left.
    pub fn down(&self) -> bool {
        self.instances.iter().all(|instance| instance.process.gone())
    }

    /// Does what is due, and lets go of what the plan has no room for once it is down.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        for instance in &mut self.instances {
            instance.tick(&self.spec, turn);
        }
        let over = |instance: &Instance| {
            instance.surplus && instance.state == State::Stopped && instance.process.gone()
        };
        while self.instances.last().is_some_and(over) {
            self.instances.pop();
        }
    }

    /// Fails with what it requires.
    pub fn suffer(&mut self, gate: Gate<'_>, turn: &mut Turn<'_>) {
        if let Gate::Lost(dependency, code) = gate {
            for instance in &mut self.instances {
                instance.suffer(&self.spec, dependency, code, turn);
            }
        }
    }

    /// Starts what is due, as a pause, the dependencies and the stagger allow, and moves a reload on.
    pub fn advance(&mut self, gate: Gate<'_>, turn: &mut Turn<'_>) {
        self.roll(turn);
        let held = self.held();
        for instance in &mut self.instances {
            instance.hold(&self.spec, held, turn);
        }
        let waiting =
            |instance: &&mut Instance| instance.state == State::Stopped && instance.want == Want::Up;
        for instance in self.instances.iter_mut().filter(waiting) {
            instance.timer = match gate {
                Gate::Open => instance.timer.or(Some(turn.now)),
                Gate::Waits(_) | Gate::Lost(..) => None,
            };
        }
        while let Some((_, next)) = self.next_start().filter(|(at, _)| *at <= turn.now) {
            let Some(instance) = self.instances.get_mut(next) else { break };
            instance.start(turn);
            self.last_start = Some((turn.now, instance.process.id));
        }
    }

    /// The instance that starts next, and when: the one that has waited longest goes first.
    fn next_start(&self) -> Option<(Mono, usize)> {
        if self.held() {
            return None;
        }
        let waiting = self.instances.iter().enumerate().filter_map(|(index, instance)| {
            let at = instance.startable()?;
            let at = match self.last_start {
                Some((last, id)) if id != instance.process.id => at.max(last.after(self.spec.stagger)),
                _ => at,
            };
            Some((at, instance.timer, index))
        });
        waiting.min().map(|(at, _, index)| (at, index))
    }

    pub fn deadline(&self, stopping: bool) -> Option<Mono> {
        let next = if stopping { None } else { self.next_start().map(|(at, _)| at) };
        self.instances.iter().map(Instance::deadline).fold(next, nearer)
    }

    /// Another plan has come: its values count from now on, for what lives too. `changed` means that what lives must
    /// be replaced. Before boot nothing starts and `up` is false.
    pub fn replan(&mut self, spec: Spec, count: u16, changed: bool, up: bool, turn: &mut Turn<'_>) {
        let old = std::mem::replace(&mut self.spec, spec);
        // All of them stopped by request: those that come are not wanted either.
        let wanted = self.retired() || self.kept().any(|instance| !instance.halted());
        self.count = count;
        let resumed =
            (old.pause_signal, old.resume_signal) != (self.spec.pause_signal, self.spec.resume_signal);
        let kill_at = turn.now.after(self.spec.reload_timeout);
        for (instance, index) in self.instances.iter_mut().zip(0_u16..) {
            if resumed {
                instance.hold(&old, false, turn);
            }
            instance.other_probes(&old, &self.spec, turn);
            if index >= count {
                instance.surplus = true;
                instance.bring_down(&self.spec, kill_at, "the configuration has it no more", turn);
            } else if std::mem::take(&mut instance.surplus) && up && wanted {
                instance.bring_up(Cause::Reload, turn);
            }
        }
        let next = u16::try_from(self.instances.len()).unwrap_or(u16::MAX);
        for instance in next..count {
            let mut instance = Instance::new(Id::Service { unit: self.unit, instance });
            instance.want = if up && wanted { Want::Up } else { Want::Down };
            self.instances.push(instance);
        }
        for instance in self.instances.iter_mut().filter(|_| up) {
            instance.revive(changed, turn);
        }
        if up && changed {
            for instance in self.instances.iter_mut() {
                instance.stale = instance.is_up() && instance.process.has_main();
            }
            turn.tell(Severity::Debug, None, format!("{} is another: replacing it", self.spec.name));
        } else if up {
            self.reload(turn);
        }
    }

    pub fn frozen(&mut self, lost: Duration, turn: &mut Turn<'_>) {
        for instance in &mut self.instances {
            instance.frozen(lost, turn);
        }
    }

    /// The container stops: nothing starts any more.
    pub fn unwant(&mut self, turn: &mut Turn<'_>) {
        self.rolling = None;
        for instance in &mut self.instances {
            instance.unwant(&self.spec, turn);
        }
    }

    /// The stop has come to this service: every instance is told, and KILLed at its own limit or at `at_most`.
    pub fn stop(&mut self, at_most: Mono, turn: &mut Turn<'_>) {
        let kill_at = turn.now.after(self.spec.stop_timeout).min(at_most);
        for instance in &mut self.instances {
            instance.stop(&self.spec, super::service::Next::Down, kill_at, turn);
        }
    }

    /// TERM to every group at once.
    pub fn hurry(&mut self, kill_at: Mono, turn: &mut Turn<'_>) {
        for instance in &mut self.instances {
            instance.hurry(kill_at, turn);
        }
    }

    pub fn kill(&mut self, turn: &mut Turn<'_>) {
        for instance in &mut self.instances {
            instance.kill(turn);
        }
    }

    /// How many instances have a process.
    pub fn lives(&self) -> usize {
        self.instances.iter().filter(|instance| !instance.process.gone()).count()
    }
}
