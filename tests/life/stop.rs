//! How a container stops: within its budget, faster when asked again, dependents first.

use crate::container::{Container, NEEDS, PATIENCE, Place, in_order};
use crate::support::{eventually, need};
use std::time::Duration;

/// A service that no signal but KILL ends.
const DEAF: &str = r#"
    [service.deaf]
    command = ["perl", "-e", "$$SIG{$$_} = 'IGNORE' for qw(TERM INT QUIT HUP); $$| = 1; print qq(deaf\n); sleep 1000 while 1"]
"#;

#[test]
fn a_service_that_ignores_term_is_killed_within_the_budget_and_the_code_is_0() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(&format!("stop-timeout = \"2s\"\n{DEAF}")).start();
    container.says("deaf\n", 1);
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!((Duration::from_millis(1500)..Duration::from_millis(3500)).contains(&took), "{took:?}");
    let log = container.log();
    assert!(log.contains("deaf: ended by SIGKILL"), "{log}");
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_second_term_hurries() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.slow]
        command = ["perl", "-e", "$$SIG{INT} = 'IGNORE'; $$| = 1; print qq(slow\n); sleep 1000 while 1"]
        stop-signal = "INT"
        "#,
    )
    .start();
    container.says("slow\n", 1);
    container.signal("TERM");
    container.says("stopping, within", 1);
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(3), "{took:?}");
    in_order(&container.log(), &["stopping, within 25s", "asked to stop again", "slow: stopped in"]);
}

#[test]
fn a_third_term_kills() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(DEAF).start();
    container.says("deaf\n", 1);
    container.signal("TERM");
    container.says("stopping, within", 1);
    container.signal("TERM");
    container.says("asked to stop again", 1);
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(3), "{took:?}");
    in_order(&container.log(), &["asked to stop a third time", "deaf: ended by SIGKILL"]);
}

#[test]
fn dependents_stop_before_what_they_depend_on() {
    if !need(NEEDS) {
        return;
    }
    let service = |name: &str, after: &str| {
        format!(
            r#"
            [service.{name}]
            command = ["@DIR/service", "{name}"]
            after = [{after}]
            start-grace = "1ms"
            "#
        )
    };
    let config = [
        service("database", ""),
        service("cache", "\"database\""),
        service("web", "\"cache\", \"database\""),
    ];
    let mut container = Container::new(&config.concat())
        .script(
            "service",
            "#!/usr/bin/perl\n$| = 1; $SIG{TERM} = sub { print qq($ARGV[0] is told\n); select(undef, undef, undef, 0.3); \
             print qq($ARGV[0] ends\n); exit 0 }; print qq($ARGV[0] is up\n); sleep 1000 while 1",
        )
        .start();
    for name in ["database", "cache", "web"] {
        container.says(&format!("{name} is up"), 1);
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
    let stops =
        ["web is told", "web ends", "cache is told", "cache ends", "database is told", "database ends"];
    in_order(&container.log(), &stops);
    in_order(&container.log(), &["web: stopped", "cache: stopped", "database: stopped"]);
    in_order(&container.log(), &["database: started", "cache: started", "web: started"]);
}

#[test]
fn every_stop_signal_stops() {
    if !need(NEEDS) {
        return;
    }
    for signal in ["TERM", "INT", "QUIT", "WINCH", "PWR"] {
        let mut container = Container::new("[service.a]\ncommand = [\"sleep\", \"1000\"]\n").start();
        container.says("a: started", 1);
        container.signal(signal);
        assert_eq!(container.wait(PATIENCE), 0, "{signal}");
        assert!(container.log().contains(&format!("{signal}: stopping, within 25s")), "{}", container.log());
    }
}

#[test]
fn a_stop_while_services_start_and_back_off_ends_at_once() {
    if !need(NEEDS) {
        return;
    }
    for place in [Place::Pid1, Place::Subreaper] {
        let mut container = Container::new(
            r#"
            [service.loop]
            command = ["sh", "-c", "exit 1"]
            backoff = { initial = "1m" }
            [service.starting]
            command = ["sleep", "1000"]
            start-grace = "1m"
            [service.waiting]
            command = ["sleep", "2000"]
            after = ["starting"]
            "#,
        )
        .place(place)
        .start();
        container.says("loop: exited 1", 1);
        container.says("starting: started", 1);
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0);
        assert!(took < Duration::from_secs(3), "{took:?}");
        assert!(!container.log().contains("waiting: started"), "{}", container.log());
    }
}

#[test]
fn a_stop_during_boot_ends_the_step_with_its_children_and_the_code_is_0() {
    if !need(NEEDS) {
        return;
    }
    for place in [Place::Pid1, Place::Subreaper] {
        let mut container = Container::new(
            r#"
            [[boot]]
            name = "slow"
            command = ["sh", "-c", "sleep 1001 & setsid sleep 1002 & (setsid sleep 1003 &); sleep 1004"]
            [service.web]
            command = ["sleep", "1000"]
            "#,
        )
        .place(place)
        .start();
        for text in ["sleep 1001", "sleep 1002", "sleep 1003"] {
            eventually("the step has its children", PATIENCE, || {
                (!container.running(text).is_empty()).then_some(())
            });
        }
        let (code, took) = container.stop(PATIENCE);
        assert!(code == 0 && took < Duration::from_secs(5), "{code} {took:?}");
        assert!(!container.log().contains("web: started"), "{}", container.log());
        assert_eq!(container.survivors(), [""; 0], "{place:?}\n{}", container.log());
    }
}
