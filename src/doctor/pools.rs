//! PHP-FPM's pools: environment, logs, addresses, users.

use super::facts::{Facts, Pool};
use super::words::{fpm, list};
use super::{Check, Finding};
use crate::config::plan::{INSTANCE, Plan, ProbePlan};

static PING: Check = Check {
    id: "fpm-ping-path",
    what: "each pool has the `ping.path` that init asks for",
    why: "without it the probe of readiness runs PHP, or is answered `File not found`",
    fix: "pool: `ping.path = /-/fpm-ping`; or leave it out, for init sets it",
};
static ROLE_ENV: Check = Check {
    id: "fpm-clear-env",
    what: "workers see the task role and the paths of Laravel's caches",
    why: "`clear_env` hides them: the AWS SDK finds no credentials, and Laravel looks for `.env` and its caches elsewhere than the boot put them",
    fix: "pool: `clear_env = no`, or `env[NAME] = $NAME` for each",
};
static OTHER_ENV: Check = Check {
    id: "fpm-hidden-env",
    what: "variables of the container that workers do not see",
    why: "`getenv()` and `env()` under PHP-FPM give nothing for them; what `artisan optimize` cached is not affected",
    fix: "pool: `env[NAME] = $NAME` for those that the application reads itself",
};
static EMPTY_ENV: Check = Check {
    id: "fpm-empty-env",
    what: "every `env[…]` refers to a variable that exists",
    why: "one that does not is defined as the empty string, which an SDK takes for an answer",
    fix: "pool: take the line out; init names what exists",
};
static CATCH: Check = Check {
    id: "fpm-catch-workers-output",
    what: "what workers write to stderr is logged",
    why: "with `catch_workers_output = no` PHP's errors and Laravel's stderr channel are lost",
    fix: "pool: `catch_workers_output = yes`",
};
static DECORATE: Check = Check {
    id: "fpm-decorate-workers-output",
    what: "log lines of workers come as they are",
    why: "PHP-FPM wraps each into `WARNING: [pool www] child 7 said into stderr: \"…\"`: JSON is then none",
    fix: "pool: `decorate_workers_output = no`",
};
static ACCESS_LOG: Check = Check {
    id: "fpm-access-log",
    what: "the access log is not written to stdout",
    why: "PHP-FPM's stdout is /dev/null: the lines are lost",
    fix: "pool: `access.log = /proc/self/fd/2`",
};
static LISTEN: Check = Check {
    id: "fpm-listen",
    what: "where PHP-FPM listens",
    why: "whoever reaches the port may run any PHP file; in a task, nginx is on 127.0.0.1",
    fix: "pool: `listen = 127.0.0.1:9000`, or `listen.allowed_clients`",
};
static SOCKET: Check = Check {
    id: "fpm-listen-directory",
    what: "the directory of PHP-FPM's socket exists",
    why: "PHP-FPM exits 78 when it cannot make its socket",
    fix: "init.toml: add the directory to `directories` and `writable`",
};
static USER: Check = Check {
    id: "fpm-user",
    what: "pools run as the application's user",
    why: "what a worker writes (logs, views, sessions) PHP-FPM cannot change, and the other way round",
    fix: "pool: `user` and `group` as `user` of init.toml",
};

pub const CHECKS: &[&Check] =
    &[&PING, &ROLE_ENV, &OTHER_ENV, &EMPTY_ENV, &CATCH, &DECORATE, &ACCESS_LOG, &LISTEN, &SOCKET, &USER];

/// What an application cannot do without: where its role and its files are.
const NEEDED: &[&str] = &[
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "APP_ENV_PATH",
    "APP_CONFIG_CACHE",
    "APP_ROUTES_CACHE",
    "APP_EVENTS_CACHE",
    "APP_SERVICES_CACHE",
    "APP_PACKAGES_CACHE",
    "VIEW_COMPILED_PATH",
    "LARAVEL_STORAGE_PATH",
];

/// What every process has and no application asks for; PHP-FPM sets the last two itself.
const ORDINARY: &[&str] =
    &["PATH", "PWD", "OLDPWD", "SHLVL", "_", "HOSTNAME", "TERM", "LOGNAME", "SHELL", "HOME", "USER"];

/// What init itself or the build of the image wants, and no application.
const FOREIGN: &[&str] = &["INIT_", "PHP_", "PHPIZE_", "GPG_KEYS"];

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let (Some(service), Some(conf)) = (fpm(plan), facts.fpm.told()) else { return Vec::new() };
    let probed = service.ready.as_ref().and_then(|ready| match &ready.probe {
        ProbePlan::FastCgi { path, .. } => Some(path.as_str()),
        _ => None,
    });
    let mut given: Vec<&str> = facts.system.env.iter().map(String::as_str).collect();
    given.extend(plan.env.keys().chain(service.env.keys()).map(String::as_str));
    given.retain(|name| !facts.system.withheld.iter().any(|withheld| withheld == name));
    given.sort_unstable();
    given.dedup();
    let mut found = Vec::new();
    for pool in &conf.pools {
        let name = &pool.name;
        found.push(ping(pool, probed));
        environment(pool, &given, &mut found);
        found.push(match pool.is_on("catch_workers_output") {
            true => CATCH.ok(name),
            false => CATCH.hurts(format!("pool {name}: catch_workers_output is no")),
        });
        found.push(match pool.is_on("decorate_workers_output") && pool.is_on("catch_workers_output") {
            true => DECORATE.note(format!("pool {name}: decorate_workers_output is yes")),
            false => DECORATE.ok(name),
        });
        found.push(match pool.get("access.log") {
            log @ ("/proc/self/fd/1" | "/dev/stdout" | "/dev/fd/1" | "php://stdout") => {
                ACCESS_LOG.hurts(format!("pool {name}: access.log is {log}"))
            }
            _ => ACCESS_LOG.ok(name),
        });
        listen(facts, pool, &mut found);
        found.push(user(facts, pool));
    }
    found
}

fn ping(pool: &Pool, probed: Option<&str>) -> Finding {
    let (name, path) = (&pool.name, pool.get("ping.path"));
    match probed {
        Some(wanted) if path != wanted => {
            let has = if path.is_empty() { "none" } else { path };
            PING.hurts(format!("pool {name}: ping.path is {has}, init asks for {wanted}"))
                .with_fix(format!("pool {name}: `ping.path = {wanted}`"))
        }
        None if path.is_empty() => PING.note(format!("pool {name}: no ping.path, and no probe asks for one")),
        _ => PING.ok(path),
    }
}

fn environment(pool: &Pool, given: &[&str], found: &mut Vec<Finding>) {
    let name = &pool.name;
    let unset: Vec<&str> = pool
        .env
        .values()
        .flatten()
        .map(String::as_str)
        .filter(|of| !given.contains(of) && *of != INSTANCE)
        .collect();
    found.push(match unset.is_empty() {
        true => EMPTY_ENV.ok(name),
        false => EMPTY_ENV.hurts(format!("pool {name}: not set: {}", list(&unset))),
    });
    if !pool.is_on("clear_env") {
        found.push(ROLE_ENV.ok("clear_env is no"));
        found.push(OTHER_ENV.ok("clear_env is no"));
        return;
    }
    let hidden = given.iter().copied().filter(|name| !pool.env.contains_key(*name));
    let (needed, other): (Vec<&str>, Vec<&str>) = hidden.partition(|name| NEEDED.contains(name));
    let other: Vec<&str> = other
        .into_iter()
        .filter(|name| !ORDINARY.contains(name) && !FOREIGN.iter().any(|prefix| name.starts_with(prefix)))
        .collect();
    found.push(match needed.is_empty() {
        true => ROLE_ENV.ok("named by env[…]"),
        false => {
            let lines: Vec<String> = needed.iter().map(|name| format!("`env[{name}] = ${name}`")).collect();
            ROLE_ENV
                .breaks(format!("pool {name}: clear_env hides {}", list(&needed)))
                .with_fix(format!("pool {name}: {}", lines.join(", ")))
        }
    });
    found.push(match other.is_empty() {
        true => OTHER_ENV.ok(name),
        false => OTHER_ENV.note(format!("pool {name}: clear_env hides {}", list(&other))),
    });
}

fn listen(facts: &Facts, pool: &Pool, found: &mut Vec<Finding>) {
    let (name, address) = (&pool.name, pool.get("listen"));
    if address.starts_with('/') {
        let at = facts.paths.iter().find(|one| std::path::Path::new(address).parent() == Some(&one.path));
        found.push(match at.and_then(|one| one.refused.as_ref().filter(|_| !one.mended)) {
            Some(why) => SOCKET.breaks(format!("pool {name}: {why}")),
            None => SOCKET.ok(address),
        });
        return;
    }
    let host = address.rsplit_once(':').map_or("", |(host, _)| host);
    let everywhere =
        matches!(host, "" | "0.0.0.0" | "*" | "[::]") && pool.get("listen.allowed_clients").is_empty();
    found.push(match everywhere {
        true => LISTEN.note(format!("pool {name}: {address}, which is every address of the container")),
        false => LISTEN.ok(address),
    });
}

fn user(facts: &Facts, pool: &Pool) -> Finding {
    let (name, user) = (&pool.name, pool.get("user"));
    if facts.system.uid != 0 {
        return USER.ok("as init, which is not root");
    }
    match user {
        _ if user == facts.system.app => USER.ok(user),
        "root" | "0" => USER.breaks(format!("pool {name} runs as root, which PHP-FPM refuses")),
        _ => USER.hurts(format!("pool {name} runs as {user}, everything else as {}", facts.system.app)),
    }
}
