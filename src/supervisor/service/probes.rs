//! Readiness, which makes STARTING RUNNING, and liveness, which ends what is RUNNING and works no more.

use super::{Blame, Cause, Instance, Next};
use crate::config::plan::ReadyPlan;
use crate::supervisor::event::{Action, Severity};
use crate::supervisor::limit::Limit;
use crate::supervisor::spec::{Spec, State, Want};
use crate::supervisor::turn::Turn;
use crate::supervisor::words::{Words, counted};
use std::time::Duration;

/// A readiness probe that asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probing {
    /// In a row.
    successes: u32,
    limit: Limit,
}

/// What the liveness probe of an instance has found.
#[derive(Clone, Debug, Default)]
pub(super) struct Pulse {
    /// The shell asks.
    watched: bool,
    /// Its verdict; `None` as long as there is none.
    alive: Option<bool>,
    /// Since it was alive.
    failures: u32,
    /// In a row.
    successes: u32,
}

impl Instance {
    /// The verdict of the liveness probe on this run, or on the last one that it ended.
    pub fn alive(&self) -> Option<bool> {
        self.pulse.alive.filter(|alive| !alive || self.process.alive())
    }

    /// The process is there: waits for its probe, or for the end of its grace.
    pub(super) fn await_ready(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        let started = self.process.started();
        self.timer = Some(match &spec.ready {
            Some(ready) => {
                let limit = Limit::new(started.after(ready.within()));
                self.probing = Some(Probing { successes: 0, limit });
                turn.act(Action::StartProbe { id: self.id() });
                limit.at
            }
            None => started.after(spec.start_grace),
        });
    }

    /// The probe answered. As many successes in a row as the plan wants make it RUNNING.
    pub fn probe(&mut self, spec: &Spec, ok: bool, turn: &mut Turn<'_>) {
        let Some(Probing { successes, .. }) = &mut self.probing else { return };
        *successes = if ok { successes.saturating_add(1) } else { 0 };
        if *successes >= spec.ready.as_ref().map_or(1, |ready| ready.successes.max(1)) {
            let took = Words(turn.now.since(self.process.started()));
            self.end_probe(turn);
            turn.tell(Severity::Info, self.id(), format!("ready after {took}"));
            self.running(spec, turn);
        }
    }

    /// The container was frozen: what is to get ready has that much more time.
    pub fn frozen(&mut self, lost: Duration, turn: &mut Turn<'_>) {
        if let Some(Probing { limit, .. }) = &mut self.probing {
            limit.frozen(lost);
            self.timer = Some(limit.at);
            let text = format!(
                "the container was frozen for {}: it has that much more time to be ready",
                Words(lost)
            );
            turn.tell(Severity::Info, self.id(), text);
        }
    }

    /// What it was given to be ready is over.
    pub(super) fn waited(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        if self.probing.is_none() {
            return self.running(spec, turn);
        }
        let deadline = Words(spec.ready.as_ref().map_or(spec.start_grace, ReadyPlan::within));
        let text = format!("not ready within {deadline}: stopping it to try again");
        turn.tell(Severity::Warn, self.id(), text);
        self.blame = Some(Blame { words: format!("was not ready within {deadline}"), uptime: None });
        self.cause = Cause::NotReady;
        self.stop(spec, Next::Failed, turn.now.after(spec.stop_timeout), turn);
    }

    fn running(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        self.enter(State::Running, None, turn);
        self.watch(spec, turn);
    }

    pub(super) fn end_probe(&mut self, turn: &mut Turn<'_>) {
        if self.probing.take().is_some() {
            turn.act(Action::StopProbe { id: self.id() });
        }
    }

    /// Has the shell ask whether it lives.
    pub(super) fn watch(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        if spec.live.is_some() && !self.pulse.watched {
            self.pulse = Pulse { watched: true, alive: self.pulse.alive, ..Pulse::default() };
            turn.act(Action::StartLiveness { id: self.id() });
        }
    }

    pub(super) fn unwatch(&mut self, turn: &mut Turn<'_>) {
        if self.pulse.watched {
            self.pulse.watched = false;
            turn.act(Action::StopLiveness { id: self.id() });
        }
    }

    /// The liveness probe answered. As many failures as the plan allows end the run; successes in a row forgive them.
    pub fn live(&mut self, spec: &Spec, ok: bool, why: Option<&str>, turn: &mut Turn<'_>) {
        let Some(plan) = &spec.live else { return };
        if !self.pulse.watched || self.state != State::Running || self.want == Want::Down {
            return;
        }
        if ok {
            self.pulse.successes = self.pulse.successes.saturating_add(1);
            if self.pulse.successes >= plan.successes.max(1) {
                self.pulse.failures = 0;
                self.pulse.alive = Some(true);
            }
            return;
        }
        self.pulse.successes = 0;
        self.pulse.failures = self.pulse.failures.saturating_add(1);
        if self.pulse.failures < plan.failures.max(1) {
            return;
        }
        self.pulse.alive = Some(false);
        let why = why.map(|why| format!(": {why}")).unwrap_or_default();
        let words = format!("liveness probe failed {}{why}", counted(self.pulse.failures, "time", "times"));
        turn.tell(Severity::Warn, self.id(), format!("{words}; sent SIG{} to it", spec.manner.signal));
        self.blame = Some(Blame { words, uptime: Some(turn.now.since(self.process.started())) });
        self.cause = Cause::Liveness;
        self.stop(spec, Next::Failed, turn.now.after(spec.stop_timeout), turn);
    }

    /// The plan's probes are others now; those of the shell begin anew.
    pub fn other_probes(&mut self, old: &Spec, new: &Spec, turn: &mut Turn<'_>) {
        if old.ready != new.ready && self.state == State::Starting && self.timer.is_some() {
            self.end_probe(turn);
            self.await_ready(new, turn);
        }
        if old.live != new.live && self.pulse.watched {
            self.unwatch(turn);
            self.watch(new, turn);
        } else if old.live != new.live && self.state == State::Running && !self.paused {
            self.watch(new, turn);
        }
        if new.live.is_none() {
            self.pulse.alive = None;
        }
    }
}
