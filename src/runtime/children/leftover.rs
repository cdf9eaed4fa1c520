//! Processes of a unit that outlive its main process.

use super::search::{Found, Progress, Search};
use super::{same, stop_one};
use crate::config::plan::Signal;
use crate::supervisor::Id;
use crate::sys::proc::{self, Process, Walk};
use crate::sys::{Pid, group};

/// What a dead main process left behind.
pub(super) struct Leftover {
    pub leader: Pid,
    /// Those outside the group.
    pub escaped: Vec<Process>,
    /// The search for more of them; `None`: it is over.
    pub search: Option<Progress>,
    /// What they were sent last.
    pub signal: Option<Signal>,
}

impl Leftover {
    /// Its group, by the number of the leader, which has been reaped. A process that has that number by now got it after the group
    /// was gone, and may lead one of its own.
    pub fn group(&self) -> Option<Pid> {
        (!proc::exists(self.leader)).then_some(self.leader)
    }

    /// Some of it lives. A group that cannot be asked about (init's own, refused) is nobody's leftover.
    pub fn alive(&self, walk: &Walk) -> bool {
        // In this order: mostly there is no such group, which takes no look at /proc.
        let group = walk.group_lives(self.leader) && self.group().is_some();
        group || self.escaped.iter().any(proc::lives)
    }

    /// Some of it is there, be it a zombie: what can be told without a walk over /proc.
    pub fn there(&self) -> bool {
        let group = group::group_exists(self.leader).unwrap_or(false) && self.group().is_some();
        group || self.escaped.iter().any(proc::lives)
    }

    /// A search is under way that may find something.
    pub fn is_searched_for(&self) -> bool {
        self.search.as_ref().is_some_and(|search| search.open)
    }

    /// Searches once more, where the last search has found something; false: there is none.
    pub fn search_again(&mut self, id: Id, search: &mut Search) -> bool {
        self.search.as_mut().is_some_and(|progress| progress.again(id, search))
    }

    /// Takes what a search has found.
    pub fn found(&mut self, found: Found) {
        self.search.take_if(|search| !search.goes_on(&found));
        let mut new = found.processes;
        new.retain(|process| !self.escaped.iter().any(|known| same(known, process)));
        if new.is_empty() {
            return;
        }
        match self.signal {
            Some(signal) => tracing::info!("{signal:?} to what was left behind: {}", names(&new)),
            None => tracing::info!("left behind: {}", names(&new)),
        }
        if let Some(signal) = self.signal {
            new.iter().for_each(|process| stop_one(process, signal));
        }
        self.escaped.extend(new);
    }
}

/// The first few by name and pid.
pub fn names(processes: &[Process]) -> String {
    const SHOWN: usize = 8;
    let mut text: Vec<String> =
        processes.iter().take(SHOWN).map(|process| format!("{}[{}]", process.comm, process.pid)).collect();
    if let Some(more) = processes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push(format!("{more} more"));
    }
    text.join(", ")
}
