//! The one reaper.
//!
//! `libc::wait4(-1)`, not nix's: nix answers EINVAL for a child that a real-time signal ended, which is
//! reaped by then, so its pid would be lost. And `wait(-1)`, not one wait per child: orphans are init's too.
//!
//! A process that reaps so must have no other waiter: no `std::process::Child::wait`, no `tokio::process`.
#![expect(unsafe_code, reason = "wait4(2)")]

use super::Pid;
use super::spawn::{ExecFault, Launcher};
use std::io;
use std::time::Duration;

/// How a process ended, as the kernel tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WaitStatus {
    Code(u8),
    /// A signal number, 1 to 64, real-time ones included.
    Signal(i32),
}

impl WaitStatus {
    /// `None`: it has not ended (stopped or continued).
    fn of_raw(status: i32) -> Option<Self> {
        if libc::WIFEXITED(status) {
            u8::try_from(libc::WEXITSTATUS(status)).ok().map(Self::Code)
        } else {
            libc::WIFSIGNALED(status).then(|| Self::Signal(libc::WTERMSIG(status)))
        }
    }
}

/// What a process used, with the children that it waited for itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// User and system time.
    pub cpu: Duration,
    /// Largest resident set, in bytes.
    pub max_rss: u64,
}

/// One process that is gone. Its pid may be in use again from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reaped {
    pub pid: Pid,
    pub status: WaitStatus,
    pub usage: Usage,
    /// It never became its program. `status` is then the code of the fault, or the signal that came in
    /// between.
    pub fault: Option<ExecFault>,
}

/// What one call reaped.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Batch {
    pub reaped: Vec<Reaped>,
    /// The batch is full and there may be more: call again, after other events had their turn.
    pub more: bool,
}

/// Reaps every child and orphan of this process, with the faults that children reported.
pub struct Reaper {
    launcher: Launcher,
    /// Faults of children that are not reaped yet; at most one for each.
    pending: Vec<ExecFault>,
}

impl Reaper {
    /// At most so many in a batch, so that a storm of orphans (0.75 µs each) does not hold up the loop.
    pub const BATCH: usize = 1024;

    /// A reaper, and where children start from that it will reap. Made once.
    ///
    /// # Errors
    /// The system refused a pipe.
    pub fn new() -> io::Result<Self> {
        Ok(Self { launcher: Launcher::new()?, pending: Vec::new() })
    }

    /// For [`spawn`](super::spawn::Command::spawn).
    pub fn launcher(&self) -> &Launcher {
        &self.launcher
    }

    /// Everything that has ended so far. Call on SIGCHLD: signals coalesce, so one may stand for many.
    pub fn reap(&mut self) -> Batch {
        let mut batch = Batch::default();
        while batch.reaped.len() < Self::BATCH {
            match wait() {
                Wait::Ended(reaped) => batch.reaped.push(reaped),
                Wait::Other => {}
                Wait::Nothing => break,
            }
        }
        batch.more = batch.reaped.len() >= Self::BATCH;
        // After the waits: a child writes its record before it exits, so it is in the pipe now.
        self.pending.extend(self.launcher.drain_faults());
        if !self.pending.is_empty() {
            for reaped in &mut batch.reaped {
                let fault = self.pending.iter().position(|fault| fault.pid == reaped.pid);
                reaped.fault = fault.map(|index| self.pending.swap_remove(index));
            }
        }
        batch
    }
}

/// Nothing descends from this process: whatever does is below a child. Reaps nothing.
pub fn has_no_child() -> bool {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, look) == Err(nix::errno::Errno::ECHILD)
}

enum Wait {
    Ended(Reaped),
    /// Interrupted, or something that is not an end.
    Other,
    Nothing,
}

fn wait() -> Wait {
    let mut status = 0;
    // SAFETY: an all-zero rusage is a valid value of plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are valid for writing.
    let result = unsafe { libc::wait4(-1, &raw mut status, libc::WNOHANG, &raw mut usage) };
    match (Pid::new(result), WaitStatus::of_raw(status)) {
        (Some(pid), Some(status)) => Wait::Ended(Reaped { pid, status, usage: convert(&usage), fault: None }),
        (Some(_), None) => Wait::Other,
        (None, _) if result == -1 && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted => {
            Wait::Other
        }
        // 0: children, none of which has ended. ECHILD: no children.
        (None, _) => Wait::Nothing,
    }
}

fn convert(usage: &libc::rusage) -> Usage {
    let time = |time: libc::timeval| {
        let micros = u64::try_from(time.tv_usec).unwrap_or(0);
        Duration::from_secs(u64::try_from(time.tv_sec).unwrap_or(0))
            .saturating_add(Duration::from_micros(micros))
    };
    Usage {
        cpu: time(usage.ru_utime).saturating_add(time(usage.ru_stime)),
        // In kibibytes: getrusage(2).
        max_rss: u64::try_from(usage.ru_maxrss).unwrap_or(0).saturating_mul(1024),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_statuses() {
        assert_eq!(WaitStatus::of_raw(0), Some(WaitStatus::Code(0)));
        assert_eq!(WaitStatus::of_raw(0xff00), Some(WaitStatus::Code(255)));
        assert_eq!(WaitStatus::of_raw(15), Some(WaitStatus::Signal(15)));
        assert_eq!(WaitStatus::of_raw(64), Some(WaitStatus::Signal(64)));
        assert_eq!(WaitStatus::of_raw(0x80 | 6), Some(WaitStatus::Signal(6)), "with a core");
        assert_eq!(WaitStatus::of_raw(0x137f), None, "stopped");
        assert_eq!(WaitStatus::of_raw(0xffff), None, "continued");
    }
}
