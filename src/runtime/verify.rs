//! What is checked after a boot step that says success.
//!
//! `artisan optimize` exits 0 even when one of its tasks prints FAIL: its handler returns nothing and each task's
//! verdict is only shown (laravel/framework, Foundation/Console/OptimizeCommand.php). So its output is watched for FAIL
//! and the configuration cache must have been written anew.

use super::off_loop::Progress;
use super::relay::Tap;
use super::shell::Shell;
use crate::config::plan::{StepPlan, Verify};
use std::cell::RefCell;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

/// Longest line that is looked at; the word stands at the end of a short one.
const LINE: usize = 4096;

/// What is missing although the step said success.
#[derive(Debug, PartialEq, Eq)]
pub enum Unverified {
    /// A task printed FAIL; its name.
    TaskFailed(String),
    /// The file was not written.
    NotWritten(PathBuf),
}

impl fmt::Display for Unverified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TaskFailed(task) => {
                let command = command_of(task);
                write!(f, "its task \"{task}\" printed FAIL: run 'php artisan {command} -v' to see why")
            }
            Self::NotWritten(path) => write!(
                f,
                "it did not write {}: the application would run without its configuration cache; \
                 set verify = \"none\" on the step if that is meant",
                path.display()
            ),
        }
    }
}

/// What Laravel's own tasks run, which are named in the plural (laravel/framework, Foundation/Console/OptimizeCommand.php).
/// A package's task may run anything.
fn command_of(task: &str) -> &'static str {
    match task {
        "config" => "config:cache",
        "events" => "event:cache",
        "routes" => "route:cache",
        "views" => "view:cache",
        _ => "optimize",
    }
}

/// How a file stands: another one is there, or this one was written, where it differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp(u64, SystemTime, u64);

/// How the file at `path` stands now, `None` where there is none. For a thread of its own.
pub fn stamp(path: &Path, progress: &Progress) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    progress.at(path);
    let meta = crate::files::metadata(path).ok()?;
    Some(Stamp(meta.ino(), meta.modified().ok()?, meta.len()))
}

/// A check that began before the step did.
pub struct Check {
    cache: PathBuf,
    before: Option<Stamp>,
    failed: Rc<RefCell<FailWatch>>,
}

impl Check {
    /// For a file that stood as `before` when the step had not run.
    pub fn new(cache: PathBuf, before: Option<Stamp>) -> Self {
        Self { cache, before, failed: Rc::default() }
    }

    /// The file that `step` has to write, where it says success only then.
    pub fn cache_of(shell: &Shell, step: &StepPlan) -> Option<PathBuf> {
        let Verify::LaravelOptimize = step.verify?;
        let base = step.work_dir.as_ref().unwrap_or(&shell.plan.work_dir);
        // Laravel takes an absolute path as it is and a relative one from the base path.
        let named = step.env.get("APP_CONFIG_CACHE").map(OsStr::new);
        let named = named.or_else(|| shell.environment.get("APP_CONFIG_CACHE"));
        Some(base.join(named.unwrap_or(OsStr::new("bootstrap/cache/config.php"))))
    }

    /// The file that the step has to write.
    pub fn cache(&self) -> &Path {
        &self.cache
    }

    /// Watches the step's output.
    pub fn tap(&self) -> Tap {
        let failed = Rc::clone(&self.failed);
        Rc::new(move |bytes| failed.borrow_mut().feed(bytes))
    }

    /// Whether the step did what it said, with the file as it is `after` it.
    ///
    /// # Errors
    /// What is not there.
    pub fn verdict(&mut self, after: Option<Stamp>) -> Result<(), Unverified> {
        let mut watch = self.failed.borrow_mut();
        watch.feed(b"\n");
        if let Some(task) = watch.failed.take() {
            return Err(Unverified::TaskFailed(task));
        }
        if after.is_none() || after == self.before {
            return Err(Unverified::NotWritten(self.cache.clone()));
        }
        Ok(())
    }
}

/// Finds the first line that ends in FAIL.
#[derive(Default)]
struct FailWatch {
    line: Vec<u8>,
    failed: Option<String>,
}

impl FailWatch {
    fn feed(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE.saturating_sub(self.line.len());
            self.line.extend_from_slice(piece.get(..piece.len().min(room)).unwrap_or_default());
            if piece.ends_with(b"\n") {
                self.end_of_line();
            }
        }
    }

    fn end_of_line(&mut self) {
        let text = without_ansi(&String::from_utf8_lossy(&self.line));
        self.line.clear();
        // Laravel prints `  config ................ 12.34ms FAIL`.
        let mut words = text.split_whitespace();
        let (first, last) = (words.next(), words.next_back());
        if let (Some(first), Some("FAIL"), None) = (first, last, &self.failed) {
            self.failed = Some(first.to_owned());
        }
    }
}

fn without_ansi(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(char) = chars.next() {
        if char == '\u{1b}' {
            // A control sequence ends with a letter.
            let _ = chars.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(char);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(pieces: &[&str]) -> Option<String> {
        let mut watch = FailWatch::default();
        for piece in pieces {
            watch.feed(piece.as_bytes());
        }
        watch.feed(b"\n");
        watch.failed
    }

    #[test]
    fn a_task_that_prints_fail_is_named() {
        let line = "  config ........ 10.02ms DONE\n  views ......... 3.1ms \u{1b}[31;1mFAIL\u{1b}[39;22m\n  routes ... FAIL";
        assert_eq!(failed(&[line]).as_deref(), Some("views"));
        let (head, tail) = line.split_at(60);
        assert_eq!(failed(&[head, tail]).as_deref(), Some("views"));
    }

    #[test]
    fn the_command_that_tells_why_is_one_that_there_is() {
        for (task, command) in [
            ("config", "config:cache"),
            ("events", "event:cache"),
            ("routes", "route:cache"),
            ("views", "view:cache"),
            ("filament", "optimize"),
        ] {
            let text = Unverified::TaskFailed(task.to_owned()).to_string();
            assert!(text.contains(&format!("\"{task}\"")), "{text}");
            assert!(text.contains(&format!("'php artisan {command} -v'")), "{text}");
        }
    }

    #[test]
    fn the_word_elsewhere_is_no_failure() {
        assert_eq!(failed(&["FAIL\n", "FAILED to be idle\n", "a FAIL b\n", "FAILOVER ready DONE\n"]), None);
    }
}
