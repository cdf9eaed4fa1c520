//! Laravel: its configuration as it comes out, and how the plan runs artisan.

use super::facts::{Facts, LaravelConfig, Told};
use super::words::{artisan, commands, fpm, has_option, option};
use super::{Check, Finding};
use crate::config::plan::Plan;

static CONFIG: Check = Check {
    id: "laravel-config",
    what: "Laravel's configuration can be read",
    why: "an application whose configuration throws answers 500 to everything",
    fix: "run `init --no-boot -- php artisan about` in the container: it shows the exception",
};
static KEY: Check = Check {
    id: "laravel-app-key",
    what: "there is an `APP_KEY`",
    why: "without it sessions and encryption throw; a missing .env is no error to Laravel, so this is how it shows",
    fix: ".env: `APP_KEY=` with what `php artisan key:generate --show` prints",
};
static DEBUG: Check = Check {
    id: "laravel-debug",
    what: "`APP_DEBUG` is off outside development",
    why: "every error page shows the code, and the variables of the request and the environment",
    fix: ".env: `APP_DEBUG=false`",
};
static STORE: Check = Check {
    id: "migrate-isolated-store",
    what: "the cache store can lock between containers, for `migrate --isolated`",
    why: "a lock in a file or in memory is this container's alone: two deployments migrate at the same time",
    fix: ".env: `CACHE_STORE=redis` (`CACHE_DRIVER` before Laravel 11); database, memcached and dynamodb lock as well",
};
static CODE: Check = Check {
    id: "migrate-isolated-code",
    what: "`--isolated` has an exit code of its own",
    why: "without one a migration that does not get the lock exits 0 having done nothing, and the deployment goes on with old tables",
    fix: "init.toml, [migrate]: `--isolated=75` in `command`, and `lock-code = 75`",
};
static VERIFY: Check = Check {
    id: "optimize-verify",
    what: "the result of `artisan optimize` is checked",
    why: "it exits 0 when one of its tasks failed",
    fix: "init.toml, [[boot]]: `verify = \"laravel-optimize\"`",
};
static SESSION: Check = Check {
    id: "laravel-session",
    what: "sessions are not files of one container",
    why: "with more than one task a visitor is logged out whenever the balancer chooses another, and at every deployment",
    fix: ".env: `SESSION_DRIVER=redis`, `database` or `cookie`",
};
static LOG: Check = Check {
    id: "laravel-log",
    what: "Laravel logs to stderr",
    why: "a file in storage/logs is read by nobody, and is lost with the container",
    fix: ".env: `LOG_CHANNEL=stderr`",
};
static DOWN: Check = Check {
    id: "laravel-down",
    what: "the application is not in maintenance mode",
    why: "it answers 503, and workers and the scheduler wait; the file is of this one container",
    fix: "run `php artisan up`; for a fleet `APP_MAINTENANCE_DRIVER=cache`",
};
static FLEET: Check = Check {
    id: "artisan-fleet",
    what: "no boot step sends a signal to the whole fleet",
    why: "queue:restart, schedule:interrupt, horizon:terminate and reload write to the shared cache: every container's workers restart whenever one boots",
    fix: "init.toml: take the step out; `init reload` or a signal to the service restarts this container's alone",
};

pub const CHECKS: &[&Check] = &[&CONFIG, &KEY, &DEBUG, &STORE, &CODE, &VERIFY, &SESSION, &LOG, &DOWN, &FLEET];

/// Commands that write to the shared cache.
const OF_FLEET: &[&str] =
    &["queue:restart", "schedule:interrupt", "horizon:terminate", "pulse:restart", "reload"];

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    if !facts.laravel.present {
        return found;
    }
    match &facts.laravel.config {
        Told::Told(config) => {
            let cached = if config.cached { ", from its cache" } else { "" };
            found.push(CONFIG.ok(format!("Laravel {}{cached}", config.version)));
            found.push(match config.key {
                true => KEY.ok("set"),
                false if facts.laravel.env_files.is_empty() => {
                    KEY.breaks("app.key is empty, and there is no .env")
                }
                false => KEY.breaks("app.key is empty"),
            });
            of_config(config, plan, &mut found);
        }
        Told::Failed(why) => found.push(CONFIG.breaks(why)),
        Told::NotAsked(why) => found.push(CONFIG.unchecked(why)),
    }
    isolated(facts, plan, &mut found);
    verified(plan, &mut found);
    found.push(match facts.laravel.down {
        true => DOWN.hurts("storage/framework/down exists"),
        false => DOWN.ok("up"),
    });
    let fleet: Vec<String> = commands(plan)
        .filter_map(|(who, command)| Some((who, artisan(command)?)))
        .filter(|(_, command)| OF_FLEET.contains(command))
        .map(|(who, command)| format!("{who} runs {command}"))
        .collect();
    found.push(match fleet.is_empty() {
        true => FLEET.ok("none"),
        false => FLEET.hurts(fleet.join("; ")),
    });
    found
}

fn of_config(config: &LaravelConfig, plan: &Plan, found: &mut Vec<Finding>) {
    let development = matches!(config.env.as_str(), "local" | "testing" | "development" | "dev");
    found.push(match config.debug && !development {
        true => DEBUG.hurts(format!("app.debug is on, and app.env is {}", config.env)),
        false => DEBUG.ok(format!("app.env is {}", config.env)),
    });
    if fpm(plan).is_some() {
        found.push(match config.session_driver.as_str() {
            driver @ ("file" | "array" | "apc") => SESSION.note(format!("the session driver is {driver}")),
            driver => SESSION.ok(driver),
        });
    }
    let file = config.log_drivers.iter().find(|driver| matches!(driver.as_str(), "single" | "daily"));
    found.push(match file {
        Some(driver) => LOG.note(format!("the log channel's driver is {driver}, a file")),
        None => LOG.ok(config.log_drivers.join(", ")),
    });
}

/// Everything about `migrate --isolated`, which locks with the default cache store.
fn isolated(facts: &Facts, plan: &Plan, found: &mut Vec<Finding>) {
    let Some(migrate) = plan.migrate.as_ref().filter(|one| has_option(&one.command, "--isolated")) else {
        return;
    };
    found.push(match option(&migrate.command, "--isolated").and_then(|code| code.parse::<u8>().ok()) {
        Some(0) | None => CODE.breaks("the migration's command has --isolated without a code of its own"),
        Some(code) if code != migrate.lock_code => CODE
            .breaks(format!("the command has --isolated={code}, and lock-code is {}", migrate.lock_code))
            .with_fix(format!("init.toml, [migrate]: `lock-code = {code}`")),
        Some(code) => CODE.ok(format!("{code}")),
    });
    found.push(match &facts.laravel.config {
        Told::Told(config) => match config.cache_driver.as_str() {
            driver @ ("file" | "array" | "apc" | "null" | "octane") => {
                STORE.hurts(format!("the default cache store \"{}\" is {driver}", config.cache_store))
            }
            driver => STORE.ok(driver),
        },
        other => STORE.unchecked(other.why_not()),
    });
}

fn verified(plan: &Plan, found: &mut Vec<Finding>) {
    let mut steps = plan.boot.iter().filter(|step| artisan(&step.command) == Some("optimize")).peekable();
    if steps.peek().is_none() {
        return;
    }
    found.push(match steps.find(|step| step.verify.is_none()) {
        Some(step) => VERIFY.hurts(format!("boot step \"{}\" runs optimize without verify", step.name)),
        None => VERIFY.ok("checked"),
    });
}
