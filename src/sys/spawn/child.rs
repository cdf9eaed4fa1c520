//! What runs between clone and exec.
//!
//! The child runs in init's own memory, on a stack of its own, while init goes on: so this file makes nothing but bare
//! system calls ([`super::call`]), never allocates, never panics, takes no lock, and reads only what was [`Prepared`].
//! Whatever libc keeps for a thread (errno above all) is init's here.
//!
//! The order matters:
//! 1. where the kernel is to tell that this memory is no longer used;
//! 2. session or group, and the terminal while SIGTTOU is still blocked;
//! 3. dispositions and mask: a child of a shell's `&` has INT and QUIT ignored, and every Rust program has
//!    PIPE ignored; PHP's workers would never end on QUIT;
//! 4. descriptors: all closed on exec, then those that the child gets (dup3 clears the mark);
//! 5. umask and limits, which may need root; then groups, group and user, in this order, as each needs the
//!    next's rights;
//! 6. the death signal, which setuid(2) would clear;
//! 7. the directory, with the user's own rights: root may not enter it (NFS), and must not enter what the
//!    user may not.
#![expect(unsafe_code, reason = "system calls between clone and exec")]

use super::Session;
use super::call::{Answer, call};
use super::fault::{Stage, code, record};
use super::prepare::{Ids, Prepared};
use std::ptr;
use std::sync::atomic::AtomicU32;

/// The kernel's `struct sigaction`, all zero: SIG_DFL, no flags, no mask. Larger than any 64-bit
/// architecture's.
static DEFAULT_ACTION: [u64; 8] = [0; 8];
/// Size of the kernel's signal mask, not of libc's.
const MASK_SIZE: usize = 8;
const LAST_SIGNAL: usize = 64;

/// Becomes the program, or reports why not and exits. `shares`: set to zero by the kernel when this process no longer uses
/// init's memory.
pub(super) fn run(prepared: &Prepared, shares: &AtomicU32) -> ! {
    // SAFETY: the word outlives the child's use of this memory, which is what it tells of: set_tid_address(2).
    let _ = unsafe { call(libc::SYS_set_tid_address, [shares.as_ptr().expose_provenance(), 0, 0, 0, 0]) };
    let (stage, errno) = match set_up(prepared) {
        Ok(()) => (Stage::Execute, execute(prepared)),
        Err(fault) => fault,
    };
    let record = record(pid(), stage, errno);
    // SAFETY: write(2) from a local array, exit_group(2). The pipe is not blocking, so the write cannot hang; if it is full
    // the exit code still tells.
    unsafe {
        let _ = call(
            libc::SYS_write,
            [word(prepared.fault), record.as_ptr().expose_provenance(), record.len(), 0, 0],
        );
        loop {
            let _ = call(libc::SYS_exit_group, [usize::from(code(stage, errno)), 0, 0, 0, 0]);
        }
    }
}

type Outcome = Result<(), (Stage, i32)>;

fn set_up(prepared: &Prepared) -> Outcome {
    own_session(prepared)?;
    default_signals();
    descriptors(prepared)?;
    if let Some(mask) = prepared.umask {
        // SAFETY: umask(2) takes a number and cannot fail.
        let _ = unsafe { call(libc::SYS_umask, [mask as usize, 0, 0, 0, 0]) };
    }
    if let Some(limit) = &prepared.open_files {
        let arguments = [0, libc::RLIMIT_NOFILE as usize, ptr::from_ref(limit).expose_provenance(), 0, 0];
        // SAFETY: `limit` is valid for reading; the former one is not asked for.
        at(Stage::OpenFiles, unsafe { call(libc::SYS_prlimit64, arguments) })?;
    }
    if let Some(ids) = &prepared.ids {
        take_ids(ids)?;
    }
    if let Some(signal) = prepared.death_signal {
        die_with_parent(prepared.parent, signal)?;
    }
    if let Some(dir) = &prepared.dir {
        // SAFETY: `dir` is a string with its NUL.
        at(Stage::Directory, unsafe {
            call(libc::SYS_chdir, [dir.as_ptr().expose_provenance(), 0, 0, 0, 0])
        })?;
    }
    Ok(())
}

fn own_session(prepared: &Prepared) -> Outcome {
    // SAFETY: system calls with numbers; the ioctl reads one number.
    unsafe {
        match prepared.session {
            Session::New => at(Stage::Session, call(libc::SYS_setsid, [0; 5])),
            Session::Inherit => Ok(()),
            Session::Foreground => {
                at(Stage::Session, call(libc::SYS_setpgid, [0; 5]))?;
                if prepared.take_terminal {
                    // Every signal is blocked, SIGTTOU too, so a background group may do this: tcsetpgrp(3).
                    let group = pid();
                    let arguments =
                        [0, libc::TIOCSPGRP as usize, ptr::from_ref(&group).expose_provenance(), 0, 0];
                    let _ = call(libc::SYS_ioctl, arguments);
                }
                Ok(())
            }
        }
    }
}

/// Dispositions first: an unblocked signal must not find init's handlers.
fn default_signals() {
    for signal in 1..=LAST_SIGNAL {
        let arguments = [signal, DEFAULT_ACTION.as_ptr().expose_provenance(), 0, MASK_SIZE, 0];
        // SAFETY: reads the static, which is as large as the kernel's structure. Fails for KILL and STOP alone, which have no
        // other disposition.
        let _ = unsafe { call(libc::SYS_rt_sigaction, arguments) };
    }
    set_mask(0);
}

/// Sets this thread's mask, a bit for each signal; returns the former one. Not libc's, which leaves out the
/// two signals that it keeps for threads, and so would let its handlers for them run in the child.
pub(super) fn set_mask(mask: u64) -> u64 {
    let mut former = 0_u64;
    let (new, old) =
        (ptr::from_ref(&mask).expose_provenance(), ptr::from_mut(&mut former).expose_provenance());
    // SAFETY: both masks have the size that is told. It cannot fail: all arguments are valid.
    let _ = unsafe { call(libc::SYS_rt_sigprocmask, [word(libc::SIG_SETMASK), new, old, MASK_SIZE, 0]) };
    former
}

fn descriptors(prepared: &Prepared) -> Outcome {
    if prepared.close_inherited {
        let arguments = [3, u32::MAX as usize, libc::CLOSE_RANGE_CLOEXEC as usize, 0, 0];
        // SAFETY: three numbers; descriptors stay open until the exec. Fails before Linux 5.11; then what init closed on
        // exec at its own start has to do.
        let _ = unsafe { call(libc::SYS_close_range, arguments) };
    }
    for (from, to) in &prepared.moves {
        // SAFETY: both are numbers. `from` is open and never equal to `to`, and the copy has no CLOEXEC.
        at(Stage::Descriptors, unsafe { call(libc::SYS_dup3, [word(*from), word(*to), 0, 0, 0]) })?;
    }
    Ok(())
}

fn take_ids(ids: &Ids) -> Outcome {
    let (uid, gid) = (ids.uid as usize, ids.gid as usize);
    // SAFETY: the list of groups is valid for its length; the rest are numbers. The kernel's setresuid changes this process
    // alone.
    unsafe {
        let groups = [ids.groups.len(), ids.groups.as_ptr().expose_provenance(), 0, 0, 0];
        at(Stage::Groups, call(libc::SYS_setgroups, groups))?;
        at(Stage::Group, call(libc::SYS_setresgid, [gid, gid, gid, 0, 0]))?;
        at(Stage::User, call(libc::SYS_setresuid, [uid, uid, uid, 0, 0]))?;
        // With another user the kernel gives the memory, which is init's as well, the mark of fs.suid_dumpable
        // (kernel/cred.c, commit_creds): nobody is to trace or dump what init keeps hidden.
        let _ = call(libc::SYS_prctl, [word(libc::PR_SET_DUMPABLE), ids.dumpable, 0, 0, 0]);
    }
    Ok(())
}

fn die_with_parent(parent: libc::pid_t, signal: libc::c_int) -> Outcome {
    // SAFETY: system calls with numbers.
    unsafe {
        at(Stage::DeathSignal, call(libc::SYS_prctl, [word(libc::PR_SET_PDEATHSIG), word(signal), 0, 0, 0]))?;
        if call(libc::SYS_getppid, [0; 5]) != Ok(word(parent)) {
            // It died before it could be asked to tell, and nobody is left to report to.
            let _ = call(libc::SYS_exit_group, [1, 0, 0, 0, 0]);
        }
    }
    Ok(())
}

/// Tries the candidates as execvp(3) does. Returns the error that says most.
fn execute(prepared: &Prepared) -> i32 {
    let (argv, envp) =
        (prepared.argv.as_ptr().expose_provenance(), prepared.envp.as_ptr().expose_provenance());
    let mut error = libc::ENOENT;
    for program in &prepared.programs {
        // SAFETY: all three are what execve(2) wants: a string with its NUL, and two arrays that end with
        // null.
        match unsafe { call(libc::SYS_execve, [program.as_ptr().expose_provenance(), argv, envp, 0, 0]) } {
            Ok(_) | Err(libc::ENOENT | libc::ENOTDIR) => {}
            Err(libc::EACCES) => error = libc::EACCES,
            Err(other) => return other,
        }
    }
    error
}

fn at(stage: Stage, answer: Answer) -> Outcome {
    match answer {
        Ok(_) => Ok(()),
        Err(errno) => Err((stage, errno)),
    }
}

/// This process, not the one whose memory it uses.
fn pid() -> libc::pid_t {
    // SAFETY: it takes nothing and cannot fail.
    unsafe { call(libc::SYS_getpid, [0; 5]) }.map_or(0, |pid| pid as libc::pid_t)
}

/// A number as a register holds it, with its sign.
fn word(number: libc::c_int) -> usize {
    (number as isize).cast_unsigned()
}
