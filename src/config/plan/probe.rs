//! How a service tells that it is ready, and that it lives; what happens in between.

use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// How a service tells that it is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadyPlan {
    pub probe: ProbePlan,
    pub interval: Duration,
    /// Of one attempt.
    pub timeout: Duration,
    /// After which a service that is still not ready is restarted as failed.
    pub deadline: Duration,
    /// So many attempts in a row must succeed; at least 1.
    pub successes: u32,
    /// What is compiled before it counts as ready; with [`ProbePlan::FastCgi`] alone.
    pub warm_up: Option<WarmUpPlan>,
}

impl ReadyPlan {
    /// What a warm-up may take over its budget: a file that is being compiled when the time is up is finished.
    pub const WARM_UP_SLACK: Duration = Duration::from_secs(5);

    /// From the start to readiness, at the most.
    pub fn within(&self) -> Duration {
        let warm_up = self.warm_up.as_ref().map(|plan| plan.budget.saturating_add(Self::WARM_UP_SLACK));
        self.deadline.saturating_add(warm_up.unwrap_or_default())
    }
}

/// Files that are compiled into the opcache of a PHP-FPM that has started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmUpPlan {
    /// Files, and directories whose `.php` files are meant.
    pub paths: Vec<PathBuf>,
    pub exclude: Vec<PathBuf>,
    pub budget: Duration,
    /// So many requests share the files; at least 1.
    pub parallel: u16,
    /// Where the script that does it is put.
    pub script: PathBuf,
}

/// How a service that is RUNNING tells that it still works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivePlan {
    pub probe: ProbePlan,
    pub interval: Duration,
    /// Of one attempt.
    pub timeout: Duration,
    /// So many attempts that fail in a row restart it; at least 1.
    pub failures: u32,
    /// So many that succeed in a row make it alive again; at least 1.
    pub successes: u32,
}

/// How a service tells of its readiness by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadyNotify {
    Socket,
}

/// How a service tells by itself that it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiveNotify {
    Watchdog,
}

#[derive(Clone, PartialEq, Eq)]
pub enum ProbePlan {
    /// A FastCGI request for `path`; any complete FastCGI answer is ready. `address` is `host:port` or `/path/to.sock`.
    FastCgi { address: String, path: String },
    /// A TCP connect to `host:port`.
    Tcp { address: String },
    /// A connect to a unix socket.
    Unix { path: PathBuf },
    /// A GET of `path` that must be answered with one of `status`. `address` is `host:port` or `/path/to.sock`.
    Http { address: String, path: String, host: String, status: Vec<RangeInclusive<u16>> },
    /// A program that must exit 0.
    Command { command: Vec<String> },
    /// What the service sends to the socket that NOTIFY_SOCKET names: `READY=1`, and of liveness `WATCHDOG=1`.
    Notify,
    /// A line feed on this descriptor of the service, 3 to 255.
    NotifyFd { fd: u16 },
}
