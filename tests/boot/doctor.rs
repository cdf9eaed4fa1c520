//! `init doctor` with real PHP-FPM and the sample Laravel application: in a running container and in an image alone.

use crate::harness::{self, Place, Setup};
use crate::support::need;
use crate::support::sandbox::{NEEDS, Sandbox};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const CONFIG: &str = "[[file]]\nname = \"env\"\nsource = \"/opt/php/source.env\"\n";

/// Eight faults, with those of the environment in [`seeded`].
const FAULTS: &str = r#"
writable = ["/tmp", "storage", "bootstrap/cache", "/usr"]

[service.php-fpm.fpm]
config = "/opt/php/fpm.conf"

[service.queue]
restart = "never"

[cron.twin]
schedule = "* * * * *"
command  = ["php", "artisan", "schedule:run"]

[[file]]
name   = "env"
source = "/opt/php/source.env"
"#;

const FPM: &str = "[global]\nprocess_control_timeout = 0\n[www]\nuser = www-data\ngroup = www-data\nlisten = 127.0.0.1:9000\n\
    pm = static\npm.max_children = 3\nclear_env = no\ncatch_workers_output = no\n";

/// Puts the `.env` where the boot would.
fn place_env(sandbox: &Sandbox, mode: u32) {
    let path = sandbox.volume("php/.env");
    fs::copy(sandbox.volume("php/source.env"), &path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    assert!(Command::new("chown").arg("www-data:www-data").arg(&path).status().unwrap().success());
}

/// The last report in the container's log.
fn report(sandbox: &Sandbox) -> Value {
    let log = sandbox.log();
    let line =
        log.lines().rfind(|line| line.starts_with('{')).unwrap_or_else(|| panic!("no report in\n{log}"));
    serde_json::from_str(line).unwrap()
}

/// Names of the findings of these severities.
fn ids(report: &Value, severities: &[&str]) -> BTreeSet<String> {
    let findings = report["findings"].as_array().unwrap().iter();
    let wanted = findings.filter(|one| severities.contains(&one["severity"].as_str().unwrap()));
    wanted.map(|one| one["id"].as_str().unwrap().to_owned()).collect()
}

/// Every file of the volumes, with its size and when it was changed.
fn files(root: &Path) -> BTreeSet<(PathBuf, u64, i64)> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        let data = fs::symlink_metadata(&path).unwrap();
        if data.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert((path, data.len(), data.mtime_nsec()));
        }
    }
    found
}

/// `docker exec` without Docker: its exit code and its report.
fn exec(sandbox: &Sandbox) -> (i32, Value) {
    let mut command = Command::new("nsenter");
    command.arg(format!("--target={}", sandbox.pid())).args(["--mount", "--pid", "--net", "--root", "--wd"]);
    command.args(["/opt/bin/init", "doctor", "--json"]).env_clear();
    command.env("PATH", "/opt/bin:/usr/sbin:/usr/bin:/sbin:/bin").env("INIT_CONFIG", "/opt/etc/init.toml");
    let done = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    let error = String::from_utf8_lossy(&done.stderr).into_owned();
    (
        done.status.code().unwrap(),
        serde_json::from_str(&text).unwrap_or_else(|why| panic!("{why}: {text}{error}")),
    )
}

#[test]
fn doctor_finds_nothing_broken_in_a_healthy_container() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIG);
    sandbox.start(&["--role", "web"]);
    sandbox.ready("/slow/0");
    let before = files(&sandbox.volume(""));
    let (code, report) = exec(&sandbox);
    assert_eq!((code, &report["counts"]["breaks"]), (0, &Value::from(0)), "{report:#}");
    let well = ids(&report, &["ok"]);
    for id in [
        "php",
        "ext-pcntl",
        "fpm-config",
        "fpm-process-control-timeout",
        "fpm-ping-path",
        "fpm-clear-env",
        "fpm-user",
        "laravel-config",
        "laravel-app-key",
        "env-path",
        "env-mode",
        "env-parse",
        "queue-retry-after",
        "path-writable",
        "root-read-only",
        "capabilities",
        "pid1",
        "stop-signal",
        "stray-php",
        "fpm-duplicate",
        "stop-budget",
    ] {
        assert!(well.contains(id), "{id} is not in order: {report:#}");
    }
    assert_eq!(files(&sandbox.volume("")), before, "the doctor changed something");
}

#[test]
fn doctor_looks_at_an_image_that_never_booted() {
    if !need(NEEDS) {
        return;
    }
    for user in [None, Some("1000:1000")] {
        let mut sandbox = Sandbox::new(CONFIG);
        // The sandbox makes the volumes, so that what follows sees whether the doctor adds to them.
        assert_eq!(sandbox.run(&["--version"]), 0);
        if let Some(user) = user {
            sandbox = sandbox.user(user);
        }
        let before = files(&sandbox.volume(""));
        assert_eq!(sandbox.run(&["doctor", "--json"]), 0, "{user:?}: {}", sandbox.log());
        let unseen = ids(&report(&sandbox), &["not-checked"]);
        for id in ["pid1", "laravel-config", "env-parse", "migrate-isolated-store"] {
            assert!(unseen.contains(id), "{user:?}: {id} was looked at: {}", sandbox.log());
        }
        assert_eq!(files(&sandbox.volume("")), before, "{user:?}: the doctor changed something");
    }
}

#[test]
fn doctor_finds_the_faults_that_were_put_in_and_no_others() {
    if !need(NEEDS) {
        return;
    }
    let healthy = Sandbox::new(CONFIG);
    place_env(&healthy, 0o440);
    assert_eq!(healthy.run(&["doctor", "--json"]), 0, "{}", healthy.log());
    let usual = ids(&report(&healthy), &["breaks", "hurts"]);
    let faulty = Sandbox::new(FAULTS).env("QUEUE_RETRY_AFTER", "30").env("APP_DEBUG", "true");
    place_env(&faulty, 0o644);
    fs::write(faulty.volume("php/fpm.conf"), FPM).unwrap();
    assert_eq!(faulty.run(&["doctor", "--json"]), 1, "{}", faulty.log());
    let report = report(&faulty);
    let added = |severity| -> Vec<String> { ids(&report, &[severity]).difference(&usual).cloned().collect() };
    assert_eq!(
        added("breaks"),
        [
            "fpm-process-control-timeout",
            "path-writable",
            "queue-restart-policy",
            "queue-retry-after",
            "schedule-twice"
        ],
        "{report:#}"
    );
    let hurts = ["env-mode", "fpm-catch-workers-output", "laravel-debug", "root-configuration"];
    assert_eq!(added("hurts"), hurts, "{report:#}");
    assert!(!faulty.log().contains("MDEyMzQ1"), "the key of .env is shown");
}

#[test]
fn doctor_gives_up_on_a_php_that_fails_or_hangs() {
    if !need(NEEDS) {
        return;
    }
    for (script, words) in [
        ("exit 3", "/opt/php/php did not tell of itself: exit code 3"),
        ("sleep 600", "/opt/php/php did not answer within 10s"),
    ] {
        // The first PHP of the plan is asked.
        let queue = "[service.queue]\ncommand = [\"/opt/php/php\", \"artisan\", \"queue:work\"]\n";
        let sandbox = Sandbox::new(&format!("{CONFIG}{queue}"));
        place_env(&sandbox, 0o440);
        fs::write(sandbox.volume("php/php"), format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(sandbox.volume("php/php"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(sandbox.run(&["doctor", "--json"]), 1, "{}", sandbox.log());
        let report = report(&sandbox);
        assert!(ids(&report, &["breaks"]).contains("php"), "{report:#}");
        assert!(report.to_string().contains(words), "{report:#}");
    }
}

/// The doctor is root, and looks at files of the application's.
#[test]
fn what_the_application_puts_in_place_of_its_files_holds_no_doctor() {
    if !need(harness::NEEDS) {
        return;
    }
    // Without a PHP, which would wait for the FIFO as well, for as long as it may.
    let config = "user = \"www-data\"\nwork-dir = \"DIR/www\"\n";
    let setup = Setup::new(Place::Child, config).env("PATH", "/nowhere");
    setup.file("www/artisan", "", 0o644);
    setup.file("www/bootstrap/x", "", 0o644);
    let fifo = |name: &str| {
        let path = setup.path(name);
        assert!(Command::new("mkfifo").arg(&path).status().unwrap().success());
    };
    fifo("www/bootstrap/app.php");
    fifo("www/.env");
    setup.start(&["doctor"]).finish_within(Duration::from_secs(10));
    fs::remove_file(setup.path("www/bootstrap/app.php")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", setup.path("www/bootstrap/app.php")).unwrap();
    setup.start(&["doctor"]).finish_within(Duration::from_secs(10));
}
