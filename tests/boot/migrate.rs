//! `init --migrate` with an artisan of shell: locks, codes, stops.

use crate::harness::{NEEDS, PATIENCE, PLACES, Place, Setup, descendants, is_alive, signal};
use crate::support::{eventually, need};
use std::fs;
use std::time::{Duration, Instant};

/// The migration is DIR/artisan, a bash script that finds its directory in $DIR; `migrate` are further keys of
/// `[migrate]`. There is a service that must never start.
fn set_up(place: Place, migrate: &str, artisan: &str) -> Setup {
    with_top(place, "", migrate, artisan)
}

/// With keys of the top level too.
fn with_top(place: Place, top: &str, migrate: &str, artisan: &str) -> Setup {
    let command = "command = [\"DIR/artisan\", \"migrate\", \"--force\", \"--isolated=75\"]";
    let service = "[service.a]\ncommand = [\"touch\", \"DIR/service\"]";
    let setup = Setup::new(place, &format!("{top}\n[migrate]\n{command}\n{migrate}\n{service}\n"));
    let dir = setup.path("").display().to_string();
    setup.file("artisan", format!("#!/bin/bash\nDIR={dir}\n{artisan}\n"), 0o755);
    setup
}

#[test]
fn the_verdict_of_the_migration_is_the_containers() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (script, code, words) in [
            ("echo Migrated.; exit 0", 0, "migration done in"),
            ("exit 1", 1, "migration failed after"),
            ("exit 42", 42, "exit code 42"),
            ("exit 255", 255, "fatal error"),
            ("kill -KILL $$", 137, "ended by SIGKILL"),
            ("kill -TERM $$", 143, "ended by SIGTERM"),
        ] {
            let setup = set_up(place, "", script);
            setup.run(&["--migrate"]).expect(code).says(&[words]);
            assert!(!setup.path("service").exists(), "no service is started");
        }
    }
}

#[test]
fn run_migrations_does_the_same() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = set_up(place, "", "echo \"$@\"; exit 9").env("RUN_MIGRATIONS", "1");
        assert_eq!(setup.run::<&str>(&[]).expect(9).stdout, "migrate --force --isolated=75\n");
        assert!(!setup.path("service").exists());
        // A command of its own is not overridden.
        setup.sh("exit 3").expect(3);
    }
}

#[test]
fn without_a_migration_nothing_is_done() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = Setup::new(place, "[[boot]]\nname = \"x\"\ncommand = [\"touch\", \"DIR/booted\"]\n");
        setup.run(&["--migrate"]).expect(78).says(&["has no [migrate]", "preset = \"laravel\""]);
        assert!(!setup.path("booted").exists(), "it is known before anything runs");
    }
}

/// Migrates under a lock: 75 when another one has it.
const LOCKED: &str = r#"
exec 9>$DIR/lock
flock -n 9 || exit 75
echo locked
while ! [ -e $DIR/go ]; do sleep 0.01; done
echo migrated
"#;

#[test]
fn a_second_migration_waits_for_the_first() {
    if !need(&["root", "unshare", "flock"]) {
        return;
    }
    for place in PLACES {
        let setup = set_up(place, "", LOCKED);
        let first = setup.start(&["--migrate"]);
        first.wait_for("locked");
        let second = setup.start(&["--migrate"]);
        second.wait_for_log("another process holds the migration lock");
        setup.file("go", "", 0o644);
        assert!(first.finish().expect(0).stdout.contains("migrated"));
        assert!(second.finish().expect(0).stdout.contains("migrated"));
    }
}

#[test]
fn a_lock_that_is_never_given_up_is_75_at_the_deadline() {
    if !need(&["root", "unshare", "flock"]) {
        return;
    }
    for (place, limit) in [(Place::Pid1, 1500), (Place::Child, 3000)] {
        let setup = set_up(
            place,
            &format!("lock-timeout = \"{limit}ms\""),
            &format!("echo attempt >>$DIR/attempts{LOCKED}"),
        );
        let first = setup.start(&["--migrate"]);
        first.wait_for("locked");
        let began = Instant::now();
        let done = setup.run(&["--migrate"]).expect(75);
        let took = began.elapsed();
        assert!(done.stderr.contains("framework/command-migrate"), "{done:?}");
        // The whole time is used, with a last attempt at its end.
        assert!(took >= Duration::from_millis(limit), "{took:?}");
        assert!(took < Duration::from_millis(limit + 1500), "{took:?}");
        assert!(fs::read_to_string(setup.path("attempts")).unwrap().lines().count() >= 4);
        signal(first.pid(), 9);
    }
}

#[test]
fn a_stop_while_waiting_for_the_lock_ends_it() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (number, code) in [(15, 143), (2, 130)] {
            let setup = set_up(place, "", "exit 75");
            let running = setup.start(&["--migrate"]);
            running.wait_for_log("another process holds the migration lock");
            running.signal(number);
            running.finish_within(Duration::from_millis(900)).expect(code);
        }
    }
}

#[test]
fn a_first_deploy_whose_lock_has_no_table_migrates_without_it() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for message in [
            "SQLSTATE[HY000]: General error: 1 no such table: cache_locks",
            "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'app.cache_locks' doesn't exist",
            "SQLSTATE[42P01]: Undefined table: 7 ERROR:  relation \"cache_locks\" does not exist",
        ] {
            let script = format!(
                "echo \"$*\" >>$DIR/calls\ncase \"$*\" in *--isolated*) echo '{}'; exit 1;; esac\necho migrated",
                message.replace('\'', "'\\''")
            );
            let setup = set_up(place, "", &script);
            let done = setup.run(&["--migrate"]).expect(0).says(&["migrating once without the lock"]);
            assert!(done.stdout.contains("migrated"));
            assert_eq!(
                fs::read_to_string(setup.path("calls")).unwrap(),
                "migrate --force --isolated=75\nmigrate --force\n"
            );
            // Any other missing table is a failure, and so is a second one.
            let setup =
                set_up(place, "", "echo \"SQLSTATE[42S02]: Table 'app.users' doesn't exist\"; exit 1");
            setup.run(&["--migrate"]).expect(1);
            let script = format!("echo x >>$DIR/calls\necho \"{}\"; exit 1", message.replace('"', "\\\""));
            let setup = set_up(place, "", &script);
            setup.run(&["--migrate"]).expect(1);
            assert_eq!(fs::read_to_string(setup.path("calls")).unwrap(), "x\nx\n");
        }
    }
}

/// A message as MySQL and Symfony write it, 75 columns wide.
const NO_TABLE: &str = "  SQLSTATE[42S02]: Base table or view not found: 1146 Table 'x.cache_lo\n  cks' doesn't exist (Connection";

#[test]
fn the_table_of_the_lock_is_made_first_where_a_migration_makes_it() {
    if !need(NEEDS) {
        return;
    }
    let file = "database/migrations/0001_01_01_000001_create_cache_table.php";
    let whole = "migrate --force --isolated=75\n";
    let alone = format!("migrate --force --path={file}\n");
    for place in PLACES {
        for (table, code, calls) in [
            // It is made.
            ("touch $DIR/made", 0, format!("{whole}{alone}{whole}")),
            // Another task makes it at the same moment.
            ("touch $DIR/made; exit 1", 0, format!("{whole}{alone}{whole}")),
            // It cannot be made.
            ("exit 7", 7, format!("{whole}{alone}{whole}{alone}{whole}{alone}")),
            // It is another one that is missing.
            (":", 3, format!("{whole}{alone}{whole}{alone}{whole}{alone}{whole}migrate --force\n")),
        ] {
            let script = format!(
                "echo \"$*\" >>$DIR/calls\ncase \"$*\" in\n*--path=*) {table};;\n*--isolated*) [ -e $DIR/made ] || {{ cat $DIR/says; exit 1; }};;\n\
                 *) exit 3;;\nesac"
            );
            let setup = with_top(place, "work-dir = \"DIR\"", "", &script);
            setup.file("says", NO_TABLE, 0o644);
            fs::create_dir_all(setup.path("database/migrations")).unwrap();
            setup.file(file, "<?php Schema::create('cache_locks', fn () => 1);", 0o644);
            setup.run(&["--migrate"]).expect(code);
            assert_eq!(fs::read_to_string(setup.path("calls")).unwrap(), calls, "{table}");
        }
    }
}

#[test]
fn a_stop_is_forwarded_once_and_the_migrations_own_code_counts() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (number, script, code) in [
            (15, "trap 'echo got-TERM; sleep 0.2; exit 5' TERM", 5),
            (15, "trap 'echo got-TERM; sleep 0.2; exit 0' TERM", 0),
            // Laravel's own handler listens to TERM alone, so it is always TERM that is forwarded.
            (2, "trap 'echo got-TERM; exit 6' TERM", 6),
            (3, "trap 'echo got-TERM; exit 6' TERM", 6),
        ] {
            let setup = set_up(place, "", &format!("{script}\necho ready\nwhile :; do sleep 0.01; done"));
            let running = setup.start(&["--migrate"]);
            running.wait_for("ready");
            running.signal(number);
            let done = running.finish().expect(code);
            assert_eq!(done.stdout.matches("got-TERM").count(), 1, "{done:?}");
            assert!(done.stderr.contains("telling the migration to stop"), "{done:?}");
        }
        let setup = set_up(place, "", "echo ready; exec sleep 1000");
        let running = setup.start(&["--migrate"]);
        running.wait_for("ready");
        running.signal(15);
        running.finish().expect(143);
    }
}

#[test]
fn a_migration_that_was_told_to_stop_is_not_begun_again() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for end in ["exit 75", "echo 'SQLSTATE[42P01]: cache_locks'; exit 1"] {
            let setup = set_up(
                place,
                "",
                &format!(
                    "echo x >>$DIR/calls\ntrap \"{end}\" TERM\necho ready\nwhile :; do sleep 0.01; done"
                ),
            );
            let running = setup.start(&["--migrate"]);
            running.wait_for("ready");
            running.signal(15);
            let done = running.finish_within(Duration::from_secs(3));
            assert_ne!(done.code, 0, "{done:?}");
            assert_eq!(fs::read_to_string(setup.path("calls")).unwrap(), "x\n", "{done:?}");
        }
    }
}

#[test]
fn a_deaf_migration_is_killed_at_the_end_of_the_budget() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (number, code) in [(15, 143), (2, 130)] {
            let deaf = "trap '' TERM INT; setsid sleep 1000 & echo ready; while :; do sleep 0.01; done";
            let setup = with_top(place, "stop-timeout = \"1s\"", "", deaf);
            let running = setup.start(&["--migrate"]);
            running.wait_for("ready");
            let all = eventually("its child is there", PATIENCE, || {
                Some(descendants(running.pid())).filter(|all| all.len() >= 2)
            });
            let began = Instant::now();
            running.signal(number);
            let done = running.finish().expect(code);
            assert!(done.stderr.contains("applied in part"), "{done:?}");
            assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
            for pid in all {
                eventually("it is gone", Duration::from_secs(1), || (!is_alive(pid)).then_some(()));
            }
        }
    }
}

#[test]
fn what_a_migration_leaves_behind_ends_with_it() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for code in [0, 3] {
            let leave = format!(
                "setsid sleep 1000 & echo ready; while ! [ -e $DIR/go ]; do sleep 0.01; done; exit {code}"
            );
            let setup = set_up(place, "", &leave);
            let running = setup.start(&["--migrate"]);
            running.wait_for("ready");
            let all = descendants(running.pid());
            setup.file("go", "", 0o644);
            running.finish().expect(code);
            for pid in all {
                eventually("it is gone", Duration::from_secs(1), || (!is_alive(pid)).then_some(()));
            }
        }
    }
}

#[test]
fn a_migration_that_takes_too_long_is_124() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let setup = set_up(place, "timeout = \"300ms\"", "echo ready; exec sleep 1000");
        let done = setup.run(&["--migrate"]).expect(124);
        assert!(done.stderr.contains("did not end within its timeout"), "{done:?}");
    }
}
