use super::*;
use crate::sys::spawn::Command;

const WEB: Id = Id::Service { unit: 0, instance: 0 };

fn process(pid: i32, parent: i32, group: i32, start_time: u64) -> Process {
    let (pid, comm) = (Pid::new(pid).unwrap(), "x".to_owned());
    Process { pid, parent, group, session: group, start_time, comm, zombie: false }
}

/// A table with one unit, whose main process is 10.
fn table() -> Children {
    let mut children = Children::new().unwrap();
    let pid = Pid::new(10).unwrap();
    let child = Child {
        who: Who::Unit(WEB),
        started: Mono::default(),
        context: Command::new(["x"]).context(),
        escaped: Vec::new(),
        sought: Marks::new().put(Who::Unit(WEB), &mut Command::new(["x"])),
        told: None,
        relays: Vec::new(),
    };
    children.live.insert(pid, child);
    children.units.insert(WEB, pid);
    children
}

fn pids(processes: &[Process]) -> Vec<i32> {
    processes.iter().map(|process| process.pid.raw()).collect()
}

#[test]
fn what_a_living_unit_started_is_no_orphan_whatever_its_group() {
    let all =
        || vec![process(10, 1, 10, 1), process(30, 1, 30, 1), process(11, 10, 11, 1), process(12, 11, 12, 1)];
    assert_eq!(pids(&table().orphans(all())), [30]);
    let mut children = table();
    children.note_escaped(&all());
    // 11 has ended, and 12 is init's child by now.
    let later = vec![process(10, 1, 10, 1), process(12, 1, 12, 1), process(30, 1, 30, 1)];
    assert_eq!(pids(&children.orphans(later)), [30]);
}

#[test]
fn a_pid_that_is_used_again_is_another_process() {
    let mut children = table();
    children.note_escaped(&[process(10, 1, 10, 1), process(11, 10, 11, 1), process(12, 10, 12, 1)]);
    // 11 is a stranger's now, 12 is another one of this unit's, 13 is new.
    let all = [process(10, 1, 10, 1), process(11, 1, 11, 9), process(12, 10, 12, 9), process(13, 10, 13, 9)];
    children.note_escaped(&all);
    let escaped = &children.live.values().next().unwrap().escaped;
    assert_eq!(escaped.iter().map(|p| (p.pid.raw(), p.start_time)).collect::<Vec<_>>(), [(12, 9), (13, 9)]);
}

/// Whoever fills the numbers of a container could have init kill a process of root's so.
#[test]
#[expect(clippy::disallowed_methods, reason = "a child of the test's own")]
fn a_number_that_is_used_again_is_no_group_of_a_leftover() {
    use std::os::unix::process::CommandExt as _;
    let mut other = std::process::Command::new("sleep").arg("1000").process_group(0).spawn().unwrap();
    let leader = Pid::new(other.id().try_into().unwrap()).unwrap();
    let left = Leftover { leader, escaped: Vec::new(), search: None, signal: None };
    assert!(group::group_exists(leader).unwrap());
    let found = (left.group(), left.there(), left.alive(&Walk::default()));
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(found, (None, false, false));
    assert_eq!(left.group(), Some(leader));
}
