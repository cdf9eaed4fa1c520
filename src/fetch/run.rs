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
use super::vars::Vars;
use crate::config::plan::source::Source;
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
pub fn run(job: &Job) -> Report {
    let start = Instant::now();
    let mut trace = Trace::default();
    let mut report = match attempt(job, start, &mut trace) {
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

fn attempt(job: &Job, start: Instant, trace: &mut Trace) -> Result<Report, FetchError> {
    let vars = &job.vars;
    let source = Source::parse(&job.source)?;
    let deadline = start + job.timeout().max(SHORTEST);
    let known = job.known.as_ref().and_then(|known| file::read(&known.path, job.max_size).ok());
    let known = known.map(Content::new);
    // Without the file there is nothing that an answer "not modified" could stand for.
    let etag = job.known.as_ref().filter(|_| known.is_some()).and_then(|known| known.etag.as_deref());
    let content = match obtain(&source, job, vars, etag, deadline, trace) {
        Err(error) if error.kind == Kind::Missing && !job.required => return Ok(absent(job, error, trace)),
        content => content?,
    };
    let content = content.map(|content| decrypt(content, job, vars, &mut trace.redact)).transpose()?;
    let same = known.filter(|known| content.as_ref().is_none_or(|new| new.as_slice() == known.as_slice()));
    let unchanged = same.is_some();
    let Some(content) = same.or(content) else {
        return Err(FetchError::new(
            Kind::Unreachable,
            format!("cannot get {}: it was not sent", job.source),
        ));
    };
    // Also what is the same: other keys may be required by now.
    trace.warnings.extend(check(content.as_slice(), job, vars)?);
    let target = Target {
        path: job.path.clone(),
        directory: job.directory,
        mode: job.mode,
        uid: job.uid,
        gid: job.gid,
    };
    let changed = !unchanged && place(content.as_slice(), &target)?;
    Ok(Report {
        outcome: if unchanged { Outcome::Unchanged } else { Outcome::Placed },
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
    if crate::files::link_metadata(&job.path).is_ok() {
        trace.warnings.push(format!("an earlier {} stays in its place", job.path.display()));
    }
    Report::failed(&FetchError { kind: Kind::Absent, hints: Vec::new(), ..error })
}

/// The content of the source; `None` when it is the object of `etag` still.
fn obtain(
    source: &Source,
    job: &Job,
    vars: &Vars,
    etag: Option<&str>,
    deadline: Instant,
    trace: &mut Trace,
) -> Result<Option<Content>, FetchError> {
    match source {
        Source::File(path) => {
            trace.attempts = 1;
            let path = job.staged_source.as_ref().unwrap_or(path);
            file::read(path, job.max_size).map(Content::new).map(Some)
        }
        Source::SelfSigned(names) => {
            let earlier = job.known.as_ref().map_or(&job.path, |known| &known.path);
            super::self_signed::pair(names, earlier).map(Some)
        }
        #[cfg(feature = "s3")]
        Source::S3(object) => super::s3::fetch(object, job, vars, etag, deadline, trace),
        #[cfg(not(feature = "s3"))]
        Source::S3(object) => {
            let _ = (vars, etag, deadline);
            Err(crate::config::plan::source::SourceError::NoS3 { source: object.to_string() }.into())
        }
    }
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
