//! Presets, layers, references and roles.

use crate::support::{cron, layers_of, no_env, plan, plan_for, service, show};
use php_init::config::load::{PRESETS, layers};
use php_init::config::plan::{
    FileFormat, GiveUp, Overlap, ProbePlan, Restart, Signal, StopScope, Then, Verify,
};
use php_init::config::resolve::{Layers, resolve};
use php_init::config::tree::Source;
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn bucket(name: &str) -> Option<String> {
    (name == "CONFIG_BUCKET").then(|| "my.bucket".to_owned())
}

/// The sample that the design was agreed on.
const SAMPLE: &str = include_str!("sample.toml");

#[test]
fn the_sample_loads_over_its_preset() {
    let plan = plan_for(SAMPLE, &bucket, None);
    assert_eq!(plan.preset, "laravel");
    assert_eq!(plan.files.len(), 1, "the sample's file is the preset's");
    let file = &plan.files[0];
    assert_eq!(file.source, "s3://my.bucket/production/.env");
    assert_eq!(file.path, Path::new("/opt/php/.env"));
    assert_eq!((file.format, file.mode, file.required), (FileFormat::Dotenv, 0o440, true));
    assert_eq!((file.timeout, file.max_size), (20 * SECOND, 1 << 20));
    assert_eq!(plan.boot.len(), 1);
    assert_eq!(plan.boot[0].verify, Some(Verify::LaravelOptimize), "the preset's check stays");
    assert_eq!(plan.boot[0].command, ["php", "artisan", "optimize"]);
    let queue = service(&plan, "queue");
    assert_eq!((queue.instances, queue.after.as_slice()), (1, &["php-fpm".to_owned()][..]));
    assert_eq!(queue.give_up, Some(GiveUp { restarts: 50, within: 3600 * SECOND, then: Then::Exit }));
    let fpm = service(&plan, "php-fpm");
    assert_eq!((fpm.stop_signal, fpm.stop_scope), (Signal::QUIT, StopScope::Main));
    assert!(fpm.fpm.is_some());
    assert_eq!(plan.crons.len(), 1);
    assert_eq!(plan.crontabs, [Path::new("/etc/crontabs/www-data")]);
    assert_eq!(plan.env.get("APP_ENV_PATH").map(String::as_str), Some("/opt/php"));
}

#[test]
fn without_its_bucket_the_sample_says_so() {
    let layers = layers_of(SAMPLE, &no_env).unwrap();
    let said = show(&resolve(&layers, &no_env, None).unwrap_err());
    assert!(said.contains("CONFIG_BUCKET is not set: name the bucket"), "{said}");
    assert!(said.starts_with("/etc/init.toml:15:17: "), "{said}");
}

#[test]
fn every_preset_loads_alone() {
    for (name, _) in PRESETS {
        let plan = plan(&format!("preset = '{name}'"));
        assert_eq!(plan.preset, *name);
        if *name == "nginx" {
            let nginx = service(&plan, "nginx");
            assert!(nginx.essential && nginx.reload_signal == Some(Signal::HUP));
            assert_eq!(plan.files.len(), 2);
            continue;
        }
        let fpm = service(&plan, "php-fpm");
        assert!(fpm.essential);
        assert_eq!(fpm.user.as_deref(), Some("root"));
        assert_eq!(fpm.reload_signal, Some(Signal::USR2));
        assert_eq!(fpm.give_up, Some(GiveUp { restarts: 5, within: 120 * SECOND, then: Then::Exit }));
        assert_eq!(fpm.fpm.as_ref().unwrap().process_control_timeout, 23 * SECOND);
        let ready = fpm.ready.as_ref().unwrap();
        let probe = ProbePlan::FastCgi { address: "127.0.0.1:9000".into(), path: "/-/fpm-ping".into() };
        assert_eq!(ready.probe, probe);
        assert_eq!(plan.user.as_deref(), Some("www-data"));
    }
}

#[test]
fn laravel_without_a_source_fetches_nothing_and_leaves_the_environment_alone() {
    let plan = plan("preset = 'laravel'");
    assert!(plan.files.is_empty());
    assert!(plan.env.is_empty());
    assert!(plan.directories.contains(&PathBuf::from("/var/www/html/storage/framework/views")));
    assert!(plan.writable.contains(&PathBuf::from("/tmp")));
    assert!(plan.writable.contains(&PathBuf::from("/var/www/html/bootstrap/cache")));
    let migrate = plan.migrate.as_ref().unwrap();
    assert_eq!((migrate.lock_code, migrate.lock_timeout, migrate.timeout), (75, 600 * SECOND, None));
    let queue = service(&plan, "queue");
    assert!(!queue.command.iter().any(String::is_empty), "{:?}", queue.command);
    assert_eq!((queue.restart, queue.give_up), (Restart::Always, None));
    let schedule = cron(&plan, "schedule");
    assert_eq!((schedule.schedule.as_str(), schedule.overlap), ("* * * * *", Overlap::Allow));
}

#[test]
fn laravel_is_steered_by_variables() {
    let env = |name: &str| {
        let value = match name {
            "INIT_ENV_SOURCE" => "arn:aws:s3:::bucket/k.env",
            "CONFIG_BUCKET" => "unused",
            "QUEUE_WORKERS" => "4",
            "QUEUE_NAMES" => "high,default",
            "APP_ENV_PATH" => "/env/",
            _ => return None,
        };
        Some(value.to_owned())
    };
    let plan = plan_for("preset = 'laravel'", &env, None);
    assert_eq!(plan.files[0].source, "arn:aws:s3:::bucket/k.env");
    assert_eq!(plan.files[0].path, Path::new("/env/.env"));
    assert_eq!(plan.env.get("APP_ENV_PATH").map(String::as_str), Some("/env"));
    let queue = service(&plan, "queue");
    assert_eq!(queue.instances, 4);
    assert_eq!(queue.command.last().map(String::as_str), Some("--queue=high,default"));
    assert_eq!((queue.pause_signal, queue.resume_signal), (Signal::from_number(12), Signal::from_number(18)));
}

#[test]
fn tables_merge_key_by_key_and_entries_by_name() {
    let plan = plan_for(
        r#"
        preset = "laravel"
        env = { LOG_CHANNEL = "stderr" }
        writable = ["...", "/mnt/efs"]
        [[boot]]
        name = "optimize"
        timeout = "2m"
        [[boot]]
        name = "link"
        command = ["php", "artisan", "storage:link"]
        [[file]]
        name = "env"
        require-keys = ["APP_KEY"]
        [service.queue]
        command = ["...", "--memory=256"]
        backoff = { max = "10s" }
        [service.php-fpm]
        ready = { unix = "/run/fpm.sock" }
        [service.nightwatch]
        command = ["php", "artisan", "nightwatch:agent"]
        "#,
        &bucket,
        None,
    );
    assert_eq!(plan.env.len(), 2);
    assert_eq!(plan.writable.len(), 4);
    assert_eq!(plan.boot.len(), 2);
    assert_eq!((plan.boot[0].timeout, plan.boot[0].verify), (120 * SECOND, Some(Verify::LaravelOptimize)));
    assert_eq!(plan.boot[1].command[2], "storage:link");
    assert_eq!(plan.files[0].require_keys, ["APP_KEY"]);
    let queue = service(&plan, "queue");
    assert_eq!(queue.command[2], "queue:work");
    assert_eq!(queue.command.last().map(String::as_str), Some("--memory=256"));
    assert_eq!((queue.backoff.initial, queue.backoff.max), (SECOND / 2, 10 * SECOND));
    let ready = service(&plan, "php-fpm").ready.as_ref().unwrap();
    assert_eq!(ready.probe, ProbePlan::Unix { path: "/run/fpm.sock".into() });
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["php-fpm", "queue", "nightwatch"]);
}

#[test]
fn a_probe_of_another_kind_replaces_the_one_below() {
    let below = "[service.a]\ncommand = ['b']\nready = { http = 'http://localhost/x', status = 204, timeout = '7s' }\n\
        live = { fastcgi = '/run/a.sock', path = '/p', failures = 9 }\n";
    let plan = |above: &str| {
        let source = |text: &str| Source { name: "test".into(), text: text.into() };
        let layers = Layers::parse(vec![source(below), source(above)], "/var/www/html".into()).unwrap();
        resolve(&layers, &no_env, None).unwrap_or_else(|errors| panic!("{}", show(&errors)))
    };
    let plan = |above: &str| plan(above).services.remove(0);
    let other = plan("[service.a]\nready.command = ['c']\nlive.notify = 'watchdog'\n");
    let (ready, live) = (other.ready.unwrap(), other.live.unwrap());
    assert_eq!(ready.probe, ProbePlan::Command { command: vec!["c".into()] });
    assert_eq!((ready.timeout, live.probe, live.failures), (7 * SECOND, ProbePlan::Notify, 9));
    let same = plan("[service.a]\nready.http = 'http://localhost/y'\nlive.fastcgi = '/run/b.sock'\n");
    let probes = (same.ready.unwrap().probe, same.live.unwrap().probe);
    assert!(
        matches!(probes.0, ProbePlan::Http { path, status, .. } if path == "/y" && status == [204..=204])
    );
    assert_eq!(probes.1, ProbePlan::FastCgi { address: "/run/b.sock".into(), path: "/p".into() });
    // A key of a service is none of its probe's.
    assert_eq!(plan("[service.a]\ncommand = ['d']\n").ready.unwrap().timeout, 7 * SECOND);
}

#[test]
fn the_defaults_of_probes() {
    let text = "preset = 'none'\n[service.a]\ncommand = ['b']\nready = { http = 'http://localhost/' }\nlive = { tcp = 'localhost:80' }\n";
    let plan = plan_for(text, &no_env, None);
    let (ready, live) = (plan.services[0].ready.as_ref().unwrap(), plan.services[0].live.as_ref().unwrap());
    assert!(matches!(&ready.probe, ProbePlan::Http { status, .. } if *status == [200..=399]));
    assert_eq!((live.interval, live.timeout, live.failures, live.successes), (10 * SECOND, 5 * SECOND, 3, 1));
    assert_eq!(plan_for("preset = 'laravel'", &no_env, None).services[0].live, None);
}

#[test]
fn entries_of_a_preset_are_switched_off() {
    let plan = plan(
        r#"
        preset = "laravel"
        migrate.enabled = false
        [[boot]]
        name = "optimize"
        enabled = false
        [service.php-fpm]
        enabled = "no"
        [cron.schedule]
        enabled = false
        "#,
    );
    assert!(plan.boot.is_empty() && plan.crons.is_empty() && plan.migrate.is_none());
    assert_eq!(plan.services.len(), 1);
    assert!(plan.services[0].after.is_empty(), "nothing waits for what is switched off");
}

#[test]
fn none_takes_away_what_a_preset_or_a_default_gives() {
    let plan = plan(
        r#"
        preset = "php"
        [service.php-fpm]
        give-up = "none"
        ready = "none"
        fpm = "none"
        reload-signal = "none"
        "#,
    );
    let fpm = service(&plan, "php-fpm");
    assert!(fpm.give_up.is_none() && fpm.ready.is_none() && fpm.fpm.is_none() && fpm.reload_signal.is_none());
}

#[test]
fn roles_choose_services_and_cron_entries() {
    let names = |role: Option<&str>| {
        let plan = plan_for("preset = 'laravel'\n[service.all]\ncommand = ['x']", &no_env, role);
        let services = plan.services.iter().map(|service| service.name.clone());
        services.chain(plan.crons.iter().map(|cron| cron.name.clone())).collect::<Vec<_>>()
    };
    assert_eq!(names(None), ["php-fpm", "queue", "all", "schedule"]);
    assert_eq!(names(Some("")), ["php-fpm", "queue", "all", "schedule"]);
    assert_eq!(names(Some("web")), ["php-fpm", "all"]);
    assert_eq!(names(Some("worker")), ["queue", "all"]);
    assert_eq!(names(Some("web, scheduler")), ["php-fpm", "all", "schedule"]);
    let plan = plan_for("preset = 'laravel'", &no_env, Some("worker"));
    assert!(service(&plan, "queue").after.is_empty());
    assert_eq!(plan.role.as_deref(), Some("worker"));
}

#[test]
fn variables_of_another_role_need_not_be_set_here() {
    let text = r#"
        preset = "none"
        [service.a]
        command = ["a"]
        roles = ["web"]
        [service.b]
        command = ["b", "${NEEDED:?}"]
        roles = ["worker"]
        [service.c]
        command = ["c", "${NEEDED:?}"]
        enabled = false
    "#;
    assert_eq!(plan_for(text, &no_env, Some("web")).services.len(), 1);
    let layers = layers_of(text, &no_env).unwrap();
    assert_eq!(resolve(&layers, &no_env, None).unwrap_err().len(), 1);
}

#[test]
fn a_value_that_is_replaced_is_never_looked_up() {
    let plan = plan("preset = 'laravel'\n[service.queue]\ninstances = 2");
    assert_eq!(service(&plan, "queue").instances, 2);
}

#[test]
fn what_expands_to_nothing_is_not_written() {
    let env = |name: &str| matches!(name, "EMPTY" | "USER_EMPTY").then(String::new);
    let plan = plan_for(
        r#"
        preset = "none"
        user = "${EMPTY}"
        stop-timeout = "${EMPTY}"
        env = { A = "${EMPTY}", B = "", C = "x${EMPTY}" }
        writable = ["${EMPTY}", "/a"]
        [[file]]
        source = "${EMPTY}"
        path = "x"
        [service.a]
        command = ["a", "${EMPTY}", ""]
        instances = "${EMPTY}"
        "#,
        &env,
        None,
    );
    assert_eq!((plan.user.as_deref(), plan.stop_timeout), (None, 25 * SECOND));
    assert_eq!(plan.env.keys().collect::<Vec<_>>(), ["B", "C"]);
    assert_eq!(plan.writable, [Path::new("/a")]);
    assert!(plan.files.is_empty());
    assert_eq!(plan.services[0].command, ["a", ""]);
    assert_eq!(plan.services[0].instances, 1);
}

#[test]
fn numbers_and_switches_may_be_strings() {
    let env = |name: &str| match name {
        "N" => Some("3".to_owned()),
        "YES" => Some("true".to_owned()),
        _ => None,
    };
    let plan = plan_for(
        r#"
        preset = "none"
        stop-timeout = "${N}0s"
        [service.a]
        command = ["a"]
        user = 33
        env = { PORT = 9000 }
        instances = "${N}"
        essential = "${YES}"
        stop-signal = 3
        open-files = "1024"
        backoff = { factor = "1.5", jitter = "0" }
        "#,
        &env,
        None,
    );
    let a = service(&plan, "a");
    assert_eq!(plan.stop_timeout, 30 * SECOND);
    assert_eq!((a.instances, a.essential, a.stop_signal), (3, true, Signal::QUIT));
    assert_eq!((a.open_files, a.user.as_deref()), (Some(1024), Some("33")));
    assert_eq!(a.env.get("PORT").map(String::as_str), Some("9000"));
    assert!((a.backoff.factor - 1.5).abs() < 1e-9 && a.backoff.jitter.abs() < 1e-9);
}

#[test]
fn paths_are_relative_to_their_directories() {
    let plan = plan(
        r#"
        preset = "none"
        work-dir = "/app/"
        state-dir = "/state"
        writable = ["storage/"]
        env = { A = "${state-dir}/x", B = "${work-dir}", C = "${dotenv-dir}" }
        [[file]]
        source = "/in"
        path = "conf/.env"
        format = "dotenv"
        [service.a]
        command = ["a"]
        work-dir = "public"
        "#,
    );
    assert_eq!(plan.work_dir, Path::new("/app"));
    assert_eq!(plan.writable, [Path::new("/app/storage")]);
    assert_eq!(plan.files[0].path, Path::new("/state/conf/.env"));
    assert_eq!(plan.services[0].work_dir.as_deref(), Some(Path::new("/app/public")));
    let env = |name: &str| plan.env.get(name).map(String::as_str);
    assert_eq!((env("A"), env("C")), (Some("/state/x"), Some("/state/conf")));
}

#[test]
fn the_directory_chooses_the_preset() {
    let chosen = |text: Option<&str>, files: &[&str], current: &str| {
        let source =
            text.map(|text| php_init::config::tree::Source { name: "f".into(), text: text.to_owned() });
        let exists = |path: &Path| files.iter().any(|file| Path::new(file).starts_with(path));
        let layers = layers(source, None, &no_env, &exists, Some(Path::new(current))).unwrap();
        (layers.preset.clone(), layers.work_dir.display().to_string())
    };
    let pair = |preset: &str, dir: &str| (preset.to_owned(), dir.to_owned());
    assert_eq!(chosen(None, &["/var/www/html/artisan"], "/var/www"), pair("laravel", "/var/www/html"));
    assert_eq!(chosen(None, &["/app/artisan", "/var/www/html/wp-load.php"], "/app"), pair("laravel", "/app"));
    assert_eq!(chosen(None, &["/var/www/html/wp-load.php"], "/"), pair("wordpress", "/var/www/html"));
    assert_eq!(chosen(None, &["/srv/wp-config.php"], "/srv"), pair("wordpress", "/srv"));
    assert_eq!(chosen(None, &["/var/www/html/index.php"], "/"), pair("php", "/var/www/html"));
    assert_eq!(chosen(None, &[], "/srv"), pair("php", "/srv"));
    assert_eq!(chosen(Some("work-dir = '/x'"), &["/x/artisan"], "/srv"), pair("laravel", "/x"));
    assert_eq!(chosen(Some("work-dir = '/x'"), &["/srv/artisan"], "/srv"), pair("php", "/x"));
    assert_eq!(chosen(Some("preset = 'none'"), &["/srv/artisan"], "/srv"), pair("none", "/srv"));
}
