//! What a mere signal does not end, or not where it is sent: processes that are stopped, daemons, and one without its
//! first thread.

use crate::client::{outcomes, socket};
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::processes::{NOT_THE_BUDGET, PLACES, no_zombie, stops, the};
use crate::procs;
use crate::support::{eventually, need};

#[test]
fn what_was_stopped_by_a_signal_ends_within_the_budget() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "2s"
            [service.web]
            command = ["sh", "-c", "sleep 1002 & setsid sleep 1003 & (setsid sleep 1004 &) ; exec sleep 1001"]
            [service.again]
            command = ["sleep", "1005"]
            stop-timeout = "300ms"
            start-grace = "1ms"
            "#,
        )
        .place(place)
        .start();
        // A restart.
        let old = container.one("sleep 1005");
        kill(old, "STOP");
        let done = outcomes(&socket(&container), r#""request":"restart","names":["again"]"#);
        assert!(done[0].ok, "{done:?}");
        assert_ne!(container.one("sleep 1005"), old);
        no_zombie(&container);
        // The main process, one of its group, one that left it, a daemon.
        for text in ["sleep 1001", "sleep 1002", "sleep 1003", "sleep 1004", "sleep 1005"] {
            kill(the(&container, text), "STOP");
        }
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0, "{place:?}");
        assert!(took < NOT_THE_BUDGET, "{took:?}");
        assert_eq!(container.survivors(), [""; 0], "{place:?}\n{}", container.log());
    }
}

#[test]
fn a_service_that_makes_a_daemon_of_itself_does_not_outlive_init() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            stop-timeout = "4s"
            [service.daemon]
            command = ["@DIR/daemon"]
            kill-mode = "group"
            backoff = { initial = "10ms", factor = 1.0 }
            "#,
        )
        // Forks twice, in a session of its own.
        .script(
            "daemon",
            "#!/usr/bin/perl\nuse POSIX; fork and exit; setsid; fork and exit; exec 'sleep', '1001'",
        )
        .place(place)
        .start();
        // Its main process has ended, which is what is supervised, and the daemon has left its group.
        container.says("daemon: exited 0", 3);
        eventually("some of them", PATIENCE, || (container.running("sleep 1001").len() >= 3).then_some(()));
        no_zombie(&container);
        stops(container);
    }
}

/// Its first thread ends, which for /proc makes it a zombie, and another one goes on until it is told to end.
const HEADLESS: &str = "#!/usr/bin/perl\nuse threads; use POSIX;\n\
    sigprocmask(SIG_BLOCK, POSIX::SigSet->new(SIGTERM));\n\
    threads->create(sub {\n\
        open(F, '>', '@DIR/up'); close F;\n\
        my $pending = POSIX::SigSet->new;\n\
        do { select(undef, undef, undef, 0.02); sigpending($pending) } until $pending->ismember(SIGTERM);\n\
        open(F, '>', '@DIR/clean'); POSIX::_exit(0) })->detach;\n\
    syscall((uname)[4] eq 'aarch64' ? 93 : 60, 0)";

#[test]
fn a_daemon_whose_first_thread_has_ended_is_told_to_end_and_does() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "4s"
            [service.web]
            command = ["sh", "-c", "(setsid @DIR/headless &); exec sleep 1001"]
            "#,
        )
        .script("headless", HEADLESS)
        .place(place)
        .start();
        eventually("it is up", PATIENCE, || container.file("up").exists().then_some(()));
        let daemon = eventually("it is a zombie with a thread", PATIENCE, || {
            let below = procs::descendants(container.pid());
            below.iter().find(|one| one.comm == "headless" && one.state == 'Z').map(|one| one.pid)
        });
        assert_eq!(container.stop(PATIENCE).0, 0);
        assert!(container.file("clean").exists(), "{place:?}: it was not told\n{}", container.log());
        // Whose child it is by now may not have looked yet.
        eventually("it is gone", PATIENCE, || procs::read(daemon).is_none().then_some(()));
    }
}

/// Says that it is up, with its pid, and cleans up when TERM comes.
const CLEANS: &str = "#!/usr/bin/perl\n\
    $SIG{TERM} = sub { open F, '>', \"@DIR/clean-$ARGV[0]\"; close F; exit 0 };\n\
    open F, '>', \"@DIR/new-$ARGV[0]\"; print F $$; close F; rename \"@DIR/new-$ARGV[0]\", \"@DIR/up-$ARGV[0]\";\n\
    sleep 1 while 1";

#[test]
fn a_stopped_process_is_continued_to_receive_its_stop_signal() {
    if !need(NEEDS) {
        return;
    }
    const ALL: [&str; 4] = ["main", "grouped", "escaped", "run"];
    for place in PLACES {
        let mut container = Container::new(
            r#"
            stop-timeout = "6s"
            [service.web]
            command = ["sh", "-c", "@DIR/cleans grouped & setsid @DIR/cleans escaped & exec @DIR/cleans main"]
            stop-scope = "group"
            [cron.run]
            schedule = "0 0 1 1 *"
            command = ["@DIR/cleans", "run"]
            "#,
        )
        .script("cleans", CLEANS)
        .place(place)
        .start();
        let done = outcomes(&socket(&container), r#""request":"run","name":"run","wait":false"#);
        assert!(done[0].ok, "{done:?}");
        for name in ALL {
            let own = eventually("it is up", PATIENCE, || container.text(&format!("up-{name}")).parse().ok());
            // In the namespace of the container it has another number.
            let pid = container.running(&format!("cleans {name}")).into_iter().next().unwrap_or(own);
            kill(pid, "STOP");
            eventually("it is stopped", PATIENCE, || (procs::read(pid)?.state == 'T').then_some(()));
        }
        assert_eq!(container.stop(PATIENCE).0, 0);
        for name in ALL {
            let clean = container.file(&format!("clean-{name}")).exists();
            assert!(clean, "{place:?}: {name} did not get TERM\n{}", container.log());
        }
    }
}

/// In the group of the service lives a process whose parent has left both the group and the environment of the service, and
/// waits for nobody.
const HELD: &str = "#!/usr/bin/perl\nuse POSIX;\n\
    unless (fork) { unless (fork) { exec 'sleep', '1002' } setsid; %ENV = (); exec '/bin/sleep', '1003' }\n\
    exec 'sleep', '1001'";

#[test]
fn a_group_of_zombies_does_not_hold_up_a_restart() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let container = Container::new(
            r#"
            stop-timeout = "4s"
            [service.web]
            command = ["@DIR/held"]
            start-grace = "1ms"
            "#,
        )
        .script("held", HELD)
        .place(place)
        .start();
        let old = the(&container, "sleep 1001");
        the(&container, "sleep 1002");
        the(&container, "/bin/sleep 1003");
        kill(old, "KILL");
        eventually("it runs again", PATIENCE, || {
            let now = container.running("sleep 1001").into_iter().find(|pid| *pid != old)?;
            (procs::command(now) == "sleep 1001").then_some(())
        });
        let log = container.log();
        assert!(!log.contains("survive SIGKILL"), "{place:?}: a zombie was waited for\n{log}");
        stops(container);
    }
}
