//! What the shell tells the core, what the core asks of the shell, and the time both speak of.

use crate::config::plan::{CronPlan, ServicePlan, Signal, StopScope};
use std::fmt;
use std::time::Duration;

/// Monotonic time since an origin that the shell chooses. Reads `t+1.500s`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Mono(Duration);

impl Mono {
    /// The moment `since_origin` after the origin.
    pub const fn new(since_origin: Duration) -> Self {
        Self(since_origin)
    }

    /// The moment `delay` later; the far end of time when that overflows.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self(self.0.saturating_add(delay))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }

    /// The time since the origin.
    pub const fn since_origin(self) -> Duration {
        self.0
    }
}

impl fmt::Debug for Mono {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t+{}.{:03}s", self.0.as_secs(), self.0.subsec_millis())
    }
}

/// One process that init started: an instance of a service, or one run of a cron entry.
///
/// `unit` is the index into [`Plan::services`](crate::config::plan::Plan::services) or
/// [`Plan::crons`](crate::config::plan::Plan::crons).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Id {
    Service {
        unit: u16,
        instance: u16,
    },
    /// `run` counts up from 1 for each cron entry and is never used twice.
    Run {
        unit: u16,
        run: u32,
    },
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    Code(u8),
    Signal(Signal),
}

impl ExitStatus {
    /// The code that says the same to a parent: 128+n for signal n.
    pub fn code(self) -> u8 {
        match self {
            Self::Code(code) => code,
            Self::Signal(signal) => crate::exit::of_signal(signal.number()),
        }
    }

    /// It exited 0.
    pub fn success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Why a process could not be started. The shell has logged the full text already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SpawnFault {
    /// What a shell would say: 127 not found, 126 not executable, 71 the system refused.
    pub code: u8,
}

/// Which instances a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Target {
    /// Every service.
    All,
    /// All instances of one service.
    Unit(u16),
    /// One instance, or one run of a cron entry.
    One(Id),
}

/// What somebody wants of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Bring it up; one that is FATAL or EXITED too, with its failures forgotten.
    Start,
    /// Bring it down and keep it down until [`Verb::Start`].
    Stop,
    /// Stop it as its plan says, then start it; one that is down is started.
    Restart,
    /// Send the signal to its main process, and nothing else.
    Signal(Signal),
}

/// A plan that takes the place of the one that is supervised.
///
/// Ids stay what they are: both lists go on, index for index, from those of the plan before. What the new plan lacks stays in its
/// place and is named as retired; what it adds comes at the end.
#[derive(Clone, Copy, Debug)]
pub struct Replan<'a> {
    pub services: &'a [ServicePlan],
    /// Services that end, in their own manner, and stay away.
    pub retired: &'a [u16],
    /// Services whose processes must be replaced, whatever their reload signal: the command, user, directory or environment changed.
    pub changed: &'a [u16],
    pub crons: &'a [CronPlan],
    /// Entries that are not due any more; their runs end by themselves.
    pub retired_crons: &'a [u16],
    pub stop_timeout: Duration,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Boot is done: bring up what is wanted.
    Boot,
    /// Answer to [`Action::Spawn`].
    Spawned { id: Id, pid: i32 },
    /// Answer to [`Action::Spawn`]: no process came of it. Also after [`Event::Spawned`], in the place of
    /// [`Event::Exited`]: the process has ended and never became its program (exec failed).
    SpawnFailed { id: Id, fault: SpawnFault },
    /// The main process ended. `oom`: it failed, and the cgroup's oom_kill counter has risen since the last exit. `leftovers`: its
    /// group, or a descendant that left the group, still lives.
    Exited { id: Id, status: ExitStatus, oom: bool, leftovers: bool },
    /// The last of the leftovers is gone.
    GroupEmpty { id: Id },
    /// A readiness probe answered; one attempt. Attempts go on, after a success too, until [`Action::StopProbe`].
    Probe { id: Id, ok: bool },
    /// A liveness probe answered; one attempt. `why` tells of a failure.
    Live { id: Id, ok: bool, why: Option<String> },
    /// Somebody wants something of an instance, or the end of a run or a signal for it. Nothing comes of it while the container
    /// stops, nor of a request for what is as wanted already.
    Ask { target: Target, verb: Verb },
    /// Somebody wants a run of a cron entry now, whatever its schedule and in a pause too; its overlap rule holds. A notice
    /// tells when it is not run.
    RunNow { unit: u16 },
    /// Hold the schedule and send the pause signal to the services that have one, to each instance once it is RUNNING. What
    /// ends meanwhile of these stays down until [`Event::Resume`]. What is due meanwhile is not run later.
    Pause,
    /// Go on after [`Event::Pause`].
    Resume,
    /// A cron entry is due now.
    CronDue { unit: u16 },
    /// Someone asked the container to stop. The second time hurries, the third kills.
    Stop,
    /// Gracefully reload every service.
    Reload,
    /// How many orphans (descendants that belong to no instance and no run; what a finished run left behind is
    /// among them) are alive. Sent when it changes while stopping, and at once after [`Action::SignalOrphans`] and
    /// [`Action::CountOrphans`].
    Orphans { alive: u32 },
    /// The container was frozen, and nobody in it could do anything for so long: time limits on what runs and on what is to get
    /// ready are extended by it. The stop of the container is not, nor are delays before restarts.
    Frozen { lost: Duration },
    /// Time passed; sent when [`next_deadline`](super::Supervisor::next_deadline) is reached.
    Deadline,
}

/// What the shell must do. Every action is carried out in order and none of them blocks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start the process. Answered at once by [`Event::Spawned`] or [`Event::SpawnFailed`].
    Spawn {
        id: Id,
    },
    /// Send a signal that is no stop signal to the main process: that of a reload or a pause, or one that somebody asked for.
    Signal {
        id: Id,
        signal: Signal,
    },
    /// Send a stop signal, then CONT: a process that SIGSTOP has stopped would not notice it, and be killed without a chance
    /// to clean up. Before that the shell walks /proc for descendants that left the group.
    Stop {
        id: Id,
        scope: StopScope,
        signal: Signal,
    },
    /// KILL the whole group and the descendants that left it. Answered by [`Event::GroupEmpty`] (and
    /// [`Event::Exited`] if the main process still lived).
    KillGroup {
        id: Id,
    },
    /// Probe the readiness of the instance, again and again, until [`Action::StopProbe`], which follows a success too.
    StartProbe {
        id: Id,
    },
    StopProbe {
        id: Id,
    },
    /// Probe whether the instance lives, again and again, until [`Action::StopLiveness`].
    StartLiveness {
        id: Id,
    },
    StopLiveness {
        id: Id,
    },
    /// Count the orphans. Answered at once by [`Event::Orphans`].
    CountOrphans,
    /// Send a stop signal, then CONT, to every orphan that has not had it. Answered by [`Event::Orphans`].
    SignalOrphans {
        signal: Signal,
    },
    /// Tell the user.
    Notice(Notice),
    /// Everything is down: flush the logs and exit with this code. Nothing follows it.
    Exit {
        code: u8,
    },
}

/// How grave a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    Error,
    Warn,
    Info,
    Debug,
}

/// One line for the log, about one unit or the container as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub severity: Severity,
    /// The instance or run it is about.
    pub about: Option<Id>,
    /// A sentence without a full stop, such as `restarting in 1.2s (attempt 3)`. The shell puts the name in front.
    pub text: String,
}
