//! Starting children, waiting for them under a deadline, and playing a part in a process of one's own.

use php_init::sys::clock::monotonic;
use php_init::sys::fd;
use php_init::sys::proc::{self, Snapshot};
use php_init::sys::reap::{Reaped, Reaper, WaitStatus};
use php_init::sys::spawn::{Command, Output, Stdin};
use php_init::sys::users::Identity;
use php_init::sys::{Pid, init};
use std::borrow::Borrow;
use std::ffi::OsString;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Long enough for the slowest machine; a test that passes never waits for it.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// Names the part that a process started by [`play`] has.
pub const ROLE: &str = "SYS_TEST_ROLE";

static ALONE: Mutex<()> = Mutex::new(());

/// One per test: holds the reaper, and keeps tests in one process apart.
pub struct Stage {
    pub reaper: Reaper,
    _alone: MutexGuard<'static, ()>,
}

impl Stage {
    pub fn new() -> Self {
        // A test that failed while it held the lock has left nothing but its children.
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        Self { reaper: Reaper::new().unwrap(), _alone: alone }
    }

    pub fn spawn(&self, command: &Command) -> Pid {
        command.spawn(self.reaper.launcher()).unwrap_or_else(|error| panic!("{error}"))
    }

    /// Reaps until `pid` has ended. Others that end meanwhile are returned after it.
    pub fn wait_all(&mut self, pid: Pid) -> (Reaped, Vec<Reaped>) {
        let mut others = Vec::new();
        let mut found = None;
        until("the child ends", || {
            for reaped in self.reaper.reap().reaped {
                if reaped.pid == pid { found = Some(reaped) } else { others.push(reaped) }
            }
            found.is_some()
        });
        (found.unwrap(), others)
    }

    pub fn wait(&mut self, pid: Pid) -> Reaped {
        self.wait_all(pid).0
    }

    pub fn run(&mut self, command: &Command) -> Reaped {
        let pid = self.spawn(command);
        self.wait(pid)
    }

    /// Runs it to its end. Returns stdout, and how it ended.
    pub fn output(&mut self, mut command: Command) -> (String, Reaped) {
        let pipe = fd::pipe_cloexec().unwrap();
        command.stdout = Output::Fd(pipe.write);
        let pid = self.spawn(&command);
        drop(command);
        let mut text = String::new();
        std::fs::File::from(pipe.read).read_to_string(&mut text).unwrap();
        (text, self.wait(pid))
    }
}

/// A test that failed leaves nobody behind, whom the next would find, and who would hold the runner's pipes
/// open.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            proc::kill_all(&proc::descendants(Pid::current()).unwrap_or_default());
        }
    }
}

/// A shell script.
pub fn sh(script: &str) -> Command {
    let mut command = Command::new(["/bin/sh", "-c", script]);
    command.env = path();
    command
}

pub fn path() -> Vec<(OsString, OsString)> {
    vec![("PATH".into(), "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin".into())]
}

/// Polls, a millisecond at a time: `condition` is what the test is about, so there is no event to wait for.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = monotonic();
    while !condition() {
        assert!(monotonic() - start < DEADLINE, "timed out waiting until {what}");
        pause();
    }
}

fn pause() {
    use nix::poll::{PollTimeout, poll};
    let _ = poll(&mut [], PollTimeout::from(1_u8));
}

/// One line from a child; the test fails if it never comes.
pub fn line(from: impl AsFd) -> String {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut text = Vec::new();
    loop {
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        let ready = poll(&mut fds, PollTimeout::try_from(DEADLINE).unwrap()).unwrap();
        assert!(ready > 0, "timed out reading a line");
        let mut byte = [0];
        match fd::read(&from, &mut byte).unwrap() {
            0 => break,
            _ if byte == *b"\n" => break,
            _ => text.extend(byte),
        }
    }
    String::from_utf8(text).unwrap()
}

pub fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

pub fn user(text: &str) -> Identity {
    php_init::files::read_users().unwrap().find(text).unwrap()
}

pub fn code(reaped: impl Borrow<Reaped>) -> Option<u8> {
    match reaped.borrow().status {
        WaitStatus::Code(code) => Some(code),
        WaitStatus::Signal(_) => None,
    }
}

pub fn alive(pid: i32) -> bool {
    Snapshot::take().unwrap().processes().iter().any(|process| process.pid.raw() == pid && !process.zombie)
}

/// A command that runs the test `test` (its full name) of this binary, in the role that [`role`] then tells.
pub fn play(test: &str, role: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command =
        Command::new([this.into_os_string(), test.into(), "--exact".into(), "--nocapture".into()]);
    command.env = path();
    command.env.push((ROLE.into(), role.into()));
    command.stdin = Stdin::Null;
    command
}

/// The part this process plays; `None` in the test proper.
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// Makes this process reap orphans.
pub fn become_reaper() {
    let became = init::become_init(true);
    assert!(became.reaps_orphans, "{:?}", became.warnings);
}

/// A directory that another user may enter.
pub fn open_dir() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    dir
}

pub fn script(dir: &tempfile::TempDir, name: &str, text: &[u8], mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let file = dir.path().join(name);
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
    file
}
