//! Crontab entries as cron entries of the plan.

use super::{Crontab, CrontabEntry, CrontabError, CrontabNote, Dialect, owner, parse};
use crate::config::plan::{CronPlan, Env, Overlap, Signal};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Runs of one entry side by side, at most. Cron has no limit; a container has.
const MAX_RUNNING: u16 = 10;

/// Reads the crontab file `path`, whose content is `text`, by the dialect and for the user that its place tells.
pub fn plans(path: &Path, text: &str) -> Result<(Vec<CronPlan>, Vec<CrontabNote>), Vec<CrontabError>> {
    let Crontab { entries, notes } = parse(text, Dialect::of(path))?;
    let name = path.file_name().map_or_else(|| "crontab".into(), |name| name.to_string_lossy());
    Ok((to_plan(entries, &name, owner(path)), notes))
}

/// One cron entry for each line, named `www-data:3` by file and line. The user is the line's own, else `owner`, else
/// the plan's.
pub fn to_plan(entries: Vec<CrontabEntry>, file_name: &str, owner: Option<&str>) -> Vec<CronPlan> {
    entries.into_iter().map(|entry| cron(entry, file_name, owner)).collect()
}

fn cron(entry: CrontabEntry, file_name: &str, owner: Option<&str>) -> CronPlan {
    CronPlan {
        name: format!("{file_name}:{}", entry.line),
        command: command(&entry),
        schedule: entry.schedule,
        time_zone: entry.zone,
        user: entry.user.or_else(|| owner.map(str::to_owned)),
        work_dir: home(&entry.env),
        env: entry.env,
        overlap: Overlap::Allow,
        max_running: MAX_RUNNING,
        timeout: None,
        jitter: Duration::ZERO,
        stop_signal: Signal::TERM,
        log_format: None,
        on_stall: None,
        umask: 0o022,
    }
}

/// Cron starts commands in `$HOME`.
fn home(env: &Env) -> Option<PathBuf> {
    env.get("HOME").filter(|home| home.starts_with('/')).map(PathBuf::from)
}

/// The shell with the line; for a line with input, a shell that feeds it. The input is handed over as an argument, so
/// nothing in it is expanded, and the exit code is the command's.
fn command(entry: &CrontabEntry) -> Vec<String> {
    match &entry.stdin {
        None => vec![entry.shell.clone(), "-c".to_owned(), entry.command.clone()],
        Some(input) => vec![
            "/bin/sh".to_owned(),
            "-c".to_owned(),
            r#"printf %s "$1" | "$0" -c "$2""#.to_owned(),
            entry.shell.clone(),
            input.clone(),
            entry.command.clone(),
        ],
    }
}
