//! Laravel's queue worker under init: jobs in flight, and its ways to end, in words.

use crate::container::PATIENCE;
use crate::support::sandbox::{NEEDS, Sandbox};
use crate::support::{eventually, need};
use std::process::Command;
use std::time::{Duration, Instant};

/// The worker alone. `JOBS` are commands that put jobs on the queue while the container boots.
fn worker(options: &str, jobs: &[&[&str]]) -> Sandbox {
    let mut config = format!(
        r#"
        preset = "laravel"
        [[file]]
        name = "env"
        source = "/opt/php/source.env"
        [[boot]]
        name = "optimize"
        enabled = false
        [[boot]]
        name = "tables"
        command = ["php", "artisan", "migrate", "--force", "--no-ansi"]
        [service.queue]
        {options}
        "#
    );
    for (n, job) in jobs.iter().enumerate() {
        let command = [&["php", "artisan", "demo:dispatch"], *job].concat();
        config += &format!("\n[[boot]]\nname = \"job-{n}\"\ncommand = {command:?}\n");
    }
    let mut sandbox = Sandbox::new(&config);
    sandbox.start(&["--role", "worker"]);
    sandbox
}

fn says(sandbox: &Sandbox, text: &str, times: usize) -> String {
    eventually(&format!("the log says {text:?} {times} times"), PATIENCE, || {
        Some(sandbox.log()).filter(|log| log.matches(text).count() >= times)
    })
}

/// One number from the application's database.
pub fn number(sandbox: &Sandbox, sql: &str) -> i64 {
    let database = sandbox.volume("storage/app/demo.sqlite");
    let script = "$db = new PDO('sqlite:' . $argv[1]); echo $db->query($argv[2])->fetchColumn();";
    let output = Command::new("php").args(["-r", script]).arg(database).arg(sql).output().unwrap();
    String::from_utf8_lossy(&output.stdout).parse().unwrap_or_else(|_| panic!("{output:?}"))
}

#[test]
fn a_job_in_flight_finishes_on_stop_and_nothing_is_lost() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = worker("", &[&["first", "--seconds=4"], &["second"]]);
    says(&sandbox, "job-started first", 1);
    let began = Instant::now();
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert!(began.elapsed() > Duration::from_secs(2), "the job was not waited for");
    let log = sandbox.log();
    assert!(log.contains("job-done first") && log.contains("queue: stopped in"), "{log}");
    let count = |sql: &str| number(&sandbox, &format!("select count(*) from {sql}"));
    assert_eq!(count("events where kind = 'job-done' and note = 'first'"), 1);
    assert_eq!(count("events where kind = 'job-started'"), 1, "and no other job was begun");
    assert_eq!((count("jobs"), count("jobs where reserved_at is null"), count("failed_jobs")), (1, 1, 0));
}

#[test]
fn several_workers_each_finish_their_job() {
    if !need(NEEDS) {
        return;
    }
    // All at once: SQLite must not refuse the second of two that write at the same moment.
    let jobs: [&[&str]; 1] = [&["job", "--seconds=4", "--count=3"]];
    let mut sandbox = worker("instances = 3\nstagger = \"0s\"", &jobs);
    says(&sandbox, "job-started job", 3);
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(
        number(&sandbox, "select count(*) from events where kind = 'job-done'"),
        3,
        "{}",
        sandbox.log()
    );
    assert_eq!(number(&sandbox, "select count(*) from jobs"), 0);
}

#[test]
fn a_worker_at_its_memory_limit_is_told_and_restarted() {
    if !need(NEEDS) {
        return;
    }
    let options = r#"
        command = ["php", "artisan", "queue:work", "--memory=1", "--sleep=0", "--no-ansi"]
        backoff = { initial = "10ms" }
    "#;
    let mut sandbox = worker(options, &[]);
    let log = says(&sandbox, "queue: started", 2);
    assert!(log.contains("queue: exited 12") && log.contains("memory limit reached"), "{log}");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

#[test]
fn a_worker_that_kills_itself_at_a_jobs_timeout_is_told_and_restarted() {
    if !need(NEEDS) {
        return;
    }
    let options = r#"command = ["php", "artisan", "queue:work", "--timeout=1", "--tries=1", "--no-ansi"]"#;
    let mut sandbox = worker(options, &[&["hangs", "--seconds=60"], &["next"]]);
    // The next job is done by the next worker.
    let log = says(&sandbox, "job-done next", 1);
    assert!(
        log.contains("queue: killed by SIGKILL") && log.contains("a job ran past its --timeout"),
        "{log}"
    );
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(number(&sandbox, "select count(*) from events where kind = 'job-started'"), 2);
}
