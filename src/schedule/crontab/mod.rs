//! Crontab files, as Vixie cron and busybox read them, to cron entries of the plan.
//!
//! What cron does around a command and this does not: mail (`MAILTO` is noted and ignored: output goes to the
//! container's log), and changing to the user's home directory (commands start in the plan's working directory
//! unless the file sets `HOME`).

mod line;
mod plan;
#[cfg(test)]
mod tests;

pub use plan::{plans, to_plan};

use crate::config::plan::Env;
use std::fmt;
use std::path::Path;

/// How the lines of a file are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// `/etc/crontab` and `/etc/cron.d/*`: a user stands between schedule and command.
    System,
    /// A user's own, and any other file.
    User,
    /// A user's own under busybox (Alpine's `/etc/crontabs`): as [`Dialect::User`], but `%` is nothing special.
    Busybox,
}

impl Dialect {
    /// What the place of a file tells of it.
    pub fn of(path: &Path) -> Self {
        let directory = path.parent().unwrap_or(Path::new(""));
        if path == Path::new("/etc/crontab") || directory.ends_with("cron.d") {
            Self::System
        } else if directory.ends_with("crontabs") && !directory.ends_with("cron/crontabs") {
            Self::Busybox
        } else {
            Self::User
        }
    }
}

/// The user whose crontab this is, by its place: `/etc/crontabs/www-data` and `/var/spool/cron/crontabs/www-data` are
/// www-data's. `None` for any other file.
pub fn owner(path: &Path) -> Option<&str> {
    let directory = path.parent()?;
    let users = directory.ends_with("crontabs") || directory.ends_with("spool/cron");
    path.file_name().filter(|_| users)?.to_str()
}

/// A crontab file, read.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Crontab {
    /// In the order of the file.
    pub entries: Vec<CrontabEntry>,
    /// What is read otherwise than the file's author may expect.
    pub notes: Vec<CrontabNote>,
}

/// One scheduled command.
#[derive(Clone, PartialEq, Eq)]
pub struct CrontabEntry {
    /// From 1.
    pub line: usize,
    /// Five fields or `@daily` and the like; already checked.
    pub schedule: String,
    /// `CRON_TZ`, or else `TZ`, as set above this line; already checked.
    pub zone: Option<String>,
    /// The user column.
    pub user: Option<String>,
    /// `SHELL` as set above this line; `/bin/sh` otherwise.
    pub shell: String,
    /// What the shell gets, with `\%` turned into `%`.
    pub command: String,
    /// What the command reads: the text after the first `%`, each further `%` a newline, and one at its end.
    pub stdin: Option<String>,
    /// Variables set above this line.
    pub env: Env,
}

/// Without the command, what it reads and its variables: crontabs hold passwords.
impl fmt::Debug for CrontabEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = f.debug_struct("CrontabEntry");
        text.field("line", &self.line).field("schedule", &self.schedule).field("zone", &self.zone);
        text.field("user", &self.user).finish_non_exhaustive()
    }
}

/// A line that cannot be taken over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrontabError {
    /// From 1.
    pub line: usize,
    /// In bytes, from 1.
    pub column: usize,
    /// What is wrong and what to do.
    pub text: String,
}

/// Reads `3:1: …`: the caller knows the file's name.
impl fmt::Display for CrontabError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.line, self.column, self.text)
    }
}

impl std::error::Error for CrontabError {}

/// Something worth a line in the log, no reason to refuse the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrontabNote {
    /// From 1.
    pub line: usize,
    pub text: String,
}

/// Reads a whole file. Every bad line is told, not only the first.
pub fn parse(text: &str, dialect: Dialect) -> Result<Crontab, Vec<CrontabError>> {
    let mut reader = line::Reader::new(dialect);
    // A byte order mark and Windows line ends are an editor's, never the author's.
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        reader.read(line);
    }
    reader.finish()
}
