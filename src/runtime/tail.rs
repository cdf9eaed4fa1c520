//! The last lines and the last events, for `init logs` and `init events`.
//!
//! Relays and the journal put them in, clients of the control socket read them at their own pace: what a slow one
//! has not read when it goes is counted for it, and nobody waits. Everything runs on the thread of one `LocalSet`.

use super::journal;
use crate::control::protocol::{EventLine, LogLine, Reply};
use crate::control::server::Replies;
use crate::logs::tail::{Cursor, Tail as Ring};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;

/// The most events that are kept, and of each text so many bytes.
const EVENTS: usize = 256;
const EVENT_TEXT: usize = 512;

/// Bytes of lines that a client gets at once…
const AT_ONCE: usize = 16 << 10;
/// …and how long the next ones wait, so that a flood of lines and of readers leaves the processor to others.
const PAUSE: Duration = Duration::from_millis(10);

/// What lines of init itself come under.
const INIT: &str = "init";

/// Who gets which lines.
pub type Names = Vec<String>;

/// Shared by `Rc`; no borrow is held across an await.
#[derive(Debug)]
pub struct Tail {
    ring: RefCell<Ring>,
    events: RefCell<Events>,
    /// Lines and bytes of init's own.
    own: Cell<(u64, u64)>,
    wake: Notify,
    readers: Cell<usize>,
}

#[derive(Debug, Default)]
struct Events {
    lines: VecDeque<EventLine>,
    /// How many came, and how many may be kept.
    came: u64,
    most: usize,
}

impl Tail {
    /// `budget`: bytes of lines; with 0 nothing is kept, and lines are counted.
    pub fn new(budget: usize) -> Rc<Self> {
        let events = Events { most: if budget == 0 { 0 } else { EVENTS }, ..Events::default() };
        Rc::new(Self {
            ring: RefCell::new(Ring::new(budget)),
            events: RefCell::new(events),
            own: Cell::default(),
            wake: Notify::new(),
            readers: Cell::new(0),
        })
    }

    /// Lines and bytes that services, runs and steps have written.
    pub fn counted(&self) -> (u64, u64) {
        let (lines, bytes) = self.ring.borrow().counted();
        let (own_lines, own_bytes) = self.own.get();
        (lines.saturating_sub(own_lines), bytes.saturating_sub(own_bytes))
    }

    /// The names that lines came under.
    pub fn names(&self) -> Vec<String> {
        self.ring.borrow().names().map(str::to_owned).collect()
    }

    /// Takes in one of init's own lines.
    pub fn event(&self, event: EventLine, line: &[u8]) {
        // From within a read of itself there is nothing to add to.
        if let (Ok(mut ring), Ok(mut events)) = (self.ring.try_borrow_mut(), self.events.try_borrow_mut()) {
            let name = ring.register(INIT);
            let (lines, bytes) = ring.counted();
            ring.add(name, event.at_ms, true, line);
            let (more_lines, more_bytes) = ring.counted();
            let (own_lines, own_bytes) = self.own.get();
            self.own.set((
                own_lines.saturating_add(more_lines.saturating_sub(lines)),
                own_bytes.saturating_add(more_bytes.saturating_sub(bytes)),
            ));
            events.add(event);
        }
        self.tell();
    }

    fn tell(&self) {
        if self.readers.get() > 0 {
            self.wake.notify_waiters();
        }
    }

    /// Sends the last `lines` lines of `names`, and with `follow` those to come, until the client is gone.
    pub async fn send_logs(self: Rc<Self>, names: Names, lines: u32, follow: bool, to: Replies) {
        let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| is_of(name, wanted));
        let mut cursor = self.ring.borrow().from_last(u64::from(lines), wanted);
        self.send(follow, to, |tail| tail.next_lines(&mut cursor, &wanted)).await;
    }

    fn next_lines(&self, cursor: &mut Cursor, wanted: &dyn Fn(&str) -> bool) -> Vec<Reply> {
        let batch = self.ring.borrow().read(cursor, AT_ONCE, wanted);
        let missed = (batch.missed > 0).then(|| {
            Reply::Log(LogLine {
                at_ms: journal::unix_ms(),
                name: INIT.to_owned(),
                stream: "stderr".to_owned(),
                text: format!("{} left out here: they came faster than they were read", lines(batch.missed)),
            })
        });
        let lines = batch.lines.into_iter().map(|line| {
            Reply::Log(LogLine {
                at_ms: line.at_ms,
                name: line.name,
                stream: if line.error { "stderr" } else { "stdout" }.to_owned(),
                text: String::from_utf8_lossy(&line.bytes).into_owned(),
            })
        });
        missed.into_iter().chain(lines).collect()
    }

    /// As [`Tail::send_logs`], for events.
    pub async fn send_events(self: Rc<Self>, lines: u32, follow: bool, to: Replies) {
        let mut next = {
            let events = self.events.borrow();
            let held = u64::try_from(events.lines.len()).unwrap_or(u64::MAX);
            events.came.saturating_sub(u64::from(lines).min(held))
        };
        self.send(follow, to, |tail| tail.events.borrow().from(&mut next)).await;
    }

    async fn send(&self, follow: bool, to: Replies, mut next: impl FnMut(&Self) -> Vec<Reply>) {
        let _reader = Reader::new(&self.readers);
        loop {
            // Asked for before the look, so that what comes between is not missed.
            let more = self.wake.notified();
            let replies = next(self);
            let some = !replies.is_empty();
            for reply in replies {
                if !to.send(reply).await {
                    return;
                }
            }
            match (some, follow) {
                (true, _) => tokio::time::sleep(if follow { PAUSE } else { Duration::ZERO }).await,
                (false, false) => return to.last(Reply::End),
                (false, true) => tokio::select! {
                    () = more => {}
                    () = to.gone() => return,
                },
            }
        }
    }
}

impl Events {
    fn add(&mut self, mut event: EventLine) {
        if self.most == 0 {
            return;
        }
        if event.text.len() > EVENT_TEXT {
            event.text.truncate(event.text.floor_char_boundary(EVENT_TEXT));
            event.text.push('…');
        }
        if self.lines.len() >= self.most {
            self.lines.pop_front();
        }
        self.came = self.came.saturating_add(1);
        self.lines.push_back(event);
    }

    fn from(&self, next: &mut u64) -> Vec<Reply> {
        let oldest = self.came.saturating_sub(u64::try_from(self.lines.len()).unwrap_or(u64::MAX));
        let missed = oldest.saturating_sub(*next);
        let skip = usize::try_from(next.saturating_sub(oldest)).unwrap_or(usize::MAX);
        *next = self.came;
        let missed = (missed > 0).then(|| {
            Reply::Event(EventLine {
                at_ms: journal::unix_ms(),
                severity: "warn".to_owned(),
                name: None,
                text: format!("{} left out here: they came faster than they were read", lines(missed)),
            })
        });
        missed.into_iter().chain(self.lines.iter().skip(skip).cloned().map(Reply::Event)).collect()
    }
}

fn lines(count: u64) -> String {
    crate::supervisor::words::counted(count, "line was", "lines were")
}

/// `queue` takes `queue:1` too.
fn is_of(name: &str, wanted: &str) -> bool {
    name.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

/// Counts a client for as long as it lives.
struct Reader<'a>(&'a Cell<usize>);

impl<'a> Reader<'a> {
    fn new(readers: &'a Cell<usize>) -> Self {
        readers.set(readers.get().saturating_add(1));
        Self(readers)
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Where the lines of one pipe go.
#[derive(Debug)]
pub struct Recorder {
    tail: Rc<Tail>,
    label: String,
    error: bool,
    /// Found at the first line: a silent service costs nothing.
    name: Cell<Option<Option<usize>>>,
}

impl Recorder {
    pub fn new(tail: Rc<Tail>, label: String, error: bool) -> Self {
        Self { tail, label, error, name: Cell::new(None) }
    }

    /// Takes in whole lines, or a last one without its end.
    pub fn add(&self, at_ms: i64, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        if let Ok(mut ring) = self.tail.ring.try_borrow_mut() {
            let name = self.name.get().unwrap_or_else(|| ring.register(&self.label));
            self.name.set(Some(name));
            ring.add(name, at_ms, self.error, lines);
        }
        self.tail.tell();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::mpsc;

    fn on_loop<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    async fn texts(from: &mut mpsc::Receiver<Reply>, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            match from.recv().await {
                Some(Reply::Log(line)) => texts.push(line.text),
                Some(Reply::Event(event)) => texts.push(event.text),
                _ => break,
            }
        }
        texts
    }

    fn event(text: &str) -> EventLine {
        EventLine { text: text.to_owned(), ..EventLine::default() }
    }

    #[test]
    fn a_follower_gets_what_comes_and_its_end_frees_its_place() {
        on_loop(async {
            let tail = Tail::new(10_000);
            let web = Recorder::new(Rc::clone(&tail), "web".to_owned(), false);
            let queue = Recorder::new(Rc::clone(&tail), "queue:1".to_owned(), true);
            web.add(1, b"one\n");
            queue.add(1, b"two\n");
            let (to, mut from) = Replies::pair();
            let sender = Rc::clone(&tail).send_logs(vec!["queue".to_owned()], 10, true, to);
            let sender = tokio::task::spawn_local(sender);
            assert_eq!(texts(&mut from, 1).await, ["two"]);
            web.add(2, b"three\n");
            queue.add(2, b"four\nfive\n");
            assert_eq!(texts(&mut from, 2).await, ["four", "five"]);
            drop(from);
            sender.await.unwrap();
            assert_eq!(tail.readers.get(), 0);
        });
    }

    #[test]
    fn without_follow_it_ends() {
        on_loop(async {
            let tail = Tail::new(10_000);
            for number in 0..300 {
                tail.event(event(&format!("event {number}")), b"line\n");
            }
            let (to, mut from) = Replies::pair();
            tokio::task::spawn_local(Rc::clone(&tail).send_events(3, false, to));
            assert_eq!(texts(&mut from, 9).await, ["event 297", "event 298", "event 299"]);
            assert_eq!(tail.events.borrow().lines.len(), EVENTS);
        });
    }

    #[test]
    fn a_follower_that_is_slow_is_told_what_it_missed() {
        on_loop(async {
            let tail = Tail::new(2000);
            let web = Recorder::new(Rc::clone(&tail), "web".to_owned(), false);
            let (to, mut from) = Replies::pair();
            tokio::task::spawn_local(Rc::clone(&tail).send_logs(Vec::new(), 0, true, to));
            for number in 0..1000 {
                web.add(number, b"a line of the flood\n");
                tokio::task::yield_now().await;
            }
            let mut seen = 0;
            loop {
                let Some(Reply::Log(line)) = from.recv().await else { break };
                if line.name == "init" {
                    assert!(line.text.contains("lines were left out here"), "{}", line.text);
                    break;
                }
                seen += 1;
            }
            assert!(seen < 1000);
        });
    }

    #[test]
    fn names_are_whole_words() {
        assert!(is_of("queue:1", "queue") && is_of("queue:1", "queue:1") && is_of("web", "web"));
        assert!(!is_of("queue:10", "queue:1") && !is_of("queues", "queue") && !is_of("web", "queue"));
    }
}
