//! One pass over /proc: which processes descend from which.
//!
//! A descendant that called setsid(2) (PHP's `proc_open` with `setsid`, daemons) is out of its service's
//! group, so a signal to the group does not reach it; the tree of parents still does. It does so only while
//! every parent between lives: an orphan's parent is init. So walk before a stop signal is sent, and
//! remember.
//!
//! A pid may be used again as soon as its process is reaped, by whoever is its parent. [`signal`] therefore
//! checks the start time, with a pidfd held, before it signals.
#![expect(unsafe_code, reason = "pidfd_open(2) and pidfd_send_signal(2)")]

use super::group::{self, Sent};
use super::kernel;
use super::{Pid, check};
use crate::config::plan::Signal;
use std::cell::OnceCell;
use std::collections::{BTreeMap, HashSet};
use std::io::{self, Read as _};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// One process at the time of the walk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: Pid,
    /// 0 for the parent outside this PID namespace.
    pub parent: i32,
    /// 0 for a group outside this PID namespace.
    pub group: i32,
    /// 0 for a session outside this PID namespace.
    pub session: i32,
    /// Clock ticks after boot; tells two processes with one pid apart.
    pub start_time: u64,
    /// At most 15 bytes, as the kernel keeps it.
    pub comm: String,
    /// It has ended, with all its threads, and its parent has not reaped it.
    pub zombie: bool,
}

/// All processes that could be seen, at one time (roughly: the walk takes a few microseconds for each).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// By pid.
    processes: Vec<Process>,
}

impl Snapshot {
    /// Walks /proc. `Err` when there is none, or one of another PID namespace: then nothing can be told, and
    /// a signal to the group is all that can be done.
    pub fn take() -> io::Result<Self> {
        Self::take_but(&HashSet::new())
    }

    fn take_but(known: &HashSet<Pid>) -> io::Result<Self> {
        let own = std::fs::read_link("/proc/self")?;
        if own.as_os_str() != Pid::current().to_string().as_str() {
            return Err(io::Error::other("/proc is of another PID namespace"));
        }
        let mut processes = Vec::new();
        for name in kernel::list("/proc")? {
            let pid = name.to_str().and_then(|name| name.parse().ok()).and_then(Pid::new);
            let pid = pid.filter(|pid| !known.contains(pid));
            // One that ends during the walk is no error.
            processes.extend(pid.and_then(|pid| read(pid).ok().flatten()));
        }
        processes.sort_by_key(|process: &Process| process.pid);
        Ok(Self { processes })
    }

    /// Every process, by pid.
    pub fn processes(&self) -> &[Process] {
        &self.processes
    }

    /// Children of `root`, their children and so on, without `root` itself, zombies included. By generation.
    pub fn descendants(&self, root: Pid) -> Vec<Process> {
        self.below(&HashSet::from([root]))
    }

    fn below(&self, roots: &HashSet<Pid>) -> Vec<Process> {
        let mut children: BTreeMap<i32, Vec<&Process>> = BTreeMap::new();
        for process in &self.processes {
            children.entry(process.parent).or_default().push(process);
        }
        let mut found: Vec<Process> = Vec::new();
        let mut generation: Vec<i32> = roots.iter().map(|root| root.raw()).collect();
        // Every process has one parent, and is taken out with its siblings: this ends even if a walk saw a
        // circle.
        while !generation.is_empty() {
            let next: Vec<&Process> =
                generation.iter().filter_map(|pid| children.remove(pid)).flatten().collect();
            generation = next.iter().map(|process| process.pid.raw()).collect();
            found.extend(next.into_iter().filter(|process| !roots.contains(&process.pid)).cloned());
        }
        found
    }

    /// Those that are in this process group.
    pub fn of_group(&self, group: Pid) -> impl Iterator<Item = &Process> {
        self.processes.iter().filter(move |process| process.group == group.raw())
    }
}

/// Descendants of `root` in a fresh walk; see [`Snapshot::descendants`].
pub fn descendants(root: Pid) -> io::Result<Vec<Process>> {
    Ok(Snapshot::take()?.descendants(root))
}

/// Descendants of this process in a fresh walk, without its children that are `known`. Nothing of those is read: when it reaps
/// one, the kernel forgets what was looked up of it in /proc, which takes longer than to read it.
pub fn descendants_but(known: HashSet<Pid>) -> io::Result<Vec<Process>> {
    let snapshot = Snapshot::take_but(&known)?;
    let mut roots = known;
    roots.insert(Pid::current());
    Ok(snapshot.below(&roots))
}

/// A walk that is made when it is first needed, and at most once.
#[derive(Debug, Default)]
pub struct Walk(OnceCell<Option<Snapshot>>);

impl Walk {
    /// Some process of the group lives. Zombies do not: nothing of them is left but the status that a parent outside the group
    /// has not taken, which SIGKILL does not change. True where /proc tells nothing.
    pub fn group_lives(&self, leader: Pid) -> bool {
        if !group::group_exists(leader).unwrap_or(false) {
            return false;
        }
        let snapshot = self.0.get_or_init(|| Snapshot::take().ok()).as_ref();
        snapshot.is_none_or(|snapshot| snapshot.of_group(leader).any(|process| !process.zombie))
    }
}

/// The first thread of this process has a child that is not `known`. True as well where that cannot be found out, or there
/// are too many to be looked through.
pub fn has_child_but(known: impl Fn(Pid) -> bool) -> bool {
    let own = Pid::current();
    let Ok(file) = kernel::open(format!("/proc/{own}/task/{own}/children")) else { return true };
    let mut list = String::new();
    if file.take(MOST_CHILDREN).read_to_string(&mut list).is_err() {
        return true;
    }
    // What is cut off in the middle of a number is not known either.
    u64::try_from(list.len()).is_ok_and(|length| length >= MOST_CHILDREN)
        || list.split_ascii_whitespace().filter_map(|pid| Pid::new(pid.parse().ok()?)).any(|pid| !known(pid))
}

/// Bytes of a list of children.
const MOST_CHILDREN: u64 = 1 << 16;

/// Some process, or a thread of one, has this number.
pub fn exists(pid: Pid) -> bool {
    matches!(read(pid), Ok(Some(_)))
}

/// `process` is still the same one: not reaped, its pid not used again. A zombie is.
///
/// # Errors
/// It cannot be told, such as for want of a descriptor.
pub fn is_same(process: &Process) -> io::Result<bool> {
    now(process).map(|now| now.is_some())
}

/// `process` is still the same one, and has not ended.
pub fn lives(process: &Process) -> bool {
    now(process).is_ok_and(|now| now.is_some_and(|now| !now.zombie))
}

/// `process` as it is now; `None` when it has been reaped.
fn now(process: &Process) -> io::Result<Option<Process>> {
    match read(process.pid) {
        Ok(now) => Ok(now.filter(|now| now.start_time == process.start_time)),
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ESRCH)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Signals a process of an earlier walk, unless its pid belongs to another by now.
pub fn signal(process: &Process, signal: Signal) -> io::Result<Sent> {
    if process.pid.raw() == 1 || process.pid == Pid::current() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "refused to signal init itself"));
    }
    if let Ok(sent) = signal_by_pidfd(process, signal) {
        return Ok(sent);
    }
    // Linux before 5.3, no descriptor left, or a seccomp profile that refuses one of the two calls: pidfd_open(2) may be
    // allowed without pidfd_send_signal(2). What is lost is the moment between check and signal. Where the permission is
    // missing, kill(2) says so again.
    if is_same(process)? { group::signal(process.pid, signal) } else { Ok(Sent::Nobody) }
}

/// The pidfd is held while the start time is read, so what it names is what was checked.
fn signal_by_pidfd(process: &Process, signal: Signal) -> io::Result<Sent> {
    match open(process.pid)? {
        Some(pidfd) if is_same(process)? => send(&pidfd, signal),
        _ => Ok(Sent::Nobody),
    }
}

/// Sends a stop signal, then CONT, as [`signal()`] does.
pub fn stop(process: &Process, stop: Signal) -> io::Result<Sent> {
    group::then_cont(stop, |sent| signal(process, sent))
}

/// Whether the process is `root`, is of its session or descends from it. `None`: there is no such process any more.
pub fn belongs(pid: Pid, root: Pid) -> Option<bool> {
    let mut at = read(pid).ok().flatten()?;
    // A walk while processes come and go could turn in a circle.
    for _ in 0..MOST_GENERATIONS {
        if at.pid == root || at.session == root.raw() {
            return Some(true);
        }
        let parent = Pid::new(at.parent).filter(|parent| *parent != Pid::current());
        let Some(above) = parent.and_then(|parent| read(parent).ok().flatten()) else { break };
        at = above;
    }
    Some(false)
}

const MOST_GENERATIONS: usize = 64;

/// The process is stopped (SIGSTOP), or all that descend from it are.
pub fn is_stopped(root: Pid) -> bool {
    let stopped = |pid: Pid| {
        let mut line = [0; LINE];
        let line = stat_line(pid, &mut line).unwrap_or_default();
        // Behind the last parenthesis, as in `parse`.
        let state = line.rsplit(|byte| *byte == b')').next().and_then(|rest| rest.get(1).copied());
        state == Some(b'T')
    };
    if stopped(root) {
        return true;
    }
    let below: Vec<Process> =
        descendants(root).unwrap_or_default().into_iter().filter(|process| !process.zombie).collect();
    !below.is_empty() && below.iter().all(|process| stopped(process.pid))
}

/// KILLs every one that is still there. Returns how many were. They may have forked meanwhile: walk again
/// until nobody is left.
pub fn kill_all(processes: &[Process]) -> usize {
    let living = processes.iter().filter(|process| !process.zombie);
    living.filter(|process| matches!(signal(process, Signal::KILL), Ok(Sent::Delivered))).count()
}

/// `Ok(None)`: there is no such process.
fn open(pid: Pid) -> io::Result<Option<OwnedFd>> {
    // SAFETY: two numbers. The descriptor is closed on exec by itself.
    let result = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.raw(), 0) };
    match check(i32::try_from(result).unwrap_or(-1)) {
        // SAFETY: the kernel has just made it, so it is open and nobody else owns it.
        Ok(raw) => Ok(Some(unsafe { OwnedFd::from_raw_fd(raw) })),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(None),
        Err(error) => Err(error),
    }
}

fn send(pidfd: &OwnedFd, signal: Signal) -> io::Result<Sent> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a descriptor that is open, a number, no siginfo, no flags.
    let result =
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd.as_raw_fd(), signal.number(), no_info, 0) };
    match check(i32::try_from(result).unwrap_or(-1)) {
        Ok(_) => Ok(Sent::Delivered),
        Err(error) if error.raw_os_error() == Some(libc::ESRCH) => Ok(Sent::Nobody),
        Err(error) => Err(error),
    }
}

/// `Ok(None)`: something that is no stat line.
fn read(pid: Pid) -> io::Result<Option<Process>> {
    Ok(parse(stat_line(pid, &mut [0; LINE])?))
}

/// Longer than any line of /proc/PID/stat.
const LINE: usize = 2048;

/// The kernel gives all of it at once; `read_to_end`, told a size of 0, asks six times.
fn stat_line(pid: Pid, buffer: &mut [u8; LINE]) -> io::Result<&[u8]> {
    let length = kernel::open(format!("/proc/{pid}/stat"))?.read(buffer)?;
    Ok(buffer.get(..length).unwrap_or_default())
}

/// One line of /proc/PID/stat: `pid (comm) state ppid pgrp session …`, proc(5). comm may hold spaces,
/// parentheses and line ends, so it ends at the *last* parenthesis.
fn parse(line: &[u8]) -> Option<Process> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let pid = std::str::from_utf8(line.get(..open)?).ok()?.trim().parse().ok()?;
    let comm = String::from_utf8_lossy(line.get(open.checked_add(1)?..close)?).into_owned();
    let rest = std::str::from_utf8(line.get(close.checked_add(1)?..)?).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = fields.next()?;
    let (parent, group, session) = (fields.next()?, fields.next()?, fields.next()?);
    // Field 20 of the line. One whose first thread has ended while others go on is Z as well, and lives.
    let threads: u32 = fields.nth(13)?.parse().ok()?;
    Some(Process {
        pid: Pid::new(pid)?,
        parent: parent.parse().ok()?,
        group: group.parse().ok()?,
        session: session.parse().ok()?,
        // Field 22.
        start_time: fields.nth(1)?.parse().ok()?,
        comm,
        // X is a process that is being reaped at the moment.
        zombie: matches!(state, "X" | "x") || (state == "Z" && threads <= 1),
    })
}

#[cfg(test)]
mod tests;
