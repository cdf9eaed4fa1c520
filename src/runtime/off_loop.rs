//! Work on file systems that may not answer (EFS, NFS, a volume that is frozen), on a thread of its own: the loop reaps,
//! answers and stops meanwhile.
//!
//! A thread that hangs in the kernel cannot be ended; it ends with the process. What it works on is its own: it gets copies
//! and hands back a result.

use super::boot::End;
use super::clock::{self, Timeout};
use super::control;
use super::journal::{self, Forwarded};
use super::shell::{Happening, Shell};
use super::signals::Signals;
use crate::exit;
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::words;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// After this time the log says what is waited for.
const WORTH_A_LINE: Duration = Duration::from_secs(5);
/// A stop leaves the work so long to finish, as it does in far less where the file system answers: a probe that is cut off
/// leaves its file behind.
const ON_STOP: Duration = Duration::from_millis(500);
/// A file system that has not answered by then is taken for dead.
pub const LIMIT: Duration = Duration::from_secs(60);

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

/// Work that goes on.
pub struct OffLoop<T> {
    result: oneshot::Receiver<T>,
    progress: Progress,
    lines: mpsc::Receiver<Forwarded>,
}

impl<T: Send + 'static> OffLoop<T> {
    /// Starts `work`.
    pub fn start(work: impl FnOnce(&Progress) -> T + Send + 'static) -> Self {
        let progress = Progress::default();
        let (send, result) = oneshot::channel();
        let own = progress.clone();
        let (log, lines) = mpsc::channel();
        let all = move || {
            // Nobody waits for it any more: the container stops.
            let _ = send.send(work(&own));
        };
        // Kept outside the thread, which takes it: without a thread (a limit on processes) it is done here.
        let all = Arc::new(Mutex::new(Some(all)));
        let take = move |all: &Mutex<Option<_>>| all.lock().unwrap_or_else(PoisonError::into_inner).take();
        let theirs = Arc::clone(&all);
        let thread = std::thread::Builder::new().name("files".to_owned());
        let started = thread.spawn(move || {
            journal::forward(log);
            if let Some(work) = take(&theirs) {
                work();
            }
        });
        if let Err(error) = started {
            tracing::debug!("cannot start a thread for files: {}: going on without one", words(&error));
            if let Some(work) = all.lock().unwrap_or_else(PoisonError::into_inner).take() {
                work();
            }
        }
        Self { result, progress, lines }
    }

    /// Waits for the result; `None`: the thread panicked, which the hook has told. Safe to cancel.
    pub async fn done(&mut self) -> Option<T> {
        let result = (&mut self.result).await.ok();
        self.show_lines();
        result
    }

    /// Shows what the work has logged so far.
    pub fn show_lines(&self) {
        self.lines.try_iter().for_each(|line| journal::show(&line));
    }

    /// Which path it is at.
    pub fn progress(&self) -> &Progress {
        &self.progress
    }
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
            result = work.done() => return result.ok_or(End::Failed(exit::SOFTWARE)),
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
                    return result.ok_or(End::Failed(exit::SOFTWARE));
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
