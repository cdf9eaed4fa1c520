//! What people ask of an instance: to start, to stop, to restart, a signal, a pause, another plan.

use super::{Cause, Failures, Instance, Next};
use crate::config::plan::Signal;
use crate::supervisor::event::{Action, Mono, Severity};
use crate::supervisor::spec::{Spec, State, Want};
use crate::supervisor::turn::Turn;

impl Instance {
    /// Brings it up, with its failures forgotten. One that is up or on its way there is left alone.
    pub fn bring_up(&mut self, cause: Cause, turn: &mut Turn<'_>) {
        let coming = match self.state {
            State::Starting | State::Running | State::Stopped => true,
            State::Stopping => self.next == Next::Restart,
            State::Backoff | State::Exited | State::Fatal => false,
        };
        if self.surplus || (coming && !self.halted()) {
            return;
        }
        self.want = Want::Up;
        self.forgive();
        self.cause = cause;
        match self.state {
            State::Stopping => self.next = Next::Restart,
            State::Backoff => self.enter(State::Backoff, Some(turn.now), turn),
            State::Stopped | State::Exited | State::Fatal => self.enter(State::Stopped, None, turn),
            State::Starting | State::Running => {}
        }
    }

    /// Brings it down, to stay there. What was down for good or for now is STOPPED then, and no failure any more.
    pub fn bring_down(&mut self, spec: &Spec, kill_at: Mono, why: &str, turn: &mut Turn<'_>) {
        if !self.halted() {
            let what = if self.process.has_main() { "stopping" } else { "stays down" };
            turn.tell(Severity::Info, self.id(), format!("{what}: {why}"));
        }
        self.want = Want::Down;
        self.stale = false;
        self.forgive();
        if self.state.is_final() {
            self.enter(State::Stopped, None, turn);
        } else {
            self.stop(spec, Next::Down, kill_at, turn);
        }
    }

    /// Stops it in its manner, then starts it. What is down is started.
    pub fn restart(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        if !self.is_up() {
            return self.bring_up(Cause::Request, turn);
        }
        turn.tell(Severity::Info, self.id(), "restarting: asked to");
        self.forgive();
        self.replace(spec, Cause::Request, turn.now.after(spec.stop_timeout), turn);
    }

    /// Stops it to start it again.
    pub fn replace(&mut self, spec: &Spec, cause: Cause, kill_at: Mono, turn: &mut Turn<'_>) {
        self.stale = false;
        self.cause = cause;
        self.stop(spec, Next::Restart, kill_at, turn);
    }

    /// Sends a signal that somebody asked for, and nothing else.
    pub fn signal(&mut self, signal: Signal, turn: &mut Turn<'_>) {
        let id = self.id();
        if !self.process.alive() {
            return turn.tell(Severity::Info, id, format!("SIG{signal} not sent: it has no process"));
        }
        self.asked = Some(signal);
        turn.act(Action::Signal { id, signal });
        turn.tell(Severity::Info, id, format!("sent SIG{signal}: asked to"));
    }

    /// Brings it in line with a pause of its service. Only what is RUNNING has a handler for the signal for certain: a
    /// PHP worker that has just been started would die of it.
    pub fn hold(&mut self, spec: &Spec, held: bool, turn: &mut Turn<'_>) {
        match self.state {
            State::Backoff if held => {
                turn.tell(Severity::Info, self.id(), "stays down until it is resumed");
                self.enter(State::Stopped, self.timer, turn);
            }
            State::Running if held && !self.paused => {
                self.paused = true;
                // A worker that does nothing may look dead to its probe.
                self.unwatch(turn);
                self.pass(spec.pause_signal, "paused", turn);
            }
            State::Running if !held && self.paused => {
                self.paused = false;
                self.pass(spec.resume_signal, "resumed", turn);
                self.watch(spec, turn);
            }
            _ => {}
        }
    }

    fn pass(&self, signal: Option<Signal>, what: &str, turn: &mut Turn<'_>) {
        let Some(signal) = signal else { return };
        let id = self.id();
        turn.act(Action::Signal { id, signal });
        turn.tell(Severity::Info, id, format!("{what}: sent SIG{signal}"));
    }

    /// Another plan has come. What failed under the old one tries again if that can help.
    pub fn revive(&mut self, changed: bool, turn: &mut Turn<'_>) {
        if self.halted() {
            return;
        }
        let failed = self.state == State::Fatal || self.failed_exit();
        if self.lost || (changed && (failed || self.state == State::Backoff)) {
            self.bring_up(Cause::Reload, turn);
        }
    }

    /// EXITED, and not well.
    pub fn failed_exit(&self) -> bool {
        self.state == State::Exited && self.last.as_ref().is_some_and(|last| !last.success)
    }

    fn forgive(&mut self) {
        self.failures = 0;
        self.unready = 0;
        self.recent = Failures::default();
    }
}
