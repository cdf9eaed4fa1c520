//! How many processes a stop still has to wait for that belong to nobody.

use super::Loop;
use crate::runtime::stop;
use crate::supervisor::Event;
use crate::sys::proc::Process;

impl Loop<'_> {
    pub(super) async fn count_orphans(&mut self) -> Option<u8> {
        // While a unit lives the core waits for that, and asks afterwards; a walk over /proc for each process that ends
        // would make the stop of a thousand services take a minute.
        if self.orphans.is_none() || !self.shell.children.is_idle() {
            return None;
        }
        let event = self.orphan_event(stop::descendants())?;
        self.feed(event).await
    }

    /// The number of orphans, when it changed since the core was told.
    pub(super) fn orphan_event(&mut self, descendants: Vec<Process>) -> Option<Event> {
        let told = self.orphans?;
        let alive = u32::try_from(self.shell.children.orphans(descendants).len()).unwrap_or(u32::MAX);
        self.orphans = Some(alive);
        (alive != told).then_some(Event::Orphans { alive })
    }
}
