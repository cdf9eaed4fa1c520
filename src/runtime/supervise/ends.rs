//! Children that have ended: told to the core all together, so that a thousand of them are no more work each than one.

use super::Loop;
use crate::runtime::children::{Gone, Who};
use crate::runtime::step;
use crate::supervisor::{Event, Id, SpawnFault};
use std::time::Duration;

/// How long the last output of children that ended is waited for, so that `exited 78` comes after the reason. Reading it
/// takes microseconds of the processor, which a busy machine may withhold for a while.
const LAST_WORDS: Duration = Duration::from_millis(100);

impl Loop<'_> {
    /// Takes what has ended, and all that follows from it.
    pub(super) async fn reap(&mut self) -> Option<u8> {
        let mut all = self.shell.children.reap();
        self.probes.reaped(&mut all);
        let relays = all.iter_mut().flat_map(|gone| std::mem::take(&mut gone.relays)).collect();
        step::last_words(relays, LAST_WORDS).await;
        let mut ended = None;
        let mut news = Vec::new();
        let mut steps = Vec::new();
        for gone in all {
            match gone.who {
                Who::Unit(id) => news.push(self.gone(id, &gone)),
                Who::Probe(_) | Who::Step => steps.push(gone),
            }
        }
        news.extend(self.shell.children.emptied().into_iter().map(|id| Event::GroupEmpty { id }));
        if !news.is_empty() {
            ended = self.feed_all(news).await;
        }
        // A reload goes on, which may give units other numbers.
        for gone in steps {
            let change = self.reloads.gone(self.shell, &gone);
            ended = ended.or(self.change(change).await);
        }
        match ended {
            None => self.count_orphans().await,
            ended => ended,
        }
    }

    /// The core's deadline has passed. What has ended by now is told first: it has ended in time.
    pub(super) async fn deadline(&mut self) -> Option<u8> {
        let ended = self.reap().await;
        match ended {
            None => self.feed(Event::Deadline).await,
            ended => ended,
        }
    }

    fn gone(&mut self, id: Id, gone: &Gone) -> Event {
        self.probes.instance_ended(id);
        self.protection.gone(id);
        if let Id::Run { unit, .. } = id {
            self.took.insert(unit, gone.uptime);
        }
        if let Some(fault) = &gone.fault {
            tracing::error!(service = %self.name(id), "{fault}");
            return Event::SpawnFailed { id, fault: SpawnFault { code: gone.status.code() } };
        }
        Event::Exited { id, status: gone.status, oom: gone.oom, leftovers: gone.leftovers }
    }
}
