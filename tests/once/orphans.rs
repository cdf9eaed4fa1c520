//! Orphans are reaped while CMD runs, and nothing that it left outlives init.

use crate::harness::{NEEDS, PATIENCE, PLACES, Place, Setup, descendants, is_alive, signal};
use crate::support::sandbox::children;
use crate::support::{eventually, need};
use std::fs;
use std::time::{Duration, Instant};

fn zombies_of(pid: i32) -> usize {
    children(pid).into_iter().filter(|child| !is_alive(*child)).count()
}

#[test]
fn orphans_are_reaped_while_the_command_runs() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "");
        let script =
            "for i in $(seq 40); do (sleep 0.01 & setsid sleep 0.01 &) done; echo ready; read -r x; exit 4";
        let (running, stdin) = setup.start_with_stdin(&["--", "sh", "-c", script]);
        running.wait_for("ready");
        let init = running.pid();
        eventually("only the command is left", PATIENCE, || (children(init).len() == 1).then_some(()));
        drop(stdin);
        running.finish().expect(4);
    }
}

#[test]
fn more_orphans_at_once_than_a_batch_are_all_reaped() {
    if !need(&["root", "unshare", "perl"]) {
        return;
    }
    // 1500 children of a process that ends: they are init's then, and all end while init cannot look.
    let script = "echo started; perl -e 'for (1..1500) { fork or do { sleep 1000; exit } } print qq(ready\\n)'; read -r x; exit 4";
    for place in PLACES {
        let setup = Setup::new(place, "");
        let (running, stdin) = setup.start_with_stdin(&["--", "sh", "-c", script]);
        running.wait_for("ready");
        let init = running.listening();
        eventually("they are init's", PATIENCE, || (children(init).len() == 1501).then_some(()));
        let command = children(init)[0];
        signal(init, 19);
        for pid in children(init).into_iter().filter(|pid| *pid != command) {
            signal(pid, 9);
        }
        eventually("all have ended", PATIENCE, || (zombies_of(init) == 1500).then_some(()));
        signal(init, 18);
        eventually("no zombie is left", Duration::from_secs(5), || (zombies_of(init) == 0).then_some(()));
        drop(stdin);
        running.finish().expect(4);
    }
}

/// Starts `script`, which ends with a line of pids on stdout, and returns how init ended and whether any of them lives.
fn leaves(place: Place, config: &str, script: &str) -> (crate::harness::Done, Duration) {
    let setup = Setup::new(place, config);
    let (running, stdin) = setup.start_with_stdin(&[
        "--",
        "bash",
        "-c",
        &script.replace("DIR", setup.path("").to_str().unwrap()),
    ]);
    running.wait_for("ready");
    let left = eventually("what is to be left is there", PATIENCE, || {
        let all = descendants(running.pid());
        (all.len() > 1).then_some(all)
    });
    let began = Instant::now();
    drop(stdin);
    let done = running.finish();
    let took = began.elapsed();
    for pid in left {
        eventually("nothing outlives init", Duration::from_secs(1), || (!is_alive(pid)).then_some(()));
    }
    let note = fs::read_to_string(setup.path("note")).unwrap_or_default();
    (crate::harness::Done { stdout: format!("{}{note}", done.stdout), ..done }, took)
}

#[test]
fn what_is_left_behind_ends_with_init() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for left in [
            "sleep 1000 &",
            "sleep 1000 >/dev/null 2>&1 </dev/null &",
            "setsid sleep 1000 &",
            "(setsid sleep 1000 &)",
            "(setsid bash -c 'sleep 1000 & sleep 1000 & wait' &)",
        ] {
            let (done, took) =
                leaves(place, "", &format!("{left}\nsleep 0.02; echo ready; read -r x; exit 6"));
            done.expect(6);
            assert!(took < Duration::from_secs(3), "TERM was enough: {took:?} for {left}");
        }
    }
}

#[test]
fn what_is_left_behind_is_told_and_then_killed() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        // It says goodbye when told.
        let polite = "setsid bash -c 'trap \"echo bye >DIR/note; exit\" TERM; echo ready; while :; do sleep 0.01; done' &\nread -r x; exit 6";
        let (done, took) = leaves(place, "", polite);
        assert!(done.expect(6).stdout.contains("bye"));
        assert!(took < Duration::from_secs(3), "{took:?}");
        // It does not care; stop-timeout bounds the grace.
        let deaf = "setsid bash -c 'trap \"\" TERM HUP; echo ready; while :; do sleep 0.01; done' &\nread -r x; exit 6";
        let (done, took) = leaves(place, "stop-timeout = \"1s\"\n", deaf);
        let done = done.expect(6);
        assert!(done.stderr.contains("killed: "), "a warning tells what was killed: {done:?}");
        assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn a_process_that_keeps_forking_does_not_keep_init() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let flock = "setsid bash -c 'trap \"\" TERM; echo ready; while :; do (trap \"\" TERM; sleep 0.02); done' &\nread -r x; exit 6";
        let (done, took) = leaves(place, "stop-timeout = \"1s\"\n", flock);
        done.expect(6);
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_storm_of_orphans_does_not_put_off_the_end() {
    if !need(&["root", "unshare", "perl"]) {
        return;
    }
    // Many that TERM does not end, and one that makes orphans as fast as it can, which end at once.
    let storm = r#"$SIG{TERM} = "IGNORE";
        for (1..600) { fork or do { sleep 1000 while 1 } }
        for (1..4) { next if fork; while (1) { unless (fork) { fork; exit } wait } }
        print "ready\n"; close STDOUT; close STDERR; sleep 1000 while 1"#;
    for place in PLACES {
        let setup = Setup::new(place, "stop-timeout = \"1s\"\n");
        setup.file("storm", format!("#!/usr/bin/perl\n$| = 1; {storm}\n"), 0o755);
        let script = format!("setsid {} & read -r x; exit 6", setup.path("storm").display());
        let (running, stdin) = setup.start_with_stdin(&["--", "sh", "-c", &script]);
        running.wait_for("ready");
        let began = Instant::now();
        drop(stdin);
        let done = running.finish_within(Duration::from_mins(2)).expect(6);
        // The storm itself keeps the machine busy; with a walk over /proc for each that ends, this took more than a minute.
        let took = began.elapsed();
        assert!(took < Duration::from_secs(25), "{place:?}: {took:?} for a grace of one second\n{done:?}");
    }
}

#[test]
fn killing_init_as_pid_1_takes_everything_with_it() {
    if !need(NEEDS) {
        return;
    }
    let setup = Setup::new(Place::Pid1, "");
    let script = "setsid sleep 1000 & (sleep 1000 &) ; echo ready; sleep 1000";
    let running = setup.start(&["--", "sh", "-c", script]);
    running.wait_for("ready");
    let all = eventually("all are there", PATIENCE, || {
        Some(descendants(running.pid())).filter(|all| all.len() == 4)
    });
    signal(running.pid(), 9);
    // unshare's own code is its affair.
    running.finish();
    for pid in all {
        eventually("the namespace is empty", Duration::from_secs(2), || (!is_alive(pid)).then_some(()));
    }
}
