//! Signals to one process or one process group.
//!
//! What it is not: `kill(-1)`. A PID namespace may be shared (`pidMode: task`, ECS Exec), so "everybody"
//! includes strangers; [`Pid`] and the checks here make it impossible to say. A group of pid 1 is refused
//! too: it is init's own.
#![expect(unsafe_code, reason = "nix's kill has no real-time signals")]

use super::{Pid, check};
use crate::config::plan::Signal;
use std::io;
use std::ops::RangeInclusive;

/// The real-time signals that a process may catch. The first ones belong to the C library's threads: two of them with
/// glibc, three with musl, which refuses a handler for them.
pub fn real_time_signals() -> RangeInclusive<i32> {
    libc::SIGRTMIN()..=libc::SIGRTMAX()
}

/// What became of a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    /// At least one process got it. A zombie counts.
    Delivered,
    /// There is no such process, or no such group.
    Nobody,
}

/// Signals one process. It must not have been reaped yet, or be checked by [`super::proc`]: numbers are used
/// again.
pub fn signal(pid: Pid, signal: Signal) -> io::Result<Sent> {
    if pid.raw() == 1 {
        return Err(refused("pid 1"));
    }
    send(pid.raw(), signal.number())
}

/// Sends a stop signal, then CONT, as [`signal()`] does.
pub fn stop(pid: Pid, stop: Signal) -> io::Result<Sent> {
    then_cont(stop, |sent| signal(pid, sent))
}

/// Sends a stop signal, then CONT, as [`signal_group_of_child`] does.
pub fn stop_group_of_child(child: Pid, stop: Signal) -> io::Result<Sent> {
    then_cont(stop, |sent| signal_group_of_child(child, sent))
}

/// Sends a stop signal, then CONT, as [`signal_group`] does.
pub fn stop_group(leader: Pid, stop: Signal) -> io::Result<Sent> {
    then_cont(stop, |sent| signal_group(leader, sent))
}

/// A process that SIGSTOP or a terminal has stopped keeps every other signal pending until CONT, signal(7); only KILL ends it
/// as it is. So a stop signal without CONT would cost it its chance to clean up.
pub(super) fn then_cont(stop: Signal, send: impl Fn(Signal) -> io::Result<Sent>) -> io::Result<Sent> {
    match send(stop)? {
        Sent::Delivered if stop != Signal::KILL => send(Signal::CONT).map(|_| Sent::Delivered),
        sent => Ok(sent),
    }
}

/// Signals every process of a group. Those that setsid(2) or setpgid(2) took out of it are not reached.
pub fn signal_group(leader: Pid, signal: Signal) -> io::Result<Sent> {
    send(group(leader)?, signal.number())
}

/// Signals the group of a child that has not been reaped yet: as [`signal_group`], but a child that was
/// forked so recently that it has not made its group is signalled alone, and so is not missed.
pub fn signal_group_of_child(child: Pid, signal: Signal) -> io::Result<Sent> {
    match signal_group(child, signal)? {
        Sent::Nobody => send(child.raw(), signal.number()),
        sent @ Sent::Delivered => Ok(sent),
    }
}

/// Some process of the group is there, be it of another user or a zombie.
///
/// After everything of the group that is init's own child has been reaped, what remains lives, or is a zombie
/// whose parent outside the group still has to reap it: [`super::proc::Walk::group_lives`] tells which.
pub fn group_exists(leader: Pid) -> io::Result<bool> {
    Ok(send(group(leader)?, 0)? == Sent::Delivered)
}

fn group(leader: Pid) -> io::Result<i32> {
    if leader.raw() == 1 {
        // -1 would not be "the group of pid 1" but everybody.
        return Err(refused("the group of pid 1"));
    }
    // SAFETY: getpgrp(2) has no arguments and cannot fail.
    if leader.raw() == unsafe { libc::getpgrp() } {
        return Err(refused("init's own group"));
    }
    leader.raw().checked_neg().ok_or_else(|| refused("no group"))
}

fn refused(whom: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("refused to signal {whom}"))
}

fn send(target: i32, signal: i32) -> io::Result<Sent> {
    // SAFETY: kill(2) takes two numbers. `target` is a process (above 1) or a group (below -1), never 0 or
    // -1.
    match check(unsafe { libc::kill(target, signal) }) {
        Ok(_) => Ok(Sent::Delivered),
        Err(error) => match error.raw_os_error() {
            Some(libc::ESRCH) => Ok(Sent::Nobody),
            // Signal 0 asks only whether somebody is there, and EPERM says so: kill(2).
            Some(libc::EPERM) if signal == 0 => Ok(Sent::Delivered),
            _ => Err(error),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn init_and_everybody_are_never_signalled() {
        let one = Pid::new(1).unwrap();
        assert!(signal(one, Signal::TERM).is_err());
        assert!(signal_group(one, Signal::TERM).is_err());
        assert!(signal_group_of_child(one, Signal::TERM).is_err());
        assert!(group_exists(one).is_err());
    }

    #[test]
    fn a_group_that_is_not_there_is_nobody() {
        // Above every kernel's pid_max of 2^22.
        let nobody = Pid::new(i32::MAX).unwrap();
        assert!(!group_exists(nobody).unwrap());
        assert_eq!(signal_group_of_child(nobody, Signal::TERM).unwrap(), Sent::Nobody);
        assert_eq!(signal(nobody, Signal::TERM).unwrap(), Sent::Nobody);
    }
}
