//! Walks over /proc while something is waited for that belongs to nobody, or that init is not told the end of.

use super::Loop;
use crate::config::plan::Signal;
use crate::runtime::{clock, stop};
use crate::supervisor::{Event, Mono};
use crate::sys::proc::Process;
use crate::sys::{Pid, reap};
use std::collections::HashSet;
use std::time::Duration;

/// The first look for what was killed and is nobody's child of init's, and how the pause grows.
const FIRST_LOOK: Duration = Duration::from_millis(10);
const LAST_LOOK: Duration = Duration::from_secs(1);

/// Walks take at most this part of the time, and there are at most so many.
const SHARE: u32 = 10;
const LEAST_PAUSE: Duration = Duration::from_millis(20);

/// When /proc is walked, and whom a walk has found.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// For zombies among what was killed: when, and the pause that follows.
    killed: Option<(Mono, Duration)>,
    /// For orphans that have to be counted again.
    recount: Option<Mono>,
    /// Before this the orphans are not counted again: a storm of them would keep init at nothing else.
    rested: Mono,
    /// The orphans that have had a signal of the stop.
    told: HashSet<(Pid, u64, i32)>,
}

impl Looks {
    pub fn at(&self) -> Option<Mono> {
        self.killed.map(|(at, _)| at).into_iter().chain(self.recount).min()
    }

    /// What a main process left behind has been killed. It may end as a zombie of a process that does not reap it.
    pub fn for_killed(&mut self) {
        self.killed = Some((clock::now().after(FIRST_LOOK), FIRST_LOOK));
    }

    /// Those that have not had the signal. KILL is sent to all of them each time.
    pub fn not_told(&mut self, mut orphans: Vec<Process>, signal: Signal) -> Vec<Process> {
        if signal != Signal::KILL {
            let before = std::mem::take(&mut self.told);
            let key = |process: &Process| (process.pid, process.start_time, signal.number());
            self.told = orphans.iter().map(key).collect();
            orphans.retain(|process| !before.contains(&key(process)));
        }
        orphans
    }
}

impl Loop<'_> {
    /// A look is due.
    pub(super) async fn look(&mut self) -> Option<u8> {
        let now = clock::now();
        if let Some((_, pause)) = self.looks.killed.take_if(|(at, _)| *at <= now) {
            let emptied = self.shell.children.emptied_but_for_zombies();
            let pause = pause.saturating_mul(2);
            if self.shell.children.has_left() && pause <= LAST_LOOK {
                self.looks.killed = Some((now.after(pause), pause));
            }
            let ended = self.feed_all(emptied.into_iter().map(|id| Event::GroupEmpty { id }).collect()).await;
            if ended.is_some() {
                return ended;
            }
        }
        self.looks.recount.take_if(|at| *at <= now);
        self.count_orphans().await
    }

    /// Counts the orphans where the core waits for the number, now or when the last walk is long enough ago.
    pub(super) async fn count_orphans(&mut self) -> Option<u8> {
        // While a unit lives the core waits for that, and asks afterwards; a walk over /proc for each process that ends
        // would make the stop of a thousand services take a minute.
        if self.orphans.is_none() || !self.shell.children.is_idle() {
            return None;
        }
        let began = clock::now();
        let event = if reap::has_no_child() {
            self.orphan_event(Vec::new())
        } else if self.looks.rested > began {
            self.looks.recount = Some(self.looks.rested);
            None
        } else {
            let event = self.orphan_event(stop::descendants());
            let done = clock::now();
            self.looks.rested = done.after(LEAST_PAUSE.max(done.since(began).saturating_mul(SHARE)));
            event
        };
        self.feed_all(event.into_iter().collect()).await
    }

    /// The number of orphans, when it changed since the core was told.
    pub(super) fn orphan_event(&mut self, descendants: Vec<Process>) -> Option<Event> {
        let told = self.orphans?;
        let alive = u32::try_from(self.shell.children.orphans(descendants).len()).unwrap_or(u32::MAX);
        self.orphans = Some(alive);
        (alive != told).then_some(Event::Orphans { alive })
    }
}
