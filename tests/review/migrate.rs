//! `init --migrate`: stops, and what a migration leaves behind.

use crate::init::Init;
use crate::support::need;
use std::process::Stdio;
use std::time::{Duration, Instant};

fn migrating(script: &str, rest: &str) -> Init {
    let mut init = Init::new(&format!(
        "{rest}\n[migrate]\ncommand = [\"sh\", \"-c\", \"{script}\", \"sh\", \"--isolated=75\"]\n"
    ));
    init.start(&[], &["--migrate"], Stdio::null());
    init
}

#[test]
fn a_stop_while_another_process_holds_the_lock_is_not_forgotten() {
    if !need(&["root"]) {
        return;
    }
    let mut init = migrating("trap 'exit 75' TERM; echo tries; while :; do sleep 0.02; done", "");
    init.says("tries");
    init.signal("TERM");
    assert_eq!(init.wait(), 75);
    assert_eq!(init.log().matches("tries").count(), 1);
}

#[test]
fn a_migration_that_hears_nothing_is_killed_within_the_budget() {
    if !need(&["root"]) {
        return;
    }
    let mut init =
        migrating("trap '' TERM; echo tries; while :; do sleep 0.02; done", "stop-timeout = \"3s\"");
    init.says("tries");
    let began = Instant::now();
    init.signal("QUIT");
    assert_eq!(init.wait(), 131, "the signal that came, not the one that the migration was told with");
    assert!(began.elapsed() < Duration::from_millis(4500), "{:?}", began.elapsed());
}

#[test]
fn what_a_migration_leaves_behind_goes_with_init() {
    if !need(&["root", "setsid"]) {
        return;
    }
    let mut init = migrating("setsid sleep 1000 & echo left $! here", "");
    assert_eq!(init.wait(), 0);
    let log = init.log();
    let pid = log.split_once("left ").unwrap().1.split_once(' ').unwrap().0.to_owned();
    assert!(!std::path::Path::new("/proc").join(&pid).exists(), "{pid} outlived init");
}

#[test]
fn a_plan_without_a_migration_does_not_boot() {
    if !need(&["root"]) {
        return;
    }
    let mut init = Init::new("[[boot]]\nname = \"one\"\ncommand = [\"touch\", \"booted\"]\n");
    init.start(&[], &["--migrate"], Stdio::null());
    assert_eq!(init.wait(), 78);
    assert!(init.log().contains("no [migrate]") && !init.file("booted").exists(), "{}", init.log());
}
