//! The container's stdout and stderr, as one place that everything is written through.
//!
//! Nothing here blocks: what the reader does not take waits in a bounded queue
//! ([`crate::logs::queue`]), and what can never be written is discarded and counted. A batch of whole lines goes
//! out in one system call while nothing waits. Where stdout and stderr lead to the same place (a terminal, `2>&1`)
//! they share one queue, so that order and lines are kept across both.
//!
//! Everything runs on the thread of one `LocalSet`.

mod port;
mod sink;
mod writer;

use crate::config::plan::OnStall;
use crate::logs::format::Stream;
use crate::logs::line::count_lines;
use crate::logs::loss::Lost;
use crate::logs::queue::{Queue, SourceId};
use port::Port;
pub(crate) use port::watch;
use sink::Sink;
use std::cell::{RefCell, RefMut};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::rc::Rc;
use std::time::Duration;

/// Read buffer of all relays, once one of them has had use for it…
pub(crate) const READ: usize = 64 << 10;
/// …and until then: a service that says little, or nothing, costs one page and not sixteen.
const FIRST_READ: usize = 4 << 10;
/// The batch buffer is given back when a long line has made it larger than this.
const KEEP_BATCH: usize = 128 << 10;

/// How much may wait. Bytes.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of all services, over both streams.
    pub cap: usize,
    /// Of init's own lines, on top.
    pub reserve: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { cap: 256 << 10, reserve: 32 << 10 }
    }
}

/// What a flush leaves behind when its time is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    pub lines: u64,
    pub bytes: u64,
}

/// Both streams. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Output(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    out: Rc<Sink>,
    err: Rc<Sink>,
    scratch: RefCell<Scratch>,
}

/// Buffers shared by all relays, used between two awaits only. Allocated at the first line.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    pub(crate) read: Vec<u8>,
    pub(crate) batch: Vec<u8>,
}

impl Output {
    /// Over this process's stdout and stderr. Call it within a `LocalSet`: it starts the tasks that empty the
    /// queues.
    pub fn open(limits: Limits) -> Self {
        Self::over(io::stdout().as_fd(), io::stderr().as_fd(), limits)
    }

    /// Over any two descriptors. Neither they nor their flags are changed, and they may be closed afterwards.
    pub fn over(out: BorrowedFd<'_>, err: BorrowedFd<'_>, limits: Limits) -> Self {
        let (out_port, out_identity) = Port::open(out);
        let (err_port, err_identity) = Port::open(err);
        let (out, err) = if out_identity.is_some() && out_identity == err_identity {
            drop(err_port);
            let queue = Queue::new(limits.cap, limits.reserve);
            let both = Sink::start("stdout", out_port, queue);
            (Rc::clone(&both), both)
        } else {
            let each = limits.cap >> 1;
            let out = Sink::start("stdout", out_port, Queue::new(each, limits.reserve));
            (out, Sink::start("stderr", err_port, Queue::new(each, limits.reserve)))
        };
        Self(Rc::new(Inner { out, err, scratch: RefCell::new(Scratch::default()) }))
    }

    fn sink(&self, stream: Stream) -> &Rc<Sink> {
        match stream {
            Stream::Stdout => &self.0.out,
            Stream::Stderr => &self.0.err,
        }
    }

    /// A new source of lines. `label` is what its drops are told under.
    pub fn source(&self, stream: Stream, label: String, on_stall: OnStall) -> Source {
        let sink = Rc::clone(self.sink(stream));
        let id = sink.queue.borrow_mut().open(label, on_stall);
        Source { sink, id }
    }

    /// Writes one of init's own lines (with its newline) to stderr, ahead of nothing and behind what was queued
    /// before it. False when there is no way to write it, or when called from within the output itself.
    pub fn own_line(&self, line: &[u8]) -> bool {
        self.0.err.own(line)
    }

    /// Bytes that wait, over both streams.
    pub fn waiting(&self) -> usize {
        let out = self.0.out.queue.borrow().len();
        if self.0.out.is(&self.0.err) { out } else { out.saturating_add(self.0.err.queue.borrow().len()) }
    }

    /// What could not be written to `stream` at all and was not told yet.
    pub fn lost(&self, stream: Stream) -> Lost {
        self.sink(stream).lost()
    }

    /// Lines that were thrown away since the start, of both streams.
    pub fn dropped(&self) -> u64 {
        let out = self.0.out.dropped();
        if self.0.out.is(&self.0.err) { out } else { out.saturating_add(self.0.err.dropped()) }
    }

    /// Waits until everything has left, at most `within`. What is left then stays queued.
    pub async fn flush(&self, within: Duration) -> Left {
        let both = async || {
            self.0.out.wait_drained().await;
            self.0.err.wait_drained().await;
        };
        let all = async {
            both().await;
            // What was dropped on the way is reported now at the latest, and that is to leave as well.
            self.0.out.report(true);
            self.0.err.report(true);
            both().await;
        };
        if tokio::time::timeout(within, all).await.is_ok() {
            return Left::default();
        }
        let mut left = Left::default();
        let mut add = |sink: &Sink| {
            for part in sink.queue.borrow().front() {
                left.lines = left.lines.saturating_add(count_lines(part));
                left.bytes = left.bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
            }
        };
        add(&self.0.out);
        if !self.0.out.is(&self.0.err) {
            add(&self.0.err);
        }
        left
    }

    /// The shared buffers. Must be let go before the next await.
    pub(crate) fn scratch(&self) -> RefMut<'_, Scratch> {
        let mut scratch = self.0.scratch.borrow_mut();
        if scratch.read.is_empty() {
            scratch.read = vec![0; FIRST_READ];
        }
        if scratch.batch.capacity() > KEEP_BATCH {
            scratch.batch = Vec::new();
        }
        scratch
    }
}

/// The account of one pipe. Dropping it closes the account; what is queued still leaves.
#[derive(Debug)]
pub struct Source {
    sink: Rc<Sink>,
    id: SourceId,
}

impl Source {
    /// How many bytes may be queued now; 0 while the reader stalls.
    pub fn room(&self) -> usize {
        self.sink.queue.borrow().room(self.id)
    }

    /// Returns once there is room.
    pub async fn wait_room(&self) {
        self.sink.wait_room(self.id).await;
    }

    /// The last thing written is an unfinished line of this source.
    pub fn continues(&self) -> bool {
        self.sink.queue.borrow().continues(self.id)
    }

    /// Writes or queues whole lines, or an unfinished one that this source will continue. Under `drop`, older
    /// lines of the source may go for it, or it goes itself; both are counted.
    pub fn submit(&self, batch: [&[u8]; 2]) {
        self.sink.submit(self.id, batch);
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        if let Ok(mut queue) = self.sink.queue.try_borrow_mut() {
            queue.close(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd_out;
    use std::io::Read as _;

    /// As where stdout can neither be re-opened nor polled.
    fn by_thread(file: std::fs::File) -> Output {
        let sink = Sink::start("stdout", Port::thread(file), Queue::new(16 << 10, 4 << 10));
        Output(Rc::new(Inner { out: Rc::clone(&sink), err: sink, scratch: RefCell::default() }))
    }

    fn on_loop<F: Future>(future: F) -> F::Output {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, future)
    }

    #[test]
    fn the_writer_thread_stalls_instead_of_the_loop() {
        for nonblocking in [false, true] {
            let (mut log, stdout) = io::pipe().unwrap();
            if nonblocking {
                crate::sys::fd::set_nonblocking(&stdout).unwrap();
            }
            let wanted: Vec<u8> = (0..30_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect();
            let lines = wanted.clone();
            let reader = on_loop(async {
                let output = by_thread(fd_out::duplicate(stdout.as_fd()).unwrap());
                drop(stdout);
                let source = output.source(Stream::Stdout, "web".to_owned(), OnStall::Block);
                let child = tokio::task::spawn_local(async move {
                    for line in lines.chunk_by(|&byte, _| byte != b'\n') {
                        source.wait_room().await;
                        source.submit([line, &[]]);
                    }
                });
                // Until nothing moves: the thread is stuck in write(2), and this loop is not.
                let (mut last, mut same) = (0, 0);
                while same < 20 {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                    let now = output.waiting();
                    same = if now == last && now > 0 { same + 1 } else { 0 };
                    last = now;
                }
                assert!(!child.is_finished());
                let reader = std::thread::spawn(move || {
                    let mut all = Vec::new();
                    log.read_to_end(&mut all).map(|_| all)
                });
                child.await.unwrap();
                assert_eq!(output.flush(Duration::from_secs(30)).await, Left::default());
                reader
            });
            assert!(reader.join().unwrap().unwrap() == wanted);
        }
    }

    #[test]
    fn a_stream_with_no_way_at_all_is_counted_and_nothing_spins() {
        on_loop(async {
            let port = Port::Closed("it is not open".to_owned());
            let sink = Sink::start("stdout", port, Queue::new(1000, 100));
            let output =
                Output(Rc::new(Inner { out: Rc::clone(&sink), err: sink, scratch: RefCell::default() }));
            let source = output.source(Stream::Stdout, "web".to_owned(), OnStall::Block);
            source.submit([b"one\ntwo\n", b"three\n"]);
            assert_eq!(output.flush(Duration::from_secs(30)).await, Left::default());
            assert_eq!((output.lost(Stream::Stdout).lines, output.waiting()), (3, 0));
        });
    }
}
