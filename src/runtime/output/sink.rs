//! One of the container's streams: the port, the queue before it, and the task that empties the queue.

use super::super::fault::caught;
use super::port::Port;
use crate::logs::loss::{Lost, Unreported};
use crate::logs::queue::{OWN, Queue, SourceId};
use crate::supervisor::words::counted;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// Largest chunk handed to the writer thread.
const CHUNK: usize = 64 << 10;
/// A stall shorter than this that lost nothing is not worth a line.
const WORTH_TELLING: Duration = Duration::from_secs(5);

/// More bytes than a line takes that reports drops.
const NOTICE: usize = 256;

/// Pause between attempts where readiness cannot be trusted.
const IN_VAIN: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Sink {
    name: &'static str,
    port: Port,
    pub(super) queue: RefCell<Queue>,
    /// The pump has something to do.
    wake: Notify,
    /// Sources that wait for room may look again.
    room: Notify,
    /// The queue has become empty.
    drained: Notify,
    /// Where the times of reports count from.
    epoch: Instant,
    /// What was thrown away because it could not be written.
    lost: RefCell<Unreported>,
    /// Lines of it since the start.
    ever_lost: Cell<u64>,
    /// The error that was last met and that no success has followed.
    failing: RefCell<Option<io::Error>>,
    failure_told: Cell<bool>,
    stalled_since: Cell<Option<Instant>>,
    /// The longest stall since drops were last reported.
    longest_stall: Cell<Duration>,
    /// A source had to wait for room in this stall.
    made_wait: Cell<bool>,
}

impl Sink {
    /// Must be called within a `LocalSet`: it starts the pump.
    pub(super) fn start(name: &'static str, port: Port, queue: Queue) -> Rc<Self> {
        let sink = Rc::new(Self {
            name,
            port,
            queue: RefCell::new(queue),
            wake: Notify::new(),
            room: Notify::new(),
            drained: Notify::new(),
            epoch: Instant::now(),
            lost: RefCell::default(),
            ever_lost: Cell::new(0),
            failing: RefCell::new(None),
            failure_told: Cell::new(false),
            stalled_since: Cell::new(None),
            longest_stall: Cell::default(),
            made_wait: Cell::new(false),
        });
        let pumped = Rc::clone(&sink);
        tokio::task::spawn_local(async move {
            // Without it every service that waits for room would wait for ever.
            while caught(pin!(Rc::clone(&pumped).pump())).await.is_err() {
                tokio::time::sleep(IN_VAIN).await;
            }
        });
        sink
    }

    /// Writes a batch of whole lines (or a part of one that the source continues later), or queues what is not
    /// taken at once. False when something else is at work on the queue, which only a panic can cause.
    pub(super) fn submit(&self, source: SourceId, batch: [&[u8]; 2]) -> bool {
        let Ok(mut queue) = self.queue.try_borrow_mut() else { return false };
        if !queue.admit(source, batch) {
            return true;
        }
        let was_empty = queue.is_empty();
        let sent =
            match was_empty.then(|| self.port.write_now(&[queue.separator(source), batch[0], batch[1]])) {
                Some(Ok(n)) => {
                    self.succeeded();
                    n
                }
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    let mut lost = Lost::default();
                    batch.iter().for_each(|part| lost.add(part));
                    self.lose(lost);
                    queue.discard();
                    self.failed(error);
                    return true;
                }
                Some(Err(_)) | None => 0,
            };
        queue.append(source, batch, sent);
        if was_empty && !queue.is_empty() {
            self.stalled_since.set(Some(Instant::now()));
            self.wake.notify_one();
        }
        true
    }

    /// Returns once the source may queue something: at once when it may now, else when a good part is free again,
    /// since many small reads would cost more than the wait.
    pub(super) async fn wait_room(&self, source: SourceId) {
        let mut enough: usize = 1;
        while !self.queue.borrow().has_room(source, enough) {
            self.made_wait.set(true);
            enough = usize::MAX;
            self.room.notified().await;
        }
    }

    /// Returns once the queue is empty.
    pub(super) async fn wait_drained(&self) {
        while !self.queue.borrow().is_empty() {
            self.drained.notified().await;
        }
    }

    async fn pump(self: Rc<Self>) {
        let mut in_vain: u32 = 0;
        loop {
            self.report(false);
            if self.queue.borrow().is_empty() {
                self.woken_or_due().await;
                continue;
            }
            match &self.port {
                Port::Polled(fd) | Port::Socket(fd) => {
                    let Ok(mut guard) = fd.writable().await else { return };
                    let attempt = guard.try_io(|_| {
                        let queue = self.queue.borrow();
                        let [first, second] = queue.front();
                        self.port.write_now(&[first, second, &[]])
                    });
                    match attempt {
                        Ok(result) => {
                            in_vain = 0;
                            self.moved(result);
                        }
                        Err(_) => in_vain = in_vain.saturating_add(1),
                    }
                    // A named pipe whose reader left and came back stays "closed" in epoll's eyes, and so for ever
                    // writable in tokio's.
                    if in_vain > 2 {
                        tokio::time::sleep(IN_VAIN).await;
                    }
                }
                Port::Thread(writer) => {
                    let Some(mut taken) = writer.take() else { return };
                    self.pump_by_thread(&mut taken).await;
                    writer.replace(Some(taken));
                }
                Port::Direct(_) | Port::Closed(_) => {
                    let result = {
                        let queue = self.queue.borrow();
                        let [first, second] = queue.front();
                        self.port.write_now(&[first, second, &[]])
                    };
                    self.moved(result);
                }
            }
            tokio::task::yield_now().await;
        }
    }

    async fn pump_by_thread(&self, writer: &mut super::writer::Writer) {
        let mut chunk = Vec::new();
        while !self.queue.borrow().is_empty() {
            {
                let mut queue = self.queue.borrow_mut();
                for part in queue.front() {
                    let space = CHUNK.saturating_sub(chunk.len());
                    chunk.extend_from_slice(part.get(..space).unwrap_or(part));
                }
                queue.pin(chunk.len());
            }
            let (returned, written, result) = writer.write(chunk).await;
            self.moved(Ok(written));
            if let Err(error) = result {
                self.moved(Err(error));
            }
            chunk = returned;
            chunk.clear();
            self.report(false);
        }
    }

    /// Some of the queue has left, or all of it is lost.
    fn moved(&self, result: io::Result<usize>) {
        let mut queue = self.queue.borrow_mut();
        match result {
            Ok(n) => {
                queue.consume(n);
                self.succeeded();
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => {
                let lost = queue.discard();
                self.lose(lost);
                self.failed(error);
            }
        }
        if queue.is_empty() {
            self.drained.notify_waiters();
        }
        if queue.has_eased() {
            self.room.notify_waiters();
        }
    }

    fn lose(&self, more: Lost) {
        self.lost.borrow_mut().merge(more);
        self.ever_lost.set(self.ever_lost.get().saturating_add(more.lines));
    }

    /// Lines that were thrown away since the start, for whatever reason.
    pub(super) fn dropped(&self) -> u64 {
        self.ever_lost.get().saturating_add(self.queue.borrow().ever_dropped())
    }

    fn failed(&self, error: io::Error) {
        let mut failing = self.failing.borrow_mut();
        if failing.is_none() {
            *failing = Some(error);
            self.wake.notify_one();
        }
    }

    fn succeeded(&self) {
        if self.failing.borrow_mut().take().is_some() {
            self.wake.notify_one();
        }
    }

    /// Waits while nothing is queued: for something to do, or for the moment that a report is due. No timer runs while
    /// there is nothing to report.
    async fn woken_or_due(&self) {
        let due = self.report_due_at().and_then(|due| self.epoch.checked_add(due));
        let Some(due) = due else { return self.wake.notified().await };
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }

    fn report_due_at(&self) -> Option<Duration> {
        let failed = self.failing.borrow().is_some();
        let lost = self.lost.borrow();
        let of_port = match (failed, self.failure_told.get()) {
            (true, true) => return None,
            (true, false) | (false, true) => Some(lost.earliest()),
            (false, false) => lost.due_at(),
        };
        [of_port, self.queue.borrow().report_due_at()].into_iter().flatten().min()
    }

    /// Reports to init's log what was lost, as often as [`crate::logs::loss`] allows; all of it at the `end`. No borrow may
    /// be held: the line goes through this very sink.
    pub(super) fn report(&self, end: bool) {
        let now = self.epoch.elapsed();
        if self.report_port(now, end) {
            return;
        }
        let empty = self.queue.borrow().is_empty();
        let stalled = self.stalled_since.get().map(|since| since.elapsed()).unwrap_or_default();
        let longest = self.longest_stall.get().max(stalled);
        let drops = {
            // No more than there is room to report: a line that is refused would take its numbers with it.
            let mut queue = self.queue.borrow_mut();
            let most = (queue.room(OWN) / NOTICE).max(usize::from(empty));
            queue.report_drops(most, now, end)
        };
        let unreported = drops.is_empty() && self.queue.borrow().report_due_at().is_some();
        self.longest_stall.set(if unreported { longest } else { Duration::ZERO });
        for (label, Lost { lines, bytes }) in &drops {
            let (name, seconds) = (self.name, longest.as_secs_f32());
            tracing::warn!(
                "{label}: {} ({bytes} bytes) dropped, {name} was not read for {seconds:.1}s",
                counted(*lines, "line", "lines")
            );
        }
        if empty
            && self.stalled_since.take().is_some()
            && self.made_wait.replace(false)
            && stalled >= WORTH_TELLING
        {
            let seconds = stalled.as_secs_f32();
            tracing::warn!("{} was not read for {seconds:.1}s, services waited to write to it", self.name);
        }
    }

    /// Reports that the stream cannot be written, or can be again. True: it cannot be now, so nothing else can be reported.
    fn report_port(&self, now: Duration, end: bool) -> bool {
        let failure = self.failing.borrow().as_ref().map(ToString::to_string);
        let due = end || self.lost.borrow().earliest() <= now;
        if let Some(error) = failure {
            if due && !self.failure_told.replace(true) {
                tracing::warn!(
                    "cannot write to {}: {error}; lines are discarded until it can be written",
                    self.name
                );
            }
            return true;
        }
        let discarded = self.failure_told.get() || !self.lost.borrow().lost().is_none();
        if due && discarded {
            self.failure_told.set(false);
            let lost = self.lost.borrow_mut().report(now);
            let lines = counted(lost.lines, "line was", "lines were");
            tracing::warn!("{} can be written again; {lines} discarded", self.name);
        }
        false
    }

    /// A line of init's own. False also where there is no way: the journal has one of its own, and the line may say
    /// why (no thread could be started, since no process can).
    pub(super) fn own(&self, line: &[u8]) -> bool {
        !matches!(self.port, Port::Closed(_)) && self.submit(OWN, [line, &[]])
    }

    /// What was thrown away because it could not be written and was not told yet.
    pub(super) fn lost(&self) -> Lost {
        self.lost.borrow().lost()
    }

    pub(super) fn is(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}
