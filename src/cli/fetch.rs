//! `init fetch`, hidden: the child that obtains one file for PID 1.
//!
//! A job on standard input, a report on standard output, the verdict as exit code. The child is started with an empty
//! environment; init's own comes in the job. Standard error stays empty, so
//! that nothing a library prints (a panic's text may hold anything) reaches the container's log.

use crate::exit;
use crate::fetch::error::{FetchError, Kind};
use crate::fetch::job::{Job, MAX_JOB, Report};
use crate::fetch::run;
use crate::sys::init::adopt_environment;
use std::io::{Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Arc, Mutex};

/// Runs the job that `stdin` holds, writes the report to `stdout` and returns the exit code.
pub fn run(stdin: impl Read, stdout: &mut dyn Write) -> u8 {
    let report = guarded(|| match read(stdin) {
        // The SDK finds profiles, proxies and certificate authorities by the process's environment alone.
        Ok(job) if adopt_environment(job.vars.iter()) => run::run(&job),
        Ok(_) => Report::failed(&FetchError::new(
            Kind::Internal,
            "cannot set the environment of the fetch child: it has a second thread, or there is no /proc",
        )),
        Err(error) => Report::failed(&error),
    });
    let written = report.to_line().map_err(std::io::Error::from).and_then(|line| {
        stdout.write_all(&line)?;
        stdout.flush()
    });
    // Nobody may have read the report; the verdict stands all the same, but for success, which nobody could act on.
    if written.is_err() && report.code == exit::OK { exit::SOFTWARE } else { report.code }
}

fn read(stdin: impl Read) -> Result<Job, FetchError> {
    let bad = |why: String| FetchError::new(Kind::Internal, format!("cannot read the fetch job: {why}"));
    let mut text = Vec::new();
    stdin
        .take(MAX_JOB + 1)
        .read_to_end(&mut text)
        .map_err(|error| bad(crate::fetch::file::reason(&error)))?;
    if text.len() as u64 > MAX_JOB {
        return Err(bad(format!("it is larger than {MAX_JOB} bytes")));
    }
    if text.is_empty() {
        return Err(bad("it is empty".to_owned()).hint("fetch is started by init itself, not by hand"));
    }
    serde_json::from_slice(&text).map_err(|error| bad(error.to_string()))
}

/// Turns a panic into a report that tells its place and nothing of its text.
fn guarded(work: impl FnOnce() -> Report) -> Report {
    // The hook is the whole process's: one at a time. All work is done on this thread, so only its panics count.
    static HOOK: Mutex<()> = Mutex::new(());
    let _alone = HOOK.lock();
    let this = std::thread::current().id();
    let place = Arc::new(Mutex::new(String::new()));
    let seen = Arc::clone(&place);
    let before = take_hook();
    set_hook(Box::new(move |panic| {
        if std::thread::current().id() != this {
            return;
        }
        if let (Some(location), Ok(mut place)) = (panic.location(), seen.lock()) {
            *place = format!("{}:{}", location.file(), location.line());
        }
    }));
    let result = catch_unwind(AssertUnwindSafe(work));
    set_hook(before);
    result.unwrap_or_else(|_| {
        let place = place.lock().map(|place| place.clone()).unwrap_or_default();
        Report::failed(&FetchError::new(
            Kind::Internal,
            format!("cannot fetch: a fault in init itself, at {place}"),
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_job_is_a_fault_of_init() {
        for text in ["", "{", "{\"source\":\"/x\"}", "[]"] {
            let mut out = Vec::new();
            assert_eq!(run(text.as_bytes(), &mut out), exit::SOFTWARE, "{text}");
            let report = Report::from_line(&out).unwrap();
            assert!(report.message.starts_with("cannot read the fetch job"), "{text}: {report:?}");
        }
        let mut out = Vec::new();
        assert_eq!(run(std::io::repeat(b' '), &mut out), exit::SOFTWARE);
    }

    #[test]
    fn a_panic_becomes_a_report_without_its_text() {
        let report = guarded(|| panic!("S3CR3T"));
        assert_eq!(report.code, exit::SOFTWARE);
        assert!(
            report.message.contains("src/cli/fetch.rs:") && !report.message.contains("S3CR3T"),
            "{report:?}"
        );
    }
}
