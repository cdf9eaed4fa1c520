//! PHP-FPM 8.2 under init: ready, stopped with requests in flight, killed, reloaded, misconfigured.

use crate::container::{PATIENCE, in_order, kill};
use crate::procs::{self, Proc};
use crate::support::sandbox::{Answer, NEEDS, Sandbox};
use crate::support::{eventually, need};
use std::fs;
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

/// PHP-FPM alone, with the sample's `.env`. What is not tested here costs a second of PHP and is left out.
const WEB: &str = r#"
    preset = "laravel"
    [[file]]
    name = "env"
    source = "/opt/php/source.env"
    [[boot]]
    name = "optimize"
    enabled = false
    [service.queue]
    enabled = false
    [cron.schedule]
    enabled = false
"#;

/// The tables that `GET /status` reads.
const TABLES: &str = r#"
    [[boot]]
    name = "tables"
    command = ["php", "artisan", "migrate", "--force", "--no-ansi"]
"#;

fn web(more: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(&format!("{WEB}{more}"));
    sandbox.start(&[]);
    sandbox
}

fn says(sandbox: &Sandbox, text: &str, times: usize) -> String {
    eventually(&format!("the log says {text:?} {times} times"), PATIENCE, || {
        Some(sandbox.log()).filter(|log| log.matches(text).count() >= times)
    })
}

/// The master: init's own child.
fn master(sandbox: &Sandbox) -> Proc {
    let init = sandbox.pid();
    eventually("there is a master", PATIENCE, || {
        let below = procs::descendants(init);
        below
            .into_iter()
            .find(|process| process.parent == init && procs::command(process.pid).contains("master process"))
    })
}

fn workers(master: i32) -> Vec<i32> {
    let below = procs::descendants(master);
    below.into_iter().filter(|process| process.state != 'Z').map(|process| process.pid).collect()
}

/// Sends `GET /slow/SECONDS` and returns once a worker is at it.
fn in_flight<'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    sandbox: &'scope Sandbox,
    seconds: &'static str,
) -> ScopedJoinHandle<'scope, Option<Answer>> {
    let master = master(sandbox).pid;
    let request = scope.spawn(move || sandbox.request("GET", &format!("/slow/{seconds}")));
    // Nothing else in the application sleeps.
    eventually("a worker is at it", PATIENCE, || {
        workers(master).iter().any(|pid| procs::sleeps_in(*pid).contains("nanosleep")).then_some(())
    });
    request
}

fn slept(answer: Option<Answer>) -> f64 {
    answer.expect("an answer").json()["slept"].as_f64().unwrap()
}

#[test]
fn php_fpm_gets_ready_and_answers_the_ping_and_a_request() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = web(TABLES);
    says(&sandbox, "php-fpm: ready after", 1);
    let ping =
        [("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", "/-/fpm-ping"), ("SCRIPT_FILENAME", "/-/fpm-ping")];
    let pong = sandbox.inside(&["cgi-fcgi", "-bind", "-connect", "127.0.0.1:9000"], &ping);
    assert!(pong.ends_with("pong"), "{pong}");
    let status = sandbox.ready("/status").json();
    assert_eq!(status["greeting"], "Hello from php-init demo");
    assert_eq!(status["user"], "www-data");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    in_order(&sandbox.log(), &["php-fpm: started", "php-fpm: ready after", "php-fpm: stopped"]);
}

#[test]
fn a_request_in_flight_survives_term_and_quit() {
    if !need(NEEDS) {
        return;
    }
    for signal in ["TERM", "QUIT"] {
        let mut sandbox = web("");
        sandbox.ready("/slow/0");
        thread::scope(|scope| {
            let request = in_flight(scope, &sandbox, "3");
            sandbox.signal(signal);
            assert!((slept(request.join().unwrap()) - 3.0).abs() < 0.01);
        });
        assert_eq!(sandbox.wait(PATIENCE), 0, "{signal}");
        let log = sandbox.log();
        assert!(log.contains("php-fpm: stopped in") && !log.contains("SIGKILL"), "{log}");
    }
}

/// What an image may bring: its own place to listen and its own timeout, nothing that init would need.
const OWN_POOL: &str = "[global]\nerror_log = /proc/self/fd/2\nprocess_control_timeout = 10\n[own]\nuser = www-data\n\
    listen = /tmp/own.sock\npm = dynamic\npm.max_children = 3\npm.start_servers = 2\npm.min_spare_servers = 1\n\
    pm.max_spare_servers = 3\n";

#[test]
fn a_request_in_flight_survives_with_a_pool_configuration_of_the_images_own() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(&format!(
        "{WEB}\n[service.php-fpm]\ncommand = [\"php-fpm\", \"-F\", \"-y\", \"/opt/php/own.conf\"]\n"
    ));
    fs::write(sandbox.volume("php/own.conf"), OWN_POOL).unwrap();
    sandbox.start(&[]);
    says(&sandbox, "php-fpm: ready after", 1);
    let socket = sandbox.volume("tmp/own.sock").to_str().unwrap().to_owned();
    thread::scope(|scope| {
        let parameters = [
            ("REQUEST_METHOD", "GET"),
            ("REQUEST_URI", "/slow/2"),
            ("SCRIPT_NAME", "/index.php"),
            ("SCRIPT_FILENAME", "/var/www/html/public/index.php"),
        ];
        let sandbox = &sandbox;
        let master = master(sandbox).pid;
        let request =
            scope.spawn(move || sandbox.inside(&["cgi-fcgi", "-bind", "-connect", &socket], &parameters));
        eventually("a worker is at it", PATIENCE, || {
            workers(master).iter().any(|pid| procs::sleeps_in(*pid).contains("nanosleep")).then_some(())
        });
        sandbox.signal("TERM");
        let answer = request.join().unwrap();
        assert!(answer.contains("\"slept\":2"), "{answer}");
    });
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert!(!sandbox.log().contains("SIGKILL"), "{}", sandbox.log());
}

#[test]
fn a_killed_master_is_followed_by_a_working_one_three_times() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = web("");
    for round in 1..=3 {
        sandbox.ready("/slow/0");
        let old = master(&sandbox);
        let old_workers = workers(old.pid);
        assert!(!old_workers.is_empty());
        kill(old.pid, "KILL");
        says(&sandbox, "php-fpm: ready after", round + 1);
        assert_ne!(master(&sandbox).pid, old.pid);
        for worker in old_workers {
            assert_eq!(procs::read(worker), None, "an old worker lives\n{}", sandbox.log());
        }
        sandbox.ready("/slow/0");
    }
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    let log = sandbox.log();
    assert_eq!(log.matches("php-fpm: killed by SIGKILL").count(), 3, "{log}");
    assert!(!log.contains("exited 78") && !log.contains("in use"), "{log}");
}

#[test]
fn a_reload_gives_php_fpm_new_workers_and_cuts_no_request() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = web("");
    sandbox.ready("/slow/0");
    for (round, signal) in (1..).zip(["HUP", "USR2"]) {
        let old = master(&sandbox);
        let old_workers = workers(old.pid);
        thread::scope(|scope| {
            let request = in_flight(scope, &sandbox, "2");
            sandbox.signal(signal);
            says(&sandbox, "php-fpm: reloading", round);
            assert!((slept(request.join().unwrap()) - 2.0).abs() < 0.01);
        });
        sandbox.ready("/slow/0");
        assert_eq!(master(&sandbox).pid, old.pid, "the master replaces itself");
        eventually("all workers are new", PATIENCE, || {
            let now = workers(old.pid);
            (!now.is_empty() && now.iter().all(|pid| !old_workers.contains(pid))).then_some(())
        });
        sandbox.ready("/slow/0");
    }
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(sandbox.log().matches("php-fpm: started").count(), 1, "{}", sandbox.log());
}

#[test]
fn usr1_prints_the_status_of_everything() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = web("[service.down]\ncommand = [\"sh\", \"-c\", \"exit 4\"]\nrestart = \"never\"\n");
    says(&sandbox, "php-fpm: ready after", 1);
    says(&sandbox, "down: exited 4", 1);
    sandbox.signal("USR1");
    let log = says(&sandbox, "orphans reaped", 1);
    let line = |name: &str| {
        let found = log.lines().find(|line| line.contains(&format!("INFO  {name} ")));
        found.unwrap_or_else(|| panic!("no {name} in {log}")).to_owned()
    };
    assert!(line("php-fpm").contains("RUNNING") && line("php-fpm").contains("pid "), "{log}");
    assert!(line("down").contains("EXITED") && line("down").contains("exited 4"), "{log}");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

#[test]
fn a_bad_pool_configuration_is_told_in_words_and_ends_the_container_with_78() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(&format!(
        "{WEB}\n[service.php-fpm]\ncommand = [\"php-fpm\", \"-F\", \"-y\", \"/opt/php/bad.conf\"]\n\
         backoff = {{ initial = \"10ms\" }}\ngive-up = {{ restarts = 2, within = \"1m\" }}\n"
    ));
    fs::write(
        sandbox.volume("php/bad.conf"),
        "[www]\nuser = nobody-of-that-name\nlisten = 9000\npm = static\npm.max_children = 1\n",
    )
    .unwrap();
    sandbox.start(&[]);
    assert_eq!(sandbox.wait(PATIENCE), 78);
    let log = sandbox.log();
    assert!(log.contains("nobody-of-that-name"), "php-fpm's own words: {log}");
    assert!(log.contains("php-fpm: exited 78") && log.contains("configuration or address problem"), "{log}");
    in_order(&log, &["nobody-of-that-name", "php-fpm: exited 78"]);
}

#[test]
fn php_fpm_that_nobody_told_to_stay_stays_in_the_foreground() {
    if !need(NEEDS) {
        return;
    }
    let fpm = |conf: &str| {
        let mut sandbox = Sandbox::new(&format!(
            "{WEB}\n[service.php-fpm]\ncommand = [\"php-fpm\", \"-y\", \"/opt/php/own.conf\"]\n"
        ));
        fs::write(sandbox.volume("php/own.conf"), conf).unwrap();
        sandbox.start(&[]);
        sandbox
    };
    let pool = "[www]\nuser = www-data\nlisten = 127.0.0.1:9000\npm = static\npm.max_children = 1\n";
    let mut sandbox = fpm(pool);
    sandbox.ready("/slow/0");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(sandbox.log().matches("php-fpm: started").count(), 1, "{}", sandbox.log());

    let sandbox = fpm(&format!("[global]\ndaemonize = yes\n{pool}"));
    says(&sandbox, "it went into the background: run it with -F", 1);
}

#[test]
fn php_fpm_serves_as_uid_1000() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(&format!("{WEB}{TABLES}")).user("1000:1000");
    sandbox.start(&[]);
    let status = sandbox.ready("/status").json();
    assert_eq!(status["greeting"], "Hello from php-init demo");
    thread::scope(|scope| {
        let request = in_flight(scope, &sandbox, "2");
        sandbox.signal("TERM");
        assert!((slept(request.join().unwrap()) - 2.0).abs() < 0.01);
    });
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert!(!sandbox.log().contains("SIGKILL"), "{}", sandbox.log());
}

#[test]
fn php_under_fpm_sees_the_plans_variables_and_the_task_role_but_no_secret() {
    if !need(NEEDS) {
        return;
    }
    // As images have it: FPM clears the environment of its workers.
    let pool = "[global]\nerror_log = /proc/self/fd/2\n[www]\nuser = www-data\nlisten = 127.0.0.1:9000\npm = static\n\
        pm.max_children = 2\nclear_env = yes\n";
    let mut sandbox = Sandbox::new(&format!(
        "{WEB}{TABLES}\n[service.php-fpm]\ncommand = [\"php-fpm\", \"-F\", \"-y\", \"/opt/php/pool.conf\"]\n\
         env = {{ OF_THE_SERVICE = \"$$HOME \\\"quoted\\\" ; #\" }}\n\
         [service.shows]\ncommand = [\"sh\", \"-c\", \"env > /tmp/env; whoami >> /tmp/env; mv /tmp/env /tmp/seen\"]\nrestart = \"never\"\n"
    ))
    .env("AWS_ACCESS_KEY_ID", "AKIDSECRET")
    .env("AWS_SECRET_ACCESS_KEY", "very-secret")
    .env("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/of-the-task")
    .env("AWS_REGION", "eu-central-1")
    .env("OF_THE_CONTAINER", "everywhere");
    fs::write(sandbox.volume("php/pool.conf"), pool).unwrap();
    sandbox.start(&[]);
    sandbox.ready("/slow/0");

    let seen = |name: &str| sandbox.ready(&format!("/env/{name}")).json()["getenv"].clone();
    assert_eq!(seen("APP_ENV_PATH"), "/opt/php");
    assert_eq!(seen("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"), "/v2/credentials/of-the-task");
    assert_eq!(seen("AWS_REGION"), "eu-central-1");
    assert_eq!(seen("OF_THE_SERVICE"), "$HOME \"quoted\" ; #");
    for secret in ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"] {
        assert!(seen(secret).is_null(), "{secret}");
    }
    assert_eq!(sandbox.ready("/status").json()["greeting"], "Hello from php-init demo", "through .env");

    let env = eventually("the service has told", Duration::from_secs(10), || {
        fs::read_to_string(sandbox.volume("tmp/seen")).ok()
    });
    let lines: Vec<&str> = env.lines().collect();
    for line in [
        "APP_ENV_PATH=/opt/php",
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI=/v2/credentials/of-the-task",
        "OF_THE_CONTAINER=everywhere",
        "USER=www-data",
        "LOGNAME=www-data",
        "HOME=/var/www",
        "www-data",
    ] {
        assert!(lines.contains(&line), "no {line} in {env}");
    }
    // Neither init's secrets nor what .env says.
    for name in ["AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID", "DEMO_GREETING", "APP_KEY", "OF_THE_SERVICE"] {
        assert!(!env.contains(&format!("{name}=")), "{name} in {env}");
    }
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert!(!sandbox.log().contains("very-secret") && !sandbox.log().contains("AKIDSECRET"));
}

/// FPM's workers have an empty environment but for what its configuration names.
#[test]
fn a_daemon_that_a_request_has_started_does_not_outlive_the_crash_of_the_master() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = web("");
    sandbox.ready("/slow/0");
    let script = "/var/www/html/storage/daemon.php";
    let code = "<?php exec('setsid sleep 1003 >/dev/null 2>&1 &'); echo 'started';";
    fs::write(sandbox.volume("storage/daemon.php"), code).unwrap();
    let request = [("REQUEST_METHOD", "GET"), ("SCRIPT_NAME", script), ("SCRIPT_FILENAME", script)];
    let answer = sandbox.inside(&["cgi-fcgi", "-bind", "-connect", "127.0.0.1:9000"], &request);
    assert!(answer.ends_with("started"), "{answer}");
    let daemon =
        eventually("there is a daemon", PATIENCE, || procs::running(sandbox.pid(), "sleep 1003").pop());
    let former = master(&sandbox).pid;
    kill(former, "KILL");
    says(&sandbox, "php-fpm: started", 2);
    assert_eq!(procs::read(daemon), None, "{}", sandbox.log());
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}
