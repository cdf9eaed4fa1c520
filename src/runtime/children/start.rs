//! From a command to an entry in the table, in three steps: prepare, fork, enter.
//!
//! They are apart so that several children can be prepared, then forked in a row, then entered: see [`Prepared`].

use super::search::Sought;
use super::{Child, Children, Who};
use crate::runtime::clock;
use crate::sys::Pid;
use crate::sys::cgroup::OomCounter;
use crate::sys::spawn::{Command, Prepared, SpawnError};

/// A child of which only the fork is left to do.
pub struct Start {
    who: Who,
    sought: Option<Sought>,
    prepared: Prepared,
}

impl Start {
    /// Forks. The caller hands the pid to [`Children::enter`] before anything is reaped.
    ///
    /// # Errors
    /// The system refused the fork.
    pub fn fork(&self) -> Result<Pid, SpawnError> {
        self.prepared.fork()
    }
}

impl Children {
    /// Starts `command` as `who`.
    ///
    /// # Errors
    /// The command cannot be, or the system refused the fork.
    pub fn spawn(&mut self, who: Who, command: Command) -> Result<Pid, SpawnError> {
        let start = self.prepare(who, command)?;
        let pid = start.fork()?;
        self.enter(pid, start);
        Ok(pid)
    }

    /// Prepares what [`Start::fork`] does.
    ///
    /// # Errors
    /// The command cannot be, or the system refused what the child needs.
    pub fn prepare(&mut self, who: Who, mut command: Command) -> Result<Start, SpawnError> {
        let sought = self.marks.put(who, &mut command);
        Ok(Start { who, sought, prepared: command.prepare(self.reaper.launcher())? })
    }

    /// Puts the child that `start` became into the table.
    pub fn enter(&mut self, pid: Pid, start: Start) {
        let child = Child {
            who: start.who,
            started: clock::now(),
            context: start.prepared.context(),
            escaped: Vec::new(),
            sought: start.sought,
            told: None,
            relays: Vec::new(),
        };
        self.live.insert(pid, child);
        self.oom.get_or_init(|| {
            OomCounter::open().and_then(|counter| counter.read().map(|kills| (counter, kills)))
        });
        if let Who::Unit(id) = start.who {
            self.units.insert(id, pid);
        }
    }
}
