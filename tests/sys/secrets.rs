//! Who can read the memory of init and of a child that has not executed its program yet. Both hold init's secrets.
//!
//! A change of ids sets a process's dumpable flag to fs.suid_dumpable, which is 0 on most machines and hides a missing
//! reset. So root's tests run with the other values as well, for some milliseconds.

use crate::support::{Stage, become_reaper, is_root, open_dir, script, until, user};
use nix::fcntl::{Flock, FlockArg};
use php_init::config::plan::Signal;
use php_init::files;
use php_init::sys::Pid;
use php_init::sys::group::{self, Sent};
use php_init::sys::spawn::Command;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Sets fs.suid_dumpable of the whole machine until it is dropped. The lock keeps tests of other runs out meanwhile.
struct SuidDumpable {
    before: String,
    _alone: Flock<File>,
}

impl SuidDumpable {
    const FILE: &str = "/proc/sys/fs/suid_dumpable";

    fn set(value: &str) -> Self {
        let alone = Flock::lock(File::open(Self::FILE).unwrap(), FlockArg::LockExclusive).unwrap();
        let before = fs::read_to_string(Self::FILE).unwrap();
        fs::write(Self::FILE, value).unwrap();
        Self { before, _alone: alone }
    }
}

impl Drop for SuidDumpable {
    fn drop(&mut self) {
        fs::write(Self::FILE, &self.before).unwrap();
    }
}

/// The values of fs.suid_dumpable that this user can test with.
fn each_value(test: impl Fn()) {
    if !is_root() {
        return test();
    }
    for value in ["0", "1", "2"] {
        let _set = SuidDumpable::set(value);
        test();
    }
}

#[test]
fn init_stays_non_dumpable_when_it_takes_the_file_rights_of_a_user() {
    become_reaper();
    each_value(|| {
        let dumpable = || nix::sys::prctl::get_dumpable().unwrap();
        assert!(!dumpable());
        let meanwhile = files::as_user(Some(&user("www-data")), dumpable);
        assert_eq!(meanwhile.ok(), is_root().then_some(false));
        assert!(!dumpable());
    });
}

fn state_and_user(pid: Pid) -> Option<(char, u32)> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap().trim().to_owned();
    let first = |text: String| text.split_whitespace().next().unwrap().to_owned();
    Some((field("State:").chars().next()?, first(field("Uid:")).parse().unwrap()))
}

/// The kernel gives /proc/PID/mem of a process that is not dumpable to root: `task_dump_owner` in fs/proc/base.c.
fn owner_of_memory(pid: Pid) -> u32 {
    fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid()
}

/// While it is held, execve(2) of the file waits. Open for reading only: the child has a copy of the descriptor, and a file
/// that is open for writing is not executed.
fn lease(file: &Path) -> File {
    let file = File::open(file).unwrap();
    set_lease(&file, libc::F_WRLCK);
    file
}

fn set_lease(file: &File, lease: libc::c_int) {
    #[expect(unsafe_code, reason = "fcntl(2), F_SETLEASE")]
    // SAFETY: an open descriptor and a number.
    let result = unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, lease) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

#[test]
fn the_memory_of_a_child_is_its_users_only_after_the_exec() {
    become_reaper();
    each_value(|| {
        let mut stage = Stage::new();
        let dir = open_dir();
        let file = script(&dir, "program", b"#!/bin/sh\nexec sleep 1000\n", 0o755);
        let identity = if is_root() { user("www-data") } else { user(&nix::unistd::geteuid().to_string()) };
        let uid = identity.uid;
        let mut command = Command::new([&file]);
        command.env = crate::support::path();
        command.identity = is_root().then_some(identity);
        // The kernel asks for the lease back by SIGIO, which would end this process.
        #[expect(unsafe_code, reason = "signal(2)")]
        // SAFETY: no handler is installed.
        unsafe { nix::sys::signal::signal(nix::sys::signal::SIGIO, nix::sys::signal::SigHandler::SigIgn) }
            .unwrap();
        let held = lease(&file);
        let pid = stage.spawn(&command);
        until("the child waits in its exec", || state_and_user(pid) == Some(('S', uid)));
        assert_eq!(owner_of_memory(pid), 0, "before the exec");
        set_lease(&held, libc::F_UNLCK);
        drop(held);
        until("it has become its program", || owner_of_memory(pid) == uid);
        assert_eq!(group::signal(pid, Signal::KILL).unwrap(), Sent::Delivered);
        stage.wait(pid);
    });
}
