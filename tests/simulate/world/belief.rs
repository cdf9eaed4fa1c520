//! What may be alive: what the plan has, nobody stopped and no pause holds.

use super::World;
use crate::invariants::Invariant;
use crate::subject::Core;
use php_init::config::plan::{CronPlan, Overlap, ServicePlan};
use php_init::supervisor::{Event, Id, Replan, State, Target, Verb, Want};
use std::collections::BTreeSet;
use std::time::Duration;

impl<C: Core> World<C> {
    /// What the event means for what may start.
    pub(super) fn believe(&mut self, event: &Event) {
        if *event == Event::Stop {
            self.stops += 1;
            // The second request ends it within five seconds, the third now.
            let wait = if self.stops >= 3 { Duration::ZERO } else { Duration::from_secs(5) };
            if self.stops >= 2 {
                let by = self.now.after(wait);
                self.hurried = Some(self.hurried.unwrap_or(by).min(by));
            }
        }
        if !self.booted || self.core.is_stopping() {
            self.booted |= *event == Event::Boot;
            return;
        }
        match event {
            Event::Pause => self.paused = true,
            Event::Resume => self.paused = false,
            Event::Ask { target, verb: Verb::Stop } => {
                let ids = self.ids(*target);
                self.halted.extend(ids);
            }
            Event::Ask { target, verb: Verb::Start | Verb::Restart } => {
                let ids = self.ids(*target);
                self.halted.retain(|id| !ids.contains(id));
            }
            _ => {}
        }
    }

    /// The instances that the plan has of a target.
    pub fn ids(&self, target: Target) -> Vec<Id> {
        let all = self.services.iter().zip(0_u16..).filter(|(_, unit)| !self.retired.contains(unit));
        let all = all.flat_map(|(service, unit)| {
            (0..service.instances.max(1)).map(move |instance| Id::Service { unit, instance })
        });
        all.filter(|id| match target {
            Target::All => true,
            Target::Unit(wanted) => matches!(id, Id::Service { unit, .. } if *unit == wanted),
            Target::One(wanted) => wanted == *id,
        })
        .collect()
    }

    /// Puts another plan in the place of this one.
    pub fn replan(
        &mut self,
        services: Vec<ServicePlan>,
        crons: Vec<CronPlan>,
        retired: BTreeSet<u16>,
        changed: &[u16],
        retired_crons: &[u16],
    ) {
        let now = self.now;
        self.note(|| {
            format!("{now:?} replan, retired {retired:?}, changed {changed:?}, entries {retired_crons:?}")
        });
        self.events += 1;
        let gone: Vec<u16> = retired.iter().copied().collect();
        let plan = Replan {
            services: &services,
            retired: &gone,
            changed,
            crons: &crons,
            retired_crons,
            stop_timeout: self.budget,
        };
        let mut actions = std::mem::take(&mut self.actions);
        // A plan that is taken over may have nothing in it and end the container at once.
        let was_stopping = self.core.is_stopping();
        self.core.replan(&plan, now, &mut actions);
        if !was_stopping {
            let (before, halted) = (self.ids(Target::All), self.halted_units());
            if let Some(wall) = &mut self.wall {
                wall.replan(&crons, now);
            }
            (self.services, self.crons, self.retired) = (services, crons, retired);
            let ids = self.ids(Target::All);
            self.halted.retain(|id| ids.contains(id));
            // What comes to a service that somebody stopped as a whole is down too.
            let comes = |id: &Id| {
                !before.contains(id) && matches!(id, Id::Service { unit, .. } if halted.contains(unit))
            };
            self.halted.extend(ids.into_iter().filter(comes));
        }
        self.carry_out(&mut actions, false);
        self.actions = actions;
    }

    fn halted_units(&self) -> BTreeSet<u16> {
        let all = (0_u16..).take(self.services.len()).filter(|unit| !self.retired.contains(unit));
        all.filter(|unit| self.ids(Target::Unit(*unit)).iter().all(|id| self.halted.contains(id))).collect()
    }

    /// Whether the start of an id is right now.
    pub(super) fn may_start(&mut self, id: Id) {
        if !self.booted {
            return self.fail(Invariant::NothingBeforeBoot, || format!("{id:?} starts before the boot"));
        }
        if self.stopping_since.is_some() {
            return self.fail(Invariant::NothingInStop, || format!("{id:?} starts during the stop"));
        }
        if self.refused.contains(&id) {
            return self.fail(Invariant::OneProcess, || format!("{id:?} is asked for twice"));
        }
        self.clear(id);
        let Id::Service { unit, instance } = id else { return self.may_run(id) };
        if self.halted.contains(&id) {
            return self.fail(Invariant::StoppedStaysDown, || format!("{id:?} starts by itself"));
        }
        let plan = self.services.get(usize::from(unit)).filter(|_| !self.retired.contains(&unit));
        let Some(plan) = plan.filter(|plan| instance < plan.instances.max(1)) else {
            return self.fail(Invariant::PlannedOnly, || format!("the plan has no {id:?}"));
        };
        if self.paused && plan.pause_signal.is_some() {
            return self.fail(Invariant::PauseHolds, || format!("{id:?} starts while paused"));
        }
        if !self.starts.contains_key(&id) {
            self.in_order(id, unit);
        }
    }

    fn in_order(&mut self, id: Id, unit: u16) {
        let waits = self.waits_for(unit).into_iter().find(|other| {
            let states = self.ids(Target::Unit(*other)).into_iter().filter_map(|id| self.core.state(id));
            let states: Vec<(State, Want)> = states.collect();
            let up = states.iter().any(|(state, _)| *state == State::Running);
            let may = states.iter().any(|(state, want)| *want == Want::Up && !state.is_final());
            may && !up
        });
        // Two that wait for each other would wait for ever; the order lets one of them go.
        let waits = waits.filter(|_| !self.circular(unit));
        if let Some(other) = waits {
            self.fail(Invariant::Ordered, || format!("{id:?} does not wait for service {other}"));
        }
    }

    fn waits_for(&self, unit: u16) -> Vec<u16> {
        let Some(plan) = self.services.get(usize::from(unit)) else { return Vec::new() };
        let known = (0_u16..)
            .zip(&self.services)
            .filter(|(other, _)| !self.retired.contains(other) && *other != unit);
        let named =
            |other: &ServicePlan| plan.after.contains(&other.name) || plan.requires.contains(&other.name);
        known.filter(|(_, other)| named(other)).map(|(other, _)| other).collect()
    }

    /// It waits for a circle, or is in one.
    fn circular(&self, unit: u16) -> bool {
        self.ahead(unit).into_iter().chain([unit]).any(|unit| self.ahead(unit).contains(&unit))
    }

    /// All that it waits for, and that these wait for.
    fn ahead(&self, unit: u16) -> BTreeSet<u16> {
        let (mut seen, mut next) = (BTreeSet::new(), self.waits_for(unit));
        while let Some(unit) = next.pop() {
            if seen.insert(unit) {
                next.extend(self.waits_for(unit));
            }
        }
        seen
    }

    fn may_run(&mut self, id: Id) {
        let Id::Run { unit, .. } = id else { return };
        let Some(plan) = self.crons.get(usize::from(unit)) else {
            return self.fail(Invariant::PlannedOnly, || format!("the plan has no {id:?}"));
        };
        let most = match plan.overlap {
            Overlap::Allow => usize::from(plan.max_running.max(1)),
            Overlap::Skip | Overlap::Queue | Overlap::Replace => 1,
        };
        let of_it = |other: &Id| matches!(other, Id::Run { unit: other, .. } if *other == unit);
        let lives = self.procs.iter().filter(|(id, process)| of_it(id) && process.main).count();
        let waits = self.refused.iter().filter(|id| of_it(id)).count();
        if lives + waits >= most {
            self.fail(Invariant::Overlap, || format!("{id:?} is one more than {most}"));
        }
    }
}
