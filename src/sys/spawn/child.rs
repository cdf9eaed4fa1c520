//! The child between fork and exec.
//!
//! init may have a second thread, and fork(2) copies only the one that called it: a lock that the other thread held
//! stays locked in the child for ever. So the child makes async-signal-safe calls only (signal-safety(7)): it does not allocate,
//! takes no lock, does not panic and reads nothing but [`Work`].
//!
//! Until its exec the child has a copy of init's memory, and of the secrets in it. It stays non-dumpable (prctl(2)), so that
//! other processes of its new user can neither trace it nor read /proc/PID/mem.
//!
//! The order matters:
//! 1. session or group, and the terminal while SIGTTOU is still blocked;
//! 2. dispositions and mask: a child of a shell's `&` has INT and QUIT ignored, and every Rust program has
//!    PIPE ignored; PHP's workers would never end on QUIT;
//! 3. the OOM score, which needs the rights of the owner of init's /proc files;
//! 4. descriptors: all closed on exec, then those that the child gets (dup2 clears the flag);
//! 5. umask and limits, which may need root; then groups, group and user, in this order, as each needs the
//!    next's rights;
//! 6. the death signal, which setuid(2) would clear;
//! 7. the directory, with the user's own rights: root may not enter it (NFS), and must not enter what the
//!    user may not.
#![expect(unsafe_code, reason = "fork(2), execve(2) and calls without a safe wrapper")]

use super::Session;
use super::fault::{Stage, code};
use super::inspect::{exists, inspect};
use super::prepare::{Ids, Work};
use super::report::{Found, Kind, Report};
use crate::sys::Pid;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{self, ForkResult};
use std::ffi::CStr;
use std::ptr;

/// The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, no mask. Larger than any 64-bit
/// architecture's.
static DEFAULT_ACTION: [u64; 8] = [0; 8];
/// Size of the kernel's signal mask, not of libc's.
const MASK_SIZE: usize = 8;
const LAST_SIGNAL: libc::c_int = 64;

type Outcome = Result<(), (Stage, Errno)>;

/// Forks. The child becomes the prepared program, or reports why it cannot and exits.
///
/// Every signal must be blocked: init's handlers write to a pipe that the child shares with init, and would report signals
/// that init never got.
pub(super) fn fork(work: &Work) -> nix::Result<Pid> {
    // SAFETY: the child calls nothing but `run`, which is async-signal-safe and does not return.
    match unsafe { unistd::fork() }? {
        ForkResult::Child => run(work),
        // Always above 0.
        ForkResult::Parent { child } => Pid::new(child.as_raw()).ok_or(Errno::ECHILD),
    }
}

fn run(work: &Work) -> ! {
    let (stage, errno, found) = match set_up(work) {
        Ok(()) => {
            let (errno, found) = execute(work);
            (Stage::Execute, errno, found)
        }
        Err((stage, errno)) => (stage, errno, Found::new(0, Kind::Missing)),
    };
    let report = Report { pid: unistd::getpid().as_raw(), stage, errno: errno as i32, found };
    let (record, length) = report.encode();
    // SAFETY: writes a local array, of which `length` bytes are the record. The pipe does not block; if it is full, the exit
    // code still names the kind of failure. _exit(2) runs no handler and flushes no buffer of init's.
    unsafe {
        let _ = libc::write(work.fault, record.as_ptr().cast(), length);
        libc::_exit(i32::from(code(stage, errno as i32)))
    }
}

fn set_up(work: &Work) -> Outcome {
    own_session(work)?;
    default_signals();
    if let Some(score) = &work.oom_score {
        write_oom_score(score);
    }
    descriptors(work)?;
    if let Some(mask) = work.umask {
        let _ = umask(mask);
    }
    if let Some((soft, hard)) = work.open_files {
        at(Stage::OpenFiles, setrlimit(Resource::RLIMIT_NOFILE, soft, hard))?;
    }
    if let Some(ids) = &work.ids {
        take_ids(ids)?;
    }
    if let Some(signal) = work.death_signal {
        at(Stage::DeathSignal, prctl::set_pdeathsig(signal))?;
        if unistd::getppid() != work.parent {
            // init died before the signal was set, and nobody is left to report to.
            // SAFETY: takes a number.
            unsafe { libc::_exit(1) }
        }
    }
    if let Some(dir) = &work.dir {
        at(Stage::Directory, unistd::chdir(dir.as_c_str()))?;
    }
    Ok(())
}

fn own_session(work: &Work) -> Outcome {
    match work.session {
        Session::New => at(Stage::Session, unistd::setsid()),
        Session::Inherit => Ok(()),
        Session::Foreground => {
            let own = unistd::Pid::from_raw(0);
            at(Stage::Session, unistd::setpgid(own, own))?;
            if work.take_terminal {
                // SAFETY: two numbers. Every signal is blocked, SIGTTOU too, so a background group may do this: tcsetpgrp(3).
                let _ = unsafe { libc::tcsetpgrp(0, unistd::getpid().as_raw()) };
            }
            Ok(())
        }
    }
}

/// Dispositions first: an unblocked signal must not find init's handlers.
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: reads the static, which is as large as the kernel's structure. The bare call for the same reason as in
        // `set_mask`. Fails for KILL and STOP, which cannot have another disposition.
        let _ = unsafe {
            let action = DEFAULT_ACTION.as_ptr();
            libc::syscall(libc::SYS_rt_sigaction, signal, action, ptr::null::<u64>(), MASK_SIZE)
        };
    }
    set_mask(0);
}

/// Sets this thread's mask, a bit for each signal; returns the former one. The bare call, because libc's leaves out the
/// signals that it keeps for threads, whose handlers would swallow them in the child.
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut former = 0_u64;
    // SAFETY: both masks have the size that is passed. It cannot fail: all arguments are valid.
    let _ = unsafe {
        let (new, old) = (&raw const mask, &raw mut former);
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, new, old, MASK_SIZE)
    };
    former
}

/// A score that cannot be written is no reason not to run.
fn write_oom_score(score: &CStr) {
    let flags = OFlag::O_WRONLY | OFlag::O_CLOEXEC;
    if let Ok(file) = nix::fcntl::open(c"/proc/self/oom_score_adj", flags, Mode::empty()) {
        let _ = unistd::write(&file, score.to_bytes());
    }
}

fn descriptors(work: &Work) -> Outcome {
    if work.close_inherited {
        // SAFETY: three numbers; descriptors stay open until the exec. Fails before Linux 5.11; then what init closed on
        // exec at its own start has to do.
        let _ = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    }
    for (from, to) in &work.moves {
        // SAFETY: both are numbers. `from` is open and never equal to `to`, and the copy has no CLOEXEC.
        at(Stage::Descriptors, Errno::result(unsafe { libc::dup2(*from, *to) }))?;
    }
    Ok(())
}

fn take_ids(ids: &Ids) -> Outcome {
    at(Stage::Groups, unistd::setgroups(&ids.groups))?;
    at(Stage::Group, unistd::setresgid(ids.gid, ids.gid, ids.gid))?;
    at(Stage::User, unistd::setresuid(ids.uid, ids.uid, ids.uid))?;
    // A change of ids sets the flag to fs.suid_dumpable: kernel/cred.c, commit_creds. The exec makes the program dumpable.
    let _ = prctl::set_dumpable(false);
    Ok(())
}

/// Tries the candidates as execvp(3) does. Returns the error that says most, and what is there.
fn execute(work: &Work) -> (Errno, Found) {
    let mut denied = None;
    for (place, program) in work.programs.iter().enumerate() {
        // SAFETY: all three are what execve(2) wants: a string with its NUL, and two arrays that end with
        // null.
        unsafe { libc::execve(program.as_ptr(), work.argv.as_ptr(), work.envp.as_ptr()) };
        match Errno::last() {
            Errno::ENOENT | Errno::ENOTDIR => {}
            Errno::EACCES => denied = denied.or(Some((place, program))),
            other => return (other, inspect(place, program)),
        }
    }
    // A script whose interpreter is not there is ENOENT as well.
    let there = || work.programs.iter().enumerate().find(|(_, program)| exists(program));
    match denied.map(|file| (Errno::EACCES, file)).or_else(|| Some((Errno::ENOENT, there()?))) {
        Some((errno, (place, program))) => (errno, inspect(place, program)),
        None => (Errno::ENOENT, Found::new(0, Kind::Missing)),
    }
}

fn at<T>(stage: Stage, result: nix::Result<T>) -> Outcome {
    result.map(drop).map_err(|errno| (stage, errno))
}
