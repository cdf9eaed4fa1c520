//! The schedule at a full minute: Laravel's scheduler, its background children, and a crontab that was there before.
//!
//! One container for all, since each test would wait for its own minute.

use crate::container::PATIENCE;
use crate::procs;
use crate::queue::number;
use crate::support::sandbox::{NEEDS, Sandbox};
use crate::support::{eventually, need};
use std::fs;
use std::io::Write as _;
use std::time::{Duration, Instant};

/// How long Laravel's background task takes after its parents are gone.
const BACKGROUND: u64 = 5;

const CONFIG: &str = r#"
    preset = "laravel"
    crontabs = ["/opt/php/crontabs/www-data"]
    log.level = "debug"
    [[file]]
    name = "env"
    source = "/opt/php/source.env"
    [[boot]]
    name = "optimize"
    enabled = false
    [[boot]]
    name = "tables"
    command = ["php", "artisan", "migrate", "--force", "--no-ansi"]
"#;

const CRONTAB: &str = "MAILTO=\"\"\n# as crond ran it\n\
    * * * * *\techo \"ran as $(id -un) in $(pwd)\" >> /tmp/ran && echo 100%% >> /tmp/ran\n\
    0 0 29 2 *\techo never >> /tmp/ran\n";

/// The minutes and the seconds within them of init's lines with this text: `2026-11-22T00:17` and 22.935.
fn told_at<'a>(log: &'a str, text: &str) -> Vec<(&'a str, f64)> {
    let lines = log.lines().filter(|line| line.contains(" init ") && line.contains(text));
    lines.map(|line| (&line[..16], line[17..23].parse().unwrap())).collect()
}

#[test]
fn at_the_full_minute_the_schedule_and_the_crontab_run_and_background_children_are_reaped_and_get_the_grace()
{
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIG);
    fs::create_dir(sandbox.volume("php/crontabs")).unwrap();
    fs::write(sandbox.volume("php/crontabs/www-data"), CRONTAB).unwrap();
    let mut env = fs::File::options().append(true).open(sandbox.volume("php/source.env")).unwrap();
    writeln!(env, "DEMO_BACKGROUND_SECONDS={BACKGROUND}").unwrap();
    sandbox.start(&["--role", "scheduler"]);

    let minute = Duration::from_secs(75);
    let log = eventually("the schedule runs", minute, || {
        Some(sandbox.log())
            .filter(|log| log.contains("schedule: started, pid") && log.contains("schedule: exited 0"))
    });
    let (booted, starts) = (told_at(&log, "booted in")[0], told_at(&log, "schedule: started, pid"));
    assert_eq!(starts.len(), 1, "{log}");
    assert!(
        starts[0].1 < 1.0 && starts[0].0 > booted.0,
        "at second 0 and not at boot: {booted:?} {starts:?}\n{log}"
    );

    // The crontab's entry, as the user of the file's name, in that user's home, % as crond has it.
    let ran = eventually("the crontab runs", PATIENCE, || {
        fs::read_to_string(sandbox.volume("tmp/ran")).ok().filter(|ran| ran.lines().count() >= 2)
    });
    assert!(ran.starts_with("ran as www-data in "), "{ran}");
    let names: Vec<&str> = log.lines().filter(|line| line.contains(": started, pid ")).collect();
    assert_eq!(names.len(), 2, "the schedule and one entry of the crontab: {names:?}");

    // Laravel leaves its background task to init…
    let init = sandbox.pid();
    assert_eq!(number(&sandbox, "select count(*) from events where kind = 'tick'"), 1);
    eventually("the background task goes on", PATIENCE, || {
        (number(&sandbox, "select count(*) from events where kind = 'background-tick'") == 1).then_some(())
    });
    assert!(!procs::running(init, "demo:tick --background").is_empty());
    // …which waits for it when it stops, and kills nothing.
    let began = Instant::now();
    sandbox.signal("TERM");
    eventually("the log tells whom it waits for", PATIENCE, || {
        sandbox.log().contains("left behind").then_some(())
    });
    let mut zombies: Vec<(i32, Instant)> = Vec::new();
    eventually("init ends, and reaps at once what ends before", PATIENCE, || {
        let below = procs::descendants(init);
        zombies.retain(|(pid, _)| below.iter().any(|process| process.pid == *pid && process.state == 'Z'));
        for process in below.iter().filter(|process| process.state == 'Z' && process.parent == init) {
            match zombies.iter().find(|(pid, _)| *pid == process.pid) {
                Some((_, since)) => {
                    assert!(since.elapsed() < Duration::from_secs(2), "{process:?} is not reaped")
                }
                None => zombies.push((process.pid, Instant::now())),
            }
        }
        procs::read(init).is_none_or(|process| process.state == 'Z').then_some(())
    });
    assert_eq!(sandbox.wait(PATIENCE), 0);
    let (log, took) = (sandbox.log(), began.elapsed());
    assert!(took > Duration::from_secs(1), "it was not waited for: {took:?}\n{log}");
    assert!(!log.contains("SIGKILL") && !log.contains("SIGTERM to"), "{log}");
    assert!(log.ends_with("exit code 0\n"), "{log}");
}
