//! How children end.

use crate::support::{Stage, code, sh};
use php_init::config::plan::Signal;
use php_init::sys::group::{self, Sent};
use php_init::sys::reap::{Reaper, WaitStatus};
use php_init::sys::spawn::Session;

#[test]
fn every_exit_code_comes_through() {
    let mut stage = Stage::new();
    let children: Vec<_> = (0..=255).map(|n| (n, stage.spawn(&sh(&format!("exit {n}"))))).collect();
    let mut ended = std::collections::BTreeMap::new();
    crate::support::until("all have ended", || {
        ended.extend(stage.reaper.reap().reaped.into_iter().map(|reaped| (reaped.pid, reaped)));
        ended.len() == 256
    });
    for (n, pid) in children {
        let reaped = &ended[&pid];
        assert_eq!((reaped.status, &reaped.fault), (WaitStatus::Code(n), &None));
    }
}

/// Also those that nix cannot name: it would lose these children.
#[test]
fn every_fatal_signal_comes_through() {
    let mut stage = Stage::new();
    // CHLD, CONT, URG and WINCH are ignored by default; STOP, TSTP, TTIN and TTOU stop.
    let harmless = [17, 18, 19, 20, 21, 22, 23, 28];
    for number in (1..=64).filter(|number| !harmless.contains(number)) {
        let pid = stage.spawn(&sh("exec sleep 1000"));
        let sent = group::signal_group_of_child(pid, Signal::from_number(number).unwrap()).unwrap();
        assert_eq!(sent, Sent::Delivered);
        assert_eq!(stage.wait(pid).status, WaitStatus::Signal(number));
    }
}

#[test]
fn a_stopped_child_has_not_ended() {
    let mut stage = Stage::new();
    let pid = stage.spawn(&sh("kill -STOP $$; exit 7"));
    let stopped = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") T ");
    crate::support::until("it is stopped", stopped);
    assert!(stage.reaper.reap().reaped.is_empty());
    assert_eq!(group::signal(pid, Signal::CONT).unwrap(), Sent::Delivered);
    assert_eq!(code(stage.wait(pid)), Some(7));
}

#[test]
fn what_a_child_used_is_told() {
    let mut stage = Stage::new();
    let reaped = stage.run(&sh("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done"));
    assert!(reaped.usage.cpu > std::time::Duration::ZERO);
    assert!(reaped.usage.max_rss > 100 << 10, "{} bytes", reaped.usage.max_rss);
}

#[test]
fn a_group_is_signalled_whole_even_just_after_the_fork() {
    let mut stage = Stage::new();
    for session in [Session::New, Session::Foreground] {
        let mut command = sh("sleep 1000 & sleep 1000 & wait");
        command.session = session;
        for _ in 0..20 {
            let pid = stage.spawn(&command);
            assert_eq!(group::signal_group_of_child(pid, Signal::KILL).unwrap(), Sent::Delivered);
            assert_eq!(stage.wait(pid).status, WaitStatus::Signal(9));
        }
    }
}

#[test]
fn a_group_lives_as_long_as_one_of_it() {
    let mut stage = Stage::new();
    crate::support::become_reaper();
    let pid = stage.spawn(&sh("sleep 1000 & exit 0"));
    assert_eq!(code(stage.wait(pid)), Some(0));
    assert!(group::group_exists(pid).unwrap());
    assert_eq!(group::signal_group(pid, Signal::KILL).unwrap(), Sent::Delivered);
    crate::support::until("the orphan is reaped", || !stage.reaper.reap().reaped.is_empty());
    assert!(!group::group_exists(pid).unwrap());
    assert_eq!(group::signal_group(pid, Signal::KILL).unwrap(), Sent::Nobody);
}

#[test]
fn a_storm_comes_in_batches() {
    let mut stage = Stage::new();
    let many = Reaper::BATCH + 10;
    let children: Vec<_> = (0..many).map(|_| stage.spawn(&sh("exit 0"))).collect();
    // All are zombies before the first is reaped.
    crate::support::until("all have ended", || {
        let snapshot = php_init::sys::proc::Snapshot::take().unwrap();
        snapshot
            .processes()
            .iter()
            .filter(|process| process.zombie && children.contains(&process.pid))
            .count()
            == many
    });
    let batch = stage.reaper.reap();
    assert_eq!((batch.reaped.len(), batch.more), (Reaper::BATCH, true));
    let batch = stage.reaper.reap();
    assert_eq!((batch.reaped.len(), batch.more), (10, false));
}
