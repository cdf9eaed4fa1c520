//! What init and its clients say to each other: one JSON object a line, a request by the client, replies by init.
//!
//! A request is answered by any number of [`Reply`] lines, of which the last one [ends it](Reply::is_last); then init
//! closes the connection. Times are milliseconds: durations up to the moment of the reply, wall-clock moments since
//! 1970. Fields may be added within a version; a reader ignores those it does not know. No secret is in any of it.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version that this init speaks. Another one is refused by name.
pub const VERSION: u32 = 1;

/// The longest request in bytes, its line feed included.
pub const MAX_REQUEST: usize = 4096;

/// What a client sends, and with which version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub v: u32,
    #[serde(flatten)]
    pub request: Request,
}

/// What is asked. `names` are `NAME` (all its instances), `NAME:N` or `all`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "request", rename_all = "kebab-case")]
pub enum Request {
    Health {
        level: Level,
    },
    Status,
    Timeline,
    Start {
        names: Vec<String>,
    },
    Stop {
        names: Vec<String>,
    },
    Restart {
        names: Vec<String>,
    },
    /// `signal` as in the configuration: `USR1`, `SIGUSR1`, `RTMIN+3`, a number.
    Signal {
        names: Vec<String>,
        signal: String,
    },
    Reload,
    /// The last `lines` lines of these services and cron entries, of all when `names` is empty; with `follow`, those
    /// to come too.
    Logs {
        names: Vec<String>,
        lines: u32,
        follow: bool,
    },
    Events {
        lines: u32,
        follow: bool,
    },
    /// One run of a cron entry now. With `wait` the answer comes when it has ended.
    Run {
        name: String,
        wait: bool,
    },
    Pause,
    Resume,
}

/// What a health check wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// init answers, and nothing essential has failed for good: restarting the container would not help.
    Alive,
    /// Every essential service, and every other one with a probe, is RUNNING and answers its probes.
    Ready,
}

/// One line of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Health(Health),
    Status(Box<Status>),
    Timeline(Timeline),
    /// What goes on meanwhile, for people.
    Progress {
        text: String,
    },
    /// The end of start, stop, restart, signal, reload, run, pause and resume.
    Done {
        results: Vec<Outcome>,
    },
    Log(LogLine),
    Event(EventLine),
    /// The end of logs and events without `follow`.
    End,
    /// The request was refused. `code` is what the client exits with, of [`crate::exit`].
    Error {
        code: u8,
        message: String,
    },
}

impl Reply {
    /// Nothing follows it.
    pub fn is_last(&self) -> bool {
        !matches!(self, Self::Progress { .. } | Self::Log(_) | Self::Event(_))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Health {
    pub healthy: bool,
    pub phase: Phase,
    /// Why it is not healthy, or what is degraded; a sentence each.
    pub reasons: Vec<String>,
}

/// What became of a request for one instance or run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub name: String,
    pub ok: bool,
    /// What the client exits with because of it; 0 with `ok`.
    pub code: u8,
    /// Such as `started, pid 42`.
    pub text: String,
}

/// What the container is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    #[default]
    Booting,
    Migrating,
    OneOff,
    Running,
    Reloading,
    Stopping,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    pub v: u32,
    pub version: String,
    pub pid: i32,
    pub phase: Phase,
    pub uptime_ms: u64,
    pub preset: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    pub paused: bool,
    pub ready: bool,
    pub services: Vec<Service>,
    pub crons: Vec<Cron>,
    pub orphans_reaped: u64,
    /// Lines and bytes relayed, and lines dropped.
    pub log: LogCounters,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<Reloaded>,
    /// `task`, `family`, `revision`, `zone`…: what ECS tells of the task.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub ecs: BTreeMap<String, String>,
}

/// One instance of a service.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Service {
    /// `NAME`, or `NAME:N` where there is more than one.
    pub name: String,
    pub service: String,
    pub instance: u16,
    /// supervisord's word: RUNNING, BACKOFF…
    pub state: String,
    pub wanted: bool,
    pub essential: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// For how long it has been in this state.
    pub since_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_ms: Option<u64>,
    pub restarts: u64,
    /// Restarts by cause: `exit`, `signal`, `oom`, `not-ready`, `liveness`, `reload`, `request`, `start`.
    #[serde(default)]
    pub restarts_by_cause: BTreeMap<String, u64>,
    pub failures: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_in_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waits_for: Option<String>,
    /// The verdict of its liveness probe, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alive: Option<bool>,
    /// Such as `every worker is busy`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// How many liveness probes found it degraded so far, where it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded_attempts: Option<u64>,
    /// What it last said of itself: STATUS= of sd_notify(3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub told: Option<String>,
    pub paused: bool,
}

/// One cron entry.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cron {
    pub name: String,
    pub schedule: String,
    /// Wall clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_ms: Option<i64>,
    pub running: Vec<Run>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_exit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_ago_ms: Option<u64>,
    /// How far behind its moment the last run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lag_ms: Option<u64>,
    /// How long the last run took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_took_ms: Option<u64>,
    /// Runs by outcome: `ok`, `failed`, `timeout`, `skipped`.
    #[serde(default)]
    pub outcomes: BTreeMap<String, u64>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    pub age_ms: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogCounters {
    pub lines: u64,
    pub bytes: u64,
    pub dropped_lines: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    pub ok: bool,
    pub ago_ms: u64,
    pub text: String,
}

/// The boot as spans of time since init began.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    pub spans: Vec<Span>,
    /// Until now, or until everything was ready.
    pub total_ms: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Span {
    pub name: String,
    pub kind: SpanKind,
    pub start_ms: u64,
    /// `None`: it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_ms: Option<u64>,
    pub ok: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SpanKind {
    #[default]
    Init,
    Fetch,
    Step,
    /// From the start of a service to its readiness.
    Service,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    pub at_ms: i64,
    /// `queue:1`, `schedule`, `init`.
    pub name: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// Lossily decoded.
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventLine {
    pub at_ms: i64,
    /// `error`, `warn`, `info`, `debug`.
    pub severity: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// As in the log: `exited 1 after 3s; restarting in 500ms`.
    pub text: String,
}
