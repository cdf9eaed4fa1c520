//! The shell: one event loop, the executor of actions, the reaper, boot.
//!
//! Everything that waits, reads a clock, starts a process or reaps one is here; what should happen is decided by
//! [`crate::supervisor`] and [`crate::schedule`]. One thread. After boot no operational error leaves the loop.

#![forbid(unsafe_code)]

pub mod board;
pub mod boot;
pub mod children;
pub mod clock;
pub mod control;
pub mod cron;
pub mod crontabs;
pub mod drop_in;
pub mod ecs;
pub mod env;
pub mod exposed;
pub mod failure;
pub mod fault;
pub mod fetching;
pub mod fpm;
pub mod inspect;
pub mod journal;
pub mod launch;
pub mod migrate;
pub mod mirror;
pub mod needs;
pub mod observe;
pub mod off_loop;
pub mod oneoff;
pub mod output;
pub mod preflight;
pub mod probing;
pub mod relay;
pub mod reload;
mod reloading;
pub mod shell;
pub mod signals;
pub mod state_dir;
pub mod status;
pub mod step;
pub mod stepping;
pub mod stop;
pub mod supervise;
pub mod tail;
pub mod verify;

use crate::config::ConfigError;
use crate::config::plan::{LogFormat, LogLevel, Plan};
use crate::control::protocol::{Phase, SpanKind};
use crate::exit;
use crate::sys;
use off_loop::{OffLoop, Progress};
use shell::{Load, Shell};
use std::ffi::OsString;
use std::io::Write as _;
use std::pin::pin;
use std::sync::Arc;

/// What the container is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mode {
    Supervise,
    Migrate,
    OneOff { command: Vec<OsString>, boot: Boot },
}

/// Whether files are fetched and boot steps run before a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Boot {
    Never,
    /// Unless another init runs in the container, whose processes live with what its boot made.
    Alone,
    Always,
}

impl Mode {
    /// Files are fetched and boot steps run first.
    pub fn boots(&self) -> bool {
        !matches!(self, Self::OneOff { boot: Boot::Never, .. })
    }

    pub fn is_one_off(&self) -> bool {
        matches!(self, Self::OneOff { .. })
    }
}

/// Becomes init, loads the plan, boots and runs to the end; the exit code of the container.
///
/// `load` runs when signals are no longer lost: a stop signal that reaches PID 1 before is dropped by the kernel. It runs
/// again at each reload.
pub fn run(
    mode: Mode,
    load: impl Fn(&Progress) -> Result<Plan, Vec<ConfigError>> + Send + Sync + 'static,
) -> u8 {
    journal::install(LogLevel::Info, LogFormat::Plain);
    fault::tell_all();
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| enter(mode, Arc::new(load))));
    // The hook has told of the panic.
    outcome.unwrap_or(exit::SOFTWARE)
}

fn enter(mode: Mode, load: Load) -> u8 {
    let refused = |what: &str, error: &std::io::Error| {
        tracing::error!("cannot {what}: {}", sys::words(error));
        exit::OS
    };
    let began = clock::now();
    // A one-off inherits what it was given, as under tini; a service gets nothing that it was not given by name.
    let role = sys::init::become_init(!mode.is_one_off());
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refused("start the event loop", &error),
    };
    let local = tokio::task::LocalSet::new();
    // In a box from the beginning: tokio would move something so large there, and both places be touched.
    let work = Box::pin(async {
        let mut signals = match signals::Signals::new(mode.is_one_off()) {
            Ok(signals) => signals,
            Err(error) => return refused("catch signals", &error),
        };
        let its_load = Arc::clone(&load);
        let reading = OffLoop::start(move |progress| its_load(progress));
        let plan = match off_loop::wait_without_shell(&mut signals, "the configuration", reading).await {
            Ok(Ok(plan)) => plan,
            Err(end) => return stop::before_boot(&mode, end),
            Ok(Err(errors)) => {
                for error in errors {
                    // Several lines with a caret, as `init check` prints them. A reader that has gone misses them.
                    let _ = writeln!(std::io::stderr(), "init: {error}");
                }
                return exit::CONFIG;
            }
        };
        // A directory that a process is in cannot be unmounted. Children go to their own.
        if let Err(error) = std::env::set_current_dir("/") {
            tracing::debug!("cannot leave the working directory: {}", sys::words(&error));
        }
        let board = board::Board::new(began, tail::Tail::new(plan.control.log_tail));
        board.was_first(SpanKind::Init, "configuration");
        let mut shell = match Shell::new(plan, &mode, role, signals, board) {
            Ok(shell) => shell,
            Err(error) => return refused("start", &error),
        };
        shell.load = load;
        let ended = fault::caught(pin!(life(&mut shell, mode))).await;
        let code = match ended {
            Ok(code) => code,
            Err(fault::Fault) => stop::after_fault(&mut shell).await,
        };
        shell.finish().await;
        // The kernel takes all of it back at once; handler by handler and task by task it takes longer than the stop.
        std::mem::forget(shell);
        code
    });
    let code = runtime.block_on(local.run_until(work));
    std::mem::forget((local, runtime));
    code
}

/// Boot, then the mode's work; the exit code of the container.
async fn life(shell: &mut Shell, mut mode: Mode) -> u8 {
    if let Err(code) = control::open(shell, &mode).await {
        return code;
    }
    if let (Mode::OneOff { boot: boot @ Boot::Alone, .. }, Some(pid)) = (&mut mode, shell.control.beside()) {
        tracing::info!(
            "beside the init that runs here, pid {pid}: nothing is fetched and no boot step runs, since that would change what its              services live with; --boot does it all the same"
        );
        *boot = Boot::Never;
    }
    observe::open(shell, &mode).await;
    ecs::start(shell, &mode);
    let end = match boot::boot(shell, &mode).await {
        Ok(()) => match &mode {
            Mode::Supervise => supervise::supervise(shell).await,
            Mode::Migrate => {
                shell.board.enter(Phase::Migrating);
                Ok(migrate::migrate(shell).await)
            }
            Mode::OneOff { command, .. } => {
                shell.board.enter(Phase::OneOff);
                Ok(oneoff::run(shell, command).await)
            }
        },
        Err(end) => Err(end),
    };
    match end {
        Ok(code) => code,
        Err(end) => stop::after_boot_ended(shell, &mode, end).await,
    }
}
