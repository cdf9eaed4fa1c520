//! What people ask for while the container is up: start, stop, restart, a signal, a run, a pause. Once it stops, nothing of it counts.

use super::causes::Cause;
use super::event::{Severity, Target, Verb};
use super::service::Instance;
use super::spec::Spec;
use super::turn::Turn;
use super::{Found, Phase, Supervisor};

impl Supervisor {
    pub(super) fn asked(&mut self, target: Target, verb: Verb, turn: &mut Turn<'_>) {
        if self.phase != Phase::Up {
            return;
        }
        // What failed may have been told to try again, or to rest; what still has failed is found anew.
        self.first_failure = None;
        match target {
            Target::All => {
                let mut units = self.order.starts.clone();
                // Those that depend on others are told first.
                if matches!(verb, Verb::Stop | Verb::Restart) {
                    units.reverse();
                }
                units.into_iter().for_each(|unit| self.ask_unit(unit, verb, turn));
            }
            Target::Unit(unit) => self.ask_unit(usize::from(unit), verb, turn),
            Target::One(id) => match (self.find(id), verb) {
                (Some(Found::Instance(spec, instance)), _) => ask(spec, instance, verb, turn),
                (Some(Found::Run(cron, run)), Verb::Stop) => cron.stop_run(run, turn),
                (Some(Found::Run(cron, run)), Verb::Signal(signal)) => cron.signal_run(run, signal, turn),
                (Some(Found::Run(..)), Verb::Start | Verb::Restart) | (None, _) => {}
            },
        }
    }

    fn ask_unit(&mut self, unit: usize, verb: Verb, turn: &mut Turn<'_>) {
        let Some(unit) = self.units.get_mut(unit) else { return };
        for instance in unit.instances.iter_mut().filter(|instance| !instance.surplus) {
            ask(&unit.spec, instance, verb, turn);
        }
    }

    pub(super) fn run_now(&mut self, unit: u16, turn: &mut Turn<'_>) {
        let Some(cron) = self.crons.get_mut(usize::from(unit)) else { return };
        match self.phase {
            Phase::Up if cron.retired => {
                turn.tell(Severity::Info, cron.id(), "not run: the configuration has it no more");
            }
            Phase::Up => cron.run_now(turn),
            Phase::Booting => turn.tell(Severity::Info, cron.id(), "not run: the container is not up yet"),
            Phase::Stopping | Phase::Over => {
                turn.tell(Severity::Info, cron.id(), "not run: the container stops");
            }
        }
    }

    /// The schedule says that an entry is due.
    pub(super) fn due(&mut self, unit: u16, turn: &mut Turn<'_>) {
        let paused = self.paused;
        match self.crons.get_mut(usize::from(unit)) {
            Some(cron) if self.phase != Phase::Up || cron.retired => {}
            Some(cron) if paused => cron.due_while_paused(turn),
            Some(cron) => cron.due(turn),
            None => {}
        }
    }

    pub(super) fn pause(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Up || self.paused {
            return;
        }
        turn.tell(Severity::Info, None, "paused: no cron entry is due until it is resumed");
        self.paused = true;
        self.units.iter_mut().for_each(|unit| unit.paused = true);
        self.crons.iter_mut().for_each(|cron| cron.hold(turn));
    }

    pub(super) fn resume(&mut self, turn: &mut Turn<'_>) {
        if self.phase != Phase::Up || !self.paused {
            return;
        }
        turn.tell(Severity::Info, None, "resumed");
        self.paused = false;
        self.units.iter_mut().for_each(|unit| unit.paused = false);
    }
}

fn ask(spec: &Spec, instance: &mut Instance, verb: Verb, turn: &mut Turn<'_>) {
    match verb {
        Verb::Start => instance.bring_up(Cause::Request, turn),
        Verb::Stop => instance.bring_down(spec, turn.now.after(spec.stop_timeout), "asked to", turn),
        Verb::Restart => instance.restart(spec, turn),
        Verb::Signal(signal) => instance.signal(signal, turn),
    }
}
