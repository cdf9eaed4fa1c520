//! The event loop: waits for one thing at a time, tells the core, carries out what the core asks.

mod asks;
mod ends;
mod orphans;
mod prepared;
mod show;
mod spawn;
mod waits;

pub use prepared::nothing;

use super::boot::End;
use super::children::names;
use super::cron::Cron;
use super::ecs::protection::{self, Protection};
use super::off_loop::OffLoop;
use super::probing::Aim;
use super::reload::Reloads;
use super::shell::Shell;
use super::{clock, control, mirror, probing, status, stop};
use crate::config::plan::{Plan, ServicePlan, Signal, StopScope};
use crate::control::protocol::Phase;
use crate::exit;
use crate::supervisor::words::{Words, counted};
use crate::supervisor::{Action, Event, Id, Notice, Severity, Supervisor};
use crate::sys;
use prepared::{prepare, reads_files};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

/// Everything the loop works on.
pub(super) struct Loop<'a> {
    pub(super) shell: &'a mut Shell,
    pub(super) plan: Rc<Plan>,
    pub(super) core: Supervisor,
    probes: probing::Probes,
    pub(super) cron: Cron,
    pub(super) reloads: Reloads,
    protection: Protection,
    mirror: mirror::Mirror,
    waits: waits::Waits,
    /// How far behind its moment the last run of each entry started.
    lags: HashMap<u16, Duration>,
    /// How long the last run of each cron entry took.
    took: HashMap<u16, Duration>,
    /// Orphans are counted from the moment that the core has asked about them.
    orphans: Option<u32>,
    /// Walks over /proc that are to come.
    looks: orphans::Looks,
    /// What the core has been told of time that freezes took.
    lost: Duration,
    /// How many actions were carried out.
    done: u32,
    /// Another init supervises already, as was found out late.
    refused: Option<u8>,
}

/// Supervises until the container ends; its exit code.
///
/// # Errors
/// [`End::Failed`] when what is to be supervised cannot be, or another init does it already.
pub async fn supervise(shell: &mut Shell) -> Result<u8, End> {
    let site = shell.site();
    let prepared = if reads_files(&site.plan) {
        let work = OffLoop::start(move |progress| prepare(site.with(progress)));
        shell.wait_off_loop("supervision", work).await?
    } else {
        prepare(site)
    };
    let (plan, pages) = prepared.map_err(End::Failed)?;
    shell.board.status_pages.replace(pages);
    let cron = match Cron::new(&plan.crons) {
        Ok(cron) => cron,
        Err(error) => {
            tracing::error!("cannot set the schedule's timer: {}", sys::words(&error));
            return Err(End::Failed(exit::OS));
        }
    };
    let plan = Rc::new(plan);
    shell.plan = Rc::clone(&plan);
    let core = Supervisor::new(&plan.services, &plan.crons, plan.stop_timeout, seed());
    let reloads = Reloads::new(shell);
    let agent = shell.environment.get(protection::VARIABLE).and_then(|uri| uri.to_str());
    let protection = Protection::start(&plan.ecs, agent, &shell.board);
    let mut event_loop = Loop {
        shell,
        plan,
        core,
        probes: probing::Probes::default(),
        cron,
        reloads,
        protection,
        mirror: mirror::Mirror::default(),
        waits: waits::Waits::default(),
        lags: HashMap::new(),
        took: HashMap::new(),
        orphans: None,
        looks: orphans::Looks::default(),
        lost: clock::lost(),
        done: 0,
        refused: None,
    };
    event_loop.shell.board.enter(Phase::Running);
    event_loop.shell.board.supervises.set(true);
    let started = event_loop.feed(Event::Boot).await;
    if let Some(code) = event_loop.refused {
        return Err(End::Failed(code));
    }
    let code = event_loop.run(started).await;
    event_loop.shell.board.supervises.set(false);
    event_loop.reloads.finish(event_loop.shell).await;
    event_loop.protection.finish(event_loop.shell.left_to_stop()).await;
    Ok(code)
}

impl Loop<'_> {
    async fn run(&mut self, mut ended: Option<u8>) -> u8 {
        let mut in_a_row = 0_u32;
        loop {
            self.note();
            if let Some(code) = ended {
                return code;
            }
            if self.core.is_stopping() {
                self.reloads.stop(self.shell);
            }
            let deadline = self.core.next_deadline();
            tokio::select! {
                // In this order: what is due, or signals without end would put it off; what ended; what somebody wants.
                biased;
                () = clock::until(deadline) => ended = self.deadline().await,
                signal = self.shell.signals.next(), if in_a_row < SIGNALS_IN_A_ROW => {
                    in_a_row = in_a_row.saturating_add(1);
                    ended = self.signal(signal).await;
                    continue;
                }
                asked = self.probes.next() => if let Some(event) = self.probes.take(asked, self.shell) {
                    ended = self.feed(event).await;
                },
                due = self.cron.due() => ended = self.due(due).await,
                () = clock::until(self.looks.at()) => ended = self.look().await,
                () = clock::until(self.reloads.deadline()) => ended = self.reload_due().await,
                () = self.reloads.made() => ended = self.reload_made().await,
                // One CHLD may stand for more ends than a batch holds; the rest waits until everything else had its turn.
                () = std::future::ready(()), if self.shell.children.more_to_reap() => ended = self.reap().await,
                () = self.shell.children.due() => ended = self.reap().await,
                // Last: clients that ask without end must not stop the clock either.
                ask = self.shell.control.next() => ended = self.asked(ask).await,
                () = std::future::ready(()), if in_a_row >= SIGNALS_IN_A_ROW => {}
            }
            in_a_row = 0;
        }
    }

    /// What others may know of it.
    fn note(&mut self) {
        self.mirror.refresh(&self.shell.board, &self.plan, &self.core, &self.probes);
        if self.core.is_stopping() {
            self.shell.stops();
        }
        self.settle();
    }

    async fn signal(&mut self, signal: Signal) -> Option<u8> {
        match signal {
            Signal::CHLD => self.reap().await,
            Signal::USR1 => {
                status::log(&self.core, &self.cron, &self.shell.children).await;
                None
            }
            Signal::HUP | Signal::USR2 => {
                let who = format!("{signal:?}");
                self.ask_reload(&who, None).await
            }
            signal if self.shell.signals.is_stop(signal) => {
                self.shell.stops();
                if self.core.is_stopping() {
                    tracing::debug!("{signal:?} while stopping");
                } else {
                    tracing::info!("{signal:?}: stopping, within {}", Words(self.plan.stop_timeout));
                }
                self.protection.stop();
                self.feed(Event::Stop).await
            }
            _ => None,
        }
    }

    pub(super) async fn due(&mut self, due: Vec<crate::schedule::Due>) -> Option<u8> {
        // Told together, so that those of one minute are forked in a row.
        let mut events = Vec::new();
        for due in due {
            let name = self.plan.crons.get(usize::from(due.unit)).map_or("", |cron| cron.name.as_str());
            if due.missed > 0 {
                tracing::warn!(
                    service = name,
                    "{} missed: the container was frozen, or the clock was set forward",
                    counted(due.missed, "run was", "runs were")
                );
            }
            if !due.run {
                continue;
            }
            self.lags.insert(due.unit, due.lag);
            if due.lag > LATE {
                tracing::warn!(service = name, "starts {} late", Words(due.lag));
            }
            events.push(Event::CronDue { unit: due.unit });
        }
        self.feed_all(events).await
    }

    /// Tells the core one event and does everything that follows from it.
    async fn feed(&mut self, event: Event) -> Option<u8> {
        self.feed_all(vec![event]).await
    }

    async fn feed_all(&mut self, mut events: Vec<Event>) -> Option<u8> {
        let all = clock::lost();
        let lost = all.saturating_sub(std::mem::replace(&mut self.lost, all));
        if !lost.is_zero() {
            tracing::info!("the container was frozen for {}", Words(lost));
            // Before anything else: limits that are over by the clock may not be.
            events.insert(0, Event::Frozen { lost });
        }
        if events.is_empty() {
            return None;
        }
        let mut actions = Vec::new();
        self.pass_on(&mut events, &mut actions);
        self.carry_out(actions).await
    }

    /// The events to whoever waits for one and to the core; `actions`: what that asks for.
    fn pass_on(&mut self, events: &mut Vec<Event>, actions: &mut Vec<Action>) {
        events.iter().for_each(|event| self.waits.see(event));
        self.core.handle_all(events.drain(..), clock::now(), actions);
    }

    /// Does what the core asks, and everything that follows from it.
    pub(super) async fn carry_out(&mut self, mut actions: Vec<Action>) -> Option<u8> {
        let mut events = Vec::new();
        let mut starts = Vec::new();
        loop {
            // One walk over /proc serves all signals of one answer.
            let mut walk = None;
            for action in actions.drain(..) {
                if let Action::Spawn { id } = action {
                    starts.push(id);
                } else {
                    self.start(&mut starts, &mut events);
                    if let Action::Exit { code } = action {
                        return Some(code);
                    }
                    self.perform(action, &mut events, &mut walk);
                }
                // A thousand services to start take a while, and their logs must move meanwhile.
                self.done = self.done.wrapping_add(1);
                if self.done.is_multiple_of(ACTIONS_AT_ONCE) {
                    self.start(&mut starts, &mut events);
                    tokio::task::yield_now().await;
                }
            }
            self.start(&mut starts, &mut events);
            // Before anybody is told that something has started.
            self.refused = control::open_late(self.shell).await.err();
            if self.refused.is_some() {
                return self.refused;
            }
            if events.is_empty() {
                return None;
            }
            self.pass_on(&mut events, &mut actions);
        }
    }

    fn perform(
        &mut self,
        action: Action,
        events: &mut Vec<Event>,
        walk: &mut Option<Vec<sys::proc::Process>>,
    ) {
        match action {
            Action::Signal { id, signal } => self.shell.children.signal(id, signal),
            Action::Stop { id, scope, signal } => {
                walk.get_or_insert_with(|| self.shell.children.look_around());
                self.shell.children.stop(id, scope, signal);
            }
            Action::KillGroup { id } => {
                walk.get_or_insert_with(|| self.shell.children.look_around());
                self.shell.children.stop(id, StopScope::Group, Signal::KILL);
                if self.shell.children.is_empty(id) {
                    events.push(Event::GroupEmpty { id });
                } else if self.shell.children.pid(id).is_none() {
                    self.looks.for_killed();
                }
            }
            Action::StartProbe { id } => {
                if let Some(ready) = self.planned(id).and_then(|service| service.ready.clone()) {
                    self.probes.start_ready(id, self.name(id), ready);
                }
            }
            Action::StopProbe { id } => self.probes.stop(id, Aim::Ready),
            Action::StartLiveness { id } => {
                if let Some(live) = self.planned(id).and_then(|service| service.live.clone()) {
                    self.probes.start_live(id, self.name(id), live, self.shell.children.pid(id));
                }
            }
            Action::StopLiveness { id } => self.probes.stop(id, Aim::Live),
            Action::SignalOrphans { signal } => {
                let orphans = self.shell.children.orphans(stop::descendants());
                let orphans = self.looks.not_told(orphans, signal);
                if !orphans.is_empty() {
                    tracing::info!("{signal:?} to what was left behind: {}", names(&orphans));
                }
                stop::stop_all(&orphans, signal);
                // The count is told at once, even when it is the same.
                self.orphans = Some(u32::MAX);
                events.extend(self.orphan_event(stop::descendants()));
            }
            Action::CountOrphans => {
                self.orphans = Some(u32::MAX);
                let all = walk.get_or_insert_with(|| self.shell.children.look_around()).clone();
                events.extend(self.orphan_event(all));
            }
            Action::Notice(notice) => self.tell(&notice),
            // Handled by the caller.
            Action::Spawn { .. } | Action::Exit { .. } => {}
        }
    }

    fn planned(&self, id: Id) -> Option<&ServicePlan> {
        self.plan.services.get(usize::from(unit(id)))
    }

    /// What log lines call an instance or a run: `php-fpm`, `queue:1`, `schedule`.
    fn name(&self, id: Id) -> String {
        status::name(&self.plan, id)
    }

    fn tell(&mut self, notice: &Notice) {
        self.waits.overhear(notice);
        let text = notice.text.as_str();
        match (notice.about.map(|id| self.name(id)), notice.severity) {
            (Some(name), Severity::Error) => tracing::error!(service = %name, "{text}"),
            (Some(name), Severity::Warn) => tracing::warn!(service = %name, "{text}"),
            (Some(name), Severity::Info) => tracing::info!(service = %name, "{text}"),
            (Some(name), Severity::Debug) => tracing::debug!(service = %name, "{text}"),
            (None, Severity::Error) => tracing::error!("{text}"),
            (None, Severity::Warn) => tracing::warn!("{text}"),
            (None, Severity::Info) => tracing::info!("{text}"),
            (None, Severity::Debug) => tracing::debug!("{text}"),
        }
    }
}

/// So many actions, and then the logs have their turn.
const ACTIONS_AT_ONCE: u32 = 16;

/// So many signals, and then whatever else is due has its turn: a storm of them must not stop the clock.
const SIGNALS_IN_A_ROW: u32 = 64;

/// A run that starts later than this is worth a line.
const LATE: std::time::Duration = std::time::Duration::from_secs(2);

/// Restarts of many tasks that were started at once should not come at once.
fn seed() -> u64 {
    u64::try_from(sys::clock::wall() & i128::from(u64::MAX)).unwrap_or_default()
}

fn unit(id: Id) -> u16 {
    match id {
        Id::Service { unit, .. } | Id::Run { unit, .. } => unit,
    }
}
