//! What `init status` shows.

use super::super::clock;
use super::Loop;
use crate::control::protocol::{Cron, Run, Service, Status};
use crate::supervisor::status::{CronStatus, InstanceStatus};
use crate::supervisor::{Id, Want};
use std::time::Duration;

impl Loop<'_> {
    /// Everything, as of now.
    pub(super) fn status(&self) -> Status {
        let snapshot = self.core.snapshot(clock::now());
        Status {
            preset: self.plan.preset.clone(),
            role: self.plan.role.clone(),
            services: snapshot.instances.into_iter().map(|instance| self.service(instance)).collect(),
            crons: snapshot.crons.into_iter().map(|cron| self.cron_entry(cron)).collect(),
            orphans_reaped: self.shell.children.orphans_reaped(),
            ..self.shell.board.status()
        }
    }

    fn service(&self, status: InstanceStatus) -> Service {
        let (unit, instance) = match status.id {
            Id::Service { unit, instance } => (unit, instance),
            Id::Run { unit, .. } => (unit, 0),
        };
        let plan = self.plan.services.get(usize::from(unit));
        Service {
            name: status.name,
            service: plan.map(|plan| plan.name.clone()).unwrap_or_default(),
            instance,
            state: status.state.to_string(),
            wanted: status.want == Want::Up,
            essential: plan.is_some_and(|plan| plan.essential),
            pid: status.pid,
            since_ms: millis(status.lasting),
            uptime_ms: status.uptime.map(millis),
            restarts: u64::from(status.restarts),
            failures: status.failures,
            last_exit: status.last_exit,
            retry_in_ms: status.retry_in.map(millis),
            waits_for: status.waits_for,
            ..Service::default()
        }
    }

    fn cron_entry(&self, status: CronStatus) -> Cron {
        let plan = self.plan.crons.get(usize::from(status.unit));
        let (last_exit, last_ago) = status.last_exit.unzip();
        Cron {
            name: status.name,
            schedule: plan.map(|plan| plan.schedule.clone()).unwrap_or_default(),
            next_ms: self.cron.next_of(status.unit).map(|next| next.as_millisecond()),
            running: status.runs.into_iter().map(|(_, pid, age)| Run { pid, age_ms: millis(age) }).collect(),
            last_exit,
            last_ago_ms: last_ago.map(millis),
            ..Cron::default()
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
