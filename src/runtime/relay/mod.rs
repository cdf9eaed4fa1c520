//! From a child's pipe to the container's log: one small task for each pipe.
//!
//! A relay reads, frames, formats and hands on ([`super::output`]); it never blocks and yields after every full
//! read, so a flood starves nothing. While the container's log is not read it stops reading (`block`, the child
//! then waits in write(2)) or lets its own oldest lines go (`drop`). It lives as long as anyone holds the pipe,
//! which may be a grandchild long after the main process is gone. Read and batch buffers are shared by all relays.

mod state;
mod task;

use super::output::{Left, Output, watch};
use super::tail::{Recorder, Tail};
use crate::config::plan::{LogFormat, OnStall};
use crate::logs::format::{Label, Stream};
use crate::sys::fd;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Why a relay could not be started.
#[derive(Debug)]
pub struct RelayError {
    what: &'static str,
    label: String,
    source: io::Error,
}

impl fmt::Display for RelayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot relay the {} of \"{}\": {}", self.what, self.label, self.source)
    }
}

impl std::error::Error for RelayError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Sees every byte that is read, before it is framed.
pub type Tap = Rc<dyn Fn(&[u8])>;

/// What is at the other end of a pipe, and how its lines are treated.
#[derive(Clone)]
pub struct SourceInfo {
    pub label: Label,
    pub pid: i32,
    pub stream: Stream,
    pub format: LogFormat,
    pub on_stall: OnStall,
    pub tap: Option<Tap>,
}

/// All relays of one output.
#[derive(Debug)]
pub struct Relays {
    output: Output,
    max_line: usize,
    tail: Option<Rc<Tail>>,
    live: RefCell<Vec<Rc<Control>>>,
}

impl Relays {
    /// `max_line`: bytes of a line that are kept whole.
    pub fn new(output: Output, max_line: usize) -> Self {
        Self { output, max_line, tail: None, live: RefCell::new(Vec::new()) }
    }

    /// Keeps the last lines in `tail` as well.
    #[must_use]
    pub fn recorded(self, tail: Rc<Tail>) -> Self {
        Self { tail: Some(tail), ..self }
    }

    /// Where the lines go.
    pub fn output(&self) -> &Output {
        &self.output
    }

    /// Starts a relay from `reader`, the read end of a pipe whose write end the child has. Call it within the
    /// `LocalSet` of the output. Dropping the handle changes nothing: the relay ends with its pipe.
    ///
    /// # Errors
    /// When the descriptor cannot be watched (epoll out of memory or watches).
    pub fn spawn(&self, reader: OwnedFd, info: SourceInfo) -> Result<RelayHandle, RelayError> {
        let failed = |source| RelayError { what: info.stream.name(), label: info.label.to_string(), source };
        fd::set_nonblocking(&reader).map_err(failed)?;
        let reader = watch(File::from(reader), Interest::READABLE).map_err(|(_, error)| failed(error))?;
        let control = Rc::new(Control::default());
        let recorder = self.tail.as_ref().map(|tail| {
            Recorder::new(Rc::clone(tail), info.label.to_string(), info.stream == Stream::Stderr)
        });
        let relay =
            task::Relay::new(reader, &info, &self.output, self.max_line, Rc::clone(&control), recorder);
        let mut live = self.live.borrow_mut();
        live.retain(|relay| !relay.finished.get());
        live.push(Rc::clone(&control));
        // A block, which has these two in one place: an argument of an async function is in two.
        tokio::task::spawn_local(async move { relay.live(&info.label).await });
        Ok(RelayHandle(control))
    }

    /// Pipes that are still held open by someone.
    pub fn live(&self) -> usize {
        self.live.borrow().iter().filter(|relay| !relay.finished.get()).count()
    }

    /// For the container's end: relays everything that was written until now, ends all relays, whoever may still
    /// hold their pipes, and flushes the output. Takes at most `within`.
    pub async fn drain(&self, within: Duration) -> Left {
        let until = Instant::now().checked_add(within);
        let relays = self.live.take();
        let all = async {
            for relay in &relays {
                relay.ending.set(true);
                relay.ask();
            }
            for relay in &relays {
                relay.settled().await;
            }
        };
        // Over or not, what was queued by then is still worth the flush below.
        let _ = tokio::time::timeout(within, all).await;
        let left = until.map_or(within, |until| until.saturating_duration_since(Instant::now()));
        self.output.flush(left).await
    }
}

/// One relay.
#[derive(Clone, Debug)]
pub struct RelayHandle(Rc<Control>);

impl RelayHandle {
    /// The pipe has ended and all of it was handed on.
    pub fn is_finished(&self) -> bool {
        self.0.finished.get()
    }

    /// Waits until everything that was written to the pipe before this call was handed on, a last partial line
    /// included. For words that must not come before the child's own: `exited 78` after the reason. While the log is
    /// not read this may take for ever, so set a deadline.
    pub async fn settle(&self) {
        self.0.ask();
        self.0.settled().await;
    }

    /// Asks for what [`RelayHandle::caught_up`] waits for: several relays then work at the same time.
    pub fn catch_up(&self) {
        self.0.ask();
    }

    /// Waits until everything that was written to the pipe before [`RelayHandle::catch_up`] was handed on, or the log
    /// turns out not to be read.
    pub async fn caught_up(&self) {
        self.0.settled_or_stalled().await;
    }
}

/// What is asked of a relay, and what it has done.
#[derive(Debug, Default)]
struct Control {
    asked: Cell<u64>,
    done: Cell<u64>,
    ending: Cell<bool>,
    finished: Cell<bool>,
    /// It waits for room in the log.
    stalled: Cell<bool>,
    wake: Notify,
    changed: Notify,
}

impl Control {
    fn ask(&self) {
        self.asked.set(self.asked.get().wrapping_add(1));
        self.wake.notify_one();
    }

    fn stalls(&self, stalls: bool) {
        self.stalled.set(stalls);
        self.changed.notify_waiters();
    }

    fn is_settled(&self, wanted: u64) -> bool {
        self.finished.get() || self.done.get() >= wanted
    }

    async fn settled(&self) {
        let wanted = self.asked.get();
        while !self.is_settled(wanted) {
            self.changed.notified().await;
        }
    }

    async fn settled_or_stalled(&self) {
        let wanted = self.asked.get();
        while !self.is_settled(wanted) && !self.stalled.get() {
            self.changed.notified().await;
        }
    }
}
