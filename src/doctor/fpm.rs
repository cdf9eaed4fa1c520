//! PHP-FPM as a whole: its master's settings, as they will be in effect.

use super::facts::{Facts, FpmConf, Told};
use super::words::{fpm, fpm_seconds, php_bytes, size};
use super::{Check, Finding};
use crate::config::plan::{Plan, ServicePlan};
use crate::config::values::show_duration;
use std::time::Duration;

static CONFIG: Check = Check {
    id: "fpm-config",
    what: "PHP-FPM accepts its configuration",
    why: "it exits 78 at every start",
    fix: "the file and line that PHP-FPM names",
};
static GRACE: Check = Check {
    id: "fpm-process-control-timeout",
    what: "`process_control_timeout` is set, and below `stop-timeout`",
    why: "with 0, PHP-FPM's default, even QUIT resets the requests in flight: every deployment cuts some",
    fix: "php-fpm.conf, [global]: `process_control_timeout = 20s`; or leave it out, for init sets it",
};
static LOG_LIMIT: Check = Check {
    id: "fpm-log-limit",
    what: "`log_limit` holds a line",
    why: "PHP-FPM splits longer lines without a mark: a JSON line is then none",
    fix: "php-fpm.conf, [global]: `log_limit = 8192`",
};
static ERROR_LOG: Check = Check {
    id: "fpm-error-log",
    what: "`error_log` is the container's log",
    why: "a file in the container is read by nobody, grows, and cannot be opened on a read-only root",
    fix: "php-fpm.conf, [global]: `error_log = /proc/self/fd/2`; or leave it out, for init sets it",
};
static MEMORY: Check = Check {
    id: "fpm-memory",
    what: "`pm.max_children` times `memory_limit` fits into the container's memory",
    why: "under load the kernel kills processes, the master among them",
    fix: "pool: a smaller `pm.max_children`; or php.ini: a smaller `memory_limit`; or more memory for the task",
};
static PROCESSES: Check = Check {
    id: "limit-processes",
    what: "the limit of processes leaves room for all children",
    why: "fork fails under load: requests and jobs are not run",
    fix: "docker run: a larger `--pids-limit`; task definition: `ulimits` `nproc`",
};

pub const CHECKS: &[&Check] = &[&CONFIG, &GRACE, &LOG_LIMIT, &ERROR_LOG, &MEMORY, &PROCESSES];

/// What init, shells of ECS Exec, scheduled commands and their children need besides.
const SPARE_PROCESSES: u64 = 32;

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    let children = facts.fpm.told().map_or(0, children_of);
    if let Some(service) = fpm(plan) {
        match &facts.fpm {
            Told::Told(conf) => {
                found.push(CONFIG.ok(format!("{} pools", conf.pools.len())));
                found.push(grace(conf, service, plan));
                of_log(conf, &mut found);
                found.push(memory(facts, conf, children));
            }
            Told::Failed(why) => found.push(CONFIG.breaks(why)),
            Told::NotAsked(why) => found.push(CONFIG.unchecked(why)),
        }
    }
    found.push(processes(facts, plan, children));
    found
}

fn children_of(conf: &FpmConf) -> u64 {
    conf.pools.iter().filter_map(|pool| pool.get("pm.max_children").parse::<u64>().ok()).sum()
}

fn grace(conf: &FpmConf, service: &ServicePlan, plan: &Plan) -> Finding {
    let text = conf.global.get("process_control_timeout").map_or("0s", String::as_str);
    let budget = service.stop_timeout.unwrap_or(plan.stop_timeout).min(plan.stop_timeout);
    match fpm_seconds(text) {
        Some(0) => GRACE.breaks("process_control_timeout is 0"),
        Some(seconds) if Duration::from_secs(seconds) >= budget => GRACE
            .hurts(format!("process_control_timeout is {text}, stop-timeout is {}", show_duration(budget)))
            .with_fix(format!(
                "php-fpm.conf, [global]: `process_control_timeout = {}s`",
                budget.as_secs().saturating_sub(3).max(1)
            )),
        _ => GRACE.ok(text),
    }
}

fn of_log(conf: &FpmConf, found: &mut Vec<Finding>) {
    let limit = conf.global.get("log_limit").map_or("1024", String::as_str);
    let short = limit.parse::<u64>().is_ok_and(|limit| limit < 4096);
    found.push(if short { LOG_LIMIT.note(format!("log_limit is {limit}")) } else { LOG_LIMIT.ok(limit) });
    let file = conf.error_log.as_deref().filter(|path| {
        !matches!(*path, "" | "syslog" | "/dev/stderr" | "/dev/stdout")
            && !path.starts_with("/proc/")
            && !path.starts_with("/dev/fd/")
    });
    found.push(match file {
        Some(path) => ERROR_LOG.hurts(format!("error_log is {path}")),
        None => ERROR_LOG.ok("stderr"),
    });
}

fn memory(facts: &Facts, conf: &FpmConf, children: u64) -> Finding {
    let ini = facts.fpm_php.told();
    let of_pool = conf.pools.iter().find_map(|pool| pool.ini.get("memory_limit").map(String::as_str));
    let limit = of_pool.or_else(|| ini.map(|ini| ini.get("memory_limit"))).and_then(php_bytes);
    match (limit, facts.system.memory) {
        (Some(limit), Some(memory)) => {
            let most = limit.saturating_mul(children);
            let seen =
                format!("{children} children of {} each, the container has {}", size(limit), size(memory));
            if most > memory { MEMORY.hurts(seen) } else { MEMORY.ok(seen) }
        }
        (None, _) => MEMORY.unchecked("memory_limit is not known, or none"),
        (_, None) => MEMORY.unchecked("the container's memory is not known: no cgroup and no /proc"),
    }
}

fn processes(facts: &Facts, plan: &Plan, children: u64) -> Finding {
    let instances: u64 = plan.services.iter().map(|service| u64::from(service.instances)).sum();
    let needed = children.saturating_add(instances).saturating_add(SPARE_PROCESSES);
    let of_cgroup = facts.system.pids_max.map(|limit| (limit, "the pids cgroup"));
    let of_user = facts.system.max_processes.map(|limit| (limit, "nproc"));
    match of_cgroup.into_iter().chain(of_user).min() {
        Some((limit, whose)) if limit < needed => {
            PROCESSES.breaks(format!("{whose} allows {limit}, about {needed} are needed"))
        }
        Some((limit, _)) => PROCESSES.ok(format!("{limit}, about {needed} are needed")),
        None => PROCESSES.ok("no limit"),
    }
}
