//! Services, runs and probes that are killed in every state, some before they are their programs.

use crate::client::{connect, outcomes, send, socket, status};
use crate::container::{Container, NEEDS, PATIENCE, Place, kill};
use crate::lease::{self, Lease};
use crate::procs;
use crate::support::sandbox::{self, Sandbox};
use crate::support::{eventually, need};
use std::io::Read;
use std::time::Duration;

pub const PLACES: [Place; 2] = [Place::Pid1, Place::Subreaper];

/// The default budget of a stop is 25 s, and what hears nothing is killed after 24: what took less was not.
pub const NOT_THE_BUDGET: Duration = Duration::from_secs(24);

/// Every process below init is reaped once it has ended.
pub fn no_zombie(container: &Container) {
    eventually("no zombie is left", PATIENCE, || {
        procs::descendants(container.pid()).iter().all(|process| process.state != 'Z').then_some(())
    });
}

/// The one process below init with exactly this command line: the shell that becomes it has it in its own.
pub fn the(container: &Container, command: &str) -> i32 {
    eventually(&format!("{command:?} runs"), PATIENCE, || {
        let is = |pid: &i32| procs::command(*pid) == command;
        match container.running(command).into_iter().filter(is).collect::<Vec<_>>()[..] {
            [pid] => Some(pid),
            _ => None,
        }
    })
}

/// The service comes to this state.
fn reaches(container: &Container, name: &str, state: &str) {
    eventually(&format!("{name} is {state}"), PATIENCE, || {
        let services = status(&socket(container)).services;
        services.iter().any(|one| one.name == name && one.state == state).then_some(())
    });
}

/// Nothing is left of a container that ended well.
pub fn stops(mut container: Container) {
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    assert!(took < NOT_THE_BUDGET, "{took:?}");
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_service_that_is_killed_before_it_is_ready_is_told_and_started_again() {
    if !need(NEEDS) {
        return;
    }
    // Without a probe it is STARTING for the grace; with one, until the probe says otherwise.
    for ready in ["start-grace = \"1h\"", "ready = { command = [\"false\"], deadline = \"1h\" }"] {
        for place in PLACES {
            let container = Container::new(&format!(
                r#"
                [service.web]
                command = ["sh", "-c", "sleep 1002 & exec sleep 1001"]
                backoff = {{ initial = "10ms" }}
                {ready}
                "#
            ))
            .place(place)
            .start();
            let (old, child) = (the(&container, "sleep 1001"), the(&container, "sleep 1002"));
            reaches(&container, "web", "STARTING");
            kill(old, "KILL");
            container.says("web: killed by SIGKILL", 1);
            container.says("web: started", 2);
            assert_ne!(the(&container, "sleep 1001"), old);
            assert_eq!(procs::read(child), None, "of the earlier run");
            reaches(&container, "web", "STARTING");
            no_zombie(&container);
            stops(container);
        }
    }
}

#[test]
fn in_backoff_there_is_nobody_to_kill_and_a_start_is_still_possible() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            [service.web]
            command = ["sh", "-c", "sleep 1002 & exec sleep 1001"]
            start-grace = "1h"
            backoff = { initial = "1h", max = "1h" }
            [service.other]
            command = ["sleep", "1003"]
            backoff = { initial = "10ms" }
            "#,
        )
        .place(place)
        .start();
        let old = the(&container, "sleep 1001");
        the(&container, "sleep 1002");
        kill(old, "KILL");
        reaches(&container, "web", "BACKOFF");
        no_zombie(&container);
        // Its group is killed at once, but a killed process is still there until it gets to its end.
        eventually("both have ended", PATIENCE, || {
            let left = ["sleep 1001", "sleep 1002"].map(|command| container.running(command).len());
            (left == [0, 0]).then_some(())
        });
        // The death of somebody else is not taken for its own.
        kill(container.one("sleep 1003"), "KILL");
        container.says("other: started", 2);
        reaches(&container, "web", "BACKOFF");
        // Its answer would come when the service is RUNNING.
        let _asks = send(&socket(&container), r#""request":"start","names":["web"]"#);
        assert_ne!(the(&container, "sleep 1001"), old);
        stops(container);
    }
}

/// Ignores every signal that may be ignored.
const DEAF: &str = "#!/usr/bin/perl\n$SIG{$_} = 'IGNORE' for keys %SIG; open(F, '>', '@DIR/deaf'); close F; sleep 1000 while 1";

#[test]
fn a_service_that_is_killed_while_it_stops_is_stopped_and_stays_so() {
    if !need(NEEDS) {
        return;
    }
    let config =
        "[service.web]\ncommand = [\"@DIR/web\"]\n[service.other]\ncommand = [\"sleep\", \"1003\"]\n";
    for place in PLACES {
        let container = Container::new(config).script("web", DEAF).place(place).start();
        eventually("it is deaf", PATIENCE, || container.file("deaf").exists().then_some(()));
        // By its name.
        let _asks = send(&socket(&container), r#""request":"stop","names":["web"]"#);
        reaches(&container, "web", "STOPPING");
        kill(container.one("/web"), "KILL");
        reaches(&container, "web", "STOPPED");
        no_zombie(&container);
        assert_eq!(container.log().matches("web: started").count(), 1, "{}", container.log());
        // With the whole container.
        std::fs::remove_file(container.file("deaf")).unwrap();
        assert!(outcomes(&socket(&container), r#""request":"start","names":["web"]"#)[0].ok);
        eventually("it is deaf again", PATIENCE, || container.file("deaf").exists().then_some(()));
        let web = container.one("/web");
        container.signal("TERM");
        container.says("stopping, within", 1);
        kill(web, "KILL");
        stops(container);
    }
}

#[test]
fn a_cron_run_that_is_killed_is_told_and_the_next_one_comes() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "2s"
            [cron.task]
            schedule = "* * * * * *"
            command = ["sh", "-c", "sleep 1002 & exec sleep 1001"]
            overlap = "skip"
            "#,
        )
        .place(place)
        .start();
        let old = the(&container, "sleep 1001");
        kill(old, "KILL");
        container.says("task: killed by SIGKILL", 1);
        let next = eventually("the next run", PATIENCE, || {
            let exact = |pid: &i32| *pid != old && procs::command(*pid) == "sleep 1001";
            container.running("sleep 1001").into_iter().find(exact)
        });
        // What a run left is left alone, as `runInBackground` wants it, until the stop.
        eventually("what both have started", PATIENCE, || {
            (container.running("sleep 1002").len() >= 2).then_some(())
        });
        no_zombie(&container);
        // Killed while it is left to finish.
        container.signal("TERM");
        container.says("waiting at most", 1);
        kill(next, "KILL");
        assert_eq!(container.wait(PATIENCE), 0);
        assert_eq!(container.survivors(), [""; 0], "{}", container.log());
    }
}

#[test]
fn a_probe_that_is_killed_is_a_no_and_the_next_one_decides() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            [service.web]
            command = ["sleep", "1001"]
            ready = { command = ["@DIR/probe"], timeout = "1h", interval = "10ms", deadline = "1h" }
            "#,
        )
        .script("probe", "#!/bin/sh\n[ -e @DIR/go ] && exit 0\nsleep 1002 & exec sleep 1003\n")
        .place(place)
        .start();
        let (probe, child) = (container.one("sleep 1003"), container.one("sleep 1002"));
        reaches(&container, "web", "STARTING");
        let web = container.one("sleep 1001");
        std::fs::write(container.file("go"), "").unwrap();
        kill(probe, "KILL");
        reaches(&container, "web", "RUNNING");
        assert_eq!(container.one("sleep 1001"), web, "the service has nothing to do with it");
        eventually("what the probe started is gone", PATIENCE, || procs::read(child).is_none().then_some(()));
        no_zombie(&container);
        stops(container);
    }
}

#[test]
fn a_child_that_hangs_before_it_is_its_program_holds_up_nobody() {
    if !need(&[NEEDS, lease::NEEDS].concat()) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            [service.hangs]
            command = ["@DIR/program"]
            start-grace = "1h"
            backoff = { initial = "10ms" }
            [service.web]
            command = ["sleep", "1001"]
            start-grace = "1ms"
            backoff = { initial = "10ms" }
            "#,
        )
        .script("program", "#!/bin/sh\nexec sleep 1002\n")
        .place(place);
        // Whoever opens the program waits.
        let lease = Lease::on(&container.file("program"));
        let container = container.start();
        let pid = || {
            let services = status(&socket(&container)).services;
            services.iter().find(|one| one.name == "hangs").unwrap().pid
        };
        let hung = eventually("its child is there", PATIENCE, pid);
        for round in 2..4 {
            let old = container.one("sleep 1001");
            kill(old, "KILL");
            container.says("web: started", round);
        }
        // Killed where it hangs: told, and followed by another one.
        let child = procs::descendants(container.pid());
        let child =
            child.iter().find(|one| one.parent == container.pid() && one.comm != "sleep").unwrap().pid;
        let mut early = connect(&socket(&container));
        // Who asks later is taken in later.
        pid();
        kill(child, "KILL");
        container.says("hangs: killed by SIGKILL", 1);
        eventually("there is another one", PATIENCE, || pid().filter(|new| *new != hung));
        // That child has a copy of the connection, whose end is told all the same: here for want of a request.
        let mut told = String::new();
        early.read_to_string(&mut told).unwrap();
        assert!(told.contains("was not complete"), "{told}");
        no_zombie(&container);
        if place == Place::Pid1 {
            // It becomes what it should have been.
            drop(lease);
            container.one("sleep 1002");
        }
        stops(container);
    }
}

#[test]
fn children_that_are_killed_the_moment_they_appear_are_all_told() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            [service.web]
            command = ["sleep", "1001"]
            start-grace = "1ms"
            backoff = { initial = "10ms", max = "10ms", jitter = 0.0 }
            give-up = "none"
            "#,
        )
        .place(place)
        .start();
        let init = php_init::sys::Pid::new(container.pid()).unwrap();
        let mut killed = 0;
        // Most of them before they are the program, some before init has written down their pid.
        eventually("fifty were killed", 2 * PATIENCE, || {
            for child in sandbox::children(init.raw()) {
                let pid = php_init::sys::Pid::new(child).unwrap();
                let sent = php_init::sys::group::signal(pid, php_init::config::plan::Signal::KILL);
                killed += usize::from(matches!(sent, Ok(php_init::sys::group::Sent::Delivered)));
            }
            (container.log().matches("web: killed by SIGKILL").count() >= 50).then_some(())
        });
        assert!(killed >= 50);
        reaches(&container, "web", "RUNNING");
        container.one("sleep 1001");
        no_zombie(&container);
        let log = container.log();
        let times = |text: &str| log.matches(text).count();
        assert_eq!(times("web: started"), times("web: killed by SIGKILL") + 1, "{log}");
        stops(container);
    }
}

/// PHP-FPM alone, and nothing of Laravel that takes its time.
const FPM: &str = r#"
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

#[test]
fn a_worker_of_php_fpm_that_is_killed_is_its_masters_affair() {
    if !need(sandbox::NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(FPM);
    sandbox.start(&[]);
    sandbox.ready("/slow/0");
    let below = || procs::descendants(sandbox.pid());
    let master = || {
        let all = below();
        let master = all.iter().find(|one| procs::command(one.pid).contains("master process")).unwrap().pid;
        (master, all.into_iter().filter(|one| one.parent == master).map(|one| one.pid).collect::<Vec<_>>())
    };
    let (before, workers) = master();
    for worker in &workers {
        kill(*worker, "KILL");
    }
    sandbox.ready("/slow/0");
    eventually("all of them are new and none is a zombie", PATIENCE, || {
        let (now, new) = master();
        assert_eq!(now, before, "the master lives on");
        let reaped = below().iter().all(|one| one.state != 'Z' && !workers.contains(&one.pid));
        (reaped && !new.is_empty()).then_some(())
    });
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    let log = sandbox.log();
    assert!(log.matches("php-fpm: started").count() == 1 && !log.contains("php-fpm: killed"), "{log}");
}
