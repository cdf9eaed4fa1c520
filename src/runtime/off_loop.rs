//! Work on file systems that may not answer (EFS, NFS, a volume that is frozen), on a thread of its own: the loop reaps,
//! answers and stops meanwhile.
//!
//! A thread that hangs in the kernel cannot be ended; it ends with the process. What it works on is its own: it gets copies
//! and hands back a result.

use super::boot::End;
use super::clock::{self, Timeout};
use super::control;
use super::failure::Failure;
use super::journal::{self, Forwarded};
use super::shell::{Happening, Shell};
use super::signals::Signals;
use crate::exit;
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::{shortage, words};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// After this time the log says what is waited for.
const WORTH_A_LINE: Duration = Duration::from_secs(5);
/// A stop leaves the work so long to finish, as it does in far less where the file system answers: a probe that is cut off
/// leaves its file behind.
const ON_STOP: Duration = Duration::from_millis(500);
/// A file system that has not answered by then is taken for dead.
pub const LIMIT: Duration = Duration::from_secs(60);
/// A thread is asked for again after so long, then after twice as long each time, and no more after [`LAST_PAUSE`]: a second in all.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LAST_PAUSE: Duration = Duration::from_millis(512);

/// Which path the work is at.
#[derive(Clone, Default)]
pub struct Progress(Arc<Mutex<Option<PathBuf>>>);

impl Progress {
    /// The work is at `path` from now on.
    pub fn at(&self, path: &Path) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(path.to_owned());
    }

    /// For a message: the path, or that it is not known.
    pub fn shown(&self) -> String {
        let path = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        path.as_ref().map_or_else(|| "a file system".to_owned(), |path| path.display().to_string())
    }
}

/// Tells of a thread whether it still works, also when nobody waits for it any longer.
#[derive(Clone)]
pub struct Watch {
    alive: Weak<()>,
    progress: Progress,
}

impl Watch {
    /// It works, or hangs.
    pub fn is_alive(&self) -> bool {
        self.alive.strong_count() > 0
    }

    /// Which path it is at.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Work that goes on, or waits for a thread.
///
/// It is never done by who asked for it: where the system has no thread (the application may use up all that the container has),
/// the loop would wait for a file system, and reap, answer and stop no more.
pub struct OffLoop<T> {
    result: oneshot::Receiver<T>,
    watch: Watch,
    lines: mpsc::Receiver<Forwarded>,
    /// `None`: it has its thread.
    waiting: Option<Waiting>,
}

/// Work without a thread. One that has just ended is counted a moment longer, so it is worth asking again.
struct Waiting {
    job: Arc<Mutex<Option<Job>>>,
    /// Until the next time. Kept here, so that it wakes whoever waits though each wait is cut off.
    until: Pin<Box<dyn Future<Output = ()>>>,
    /// Doubles each time.
    pause: Duration,
}

impl Waiting {
    fn new(job: Arc<Mutex<Option<Job>>>, pause: Duration) -> Self {
        Self { job, until: Box::pin(clock::until(Some(clock::now().after(pause)))), pause }
    }
}

/// Gives `job` its thread, or leaves it where it is.
fn spawn(job: &Arc<Mutex<Option<Job>>>) -> io::Result<()> {
    let theirs = Arc::clone(job);
    let run = move || {
        let job = theirs.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(job) = job {
            job();
        }
    };
    std::thread::Builder::new().name("files".to_owned()).spawn(run).map(drop)
}

/// Why work could not begin.
fn no_thread(error: &io::Error) -> Failure {
    let text = format!("cannot start a thread for files: {}{}", words(error), shortage(error));
    Failure::new(exit::OS, text)
}

/// This is the event loop's thread, where nothing may wait for a file system.
pub fn is_loop() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

impl<T: Send + 'static> OffLoop<T> {
    /// Starts `work`, at once or, where there is no thread for it, while [`OffLoop::done`] is waited for.
    pub fn start(work: impl FnOnce(&Progress) -> T + Send + 'static) -> Self {
        let progress = Progress::default();
        let (send, result) = oneshot::channel();
        let own = progress.clone();
        let (log, lines) = mpsc::channel();
        let alive = Arc::new(());
        let watch = Watch { alive: Arc::downgrade(&alive), progress };
        let job: Job = Box::new(move || {
            journal::forward(log);
            // Nobody waits for it any more: the container stops, or it was given up.
            let _ = send.send(work(&own));
            drop(alive);
        });
        let job = Arc::new(Mutex::new(Some(job)));
        let waiting = spawn(&job).is_err().then(|| Waiting::new(job, FIRST_PAUSE));
        Self { result, watch, lines, waiting }
    }

    /// Waits for the result. Safe to cancel.
    ///
    /// # Errors
    /// There was no thread for it within a second; or the thread panicked, which the hook has told.
    pub async fn done(&mut self) -> Result<T, Failure> {
        while let Some(waiting) = &mut self.waiting {
            waiting.until.as_mut().await;
            let pause = waiting.pause.saturating_mul(2).min(LAST_PAUSE);
            let was_last = waiting.pause >= LAST_PAUSE;
            let job = Arc::clone(&waiting.job);
            let started = spawn(&job);
            self.waiting = started.is_err().then(|| Waiting::new(job, pause));
            if let Err(error) = started
                && was_last
            {
                return Err(no_thread(&error));
            }
        }
        let result = (&mut self.result).await;
        self.show_lines();
        result.map_err(|_| Failure::new(exit::SOFTWARE, "a fault in init itself"))
    }

    /// Shows what the work has logged so far.
    pub fn show_lines(&self) {
        self.lines.try_iter().for_each(|line| journal::show(&line));
    }

    /// Which path it is at.
    pub fn progress(&self) -> &Progress {
        self.watch.progress()
    }

    /// For who gives it up.
    pub fn watch(&self) -> Watch {
        self.watch.clone()
    }
}

/// The boot cannot go on without the work that `what` is done with.
fn failed(what: &str, failure: Failure) -> End {
    Failure { text: format!("{what}: {}", failure.text), ..failure }.end()
}

/// How long work is waited for.
struct Patience<'a> {
    what: &'a str,
    warning: Timeout,
    limit: Timeout,
    warned: bool,
}

impl<'a> Patience<'a> {
    /// From now on, for the work that `what` is done with.
    fn new(what: &'a str) -> Self {
        Self { what, warning: Timeout::new(WORTH_A_LINE), limit: Timeout::new(LIMIT), warned: false }
    }

    /// When [`Patience::is_long`] or [`Patience::is_over`] becomes true.
    fn at(&self) -> Mono {
        if self.warned { self.limit.at() } else { self.warning.at() }
    }

    /// Whether it is time to say what is waited for.
    fn is_long(&self) -> bool {
        !self.warned && self.warning.is_over()
    }

    /// Says what is waited for.
    fn warn(&mut self, progress: &Progress) {
        self.warned = true;
        tracing::warn!(
            "{} waits for {}, which has not answered for {}: often a network file system such as EFS or NFS; check its mount \
             target and its security group",
            self.what,
            progress.shown(),
            Words(WORTH_A_LINE)
        );
    }

    /// Whether nothing is waited for any longer, which it says.
    fn is_over(&self, progress: &Progress) -> bool {
        if !self.limit.is_over() {
            return false;
        }
        tracing::error!(
            "{}: {} has not answered within {}: giving up",
            self.what,
            progress.shown(),
            Words(LIMIT)
        );
        true
    }

    /// Leaves the work a moment, at most `left`: the container stops.
    async fn stop<T: Send + 'static>(&self, work: &mut OffLoop<T>, left: Duration) {
        if tokio::time::timeout(left, work.done()).await.is_err() {
            tracing::warn!("{} does not wait for {} any longer", self.what, work.progress().shown());
        }
    }
}

/// Waits for work before there is a [`Shell`]. A stop signal ends the wait within half a second, and a file system that does not
/// answer after [`LIMIT`]. All other signals mean nothing yet.
///
/// # Errors
/// [`End`]: why the boot cannot go on.
pub async fn wait_without_shell<T: Send + 'static>(
    signals: &mut Signals,
    what: &str,
    mut work: OffLoop<T>,
) -> Result<T, End> {
    let mut patience = Patience::new(what);
    loop {
        let signal = tokio::select! {
            biased;
            result = work.done() => return result.map_err(|failure| failed(what, failure)),
            signal = signals.next() => Some(signal),
            () = clock::until(Some(patience.at())) => None,
        };
        work.show_lines();
        match signal {
            Some(signal) if signals.is_stop(signal) => {
                patience.stop(&mut work, ON_STOP).await;
                return Err(End::Stopped(signal));
            }
            None if patience.is_over(work.progress()) => return Err(End::Failed(exit::TIMEOUT)),
            None if patience.is_long() => patience.warn(work.progress()),
            Some(_) | None => {}
        }
    }
}

impl Shell {
    /// As [`wait_without_shell`], before supervision has begun. Other signals are left for whoever waits next.
    ///
    /// # Errors
    /// [`End`]: why the boot cannot go on.
    pub async fn wait_off_loop<T: Send + 'static>(
        &mut self,
        what: &str,
        mut work: OffLoop<T>,
    ) -> Result<T, End> {
        let mut patience = Patience::new(what);
        let mut others = Vec::new();
        loop {
            let happening = tokio::select! {
                biased;
                result = work.done() => {
                    self.signals.give_back(others);
                    return result.map_err(|failure| failed(what, failure));
                }
                happening = self.next(Some(patience.at())) => happening,
            };
            work.show_lines();
            match happening {
                Happening::Signal(signal) if self.signals.is_stop(signal) => {
                    patience.stop(&mut work, self.moment()).await;
                    return Err(End::Stopped(signal));
                }
                Happening::Deadline if patience.is_over(work.progress()) => {
                    return Err(End::Failed(exit::TIMEOUT));
                }
                Happening::Deadline if patience.is_long() => {
                    // It waits for the services where nothing before them takes time, as this does.
                    control::open_late(self).await.map_err(End::Failed)?;
                    patience.warn(work.progress());
                }
                Happening::Signal(signal) if !others.contains(&signal) => others.push(signal),
                Happening::Signal(_) | Happening::Reaped(_) | Happening::Deadline => {}
            }
        }
    }

    /// How long a stop leaves work to finish.
    pub fn moment(&self) -> Duration {
        ON_STOP.min(self.left_to_stop() / 2)
    }

    /// Waits a moment for work that nothing depends on.
    pub async fn tidy_up(&self, mut work: OffLoop<()>) {
        let _ = tokio::time::timeout(self.moment(), work.done()).await;
    }
}
