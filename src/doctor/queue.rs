//! Workers and the scheduler: their times, their connection, what runs twice or never.

use super::facts::{Facts, Told};
use super::words::{artisan, connection, file_name, list, option, running};
use super::{Check, Finding};
use crate::config::plan::{Plan, Restart, ServicePlan};
use crate::config::values::show_duration;
use std::time::Duration;

static RETRY: Check = Check {
    id: "queue-retry-after",
    what: "a worker's `--timeout` is shorter than its connection's `retry_after`",
    why: "a job that takes longer than retry_after is given to a second worker while the first still has it: it runs twice",
    fix: "config/queue.php: a `retry_after` some seconds above the worker's `--timeout`",
};
static STOP: Check = Check {
    id: "queue-stop-timeout",
    what: "a job that may take its whole `--timeout` ends within the stop",
    why: "a longer one is killed at each deployment, and runs again after retry_after",
    fix: "init.toml: `stop-timeout` above the worker's `--timeout`, and the task's `stopTimeout` above that (at most 120 s); or a shorter `--timeout`",
};
static SYNC: Check = Check {
    id: "queue-connection",
    what: "workers have a queue to work on",
    why: "jobs of the sync driver run within the request, so the worker never gets any; one of an unknown connection does not start",
    fix: ".env: `QUEUE_CONNECTION=redis`, `database` or `sqs`",
};
static RESTART: Check = Check {
    id: "queue-restart-policy",
    what: "workers are started again whatever they exit with",
    why: "queue:work exits 0 when the database connection is lost, after --max-time, --max-jobs and queue:restart: it would be gone",
    fix: "init.toml, [service.NAME]: `restart = \"always\"`",
};
static TWICE: Check = Check {
    id: "schedule-twice",
    what: "the scheduler runs once a minute",
    why: "schedule:run and schedule:work beside each other, or two of one, run every task twice",
    fix: "init.toml: `enabled = false` in one of them",
};
static SHARED: Check = Check {
    id: "schedule-cache",
    what: "the cache store can lock between containers, for `onOneServer()`",
    why: "with a cache of its own each container runs every task; withoutOverlapping() guards one container only",
    fix: "run one scheduler alone (`--role scheduler` with a desired count of 1), or `CACHE_STORE=redis` in .env",
};
static OUTPUT: Check = Check {
    id: "schedule-output",
    what: "output of scheduled commands",
    why: "Laravel sends it to /dev/null unless the task says otherwise; what tasks log is not affected",
    fix: "routes/console.php: `->appendOutputTo('/proc/self/fd/2')` on the task, or log",
};
static CRONTAB: Check = Check {
    id: "crontab-unread",
    what: "crontab files of the image are in the plan",
    why: "no crond runs under init, so their entries never run",
    fix: "init.toml: `crontabs = [\"/etc/crontabs/www-data\"]`",
};

pub const CHECKS: &[&Check] = &[&RETRY, &STOP, &SYNC, &RESTART, &TWICE, &SHARED, &OUTPUT, &CRONTAB];

/// Laravel's own, of queue:work.
const DEFAULT_TIMEOUT: u64 = 60;

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    for worker in running(plan, &["queue:work"]) {
        let timeout = option(&worker.command, "--timeout").and_then(|text| text.parse().ok());
        connected(facts, worker, timeout.unwrap_or(DEFAULT_TIMEOUT), &mut found);
        found.push(stop(plan, worker, timeout));
    }
    for worker in running(plan, &["queue:work", "horizon"]) {
        let name = &worker.name;
        found.push(match worker.restart {
            Restart::Always => RESTART.ok(name),
            Restart::OnFailure => RESTART.breaks(format!("service \"{name}\" has restart = \"on-failure\"")),
            Restart::Never => RESTART.breaks(format!("service \"{name}\" has restart = \"never\"")),
        });
    }
    schedule(facts, plan, &mut found);
    crontabs(facts, plan, &mut found);
    found
}

fn connected(facts: &Facts, worker: &ServicePlan, timeout: u64, found: &mut Vec<Finding>) {
    let name = &worker.name;
    let Told::Told(config) = &facts.laravel.config else {
        let why = facts.laravel.config.why_not();
        found.extend([SYNC.unchecked(why), RETRY.unchecked(why)]);
        return;
    };
    let wanted = connection(&worker.command).unwrap_or(&config.queue);
    let Some(connection) = config.connections.get(wanted) else {
        found.push(
            SYNC.breaks(format!("service \"{name}\": config/queue.php has no connection \"{wanted}\"")),
        );
        return;
    };
    let driver = connection.driver.as_str();
    if matches!(driver, "sync" | "null" | "deferred") {
        found.push(SYNC.hurts(format!("service \"{name}\": the connection \"{wanted}\" is {driver}")));
        return;
    }
    found.push(SYNC.ok(format!("{wanted} ({driver})")));
    found.push(match connection.retry_after {
        Some(0) => RETRY.breaks(format!("service \"{name}\": retry_after of \"{wanted}\" is 0")),
        Some(retry) if timeout == 0 => RETRY.breaks(format!(
            "service \"{name}\": --timeout=0 is no limit, retry_after of \"{wanted}\" is {retry} s"
        )),
        Some(retry) if timeout >= retry => {
            let seen = format!(
                "service \"{name}\": --timeout is {timeout} s, retry_after of \"{wanted}\" is {retry} s"
            );
            RETRY.breaks(seen).with_fix(format!(
                "config/queue.php, connections.{wanted}: `'retry_after' => {}`",
                timeout.saturating_add(30)
            ))
        }
        Some(retry) => RETRY.ok(format!("{timeout} s, {retry} s")),
        None if driver == "sqs" => RETRY.unchecked(
            "SQS's visibility timeout is not in the configuration: it must be longer than --timeout",
        ),
        None => RETRY.ok(format!("{wanted} has none")),
    });
}

fn stop(plan: &Plan, worker: &ServicePlan, timeout: Option<u64>) -> Finding {
    let budget = worker.stop_timeout.unwrap_or(plan.stop_timeout).min(plan.stop_timeout);
    let (name, shown) = (&worker.name, show_duration(budget));
    match timeout {
        Some(0) => STOP.hurts(format!("service \"{name}\": --timeout=0 is no limit, the stop has {shown}")),
        Some(seconds) if Duration::from_secs(seconds) > budget => {
            STOP.hurts(format!("service \"{name}\": --timeout is {seconds} s, the stop has {shown}"))
        }
        None if Duration::from_secs(DEFAULT_TIMEOUT) > budget => STOP.note(format!(
            "service \"{name}\": jobs may take {DEFAULT_TIMEOUT} s (no --timeout), the stop has {shown}"
        )),
        _ => STOP.ok(format!("{shown} for the stop")),
    }
}

fn schedule(facts: &Facts, plan: &Plan, found: &mut Vec<Finding>) {
    let services = running(plan, &["schedule:work", "schedule:run"]).map(|one| {
        let times = if one.instances > 1 { format!(" ×{}", one.instances) } else { String::new() };
        (format!("service \"{}\"{times}", one.name), one.instances)
    });
    let crons = plan.crons.iter().filter(|one| artisan(&one.command) == Some("schedule:run"));
    let all: Vec<(String, u16)> =
        services.chain(crons.map(|one| (format!("cron \"{}\"", one.name), 1))).collect();
    if all.is_empty() {
        return;
    }
    let names: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
    found.push(match all.iter().map(|(_, times)| u32::from(*times)).sum::<u32>() {
        0 | 1 => TWICE.ok(names.join(", ")),
        _ => TWICE.breaks(format!("it is run by {}", list(&names))),
    });
    found.push(match &facts.laravel.config {
        Told::Told(config) => match config.cache_driver.as_str() {
            driver @ ("file" | "array" | "apc" | "null") => {
                SHARED.note(format!("the default cache store \"{}\" is {driver}", config.cache_store))
            }
            driver => SHARED.ok(driver),
        },
        other => SHARED.unchecked(other.why_not()),
    });
    found.push(OUTPUT.unchecked("each task of the application says for itself where its output goes"));
}

fn crontabs(facts: &Facts, plan: &Plan, found: &mut Vec<Finding>) {
    let runs_crond = plan.services.iter().any(|service| {
        let program = service.command.first().map_or("", |word| file_name(word));
        matches!(program, "cron" | "crond" | "supercronic" | "busybox")
    });
    let unread: Vec<String> = facts
        .system
        .crontabs
        .iter()
        .filter(|path| !plan.crontabs.contains(path))
        .map(|path| path.display().to_string())
        .collect();
    found.push(match unread.is_empty() || runs_crond {
        true => CRONTAB.ok("none left out"),
        false => CRONTAB.note(format!("not in the plan: {}", list(&unread))),
    });
}
