//! What left its process group or lost its parent: it is reaped, told, and does not outlive init.

use crate::container::{Container, NEEDS, PATIENCE, Place, kill};
use crate::procs;
use crate::support::{eventually, need};
use std::time::Duration;

const PLACES: [Place; 2] = [Place::Pid1, Place::Subreaper];

#[test]
fn nothing_that_was_started_outlives_init() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "4s"
            [service.escapes]
            command = ["@DIR/escapes"]
            "#,
        )
        // A child in a session of its own; a daemon, whose parent is gone; the same, deaf; a child in the group.
        .script(
            "escapes",
            "#!/bin/sh\nsetsid sleep 1001 &\n(setsid sleep 1002 &)\n\
             (setsid perl -e '$SIG{$_} = q(IGNORE) for qw(TERM INT QUIT HUP); sleep 1003 while 1' &)\n\
             sleep 1004 &\nexec sleep 1005\n",
        )
        .place(place)
        .start();
        for text in ["sleep 1001", "sleep 1002", "sleep 1003 while", "sleep 1004", "sleep 1005"] {
            container.one(text);
        }
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0, "{place:?}");
        assert!(took < Duration::from_millis(5500), "{place:?} {took:?}");
        assert_eq!(container.survivors(), [""; 0], "{place:?}\n{}", container.log());
    }
}

#[test]
fn a_daemon_that_lost_its_parent_gets_term_and_the_grace() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "4s"
            [service.starter]
            command = ["sh", "-c", "(setsid @DIR/daemon &) ; exec sleep 1000"]
            "#,
        )
        .script(
            "daemon",
            "#!/usr/bin/perl\n$SIG{TERM} = sub { select(undef, undef, undef, 0.7); open(F, '>', '@DIR/clean'); exit 0 };\n\
             open(F, '>', '@DIR/up'); close(F); sleep 1000 while 1",
        )
        .place(place)
        .start();
        eventually("the daemon is up", PATIENCE, || container.file("up").exists().then_some(()));
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0);
        assert!(took < Duration::from_millis(5500), "{took:?}");
        assert!(container.file("clean").exists(), "{place:?}: it was killed\n{}", container.log());
        assert!(container.log().contains("daemon["), "named in\n{}", container.log());
        assert_eq!(container.survivors(), [""; 0]);
    }
}

#[test]
fn orphans_are_reaped() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            [service.forks]
            command = ["sh", "-c", "for i in 1 2 3 4 5 6 7 8 9 10; do (sleep 0.1 &); (setsid sleep 0.1 &); done; exec sleep 1000"]
            "#,
        )
        .place(place)
        .start();
        container.one("sleep 1000");
        // Asked again and again: a walk over /proc sees a process without its parent, which has ended meanwhile, as
        // nobody's child.
        eventually("twenty orphans were reaped and only the service is left", PATIENCE, || {
            container.signal("USR1");
            (container.log().contains("orphans reaped: 20") && procs::descendants(container.pid()).len() == 1)
                .then_some(())
        });
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn all_old_children_of_a_killed_main_process_are_gone_before_its_restart() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            [service.master]
            command = ["@DIR/master"]
            start-grace = "1ms"
            "#,
        )
        // Tells of every child of an earlier run that is still there when it starts. One of them ignores TERM.
        .script(
            "master",
            "#!/bin/sh\nfor pid in $(cat @DIR/pids); do kill -0 $pid && echo \"old child $pid lives\"; done 2>/dev/null\n\
             sleep 1001 & echo $! > @DIR/pids\nsh -c 'sleep 1002 & wait' & echo $! >> @DIR/pids\n\
             perl -e '$SIG{TERM} = q(IGNORE); sleep 1003 while 1' & echo $! >> @DIR/pids\necho up; wait\n",
        )
        .place(place)
        .start();
        for round in 1..=3 {
            container.says("up\n", round);
            let master = container.one("/master");
            let old = eventually("it has four descendants", PATIENCE, || {
                Some(procs::descendants(master)).filter(|below| below.len() == 4)
            });
            kill(master, "KILL");
            container.says("up\n", round + 1);
            for process in old {
                assert_eq!(procs::read(process.pid), None, "{place:?}\n{}", container.log());
            }
        }
        assert_eq!(container.stop(PATIENCE).0, 0);
        let log = container.log();
        assert!(!log.contains("old child"), "{place:?}\n{log}");
        assert_eq!(container.survivors(), [""; 0]);
    }
}
