//! What the commands share that talk to a running init: where it is, for how long it is waited for, how an error ends.

use super::look::Look;
use super::words::{self, Command, Read};
use super::{control, health, logs, say, status};
use crate::config::Options;
use crate::config::socket;
use crate::config::values::{Dur, Text as _};
use crate::control::client::{ClientError, Connection};
use crate::control::protocol::{Reply, Request};
use crate::exit;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

/// For how long init is waited for; a health check has less.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Looks a variable of the environment up.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Where output goes, and what it looks like.
pub struct Io<'a> {
    pub out: &'a mut dyn Write,
    pub err: &'a mut dyn Write,
    pub look: Look,
}

/// Where init is, and what was asked.
pub struct Remote {
    pub command: &'static Command,
    pub line: Read,
    pub socket: PathBuf,
    /// Where the path comes from, for whoever finds nothing there.
    source: String,
    pub timeout: Duration,
}

/// Why a command did not do it. Its text has been shown.
pub struct Failed(pub u8);

/// What a command returns: the code to exit with, or the failure's.
pub type Done = Result<u8, Failed>;

/// Runs the command of this name that asks a running init; the exit code.
pub fn run(command: &'static Command, args: Vec<OsString>, env: Lookup<'_>, io: &mut Io<'_>) -> u8 {
    let usage = if command.name == "health" { exit::FAILED } else { exit::USAGE };
    let wrong = |io: &mut Io<'_>, why: &str| {
        let name = command.name;
        say(io.err, format_args!("init {name}: cannot read the command line: {why}; see init {name} --help"));
        usage
    };
    let line = match words::read(command, args) {
        Ok(line) => line,
        Err(why) => return wrong(io, &why),
    };
    if line.help {
        say(io.out, format_args!("{}", super::help::of(command.name).trim_end()));
        return exit::OK;
    }
    let remote = match Remote::new(command, line, env) {
        Ok(remote) => remote,
        Err(why) => return wrong(io, &why),
    };
    let done = match command.name {
        "health" => health::run(&remote, io),
        "status" => status::run(&remote, env, io),
        "logs" => logs::logs(&remote, io),
        "events" => logs::events(&remote, env, io),
        _ => control::run(&remote, io),
    };
    done.unwrap_or_else(|Failed(code)| code)
}

impl Remote {
    fn new(command: &'static Command, line: Read, env: Lookup<'_>) -> Result<Self, String> {
        let default = if command.name == "health" { health::TIMEOUT } else { TIMEOUT };
        let timeout = duration(&line, "timeout", default)?;
        let given = |name: &str| env(name).filter(|path| !path.is_empty());
        let (socket, source) = match (line.value("socket"), given("INIT_SOCKET")) {
            (Some(path), _) => (PathBuf::from(path), "given by --socket".to_owned()),
            (None, Some(path)) => (PathBuf::from(path), "given by INIT_SOCKET".to_owned()),
            (None, None) => {
                let config = line.value("config").map(PathBuf::from);
                let found = socket::find(&Options { config, ..Options::default() }, env);
                (found.path, found.source)
            }
        };
        Ok(Self { command, line, socket, source, timeout })
    }

    /// Asks for what must be answered at once.
    pub fn ask(&self, request: &Request) -> Result<Connection, ClientError> {
        Connection::ask(&self.socket, request, self.timeout)
    }

    /// Asks for what takes its time.
    pub fn ask_patiently(&self, request: &Request) -> Result<Connection, ClientError> {
        Connection::ask_patiently(&self.socket, request, self.timeout)
    }

    /// The one line of an answer.
    pub fn answer(&self, request: &Request) -> Result<Reply, ClientError> {
        self.ask(request)?.reply()
    }

    /// What is wrong, as a user needs it.
    pub fn explain(&self, error: &ClientError) -> String {
        let text = super::look::harmless(&error.to_string()).into_owned();
        let path = self.source.as_str();
        match error {
            ClientError::NoSocket(_) | ClientError::NobodyListens(_) => {
                format!("{text} (the path is {path}; --socket and INIT_SOCKET name another)")
            }
            _ => text,
        }
    }

    /// Shows what is wrong.
    pub fn fail(&self, error: &ClientError, io: &mut Io<'_>) -> Failed {
        say(io.err, format_args!("init {}: {}", self.command.name, self.explain(error)));
        Failed(error.code())
    }

    /// Something else than what was asked for came.
    pub fn surprised(&self, io: &mut Io<'_>) -> Failed {
        let why = "it answers another question".to_owned();
        self.fail(&ClientError::Garbled(self.socket.clone(), why), io)
    }

    /// Shows what is wrong with the command line.
    pub fn usage(&self, why: &str, io: &mut Io<'_>) -> Failed {
        let name = self.command.name;
        say(io.err, format_args!("init {name}: cannot read the command line: {why}; see init {name} --help"));
        Failed(exit::USAGE)
    }
}

/// The time that an option gives.
pub fn duration(line: &Read, option: &str, default: Duration) -> Result<Duration, String> {
    let Some(text) = line.value(option) else { return Ok(default) };
    match Dur::read(text) {
        Ok(Dur(time)) if !time.is_zero() => Ok(time),
        Ok(_) => Err(format!("--{option} {text:?} is no time at all; write such as 1s")),
        Err(why) => Err(format!("--{option}: {why}")),
    }
}
