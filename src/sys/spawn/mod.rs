//! Starting a program: everything is prepared first, then fork, then a child that makes only async-signal-safe calls.
//!
//! init does not wait for the child's exec, which may hang on a network file system. So a failure is not known when
//! [`Command::spawn`] returns: the child writes it to the one pipe for that, and the reaper ([`super::reap`]) hands it over with
//! the exit.
//!
//! What it is not: a shell. Nothing is expanded, and a script without `#!` is an error, not a `/bin/sh`
//! script.
//!
//! | file | what it is |
//! |---|---|
//! | `mod.rs` | [`Command`] |
//! | `lookup.rs` | the candidates of PATH, and what is wrong with them |
//! | `prepare.rs` | the child's whole work as plain pointers and numbers |
//! | `child.rs` | the fork, and what runs between fork and exec |
//! | `inspect.rs` | what the child finds out about a file that it cannot execute |
//! | `report.rs` | a child's failure, through a pipe |
//! | `fault.rs` | a child's failure, in words |

mod child;
mod fault;
mod inspect;
mod lookup;
mod prepare;
mod report;

pub use fault::{Context, ExecFault, Stage};

use super::oom;
use super::users::Identity;
use super::{Pid, shortage, words};
use crate::config::plan::Signal;
use crate::exit;
use lookup::Wanted;
use prepare::Work;
use report::FaultPipe;
use std::ffi::{CString, OsString};
use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

/// Where a child's stdin comes from.
#[derive(Debug, Default)]
pub enum Stdin {
    /// `/dev/null`.
    #[default]
    Null,
    /// init's own.
    Inherit,
    Fd(OwnedFd),
}

/// Where a child's stdout or stderr goes.
#[derive(Debug, Default)]
pub enum Output {
    /// init's own.
    #[default]
    Inherit,
    Fd(OwnedFd),
}

/// The session and process group of a child.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Session {
    /// A session and group of its own, without a terminal: services.
    #[default]
    New,
    /// A group of its own in init's session. It becomes the terminal's foreground group if stdin is a
    /// terminal whose foreground group is init's: one-off commands.
    Foreground,
    /// init's own.
    Inherit,
}

/// What all starts have in common. Made once.
pub struct Launcher {
    faults: FaultPipe,
    oom_score: Option<CString>,
}

impl Launcher {
    /// # Errors
    /// The system refused a pipe.
    pub fn new() -> io::Result<Self> {
        Ok(Self { faults: FaultPipe::new()?, oom_score: oom::score_of_children() })
    }

    /// The failures that children have reported since the last call.
    pub fn drain_faults(&self) -> Vec<ExecFault> {
        self.faults.drain()
    }
}

/// A program that can be started once. The fields are the whole truth: nothing else is inherited.
#[derive(Default)]
pub struct Command {
    /// The program and its arguments. A program without a slash is looked up in `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The whole environment.
    pub env: Vec<(OsString, OsString)>,
    /// Where it runs, entered with the rights of `identity`. Empty: where init is.
    pub dir: PathBuf,
    /// `None`: as init. `Some` needs root (or CAP_SETUID and CAP_SETGID).
    pub identity: Option<Identity>,
    pub stdin: Stdin,
    pub stdout: Output,
    pub stderr: Output,
    pub session: Session,
    pub umask: Option<u32>,
    /// Soft limit of open files. The hard limit is raised to it if it is lower, which needs CAP_SYS_RESOURCE.
    pub open_files: Option<u64>,
    /// Further descriptors, and the number of each in the child, 3 or above.
    pub extra_fds: Vec<(OwnedFd, RawFd)>,
    /// Descriptors that init itself inherited (3 and above) are kept open, as tini does. Never init's own.
    pub keep_inherited: bool,
    /// Sent to the child when init dies.
    pub death_signal: Option<Signal>,
}

impl Command {
    /// This program with these arguments, in a session of its own, with an empty environment and stdin at its
    /// end.
    pub fn new<I>(argv: I) -> Self
    where
        I: IntoIterator,
        I::Item: Into<OsString>,
    {
        Self { argv: argv.into_iter().map(Into::into).collect(), ..Self::default() }
    }

    /// Looks for the program without starting it. Reads from file systems, which may hang.
    ///
    /// # Errors
    /// There is no program, nor will the child find one.
    pub fn look_up(&self) -> Result<(), SpawnError> {
        Wanted::of(self).look_up()
    }

    /// What [`ExecFault::describe`] needs to know, to be kept when the command itself is gone.
    pub fn context(&self) -> Context {
        Context { wanted: Wanted::of(self), identity: self.identity.clone(), open_files: self.open_files }
    }

    /// Makes everything that the child needs.
    ///
    /// # Errors
    /// [`SpawnError`]; nothing came of it.
    pub fn prepare(self, launcher: &Launcher) -> Result<Prepared, SpawnError> {
        Ok(Prepared { work: self.work(launcher)?, command: self })
    }

    /// Prepares and forks at once, for a command that is started again later.
    ///
    /// # Errors
    /// As [`Command::prepare`] and [`Prepared::fork`].
    pub fn spawn(&self, launcher: &Launcher) -> Result<Pid, SpawnError> {
        self.fork(&self.work(launcher)?)
    }

    fn work(&self, launcher: &Launcher) -> Result<Work, SpawnError> {
        launcher.faults.receive();
        Work::new(self, launcher)
    }

    fn fork(&self, work: &Work) -> Result<Pid, SpawnError> {
        let mask = child::set_mask(u64::MAX);
        let forked = child::fork(work);
        if let (Session::Foreground, Ok(pid)) = (self.session, &forked) {
            // Also here, so that a signal to the group cannot come too early. One of the two wins.
            let pid = nix::unistd::Pid::from_raw(pid.raw());
            let _ = nix::unistd::setpgid(pid, pid);
        }
        child::set_mask(mask);
        forked.map_err(|errno| self.refused("fork", errno.into()))
    }

    fn program(&self) -> String {
        self.argv.first().map(|program| program.to_string_lossy().into_owned()).unwrap_or_default()
    }

    fn refused(&self, step: &'static str, source: io::Error) -> SpawnError {
        SpawnError::Refused { program: self.program(), step, source }
    }
}

/// A command of which only the fork is left to do. Several are prepared first and then forked in a row: every page that init
/// writes to after a fork is copied, so what it writes between two forks costs more than the forks.
pub struct Prepared {
    command: Command,
    work: Work,
}

impl Prepared {
    /// Returns when the child exists, which may not have executed its program by then.
    ///
    /// Fork and reap on one thread, so that the pid is known before it can be reaped.
    ///
    /// # Errors
    /// [`SpawnError`]; there is no child then.
    pub fn fork(&self) -> Result<Pid, SpawnError> {
        self.command.fork(&self.work)
    }

    /// As [`Command::context`].
    pub fn context(&self) -> Context {
        self.command.context()
    }
}

/// Without arguments and environment, which may hold what no log should.
impl fmt::Debug for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Command")
            .field("program", &self.program())
            .field("dir", &self.dir)
            .field("identity", &self.identity)
            .field("session", &self.session)
            .finish_non_exhaustive()
    }
}

/// Why there is no child.
#[derive(Debug)]
pub enum SpawnError {
    /// The program is nowhere. `why` says where it was looked for.
    NotFound { program: String, why: String },
    /// It is there and nobody may execute it.
    NotExecutable { program: String, why: String },
    /// The command itself cannot be: no program, a NUL in an argument, a descriptor number below 3.
    Invalid { program: String, why: String },
    /// The system has not enough processes, memory or descriptors at the moment.
    Refused { program: String, step: &'static str, source: io::Error },
}

impl SpawnError {
    /// What a shell would say: 127 not found, 126 not executable; 71 when the system refused.
    pub fn code(&self) -> u8 {
        match self {
            Self::NotFound { .. } => exit::NOT_FOUND,
            Self::NotExecutable { .. } | Self::Invalid { .. } => exit::NOT_EXECUTABLE,
            Self::Refused { .. } => exit::OS,
        }
    }

    /// It may be otherwise in a moment.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

impl fmt::Display for SpawnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { program, why } => write!(f, "cannot find {program:?}: {why}"),
            Self::NotExecutable { program, why } => write!(f, "cannot execute {program:?}: {why}"),
            Self::Invalid { program, why } => write!(f, "cannot start {program:?}: {why}"),
            Self::Refused { program, step, source } => {
                write!(f, "cannot start {program:?}: cannot {step}: {}{}", words(source), shortage(source))
            }
        }
    }
}

impl std::error::Error for SpawnError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused { source, .. } => Some(source),
            _ => None,
        }
    }
}
