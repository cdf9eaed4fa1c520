//! The two messages between PID 1 and its fetch child. The job holds init's own secrets, the report none.
//!
//! The job goes to the child's standard input as one JSON object, the report comes back on its standard output as one
//! line of JSON. Both sides are the same binary, so there is no version to agree on.
//!
//! The secrets are in the job because an environment can be read by every process of the same user, at
//! /proc/PID/environ, from the exec until the child has made itself undumpable.

use super::error::{FetchError, Kind};
use super::vars::Vars;
use crate::config::plan::{DecryptPlan, FileFormat, FilePlan};
use crate::files::DirId;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::Duration;

/// Longest job that a child reads, in bytes. An environment is at most 6 MiB, execve(2).
pub const MAX_JOB: u64 = 16 * 1024 * 1024;
/// Longest report that a parent needs to read, in bytes.
pub const MAX_REPORT: u64 = 64 * 1024;
/// Most warnings that a report carries; the last one tells how many were left out.
pub const MAX_WARNINGS: usize = 50;

/// One file to fetch, everything resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Job {
    /// As [`crate::config::plan::source::Source::parse`] takes it.
    pub source: String,
    pub path: PathBuf,
    /// The directory of `path`, where init made it: another one in its place is not written.
    #[serde(default)]
    pub directory: Option<DirId>,
    pub format: Format,
    /// Permission bits, such as 0o440.
    pub mode: u32,
    /// Owner of the placed file; `None` leaves the child's own.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// A missing source is a failure.
    pub required: bool,
    /// For everything, all attempts and the placing included.
    pub timeout_ms: u64,
    /// Largest size in bytes that is accepted.
    pub max_size: u64,
    /// Keys that a dotenv file must define with a value.
    pub require_keys: Vec<String>,
    /// Where the source lies now, when it is a file of the plan whose new content waits beside its place.
    #[serde(default)]
    pub staged_source: Option<PathBuf>,
    /// Where the certificate lies whose private key this must be.
    #[serde(default)]
    pub certificate: Option<PathBuf>,
    /// Names of the variables that the application's processes will have: they win over a dotenv file, so one that is in
    /// both is warned of.
    #[serde(default)]
    pub env_keys: Vec<String>,
    /// Those of them that the plan sets: their values are not the ones in [`Job::vars`].
    #[serde(default)]
    pub planned_keys: Vec<String>,
    #[serde(default)]
    pub decrypt: Option<DecryptPlan>,
    pub endpoint: Option<String>,
    pub region: Option<String>,
    pub path_style: Option<bool>,
    /// What the application has now: nothing is placed when the source still has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub known: Option<Known>,
    /// The environment of init: credentials, decryption keys, proxies, certificate authorities. The child's own is empty.
    #[serde(default)]
    pub vars: Vars,
}

/// A file that was placed earlier.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Known {
    pub path: PathBuf,
    /// Of the object that it was.
    pub etag: Option<String>,
}

/// [`FileFormat`] as it is written in a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Format {
    Dotenv,
    Pem,
    Raw,
}

impl Job {
    /// The job for `plan`, with its owner looked up and its deadline decided by the caller, who may add
    /// [`Job::directory`], [`Job::env_keys`], [`Job::planned_keys`] and [`Job::vars`].
    pub fn new(plan: &FilePlan, uid: Option<u32>, gid: Option<u32>, timeout: Duration) -> Self {
        Self {
            source: plan.source.clone(),
            path: plan.path.clone(),
            directory: None,
            format: match plan.format {
                FileFormat::Dotenv => Format::Dotenv,
                FileFormat::Pem => Format::Pem,
                FileFormat::Raw => Format::Raw,
            },
            mode: plan.mode,
            uid,
            gid,
            required: plan.required,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            max_size: plan.max_size,
            require_keys: plan.require_keys.clone(),
            staged_source: None,
            certificate: plan.certificate.clone(),
            env_keys: Vec::new(),
            planned_keys: Vec::new(),
            decrypt: plan.decrypt.clone(),
            endpoint: plan.endpoint.clone(),
            region: plan.region.clone(),
            path_style: plan.path_style,
            known: None,
            vars: Vars::default(),
        }
    }

    /// The whole time that the job may take.
    pub fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }
}

/// How a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The file is in its place, valid, with the right mode and owner.
    Placed,
    /// The source has what [`Job::known`] has, which is valid; nothing was placed.
    Unchanged,
    /// The source does not exist and was optional; nothing was changed.
    Absent,
    /// Nothing was placed; an earlier file is untouched.
    Failed,
}

/// What the child tells its parent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Report {
    pub outcome: Outcome,
    /// Exit code of the child, one of [`crate::exit`].
    pub code: u8,
    /// `false`: the very same content was there already.
    pub changed: bool,
    /// What went wrong, with the reason; empty on success.
    pub message: String,
    /// What to do about it, a sentence each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hints: Vec<String>,
    /// Lint of the file: line and key, never a value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// Bytes of the object.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    #[serde(flatten)]
    pub origin: Origin,
    /// Attempts at the object, credentials included; 0 when none was made.
    pub attempts: u32,
    pub duration_ms: u64,
}

/// Where a file came from, as far as the child got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Origin {
    /// Without its quotes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version_id: Option<String>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
    /// Name of the provider that gave the credentials, such as `ecs-container`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
    /// ARN of the role, where the provider tells it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Host, and port where it is not the scheme's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Report {
    /// A report of `error`.
    pub fn failed(error: &FetchError) -> Self {
        Self {
            outcome: if error.kind == Kind::Absent { Outcome::Absent } else { Outcome::Failed },
            code: error.kind.code(),
            changed: false,
            message: error.message.clone(),
            hints: error.hints.clone(),
            warnings: Vec::new(),
            size: None,
            origin: Origin::default(),
            attempts: 0,
            duration_ms: 0,
        }
    }

    /// Adds warnings up to [`MAX_WARNINGS`].
    pub fn warn(&mut self, warnings: impl IntoIterator<Item = String>) {
        let mut left_out = 0_usize;
        for warning in warnings {
            if self.warnings.len() < MAX_WARNINGS {
                self.warnings.push(warning);
            } else {
                left_out += 1;
            }
        }
        if left_out > 0 {
            self.warnings.push(format!("{left_out} more warnings left out"));
        }
    }

    /// The report as one line of JSON, with its line feed.
    pub fn to_line(&self) -> Result<Vec<u8>, serde_json::Error> {
        let mut line = serde_json::to_vec(self)?;
        line.push(b'\n');
        Ok(line)
    }

    /// Reads what a child wrote.
    pub fn from_line(line: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> FilePlan {
        FilePlan {
            source: "s3://bucket/.env".into(),
            path: "/opt/php/.env".into(),
            format: FileFormat::Dotenv,
            mode: 0o440,
            owner: Some("www-data".into()),
            required: true,
            timeout: Duration::from_secs(20),
            max_size: 1 << 20,
            require_keys: vec!["APP_KEY".into()],
            certificate: None,
            decrypt: None,
            endpoint: None,
            region: Some("eu-west-1".into()),
            path_style: None,
            refresh: None,
            on_change: Default::default(),
        }
    }

    #[test]
    fn a_job_survives_the_pipe() {
        let job = Job::new(&plan(), Some(33), Some(33), Duration::from_millis(1500));
        let text = serde_json::to_string(&job).unwrap();
        assert!(text.contains("\"timeout-ms\":1500") && text.contains("\"format\":\"dotenv\""), "{text}");
        assert_eq!(serde_json::from_str::<Job>(&text).unwrap(), job);
        assert_eq!(job.timeout(), Duration::from_millis(1500));
    }

    #[test]
    fn a_report_is_one_line_and_survives_the_pipe() {
        let mut report = Report::failed(
            &FetchError::new(Kind::Missing, "cannot get \"x\":\nno such key").hint("upload it"),
        );
        report.origin.region = Some("eu-west-1".into());
        report.warn((0..60).map(|n| format!("line {n}")));
        let line = report.to_line().unwrap();
        assert_eq!(line.iter().filter(|b| **b == b'\n').count(), 1);
        assert_eq!(line.last(), Some(&b'\n'));
        let read = Report::from_line(&line).unwrap();
        assert_eq!(read, report);
        assert_eq!(read.code, crate::exit::NO_INPUT);
        assert_eq!(read.warnings.len(), MAX_WARNINGS + 1);
        assert_eq!(read.warnings.last().unwrap(), "10 more warnings left out");
    }
}
