//! The only unsafe, fork, exec and raw descriptors, behind safe types.
//!
//! | module | what it is |
//! |---|---|
//! | [`users`] | `/etc/passwd` and `/etc/group` without NSS: who a child runs as |
//! | [`spawn`] | everything prepared, then fork and exec; failures of the child come back through one pipe |
//! | [`reap`] | the one reaper, which joins each exit with the fault its child reported |
//! | [`group`] | signals to one process or one process group, and never to all |
//! | [`mask`] | which signals wait until they are wanted |
//! | [`proc`] | one pass over /proc: descendants, also those that left their group |
//! | [`init`] | what a process does once to be an init: subreaper, no core, not dumpable |
//! | [`notify`] | the socket that a service tells of itself through |
//! | [`fd`] | pipes, what a child inherits, file system names |
//! | [`fd_out`] | the container's log: private re-openings, writes that never block |
//! | [`tty`] | the terminal of a one-off command |
//! | [`local`] | the client's end of a unix socket, under a time limit |
//! | [`capabilities`] | which of root's powers init lacks |
//! | [`cgroup`] | the kernel's count of out-of-memory kills |
//! | `oom` | the OOM score of children |
//! | [`identity`] | the user whose rights the calling thread has for files |
//! | [`kernel`] | files of the kernel's: /proc, /sys, cgroups |
//! | [`look`] | what is at a path |
//! | [`clock`] | monotonic and wall time, and an alarm that notices a stepped clock |
//!
//! What it is not: a policy. Nothing here decides what to start, when, or what a failure means; nothing
//! waits, retries or logs. Every call returns at once, except for reads and writes of files.
//!
//! Two rules keep it sound. Every descriptor that is opened is `CLOEXEC`, so no child gets one by accident.
//! And the code between fork and exec ([`spawn`]'s `child`) makes async-signal-safe calls only.

pub mod capabilities;
pub mod cgroup;
pub mod clock;
pub mod environ;
pub mod fd;
pub mod fd_out;
pub mod group;
pub mod identity;
pub mod init;
pub mod kernel;
pub mod local;
pub mod look;
pub mod mask;
pub mod notify;
mod oom;
pub mod proc;
pub mod reap;
pub mod spawn;
pub mod tty;
pub mod users;

use std::fmt;
use std::io;

/// The number of one process, at least 1, so that it can never be read as "my group" (0) or "everybody" (-1).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pid(i32);

impl Pid {
    /// The process with this number; `None` for 0 and below.
    pub fn new(raw: i32) -> Option<Self> {
        (raw > 0).then_some(Self(raw))
    }

    /// This process.
    pub fn current() -> Self {
        Self(nix::unistd::getpid().as_raw())
    }

    /// The number the kernel knows it by.
    pub fn raw(self) -> i32 {
        self.0
    }
}

impl fmt::Display for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Pid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pid({})", self.0)
    }
}

/// The C library's words for an error, without Rust's `(os error 13)`, in lower case so that they fit in a
/// sentence.
pub fn words(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(errno) => errno_words(errno),
        None => error.to_string(),
    }
}

/// What follows [`words`] where no process or thread could be made: which limit it is. Nothing for other errors.
pub fn shortage(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EAGAIN) => " (the limit of processes is reached: pids cgroup or nproc)",
        Some(libc::ENOMEM) => " (the container's memory is used up)",
        Some(libc::EMFILE | libc::ENFILE) => " (raise the nofile limit)",
        _ => "",
    }
}

/// The words for an error number, such as `permission denied`.
pub(crate) fn errno_words(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        // "I/O error" (musl) keeps its capitals.
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(std::iter::once(second)).chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

/// A number that cannot be guessed, for names of files and for jitter. The standard library seeds its hash maps from the
/// kernel, which spares a dependency; nothing here is a key.
pub fn random() -> u64 {
    use std::hash::{BuildHasher as _, Hasher as _, RandomState};
    RandomState::new().build_hasher().finish()
}

/// It failed for want of something of which there may be enough in a moment: descriptors or memory.
pub fn is_want(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM | libc::ENOBUFS))
}

/// `Err` of the calling thread's errno when a system call returned -1.
fn check(result: i32) -> io::Result<i32> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_is_one_process() {
        assert_eq!(Pid::new(0), None);
        assert_eq!(Pid::new(-1), None);
        assert_eq!(Pid::new(1).unwrap().raw(), 1);
        assert_eq!(i64::from(Pid::current().raw()), i64::from(std::process::id()));
    }

    #[test]
    fn errors_read_as_part_of_a_sentence() {
        assert_eq!(errno_words(libc::EACCES), "permission denied");
        assert!(errno_words(libc::EAGAIN).starts_with("resource temporarily unavailable"));
        assert_eq!(words(&io::Error::other("no such thing")), "no such thing");
    }
}
