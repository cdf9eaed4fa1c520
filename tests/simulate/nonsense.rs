//! Any event, of any id, in any order, at any time, from a shell that has lost its mind. The core may not panic, start a
//! process that it must believe alive, start anything during a stop, grow, or hang.

use crate::case::{Case, Step};
use crate::history::Outcome;
use crate::invariants::Invariant;
use crate::luck::Luck;
use crate::plans::{millis, secs};
use crate::subject::Core;
use php_init::supervisor::{Action, Event, Id, Mono, Supervisor};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a shell that believes the core would think is alive.
#[derive(Default)]
struct Belief {
    asked: BTreeSet<Id>,
    alive: BTreeSet<Id>,
    /// Until when leftovers hold the next start up.
    left: BTreeMap<Id, Mono>,
}

type Broken = Option<(Invariant, String)>;

impl Belief {
    fn hears(&mut self, event: &Event, now: Mono) {
        match *event {
            Event::Spawned { id, .. } if self.asked.remove(&id) => {
                self.alive.insert(id);
            }
            Event::SpawnFailed { id, .. } => {
                self.asked.remove(&id);
                self.alive.remove(&id);
            }
            Event::Exited { id, leftovers, .. } => {
                let lived = self.asked.remove(&id) | self.alive.remove(&id);
                if lived && leftovers && matches!(id, Id::Service { .. }) {
                    self.left.insert(id, now);
                }
            }
            Event::GroupEmpty { id } => {
                self.left.remove(&id);
            }
            _ => {}
        }
    }

    fn does(&mut self, action: &Action, now: Mono, stopping: bool) -> Broken {
        let Action::Spawn { id } = action else { return None };
        let left = self.left.remove(id);
        let broken = if stopping {
            Invariant::NothingInStop
        } else if self.alive.contains(id) || !self.asked.insert(*id) {
            Invariant::OneProcess
        } else if left.is_some_and(|since| now.since(since) < secs(2)) {
            Invariant::ClearGround
        } else {
            return None;
        };
        Some((broken, format!("{id:?}")))
    }
}

pub fn live<C: Core>(case: &Case, make: fn(Supervisor) -> C, traced: bool) -> Outcome {
    let luck = &mut Luck::of(case.seed, [3, 0, 0, 0]);
    let mut core = make(Supervisor::new(&case.services, &case.crons, case.budget, case.seed));
    let mut belief = Belief::default();
    let (mut now, mut over, mut stopping) = (Mono::default(), false, None);
    let mut outcome = Outcome::default();
    let mut actions = Vec::new();
    // At the end of time itself no time passes any more.
    let far = Mono::new(secs(u64::from(u32::MAX)));
    for (wait, step) in &case.steps {
        let Step::Tell(event) = step else { continue };
        // Late timers, early timers, and a clock that goes back.
        let read = match core.next_deadline() {
            Some(deadline) if luck.one_in(2) && deadline < far => deadline,
            _ if luck.one_in(30) => Mono::default(),
            _ => now.after(*wait),
        };
        now = now.max(read);
        belief.hears(event, now);
        actions.clear();
        core.handle(event.clone(), read, &mut actions);
        outcome.events += 1;
        if traced {
            outcome.trace.push(format!("{now:?} {event:?}"));
            outcome.trace.extend(actions.iter().map(|action| format!("   => {action:?}")));
        }
        let mut broken = None;
        for action in &actions {
            let last = over.then(|| (Invariant::LastWord, format!("{action:?} follows the exit")));
            broken = broken.or(last).or_else(|| belief.does(action, now, stopping.is_some()));
            over |= matches!(action, Action::Exit { .. });
        }
        if core.is_stopping() {
            stopping = stopping.or(Some(now));
        }
        broken = broken.or_else(|| after(&core, now, over, stopping, case.budget));
        if broken.is_some() {
            outcome.broken = broken;
            break;
        }
    }
    outcome
}

fn after<C: Core>(core: &C, now: Mono, over: bool, stopping: Option<Mono>, budget: Duration) -> Broken {
    let deadline = core.next_deadline();
    if deadline.is_some_and(|deadline| deadline <= now) {
        return Some((Invariant::DeadlineAhead, format!("{deadline:?} at {now:?}")));
    }
    let late = |since: Mono| now > since.after(budget).after(millis(50));
    if let Some(since) = stopping
        && !over
        && (late(since) || (deadline.is_none() && budget != Duration::MAX))
    {
        return Some((Invariant::StopEnds, format!("since {since:?}, deadline {deadline:?}")));
    }
    // Of many words, so looked at now and then.
    let crowd = now.since_origin().subsec_millis().is_multiple_of(16)
        && core.core().snapshot(now).crons.iter().any(|cron| cron.runs.len() > 3);
    crowd.then(|| (Invariant::Bounded, "an entry has more runs than any plan allows".to_owned()))
}
