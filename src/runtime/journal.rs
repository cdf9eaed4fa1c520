//! init's own lines: one event, one line, on stderr, never blocking.
//!
//! `tracing` events become text or JSON ([`crate::logs::own`]) and go through the container's output like everything
//! else once [`attach`] was called, with a reserve of their own in its queue. Before that, on other threads, and
//! from within the output itself they are written by a small direct writer that waits a moment at most and counts
//! what it has to drop. Neither target nor file nor line number is shown.

use super::output::Output;
use super::tail::Tail;
use crate::config::plan::{LogFormat, LogLevel};
use crate::control::protocol::EventLine;
use crate::logs::own::Entry;
use crate::logs::stamp::Stamp;
use crate::sys::fd_out;
use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::reload;

/// How long the direct writer waits for a reader before it gives up on one that it has not met before.
const PATIENCE_MS: u16 = 50;

static JSON: AtomicBool = AtomicBool::new(false);
static LEVEL: OnceLock<reload::Handle<LevelFilter, Base>> = OnceLock::new();
/// A piece of JSON that every line gets, once it is known.
static CONTEXT: OnceLock<Box<[u8]>> = OnceLock::new();
static DIRECT: Mutex<Direct> = Mutex::new(Direct::new());

thread_local! {
    static OUTPUT: RefCell<Option<Output>> = const { RefCell::new(None) };
    static TAIL: RefCell<Option<Rc<Tail>>> = const { RefCell::new(None) };
    static FORWARD: RefCell<Option<mpsc::Sender<Forwarded>>> = const { RefCell::new(None) };
}

/// Takes `tracing` events from now on. Call it once, first thing; later calls only [`configure`].
pub fn install(level: LogLevel, format: LogFormat) {
    let (filter, handle) = reload::Layer::new(filter(level));
    if tracing::subscriber::set_global_default(Base.with(filter).with(Journal)).is_ok() {
        let _ = LEVEL.set(handle);
    }
    configure(level, format);
}

/// Changes level and format. Only [`LogFormat::Json`] is JSON here; everything else is text.
pub fn configure(level: LogLevel, format: LogFormat) {
    JSON.store(format == LogFormat::Json, Ordering::Relaxed);
    if let Some(handle) = LEVEL.get() {
        // Fails only when the subscriber is gone, and it lives as long as the process.
        let _ = handle.modify(|current| *current = filter(level));
    }
}

/// Puts `piece`, such as `"ecs":{…},`, into every line that is written as JSON from now on. Only the first one counts.
pub fn set_context(piece: Vec<u8>) {
    let _ = CONTEXT.set(piece.into_boxed_slice());
}

/// What [`set_context`] has set or will.
pub fn context() -> &'static OnceLock<Box<[u8]>> {
    &CONTEXT
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

/// While it lives, events of this thread go through the output.
#[derive(Debug)]
#[must_use = "events go through the output only while this lives"]
pub struct Attached(());

/// Sends this thread's events through `output` from now on.
pub fn attach(output: Output) -> Attached {
    OUTPUT.set(Some(output));
    Attached(())
}

/// An event of another thread.
pub struct Forwarded(LogLevel, Facts);

/// Sends this thread's events to another one, which shows them with [`show`], from now on.
pub fn forward(to: mpsc::Sender<Forwarded>) {
    FORWARD.set(Some(to));
}

/// Shows an event of another thread as one of this thread's.
pub fn show(Forwarded(level, facts): &Forwarded) {
    keep(*level, facts);
    emit(&render(*level, &facts.message, &facts.fields));
}

/// Keeps this thread's events in `tail` too, from now on.
pub fn record(tail: Rc<Tail>) {
    TAIL.set(Some(tail));
}

impl Drop for Attached {
    fn drop(&mut self) {
        OUTPUT.set(None);
    }
}

/// The wall clock, in milliseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "time stamps of log lines are made in the shell")]
pub(crate) fn unix_ms() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// What the layers stand on. Not tracing-subscriber's `Registry`, which keeps 40 kB of tables for spans: init has none.
struct Base;

impl Subscriber for Base {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &Event<'_>) {}
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

/// The layer that turns events into lines.
struct Journal;

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut facts = Facts::default();
        event.record(&mut facts);
        let level = match *event.metadata().level() {
            Level::ERROR => LogLevel::Error,
            Level::WARN => LogLevel::Warn,
            Level::INFO => LogLevel::Info,
            Level::DEBUG => LogLevel::Debug,
            Level::TRACE => LogLevel::Trace,
        };
        let event = Forwarded(level, facts);
        match FORWARD.try_with(|to| to.try_borrow().ok().and_then(|to| (*to).clone())).ok().flatten() {
            // Whoever showed them has gone.
            Some(to) => to.send(event).unwrap_or_else(|unsent| show(&unsent.0)),
            None => show(&event),
        }
    }
}

fn render(level: LogLevel, message: &str, fields: &[(&str, String)]) -> Vec<u8> {
    let entry = Entry { at: Stamp::new(unix_ms()), level, message, fields };
    let mut line = Vec::with_capacity(128);
    if JSON.load(Ordering::Relaxed) {
        let context = CONTEXT.get().map(AsRef::as_ref).unwrap_or_default();
        entry.json(&mut line, std::process::id(), context);
    } else {
        entry.text(&mut line);
    }
    line
}

/// For `init events` and `init logs`.
fn keep(level: LogLevel, facts: &Facts) {
    let Some(tail) =
        TAIL.try_with(|tail| tail.try_borrow().ok().and_then(|tail| (*tail).clone())).ok().flatten()
    else {
        return;
    };
    let at_ms = unix_ms();
    let entry = Entry { at: Stamp::new(at_ms), level, message: &facts.message, fields: &facts.fields };
    let mut line = Vec::with_capacity(128);
    entry.text(&mut line);
    let word = match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug | LogLevel::Trace => "debug",
    };
    let (name, fields): (Vec<_>, Vec<_>) = facts.fields.iter().partition(|(name, _)| *name == "service");
    let fields: String = fields.iter().map(|(name, value)| format!(" {name}={value}")).collect();
    let event = EventLine {
        at_ms,
        severity: word.to_owned(),
        name: name.first().map(|(_, value)| value.clone()),
        text: format!("{}{fields}", facts.message),
    };
    // The time and the name are told beside it.
    tail.event(event, line.get(entry.head()..).unwrap_or_default());
}

fn emit(line: &[u8]) {
    let through = OUTPUT.try_with(|output| {
        output.try_borrow().is_ok_and(|output| output.as_ref().is_some_and(|output| output.own_line(line)))
    });
    if !through.unwrap_or(false) {
        DIRECT.lock().unwrap_or_else(PoisonError::into_inner).write(line);
    }
}

#[derive(Default)]
struct Facts {
    message: String,
    fields: Vec<(&'static str, String)>,
}

impl Visit for Facts {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.message.push_str(value),
            name => self.fields.push((name, value.to_owned())),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            // Writing to a String cannot fail.
            "message" => {
                let _ = write!(self.message, "{value:?}");
            }
            name => self.fields.push((name, format!("{value:?}"))),
        }
    }
}

/// stderr without a loop: early in the boot, and in commands that never start one.
struct Direct {
    file: Option<Way>,
    /// The last line was not written to its end.
    torn: bool,
    /// The reader was waited for in vain.
    stuck: bool,
    dropped: u64,
}

enum Way {
    /// A description of our own, which does not block.
    Own(File),
    Socket(File),
    /// The inherited description; asked by poll(2) first, line by line.
    Shared(File),
}

impl Direct {
    const fn new() -> Self {
        Self { file: None, torn: false, stuck: false, dropped: 0 }
    }

    fn write(&mut self, line: &[u8]) {
        if self.file.is_none() {
            self.file = Way::open().ok();
        }
        if self.dropped > 0 {
            let notice = format!("{} of init's own lines dropped, stderr was not read", self.dropped);
            if self.put(&render(LogLevel::Warn, &notice, &[])) {
                self.dropped = 0;
            }
        }
        if !self.put(line) {
            self.dropped = self.dropped.saturating_add(1);
        }
    }

    /// False when the line did not get out to its end.
    fn put(&mut self, line: &[u8]) -> bool {
        let Some(way) = &self.file else { return false };
        let text = if self.torn { [b"\n", line].concat() } else { line.to_vec() };
        let mut rest = text.as_slice();
        while !rest.is_empty() {
            let patience = if self.stuck { 0 } else { PATIENCE_MS };
            match way.write(rest, patience) {
                Ok(n) => {
                    rest = rest.get(n..).unwrap_or_default();
                    self.torn = !rest.is_empty();
                    self.stuck = false;
                }
                Err(error) => {
                    self.stuck = error.kind() == io::ErrorKind::WouldBlock;
                    return false;
                }
            }
        }
        true
    }
}

impl Way {
    fn open() -> io::Result<Self> {
        let stderr = io::stderr();
        let inherited = fd_out::duplicate(stderr.as_fd())?;
        match fd_out::inspect(&inherited)?.0 {
            fd_out::Kind::Socket => Ok(Self::Socket(inherited)),
            fd_out::Kind::Pipe | fd_out::Kind::CharDevice => {
                Ok(fd_out::reopen(stderr.as_fd()).map_or(Self::Shared(inherited), Self::Own))
            }
            fd_out::Kind::Other => Ok(Self::Shared(inherited)),
        }
    }

    /// Writes some of `bytes`, waiting at most `patience_ms` for a reader.
    fn write(&self, bytes: &[u8], patience_ms: u16) -> io::Result<usize> {
        let (Self::Own(file) | Self::Socket(file) | Self::Shared(file)) = self;
        for wait in [0, patience_ms] {
            let ready = fd_out::wait_writable(file.as_fd(), Some(wait))?;
            if !ready {
                continue;
            }
            let result = match self {
                Self::Own(_) => (&mut &*file).write(bytes),
                Self::Socket(file) => fd_out::send_now(file.as_fd(), &[io::IoSlice::new(bytes)]),
                // A pipe that polls writable has room for PIPE_BUF (4096) bytes, unless another writer is faster.
                Self::Shared(_) => (&mut &*file).write(bytes.get(..4096).unwrap_or(bytes)),
            };
            match result {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result,
            }
        }
        Err(io::ErrorKind::WouldBlock.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    fn direct(way: Way) -> Direct {
        Direct { file: Some(way), ..Direct::new() }
    }

    /// Fills the pipe behind `direct`, reads it empty again, and returns what came and what came after that.
    fn stall_and_read(mut direct: Direct, mut log: std::io::PipeReader) -> (String, String) {
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..200 {
            direct.write(line.as_bytes());
        }
        assert!(direct.stuck && direct.dropped > 0);
        let mut read = |direct: &mut Direct| {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            direct.write(b"end\n");
            while !text.ends_with("end\n") {
                let n = log.read(&mut buffer).unwrap();
                text.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
                direct.write(b"end\n");
            }
            text
        };
        let text = read(&mut direct);
        (text, read(&mut direct))
    }

    #[test]
    fn the_direct_writer_drops_counts_and_recovers() {
        for shared in [false, true] {
            let (log, stderr) = std::io::pipe().unwrap();
            let file = fd_out::duplicate(stderr.as_fd()).unwrap();
            let way =
                if shared { Way::Shared(file) } else { Way::Own(fd_out::reopen(stderr.as_fd()).unwrap()) };
            let (text, after) = stall_and_read(direct(way), log);
            let mut lines = text.lines().filter(|line| !line.starts_with('x'));
            assert!(lines.next().unwrap().contains(" of init's own lines dropped"), "{text}");
            assert!(lines.all(|line| line == "end"));
            assert!(after.lines().all(|line| line == "end"));
        }
    }

    #[test]
    fn a_reader_that_is_gone_is_no_reason_to_stop() {
        let (log, stderr) = std::io::pipe().unwrap();
        let mut direct = direct(Way::Own(fd_out::reopen(stderr.as_fd()).unwrap()));
        drop(log);
        direct.write(b"one\n");
        direct.write(b"two\n");
        assert_eq!(direct.dropped, 2);
    }
}
