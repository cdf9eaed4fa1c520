//! Readiness, roles, reloads and the status that SIGUSR1 prints.

use crate::container::{Container, NEEDS, PATIENCE, in_order};
use crate::support::{eventually, need};

/// Listens at its first argument after so many seconds as its second one says.
const LISTENER: &str = "#!/usr/bin/perl\nuse IO::Socket::UNIX; select(undef, undef, undef, $ARGV[1]);\n\
    my $s = IO::Socket::UNIX->new(Local => $ARGV[0], Listen => 5) or die; while (my $c = $s->accept) { close $c }";

#[test]
fn what_comes_after_a_service_waits_until_that_is_ready() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.app]
        command = ["@DIR/listener", "@DIR/app.sock", "0.7"]
        ready = { unix = "@DIR/app.sock" }
        [service.worker]
        command = ["sh", "-c", "test -S @DIR/app.sock && echo the socket is there; exec sleep 1000"]
        after = ["app"]
        "#,
    )
    .script("listener", LISTENER)
    .start();
    container.says("app: started", 1);
    container.signal("USR1");
    container.says("waits for app", 1);
    container.says("the socket is there", 1);
    let log = container.log();
    in_order(&log, &["app: started", "app: ready after", "worker: started", "the socket is there"]);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_service_that_never_gets_ready_is_stopped_and_tried_again_and_the_log_says_why() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.app]
        command = ["sleep", "1000"]
        ready = { unix = "@DIR/never.sock", deadline = "600ms" }
        backoff = { initial = "10ms" }
        "#,
    )
    .start();
    let first = container.one("sleep 1000");
    container.says("app: started", 2);
    let second = container.one("sleep 1000");
    assert_ne!(first, second);
    let log = container.log();
    in_order(&log, &["app: started", "app: not ready after", "app: not ready within 600ms: stopping it"]);
    assert!(log.contains("never.sock"), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

const ROLES: &str = r#"
    [service.web]
    command = ["sleep", "1001"]
    roles = ["web"]
    start-grace = "1ms"
    [service.worker]
    command = ["sleep", "1002"]
    roles = ["worker"]
    after = ["web"]
    start-grace = "1ms"
    [service.agent]
    command = ["sleep", "1003"]
    start-grace = "1ms"
"#;

/// Who runs, of the three.
fn running(container: &Container) -> Vec<&'static str> {
    container.says("agent: started", 1);
    container.signal("USR1");
    let log = container.says("orphans reaped", 1);
    ["web", "worker", "agent"]
        .into_iter()
        .filter(|name| {
            log.lines().any(|line| line.contains(&format!("INFO  {name} ")) && line.contains(" pid "))
        })
        .collect()
}

#[test]
fn a_role_starts_its_own_services_and_those_of_no_role() {
    if !need(NEEDS) {
        return;
    }
    let cases: [(&[&str], Option<&str>, &[&str]); 6] = [
        (&["--role", "worker"], None, &["worker", "agent"]),
        (&["--role=web"], None, &["web", "agent"]),
        (&[], Some("worker"), &["worker", "agent"]),
        (&[], Some("web,worker"), &["web", "worker", "agent"]),
        // The command line wins.
        (&["--role", "web"], Some("worker"), &["web", "agent"]),
        (&[], Some(""), &["web", "worker", "agent"]),
    ];
    for (arguments, env, names) in cases {
        let mut container = Container::new(ROLES).arguments(arguments);
        if let Some(role) = env {
            container = container.env("INIT_ROLE", role);
        }
        let mut container = container.start();
        for (name, sleep) in [("web", "sleep 1001"), ("worker", "sleep 1002"), ("agent", "sleep 1003")] {
            if names.contains(&name) {
                container.one(sleep);
            }
        }
        assert_eq!(running(&container), names, "{arguments:?} {env:?}");
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn a_reload_restarts_the_instances_one_by_one() {
    if !need(NEEDS) {
        return;
    }
    for signal in ["HUP", "USR2"] {
        let mut container = Container::new(
            r#"
            [service.worker]
            command = ["sleep", "1000"]
            instances = 3
            stagger = "1ms"
            start-grace = "150ms"
            "#,
        )
        .start();
        let old = eventually("all three run", PATIENCE, || {
            Some(container.running("sleep 1000")).filter(|pids| pids.len() == 3)
        });
        eventually("all three are RUNNING", PATIENCE, || {
            container.signal("USR1");
            let log = container.log();
            let up = |n: usize| {
                log.lines().any(|line| line.contains(&format!("worker:{n} ")) && line.contains("RUNNING"))
            };
            (0..3).all(up).then_some(())
        });
        container.signal(signal);
        eventually("all three are new", PATIENCE, || {
            let now = container.running("sleep 1000");
            (now.len() == 3 && now.iter().all(|pid| !old.contains(pid))).then_some(())
        });
        let log = container.says("worker:2: started", 2);
        let stops: Vec<usize> = (0..3).map(|n| log.find(&format!("worker:{n}: stopped")).unwrap()).collect();
        let starts: Vec<usize> =
            (0..3).map(|n| log.rfind(&format!("worker:{n}: started")).unwrap()).collect();
        assert!(stops[0] < starts[0] && starts[0] < stops[1] && stops[1] < starts[1], "{log}");
        assert!(starts[1] < stops[2] && stops[2] < starts[2], "{log}");
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}
