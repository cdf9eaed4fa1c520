//! PHP itself: what the command line's and PHP-FPM's PHP have, and how they are set.

use super::facts::{Facts, Ini, Told};
use super::words::{artisan, commands, file_name, fpm, php_bytes, size};
use super::{Check, Finding};
use crate::config::plan::Plan;

static MISSING: Check = Check {
    id: "php",
    what: "PHP can be run",
    why: "workers, the scheduler and boot steps are PHP",
    fix: "Dockerfile: a base image with PHP on its PATH, such as `FROM php:8.3-fpm`",
};
static PCNTL: Check = Check {
    id: "ext-pcntl",
    what: "the extension pcntl, for workers",
    why: "without it a stop kills a worker in the middle of its job, and `--timeout` does nothing; the official images do not have it",
    fix: "Dockerfile: `RUN docker-php-ext-install pcntl`",
};
static POSIX: Check = Check {
    id: "ext-posix",
    what: "the extension posix, for workers",
    why: "a worker whose job is out of time ends itself with it; Horizon does not start without it",
    fix: "Dockerfile: `RUN docker-php-ext-install posix`",
};
static OPCACHE: Check = Check {
    id: "ext-opcache",
    what: "the extension opcache, for PHP-FPM",
    why: "without it every request compiles every file",
    fix: "Dockerfile: `RUN docker-php-ext-install opcache`",
};
static DRIVER: Check = Check {
    id: "ext-driver",
    what: "the extensions that the configured drivers need",
    why: "the first use of the cache, session, queue or database throws",
    fix: "Dockerfile: `RUN docker-php-ext-install NAME`, or `pecl install NAME` for redis and memcached",
};
static XDEBUG: Check = Check {
    id: "ext-xdebug",
    what: "no debugger in production",
    why: "xdebug slows every request down and turns the JIT off",
    fix: "Dockerfile: leave `xdebug` out of the production stage",
};
static INI_FILE: Check = Check {
    id: "php-ini",
    what: "there is a php.ini",
    why: "without one PHP shows errors to visitors; the official images come without one",
    fix: "Dockerfile: `RUN cp \"$PHP_INI_DIR/php.ini-production\" \"$PHP_INI_DIR/php.ini\"`",
};
static DISPLAY: Check = Check {
    id: "display-errors",
    what: "PHP-FPM does not show errors",
    why: "an error page with paths and values is for nobody outside",
    fix: "php.ini: `display_errors = Off`",
};
static EXPOSE: Check = Check {
    id: "expose-php",
    what: "PHP does not name its version",
    why: "every response says `X-Powered-By: PHP/8.x`",
    fix: "php.ini: `expose_php = Off`",
};
static MEMORY: Check = Check {
    id: "memory-limit",
    what: "`memory_limit` is below the container's memory",
    why: "one request or job that leaks has the kernel kill a process of the container, not PHP end the script",
    fix: "php.ini: `memory_limit = 256M`",
};
static CACHE_OFF: Check = Check {
    id: "opcache-enable",
    what: "opcache is on in PHP-FPM",
    why: "every request compiles every file",
    fix: "php.ini: `opcache.enable = 1`",
};
static TIMESTAMPS: Check = Check {
    id: "opcache-timestamps",
    what: "opcache does not look for changed files",
    why: "an image does not change: each look is a system call, on EFS a round trip. A reload (HUP) reads files anew all the same",
    fix: "php.ini: `opcache.validate_timestamps = 0`",
};
static CACHE_SIZE: Check = Check {
    id: "opcache-memory",
    what: "opcache has room for a framework",
    why: "once it is full, new files are compiled at every request, without a word",
    fix: "php.ini: `opcache.memory_consumption = 192` and `opcache.max_accelerated_files = 20000`",
};
static JIT: Check = Check {
    id: "opcache-jit",
    what: "whether the JIT is on",
    why: "web applications gain little from it; its buffer is part of the container's memory",
    fix: "php.ini: `opcache.jit = disable` unless you measured otherwise",
};
static PRELOAD: Check = Check {
    id: "opcache-preload",
    what: "preloading names its user",
    why: "PHP-FPM that is started by root refuses to start with `opcache.preload` and without `opcache.preload_user`",
    fix: "php.ini: `opcache.preload_user = www-data`",
};

pub const CHECKS: &[&Check] = &[
    &MISSING,
    &PCNTL,
    &POSIX,
    &OPCACHE,
    &DRIVER,
    &XDEBUG,
    &INI_FILE,
    &DISPLAY,
    &EXPOSE,
    &MEMORY,
    &CACHE_OFF,
    &TIMESTAMPS,
    &CACHE_SIZE,
    &JIT,
    &PRELOAD,
];

/// Artisan commands that run jobs.
const WORKERS: &[&str] =
    &["queue:work", "horizon", "pulse:work", "reverb:start", "schedule:work", "octane:start"];

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    match &facts.php {
        Told::Told(php) => {
            found.push(MISSING.ok(format!("PHP {}", php.version)));
            of_workers(php, plan, &mut found);
            drivers(facts, php, &mut found);
        }
        Told::Failed(why) if needs_php(plan) => found.push(MISSING.breaks(why)),
        Told::Failed(why) | Told::NotAsked(why) => found.push(MISSING.unchecked(why)),
    }
    let served = fpm(plan).is_some();
    let php = if served { &facts.fpm_php } else { &facts.php };
    match php {
        Told::Told(php) => {
            of_ini(facts, php, served, &mut found);
            if served {
                of_opcache(facts, php, &mut found);
            }
        }
        Told::Failed(why) | Told::NotAsked(why) => found.push(INI_FILE.unchecked(why)),
    }
    found
}

fn needs_php(plan: &Plan) -> bool {
    commands(plan).any(|(_, command)| command.first().is_some_and(|word| file_name(word) == "php"))
}

fn of_workers(php: &Ini, plan: &Plan, found: &mut Vec<Finding>) {
    let workers: Vec<(&str, &str)> = plan
        .services
        .iter()
        .filter_map(|service| Some((service.name.as_str(), artisan(&service.command)?)))
        .filter(|(_, command)| WORKERS.contains(command))
        .collect();
    let horizon = workers.iter().any(|(_, command)| *command == "horizon");
    let who = workers.first().map(|(name, command)| format!("service \"{name}\" runs {command}"));
    for (check, name) in [(&PCNTL, "pcntl"), (&POSIX, "posix")] {
        found.push(match &who {
            _ if php.has(name) => check.ok("loaded"),
            None => check.ok("not loaded, and no service needs it"),
            Some(who) if name == "pcntl" || horizon => {
                check.breaks(format!("{who}, and {name} is not loaded"))
            }
            Some(who) => check.hurts(format!("{who}, and {name} is not loaded")),
        });
    }
}

fn drivers(facts: &Facts, php: &Ini, found: &mut Vec<Finding>) {
    let Told::Told(config) = &facts.laravel.config else { return };
    let queue = config.connections.get(&config.queue).map_or("", |one| one.driver.as_str());
    let used = [
        ("cache", config.cache_driver.as_str()),
        ("session", config.session_driver.as_str()),
        ("queue", queue),
        ("database", config.database_driver.as_str()),
    ];
    let mut lacking = Vec::new();
    for (what, driver) in used {
        let extension = match driver {
            "redis" if config.redis_client == "phpredis" => "redis",
            "memcached" => "memcached",
            "apc" => "apcu",
            "mysql" | "mariadb" => "pdo_mysql",
            "pgsql" => "pdo_pgsql",
            "sqlite" => "pdo_sqlite",
            "sqlsrv" => "pdo_sqlsrv",
            _ => continue,
        };
        if !php.has(extension) {
            lacking.push(format!("the {what} is {driver}, and {extension} is not loaded"));
        }
    }
    found.push(match lacking.is_empty() {
        true => DRIVER.ok("loaded"),
        false => DRIVER.breaks(lacking.join("; ")),
    });
}

fn of_ini(facts: &Facts, php: &Ini, served: bool, found: &mut Vec<Finding>) {
    found.push(match &php.file {
        Some(file) => INI_FILE.ok(file),
        None => INI_FILE.hurts("none is loaded"),
    });
    if php.has("xdebug") {
        found.push(XDEBUG.hurts("xdebug is loaded"));
    } else {
        found.push(XDEBUG.ok("none"));
    }
    let pools = facts.fpm.told().map_or(&[][..], |conf| &conf.pools);
    if served {
        let is_on = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "1" | "on" | "yes" | "true");
        let shown = match pools.iter().find_map(|pool| pool.ini.get("display_errors")) {
            Some(text) => is_on(text),
            None => php.is_on("display_errors"),
        };
        found.push(if shown { DISPLAY.hurts("display_errors is on") } else { DISPLAY.ok("off") });
        let exposed = php.is_on("expose_php");
        found.push(if exposed { EXPOSE.note("expose_php is on") } else { EXPOSE.ok("off") });
    }
    let limit = pools
        .iter()
        .find_map(|pool| pool.ini.get("memory_limit"))
        .map_or(php.get("memory_limit"), String::as_str);
    found.push(match (php_bytes(limit), facts.system.memory) {
        (None, _) => MEMORY.hurts(format!("memory_limit is {limit}: none")),
        (Some(bytes), Some(memory)) if bytes >= memory => {
            MEMORY.hurts(format!("memory_limit is {limit}, the container has {}", size(memory)))
        }
        _ => MEMORY.ok(limit),
    });
}

fn of_opcache(facts: &Facts, php: &Ini, found: &mut Vec<Finding>) {
    if !php.has("zend opcache") {
        found.push(OPCACHE.hurts("PHP-FPM runs without opcache"));
        return;
    }
    found.push(OPCACHE.ok("loaded"));
    if !php.is_on("opcache.enable") {
        found.push(CACHE_OFF.hurts("opcache.enable is off"));
        return;
    }
    found.push(CACHE_OFF.ok("on"));
    found.push(match php.is_on("opcache.validate_timestamps") {
        true => TIMESTAMPS.note("opcache.validate_timestamps is on"),
        false => TIMESTAMPS.ok("off"),
    });
    let number = |name: &str| php.get(name).parse::<u64>().unwrap_or(u64::MAX);
    let (memory, files) = (number("opcache.memory_consumption"), number("opcache.max_accelerated_files"));
    let seen = format!("{memory} MB for {files} files");
    found.push(if memory < 128 || files < 10_000 { CACHE_SIZE.hurts(seen) } else { CACHE_SIZE.ok(seen) });
    let mode = php.get("opcache.jit").to_ascii_lowercase();
    let off = matches!(mode.as_str(), "" | "0" | "off" | "disable")
        || php_bytes(php.get("opcache.jit_buffer_size")) == Some(0);
    found.push(match off {
        true => JIT.ok("off"),
        false => JIT.note(format!("on, with a buffer of {}", php.get("opcache.jit_buffer_size"))),
    });
    let (script, user) = (php.get("opcache.preload"), php.get("opcache.preload_user"));
    found.push(match (script, user) {
        ("", _) => PRELOAD.ok("nothing is preloaded"),
        (_, "") if facts.system.uid == 0 => {
            PRELOAD.breaks(format!("{script} is preloaded, opcache.preload_user is not set"))
        }
        _ => PRELOAD.ok(script),
    });
}
