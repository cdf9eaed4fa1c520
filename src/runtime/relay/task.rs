//! The task of one relay.

use super::super::fault::caught;
use super::super::journal;
use super::super::output::{Output, READ, Scratch, Source};
use super::super::tail::Recorder;
use super::state::{IDLE, State};
use super::{Control, SourceInfo, Tap};
use crate::config::plan::OnStall;
use crate::logs::format::{Formatter, Label};
use crate::logs::line::{End, Framer, Piece, whole_lines};
use crate::logs::stamp::Stamp;
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, Read as _};
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

/// A partial line is flushed after [`IDLE`], or when it began this long ago and still trickles in.
const OLDEST: Duration = Duration::from_secs(1);
/// PIPE_BUF: a longer write(2) goes into the pipe piece by piece as room comes up (pipe(7)). So the rest of a line that is
/// this long, or that came with so much else, is on its way, and its writer only waits for the processor…
const ATOMIC: usize = 4096;
/// …for which it is given this many times as long.
const ON_ITS_WAY: u32 = 10;
/// Read at least this much at once, however little room there is.
const LEAST: usize = 4096;
/// What a pipe holds at most unless root has made it larger: enough to have caught up with.
const PIPE_MAX: usize = 1 << 20;

/// What came of a look at the pipe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Look {
    /// `all`: the pipe was emptied.
    Read {
        n: usize,
        all: bool,
    },
    Nothing,
    End,
}

enum Turn {
    Looked(Look),
    Idle,
    Asked,
}

/// Everything of one pipe.
pub(super) struct Relay {
    pipe: AsyncFd<File>,
    format: Formatter,
    source: Source,
    output: Output,
    blocks: bool,
    state: RefCell<State>,
    control: Rc<Control>,
    tap: Option<Tap>,
    recorder: Option<Recorder>,
}

impl Relay {
    pub(super) fn new(
        pipe: AsyncFd<File>,
        info: &SourceInfo,
        output: &Output,
        max_line: usize,
        control: Rc<Control>,
        recorder: Option<Recorder>,
    ) -> Self {
        Self {
            pipe,
            format: Formatter::new(info.format, &info.label, info.pid, info.stream)
                .with_context(journal::context()),
            source: output.source(info.stream, info.label.to_string(), info.on_stall),
            output: output.clone(),
            blocks: info.on_stall == OnStall::Block,
            state: RefCell::new(State::new(max_line)),
            control,
            tap: info.tap.clone(),
            recorder,
        }
    }

    /// As they came, whatever the format makes of them.
    fn record(&self, at_ms: i64, lines: &[u8]) {
        if let Some(recorder) = &self.recorder {
            recorder.add(at_ms, lines);
        }
    }

    /// The task. A panic costs the line at hand; the pipe goes on being read, since closing it would kill the
    /// child with SIGPIPE.
    pub(super) async fn live(&self, label: &Label) {
        while caught(pin!(self.serve())).await.is_err() {
            tracing::error!("{label}: the log relay failed and goes on");
            let max_line = self.state.borrow().framer.max();
            self.state.replace(State::new(max_line));
            tokio::task::yield_now().await;
        }
        self.control.finished.set(true);
        self.control.changed.notify_waiters();
    }

    /// Until the pipe ends or the relay is asked to.
    async fn serve(&self) {
        loop {
            self.work_off().await;
            let asked = self.control.asked.get();
            if asked != self.control.done.get() {
                let ended = self.catch_up().await;
                self.control.done.set(asked);
                self.control.changed.notify_waiters();
                if ended || self.control.ending.get() {
                    break;
                }
            }
            match self.turn().await {
                Turn::Asked | Turn::Looked(Look::Nothing | Look::Read { all: true, .. }) => {}
                Turn::Looked(Look::Read { all: false, .. }) => tokio::task::yield_now().await,
                // The rest may be there by now: init itself may have waited for the processor.
                Turn::Idle => match self.look() {
                    Look::Nothing => self.flush_partial().await,
                    Look::Read { .. } => {}
                    Look::End => break,
                },
                Turn::Looked(Look::End) => break,
            }
        }
        self.work_off().await;
        self.make_room().await;
        let mut state = self.state.borrow_mut();
        if let Some(piece) = state.framer.finish() {
            self.hand_on(&piece);
        } else if self.source.continues() {
            // A partial line that was flushed before: nobody will continue it.
            self.source.submit([b"\n", &[]]);
        }
    }

    /// Waits for something to do. Without a partial line there is no timer, so an idle pipe wakes nobody.
    async fn turn(&self) -> Turn {
        self.make_room().await;
        let deadline = self.partial_deadline();
        tokio::select! {
            biased;
            look = self.readable() => Turn::Looked(look),
            () = self.control.wake.notified() => Turn::Asked,
            () = sleep_until(deadline) => Turn::Idle,
        }
    }

    fn partial_deadline(&self) -> Option<Instant> {
        let mut state = self.state.borrow_mut();
        if state.framer.held() == 0 {
            state.partial_since = None;
            return None;
        }
        let patience = if state.framer.held().max(state.burst) < ATOMIC { 1 } else { ON_ITS_WAY };
        let now = Instant::now();
        let since = *state.partial_since.get_or_insert(now);
        let (idle, oldest) = (IDLE.saturating_mul(patience), OLDEST.saturating_mul(patience));
        Some(now.checked_add(idle)?.min(since.checked_add(oldest)?))
    }

    async fn readable(&self) -> Look {
        let Ok(mut guard) = self.pipe.readable().await else { return Look::End };
        let look = self.look();
        // After a short read the pipe is empty, and epoll tells of the next write: no second read to learn that.
        if matches!(look, Look::Nothing | Look::Read { all: true, .. }) {
            guard.clear_ready();
        }
        look
    }

    /// Reads once and hands on. Neither waits nor yields.
    fn look(&self) -> Look {
        let mut scratch = self.output.scratch();
        let Scratch { read, batch } = &mut *scratch;
        let limit = self.batch_limit().min(read.len());
        let buffer = read.get_mut(..limit).unwrap_or_default();
        loop {
            match self.pipe.get_ref().read(buffer) {
                Ok(0) => return Look::End,
                Ok(n) => {
                    let mut state = self.state.borrow_mut();
                    let all = n < limit;
                    state.read(n, Instant::now());
                    let mut input = buffer.get(..n).unwrap_or_default();
                    if let Some(tap) = &self.tap {
                        tap(input);
                    }
                    self.process(&mut state.framer, &mut input, batch);
                    state.pending.extend_from_slice(input);
                    if !all {
                        read.resize(READ, 0);
                    }
                    return Look::Read { n, all };
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Look::Nothing,
                // EIO of a terminal whose other side is gone; there is nothing more to come.
                Err(_) => return Look::End,
            }
        }
    }

    /// How much may be read or handed on at once: all of the buffer while little waits.
    fn batch_limit(&self) -> usize {
        self.source.room().clamp(LEAST, READ)
    }

    /// Hands on from `input` what is whole lines. What is left in it has no room now.
    fn process(&self, framer: &mut Framer, input: &mut &[u8], batch: &mut Vec<u8>) {
        while !input.is_empty() && (!self.blocks || self.source.room() > 0) {
            if self.format.is_plain() {
                self.process_plain(framer, input, batch);
            } else {
                self.process_formatted(framer, input, batch);
            }
        }
    }

    /// Whole lines leave straight from the read buffer, after the end of the line that had begun before.
    fn process_plain(&self, framer: &mut Framer, input: &mut &[u8], batch: &mut Vec<u8>) {
        let (max, limit) = (framer.max(), self.batch_limit());
        if !framer.mid_line() {
            let lines = whole_lines(input, max, limit);
            if !lines.is_empty() {
                self.record(journal::unix_ms(), lines);
                return self.source.submit([lines, &[]]);
            }
        }
        match framer.next(input) {
            None => {}
            Some(Piece { bytes, end: End::Newline, part: 0 }) => {
                let lines = whole_lines(input, max, limit);
                let now = journal::unix_ms();
                self.record(now, bytes);
                self.record(now, lines);
                self.source.submit([bytes, lines]);
            }
            Some(piece) => {
                batch.clear();
                self.record(journal::unix_ms(), piece.bytes);
                self.format.write(batch, &piece, &Stamp::new(0), false);
                self.source.submit([batch, &[]]);
            }
        }
    }

    fn process_formatted(&self, framer: &mut Framer, input: &mut &[u8], batch: &mut Vec<u8>) {
        let (limit, now) = (self.batch_limit(), journal::unix_ms());
        let at = Stamp::new(now);
        batch.clear();
        while batch.len() < limit {
            let Some(piece) = framer.next(input) else { break };
            self.record(now, piece.bytes);
            let continues = batch.is_empty() && self.source.continues();
            self.format.write(batch, &piece, &at, continues);
        }
        if !batch.is_empty() {
            self.source.submit([batch, &[]]);
        }
    }

    fn hand_on(&self, piece: &Piece<'_>) {
        let now = journal::unix_ms();
        self.record(now, piece.bytes);
        let at = Stamp::new(now);
        let batch = &mut self.output.scratch().batch;
        batch.clear();
        self.format.write(batch, piece, &at, self.source.continues());
        self.source.submit([batch, &[]]);
    }

    async fn make_room(&self) {
        if self.blocks && self.source.room() == 0 {
            self.control.stalls(true);
            self.source.wait_room().await;
            self.control.stalls(false);
            // Nothing was read meanwhile, so a partial line has not grown older.
            self.state.borrow_mut().partial_since = None;
        }
    }

    /// Hands on what was read before, as room comes up.
    async fn work_off(&self) {
        while !self.state.borrow().pending.is_empty() {
            self.make_room().await;
            {
                let mut state = self.state.borrow_mut();
                let pending = std::mem::take(&mut state.pending);
                let mut input = pending.as_slice();
                self.process(&mut state.framer, &mut input, &mut self.output.scratch().batch);
                state.pending = input.to_vec();
            }
            tokio::task::yield_now().await;
        }
    }

    /// Reads what is in the pipe now and hands it on, the partial line included. True at the pipe's end.
    async fn catch_up(&self) -> bool {
        let mut read: usize = 0;
        while read < PIPE_MAX {
            self.make_room().await;
            match self.look() {
                Look::End => return true,
                Look::Nothing => break,
                Look::Read { n, .. } => read = read.saturating_add(n),
            }
            self.work_off().await;
            tokio::task::yield_now().await;
        }
        self.flush_partial().await;
        false
    }

    async fn flush_partial(&self) {
        self.make_room().await;
        let mut state = self.state.borrow_mut();
        state.partial_since = None;
        if let Some(piece) = state.framer.flush() {
            self.hand_on(&piece);
        }
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
