//! Warming the opcache of a PHP-FPM that has just started: each file compiled once, inside of FPM, before a visitor waits
//! for it.
//!
//! The cache lies in memory that the master shares with its workers, so only a request through the pool can fill it. Several
//! requests share the files among them by a hash of their names; each stops by itself when the time is up.

use super::Address;
use super::client::{self, Refusal};
use crate::config::plan::WarmUpPlan;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::{Path, PathBuf};

/// What the pool runs; to be put where the pool's user may read it.
pub const SCRIPT: &str = include_str!("warm_up.php");

/// Files whose faults end a request are left out one by one; more than these mean that something else is wrong.
const MOST_FATAL: usize = 20;
/// So many of the files that could not be compiled are named.
const NAMES: usize = 5;

#[derive(Serialize)]
struct Job<'a> {
    paths: &'a [PathBuf],
    exclude: &'a [PathBuf],
    skip: &'a [String],
    part: u16,
    parts: u16,
    seconds: f64,
}

#[derive(Deserialize)]
struct Answer {
    opcache: bool,
    compiled: u64,
    cached: u64,
    failed: u64,
    left: u64,
    full: bool,
    names: Vec<String>,
    fatal: Option<String>,
}

/// What came of it. Its `Display` completes "opcache warm-up: ".
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub compiled: u64,
    /// Were in the cache already.
    pub cached: u64,
    pub failed: u64,
    /// Not looked at before the time was up.
    pub left: u64,
    /// The cache has no room left.
    pub full: bool,
    /// opcache is off in this pool.
    pub off: bool,
    /// A few of the files that could not be compiled.
    pub names: Vec<String>,
}

impl Report {
    /// What the last request for a share tells, with what all of them compiled and the files that ended one. It has looked at
    /// everything but these once more: what failed before failed again, and what was compiled before is cached.
    fn of(last: Answer, compiled: u64, fatal: Vec<String>) -> Self {
        let failed = u64::try_from(fatal.len()).unwrap_or(u64::MAX);
        Self {
            compiled,
            cached: last.cached.saturating_sub(compiled.saturating_sub(last.compiled)),
            failed: last.failed.saturating_add(failed),
            left: last.left,
            full: last.full,
            off: !last.opcache,
            names: fatal.into_iter().chain(last.names).take(NAMES).collect(),
        }
    }

    /// Adds another share.
    fn add(&mut self, share: Self) {
        let sum = |all: &mut u64, share: u64| *all = all.saturating_add(share);
        sum(&mut self.compiled, share.compiled);
        sum(&mut self.cached, share.cached);
        sum(&mut self.failed, share.failed);
        sum(&mut self.left, share.left);
        self.full |= share.full;
        self.off |= share.off;
        self.names.extend(share.names);
        self.names.truncate(NAMES);
    }

    /// Everything that was to be compiled is.
    pub fn is_complete(&self) -> bool {
        !self.off && self.failed == 0 && self.left == 0 && !self.full
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.off {
            return f.write_str("opcache is off in this pool (opcache.enable), so there is nothing to warm");
        }
        write!(f, "{} files compiled", self.compiled)?;
        if self.cached > 0 {
            write!(f, ", {} were already", self.cached)?;
        }
        if self.failed > 0 {
            write!(f, ", {} could not be ({})", self.failed, self.names.join(", "))?;
        }
        if self.left > 0 {
            write!(f, ", {} left when the time was up: raise budget", self.left)?;
        }
        if self.full {
            f.write_str(
                "; the cache is full: raise opcache.memory_consumption or opcache.max_accelerated_files",
            )?;
        }
        Ok(())
    }
}

/// Warms the pool at `address` with the plan's script, which holds [`SCRIPT`]. Takes the plan's budget and little more; the caller
/// puts a timeout around it all the same.
///
/// # Errors
/// Why the pool did not do it, in words.
pub async fn warm_up(address: &Address, plan: &WarmUpPlan) -> Result<Report, String> {
    let parts = plan.parallel.max(1);
    let mut running = Vec::new();
    for part in 0..parts {
        running.push(Box::pin(one_part(address, plan, part, parts)));
    }
    let mut report = Report::default();
    for result in futures_util::future::join_all(running).await {
        report.add(result?);
    }
    Ok(report)
}

/// One share of the files, asked for again when a file ended the request.
async fn one_part(address: &Address, plan: &WarmUpPlan, part: u16, parts: u16) -> Result<Report, String> {
    let began = tokio::time::Instant::now();
    let (mut skip, mut compiled) = (Vec::new(), 0_u64);
    loop {
        let seconds = plan.budget.saturating_sub(began.elapsed()).as_secs_f64();
        let job = Job { paths: &plan.paths, exclude: &plan.exclude, skip: &skip, part, parts, seconds };
        let mut answer = ask(address, &plan.script, &job).await?;
        compiled = compiled.saturating_add(answer.compiled);
        let fatal = answer.fatal.take();
        let again = fatal.is_some() && skip.len() < MOST_FATAL;
        skip.extend(fatal);
        if !again {
            return Ok(Report::of(answer, compiled, skip));
        }
    }
}

async fn ask(address: &Address, script: &Path, job: &Job<'_>) -> Result<Answer, String> {
    let body = serde_json::to_vec(job).map_err(|error| error.to_string())?;
    let script = script.display().to_string();
    let params = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_METHOD", "POST"),
        ("REQUEST_URI", "/-/init-warm-up"),
        ("SCRIPT_NAME", "/-/init-warm-up"),
        ("SCRIPT_FILENAME", script.as_str()),
        ("QUERY_STRING", ""),
        ("CONTENT_TYPE", "application/json"),
        ("CONTENT_LENGTH", &body.len().to_string()),
    ];
    let answer = client::call(address, &params, &body).await.map_err(Refusal::into_words)?;
    let body = answer.body();
    serde_json::from_slice(body).map_err(|_| match answer.status() {
        Some(403 | 404) => format!(
            "PHP-FPM may not run {script}: does open_basedir or chroot keep the pool out, or can its user not read it?"
        ),
        status => format!("{script} gave no result (status {})", status.unwrap_or_default()),
    })
}
