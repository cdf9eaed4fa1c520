//! The reload of a service: by its signal, or by restarting one instance after the other.

use super::causes::Cause;
use super::event::{Action, Severity};
use super::spec::State;
use super::turn::Turn;
use super::unit::Unit;

impl Unit {
    /// Reloads: by the reload signal where there is one, else by restarting one instance after the other. Instances
    /// that are not up will start afresh anyway; those that ended for good stay so.
    pub fn reload(&mut self, turn: &mut Turn<'_>) {
        let Some(signal) = self.spec.reload_signal else {
            for instance in &mut self.instances {
                instance.stale = instance.is_up() && instance.process.alive();
            }
            return;
        };
        for instance in self.instances.iter_mut().filter(|instance| instance.state == State::Running) {
            let id = instance.process.id;
            instance.reloaded = Some(turn.now);
            turn.act(Action::Signal { id, signal });
            turn.tell(Severity::Info, id, format!("reloading: sent SIG{signal}"));
        }
    }

    /// Restarts the next instance once the one before is RUNNING again. One that fails for good ends the reload: what
    /// broke it would break the others too. One that somebody stopped meanwhile is not waited for.
    pub fn roll(&mut self, turn: &mut Turn<'_>) {
        if let Some(current) = self.rolling.and_then(|index| self.instances.get(index)) {
            match current.state {
                State::Running => {}
                _ if current.halted() => {}
                State::Exited | State::Fatal => {
                    let rest = self.instances.iter().filter(|instance| instance.stale).count();
                    if rest > 0 {
                        let text = format!("the reload ends here, {rest} more keep running as they are");
                        turn.tell(Severity::Warn, current.process.id, text);
                    }
                    self.instances.iter_mut().for_each(|instance| instance.stale = false);
                }
                _ => return,
            }
        }
        self.rolling = None;
        for instance in self.instances.iter_mut().filter(|instance| !instance.is_up()) {
            instance.stale = false;
        }
        let Some(next) = self.instances.iter().position(|instance| instance.stale) else { return };
        let Some(instance) = self.instances.get_mut(next) else { return };
        self.rolling = Some(next);
        let kill_at = turn.now.after(self.spec.reload_timeout);
        instance.replace(&self.spec, Cause::Reload, kill_at, turn);
    }
}
