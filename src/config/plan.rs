//! The resolved plan: everything decided, nothing left to look up but users and files.
//!
//! Plain data. [`crate::config`] makes it; every other module reads it. Durations are exact, strings have had
//! their `${VAR}` replaced, lists have been filtered for the role. What a `${VAR}` gave may be a secret, so `Debug` shows of
//! variables, arguments and sources no more than that they are there.

mod debug;
mod decrypt;
mod file;
mod probe;
pub mod source;

pub use super::signal::Signal;
pub use decrypt::{Cipher, DecryptFormat, DecryptPlan, Derivation, Digest, KeySource, Secret};
pub use file::{FileFormat, FilePlan, OnChange};
pub use probe::{LiveNotify, LivePlan, ProbePlan, ReadyNotify, ReadyPlan, WarmUpPlan};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// The variable that tells which instance, run or probe program a process belongs to: it inherits what that was started
/// with. No secret.
pub const INSTANCE: &str = "INIT_INSTANCE";

/// Variables in the order of their names.
pub type Env = BTreeMap<String, String>;

/// The whole plan of one container.
#[derive(Clone, PartialEq)]
pub struct Plan {
    /// Name of the preset under the file: `laravel`, `php`, `none`…
    pub preset: String,
    /// The user's file, if there is one.
    pub config_file: Option<PathBuf>,
    /// The role that services and cron entries were filtered by.
    pub role: Option<String>,
    /// The one directory that init itself writes.
    pub state_dir: PathBuf,
    /// Where children run.
    pub work_dir: PathBuf,
    /// `name`, `name:group` or numeric ids of everything that does not say otherwise. Not looked up yet.
    pub user: Option<String>,
    /// The whole stop, from the signal to init's own exit.
    pub stop_timeout: Duration,
    /// Variables of every child, over the real environment.
    pub env: Env,
    /// Names of init's own secrets that children get all the same (`*` at the end matches a prefix).
    pub pass_env: Vec<String>,
    /// Paths that must be writable by the application's user; probed by writing.
    pub writable: Vec<PathBuf>,
    /// Directories made, with their owner, where they are missing.
    pub directories: Vec<PathBuf>,
    /// Crontab files that run as they are.
    pub crontabs: Vec<PathBuf>,
    pub log: LogPlan,
    pub control: ControlPlan,
    pub health: HealthPlan,
    pub ecs: EcsPlan,
    /// Files to fetch, in order.
    pub files: Vec<FilePlan>,
    /// Boot steps, in order.
    pub boot: Vec<StepPlan>,
    pub reload: ReloadPlan,
    pub migrate: Option<MigratePlan>,
    /// Services of this role, in the order of the file.
    pub services: Vec<ServicePlan>,
    /// Cron entries of this role, in the order of the file.
    pub crons: Vec<CronPlan>,
}

/// How init is asked and steered while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControlPlan {
    /// `None`: there is no socket.
    pub socket: Option<PathBuf>,
    /// Bytes of the last lines that are kept; 0 keeps nothing.
    pub log_tail: usize,
}

/// How lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// The line as it came.
    #[default]
    Plain,
    /// `[service:0] line`.
    Prefix,
    /// One JSON object a line.
    Json,
    /// No relay: the child writes to the container's own stdout and stderr.
    Inherit,
}

/// The least severe of init's own lines that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum LogLevel {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// What a full buffer does to a service's output while the container's stdout is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OnStall {
    /// The service waits in write(2); nothing is lost.
    #[default]
    Block,
    /// Lines are dropped, counted, and the count is told later.
    Drop,
}

#[derive(Clone, Debug, PartialEq)]
pub struct LogPlan {
    pub format: LogFormat,
    pub level: LogLevel,
    pub on_stall: OnStall,
    /// Longest line in bytes that is kept whole; longer ones are split and marked.
    pub max_line: usize,
}

/// Health and metrics over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct HealthPlan {
    /// `host:port` or the path of a socket; `None`: there is no listener.
    pub listen: Option<String>,
    /// It may be reached from outside of the container.
    pub expose: bool,
}

/// What init does as a task of ECS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EcsPlan {
    /// Services whose jobs protect the task from a scale-in.
    pub protected: Vec<String>,
    /// How long nothing must have been at a job before the protection is lifted.
    pub release_after: Duration,
    /// After which a job that has not ended does not count any longer.
    pub max_job: Duration,
}

/// What a reload makes anew.
#[derive(Clone, PartialEq, Default)]
pub struct ReloadPlan {
    /// Variables and the paths that they get: relative ones within the new generation's directory, made beforehand where
    /// they end in `/`.
    pub caches: Env,
}

/// What is checked after a boot step that says success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// `artisan optimize`: no `FAIL` printed, and config cache written since the step began.
    LaravelOptimize,
}

#[derive(Clone, PartialEq)]
pub struct StepPlan {
    pub name: String,
    pub command: Vec<String>,
    pub user: Option<String>,
    pub work_dir: Option<PathBuf>,
    pub env: Env,
    pub timeout: Duration,
    pub verify: Option<Verify>,
    /// File mode creation mask.
    pub umask: u32,
}

#[derive(Clone, PartialEq)]
pub struct MigratePlan {
    pub command: Vec<String>,
    pub user: Option<String>,
    pub env: Env,
    /// How long to wait for another migration's lock.
    pub lock_timeout: Duration,
    /// The command's exit code that means "another process holds the lock".
    pub lock_code: u8,
    /// How long the migration itself may take; `None` is for ever.
    pub timeout: Option<Duration>,
}

/// When a service that ended is started again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restart {
    Always,
    /// Unless it exited 0.
    OnFailure,
    Never,
}

/// Delays between restarts of a service that keeps ending.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backoff {
    pub initial: Duration,
    pub factor: f64,
    pub max: Duration,
    /// Share of the delay that is random, 0 to 1.
    pub jitter: f64,
    /// Uptime after which earlier failures are forgotten.
    pub reset_after: Duration,
}

impl Backoff {
    /// The shortest delay: PID 1 must not fork in a tight loop.
    pub const LEAST_DELAY: Duration = Duration::from_millis(10);
    /// The least uptime that forgives failures: with none every run would, and nothing ever back off.
    pub const LEAST_RESET: Duration = Duration::from_millis(100);
}

/// What giving up means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// The container stops, with the service's code.
    Exit,
    /// The instance stays FATAL and the rest goes on.
    Stay,
}

/// How many restarts within which time are too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GiveUp {
    pub restarts: u32,
    pub within: Duration,
    pub then: Then,
}

impl GiveUp {
    /// Restarts that are remembered for each instance at most.
    pub const MOST_RESTARTS: u32 = 1000;
}

/// Who gets the stop signal. KILL always goes to the whole group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopScope {
    /// The main process alone: masters that drain their own workers (php-fpm, nginx, horizon).
    Main,
    /// The whole process group.
    Group,
}

/// Which processes of an instance end with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KillMode {
    /// All that it started, in whatever session they are.
    #[default]
    All,
    /// Those of its process group. A daemon in a session of its own lives until the container stops.
    Group,
}

/// What init adds to PHP-FPM's own configuration, in a file in the state directory given by `-y`.
#[derive(Clone, Debug, PartialEq)]
pub struct FpmPlan {
    /// PHP-FPM's main configuration; `None`: the first that exists of the usual places.
    pub config: Option<PathBuf>,
    /// How long workers may finish their requests on a stop, unless the image's configuration says so itself.
    pub process_control_timeout: Duration,
    /// `ping.path` of every pool that sets none.
    pub ping_path: String,
    /// `pm.status_path` of every pool that sets none.
    pub status_path: String,
    /// `pm.status_listen` of every pool: a socket in the state directory.
    pub status_socket: bool,
}

#[derive(Clone, PartialEq)]
pub struct ServicePlan {
    pub name: String,
    pub command: Vec<String>,
    pub user: Option<String>,
    pub work_dir: Option<PathBuf>,
    /// Over the plan's `env`.
    pub env: Env,
    /// At least 1.
    pub instances: u16,
    /// Its permanent failure ends the container.
    pub essential: bool,
    /// Services that must be up (ready, where they have a probe) before this one starts. They stop after this one.
    pub after: Vec<String>,
    /// As `after`; and when one of them fails for good, so does this one.
    pub requires: Vec<String>,
    pub restart: Restart,
    pub backoff: Backoff,
    pub give_up: Option<GiveUp>,
    /// Uptime after which an instance without a probe counts as RUNNING.
    pub start_grace: Duration,
    /// Between the starts of two instances.
    pub stagger: Duration,
    pub stop_signal: Signal,
    pub stop_scope: StopScope,
    pub kill_mode: KillMode,
    /// From the stop signal to KILL; never beyond the plan's `stop_timeout`. `None`: all of it.
    pub stop_timeout: Option<Duration>,
    /// What a reload sends to the main process; `None`: a reload restarts the instances one by one.
    pub reload_signal: Option<Signal>,
    /// From the stop signal that a reload sends to an instance to KILL.
    pub reload_timeout: Duration,
    /// What a pause sends to the main process of what is RUNNING; what ends meanwhile stays down until it is over.
    pub pause_signal: Option<Signal>,
    /// What the end of a pause sends.
    pub resume_signal: Option<Signal>,
    pub ready: Option<ReadyPlan>,
    pub live: Option<LivePlan>,
    pub fpm: Option<FpmPlan>,
    pub log_format: Option<LogFormat>,
    pub on_stall: Option<OnStall>,
    /// Soft limit of open files; `None`: as init's.
    pub open_files: Option<u64>,
    pub umask: u32,
}

/// What happens when a cron entry is due while an earlier run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// Runs side by side, up to `max_running`.
    Allow,
    /// The new run is skipped.
    Skip,
    /// One run waits for the earlier one to end; further ones are skipped.
    Queue,
    /// The earlier run is stopped, then the new one starts.
    Replace,
}

#[derive(Clone, PartialEq)]
pub struct CronPlan {
    pub name: String,
    /// Five fields, six with seconds in front, or `@hourly`…; already checked.
    pub schedule: String,
    /// IANA name; `None` is UTC.
    pub time_zone: Option<String>,
    pub command: Vec<String>,
    pub user: Option<String>,
    pub work_dir: Option<PathBuf>,
    pub env: Env,
    pub overlap: Overlap,
    /// Cap of `overlap = "allow"`.
    pub max_running: u16,
    /// After which a run is stopped; `None` is never.
    pub timeout: Option<Duration>,
    /// Greatest random delay of a run.
    pub jitter: Duration,
    /// What a stop or a timeout sends, to the whole group.
    pub stop_signal: Signal,
    pub log_format: Option<LogFormat>,
    pub on_stall: Option<OnStall>,
    pub umask: u32,
}
