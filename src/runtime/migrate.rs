//! `init --migrate`: one migration, its verdict is the container's.
//!
//! `migrate --isolated` that does not get the lock does nothing and exits 0, so the preset reserves a code for it
//! (`--isolated=75`) and init waits for the lock under a deadline. With the lock in a database that has no tables yet
//! (Laravel 11's default cache store, first deploy) the lock itself fails; then the migration runs once without it.

use super::boot::failure;
use super::children::{Gone, Who};
use super::clock;
use super::launch::Launch;
use super::relay::Tap;
use super::shell::{Happening, Shell};
use super::step::{OnStop, StepEnd};
use super::stop;
use crate::config::plan::{LogFormat, MigratePlan, Signal};
use crate::exit;
use crate::logs::format::Label;
use crate::supervisor::ExitStatus;
use crate::supervisor::words::Words;
use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

/// First and longest wait between two attempts at the lock.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What a stop keeps of its budget for what follows the migration.
const RESERVE: Duration = Duration::from_secs(2);

/// How much of the output's end is kept to recognise the missing lock table.
const TAIL: usize = 64 * 1024;

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
            Verdict::NoLockTable => {
                tracing::warn!(
                    "the lock's table does not exist yet, as on a first deploy with the cache in the database: \
                     migrating once without the lock"
                );
                command.retain(|word| !is_isolated(word));
            }
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
    /// Try again, without the lock.
    NoLockTable,
}

fn judge(attempt: &Attempt, plan: &MigratePlan, command: &[String], output: &Tail) -> Verdict {
    let (gone, uptime) = (&attempt.gone, Words(attempt.gone.uptime));
    if gone.status == ExitStatus::Code(0) {
        tracing::info!("migration done in {uptime}");
        return Verdict::Code(exit::OK);
    }
    let locked = gone.status == ExitStatus::Code(plan.lock_code);
    match attempt.asked {
        None if isolated(command) && locked => return Verdict::Locked,
        None if isolated(command) && output.lock_table_is_missing() => return Verdict::NoLockTable,
        // No further attempt: someone wants an end.
        Some(signal) => tracing::error!("migration ended after {signal:?} and {uptime}: {}", why(gone)),
        None => tracing::error!("migration failed after {uptime}: {}", why(gone)),
    }
    Verdict::Code(gone.status.code())
}

fn why(gone: &Gone) -> String {
    failure(gone).unwrap_or_default()
}

fn is_isolated(word: &str) -> bool {
    word == "--isolated" || word.starts_with("--isolated=")
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

/// The end of an output.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
}

impl Tail {
    fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > TAIL * 2 {
            let surplus = self.bytes.len() - TAIL;
            self.bytes.drain(..surplus);
        }
    }

    /// The database said that a table of locks is not there. It is `cache_locks` unless renamed, and then still named
    /// for its locks.
    fn lock_table_is_missing(&self) -> bool {
        // Long messages are wrapped at the width of a terminal.
        let text = String::from_utf8_lossy(&self.bytes).to_ascii_lowercase();
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        MISSING.iter().any(|(before, after)| {
            text.split(before).skip(1).any(|rest| {
                let name = rest.split([' ', '\'', '"', '(', ',']).next().unwrap_or_default();
                let table = name.rsplit('.').next().unwrap_or_default();
                let follows = rest.strip_prefix(name).is_some_and(|rest| rest.starts_with(after));
                follows && (table == "locks" || table.ends_with("_locks"))
            })
        })
    }
}

/// What stands around the name of a table that is not there: SQLite, MySQL and MariaDB, PostgreSQL, SQL Server.
const MISSING: &[(&str, &str)] = &[
    ("no such table: ", ""),
    ("table '", "' doesn't exist"),
    ("relation \"", "\" does not exist"),
    ("invalid object name '", "'"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str) -> bool {
        let mut tail = Tail::default();
        tail.push(text.as_bytes());
        tail.lock_table_is_missing()
    }

    #[test]
    fn a_missing_lock_table_is_told_from_other_failures() {
        assert!(missing(
            "SQLSTATE[HY000]: General error: 1 no such table: cache_locks (SQL: insert into \"cache_locks\""
        ));
        assert!(missing(
            "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'app.cache_locks' doesn't exist"
        ));
        assert!(missing(
            "SQLSTATE[42P01]: Undefined table: 7 ERROR:  relation \"cache_locks\" does not exist"
        ));
        assert!(!missing(
            "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'app.users' doesn't exist"
        ));
        assert!(missing("[SQL Server]Invalid object name 'cache_locks'."));
        assert!(missing("General error: 1 no such\n  table: laravel_locks (Connection: sqlite"));
        assert!(!missing("SQLSTATE[HY000] [2002] Connection refused"));
        // The migration's own fault, and it must not run again without the lock for it.
        assert!(!missing(
            "General error: 1 no such table: blocks (Connection: sqlite, SQL: alter table \"blocks\""
        ));
        assert!(!missing("Table 'app.users' doesn't exist in CacheCommandMutex->lock()"));
        assert!(!missing("General error: 1 no such table: users (SQL: select * from cache_locks)"));
    }

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
    fn the_tail_is_bounded() {
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.push(&[b'x'; 8192]);
        }
        assert!(tail.bytes.len() <= TAIL * 2);
    }

    #[test]
    fn isolation_is_seen_in_both_forms() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(isolated(&words("php artisan migrate --isolated=75")));
        assert!(isolated(&words("php artisan migrate --isolated")));
        assert!(!isolated(&words("php artisan migrate --force")));
    }
}
