//! Crash loops: backoff, giving up, and what the container exits with.

use crate::container::{Container, NEEDS, PATIENCE};
use crate::support::{eventually, need};
use std::process::Command;

/// The delays that the log tells, in milliseconds.
fn delays(log: &str) -> Vec<f64> {
    let words = log.lines().filter_map(|line| line.split_once("restarting in ")).map(|(_, rest)| {
        let word = rest.split([' ', '\n']).next().unwrap();
        match word.strip_suffix("ms") {
            Some(millis) => millis.parse().unwrap(),
            None => word.strip_suffix('s').unwrap().parse::<f64>().unwrap() * 1000.0,
        }
    });
    words.collect()
}

#[test]
fn a_crash_loop_backs_off_and_an_essential_one_ends_the_container_with_its_code() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sh", "-c", "exit 7"]
        essential = true
        backoff = { initial = "50ms", factor = 2.0, jitter = 0.0 }
        give-up = { restarts = 4, within = "1m" }
        [service.other]
        command = ["sleep", "1000"]
        "#,
    )
    .start();
    assert_eq!(container.wait(PATIENCE), 7);
    let log = container.log();
    assert_eq!(delays(&log), [50.0, 100.0, 200.0, 400.0], "{log}");
    assert_eq!(log.matches("web: started").count(), 5, "{log}");
    assert!(log.contains("web: exited 7") && log.contains("giving up"), "{log}");
    assert!(log.contains("other: stopped"), "{log}");
}

#[test]
fn an_essential_service_that_a_signal_ends_for_good_gives_128_and_the_signal() {
    if !need(NEEDS) {
        return;
    }
    for (signal, code) in [("SEGV", 139), ("KILL", 137), ("TERM", 143)] {
        let mut container = Container::new(&format!(
            r#"
            [service.web]
            command = ["sh", "-c", "kill -{signal} $$$$"]
            essential = true
            give-up = {{ restarts = 0, within = "1m" }}
            "#
        ))
        .start();
        assert_eq!(container.wait(PATIENCE), code, "{signal}");
        assert!(container.log().contains(&format!("killed by SIG{signal}")), "{}", container.log());
    }
}

#[test]
fn a_service_that_may_stay_down_goes_fatal_and_the_container_goes_on() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.extra]
        command = ["sh", "-c", "exit 3"]
        backoff = { initial = "20ms" }
        give-up = { restarts = 2, within = "1m", then = "stay" }
        [service.web]
        command = ["sleep", "1000"]
        start-grace = "1ms"
        "#,
    )
    .start();
    container.says("giving up", 1);
    let web = container.one("sleep 1000");
    container.signal("USR1");
    container.says("FATAL", 1);
    let log = container.says("RUNNING", 1);
    assert_eq!(log.matches("extra: started").count(), 3, "{log}");
    assert_eq!(container.one("sleep 1000"), web);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn services_that_the_system_has_no_room_for_are_tried_again_until_it_has() {
    if !need(&[NEEDS, &["setpriv", "prlimit"]].concat()) {
        return;
    }
    // A user of this test alone: the kernel counts the processes of the whole machine.
    let uid = (100_000 + std::process::id()).to_string();
    let user = ["setpriv", "--reuid", &uid, "--regid", &uid, "--clear-groups"];
    // Neither all of the processes nor all of their pipes fit.
    for (limit, scarce, plenty) in [
        ("limit of processes is reached", "--nproc=4:1000", Some("--nproc=1000:1000")),
        // init has taken all that the hard limit allows, which nobody but a machine's own root may raise.
        ("too many open files", "--nofile=22:22", None),
    ] {
        let mut container = Container::new(
            r#"
            [service.many]
            command = ["sleep", "1000"]
            instances = 6
            stagger = "1ms"
            backoff = { initial = "50ms", max = "200ms" }
            "#,
        )
        .wrapped(&[&["prlimit", scarce][..], &user].concat())
        .start();
        let log = container.says(limit, 6);
        assert!(log.contains("many:0: started") && !container.running("sleep 1000").is_empty(), "{log}");
        if let Some(plenty) = plenty {
            let mut raise = Command::new(user[0]);
            raise.args(&user[1..]).args(["prlimit", "--pid", &container.pid().to_string(), plenty]);
            assert!(raise.status().unwrap().success());
            eventually("all of them run", PATIENCE, || {
                (container.running("sleep 1000").len() == 6).then_some(())
            });
        }
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn a_program_that_cannot_be_executed_is_told_and_never_counts_as_one_that_ran() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.once]
        command = ["@DIR/no-interpreter"]
        restart = "never"
        [service.again]
        command = ["@DIR/no-interpreter"]
        backoff = { initial = "20ms" }
        give-up = { restarts = 2, within = "1m", then = "stay" }
        [service.web]
        command = ["sleep", "1000"]
        [cron.each-second]
        schedule = "* * * * * *"
        command = ["@DIR/no-interpreter"]
        "#,
    )
    .script("no-interpreter", "#!/no/such/interpreter\n")
    .start();
    container.says("giving up", 1);
    container.says("this run could not be started (code 127)", 1);
    container.signal("USR1");
    let log = container.says("FATAL", 2);
    let why = "its interpreter \"/no/such/interpreter\" is not";
    for (name, starts) in [("once", 1), ("again", 3)] {
        let about = || log.lines().filter(|line| line.contains(&format!(" {name}: ")));
        let told = |text: &str| about().filter(|line| line.contains(text)).count();
        assert_eq!((told("cannot execute"), told("could not be started")), (starts, starts), "{name}: {log}");
        assert_eq!(told("exited"), 0, "{log}");
    }
    assert!(log.contains(why) && !log.contains("EXITED"), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);

    let mut container = Container::new(
        r#"
        [service.web]
        command = ["@DIR/no-interpreter"]
        restart = "never"
        essential = true
        "#,
    )
    .script("no-interpreter", "#!/no/such/interpreter\n")
    .start();
    assert_eq!(container.wait(PATIENCE), 127);
}
