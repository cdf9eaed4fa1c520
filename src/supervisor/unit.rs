//! A service: its instances, their staggered starts, and a reload that restarts them one by one.

use super::event::{Action, ExitStatus, Id, Mono, Severity, SpawnFault};
use super::service::{Instance, Next};
use super::spec::{Spec, State, Want};
use super::turn::{Turn, nearer};
use crate::config::plan::{StopScope, Then};

/// What the others see of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    /// An instance is RUNNING.
    Up,
    /// None is, and one may still be.
    Pending,
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
    pub spec: Spec,
    pub instances: Vec<Instance>,
    /// The last start, and whose it was: the next of another instance keeps its distance.
    last_start: Option<(Mono, Id)>,
    /// The instance that a reload is restarting.
    rolling: Option<usize>,
}

impl Unit {
    pub fn new(unit: u16, spec: Spec, instances: u16) -> Self {
        let instances =
            (0..instances.max(1)).map(|instance| Instance::new(Id::Service { unit, instance })).collect();
        Self { spec, instances, last_start: None, rolling: None }
    }

    pub fn boot(&mut self) {
        for instance in &mut self.instances {
            instance.want = Want::Up;
        }
    }

    pub fn health(&self) -> Health {
        if self.instances.iter().any(|instance| instance.state == State::Running) {
            return Health::Up;
        }
        if self.instances.iter().any(|instance| !instance.state.is_final()) {
            return Health::Pending;
        }
        self.failure().map_or(Health::Done, Health::Failed)
    }

    /// The code of the first instance that failed for good.
    pub fn failure(&self) -> Option<u8> {
        let failed = |instance: &&Instance| {
            instance.state == State::Fatal
                || instance.state == State::Exited && instance.last.as_ref().is_some_and(|last| !last.success)
        };
        let first = self.instances.iter().find(failed)?;
        Some(first.last.as_ref().map_or(0, |last| last.code).max(crate::exit::FAILED))
    }

    /// The code that the container must stop with because of this service, with the reason.
    pub fn verdict(&self) -> Option<(u8, &'static str)> {
        let gave_up = self.instances.iter().any(|instance| instance.state == State::Fatal);
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

    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        for instance in &mut self.instances {
            instance.tick(&self.spec, turn);
        }
    }

    /// Fails with what it requires.
    pub fn suffer(&mut self, gate: Gate<'_>, turn: &mut Turn<'_>) {
        if let Gate::Lost(dependency, code) = gate {
            for instance in &mut self.instances {
                instance.lost(&self.spec, dependency, code, turn);
            }
        }
    }

    /// Starts what is due, as the dependencies and the stagger allow, and moves a reload on.
    pub fn advance(&mut self, gate: Gate<'_>, turn: &mut Turn<'_>) {
        let waiting =
            |instance: &&mut Instance| instance.state == State::Stopped && instance.want == Want::Up;
        for instance in self.instances.iter_mut().filter(waiting) {
            instance.timer = match gate {
                Gate::Open => instance.timer.or(Some(turn.now)),
                Gate::Waits(_) | Gate::Lost(..) => None,
            };
        }
        self.roll(turn);
        while let Some((_, next)) = self.next_start().filter(|(at, _)| *at <= turn.now) {
            let Some(instance) = self.instances.get_mut(next) else { break };
            instance.start(turn);
            self.last_start = Some((turn.now, instance.process.id));
        }
    }

    /// The instance that starts next, and when: the one that has waited longest goes first.
    fn next_start(&self) -> Option<(Mono, usize)> {
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

    pub fn spawned(&mut self, instance: u16, pid: i32, turn: &mut Turn<'_>) {
        if let Some(instance) = self.instances.get_mut(usize::from(instance)) {
            instance.spawned(&self.spec, pid, turn);
        }
    }

    pub fn spawn_failed(&mut self, instance: u16, fault: SpawnFault, turn: &mut Turn<'_>) {
        if let Some(instance) = self.instances.get_mut(usize::from(instance)) {
            instance.spawn_failed(&self.spec, fault, turn);
        }
    }

    pub fn exited(
        &mut self,
        instance: u16,
        status: ExitStatus,
        oom: bool,
        leftovers: bool,
        turn: &mut Turn<'_>,
    ) {
        if let Some(instance) = self.instances.get_mut(usize::from(instance)) {
            instance.exited(&self.spec, status, oom, leftovers, turn);
        }
    }

    pub fn group_empty(&mut self, instance: u16, turn: &mut Turn<'_>) {
        if let Some(instance) = self.instances.get_mut(usize::from(instance)) {
            instance.group_empty(&self.spec, turn);
        }
    }

    pub fn probe(&mut self, instance: u16, ok: bool, turn: &mut Turn<'_>) {
        if let Some(instance) = self.instances.get_mut(usize::from(instance)) {
            instance.probe(&self.spec, ok, turn);
        }
    }

    /// Reloads: by the reload signal where there is one, else by restarting one instance after the other. Instances
    /// that are not up will start afresh anyway; those that ended for good stay so.
    pub fn reload(&mut self, turn: &mut Turn<'_>) {
        let Some(signal) = self.spec.reload_signal else {
            for instance in &mut self.instances {
                let up = matches!(instance.state, State::Starting | State::Running);
                instance.stale = up && instance.process.alive();
            }
            return;
        };
        for instance in self.instances.iter().filter(|instance| instance.state == State::Running) {
            let id = instance.process.id;
            turn.act(Action::Signal { id, scope: StopScope::Main, signal });
            turn.tell(Severity::Info, id, format!("reloading: sent SIG{signal}"));
        }
    }

    /// Restarts the next instance once the one before is RUNNING again. One that fails for good ends the reload: what
    /// broke it would break the others too.
    fn roll(&mut self, turn: &mut Turn<'_>) {
        if let Some(current) = self.rolling.and_then(|index| self.instances.get(index)) {
            match current.state {
                State::Running => self.rolling = None,
                State::Exited | State::Fatal => {
                    let rest = self.instances.iter().filter(|instance| instance.stale).count();
                    if rest > 0 {
                        let text = format!("the reload ends here, {rest} more keep running as they are");
                        turn.tell(Severity::Warn, current.process.id, text);
                    }
                    self.instances.iter_mut().for_each(|instance| instance.stale = false);
                    self.rolling = None;
                }
                _ => return,
            }
        }
        let up = |instance: &Instance| matches!(instance.state, State::Starting | State::Running);
        for instance in self.instances.iter_mut().filter(|instance| !up(instance)) {
            instance.stale = false;
        }
        let Some(next) = self.instances.iter().position(|instance| instance.stale) else { return };
        let Some(instance) = self.instances.get_mut(next) else { return };
        instance.stale = false;
        self.rolling = Some(next);
        instance.stop(&self.spec, Next::Restart, turn.now.after(self.spec.stop_timeout), turn);
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
            instance.stop(&self.spec, Next::Down, kill_at, turn);
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
