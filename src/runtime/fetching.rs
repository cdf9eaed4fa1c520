//! Runs the fetch child for one file of the plan and reads how it went. Who waits for it meanwhile is the caller's.
//!
//! The child is this same binary. Its job goes in on stdin, its report comes back on stdout, its exit code is the
//! verdict; PID 1 never touches the SDK, TLS or what was fetched.
//!
//! The child's environment is empty: init's secrets are in the job. Both ways are one socket, since a process of the same
//! user may open the descriptors of a child that has just executed its program, at /proc/PID/fd: a pipe can be opened a
//! second time there and read empty, a socket cannot (ENXIO).

use super::children::{Gone, Who};
use super::failure::Failure;
use super::relay::SourceInfo;
use super::shell::{Origin, Shell};
use super::{boot, clock};
use crate::config::plan::{FilePlan, LogFormat, OnStall, Signal};
use crate::exit;
use crate::fetch::job::{Job, Known, MAX_REPORT, Outcome, Report};
use crate::fetch::secret::Content;
use crate::fetch::vars::Vars;
use crate::files::DirId;
use crate::logs::format::{Label, Stream};
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::spawn::{Command, Output, Stdin};
use crate::sys::users::Identity;
use crate::sys::{Pid, fd, words};
use std::io::{self, Read as _};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;

/// What the child may take over its own deadline before it is killed: it keeps the deadline itself.
const SLACK: Duration = Duration::from_secs(2);

/// A fetch that runs.
pub struct Fetching {
    pub pid: Pid,
    /// What it may take.
    pub limit: Duration,
    file: FilePlan,
    report: UnixStream,
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
    /// Starts the child that fetches and places one file, in no other directory than `directory` if that is given. With
    /// `known`, what is the same as that is not placed. `now` is where a file of the plan lies now that may wait beside its
    /// place.
    ///
    /// # Errors
    /// No process came of it.
    pub fn start(
        shell: &mut Shell,
        file: &FilePlan,
        directory: Option<DirId>,
        known: Option<Known>,
        now: &dyn Fn(&Path) -> PathBuf,
    ) -> Result<Self, Failure> {
        let path = file.path.display();
        let owner = shell
            .identity(file.owner.as_deref())
            .map_err(|error| Failure::new(exit::CONFIG, format!("cannot fetch {path}: {error}")))?;
        let (uid, gid) = owner_of(file, owner.as_ref());
        let mut job = Job::new(file, uid, gid, file.timeout);
        job.directory = directory;
        job.known = known;
        job.staged_source = file.source_file().map(|source| now(&source));
        job.certificate = file.certificate.as_deref().map(now);
        // Laravel lets the environment win over .env: a key in both is worth a warning.
        job.env_keys = shell.environment.names().collect();
        job.planned_keys = shell.environment.planned().to_vec();
        job.vars = Vars::from_env();
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

/// Whom a file belongs to: whom the plan says; else it is for the application, whose group reads it while root alone may
/// change it. With a mode that lets no group read, the application could only read what is its own.
fn owner_of(file: &FilePlan, owner: Option<&Identity>) -> (Option<u32>, Option<u32>) {
    let Some(owner) = owner else { return (None, None) };
    let roots = file.owner.is_none() && file.mode & 0o040 != 0;
    (Some(if roots { 0 } else { owner.uid }), Some(owner.gid))
}

fn start(shell: &mut Shell, job: &Job) -> Result<(Pid, UnixStream), String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let program = std::env::current_exe().map_err(|error| text(&error))?;
    let job = serde_json::to_vec(job).map(Content::new).map_err(|error| text(&error))?;
    let (own, child) = UnixStream::pair().map_err(|error| text(&error))?;
    let output = child.try_clone().map_err(|error| text(&error))?;
    let errors = fd::pipe_cloexec().map_err(|error| text(&error))?;
    own.set_nonblocking(true).map_err(|error| text(&error))?;
    let input = own.try_clone().map_err(|error| text(&error))?;
    let command = Command {
        stdin: Stdin::Fd(OwnedFd::from(child)),
        // A report is smaller than the socket's buffer, so the child never waits for its reader.
        stdout: Output::Fd(OwnedFd::from(output)),
        stderr: Output::Fd(errors.write),
        umask: Some(0o077),
        // It must not outlive a killed init.
        death_signal: Some(Signal::KILL),
        ..Command::new([program.into_os_string(), "fetch".into()])
    };
    let pid = shell.children.spawn(Who::Step, command).map_err(|error| text(&error))?;
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
    // A job may be larger than the socket's buffer: PID 1 does not wait until it is read.
    tokio::task::spawn_local(async move {
        if let Err(error) = send(input, &job).await {
            // The child has ended, and its report or its end says why.
            tracing::debug!("cannot send its job to the fetch child: {}", words(&error));
        }
    });
    Ok((pid, own))
}

async fn send(to: UnixStream, job: &Content) -> io::Result<()> {
    let mut to = tokio::net::UnixStream::from_std(to)?;
    to.write_all(job.as_slice()).await?;
    to.into_std()?.shutdown(Shutdown::Write)
}

fn read_report(from: UnixStream) -> Option<Report> {
    let mut line = Vec::new();
    // WouldBlock after the line means that a process the child started holds the socket; what came is the report.
    let _ = from.take(MAX_REPORT).read_to_end(&mut line);
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
