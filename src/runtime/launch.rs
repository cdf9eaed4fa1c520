//! From a piece of the plan to a running child with its output relayed.

use super::children::{Start, Who};
use super::relay::{SourceInfo, Tap};
use super::shell::Shell;
use crate::config::plan::{Env, LogFormat, OnStall, Signal};
use crate::logs::format::{Label, Stream};
use crate::sys::spawn::{Command, Output, SpawnError};
use crate::sys::users::UsersError;
use crate::sys::{Pid, fd, words};
use std::fmt;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::path::{Path, PathBuf};

/// What to start, and how its output is treated.
#[derive(Clone)]
pub struct Launch<'a> {
    pub who: Who,
    /// What log lines call it.
    pub label: Label,
    pub argv: &'a [String],
    pub user: Option<&'a str>,
    pub work_dir: Option<&'a Path>,
    pub env: &'a Env,
    pub umask: u32,
    pub open_files: Option<u64>,
    pub format: LogFormat,
    pub on_stall: OnStall,
    /// Its stdout is relayed to the container's stderr: a one-off's stdout belongs to the one-off.
    pub all_to_stderr: bool,
    /// Sees every byte of the output as well.
    pub tap: Option<Tap>,
}

/// A child that could not be started.
#[derive(Debug)]
pub enum LaunchError {
    User(UsersError),
    Spawn(SpawnError),
    /// The core named a unit that the plan does not have.
    Unknown,
}

impl LaunchError {
    /// What a shell would exit with.
    pub fn code(&self) -> u8 {
        match self {
            Self::User(_) => crate::exit::CONFIG,
            Self::Unknown => crate::exit::SOFTWARE,
            Self::Spawn(error) => error.code(),
        }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(error) => error.fmt(f),
            Self::Spawn(error) => error.fmt(f),
            Self::Unknown => f.write_str("cannot start a unit that is not in the plan"),
        }
    }
}

impl std::error::Error for LaunchError {}

impl From<UsersError> for LaunchError {
    fn from(error: UsersError) -> Self {
        Self::User(error)
    }
}

impl From<SpawnError> for LaunchError {
    fn from(error: SpawnError) -> Self {
        Self::Spawn(error)
    }
}

/// A child of which only the fork is left to do, and what its output is relayed from.
pub struct Ready {
    start: Start,
    source: SourceInfo,
    outputs: Vec<(OwnedFd, Stream)>,
    all_to_stderr: bool,
}

impl Ready {
    /// Forks. The caller hands the pid to [`Shell::enter`] before anything is reaped.
    ///
    /// # Errors
    /// The system refused the fork.
    pub fn fork(&self) -> Result<Pid, LaunchError> {
        Ok(self.start.fork()?)
    }
}

impl Shell {
    /// The command of a launch, with everything looked up; its output is inherited.
    ///
    /// # Errors
    /// The user is not known.
    pub fn command(&mut self, launch: &Launch<'_>) -> Result<Command, UsersError> {
        let identity = self.identity(launch.user)?;
        let env = self.environment.of(identity.as_ref(), launch.env);
        let dir: PathBuf = launch.work_dir.unwrap_or(&self.plan.work_dir).to_owned();
        Ok(Command {
            env: env.into_iter().collect(),
            dir,
            identity,
            umask: Some(launch.umask),
            // init's own is higher than what it was started with.
            open_files: launch.open_files.or(self.role.open_files),
            // As PID 1 a killed init takes everything with it; elsewhere nobody would supervise what goes on.
            death_signal: (!self.role.pid1).then_some(Signal::KILL),
            ..Command::new(launch.argv)
        })
    }

    /// Starts a child and the relays of its output; its pid.
    ///
    /// # Errors
    /// [`LaunchError`]; no process came of it.
    pub fn launch(&mut self, launch: &Launch<'_>) -> Result<Pid, LaunchError> {
        let ready = self.prepare(launch, None)?;
        let pid = ready.fork()?;
        self.enter(pid, ready);
        Ok(pid)
    }

    /// Prepares what [`Ready::fork`] does. `descriptor`: a further one, and its number in the child.
    ///
    /// # Errors
    /// [`LaunchError`]; nothing came of it.
    pub fn prepare(
        &mut self,
        launch: &Launch<'_>,
        descriptor: Option<(OwnedFd, RawFd)>,
    ) -> Result<Ready, LaunchError> {
        let mut command = self.command(launch)?;
        command.extra_fds.extend(descriptor);
        let mut outputs = Vec::new();
        if launch.format != LogFormat::Inherit || launch.tap.is_some() {
            // The pipes belong to the child's user: www-data may then re-open /proc/self/fd/2, which FPM's error_log and
            // access.log do. A pipe of root's would be EACCES, a socket ENXIO.
            let owner = command.identity.as_ref().map(|identity| (identity.uid, identity.gid));
            let refused = |source| {
                let program = launch.argv.first().cloned().unwrap_or_default();
                SpawnError::Refused { program, step: "make a pipe for its output", source }
            };
            let mut pipe = || self.pipe(owner).map_err(refused);
            let (stdout, stderr) = (pipe()?, pipe()?);
            command.stdout = Output::Fd(stdout.write);
            command.stderr = Output::Fd(stderr.write);
            outputs = vec![(stdout.read, Stream::Stdout), (stderr.read, Stream::Stderr)];
        }
        let source = SourceInfo {
            label: launch.label.clone(),
            pid: 0,
            stream: Stream::Stderr,
            format: launch.format,
            on_stall: launch.on_stall,
            tap: launch.tap.clone(),
        };
        let start = self.children.prepare(launch.who, command)?;
        Ok(Ready { start, source, outputs, all_to_stderr: launch.all_to_stderr })
    }

    /// Puts the child that `ready` became into the table, and starts the relays of its output.
    pub fn enter(&mut self, pid: Pid, ready: Ready) {
        let Ready { start, source, outputs, all_to_stderr } = ready;
        self.children.enter(pid, start);
        let mut relays = Vec::with_capacity(outputs.len());
        for (reader, stream) in outputs {
            let stream = if all_to_stderr { Stream::Stderr } else { stream };
            match self.relays.spawn(reader, SourceInfo { pid: pid.raw(), stream, ..source.clone() }) {
                Ok(relay) => relays.push(relay),
                // The child runs and is supervised; its output is lost, and that is told.
                Err(error) => tracing::error!("{error}"),
            }
        }
        self.children.attach(pid, relays);
    }

    /// A pipe that belongs to `owner`, where one is given and init may give it away.
    pub(super) fn pipe(&mut self, owner: Option<(u32, u32)>) -> io::Result<fd::Pipe> {
        let pipe = fd::pipe_cloexec()?;
        if let Some((uid, gid)) = owner
            && let Err(error) = fd::fchown(&pipe.write, uid, gid)
            && !std::mem::replace(&mut self.pipes_stay, true)
        {
            tracing::warn!(
                "cannot give pipes to the users that write to them: {}: a program that opens /proc/self/fd/2 or /dev/stderr, as \
                 PHP-FPM's error_log may, will be refused; add the capability CHOWN",
                words(&error)
            );
        }
        Ok(pipe)
    }
}
