//! Processes: who is PID 1, whom init does not know.

use super::facts::Facts;
use super::words::{is_fpm, list};
use super::{Check, Finding};
use crate::config::plan::Plan;

static PID1: Check = Check {
    id: "pid1",
    what: "init is PID 1, or below one that forwards signals",
    why: "a shell as PID 1 forwards no signal: the stop reaches nobody, and everything is killed at its end",
    fix: "Dockerfile: `ENTRYPOINT [\"/usr/bin/init\"]`, in brackets, so that there is no shell",
};
static SIGNAL: Check = Check {
    id: "stop-signal",
    what: "the signal of a stop is one that init stops on",
    why: "`STOPSIGNAL` of the image, which Fargate honours since December 2025, is QUIT in php:*-fpm and WINCH in php:*-apache; a PID 1 without a handler never sees it",
    fix: "none under init, which takes TERM, INT, QUIT, WINCH and PWR; otherwise `STOPSIGNAL SIGTERM`",
};
static STRAY: Check = Check {
    id: "stray-php",
    what: "no PHP runs beside init's",
    why: "nobody stops, restarts or counts it; a second PHP-FPM or worker runs old code after a reload",
    fix: "end it; let init run it as a service, or `init -- CMD` for a single command",
};
static MASTERS: Check = Check {
    id: "fpm-duplicate",
    what: "one PHP-FPM master for each service",
    why: "workers of a master that was killed still accept requests, with old code, and hold the port",
    fix: "end them: `kill PID`; init does so before it starts PHP-FPM again",
};
static SUPERVISOR: Check = Check {
    id: "second-supervisor",
    what: "no other supervisor or cron runs",
    why: "two of them start everything twice: two workers, two schedulers, two ports",
    fix: "Dockerfile: take it out; `init import` translates its configuration",
};

pub const CHECKS: &[&Check] = &[&PID1, &SIGNAL, &STRAY, &MASTERS, &SUPERVISOR];

/// TERM, INT, QUIT and WINCH, as bits of `SigCgt`.
const STOPS: &[(u32, &str)] = &[(14, "TERM"), (1, "INT"), (2, "QUIT"), (27, "WINCH")];
const SHELLS: &[&str] = &["sh", "bash", "dash", "ash", "zsh", "busybox"];

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let seen = &facts.processes;
    if seen.alone {
        let why = "init does not run here: this is the image alone; ask again with docker exec";
        let signal = "an image's STOPSIGNAL cannot be seen from inside; init stops on TERM, INT, QUIT, WINCH and PWR alike";
        let mut found = vec![PID1.unchecked(why), SIGNAL.ok(signal)];
        found.extend([&STRAY, &MASTERS, &SUPERVISOR].map(|check| check.unchecked(why)));
        return found;
    }
    let Some(pid1) = &seen.pid1 else {
        let why = "there is no /proc";
        return CHECKS.iter().map(|check| check.unchecked(why)).collect();
    };
    let mut found = vec![first(facts, pid1), signals(facts, pid1)];
    if seen.init.is_some() {
        found.push(match seen.strays.is_empty() {
            true => STRAY.ok("none"),
            false => STRAY.note(list(&seen.strays)),
        });
        let services: usize =
            plan.services.iter().filter(|one| is_fpm(one)).map(|one| usize::from(one.instances)).sum();
        let seen = format!("{} php-fpm below init, {services} in the plan", seen.fpm_masters);
        found.push(if facts.processes.fpm_masters > services.max(1) {
            MASTERS.hurts(seen)
        } else {
            MASTERS.ok(seen)
        });
    } else {
        let why = "no init runs here, so nothing can be told from its children";
        found.extend([STRAY.unchecked(why), MASTERS.unchecked(why)]);
    }
    found.push(match seen.supervisors.is_empty() {
        true => SUPERVISOR.ok("none"),
        false => SUPERVISOR.hurts(list(&seen.supervisors)),
    });
    found
}

fn first(facts: &Facts, pid1: &str) -> Finding {
    match (facts.processes.init, pid1) {
        (Some(1), _) => PID1.ok("init"),
        (_, shell) if SHELLS.contains(&shell) => PID1.breaks(format!("PID 1 is {shell}")),
        (Some(pid), other) => {
            PID1.ok(format!("init is pid {pid} below {other}, and takes in orphans itself"))
        }
        (None, other) => PID1.unchecked(format!("PID 1 is {other}, and no init runs here")),
    }
}

fn signals(facts: &Facts, pid1: &str) -> Finding {
    let none = "an image's STOPSIGNAL cannot be seen from inside";
    match (facts.processes.init, facts.processes.pid1_catches) {
        (Some(1), Some(caught)) => {
            let deaf: Vec<&str> =
                STOPS.iter().filter(|(bit, _)| caught >> bit & 1 == 0).map(|(_, name)| *name).collect();
            match deaf.is_empty() {
                true => {
                    SIGNAL.ok("PID 1 handles TERM, INT, QUIT and WINCH, so any STOPSIGNAL of an image works")
                }
                false => SIGNAL.breaks(format!("PID 1 does not handle {}", list(&deaf))),
            }
        }
        (Some(1), None) => SIGNAL.ok("init handles TERM, INT, QUIT, WINCH and PWR"),
        _ => SIGNAL
            .unchecked(format!("{none}, and PID 1 is {pid1}: whether it forwards QUIT is its own business")),
    }
}
