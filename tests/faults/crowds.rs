//! Thousands of processes: orphans at once, services, children that have ended before anybody looks; and pids that
//! are used again.

use crate::client::{health, outcomes, socket, status};
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::processes::{NOT_THE_BUDGET, PLACES, no_zombie};
use crate::procs;
use crate::support::{eventually, need};
use std::collections::HashSet;
use std::time::Duration;

/// Thousands of processes are made, or end, while other tests run.
const LONG: Duration = Duration::from_secs(120);

const ORPHANS: u64 = 10_000;

/// Zombies: they have ended before their parent, which never looks, and become init's when that ends. They cost no
/// memory.
const ENDED: &str = "#!/usr/bin/perl\nfor (1 .. 10000) { fork // die $! or do { kill 9, $$ } }\nopen(F, '>', '@DIR/all');\n\
    close F; sleep 1000 while 1";

#[test]
fn ten_thousand_orphans_at_once_are_reaped_while_services_are_supervised() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.parent]
        command = ["sh", "-c", "(setsid @DIR/forks &); exec sleep 1002"]
        [service.web]
        command = ["sleep", "1001"]
        backoff = { initial = "10ms" }
        "#,
    )
    .script("forks", ENDED)
    .start();
    eventually("all are there", LONG, || container.file("all").exists().then_some(()));
    let old = container.one("sleep 1001");
    let parent = container.one("/forks");
    let before = status(&socket(&container)).orphans_reaped;
    kill(parent, "KILL");
    // A crash amid them.
    kill(old, "KILL");
    eventually("web is restarted", PATIENCE, || {
        container.running("sleep 1001").iter().any(|pid| *pid != old).then_some(())
    });
    eventually("all were reaped", LONG, || {
        (status(&socket(&container)).orphans_reaped > before + ORPHANS).then_some(())
    });
    no_zombie(&container);
    assert!(health(&socket(&container), "alive").healthy);
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!(took < NOT_THE_BUDGET, "{took:?}");
    assert_eq!(container.survivors(), [""; 0]);
}

/// Their parent ends, and they live on.
const ALIVE: &str = "#!/usr/bin/perl\nfor (1 .. 3000) { fork // die $! or do { setpgrp; sleep 1000 while 1 } }\n\
    open(F, '>', '@DIR/all'); close F";

#[test]
fn thousands_of_living_orphans_end_with_init() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "12s"
            [service.web]
            command = ["sh", "-c", "(setsid @DIR/forks &); exec sleep 1001"]
            "#,
        )
        .script("forks", ALIVE)
        .place(place)
        .start();
        eventually("all are there", LONG, || container.file("all").exists().then_some(()));
        // They get half of the budget, for they may be at work.
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0);
        let log = container.log();
        assert!(log.contains("everything stopped"), "{took:?}\n{log}");
        assert_eq!(container.survivors(), [""; 0]);
    }
}

const SERVICES: usize = 1000;

/// What init holds for each service: two pipes.
const DESCRIPTORS: usize = 2 * SERVICES + 100;

/// What init may take for a thousand services, in kB. A debug build is included.
const MEMORY: u64 = 64 << 10;

fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn a_thousand_services_are_started_told_of_restarted_and_stopped() {
    if !need(&[NEEDS, &["prlimit"]].concat()) {
        return;
    }
    let service = |n: usize| format!("[service.s{n}]\ncommand = [\"sleep\", \"{}\"]\n", 10_000 + n);
    let config: String = (0..SERVICES).map(service).collect();
    // The usual soft limit is not enough for their pipes.
    let mut container = Container::new(&config).wrapped(&["prlimit", "--nofile=1024:20000"]).start();
    let running = || {
        let services = status(&socket(&container)).services;
        assert_eq!(services.len(), SERVICES);
        (services.iter().all(|one| one.state == "RUNNING")).then_some(services)
    };
    // Asking for the state of a thousand again and again would keep init from starting them.
    eventually("all are started", LONG, || {
        (container.log().matches(": started, pid").count() >= SERVICES).then_some(())
    });
    let before = eventually("all run", LONG, running);
    let pids: HashSet<_> = before.iter().map(|one| one.pid.unwrap()).collect();
    assert_eq!(pids.len(), SERVICES);
    let (fds, memory) = (descriptors(container.pid()), resident(container.pid()));
    assert!(fds <= DESCRIPTORS && memory <= MEMORY, "{fds} descriptors, {memory} kB");

    kill(container.one("sleep 10500"), "KILL");
    let crashed = |one: &&php_init::control::protocol::Service| one.restarts > 0;
    eventually("one was restarted", PATIENCE, || {
        running().filter(|services| services.iter().any(|one| crashed(&one)))
    });
    let after = running().unwrap();
    assert_eq!(
        after.iter().filter(crashed).map(|one| one.name.as_str()).collect::<Vec<_>>(),
        ["s500"],
        "and nobody else"
    );
    let same = |one: &&php_init::control::protocol::Service| pids.contains(&one.pid.unwrap());
    assert!(after.iter().filter(same).count() >= SERVICES - 1);

    let (code, took) = container.stop(LONG);
    assert_eq!(code, 0);
    assert!(took < Duration::from_secs(25), "the budget: {took:?}");
    let log = container.log();
    assert!(log.contains("everything stopped") && !log.contains("SIGKILL to"), "{took:?}");
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn children_that_end_before_init_has_looked_are_all_known() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            [service.ends]
            command = ["/bin/true"]
            instances = 200
            stagger = "0s"
            restart = "never"
            [service.fails]
            command = ["@DIR/no-interpreter"]
            instances = 200
            stagger = "0s"
            restart = "never"
            [service.web]
            command = ["sleep", "1001"]
            "#,
        )
        .script("no-interpreter", "#!/no/such/interpreter\n")
        .place(place)
        .start();
        let ends = eventually("all have ended", PATIENCE, || {
            let services = status(&socket(&container)).services;
            let over = services.iter().filter(|one| one.service != "web").all(|one| one.pid.is_none());
            let told = services.iter().filter(|one| one.last_exit.is_some()).count();
            (over && told == 400).then_some(services)
        });
        for (name, words) in [("ends", "exited 0"), ("fails", "could not be started")] {
            let all = ends.iter().filter(|one| one.service == name);
            let told = all.filter(|one| one.last_exit.as_ref().unwrap().contains(words)).count();
            assert_eq!(told, 200, "{name}: {:?}", ends[0].last_exit);
        }
        no_zombie(&container);
        assert_eq!(procs::descendants(container.pid()).len(), 1);
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn a_restarted_child_with_the_pid_of_its_predecessor_is_another_process() {
    if !need(NEEDS) {
        return;
    }
    // The kernel gives the next process of the namespace the number after this one.
    const REUSE: &str = "#!/bin/sh\necho $$ >> @DIR/pids\n\
        [ -e @DIR/enough ] && exec sleep 1001\n\
        echo $(($$ - 1)) > /proc/sys/kernel/ns_last_pid\n@LAST\n";
    // It exits, it is killed, it kills its group.
    for last in ["exit 3", "kill -KILL $$", "kill -KILL -$$"] {
        let mut container = Container::new(
            r#"
            [service.web]
            command = ["@DIR/web"]
            start-grace = "1ms"
            backoff = { initial = "10ms", max = "10ms" }
            give-up = "none"
            "#,
        )
        .script("web", &REUSE.replace("@LAST", last))
        .start();
        let reused = || {
            let text = container.text("pids");
            let pids: Vec<&str> = text.lines().collect();
            pids.windows(2).filter(|pair| pair[0] == pair[1]).count()
        };
        eventually("a pid was used again and again", PATIENCE, || (reused() >= 5).then_some(()));
        std::fs::write(container.file("enough"), "").unwrap();
        let web = container.one("sleep 1001");
        let path = socket(&container);
        eventually("it is known by its pid", PATIENCE, || {
            let web = &status(&path).services[0];
            (web.state == "RUNNING" && container.text("pids").ends_with(&format!("{}\n", web.pid?)))
                .then_some(())
        });
        no_zombie(&container);
        // Its predecessor's end is not taken for its own: it is stopped and started by name.
        assert!(outcomes(&path, r#""request":"stop","names":["web"]"#)[0].ok);
        assert_eq!(procs::read(web), None);
        assert!(outcomes(&path, r#""request":"start","names":["web"]"#)[0].ok);
        container.one("sleep 1001");
        assert_eq!(container.stop(PATIENCE).0, 0);
        assert_eq!(container.survivors(), [""; 0]);
    }
}
