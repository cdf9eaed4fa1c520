//! Why an instance was started again, counted.

/// What ended the run before a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// It exited by itself.
    Exit,
    /// A signal that init had not sent ended it.
    Signal,
    /// The kernel's OOM killer struck.
    Oom,
    /// It was not ready in time.
    NotReady,
    /// Its liveness probe failed.
    Liveness,
    /// A reload, or another plan.
    Reload,
    /// Somebody asked for it.
    Request,
    /// It could not be started.
    Start,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Exit,
        Self::Signal,
        Self::Oom,
        Self::NotReady,
        Self::Liveness,
        Self::Reload,
        Self::Request,
        Self::Start,
    ];

    /// The word of the status and of metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Exit => "exit",
            Self::Signal => "signal",
            Self::Oom => "oom",
            Self::NotReady => "not-ready",
            Self::Liveness => "liveness",
            Self::Reload => "reload",
            Self::Request => "request",
            Self::Start => "start",
        }
    }
}

/// How often an instance was started again, by cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restarts([u32; Cause::ALL.len()]);

impl Restarts {
    pub(super) fn count(&mut self, cause: Cause) {
        for (count, _) in self.0.iter_mut().zip(Cause::ALL).filter(|(_, other)| *other == cause) {
            *count = count.saturating_add(1);
        }
    }

    /// All of them together.
    pub fn total(&self) -> u32 {
        self.0.iter().fold(0, |total, count| total.saturating_add(*count))
    }

    /// Every cause that there was, with how often.
    pub fn by_cause(&self) -> impl Iterator<Item = (Cause, u32)> + '_ {
        Cause::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}
