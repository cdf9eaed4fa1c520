//! What the parts of the shell know of the whole: the phase, the timeline of the boot. Written by whoever does the
//! work, read by whoever answers for it (control socket, health listener), at any moment of the container's life.

use super::clock;
use super::reload::Verdict;
use crate::control::protocol::{Phase, Reloaded, Span, SpanKind, Timeline};
use crate::supervisor::Mono;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

/// The most spans that are kept: a thousand services need no picture each.
const SPANS: usize = 256;

/// Shared by `Rc`; no borrow is held across an await.
pub struct Board {
    began: Mono,
    phase: Cell<Phase>,
    spans: RefCell<Vec<Span>>,
    last_reload: RefCell<Option<(Mono, Verdict)>>,
    /// What ECS tells of the task.
    pub ecs: RefCell<BTreeMap<String, String>>,
}

/// A span that was begun; `None`: there were too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpanId(Option<usize>);

impl Board {
    pub fn new() -> Rc<Self> {
        Rc::new(Self {
            began: clock::now(),
            phase: Cell::new(Phase::Booting),
            spans: RefCell::default(),
            last_reload: RefCell::default(),
            ecs: RefCell::default(),
        })
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
        let mut spans = self.spans.borrow_mut();
        if spans.len() >= SPANS {
            return SpanId(None);
        }
        spans.push(Span { name: name.to_owned(), kind, start_ms: self.age_ms(), end_ms: None, ok: true });
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

    /// Milliseconds since init began.
    pub fn age_ms(&self) -> u64 {
        u64::try_from(clock::now().since(self.began).as_millis()).unwrap_or(u64::MAX)
    }
}
