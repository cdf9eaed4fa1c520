//! What `init status` shows.

use super::super::clock;
use super::super::probing::Told;
use super::Loop;
use crate::control::protocol::{Cron, Run, Service, Status};
use crate::supervisor::status::{CronStatus, InstanceStatus, Outcomes};
use crate::supervisor::{Id, Want};
use std::collections::BTreeMap;
use std::time::Duration;

impl Loop<'_> {
    /// Everything, as of now.
    pub(super) fn status(&self) -> Status {
        let snapshot = self.core.snapshot(clock::now());
        Status {
            paused: snapshot.paused,
            preset: self.plan.preset.clone(),
            role: self.plan.role.clone(),
            services: snapshot.instances.into_iter().map(|instance| self.service(instance)).collect(),
            crons: snapshot.crons.into_iter().map(|cron| self.cron_entry(cron)).collect(),
            orphans_reaped: self.shell.children.orphans_reaped(),
            ..self.shell.board.status()
        }
    }

    fn service(&self, status: InstanceStatus) -> Service {
        let instance = match status.id {
            Id::Service { instance, .. } => instance,
            Id::Run { .. } => 0,
        };
        Service {
            degraded: self.probes.degraded(status.id),
            degraded_attempts: self.probes.known(status.id).map(Told::degraded_attempts),
            told: self.probes.known(status.id).and_then(Told::status),
            name: status.name,
            service: status.service,
            instance,
            state: status.state.to_string(),
            wanted: status.want == Want::Up,
            essential: status.essential,
            pid: status.pid,
            since_ms: millis(status.lasting),
            uptime_ms: status.uptime.map(millis),
            restarts: u64::from(status.restarts.total()),
            restarts_by_cause: status
                .restarts
                .by_cause()
                .map(|(cause, count)| (cause.name().to_owned(), u64::from(count)))
                .collect(),
            failures: status.failures,
            last_exit: status.last_exit,
            retry_in_ms: status.retry_in.map(millis),
            waits_for: status.waits_for,
            alive: status.alive,
            paused: status.paused,
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
            last_took_ms: self.took.get(&status.unit).copied().map(millis),
            lag_ms: self.lags.get(&status.unit).copied().map(millis),
            outcomes: outcomes(&status.outcomes),
        }
    }
}

fn outcomes(outcomes: &Outcomes) -> BTreeMap<String, u64> {
    let Outcomes { ok, failed, timeout, skipped } = *outcomes;
    let counts = [("ok", ok), ("failed", failed), ("timeout", timeout), ("skipped", skipped)];
    counts.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
