//! One job from beginning to end: obtain, decrypt, check, place, report.
//!
//! Everything happens in the order in which it can be undone by nothing: no byte reaches the disk before the whole
//! content is there and valid.

use super::check::check;
use super::decrypt::decrypt;
use super::error::{FetchError, Kind};
use super::file;
use super::job::{Job, Origin, Outcome, Report};
use super::place::{Target, place};
use super::secret::{Content, Redact};
use super::source::Source;
use super::vars::Vars;
use std::time::Duration;
use tokio::time::Instant;

/// What is learnt on the way, told in the report whatever the end is.
#[derive(Default)]
pub struct Trace {
    pub origin: Origin,
    pub attempts: u32,
    pub warnings: Vec<String>,
    pub redact: Redact,
}

/// Shortest time that a job gets: with less, nothing but the deadline itself would be reported.
const SHORTEST: Duration = Duration::from_millis(100);

/// Does `job` and tells how it went. Blocks until then; the caller ends the process if it takes too long.
pub fn run(job: &Job, vars: &Vars) -> Report {
    let start = Instant::now();
    let mut trace = Trace::default();
    let mut report = match attempt(job, vars, start, &mut trace) {
        Ok(report) => report,
        Err(error) => Report::failed(&error),
    };
    report.origin = trace.origin;
    report.attempts = trace.attempts;
    report.warn(trace.warnings);
    report.duration_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    trace.redact.apply(&mut report.message);
    report.hints.iter_mut().chain(&mut report.warnings).for_each(|text| trace.redact.apply(text));
    report
}

fn attempt(job: &Job, vars: &Vars, start: Instant, trace: &mut Trace) -> Result<Report, FetchError> {
    let source = Source::parse(&job.source)?;
    let deadline = start + job.timeout().max(SHORTEST);
    let content = match obtain(&source, job, vars, deadline, trace) {
        Err(error) if error.kind == Kind::Missing && !job.required => return Ok(absent(job, error, trace)),
        content => content?,
    };
    let content = decrypt(content, job, vars, &mut trace.redact)?;
    trace.warnings.extend(check(content.as_slice(), job, vars)?);
    let target = Target { path: job.path.clone(), mode: job.mode, uid: job.uid, gid: job.gid };
    let changed = place(content.as_slice(), &target)?;
    Ok(Report {
        outcome: Outcome::Placed,
        code: crate::exit::OK,
        changed,
        message: String::new(),
        hints: Vec::new(),
        warnings: Vec::new(),
        size: Some(content.len() as u64),
        origin: Origin::default(),
        attempts: 0,
        duration_ms: 0,
    })
}

fn absent(job: &Job, error: FetchError, trace: &mut Trace) -> Report {
    if std::fs::symlink_metadata(&job.path).is_ok() {
        trace.warnings.push(format!("an earlier {} stays in its place", job.path.display()));
    }
    Report::failed(&FetchError { kind: Kind::Absent, hints: Vec::new(), ..error })
}

fn obtain(
    source: &Source,
    job: &Job,
    vars: &Vars,
    deadline: Instant,
    trace: &mut Trace,
) -> Result<Content, FetchError> {
    match source {
        Source::File(path) => {
            trace.attempts = 1;
            file::read(path, job.max_size).map(Content::new)
        }
        Source::SelfSigned(names) => super::self_signed::pair(names, &job.path),
        #[cfg(feature = "s3")]
        Source::S3(object) => super::s3::fetch(object, job, vars, deadline, trace),
        #[cfg(not(feature = "s3"))]
        Source::S3(object) => {
            let _ = (vars, deadline);
            Err(super::source::SourceError::NoS3 { source: object.to_string() }.into())
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
