//! The child that runs for a reload: a fetch or a boot step, and how it is ended when it takes too long.

use super::Work;
use super::busy::Busy;
use crate::config::plan::{FilePlan, Signal};
use crate::fetch::Outcome;
use crate::runtime::children::Gone;
use crate::runtime::failure::Failure;
use crate::runtime::fetching::Fetching;
use crate::runtime::stepping::Stepping;
use crate::runtime::{clock, step};
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::{Pid, group};
use std::path::PathBuf;
use std::time::Duration;

pub(super) enum Job {
    Fetch(Box<Fetch>),
    Step(Stepping),
}

pub(super) struct Fetch {
    pub(super) file: FilePlan,
    pub(super) staged: PathBuf,
    pub(super) fetching: Fetching,
}

/// How far a child that took too long was told to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Term,
    Kill,
}

pub(super) struct Running {
    pub(super) pid: Pid,
    timeout: clock::Timeout,
    /// How far it was told to end, and how long that may take.
    told: Option<(Told, Mono)>,
    job: Job,
}

impl Work {
    pub(super) fn run(&mut self, pid: Pid, limit: Duration, job: Job) {
        self.running = Some(Running { pid, timeout: clock::Timeout::new(limit), told: None, job });
    }

    /// A child ended; `None`: none of these.
    pub fn gone(&mut self, gone: &Gone) -> Option<Result<(), Failure>> {
        let running = self.running.take_if(|running| running.pid == gone.pid)?;
        if running.told.is_some() {
            // What it has started and not waited for.
            step::report(group::signal_group(running.pid, Signal::KILL));
            return Some(Err(running.timed_out()));
        }
        match running.job {
            Job::Step(stepping) => Some(self.stepped(stepping, gone)),
            Job::Fetch(fetch) => {
                let Fetch { file, staged, fetching } = *fetch;
                Some(fetching.done(gone).map(|fetched| {
                    tracing::debug!("{}", fetched.text);
                    if fetched.outcome == Outcome::Placed {
                        self.stage.wait(staged, file.path.clone(), Some(fetched.origin));
                        self.changed.push(file);
                    }
                }))
            }
        }
    }

    /// The deadline of the child passed: TERM, then KILL. The failure, when it does not even end then.
    pub fn due(&mut self, now: Mono) -> Option<Failure> {
        if let Some(failure) = self.busy.as_mut().filter(|_| !self.killed).and_then(Busy::due) {
            return Some(failure);
        }
        let running = self.running.as_mut().filter(|running| running.deadline() <= now)?;
        let (told, signal, time) = match running.told {
            None => (Told::Term, Signal::TERM, step::GRACE.min(self.plan.stop_timeout / 2)),
            Some((Told::Term, _)) => (Told::Kill, Signal::KILL, step::AFTER_KILL),
            Some((Told::Kill, _)) => {
                tracing::error!(
                    "pid {} is still alive {} after SIGKILL: it waits in the kernel, often for a file system such as EFS or \
                     NFS; going on without waiting for it",
                    running.pid,
                    Words(step::AFTER_KILL)
                );
                return self.running.take().map(|running| running.timed_out());
            }
        };
        running.told = Some((told, now.after(time)));
        step::report(group::stop_group_of_child(running.pid, signal));
        None
    }

    /// Kills what runs; `false`: that was done already.
    pub fn kill(&mut self) -> bool {
        if std::mem::replace(&mut self.killed, true) {
            return false;
        }
        if let Some(running) = &self.running {
            step::report(group::stop_group_of_child(running.pid, Signal::KILL));
        }
        true
    }
}

impl Running {
    pub(super) fn deadline(&self) -> Mono {
        self.told.map_or_else(|| self.timeout.at(), |(_, by)| by)
    }

    fn timed_out(&self) -> Failure {
        match &self.job {
            Job::Fetch(fetch) => fetch.fetching.timed_out(),
            Job::Step(stepping) => stepping.timed_out(),
        }
    }
}
