//! Cron entries with real processes: overlaps, timeouts, and the grace that a stop gives to what is under way.

use crate::container::{Container, NEEDS, PATIENCE, in_order};
use crate::support::{eventually, need};
use std::time::Duration;

#[test]
fn a_run_beyond_its_timeout_is_stopped_with_its_whole_group() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [cron.slow]
        schedule = "* * * * * *"
        command = ["sh", "-c", "sleep 1001 & sleep 1002 & echo runs; wait"]
        timeout = "300ms"
        overlap = "skip"
        "#,
    )
    .start();
    container.says("slow: stopped", 2);
    let log = container.log();
    in_order(&log, &["runs\n", "slow: stopping: it ran for", "slow: stopped: killed by SIGTERM after"]);
    assert!(!log.contains("did not come from init"), "{log}");
    eventually("nothing of it is left", PATIENCE, || container.running("sleep 100").is_empty().then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_run_under_way_at_a_stop_is_left_to_finish_for_half_of_the_budget() {
    if !need(NEEDS) {
        return;
    }
    let config = |seconds: &str| {
        format!(
            r#"
            stop-timeout = "6s"
            [service.web]
            command = ["sleep", "1000"]
            [cron.task]
            schedule = "* * * * * *"
            command = ["sh", "-c", "echo begins; sleep {seconds}; echo ends"]
            overlap = "skip"
            "#
        )
    };
    let mut container = Container::new(&config("1.5")).start();
    container.says("begins", 1);
    let (code, took) = container.stop(PATIENCE);
    assert!(code == 0 && took < Duration::from_secs(3), "{code} {took:?}");
    let log = container.log();
    in_order(&log, &["begins", "web: stopped", "ends", "everything stopped"]);
    assert_eq!(log.matches("begins").count(), 1, "{log}");

    let mut container = Container::new(&config("1000")).start();
    container.says("begins", 1);
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!((Duration::from_secs(2)..Duration::from_secs(4)).contains(&took), "{took:?}");
    assert!(container.log().contains("task: stopped: killed by SIGTERM"), "{}", container.log());
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn each_overlap_does_as_it_says() {
    if !need(NEEDS) {
        return;
    }
    let config = |overlap: &str| {
        format!(
            r#"
            [cron.task]
            schedule = "* * * * * *"
            command = ["sh", "-c", "echo begins; sleep 1.4; echo ends"]
            overlap = "{overlap}"
            "#
        )
    };
    let begin = |overlap: &str| Container::new(&config(overlap)).start();
    // At most so many "begins" more than "ends" at any place of the log.
    let abreast = |log: &str| {
        let mut running = (0_i32, 0);
        for line in log.lines() {
            running.0 += i32::from(line == "begins") - i32::from(line == "ends");
            running.1 = running.1.max(running.0);
        }
        running.1
    };
    for (overlap, most) in [("allow", 2), ("skip", 1), ("queue", 1)] {
        let mut container = begin(overlap);
        container.says("ends", 3);
        let log = container.log();
        assert_eq!(abreast(&log), most, "{overlap}\n{log}");
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
    // One that would never end by itself, however late it is replaced.
    let mut container = Container::new(&config("replace").replace("sleep 1.4", "sleep 1000")).start();
    container.says("begins", 3);
    assert!(!container.log().contains("ends"), "{}", container.log());
    container.says("the next run replaces it", 2);
    assert_eq!(container.stop(PATIENCE).0, 0);
}
