use super::*;

fn process(pid: i32, parent: i32) -> Process {
    let line = format!("{pid} (x) S {parent} {pid} {pid} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid}00 0 0");
    parse(line.as_bytes()).unwrap()
}

#[test]
fn names_cannot_forge_fields() {
    let line = b"77 (a) Z 1 1 (x\n) R 5 6 7 34816 -1 4194304 1 2 3 4 5 6 7 8 20 0 1 0 12345 100 200";
    let found = parse(line).unwrap();
    assert_eq!((found.pid.raw(), found.parent, found.group, found.session), (77, 5, 6, 7));
    assert_eq!((found.start_time, found.comm.as_str(), found.zombie), (12345, "a) Z 1 1 (x\n", false));
    for text in ["", "1", "1 (x", "1 x)", ")(", "1 (x)", "1 (x) S 2", "0 (x) S 0 0 0"] {
        assert_eq!(parse(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn a_process_whose_first_thread_has_ended_lives() {
    let zombie = |threads: u32| {
        let line = format!("77 (x) Z 1 77 77 0 -1 0 0 0 0 0 0 0 0 0 20 0 {threads} 0 12345 0 0");
        parse(line.as_bytes()).unwrap().zombie
    };
    assert_eq!((zombie(0), zombie(1), zombie(2)), (true, true, false));
}

#[test]
fn descendants_are_the_whole_tree_and_nothing_else() {
    let processes = vec![
        process(1, 0),
        process(2, 1),
        process(10, 1),
        process(11, 10),
        process(12, 10),
        process(20, 12),
        process(30, 2),
    ];
    let snapshot = Snapshot { processes };
    let pids = |root| -> Vec<i32> {
        snapshot.descendants(Pid::new(root).unwrap()).iter().map(|p| p.pid.raw()).collect()
    };
    assert_eq!(pids(10), [11, 12, 20]);
    assert_eq!(pids(1), [2, 10, 30, 11, 12, 20]);
    assert!(pids(20).is_empty());
}

#[test]
fn a_circle_ends() {
    let snapshot = Snapshot { processes: vec![process(10, 11), process(11, 10)] };
    assert_eq!(snapshot.descendants(Pid::new(10).unwrap()).len(), 1);
}

#[test]
fn a_process_belongs_to_its_own_tree() {
    let own = Pid::current();
    assert_eq!(belongs(own, own), Some(true));
    let session = Pid::new(read(own).unwrap().unwrap().session);
    // Outside of a PID namespace that it entered, its session has no number.
    if let Some(session) = session {
        assert_eq!(belongs(own, session), Some(true));
    }
    assert_eq!(belongs(own, Pid::new(i32::MAX).unwrap()), Some(false));
    assert_eq!(belongs(Pid::new(i32::MAX).unwrap(), own), None);
    assert!(!is_stopped(own) && !is_stopped(Pid::new(i32::MAX).unwrap()));
}

/// A seccomp filter for this process, for good, that answers `call` with EPERM.
fn refuse(call: libc::c_long) {
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let (equal, answer) = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, libc::BPF_RET | libc::BPF_K);
    let line = |code: u32, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf, k };
    let mut filter = [
        // The number of the call is the first field of seccomp_data.
        line(load, 0, 0),
        line(equal, 1, call as u32),
        line(answer, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM as u32),
        line(answer, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    // SAFETY: numbers, and a program that lives until the kernel has copied it.
    unsafe {
        assert_eq!(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
        let filter_mode = libc::SECCOMP_MODE_FILTER;
        assert_eq!(libc::prctl(libc::PR_SET_SECCOMP, filter_mode, &raw const program), 0);
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a child of the test's own")]
fn a_signal_arrives_whichever_of_the_pidfd_calls_is_refused() {
    for call in [libc::SYS_pidfd_send_signal, libc::SYS_pidfd_open] {
        refuse(call);
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = Pid::new(i32::try_from(child.id()).unwrap()).unwrap();
        let process = read(pid).unwrap().unwrap();
        let another = Process { start_time: process.start_time + 1, ..process.clone() };
        assert_eq!(signal(&another, Signal::KILL).unwrap(), Sent::Nobody);
        assert_eq!(signal(&process, Signal::KILL).unwrap(), Sent::Delivered);
        let status = child.wait().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(libc::SIGKILL));
    }
}

#[test]
fn this_process_is_found_and_is_itself() {
    let snapshot = Snapshot::take().unwrap();
    let own = snapshot.processes().iter().find(|process| process.pid == Pid::current()).unwrap();
    assert!(is_same(own).unwrap() && lives(own));
    let another = Process { start_time: own.start_time + 1, ..own.clone() };
    assert!(!is_same(&another).unwrap() && !lives(&another));
    assert!(signal(own, Signal::TERM).is_err(), "never itself");
    assert!(snapshot.of_group(Pid::new(own.group).unwrap()).any(|process| process.pid == own.pid));
}
