//! What must hold after every event, and at the exit.

use super::World;
use super::acts::CLEAR;
use crate::invariants::Invariant;
use crate::process::Proc;
use crate::subject::Core;
use php_init::supervisor::{Id, Mono, State};
use std::time::Duration;

/// From the end of the core's part of the budget to that of the container's.
const SLACK: Duration = Duration::from_millis(50);

/// From the stop signal of a run to KILL.
const GRACE: Duration = Duration::from_secs(10);

impl<C: Core> World<C> {
    pub(super) fn exited(&mut self, code: u8) {
        self.exit = Some((self.now, code));
        if self.stop_was_asked && code != 0 {
            self.fail(Invariant::CleanExit, || format!("a stop that was asked for exits {code}"));
        }
        let silent = |id: &&Id| self.procs.get(id).is_some_and(|process| !process.signalled);
        let unkilled =
            |id: &&Id| self.procs.get(id).is_some_and(|process| process.main && process.killed.is_none());
        if let Some(id) = self.procs.keys().find(|id| silent(id) || unkilled(id)).copied() {
            self.fail(Invariant::EveryoneTold, || format!("nobody told {id:?} of the end"));
        }
        // What has survived SIGKILL for long holds nothing up, not even the exit.
        let stays =
            |process: &&Proc| process.main || process.killed.is_none_or(|at| self.now.since(at) < CLEAR);
        let left = self.procs.values().filter(stays).count() + self.orphans as usize;
        if left > 0 && !self.late() {
            self.fail(Invariant::NothingLeft, || format!("{left} left behind"));
        }
        self.relayed(super::Relay::end);
    }

    /// The core's part of the budget has passed, or somebody was in a hurry.
    fn late(&self) -> bool {
        let reserve = (self.budget / 10).clamp(Duration::from_millis(100), Duration::from_secs(1));
        let spent = self.now.since(self.stopping_since.unwrap_or(self.now));
        spent >= self.budget.saturating_sub(reserve) || self.hurried.is_some_and(|by| self.now >= by)
    }

    pub(super) fn check(&mut self) {
        let deadline = self.core.next_deadline();
        if self.exit.is_some() {
            if deadline.is_some() {
                self.fail(Invariant::LastWord, || "a deadline after the exit".to_owned());
            }
            return;
        }
        if deadline.is_some_and(|deadline| deadline <= self.now) {
            return self.fail(Invariant::DeadlineAhead, || format!("{deadline:?} is not ahead"));
        }
        if let Some(since) = self.stopping_since {
            let end = since.after(self.budget.max(Duration::from_millis(100))).after(SLACK);
            if self.now > end || deadline.is_none_or(|deadline| deadline > end) {
                return self.fail(Invariant::StopEnds, || {
                    format!("it should end by {end:?}, deadline {deadline:?}")
                });
            }
        }
        for unit in 0..u16::try_from(self.services.len()).unwrap_or(u16::MAX) {
            for instance in 0..u16::MAX {
                let id = Id::Service { unit, instance };
                let Some((state, _)) = self.core.state(id) else { break };
                self.check_instance(id, state, deadline);
                if instance > 8 {
                    self.fail(Invariant::Bounded, || format!("{id:?} is more than any plan has"));
                }
            }
        }
        self.check_probes();
        self.check_runs();
    }

    fn check_instance(&mut self, id: Id, state: State, deadline: Option<Mono>) {
        let process = self.procs.get(&id);
        let main = process.is_some_and(|process| process.main);
        let left = process.is_some();
        let lives = main || self.refused.contains(&id);
        let agreed = match state {
            State::Starting | State::Running => lives,
            State::Stopped | State::Backoff | State::Exited | State::Fatal => !lives,
            State::Stopping => lives || left,
        };
        if !agreed {
            self.fail(Invariant::Agreed, || format!("{id:?} is {state}, and has a process: {lives}"));
        }
        if state == State::Backoff && deadline.is_none() && !left {
            self.fail(Invariant::Awaited, || format!("{id:?} waits for nothing"));
        }
        if state == State::Stopping && main && self.stopping_since.is_none() {
            let limit = self.now.after(self.limit(id));
            let Some(process) = self.procs.get_mut(&id) else { return };
            let by = *process.kill_by.get_or_insert(limit);
            if self.now > by && process.killed.is_none() && process.zombie.is_none() {
                self.fail(Invariant::Killed, || format!("{id:?} should have had SIGKILL by {by:?}"));
            }
        }
        if state == State::Stopping && !main {
            self.check_heirs(id);
        }
    }

    /// What a stopped main process left behind has the time of a stop, however long the main process had.
    fn check_heirs(&mut self, id: Id) {
        let limit = self.now.after(self.stop_timeout(id));
        let Some(process) = self.procs.get_mut(&id) else { return };
        let by = *process.heirs_kill_by.get_or_insert(limit);
        if self.now > by && process.killed.is_none() {
            self.fail(Invariant::Killed, || format!("what {id:?} left should have had SIGKILL by {by:?}"));
        }
    }

    fn check_probes(&mut self) {
        let not = |id: &&Id, wanted: State| self.core.state(**id).is_none_or(|(state, _)| state != wanted);
        let probed = self.probed.iter().find(|id| not(id, State::Starting)).copied();
        let watched = self.watched.iter().find(|id| not(id, State::Running)).copied();
        if let Some(id) = probed {
            self.fail(Invariant::Probed, || format!("{id:?} is not STARTING"));
        }
        if let Some(id) = watched {
            self.fail(Invariant::Watched, || format!("{id:?} is not RUNNING"));
        }
    }

    /// From the stop signal to KILL, whatever the reason of the stop.
    fn limit(&self, id: Id) -> Duration {
        let reload = match id {
            Id::Service { unit, .. } => self.services.get(usize::from(unit)),
            Id::Run { .. } => None,
        };
        self.stop_timeout(id).max(reload.map_or(Duration::ZERO, |plan| plan.reload_timeout))
    }

    fn stop_timeout(&self, id: Id) -> Duration {
        let Id::Service { unit, .. } = id else { return GRACE };
        let own = self.services.get(usize::from(unit)).and_then(|plan| plan.stop_timeout);
        own.unwrap_or(self.budget).min(self.budget)
    }

    fn check_runs(&mut self) {
        let stopping = self.stopping_since.is_some();
        let now = self.now;
        let late = self.procs.iter_mut().find_map(|(id, process)| {
            let told = matches!(id, Id::Run { .. }) && process.main && process.signalled && !stopping;
            if !told || process.zombie.is_some() {
                return None;
            }
            let by = *process.kill_by.get_or_insert(now.after(GRACE));
            (now > by && process.killed.is_none()).then_some(*id)
        });
        if let Some(id) = late {
            self.fail(Invariant::Killed, || format!("{id:?} should have had SIGKILL"));
        }
    }
}
