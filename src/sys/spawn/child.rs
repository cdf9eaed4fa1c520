//! What runs between fork and exec.
//!
//! The parent may have a second thread (the log writer), which may have held any lock at the moment of the
//! fork. So this file calls nothing but system calls, never allocates, never panics, and reads only what was
//! [`Prepared`]. Where libc's wrapper does more than the call (setuid(2) asks every thread of glibc to
//! follow), the call is made bare.
//!
//! The order matters:
//! 1. session or group, and the terminal while SIGTTOU is still blocked;
//! 2. dispositions and mask: a child of a shell's `&` has INT and QUIT ignored, and every Rust program has
//!    PIPE ignored; PHP's workers would never end on QUIT;
//! 3. descriptors: all closed on exec, then those that the child gets (dup2 clears the mark);
//! 4. umask and limits, which may need root; then groups, group and user, in this order, as each needs the
//!    next's rights;
//! 5. the death signal, which setuid(2) would clear;
//! 6. the directory, with the user's own rights: root may not enter it (NFS), and must not enter what the
//!    user may not.
#![expect(unsafe_code, reason = "system calls between fork and exec")]

use super::Session;
use super::fault::{Stage, code, record};
use super::prepare::{Ids, Prepared};
use crate::sys::fd::close_range_cloexec;
use std::ptr;

/// The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, no mask. Larger than any 64-bit
/// architecture's.
static DEFAULT_ACTION: [u64; 8] = [0; 8];
/// Size of the kernel's signal mask, not of libc's.
const MASK_SIZE: usize = 8;
const LAST_SIGNAL: libc::c_int = 64;

/// Becomes the program, or reports why not and exits.
pub(super) fn run(prepared: &Prepared) -> ! {
    let (stage, errno) = match set_up(prepared) {
        Ok(()) => (Stage::Execute, execute(prepared)),
        Err(fault) => fault,
    };
    // SAFETY: getpid(2), write(2) from a local array, _exit(2): all async-signal-safe. The pipe is not
    // blocking, so the write cannot hang; if it is full the exit code still tells.
    unsafe {
        let record = record(libc::getpid(), stage, errno);
        libc::write(prepared.fault, record.as_ptr().cast(), record.len());
        libc::_exit(libc::c_int::from(code(stage, errno)))
    }
}

fn set_up(prepared: &Prepared) -> Result<(), (Stage, i32)> {
    own_session(prepared)?;
    default_signals();
    descriptors(prepared)?;
    if let Some(mask) = prepared.umask {
        // SAFETY: umask(2) takes a number and cannot fail.
        unsafe { libc::umask(mask) };
    }
    if let Some(limit) = &prepared.open_files {
        // SAFETY: `limit` is valid for reading.
        try_call(Stage::OpenFiles, unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, ptr::from_ref(limit)) })?;
    }
    if let Some(ids) = &prepared.ids {
        take_ids(ids)?;
    }
    if let Some(signal) = prepared.death_signal {
        die_with_parent(prepared.parent, signal)?;
    }
    if let Some(dir) = &prepared.dir {
        // SAFETY: `dir` is a string with its NUL.
        try_call(Stage::Directory, unsafe { libc::chdir(dir.as_ptr()) })?;
    }
    Ok(())
}

fn own_session(prepared: &Prepared) -> Result<(), (Stage, i32)> {
    // SAFETY: three system calls; the ioctl reads one number.
    unsafe {
        match prepared.session {
            Session::New => try_call(Stage::Session, libc::setsid()),
            Session::Inherit => Ok(()),
            Session::Foreground => {
                try_call(Stage::Session, libc::setpgid(0, 0))?;
                if prepared.take_terminal {
                    // Every signal is blocked, SIGTTOU too, so a background group may do this: tcsetpgrp(3).
                    let group = libc::getpid();
                    libc::ioctl(0, libc::TIOCSPGRP, ptr::from_ref(&group));
                }
                Ok(())
            }
        }
    }
}

/// Dispositions first: an unblocked signal must not find init's handlers.
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        // SAFETY: reads the static, which is as large as the kernel's structure. Fails for KILL and STOP
        // alone, which have no other disposition. Not libc's sigaction, which refuses the two that it keeps
        // for threads.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                ptr::from_ref(&DEFAULT_ACTION),
                ptr::null::<u64>(),
                MASK_SIZE,
            )
        };
    }
    set_mask(0);
}

/// Sets this thread's mask, a bit for each signal; returns the former one. Not libc's, which leaves out the
/// two signals that it keeps for threads, and so would let its handlers for them run in the child.
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut former = 0_u64;
    // SAFETY: both masks have the size that is told. It cannot fail: all arguments are valid.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            ptr::from_ref(&mask),
            ptr::from_mut(&mut former),
            MASK_SIZE,
        )
    };
    former
}

fn descriptors(prepared: &Prepared) -> Result<(), (Stage, i32)> {
    if prepared.close_inherited {
        // Fails before Linux 5.11; then what init closed on exec at its own start has to do.
        let _ = close_range_cloexec();
    }
    for (from, to) in &prepared.moves {
        // SAFETY: both are numbers. `from` is open and never equal to `to`, so the copy has no CLOEXEC.
        try_call(Stage::Descriptors, unsafe { libc::dup2(*from, *to) })?;
    }
    Ok(())
}

fn take_ids(ids: &Ids) -> Result<(), (Stage, i32)> {
    // SAFETY: the list of groups is valid for its length; the rest are numbers.
    unsafe {
        try_bare(Stage::Groups, libc::syscall(libc::SYS_setgroups, ids.groups.len(), ids.groups.as_ptr()))?;
        try_bare(Stage::Group, libc::syscall(libc::SYS_setresgid, ids.gid, ids.gid, ids.gid))?;
        try_bare(Stage::User, libc::syscall(libc::SYS_setresuid, ids.uid, ids.uid, ids.uid))
    }
}

fn die_with_parent(parent: libc::pid_t, signal: libc::c_int) -> Result<(), (Stage, i32)> {
    // SAFETY: system calls with numbers.
    unsafe {
        try_call(Stage::DeathSignal, libc::prctl(libc::PR_SET_PDEATHSIG, signal, 0, 0, 0))?;
        if libc::getppid() != parent {
            // It died before it could be asked to tell, and nobody is left to report to.
            libc::_exit(1);
        }
    }
    Ok(())
}

/// Tries the candidates as execvp(3) does. Returns the error that says most.
fn execute(prepared: &Prepared) -> i32 {
    let mut error = libc::ENOENT;
    for program in &prepared.programs {
        // SAFETY: all three are what execve(2) wants: a string with its NUL, and two arrays that end with
        // null.
        unsafe { libc::execve(program.as_ptr(), prepared.argv.as_ptr(), prepared.envp.as_ptr()) };
        match errno() {
            libc::ENOENT | libc::ENOTDIR => {}
            libc::EACCES => error = libc::EACCES,
            other => return other,
        }
    }
    error
}

fn try_call(stage: Stage, result: libc::c_int) -> Result<(), (Stage, i32)> {
    if result == -1 { Err((stage, errno())) } else { Ok(()) }
}

fn try_bare(stage: Stage, result: libc::c_long) -> Result<(), (Stage, i32)> {
    if result == -1 { Err((stage, errno())) } else { Ok(()) }
}

/// The thread's errno; io::Error holds the number alone here, without memory.
fn errno() -> i32 {
    std::io::Error::last_os_error().raw_os_error().unwrap_or(0)
}
