//! Whole files and what they become. `UPDATE_GOLDEN=1` writes the expectations anew.

use crate::support::{need, repository};
use crate::{here, import, plan};
use std::fs;
use std::process::Command;

/// What the variables of the samples are.
fn env(name: &str) -> Option<String> {
    let value = match name {
        "ENV" => "production",
        "APP_ENV" => "local",
        "NGINX" => "true",
        "NAME" => "n",
        "WORKERS" => "3",
        "APP_USER" => "app",
        _ => return None,
    };
    Some(value.to_owned())
}

/// Imports `golden/NAME`, compares with its `init.toml`, and gives the plan.
fn golden(name: &str, crontab: Option<&str>) -> php_init::config::plan::Plan {
    let path = |file: &str| here(&format!("golden/{name}/{file}"));
    let (conf, crontab) = (path("supervisord.conf"), crontab.map(path));
    let arguments: Vec<&str> = std::iter::once(conf.as_str()).chain(crontab.as_deref()).collect();
    let (code, out, err) = import(&arguments, &env);
    assert_eq!((code, err.as_str()), (0, ""));
    // %(here)s is absolute, and this repository is anywhere.
    let out = out.replace(repository("").to_str().unwrap().trim_end_matches('/'), "/repository");
    let expected = path("init.toml");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&expected, &out).unwrap();
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert!(out == wanted, "{expected} differs; UPDATE_GOLDEN=1 writes it anew. It is now:\n{out}");
    plan(&out, &env)
}

#[test]
fn a_container_with_fpm_crond_and_a_worker() {
    let plan = golden("laravel-ecs", Some("crontabs/www-data"));
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["php", "laravel-queue-worker"], "crond is not needed");
    assert!(plan.services[1].command.contains(&"--env=production".to_owned()));
    assert_eq!((plan.crons[0].name.as_str(), plan.crons[0].user.as_deref()), ("schedule", Some("www-data")));
    assert_eq!(plan.crons[0].command, ["php", "artisan", "schedule:run"]);
}

#[test]
fn the_worker_of_laravel_s_documentation() {
    let plan = golden("laravel-docs", None);
    let worker = &plan.services[0];
    assert_eq!(
        (worker.name.as_str(), worker.instances, worker.user.as_deref()),
        ("laravel-worker", 8, Some("forge"))
    );
    assert_eq!(worker.stop_timeout.unwrap().as_secs(), 3600);
    assert!(plan.stop_timeout > worker.stop_timeout.unwrap());
}

#[test]
fn included_files_in_groups_with_priorities() {
    let plan = golden("include", None);
    let names: Vec<&str> = plan.services.iter().map(|service| service.name.as_str()).collect();
    assert_eq!(names, ["php-fpmd", "nginxd"]);
    assert_eq!(plan.services[1].after, ["php-fpmd"]);
    assert_eq!(plan.services[1].command[2], "daemon off;");
    assert_eq!(plan.env["QUEUE"], "high,default");
}

#[test]
fn every_key() {
    let plan = golden("everything", Some("crontab"));
    let scaled = plan.services.iter().find(|service| service.name == "scaled").unwrap();
    assert_eq!(scaled.command[2..], ["exec worker \"$0\" > /dev/null", "n", ">", "out.log", "--more"]);
    assert_eq!((scaled.instances, scaled.umask, scaled.open_files), (3, 0o002, Some(10_000)));
    let each = plan.services.iter().find(|service| service.name == "each_02").unwrap();
    assert_eq!(each.env["OWN"], "100%, $HOME ${NOT_OURS}");
    assert!(!fs::read_to_string(here("golden/everything/init.toml")).unwrap().contains("S3CR3T"));
}

/// The sample that the supervisor package prints: all comments but for supervisord's own sections.
#[test]
fn the_sample_of_the_package() {
    if !need(&["echo_supervisord_conf"]) {
        return;
    }
    let sample = Command::new("echo_supervisord_conf").output().unwrap().stdout;
    let sample = String::from_utf8(sample).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let conf = dir.path().join("supervisord.conf");
    let load = |text: &str| {
        fs::write(&conf, text).unwrap();
        let (code, out, err) = import(&[conf.to_str().unwrap()], &|_| None);
        assert_eq!((code, err.as_str()), (0, ""), "{text}");
        (plan(&out, &|name| (!name.starts_with("INIT_")).then(|| "1".to_owned())), out)
    };
    let (plan, out) = load(&sample);
    assert!(plan.services.is_empty() && out.contains("[unix_http_server]"), "{out}");

    // And with every line of it in use, but for the [include] of files that are not there.
    let used = sample
        .lines()
        .map(|line| line.strip_prefix(';').filter(|l| !l.starts_with([' ', ';'])).unwrap_or(line));
    let used: String = used.map(|line| format!("{line}\n")).collect();
    let used = used
        .replace("numprocs=1 ", "numprocs=2 ")
        .replace("%(program_name)s ", "%(program_name)s%(process_num)d ");
    let used = used.replace("programs=progname1,progname2", "programs=theprogramname");
    let (plan, out) = load(&used);
    let service = &plan.services[0];
    assert_eq!((service.name.as_str(), service.instances), ("theprogramname", 2), "{out}");
    assert_eq!(service.command, ["/bin/cat"]);
    assert_eq!(service.stop_signal.to_string(), "QUIT");
    assert_eq!((service.env["A"].as_str(), service.env["B"].as_str()), ("1", "2"));
    assert!(out.contains("not carried over: [eventlistener:theeventlistenername]"), "{out}");
}
