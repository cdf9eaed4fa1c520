//! `init --migrate`: one migration, its verdict is the container's.
//!
//! `migrate --isolated` that does not get the lock does nothing and exits 0, so the preset reserves a code for it
//! (`--isolated=75`) and init waits for the lock under a deadline. With the lock in a database that has no tables yet
//! (Laravel 11's default cache store, first deploy) the lock itself fails; then the table of locks is made first, and only
//! where that cannot be done alone the migration runs once without the lock.

mod lock_table;
mod tail;

use super::boot::{End, failure};
use super::children::{Gone, Who};
use super::clock;
use super::launch::Launch;
use super::off_loop::OffLoop;
use super::relay::Tap;
use super::shell::{Happening, Shell};
use super::step::{OnStop, StepEnd};
use super::stop;
use crate::config::plan::{LogFormat, MigratePlan, Signal};
use crate::exit;
use crate::logs::format::Label;
use crate::supervisor::ExitStatus;
use crate::supervisor::words::Words;
use lock_table::is_isolated;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;
use tail::{Missing, Tail};

/// First and longest wait between two attempts at the lock.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What a stop keeps of its budget for what follows the migration.
const RESERVE: Duration = Duration::from_secs(2);

/// So often the table of locks is tried to be made. Another task may make it at the same moment, and then one of them fails.
const TRIES: u8 = 3;

/// Why `--migrate` cannot be done with this configuration. Preflight says it before anything runs.
pub const NOTHING: &str = "cannot migrate: the configuration has no [migrate]: add one, or choose a preset that has (preset = \"laravel\")";

/// Runs the migration; the exit code of the container.
pub async fn migrate(shell: &mut Shell) -> u8 {
    let code = attempts(shell).await;
    stop::sweep(shell, stop::AFTER_BOOT).await;
    code
}

async fn attempts(shell: &mut Shell) -> u8 {
    // Preflight refuses a plan without.
    let Some(plan) = shell.plan.migrate.clone() else { return exit::CONFIG };
    let deadline = clock::now().after(plan.lock_timeout);
    let mut wait = RETRY.0;
    let mut command = plan.command.clone();
    let mut tries = 0;
    loop {
        let output = Rc::new(RefCell::new(Tail::default()));
        let attempt = match attempt(shell, &plan, &command, &output).await {
            Ok(attempt) => attempt,
            Err(code) => return code,
        };
        let verdict = judge(&attempt, &plan, &command, &output.borrow());
        match verdict {
            Verdict::Code(code) => return code,
            Verdict::Locked => {
                let left = deadline.since(clock::now());
                if left.is_zero() {
                    tracing::error!(
                        "another process has held the migration lock for {}: nothing was migrated. If none is running, the lock \
                         of a killed migration lasts up to one hour: clear the cache key framework/command-migrate",
                        Words(plan.lock_timeout)
                    );
                    return exit::LOCKED;
                }
                let pause = wait.min(left);
                tracing::info!("another process holds the migration lock: next attempt in {}", Words(pause));
                if let Some(signal) = stopped_within(shell, pause).await {
                    tracing::warn!(
                        "{signal:?}: stopped while waiting for the migration lock, nothing was migrated"
                    );
                    return exit::of_signal(signal.number());
                }
                wait = wait.saturating_mul(2).min(RETRY.1);
            }
            Verdict::Missing(missing) => {
                let alone = match alone(shell, &plan, missing).await {
                    Ok(alone) => alone.filter(|_| tries < TRIES),
                    Err(code) => return code,
                };
                tries = tries.saturating_add(1);
                match alone {
                    Some(alone) => {
                        if let Some(code) = make_lock_table(shell, &plan, &alone, tries == TRIES).await {
                            return code;
                        }
                    }
                    None => {
                        tracing::warn!(
                            "the lock's table does not exist yet, as on a first deploy with the cache in the database: \
                             migrating once without the lock"
                        );
                        command.retain(|word| !is_isolated(word));
                    }
                }
            }
        }
    }
}

/// The command that makes the table of locks alone, where there is one.
async fn alone(shell: &mut Shell, plan: &MigratePlan, missing: Missing) -> Result<Option<Vec<String>>, u8> {
    let (command, work_dir) = (plan.command.clone(), shell.plan.work_dir.clone());
    let work = OffLoop::start(move |progress| {
        progress.at(&work_dir);
        lock_table::command(&command, &work_dir, &missing)
    });
    shell.wait_off_loop("the migration", work).await.map_err(|end| match end {
        End::Failed(code) => code,
        End::Stopped(signal) => exit::of_signal(signal.number()),
    })
}

/// Makes the table of locks. The code to end with, when it has failed for the `last` time or a stop came.
async fn make_lock_table(
    shell: &mut Shell,
    plan: &MigratePlan,
    command: &[String],
    last: bool,
) -> Option<u8> {
    tracing::info!(
        "the lock's table does not exist yet, as on a first deploy with the cache in the database: making it first, \
         with {}",
        command.last().map_or("", String::as_str)
    );
    let attempt = match attempt(shell, plan, command, &Rc::default()).await {
        Ok(attempt) => attempt,
        Err(code) => return Some(code),
    };
    let (status, why) = (attempt.gone.status, why(&attempt.gone));
    match attempt.asked {
        Some(signal) => {
            tracing::error!(
                "stopped by {signal:?} while the lock's table was made: nothing else was migrated"
            );
            // It may have been done in time.
            Some(if status == ExitStatus::Code(0) { exit::of_signal(signal.number()) } else { status.code() })
        }
        None if status == ExitStatus::Code(0) => None,
        None if last => {
            tracing::error!("migration failed: the lock's table cannot be made: {why}");
            Some(status.code())
        }
        None => {
            tracing::warn!(
                "the lock's table was not made: {why}; trying again, as another task may have made it"
            );
            stopped_within(shell, RETRY.0).await.map(|signal| exit::of_signal(signal.number()))
        }
    }
}

/// One attempt that ended by itself, and the stop signal that it had been told of.
struct Attempt {
    gone: Gone,
    asked: Option<Signal>,
}

/// What follows an attempt.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    /// The end; it has been told.
    Code(u8),
    /// Another process migrates: try again.
    Locked,
    /// Try again when the lock can be had, or without it.
    Missing(Missing),
}

fn judge(attempt: &Attempt, plan: &MigratePlan, command: &[String], output: &Tail) -> Verdict {
    let (gone, uptime) = (&attempt.gone, Words(attempt.gone.uptime));
    if gone.status == ExitStatus::Code(0) {
        tracing::info!("migration done in {uptime}");
        return Verdict::Code(exit::OK);
    }
    let missing = output.missing().filter(|_| isolated(command) && attempt.asked.is_none());
    if let Some(missing) = missing {
        return Verdict::Missing(missing);
    }
    let locked = gone.status == ExitStatus::Code(plan.lock_code);
    match attempt.asked {
        None if isolated(command) && locked => return Verdict::Locked,
        // No further attempt: someone wants an end.
        Some(signal) => tracing::error!("migration ended after {signal:?} and {uptime}: {}", why(gone)),
        None => tracing::error!("migration failed after {uptime}: {}", why(gone)),
    }
    Verdict::Code(gone.status.code())
}

fn why(gone: &Gone) -> String {
    failure(gone).unwrap_or_default()
}

fn isolated(command: &[String]) -> bool {
    command.iter().any(|word| is_isolated(word))
}

async fn attempt(
    shell: &mut Shell,
    plan: &MigratePlan,
    command: &[String],
    output: &Rc<RefCell<Tail>>,
) -> Result<Attempt, u8> {
    let seen = Rc::clone(output);
    let tap: Tap = Rc::new(move |bytes| seen.borrow_mut().push(bytes));
    let launch = Launch {
        who: Who::Step,
        label: Label::Step { name: "migrate".to_owned() },
        argv: command,
        user: plan.user.as_deref(),
        work_dir: None,
        env: &plan.env,
        umask: 0o027,
        open_files: None,
        format: match shell.plan.log.format {
            LogFormat::Inherit => LogFormat::Plain,
            format => format,
        },
        on_stall: shell.plan.log.on_stall,
        all_to_stderr: false,
        tap: Some(tap),
    };
    let pid = shell.launch(&launch).map_err(|error| {
        tracing::error!("migration cannot start: {error}");
        error.code()
    })?;
    // What is left of the budget is for the kill and for the last lines of the log.
    let budget = shell.plan.stop_timeout;
    let grace = budget.saturating_sub(RESERVE.min(budget / 5));
    match shell.wait_step(pid, plan.timeout, OnStop::Forward(grace)).await {
        StepEnd::Done(gone) => Ok(Attempt { gone, asked: None }),
        StepEnd::Obeyed(gone, signal) => Ok(Attempt { gone, asked: Some(signal) }),
        StepEnd::TimedOut => {
            tracing::error!(
                "migration did not end within its timeout and was killed: its lock may last up to one hour, and the \
                 migration that was running may have been applied in part"
            );
            Err(exit::TIMEOUT)
        }
        StepEnd::Stopped(signal) => {
            tracing::error!(
                "migration was killed because it did not end in time after {signal:?}: its lock may last up to one hour, \
                 and the migration that was running may have been applied in part"
            );
            Err(exit::of_signal(signal.number()))
        }
    }
}

/// Waits for this time; the stop signal that came meanwhile.
async fn stopped_within(shell: &mut Shell, wait: Duration) -> Option<Signal> {
    let deadline = clock::now().after(wait);
    loop {
        match shell.next(Some(deadline)).await {
            Happening::Deadline => return None,
            Happening::Signal(signal) if shell.signals.is_stop(signal) => return Some(signal),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended(status: ExitStatus, asked: Option<Signal>) -> Verdict {
        let gone = Gone {
            who: Who::Step,
            pid: crate::sys::Pid::current(),
            status,
            fault: None,
            oom: false,
            leftovers: false,
            uptime: Duration::ZERO,
            relays: Vec::new(),
        };
        let plan = MigratePlan {
            command: vec!["migrate".into(), "--isolated=75".into()],
            user: None,
            env: crate::config::plan::Env::new(),
            lock_timeout: Duration::from_secs(60),
            lock_code: 75,
            timeout: None,
        };
        judge(&Attempt { gone, asked }, &plan, &plan.command, &Tail::default())
    }

    #[test]
    fn a_stop_is_not_followed_by_another_attempt() {
        assert_eq!(ended(ExitStatus::Code(75), None), Verdict::Locked);
        assert_eq!(ended(ExitStatus::Code(75), Some(Signal::TERM)), Verdict::Code(75));
        assert_eq!(ended(ExitStatus::Code(0), Some(Signal::TERM)), Verdict::Code(0));
        assert_eq!(ended(ExitStatus::Signal(Signal::TERM), Some(Signal::QUIT)), Verdict::Code(143));
    }

    #[test]
    fn isolation_is_seen_in_both_forms() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(isolated(&words("php artisan migrate --isolated=75")));
        assert!(isolated(&words("php artisan migrate --isolated")));
        assert!(!isolated(&words("php artisan migrate --force")));
    }
}
