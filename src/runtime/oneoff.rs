//! `init -- CMD…`: one command as the application's user, with the terminal and the streams as they are.
//!
//! Here init is what tini and dumb-init are: signals are forwarded, orphans reaped, the exit code passed through.

use super::children::{Gone, Who};
use super::launch::Launch;
use super::shell::{Happening, Shell};
use super::{clock, stop};
use crate::config::plan::{Env, LogFormat, OnStall, Signal};
use crate::exit;
use crate::logs::format::Label;
use crate::supervisor::Mono;
use crate::sys::spawn::{Session, Stdin};
use crate::sys::tty::Foreground;
use crate::sys::{self, Pid, group};
use std::ffi::OsString;
use std::time::Duration;

/// What background processes of the command may take after it ended.
const GRACE: Duration = Duration::from_secs(5);

/// Runs `command` to its end; its exit code, 128+n for a death by signal n.
pub async fn run(shell: &mut Shell, command: &[OsString]) -> u8 {
    let terminal = Foreground::remember();
    let pid = match start(shell, command) {
        Ok(pid) => pid,
        Err((text, code)) => {
            tracing::error!("cannot run {}: {text}", name(command));
            return code;
        }
    };
    let (gone, stopped) = wait(shell, pid).await;
    if let Some(terminal) = terminal {
        // A terminal that is gone needs no giving back.
        let _ = terminal.restore();
    }
    if let Some(fault) = &gone.fault {
        tracing::error!("cannot run {}: {fault}", name(command));
    }
    if let Some(at) = stopped {
        shell.stops_since(at);
    }
    stop::sweep(shell, GRACE.min(shell.plan.stop_timeout)).await;
    gone.status.code()
}

/// How messages call the command: its first word, in quotes.
fn name(command: &[OsString]) -> String {
    format!("{:?}", command.first().map(|word| word.to_string_lossy()).unwrap_or_default())
}

fn start(shell: &mut Shell, words: &[OsString]) -> Result<Pid, (String, u8)> {
    let launch = Launch {
        who: Who::Step,
        label: Label::Step { name: "command".to_owned() },
        argv: &[],
        user: None,
        work_dir: None,
        env: &Env::new(),
        umask: 0o022,
        open_files: None,
        format: LogFormat::Inherit,
        on_stall: OnStall::Block,
        all_to_stderr: false,
        tap: None,
    };
    let mut command = shell.command(&launch).map_err(|error| (error.to_string(), exit::CONFIG))?;
    // As they came: a file name in another encoding than UTF-8 is none of init's business.
    command.argv = words.to_vec();
    command.stdin = Stdin::Inherit;
    command.session = Session::Foreground;
    command.umask = None;
    command.keep_inherited = true;
    shell.children.spawn(Who::Step, command).map_err(|error| (error.to_string(), error.code()))
}

/// Forwards signals until the command ends. With it comes when the container was first told to stop, if that is what it was:
/// INT is what people type.
async fn wait(shell: &mut Shell, pid: Pid) -> (Gone, Option<Mono>) {
    let mut stopped = None;
    loop {
        match shell.next_to_forward(None).await {
            Happening::Reaped(gone) => {
                if let Some(gone) = gone.into_iter().find(|gone| gone.pid == pid) {
                    return (gone, stopped);
                }
            }
            Happening::Signal(signal) => {
                let stop = shell.signals.is_stop(signal);
                if stop && signal != Signal::INT {
                    stopped.get_or_insert(clock::now());
                }
                forward(pid, signal, stop);
            }
            Happening::Deadline => {}
        }
    }
}

/// To the main process alone, as tini does: a master such as php-fpm drains its own workers. What is left when it
/// ends gets TERM from the sweep.
fn forward(pid: Pid, signal: Signal, stop: bool) {
    // The command gets what init gets and nothing more, unless it would not notice that it is to end.
    let stopped = stop && sys::proc::is_stopped(pid);
    // It may have ended a moment ago; then the reaper tells.
    let sent = if stopped { group::stop(pid, signal) } else { group::signal(pid, signal) };
    if let Err(error) = sent {
        tracing::warn!("cannot pass {signal:?} on to the command: {}", sys::words(&error));
    }
}
