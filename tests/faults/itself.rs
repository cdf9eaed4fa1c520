//! init itself: stopped by a signal for a while, signalled by what it supervises, and killed.

use crate::container::{Container, NEEDS, PATIENCE, Place, in_order, kill};
use crate::processes::{PLACES, no_zombie};
use crate::procs;
use crate::support::{eventually, need};
use php_init::config::plan::Signal;

#[test]
fn an_init_that_was_stopped_for_a_while_has_missed_nothing() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            [service.many]
            command = ["sleep", "1001"]
            instances = 30
            stagger = "1ms"
            start-grace = "1ms"
            backoff = { initial = "10ms" }
            [service.stays]
            command = ["sleep", "1002"]
            "#,
        )
        .place(place)
        .start();
        let all = eventually("all run", PATIENCE, || {
            Some(container.running("sleep 1001")).filter(|all| all.len() == 30)
        });
        let stays = container.one("sleep 1002");
        kill(container.pid(), "STOP");
        all.iter().for_each(|pid| kill(*pid, "KILL"));
        let zombies = || {
            let below = procs::descendants(container.pid());
            below.iter().filter(|process| process.state == 'Z').count()
        };
        eventually("all have ended and nobody looks", PATIENCE, || (zombies() == 30).then_some(()));
        kill(container.pid(), "CONT");
        let again = eventually("all run again", PATIENCE, || {
            Some(container.running("sleep 1001")).filter(|all| all.len() == 30)
        });
        assert!(again.iter().all(|pid| !all.contains(pid)));
        assert_eq!(container.one("sleep 1002"), stays);
        no_zombie(&container);
        container.says("killed by SIGKILL", 30);
        // Two ends and a stop, which all become known at once.
        kill(container.pid(), "STOP");
        again[..2].iter().for_each(|pid| kill(*pid, "KILL"));
        container.signal("TERM");
        eventually("two have ended", PATIENCE, || (zombies() == 2).then_some(()));
        kill(container.pid(), "CONT");
        assert_eq!(container.wait(PATIENCE), 0);
        in_order(&container.log(), &["TERM: stopping", "everything stopped"]);
        assert_eq!(container.survivors(), [""; 0]);
    }
}

/// Everything that init starts itself, in each of its modes.
const STARTS: &[(&str, &[&str], &[&str])] = &[
    (
        r#"
        [service.web]
        command = ["sleep", "1001"]
        user = "www-data"
        live = { command = ["sleep", "1002"], timeout = "1h", interval = "10ms" }
        [service.deaf]
        command = ["perl", "-e", "$$SIG{TERM} = 'IGNORE'; sleep 1003 while 1"]
        [cron.task]
        schedule = "* * * * * *"
        command = ["sleep", "1004"]
        overlap = "skip"
        "#,
        &[],
        &["sleep 1001", "sleep 1002", "sleep 1003 while", "sleep 1004"],
    ),
    (
        "[[boot]]\nname = \"step\"\ncommand = [\"sleep\", \"1001\"]\n[service.web]\ncommand = [\"true\"]\n",
        &[],
        &["sleep 1001"],
    ),
    ("[migrate]\ncommand = [\"sleep\", \"1001\"]\n", &["--migrate"], &["sleep 1001"]),
    ("user = \"www-data\"\n", &["--", "sleep", "1001"], &["sleep 1001"]),
];

#[test]
fn no_child_outlives_a_killed_init() {
    if !need(NEEDS) {
        return;
    }
    for (config, arguments, texts) in STARTS {
        for place in PLACES {
            let container = Container::new(config).place(place).arguments(arguments).start();
            let pids: Vec<i32> = texts.iter().map(|text| container.one(text)).collect();
            // One that was forked a moment ago and is not the program yet has not asked for the signal.
            eventually("they are the programs", PATIENCE, || {
                pids.iter().all(|pid| procs::command(*pid).contains("100")).then_some(())
            });
            kill(container.pid(), "KILL");
            for (pid, text) in pids.iter().zip(*texts) {
                eventually(&format!("{text} is gone ({place:?})"), PATIENCE, || {
                    procs::read(*pid).is_none_or(|process| process.state == 'Z').then_some(())
                });
            }
        }
    }
}

/// web is restarted when it is killed.
fn is_restarted(container: &Container) {
    for _ in 0..3 {
        let old = container.one("sleep 1001");
        kill(old, "KILL");
        eventually("web is restarted", PATIENCE, || {
            container.running("sleep 1001").iter().any(|pid| *pid != old).then_some(())
        });
    }
}

#[test]
fn no_number_of_signals_at_once_ends_pid_1_but_those_that_ask_for_a_stop() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [service.web]
        command = ["sleep", "1001"]
        start-grace = "1ms"
        backoff = { initial = "10ms" }
    "#;
    let asks =
        ["KILL", "STOP", "INT", "QUIT", "TERM", "WINCH", "PWR"].map(|name| Signal::parse(name).unwrap());
    let others = || (1..=64).filter_map(Signal::from_number).filter(|signal| !asks.contains(signal));
    let mut container = Container::new(config).start();
    is_restarted(&container);
    for _ in 0..3 {
        // All are pending when it goes on.
        kill(container.pid(), "STOP");
        others().for_each(|signal| kill(container.pid(), &signal.number().to_string()));
        kill(container.pid(), "CONT");
        is_restarted(&container);
    }
    no_zombie(&container);
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_service_that_kills_everybody_is_followed_by_everybody() {
    if !need(NEEDS) {
        return;
    }
    // As PID 1 alone: elsewhere this would be everybody on the machine.
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sleep", "1001"]
        start-grace = "1ms"
        backoff = { initial = "10ms" }
        [service.mad]
        command = ["@DIR/mad"]
        start-grace = "1ms"
        backoff = { initial = "10ms" }
        "#,
    )
    .script(
        "mad",
        "#!/usr/bin/perl\n$$ == 1 and die;\n\
         if (-e '@DIR/go' && !-e '@DIR/gone') { open(F, '>', '@DIR/gone'); close F; kill 9, -1; kill 9, $$ }\n\
         sleep 1000 while 1",
    )
    .place(Place::Pid1)
    .start();
    let (web, mad) = (container.one("sleep 1001"), container.one("/mad"));
    std::fs::write(container.file("go"), "").unwrap();
    kill(mad, "KILL");
    eventually("it has killed everybody", PATIENCE, || container.file("gone").exists().then_some(()));
    eventually("both run again", PATIENCE, || {
        let all = [container.running("sleep 1001"), container.running("/mad")];
        (all.iter().all(|pids| pids.len() == 1) && all[0] != [web]).then_some(())
    });
    no_zombie(&container);
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}
