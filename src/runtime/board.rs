//! What the parts of the shell know of the whole: the phase, the timeline of the boot. Written by whoever does the
//! work, read by whoever answers for it (control socket, health listener), at any moment of the container's life.

use super::clock;
use super::fpm::StatusPage;
use super::output::Output;
use super::reload::Verdict;
use super::tail::Tail;
use crate::config::plan::Plan;
use crate::control::health;
use crate::control::protocol::{
    Health, Level, LogCounters, Phase, Reloaded, Span, SpanKind, Status, Timeline, VERSION,
};
use crate::supervisor::Mono;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

/// The most spans that are kept: a thousand services need no picture each.
const SPANS: usize = 256;

/// Shared by `Rc`; no borrow is held across an await.
pub struct Board {
    began: Mono,
    phase: Cell<Phase>,
    spans: RefCell<Vec<Span>>,
    last_reload: RefCell<Option<(Mono, Verdict)>>,
    /// The event loop runs, and answers for the services.
    pub supervises: Cell<bool>,
    /// The schedule and what can be paused are.
    pub paused: Cell<bool>,
    /// The services as they were after the last event.
    pub services: RefCell<Vec<health::Service>>,
    /// The last lines of everything, and how many there were.
    pub tail: Rc<Tail>,
    /// Where lines are dropped.
    pub output: RefCell<Option<Output>>,
    /// Names of services and cron entries.
    pub names: RefCell<Vec<String>>,
    /// What ECS tells of the task.
    pub ecs: RefCell<BTreeMap<String, String>>,
    /// Where PHP-FPM tells of its pools.
    pub status_pages: RefCell<Vec<StatusPage>>,
}

/// A span that was begun; `None`: there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(Option<usize>);

impl Board {
    /// `began`: when init did.
    pub fn new(began: Mono, tail: Rc<Tail>) -> Rc<Self> {
        Rc::new(Self {
            began,
            phase: Cell::new(Phase::Booting),
            spans: RefCell::default(),
            last_reload: RefCell::default(),
            supervises: Cell::new(false),
            paused: Cell::new(false),
            services: RefCell::default(),
            tail,
            output: RefCell::default(),
            names: RefCell::default(),
            ecs: RefCell::default(),
            status_pages: RefCell::default(),
        })
    }

    /// The names of the plan.
    pub fn know(&self, plan: &Plan) {
        let services = plan.services.iter().map(|service| service.name.clone());
        let crons = plan.crons.iter().map(|cron| cron.name.clone());
        self.names.replace(services.chain(crons).collect());
    }

    /// When init began.
    pub fn began(&self) -> Mono {
        self.began
    }

    pub fn phase(&self) -> Phase {
        self.phase.get()
    }

    pub fn enter(&self, phase: Phase) {
        self.phase.set(phase);
    }

    /// Something of the boot begins.
    pub fn begin(&self, kind: SpanKind, name: &str) -> SpanId {
        self.begin_at(kind, name, self.age_ms())
    }

    /// Something began with init itself, and ends now.
    pub fn was_first(&self, kind: SpanKind, name: &str) {
        self.end(self.begin_at(kind, name, 0), true);
    }

    fn begin_at(&self, kind: SpanKind, name: &str, start_ms: u64) -> SpanId {
        let mut spans = self.spans.borrow_mut();
        if spans.len() >= SPANS {
            return SpanId(None);
        }
        spans.push(Span { name: name.to_owned(), kind, start_ms, end_ms: None, ok: true });
        SpanId(spans.len().checked_sub(1))
    }

    /// It ended, well or not.
    pub fn end(&self, span: SpanId, ok: bool) {
        let now = self.age_ms();
        let mut spans = self.spans.borrow_mut();
        if let Some(span) = span.0.and_then(|index| spans.get_mut(index)) {
            span.end_ms = Some(now);
            span.ok = ok;
        }
    }

    /// A reload has ended.
    pub fn reloaded(&self, verdict: Verdict) {
        *self.last_reload.borrow_mut() = Some((clock::now(), verdict));
    }

    /// How the last reload ended.
    pub fn last_reload(&self) -> Option<Reloaded> {
        let last = self.last_reload.borrow();
        last.as_ref().map(|(at, verdict)| Reloaded {
            ok: verdict.code == 0,
            ago_ms: u64::try_from(clock::now().since(*at).as_millis()).unwrap_or(u64::MAX),
            text: verdict.text.clone(),
        })
    }

    pub fn timeline(&self) -> Timeline {
        let spans = self.spans.borrow().clone();
        let going_on = spans.iter().any(|span| span.end_ms.is_none());
        let last = spans.iter().filter_map(|span| span.end_ms).max().unwrap_or_default();
        Timeline { spans, total_ms: if going_on { self.age_ms() } else { last } }
    }

    /// What the boot is at, and for how long.
    fn doing(&self) -> Option<(String, Duration)> {
        let spans = self.spans.borrow();
        let span = spans.iter().rev().find(|span| span.end_ms.is_none() && span.kind != SpanKind::Service)?;
        let what = match span.kind {
            SpanKind::Fetch => format!("the fetch of {}", span.name),
            SpanKind::Step => format!("boot step \"{}\"", span.name),
            SpanKind::Init | SpanKind::Service => span.name.clone(),
        };
        Some((what, Duration::from_millis(self.age_ms().saturating_sub(span.start_ms))))
    }

    /// Healthy or not, at this moment.
    pub fn health(&self, level: Level) -> Health {
        let doing = self.doing();
        let doing = doing.as_ref().map(|(what, lasting)| (what.as_str(), *lasting));
        health::verdict(level, self.phase(), doing, &self.services.borrow())
    }

    /// What services, runs and steps have written so far, and what of it was thrown away.
    pub fn log(&self) -> LogCounters {
        let (lines, bytes) = self.tail.counted();
        let dropped_lines = self.output.borrow().as_ref().map(Output::dropped).unwrap_or_default();
        LogCounters { lines, bytes, dropped_lines }
    }

    /// What can be said without the event loop: no service, no cron entry.
    pub fn status(&self) -> Status {
        Status {
            v: VERSION,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: i32::try_from(std::process::id()).unwrap_or_default(),
            phase: self.phase(),
            uptime_ms: self.age_ms(),
            paused: self.paused.get(),
            ready: self.health(Level::Ready).healthy,
            log: self.log(),
            last_reload: self.last_reload(),
            ecs: self.ecs.borrow().clone(),
            ..Status::default()
        }
    }

    /// Milliseconds since init began.
    pub fn age_ms(&self) -> u64 {
        u64::try_from(clock::now().since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}
