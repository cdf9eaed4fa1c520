//! Processes of a unit that outlive its main process.

use crate::sys::proc::{self, Process, Walk};
use crate::sys::{Pid, group};

/// What a dead main process left behind.
pub(super) struct Leftover {
    pub leader: Pid,
    pub escaped: Vec<Process>,
}

impl Leftover {
    /// Some of it lives. A group that cannot be asked about (init's own, refused) is nobody's leftover.
    pub fn alive(&self, walk: &Walk) -> bool {
        walk.group_lives(self.leader) || self.escaped.iter().any(proc::lives)
    }

    /// Some of it is there, be it a zombie: what can be told without a walk over /proc.
    pub fn there(&self) -> bool {
        group::group_exists(self.leader).unwrap_or(false) || self.escaped.iter().any(proc::lives)
    }
}
