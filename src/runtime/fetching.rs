//! Runs the fetch child for one file of the plan and tells how it went.
//!
//! The child is this same binary. Its job goes in on stdin, its report comes back on a pipe, its exit code is the
//! verdict; PID 1 never touches the SDK, TLS or what was fetched.

use super::boot::End;
use super::children::Who;
use super::clock;
use super::relay::SourceInfo;
use super::shell::Shell;
use super::step::{OnStop, StepEnd};
use crate::config::plan::{FilePlan, LogFormat, OnStall, Signal};
use crate::exit;
use crate::fetch::job::{Job, MAX_REPORT, Outcome, Report};
use crate::fetch::place;
use crate::logs::format::{Label, Stream};
use crate::supervisor::words::Words;
use crate::sys::spawn::{Command, Output, Stdin};
use crate::sys::{Pid, fd};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::time::Duration;

/// What the child may take over its own deadline before it is killed: it keeps the deadline itself.
const SLACK: Duration = Duration::from_secs(2);

/// Fetches and places one file.
///
/// # Errors
/// [`End`] when a required file did not come, or a stop signal did.
pub async fn fetch(shell: &mut Shell, file: &FilePlan) -> Result<(), End> {
    let path = file.path.display();
    let owner = match shell.identity(file.owner.as_deref()) {
        Ok(owner) => owner,
        Err(error) => {
            tracing::error!("cannot fetch {path}: {error}");
            return Err(End::Failed(exit::CONFIG));
        }
    };
    let (uid, gid) = owner.map_or((None, None), |owner| (Some(owner.uid), Some(owner.gid)));
    let mut job = Job::new(file, uid, gid, file.timeout);
    // Laravel lets the environment win over .env: a key in both is worth a warning.
    job.env_keys = shell.environment.names().collect();
    job.planned_keys = shell.environment.planned().to_vec();
    let (pid, report) = match start(shell, &job) {
        Ok(started) => started,
        Err(error) => {
            tracing::error!("cannot fetch {path}: cannot start the fetch child: {error}");
            return Err(End::Failed(exit::OS));
        }
    };
    let began = clock::now();
    let end = shell.wait_step(pid, Some(file.timeout.saturating_add(SLACK)), OnStop::End).await;
    if !matches!(end, StepEnd::Done(_)) {
        // A child that was killed may have left its temporary file.
        place::sweep(&file.path);
    }
    match end {
        StepEnd::Obeyed(_, signal) | StepEnd::Stopped(signal) => Err(End::Stopped(signal)),
        StepEnd::TimedOut => {
            tracing::error!(
                "cannot fetch {path}: no answer within {}: check the network, the VPC endpoint of S3, and timeout",
                Words(file.timeout)
            );
            Err(End::Failed(exit::UNAVAILABLE))
        }
        StepEnd::Done(gone) => match read_report(report) {
            Some(report) => tell(file, &report, began),
            None => {
                let why = super::boot::failure(&gone).unwrap_or_else(|| "it reported nothing".to_owned());
                tracing::error!("cannot fetch {path}: the fetch child failed: {why}");
                Err(End::Failed(exit::SOFTWARE))
            }
        },
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

fn tell(file: &FilePlan, report: &Report, began: crate::supervisor::event::Mono) -> Result<(), End> {
    let path = file.path.display();
    for warning in &report.warnings {
        tracing::warn!("{path}: {warning}");
    }
    match report.outcome {
        Outcome::Placed => {
            let origin = &report.origin;
            tracing::info!(
                "{} {path} from {} in {} ({} bytes{}{})",
                if report.changed { "placed" } else { "kept unchanged" },
                file.source,
                Words(clock::now().since(began)),
                report.size.unwrap_or_default(),
                origin.etag.as_ref().map(|etag| format!(", etag {etag}")).unwrap_or_default(),
                origin.version_id.as_ref().map(|version| format!(", version {version}")).unwrap_or_default(),
            );
            Ok(())
        }
        Outcome::Absent => {
            tracing::info!("{path} is optional and {} does not exist: going on without it", file.source);
            Ok(())
        }
        Outcome::Failed => {
            tracing::error!("{}", report.message);
            for hint in &report.hints {
                tracing::error!("{hint}");
            }
            Err(End::Failed(report.code))
        }
    }
}
