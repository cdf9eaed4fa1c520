//! What may be alive: what the plan has, nobody stopped and no pause holds.

use super::World;
use crate::config::plan::{CronPlan, ServicePlan};
use crate::supervisor::tests::script::Names;
use crate::supervisor::*;
use std::collections::BTreeSet;

impl World {
    /// What the event means for what may start.
    pub(super) fn believe(&mut self, event: &Event) {
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
        self.note(format!("{:?} replan, retired {retired:?}, changed {changed:?}", self.now));
        let gone: Vec<u16> = retired.iter().copied().collect();
        let plan = Replan {
            services: &services,
            retired: &gone,
            changed,
            crons: &crons,
            retired_crons,
            stop_timeout: self.budget,
        };
        let actions = self.core.replan(&plan, self.now);
        if !self.core.is_stopping() {
            self.names = Names::new(&services, &crons);
            (self.services, self.crons, self.retired) = (services, crons, retired);
            let ids = self.ids(Target::All);
            self.halted.retain(|id| ids.contains(id));
        }
        self.carry_out(actions);
    }

    /// Nobody stopped it, the plan has it, and no pause holds it.
    pub(super) fn may_start(&self, id: Id) {
        let Id::Service { unit, .. } = id else { return };
        assert!(!self.halted.contains(&id), "{id:?} was stopped and starts by itself\n{}", self.story());
        assert!(self.ids(Target::One(id)) == [id], "the plan has no {id:?}\n{}", self.story());
        let pausable = self.services[usize::from(unit)].pause_signal.is_some();
        assert!(!(self.paused && pausable), "{id:?} starts while paused\n{}", self.story());
    }
}
