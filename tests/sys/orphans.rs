//! Descendants that leave their group, and orphans.

use crate::support::{Stage, alive, become_reaper, is_root, line, sh, until};
use php_init::config::plan::Signal;
use php_init::sys::group::{self, Sent};
use php_init::sys::proc::{self, Snapshot};
use php_init::sys::spawn::{Command, Output};
use php_init::sys::{Pid, fd};

/// Starts a script that prints the pid of something it leaves behind. Returns its own pid and that one.
fn start(stage: &Stage, script: &str) -> (Pid, Pid) {
    let pipe = fd::pipe_cloexec().unwrap();
    let mut command = sh(script);
    command.stdout = Output::Fd(pipe.write);
    let pid = stage.spawn(&command);
    drop(command);
    (pid, Pid::new(line(&pipe.read).parse().unwrap()).unwrap())
}

const ESCAPES: &str = "setsid sh -c 'echo $$; exec sleep 1000' & wait";

#[test]
fn who_left_its_group_is_found_and_killed() {
    let mut stage = Stage::new();
    become_reaper();
    let (pid, escaped) = start(&stage, ESCAPES);
    let mut found = Vec::new();
    until("it is out of the group", || {
        found = proc::descendants(pid).unwrap();
        found.iter().any(|process| process.pid == escaped && process.group == escaped.raw())
    });
    assert!(Snapshot::take().unwrap().of_group(pid).all(|process| process.pid != escaped));
    assert_eq!(group::signal_group(pid, Signal::KILL).unwrap(), Sent::Delivered);
    stage.wait(pid);
    assert!(alive(escaped.raw()), "the group's KILL does not reach it");
    assert!(proc::kill_all(&found) >= 1);
    until("it is gone", || {
        let _ = stage.reaper.reap();
        !alive(escaped.raw())
    });
    // What is remembered cannot hit another process of that number.
    let remembered = found.iter().find(|process| process.pid == escaped).unwrap();
    until("it is reaped", || {
        let _ = stage.reaper.reap();
        !proc::is_same(remembered).unwrap()
    });
    assert_eq!(proc::signal(remembered, Signal::KILL).unwrap(), Sent::Nobody);
    assert_eq!(proc::kill_all(&found), 0);
}

#[test]
fn a_walk_that_passes_over_children_finds_what_descends_from_them() {
    let mut stage = Stage::new();
    become_reaper();
    let (known, escaped) = start(&stage, ESCAPES);
    let other = stage.spawn(&sh("exec sleep 1000"));
    let pids = |known: &[Pid]| {
        let all = proc::descendants_but(known.iter().copied().collect()).unwrap();
        all.iter().map(|process| process.pid).collect::<Vec<_>>()
    };
    let found = pids(&[known]);
    assert!(found.contains(&escaped) && found.contains(&other) && !found.contains(&known), "{found:?}");
    assert_eq!(pids(&[known, other]), [escaped]);
    assert!(pids(&[]).contains(&known));
    for pid in [known, other] {
        let _ = group::signal_group(pid, Signal::KILL).unwrap();
        stage.wait(pid);
    }
    assert_eq!(pids(&[]), [escaped], "its parent is init by now");
    let _ = group::signal(escaped, Signal::KILL).unwrap();
    stage.wait(escaped);
}

#[test]
fn a_reused_number_is_not_signalled() {
    let mut stage = Stage::new();
    let pid = stage.spawn(&sh("exec sleep 1000"));
    let mut process =
        Snapshot::take().unwrap().processes().iter().find(|one| one.pid == pid).unwrap().clone();
    process.start_time += 1;
    assert_eq!(proc::signal(&process, Signal::KILL).unwrap(), Sent::Nobody);
    process.start_time -= 1;
    assert_eq!(proc::signal(&process, Signal::KILL).unwrap(), Sent::Delivered);
    stage.wait(pid);
}

#[test]
fn orphans_come_to_the_subreaper() {
    let mut stage = Stage::new();
    become_reaper();
    // Twice removed: the middle one ends at once.
    let (pid, orphan) =
        start(&stage, "sh -c 'setsid sh -c \"echo \\$\\$; exec sleep 1000\" & exit 0'; exit 5");
    let (ended, _) = stage.wait_all(pid);
    assert_eq!(crate::support::code(ended), Some(5));
    let process = |pid: Pid| {
        let snapshot = Snapshot::take().unwrap();
        snapshot.processes().iter().find(|process| process.pid == pid).cloned()
    };
    until("init is its parent", || process(orphan).unwrap().parent == Pid::current().raw());
    let orphan_process = process(orphan).unwrap();
    assert!(proc::descendants(Pid::current()).unwrap().iter().any(|process| process.pid == orphan));
    assert_eq!(proc::signal(&orphan_process, Signal::TERM).unwrap(), Sent::Delivered);
    until("it is reaped", || stage.reaper.reap().reaped.iter().any(|reaped| reaped.pid == orphan));
}

#[test]
fn a_thousand_orphans_leave_no_zombie() {
    let mut stage = Stage::new();
    become_reaper();
    let mut command =
        Command::new(["/bin/sh", "-c", "i=0; while [ $i -lt 1000 ]; do (true &) ; i=$((i+1)); done"]);
    command.env = crate::support::path();
    let pid = stage.spawn(&command);
    let mut reaped = Vec::new();
    until("all are reaped", || {
        let batch = stage.reaper.reap();
        reaped.extend(batch.reaped);
        reaped.iter().any(|one| one.pid == pid) && proc::descendants(Pid::current()).unwrap().is_empty()
    });
    assert_eq!(reaped.len(), 1001);
}

#[test]
fn a_child_and_what_it_starts_have_a_higher_oom_score_than_init() {
    let mut stage = Stage::new();
    let (pid, below) = start(&stage, "sh -c 'sleep 1000 & echo $!; wait' & wait");
    let score = |pid: Pid| -> i32 {
        let text = std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap();
        text.trim().parse().unwrap()
    };
    // A process that is not dumpable and not root's may not write its own.
    let dumpable = nix::sys::prctl::get_dumpable().unwrap();
    let expected =
        if dumpable || is_root() { (score(Pid::current()) + 100).min(1000) } else { score(Pid::current()) };
    assert_eq!((score(pid), score(below)), (expected, expected));
    assert_eq!(group::signal_group(pid, Signal::KILL).unwrap(), Sent::Delivered);
    stage.wait(pid);
}
