//! What children get once they have become their program.

use super::super::clock;
use super::Children;
use crate::sys::Pid;
use crate::sys::oom::OomScore;
use std::cell::OnceCell;
use std::time::Duration;

/// An exec takes less, unless the program's file is far away; then it is looked ever less often.
const FIRST_LOOK: Duration = Duration::from_millis(1);
const LAST_LOOK: Duration = Duration::from_secs(10);

/// How often it is looked, since nothing tells of an exec, and what there is to give.
#[derive(Debug, Default)]
pub(super) struct Launching {
    look_after: Duration,
    score: OnceCell<Option<OomScore>>,
}

impl Launching {
    /// A child is on its way.
    pub(super) fn began(&mut self) {
        self.look_after = FIRST_LOOK;
    }

    pub(super) fn executed(&self, children: &[Pid]) {
        for child in children {
            if let Some(score) = self.score.get_or_init(OomScore::of_children) {
                score.give(*child);
            }
        }
    }
}

impl Children {
    /// Looks after children that are on their way; returns when it is time to reap without having been told. Safe to cancel.
    /// To be asked when there is nothing else to do.
    pub async fn due(&mut self) {
        self.reaper.launcher().rest();
        loop {
            if let Some(at) = self.storm.next() {
                return clock::until(Some(at)).await;
            }
            if self.reaper.launcher().is_idle() {
                return std::future::pending().await;
            }
            tokio::time::sleep(self.launching.look_after).await;
            self.launching.look_after = self.launching.look_after.saturating_mul(2).min(LAST_LOOK);
            let executed = self.reaper.launcher().collect(|_| false);
            self.launching.executed(&executed);
        }
    }
}
