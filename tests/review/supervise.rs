//! The event loop under unusual loads.

use crate::init::{Init, PATIENCE};
use crate::support::{eventually, need};
use std::process::Stdio;

#[test]
fn a_hundred_signals_and_still_it_listens() {
    if !need(&["root"]) {
        return;
    }
    let mut init = Init::new("[service.web]\ncommand = [\"sleep\", \"1000\"]\n");
    init.start(&[], &[], Stdio::null());
    init.says("started, pid");
    for answers in 1..=100 {
        init.signal("USR1");
        eventually("the status is in the log", PATIENCE, || {
            (init.log().matches("orphans reaped").count() >= answers).then_some(())
        });
    }
    init.signal("TERM");
    assert_eq!(init.wait(), 0);
}

#[test]
fn init_uses_all_the_descriptors_it_may_and_its_children_get_what_it_was_given() {
    if !need(&["root", "prlimit"]) {
        return;
    }
    // A login's usual limits: without raising its own, init would have no room for the pipes of the last ones.
    let mut init = Init::new(
        "[service.web]\ncommand = [\"sh\", \"-c\", \"echo soft $(ulimit -Sn) hard $(ulimit -Hn); exec sleep 1000\"]\n\
         instances = 20\nstagger = \"0s\"\n",
    );
    init.start(&["prlimit", "--nofile=32:4096"], &[], Stdio::null());
    eventually("all have said their limits", PATIENCE, || {
        (init.log().matches("soft 32 hard 4096").count() == 20).then_some(())
    });
    init.signal("TERM");
    assert_eq!(init.wait(), 0);
    assert!(!init.log().contains("cannot"), "{}", init.log());
}

#[test]
fn a_mistake_in_a_crontab_is_found_before_the_boot() {
    if !need(&["root"]) {
        return;
    }
    let mut init = Init::new(
        "crontabs = [\"tab\"]\n[[boot]]\nname = \"one\"\ncommand = [\"touch\", \"booted\"]\n\
         [service.web]\ncommand = [\"nowhere\"]\n",
    );
    std::fs::write(init.file("tab"), "* * * * * true\n61 * * * * true\n").unwrap();
    init.start(&[], &[], Stdio::null());
    assert_eq!(init.wait(), 78);
    assert!(
        init.log().contains("tab:2:1:") && init.log().contains("nowhere"),
        "both at once: {}",
        init.log()
    );
    assert!(!init.file("booted").exists());
}

#[test]
fn without_the_capability_to_give_pipes_away_services_start_all_the_same() {
    if !need(&["root", "setpriv"]) {
        return;
    }
    let mut init = Init::new(
        "[service.web]\ncommand = [\"sh\", \"-c\", \"echo here as $(id -u); exec sleep 1000\"]\nuser = \"1000\"\ninstances = 2\n",
    );
    init.start(&["setpriv", "--bounding-set", "-chown", "--inh-caps", "-chown"], &[], Stdio::null());
    eventually("both run", PATIENCE, || (init.log().matches("here as 1000").count() == 2).then_some(()));
    init.signal("TERM");
    assert_eq!(init.wait(), 0);
    assert_eq!(init.log().matches("capability CHOWN").count(), 1, "{}", init.log());
}
