//! Another plan in the place of the one that is supervised.
//!
//! What lives goes on under its id. Values such as delays and limits count at once; what needs another process is replaced
//! one instance after the other, and what the plan has no more ends in its own manner.

use super::event::{Action, Mono, Replan, Severity};
use super::order::Order;
use super::runs::Cron;
use super::spec::Spec;
use super::turn::Turn;
use super::unit::Unit;
use super::{Phase, Supervisor, index};

impl Supervisor {
    /// Puts another plan in the place of this one: ends what is retired, replaces what changed, starts what is new, and
    /// reloads the rest. While the container stops it changes nothing.
    ///
    /// The actions are about the new plan: the shell takes it over before it carries them out.
    pub fn replan(&mut self, plan: &Replan<'_>, now: Mono) -> Vec<Action> {
        let mut actions = Vec::new();
        self.turn(now, &mut actions, |core, turn| core.take_over(plan, turn));
        actions
    }

    fn take_over(&mut self, plan: &Replan<'_>, turn: &mut Turn<'_>) {
        if self.is_stopping() {
            return turn.tell(
                Severity::Debug,
                None,
                "the new configuration is not taken over: the container stops",
            );
        }
        let up = self.phase == Phase::Up;
        self.budget = plan.stop_timeout;
        self.first_failure = None;
        let retired = |unit: usize| plan.retired.contains(&index(unit));
        for (unit, service) in plan.services.iter().enumerate() {
            let spec = Spec::new(service, plan.stop_timeout);
            let count = if retired(unit) { 0 } else { service.instances.max(1) };
            if let Some(unit_before) = self.units.get_mut(unit) {
                unit_before.replan(spec, count, plan.changed.contains(&index(unit)), up, turn);
            } else {
                let mut added = Unit::new(index(unit), spec, count);
                added.paused = self.paused;
                if up {
                    added.boot();
                }
                self.units.push(added);
            }
        }
        // A list that is too short breaks the contract; what it lacks is over all the same.
        for unit in self.units.iter_mut().skip(plan.services.len()) {
            unit.replan(unit.spec.clone(), 0, false, up, turn);
        }
        self.crons.iter_mut().skip(plan.crons.len()).for_each(Cron::retire);
        self.order = Order::new(plan.services, retired);
        for (unit, entry) in plan.crons.iter().enumerate() {
            let retired = plan.retired_crons.contains(&index(unit));
            match self.crons.get_mut(unit) {
                Some(cron) => cron.replan(entry, retired),
                None => {
                    let mut added = Cron::new(index(unit), entry);
                    added.retired = retired;
                    self.crons.push(added);
                }
            }
        }
    }
}
