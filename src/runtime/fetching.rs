//! Runs the fetch child for one file of the plan and reads how it went. Who waits for it meanwhile is the caller's.
//!
//! The child is this same binary. Its job goes in on stdin, its report comes back on a pipe, its exit code is the
//! verdict; PID 1 never touches the SDK, TLS or what was fetched.

use super::children::{Gone, Who};
use super::failure::Failure;
use super::relay::SourceInfo;
use super::shell::{Origin, Shell};
use super::{boot, clock};
use crate::config::plan::{FilePlan, LogFormat, OnStall, Signal};
use crate::exit;
use crate::fetch::job::{Job, Known, MAX_REPORT, Outcome, Report};
use crate::logs::format::{Label, Stream};
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::spawn::{Command, Output, Stdin};
use crate::sys::{Pid, fd};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the child may take over its own deadline before it is killed: it keeps the deadline itself.
const SLACK: Duration = Duration::from_secs(2);

/// A fetch that runs.
pub struct Fetching {
    pub pid: Pid,
    /// What it may take.
    pub limit: Duration,
    file: FilePlan,
    report: OwnedFd,
    began: Mono,
}

/// A fetch that ended well.
#[derive(Debug)]
pub struct Fetched {
    pub outcome: Outcome,
    pub origin: Origin,
    /// What happened, for the log.
    pub text: String,
}

impl Fetching {
    /// Starts the child that fetches and places one file. With `known`, what is the same as that is not placed.
    ///
    /// # Errors
    /// No process came of it.
    pub fn start(shell: &mut Shell, file: &FilePlan, known: Option<Known>) -> Result<Self, Failure> {
        let path = file.path.display();
        let owner = shell
            .identity(file.owner.as_deref())
            .map_err(|error| Failure::new(exit::CONFIG, format!("cannot fetch {path}: {error}")))?;
        let (uid, gid) = owner.map_or((None, None), |owner| (Some(owner.uid), Some(owner.gid)));
        let mut job = Job::new(file, uid, gid, file.timeout);
        job.known = known;
        // Laravel lets the environment win over .env: a key in both is worth a warning.
        job.env_keys = shell.environment.names().collect();
        job.planned_keys = shell.environment.planned().to_vec();
        let (pid, report) = start(shell, &job).map_err(|error| {
            Failure::new(exit::OS, format!("cannot fetch {path}: cannot start the fetch child: {error}"))
        })?;
        let limit = file.timeout.saturating_add(SLACK);
        Ok(Self { pid, limit, file: file.clone(), report, began: clock::now() })
    }

    /// The child ended by itself.
    ///
    /// # Errors
    /// A required file did not come.
    pub fn done(self, gone: &Gone) -> Result<Fetched, Failure> {
        let Some(report) = read_report(self.report) else {
            let why = boot::failure(gone).unwrap_or_else(|| "it reported nothing".to_owned());
            let path = self.file.path.display();
            let text = format!("cannot fetch {path}: the fetch child failed: {why}");
            return Err(Failure::new(exit::SOFTWARE, text));
        };
        read(&self.file, report, self.began)
    }

    /// The child was ended because its time was over.
    pub fn timed_out(&self) -> Failure {
        let text = format!(
            "cannot fetch {}: no answer within {}: check the network, the VPC endpoint of S3, and timeout",
            self.file.path.display(),
            Words(self.file.timeout)
        );
        Failure::new(exit::UNAVAILABLE, text)
    }
}

fn start(shell: &mut Shell, job: &Job) -> Result<(Pid, OwnedFd), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let program = std::env::current_exe().map_err(|error| text(&error))?;
    let job = serde_json::to_vec(job).map_err(|error| text(&error))?;
    let input = fd::pipe_cloexec().map_err(|error| text(&error))?;
    let report = fd::pipe_cloexec().map_err(|error| text(&error))?;
    let errors = fd::pipe_cloexec().map_err(|error| text(&error))?;
    // The whole job fits in the pipe, so this returns before anyone reads. A job that does not fit would block PID 1.
    fd::enlarge_pipe(&input.write, i32::try_from(job.len()).unwrap_or(i32::MAX))
        .map_err(|error| text(&error))?;
    fd::set_nonblocking(&input.write).map_err(|error| text(&error))?;
    File::from(input.write).write_all(&job).map_err(|error| text(&error))?;
    // A report is smaller than a pipe, so the child never waits for its reader.
    fd::set_nonblocking(&report.read).map_err(|error| text(&error))?;
    let command = Command {
        // All of init's own: credentials, proxies, certificates are for exactly this child.
        env: std::env::vars_os().collect(),
        stdin: Stdin::Fd(input.read),
        stdout: Output::Fd(report.write),
        stderr: Output::Fd(errors.write),
        umask: Some(0o077),
        // It must not outlive a killed init.
        death_signal: Some(Signal::KILL),
        ..Command::new([program.into_os_string(), "fetch".into()])
    };
    let pid = shell.children.spawn(Who::Step, &command).map_err(|error| text(&error))?;
    let info = SourceInfo {
        label: Label::Step { name: "fetch".to_owned() },
        pid: pid.raw(),
        stream: Stream::Stderr,
        format: if shell.plan.log.format == LogFormat::Json { LogFormat::Json } else { LogFormat::Prefix },
        on_stall: OnStall::Drop,
        tap: None,
    };
    match shell.relays.spawn(errors.read, info) {
        Ok(relay) => shell.children.attach(pid, vec![relay]),
        Err(error) => tracing::warn!("{error}"),
    }
    Ok((pid, report.read))
}

fn read_report(from: OwnedFd) -> Option<Report> {
    let mut line = Vec::new();
    // WouldBlock after the line means that a process the child started holds the pipe; what came is the report.
    let _ = File::from(from).take(MAX_REPORT).read_to_end(&mut line);
    Report::from_line(&line).ok()
}

fn read(file: &FilePlan, report: Report, began: Mono) -> Result<Fetched, Failure> {
    let path = file.path.display();
    for warning in &report.warnings {
        tracing::warn!("{path}: {warning}");
    }
    let etag = report.origin.etag;
    let text = match report.outcome {
        Outcome::Placed => format!(
            "{} {path} from {} in {} ({} bytes{}{})",
            if report.changed { "placed" } else { "kept unchanged" },
            file.source,
            Words(clock::now().since(began)),
            report.size.unwrap_or_default(),
            etag.as_ref().map(|etag| format!(", etag {etag}")).unwrap_or_default(),
            report.origin.version_id.map(|version| format!(", version {version}")).unwrap_or_default(),
        ),
        Outcome::Unchanged => format!("{} has not changed", file.source),
        Outcome::Absent => {
            format!("{path} is optional and {} does not exist: going on without it", file.source)
        }
        Outcome::Failed => {
            return Err(Failure { code: report.code, text: report.message, hints: report.hints });
        }
    };
    let origin = Origin { source: file.source.clone(), etag };
    Ok(Fetched { outcome: report.outcome, origin, text })
}
