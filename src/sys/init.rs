//! What a process does once to be an init.
//!
//! What it does not touch: the umask and stdin, stdout and stderr, which a one-off command gets as they came
//! (Rust has opened /dev/null in place of closed ones by now); and SIGPIPE, which Rust ignores from the
//! start: a write to a closed pipe must be an error for init, and every child gets the default back
//! ([`super::spawn`]).
#![expect(unsafe_code, reason = "signal(2), setenv(3)")]

use super::{Pid, errno_words, fd, kernel};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, Signal, signal};

/// Is this process pid 1 of its namespace?
pub fn is_pid1() -> bool {
    Pid::current().raw() == 1
}

/// What [`become_init`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Became {
    pub pid1: bool,
    /// Orphans come to this process. False only where [`warnings`](Self::warnings) says so.
    pub reaps_orphans: bool,
    /// The soft limit of open files that it had, for its children. `None`: it has not been changed.
    pub open_files: Option<u64>,
    /// Whole sentences without a full stop, for the log: what the kernel refused, and what that means.
    pub warnings: Vec<String>,
}

/// Call once, at the start of main, before there is a second thread or a child. Nothing in it is fatal.
///
/// - Orphans are reparented to this process even if it is not pid 1 (`initProcessEnabled`, `pidMode: task`).
/// - No core dump, for they hold secrets: soft limit 0, which children inherit and may raise again.
/// - Not dumpable: other processes of the same user may neither trace it nor read /proc/PID/environ and mem.
///   Its own /proc/self stays usable: the kernel lets a process into its own /proc/self/fd (fs/proc/fd.c,
///   `proc_fd_permission`) and follow /proc/self/exe whatever the flag says. An exec makes children dumpable
///   again.
/// - Of all signals SIGTTOU alone is blocked, so that a log line from a background group of a terminal with `stty
///   tostop` does not stop init. What the parent had blocked is not: a mask survives exec, and with CHLD or TERM
///   in it init would never hear of an end or a stop. Threads made later inherit the mask; children do not.
/// - SEGV and BUS are not caught. Rust does so to tell of a stack that overflowed, on a stack of 8 KiB of its own: one
///   that is sent with a few other signals overflows that, and the kernel then kills even pid 1, which it protects from
///   whatever it does not catch.
/// - CHLD is not ignored, which a parent may have left so: the kernel would reap children by itself and tell nobody.
/// - The soft limit of open files is raised: the pipes of 500 processes use up the usual 1024. Children must get the old
///   one back, for select(2) knows no descriptor beyond it, and some daemons close all that there could be.
/// - With `close_inherited`, descriptors from 3 up that came with the process are closed in every child.
pub fn become_init(close_inherited: bool) -> Became {
    let pid1 = is_pid1();
    let open_files = raise_open_files();
    let mut became = Became { pid1, reaps_orphans: true, open_files, warnings: Vec::new() };
    if !pid1 && let Err(errno) = prctl::set_child_subreaper(true) {
        became.reaps_orphans = false;
        became.warn("cannot become the reaper of orphans, so some may be left behind", errno as i32);
    }
    if let Err(errno) = forbid_core() {
        became.warn("cannot forbid core dumps, which would hold secrets", errno as i32);
    }
    if let Err(errno) = prctl::set_dumpable(false) {
        became.warn("cannot hide init's memory from other processes of its user", errno as i32);
    }
    let mut ttou = SigSet::empty();
    ttou.add(Signal::SIGTTOU);
    if let Err(errno) = ttou.thread_set_mask() {
        became.warn("cannot set the mask of signals", errno as i32);
    }
    for default in [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGCHLD] {
        // SAFETY: the default has no handler that could be unsound. It cannot fail: all of them may be set.
        let _ = unsafe { signal(default, SigHandler::SigDfl) };
    }
    if close_inherited && let Err(error) = fd::close_all_on_exec() {
        let errno = error.raw_os_error().unwrap_or_default();
        became.warn("cannot keep inherited descriptors from children", errno);
    }
    became
}

/// For every command, first of all: memory and environment hold what no other process of the same user is to read, and
/// exec has made the process dumpable, unless it may not read its own program (fs/exec.c, `would_dump`): hence the
/// mode 0711 of the distributed binary. A refusal takes nothing from the command but this; [`become_init`] warns of it.
pub fn keep_secrets() {
    let _ = prctl::set_dumpable(false);
    let _ = forbid_core();
}

/// Sets variables of this process, for libraries that look nowhere else, such as the AWS SDK for profiles. Unlike the
/// environment of an exec these are not in /proc/PID/environ. Does nothing and returns `false` once there is a second
/// thread, since libc gives no lock to those that read the environment.
pub fn adopt_environment<'a>(vars: impl Iterator<Item = (&'a str, &'a str)>) -> bool {
    // Nobody else can start a thread between the look and the change: this is the only one.
    let alone = kernel::list("/proc/self/task").is_ok_and(|tasks| tasks.len() == 1);
    let settable =
        |name: &str, value: &str| !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
    for (name, value) in vars.filter(|(name, value)| alone && settable(name, value)) {
        #[expect(
            clippy::disallowed_methods,
            reason = "the fetch child has no other way to tell its libraries"
        )]
        // SAFETY: there is no other thread that could read or write the environment meanwhile. The name and the value are
        // ones that setenv(3) takes.
        unsafe {
            std::env::set_var(name, value);
        }
    }
    alone
}

fn forbid_core() -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_CORE)?;
    setrlimit(Resource::RLIMIT_CORE, 0, hard)
}

/// More than any container has processes for.
const OPEN_FILES: u64 = 65_536;

/// The limit before. Nothing is lost where the system refuses: `None`.
fn raise_open_files() -> Option<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    let wanted = hard.min(OPEN_FILES);
    (soft < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, hard).is_ok()).then_some(soft)
}

impl Became {
    fn warn(&mut self, what: &str, errno: i32) {
        self.warnings.push(format!("{what}: {}", errno_words(errno)));
    }
}
