//! Every check both ways: nothing is found where all is well, and each fault gives its own finding and no other.

use super::plans;
use super::samples::{good, path};
use crate::config::plan::Plan;
use crate::doctor::Severity::{self, Breaks, Hurts, NotChecked, Note};
use crate::doctor::facts::*;
use crate::doctor::{AREAS, examine};
use std::collections::BTreeSet;

/// Nobody can look at these from inside.
const NEVER_SEEN: &[&str] = &["schedule-output", "health-check"];

type Seen = BTreeSet<(&'static str, Severity)>;

fn unwell(facts: &Facts, plan: &Plan) -> Seen {
    let found = examine(facts, plan);
    let all = found.iter().flat_map(|(_, findings)| findings);
    all.filter(|one| one.severity != Severity::Ok)
        .filter(|one| !NEVER_SEEN.contains(&one.check.id))
        .map(|one| (one.check.id, one.severity))
        .collect()
}

type Change = fn(&mut Facts, &mut Plan);

fn php(facts: &mut Facts) -> &mut Ini {
    let Told::Told(ini) = &mut facts.php else { panic!() };
    ini
}

fn served(facts: &mut Facts, name: &str, value: &str) {
    let Told::Told(ini) = &mut facts.fpm_php else { panic!() };
    ini.values.insert(name.into(), value.into());
}

fn fpm(facts: &mut Facts) -> &mut FpmConf {
    let Told::Told(conf) = &mut facts.fpm else { panic!() };
    conf
}

fn www(facts: &mut Facts, name: &str, value: &str) {
    fpm(facts).pools[0].values.insert(name.into(), value.into());
}

fn app(facts: &mut Facts) -> &mut LaravelConfig {
    let Told::Told(config) = &mut facts.laravel.config else { panic!() };
    config
}

fn env_file(facts: &mut Facts) -> &mut EnvFile {
    &mut facts.laravel.env_files[0]
}

fn variable(facts: &mut Facts, name: &str) {
    facts.system.env.insert(name.into());
}

fn retry(facts: &mut Facts, seconds: u64) {
    app(facts).connections.get_mut("redis").unwrap().retry_after = Some(seconds);
}

const PHP: &[(&str, Severity, Change)] = &[
    ("php", Breaks, |f, _| f.php = Told::Failed("cannot find php".into())),
    ("php", NotChecked, |f, _| f.php = Told::NotAsked("x".into())),
    ("ext-pcntl", Breaks, |f, _| {
        php(f).extensions.remove("pcntl");
    }),
    ("ext-posix", Hurts, |f, _| {
        php(f).extensions.remove("posix");
    }),
    ("ext-driver", Breaks, |f, _| {
        php(f).extensions.remove("redis");
    }),
    ("ext-driver", Breaks, |f, _| app(f).database_driver = "pgsql".into()),
    ("ext-opcache", Hurts, |f, _| {
        let Told::Told(ini) = &mut f.fpm_php else { panic!() };
        ini.extensions.remove("zend opcache");
    }),
    ("ext-xdebug", Hurts, |f, _| {
        let Told::Told(ini) = &mut f.fpm_php else { panic!() };
        ini.extensions.insert("xdebug".into());
    }),
    ("php-ini", Hurts, |f, _| {
        let Told::Told(ini) = &mut f.fpm_php else { panic!() };
        ini.file = None;
    }),
    ("display-errors", Hurts, |f, _| served(f, "display_errors", "1")),
    ("expose-php", Note, |f, _| served(f, "expose_php", "On")),
    ("memory-limit", Hurts, |f, _| {
        f.system.memory = Some(64 << 20);
        fpm(f).pools[0].values.insert("pm.max_children".into(), "0".into());
    }),
    ("opcache-enable", Hurts, |f, _| served(f, "opcache.enable", "0")),
    ("opcache-timestamps", Note, |f, _| served(f, "opcache.validate_timestamps", "1")),
    ("opcache-memory", Hurts, |f, _| served(f, "opcache.memory_consumption", "64")),
    ("opcache-jit", Note, |f, _| served(f, "opcache.jit", "tracing")),
    ("opcache-preload", Breaks, |f, _| served(f, "opcache.preload", "/preload.php")),
];

const FPM: &[(&str, Severity, Change)] = &[
    ("fpm-config", Breaks, |f, _| f.fpm = Told::Failed("unknown entry".into())),
    ("fpm-config", NotChecked, |f, _| f.fpm = Told::NotAsked("x".into())),
    ("fpm-process-control-timeout", Breaks, |f, _| {
        fpm(f).global.insert("process_control_timeout".into(), "0s".into());
    }),
    ("fpm-process-control-timeout", Hurts, |f, _| {
        fpm(f).global.insert("process_control_timeout".into(), "1m".into());
    }),
    ("fpm-log-limit", Note, |f, _| {
        fpm(f).global.remove("log_limit");
    }),
    ("fpm-error-log", Hurts, |f, _| fpm(f).error_log = Some("/var/log/fpm.log".into())),
    ("fpm-memory", Hurts, |f, _| f.system.memory = Some(512 << 20)),
    ("fpm-memory", NotChecked, |f, _| f.system.memory = None),
    ("limit-processes", Breaks, |f, _| f.system.pids_max = Some(20)),
    ("fpm-ping-path", Hurts, |f, _| www(f, "ping.path", "")),
    ("fpm-clear-env", Breaks, |f, _| {
        www(f, "clear_env", "yes");
        f.system.env.remove("ECS_CONTAINER_METADATA_URI_V4");
    }),
    ("fpm-hidden-env", Note, |f, _| {
        www(f, "clear_env", "yes");
        variable(f, "SHOP_COLOUR");
        f.system.env.remove("ECS_CONTAINER_METADATA_URI_V4");
        for name in ["APP_ENV_PATH", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] {
            fpm(f).pools[0].env.insert(name.into(), Some(name.into()));
        }
    }),
    ("fpm-empty-env", Hurts, |f, _| {
        fpm(f).pools[0].env.insert("A".into(), Some("UNSET".into()));
    }),
    ("fpm-catch-workers-output", Hurts, |f, _| www(f, "catch_workers_output", "no")),
    ("fpm-decorate-workers-output", Note, |f, _| www(f, "decorate_workers_output", "yes")),
    ("fpm-access-log", Hurts, |f, _| www(f, "access.log", "/proc/self/fd/1")),
    ("fpm-listen", Note, |f, _| www(f, "listen", "9000")),
    ("fpm-listen-directory", Breaks, |f, _| {
        www(f, "listen", "/run/php/fpm.sock");
        let refused = Some("cannot write /run/php: it does not exist".into());
        f.paths.push(PathFacts { refused, ..path("/run/php", Purpose::Socket) });
    }),
    ("fpm-user", Hurts, |f, _| www(f, "user", "nobody")),
    ("fpm-user", Breaks, |f, _| www(f, "user", "root")),
];

const LARAVEL: &[(&str, Severity, Change)] = &[
    ("laravel-config", Breaks, |f, _| f.laravel.config = Told::Failed("exit code 255".into())),
    ("laravel-config", NotChecked, |f, _| f.laravel.config = Told::NotAsked("no .env yet".into())),
    ("laravel-app-key", Breaks, |f, _| app(f).key = false),
    ("laravel-debug", Hurts, |f, _| app(f).debug = true),
    ("migrate-isolated-store", Hurts, |f, p| {
        app(f).cache_driver = "file".into();
        p.crons.clear();
    }),
    ("migrate-isolated-code", Breaks, |_, p| {
        p.migrate.as_mut().unwrap().command =
            vec!["php".into(), "artisan".into(), "migrate".into(), "--isolated".into()];
    }),
    ("migrate-isolated-code", Breaks, |_, p| p.migrate.as_mut().unwrap().lock_code = 12),
    ("optimize-verify", Hurts, |_, p| p.boot[0].verify = None),
    ("laravel-session", Note, |f, _| app(f).session_driver = "file".into()),
    ("laravel-log", Note, |f, _| app(f).log_drivers = vec!["stack".into(), "daily".into()]),
    ("laravel-down", Hurts, |f, _| f.laravel.down = true),
    ("artisan-fleet", Hurts, |_, p| {
        let mut step = p.boot[0].clone();
        step.command = vec!["php".into(), "artisan".into(), "queue:restart".into()];
        p.boot.push(step);
    }),
    ("env-path", Breaks, |f, _| app(f).env_file = "/var/www/html/.env".into()),
    ("env-file-choice", Breaks, |f, _| {
        f.system.app_env = Some("staging".into());
        f.laravel.env_files.push(EnvFile {
            path: "/opt/php/.env.staging".into(),
            placed: true,
            ..EnvFile::default()
        });
    }),
    ("env-baked", Hurts, |f, _| {
        f.laravel.env_files.push(EnvFile { path: "/var/www/html/.env".into(), ..EnvFile::default() });
    }),
    ("env-mode", Hurts, |f, _| env_file(f).mode = 0o444),
    ("env-mode", Breaks, |f, _| env_file(f).readable = false),
    ("env-parse", Breaks, |f, _| env_file(f).problems = vec!["line 3, key A: …".into()]),
    ("env-lint", Note, |f, _| env_file(f).warnings = vec!["line 3, key A: …".into()]),
    ("env-shadowed", Note, |f, _| {
        env_file(f).keys.insert("PATH".into());
    }),
    ("env-early", Hurts, |f, _| {
        env_file(f).keys.insert("APP_CONFIG_CACHE".into());
    }),
];

const QUEUE: &[(&str, Severity, Change)] = &[
    ("queue-retry-after", Breaks, |f, _| retry(f, 20)),
    ("queue-retry-after", Breaks, |f, _| retry(f, 0)),
    ("queue-retry-after", NotChecked, |f, _| {
        let one = Connection { driver: "sqs".into(), retry_after: None };
        app(f).connections.insert("redis".into(), one);
    }),
    ("queue-stop-timeout", Note, |_, p| *p = plans::of("")),
    ("queue-stop-timeout", Hurts, |f, p| {
        retry(f, 300);
        *p = plans::of(
            "[service.queue]\ncommand = [\"php\", \"artisan\", \"queue:work\", \"--timeout=120\"]\n",
        );
    }),
    ("queue-connection", Hurts, |f, _| app(f).queue = "sync".into()),
    ("queue-connection", Breaks, |f, _| app(f).queue = "none".into()),
    ("queue-restart-policy", Breaks, |_, p| {
        *p = plans::of(
            "[service.queue]\ncommand = [\"php\", \"artisan\", \"queue:work\", \"--timeout=9\"]\nrestart = \"on-failure\"\n",
        );
    }),
    ("schedule-twice", Breaks, |_, p| {
        let mut twin = p.crons[0].clone();
        twin.name = "twin".into();
        p.crons.push(twin);
    }),
    ("schedule-cache", Note, |f, p| {
        app(f).cache_driver = "file".into();
        p.migrate = None;
    }),
    ("crontab-unread", Note, |f, _| f.system.crontabs = vec!["/etc/crontabs/www-data".into()]),
];

const SYSTEM: &[(&str, Severity, Change)] = &[
    ("path-writable", Breaks, |f, _| {
        f.paths[1].refused = Some("cannot write x as www-data: it is read-only".into())
    }),
    ("path-space", Breaks, |f, _| {
        f.paths[1].space = Some(Space { bytes: 1 << 30, bytes_free: 0, ..Space::default() });
    }),
    ("path-space", Hurts, |f, _| {
        f.paths[1].space = Some(Space { bytes: 1 << 30, bytes_free: 1 << 29, inodes: 1000, inodes_free: 1 });
    }),
    ("path-network", Hurts, |f, _| f.paths[1].file_system = "nfs4".into()),
    ("state-dir", Note, |f, _| {
        f.system.state_dir = StateDir::Foreign("it is www-data's".into());
        f.processes = Processes { alone: true, ..Processes::default() };
    }),
    ("state-dir", Hurts, |f, _| f.system.state_dir = StateDir::Foreign("it is www-data's".into())),
    ("state-dir", Breaks, |f, _| f.system.state_dir = StateDir::Replaceable("/data is www-data's".into())),
    ("path-secrets", Note, |f, _| f.paths[0].file_system = "overlay".into()),
    ("path-noexec", Note, |f, _| {
        f.paths[1].mount = "/var/www".into();
        f.paths[1].options.insert("noexec".into());
    }),
    ("root-read-only", Note, |f, _| f.system.root_read_only = Some(false)),
    ("capabilities", Breaks, |f, _| f.system.capabilities = Some(0)),
    ("capabilities", Hurts, |f, _| f.system.capabilities = Some(0xa804_25fa)),
    ("app-user", Hurts, |f, _| f.system.app_is_root = true),
    ("limit-open-files", Hurts, |f, _| f.system.open_files = Some(256)),
    ("proc", Hurts, |f, _| f.system.proc_mounted = false),
    ("time-zone-data", Note, |f, _| f.system.tz = Some("Europe/Berlin".into())),
    ("env-secrets", Note, |f, _| variable(f, "DB_PASSWORD")),
    ("root-configuration", Hurts, |f, _| f.system.exposed = vec!["init reads /a: chown -h root /a".into()]),
    ("env-withheld", Note, |f, _| f.system.withheld = vec!["AWS_SESSION_TOKEN".into()]),
    ("binary-readable", Note, |f, _| f.system.readable_binary = Some("/usr/bin/init".into())),
    ("suid-dumpable", Hurts, |f, _| f.system.suid_dumpable = Some(1)),
    ("suid-dumpable", Hurts, |f, _| {
        (f.system.suid_dumpable, f.system.core_pattern) = (Some(2), "|/usr/lib/apport %p".into());
    }),
    ("pid1", Breaks, |f, _| {
        f.processes.pid1 = Some("sh".into());
        f.processes.init = Some(7);
    }),
    ("stop-signal", Breaks, |f, _| f.processes.pid1_catches = Some(1 << 14)),
    ("stray-php", Note, |f, _| f.processes.strays = vec!["php (12)".into()]),
    ("fpm-duplicate", Hurts, |f, _| f.processes.fpm_masters = 3),
    ("second-supervisor", Hurts, |f, _| f.processes.supervisors = vec!["crond (12)".into()]),
    ("stop-budget", Breaks, |_, p| p.stop_timeout = std::time::Duration::from_secs(130)),
    ("stop-budget", NotChecked, |_, p| p.stop_timeout = std::time::Duration::from_secs(110)),
    ("stop-budget", Breaks, |f, _| f.system.agent_stop_timeout = Some("20s".into())),
    ("task-role", Breaks, |f, _| {
        f.system.env.remove("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    }),
    ("ecs-exec", Note, |f, _| f.system.exec_refused = vec!["/var/lib/amazon".into()]),
];

/// init's drop-in names it, and the master has it from init alone.
#[test]
fn the_variable_that_init_adds_to_each_pool_is_no_fault() {
    let mut facts = good();
    fpm(&mut facts).pools[0].env.insert("INIT_INSTANCE".into(), Some("INIT_INSTANCE".into()));
    assert_eq!(unwell(&facts, &plans::laravel()), Seen::new());
}

#[test]
fn nothing_is_found_where_all_is_well() {
    assert_eq!(unwell(&good(), &plans::laravel()), Seen::new());
}

#[test]
fn each_fault_gives_its_own_finding() {
    let mut wrong = Vec::new();
    for (id, severity, change) in [PHP, FPM, LARAVEL, QUEUE, SYSTEM].concat() {
        let (mut facts, mut plan) = (good(), plans::laravel());
        change(&mut facts, &mut plan);
        let found = unwell(&facts, &plan);
        // Where a whole source of facts is gone, others cannot be checked either; else it is the only one.
        let alone = found.iter().all(|(other, how)| *other == id || *how == NotChecked);
        if !found.contains(&(id, severity)) || !alone {
            wrong.push(format!("{id} is to be {severity:?}: {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_check_is_tested_both_ways() {
    let bad: BTreeSet<&str> = [PHP, FPM, LARAVEL, QUEUE, SYSTEM]
        .concat()
        .iter()
        .map(|(id, ..)| *id)
        .chain(NEVER_SEEN.iter().copied())
        .collect();
    let mut socket = good();
    www(&mut socket, "listen", "/run/php/fpm.sock");
    let found = [examine(&good(), &plans::laravel()), examine(&socket, &plans::laravel())].concat();
    let well: BTreeSet<&str> = found
        .iter()
        .flat_map(|(_, findings)| findings)
        .filter(|one| one.severity == Severity::Ok || NEVER_SEEN.contains(&one.check.id))
        .map(|one| one.check.id)
        .collect();
    for check in AREAS.iter().flat_map(|area| area.checks) {
        assert!(bad.contains(check.id), "{} is never bad", check.id);
        assert!(well.contains(check.id), "{} is never well", check.id);
    }
}

#[test]
fn horizon_cannot_do_without_posix() {
    let plan = plans::of("[service.queue]\ncommand = [\"php\", \"artisan\", \"horizon\"]\n");
    let mut facts = good();
    php(&mut facts).extensions.remove("posix");
    assert_eq!(unwell(&facts, &plan), Seen::from([("ext-posix", Breaks)]));
}

#[test]
fn any_user_needs_no_capability_and_a_pool_of_its_own_none() {
    let mut facts = good();
    facts.system.uid = 1000;
    facts.system.capabilities = Some(0);
    www(&mut facts, "user", "nobody");
    assert_eq!(unwell(&facts, &plans::laravel()), Seen::new());
}

#[test]
fn an_image_alone_says_what_it_cannot_know() {
    let mut facts = good();
    facts.processes = Processes { alone: true, ..Processes::default() };
    facts.laravel.env_files.clear();
    facts.laravel.config = Told::NotAsked("no .env yet".into());
    facts.paths[0].refused = Some("cannot write /opt/php: it does not exist".into());
    facts.paths[0].mended = true;
    let found = unwell(&facts, &plans::laravel());
    assert!(found.iter().all(|(_, severity)| *severity == NotChecked), "{found:?}");
    assert!(found.contains(&("pid1", NotChecked)) && found.contains(&("env-parse", NotChecked)));
}

#[test]
fn the_hook_is_looked_for_where_the_configuration_cannot_be_read() {
    let mut facts = good();
    facts.laravel.config = Told::NotAsked("no .env yet".into());
    facts.laravel.env_path_hook = false;
    assert!(unwell(&facts, &plans::laravel()).contains(&("env-path", Breaks)));
}
