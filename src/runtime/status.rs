//! What SIGUSR1 logs: one line for every instance and cron entry, as `supervisorctl status` would print them.

use super::children::Children;
use super::clock;
use super::cron::Cron;
use crate::config::plan::Plan;
use crate::supervisor::{Id, Supervisor};

/// So many lines, and then the logs have their turn: those of a thousand services are more than waits in a queue.
const LINES_AT_ONCE: usize = 16;

/// Logs the state of everything.
pub async fn log(core: &Supervisor, cron: &Cron, children: &Children) {
    let snapshot = core.snapshot(clock::now());
    let instances = snapshot.instances.iter().map(ToString::to_string);
    let entries = snapshot.crons.iter().map(ToString::to_string);
    for (index, line) in instances.chain(entries).enumerate() {
        tracing::info!("{line}");
        if index.is_multiple_of(LINES_AT_ONCE) {
            tokio::task::yield_now().await;
        }
    }
    if let Some(next) = cron.next() {
        tracing::info!("next cron run at {next}");
    }
    tracing::info!(
        "orphans reaped: {}{}",
        children.orphans_reaped(),
        if snapshot.stopping { ", stopping" } else { "" }
    );
}

/// What log lines call an instance or a run: `php-fpm`, `queue:1`, `schedule`.
pub fn name(plan: &Plan, id: Id) -> String {
    match id {
        Id::Service { unit, instance } => match plan.services.get(usize::from(unit)) {
            Some(service) if service.instances > 1 || instance > 0 => format!("{}:{instance}", service.name),
            Some(service) => service.name.clone(),
            None => format!("service {unit}"),
        },
        Id::Run { unit, .. } => {
            plan.crons.get(usize::from(unit)).map_or_else(|| format!("cron {unit}"), |cron| cron.name.clone())
        }
    }
}
