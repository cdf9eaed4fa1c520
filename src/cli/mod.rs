//! The command line: one file per command.
//!
//! `init` without a command is what a Dockerfile's CMD runs; see [`run`]. Everything that is printed here goes
//! through a writer whose errors are ignored: `println!` panics when the reader has gone.

#![forbid(unsafe_code)]

pub mod check;
#[cfg(test)]
mod check_tests;
pub mod completions;
pub mod control;
pub mod cron;
pub mod doctor;
pub mod fetch;
pub mod health;
pub mod help;
pub mod import;
pub mod logs;
pub mod look;
pub mod remote;
pub mod run;
pub mod status;
pub mod timeline;
pub mod words;

use crate::exit;
use jiff::tz::TimeZone;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

/// Runs the command line of this process and returns its exit code.
pub fn main() -> ExitCode {
    // First of all: from the exec until here other processes of this user can read the environment.
    crate::sys::init::keep_secrets();
    let mut args = std::env::args_os();
    let _program = args.next();
    let args: Vec<OsString> = args.collect();
    ExitCode::from(dispatch(args))
}

fn dispatch(args: Vec<OsString>) -> u8 {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let env = |name: &str| std::env::var(name).ok();
    let (first, rest) = match args.split_first() {
        Some((first, rest)) => (first.to_str().unwrap_or_default(), rest.to_vec()),
        None => ("", Vec::new()),
    };
    // Also after other options; what follows -- is another program's.
    let mut options = args.iter().take_while(|arg| *arg != "--");
    let wants_help = options.any(|arg| arg == "-h" || arg == "--help");
    // The commands that ask a running init.
    if let Some(command) = words::remote(first) {
        let look = look::Look::of_stdout(&env);
        let mut io = remote::Io { out: &mut out, err: &mut err, look };
        return remote::run(command, rest, &env, &mut io);
    }
    match first {
        "check" => check::run(rest, &env, &mut out, &mut err),
        "cron" => cron::run(rest, &mut out, &mut err, jiff::Timestamp::now()),
        "doctor" => doctor::run(rest, &env, &mut out, &mut err),
        "fetch" => fetch::run(io::stdin().lock(), &mut out),
        "import" => import::run(rest, &env, &mut out, &mut err),
        "completions" => completions::run(rest, &env, &mut out, &mut err),
        "help" if wants_help => help::topic(None, &mut out, &mut err),
        "help" => help::topic(rest.first().and_then(|topic| topic.to_str()), &mut out, &mut err),
        "-h" | "--help" => help::topic(None, &mut out, &mut err),
        "-V" | "--version" | "version" => {
            say(&mut out, format_args!("init {}", env!("CARGO_PKG_VERSION")));
            exit::OK
        }
        option if wants_help && option.starts_with('-') => help::topic(None, &mut out, &mut err),
        _ => {
            // The supervisor writes through descriptors of its own: holding std's locks would be for life.
            drop(out);
            match run::parse(args, &env) {
                Ok(run) => {
                    drop(err);
                    run.execute()
                }
                Err(error) => {
                    say(&mut err, format_args!("init: {error}\nTry 'init --help'."));
                    exit::USAGE
                }
            }
        }
    }
}

/// The time zone of the container: TZ's, else UTC.
pub(crate) fn local_zone(env: &dyn Fn(&str) -> Option<String>) -> TimeZone {
    let named = env("TZ").and_then(|name| TimeZone::get(name.trim_start_matches(':')).ok());
    named.unwrap_or(TimeZone::UTC)
}

/// Writes one line; a reader that has gone is no reason to fail.
pub(crate) fn say(to: &mut dyn Write, line: std::fmt::Arguments<'_>) {
    let _ = writeln!(to, "{line}");
    let _ = to.flush();
}
