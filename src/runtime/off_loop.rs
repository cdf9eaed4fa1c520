//! Work on file systems that may not answer (EFS, NFS, a volume that is frozen), on a thread of its own: the loop reaps,
//! answers and stops meanwhile.
//!
//! A thread that hangs in the kernel cannot be ended; it ends with the process. What it works on is its own: it gets copies
//! and hands back a result.

use super::boot::End;
use super::clock::Timeout;
use super::control;
use super::journal::{self, Forwarded};
use super::shell::{Happening, Shell};
use crate::exit;
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

impl Shell {
    /// Waits for work before supervision has begun. A stop signal ends the wait within half a second, and a file system that does
    /// not answer after [`LIMIT`].
    ///
    /// # Errors
    /// [`End`]: why the boot cannot go on.
    pub async fn wait_off_loop<T: Send + 'static>(
        &mut self,
        what: &str,
        mut work: OffLoop<T>,
    ) -> Result<T, End> {
        let (warning, limit) = (Timeout::new(WORTH_A_LINE), Timeout::new(LIMIT));
        let mut warned = false;
        loop {
            let happening = tokio::select! {
                biased;
                result = work.done() => return result.ok_or(End::Failed(exit::SOFTWARE)),
                happening = self.next(Some(if warned { limit.at() } else { warning.at() })) => happening,
            };
            work.show_lines();
            match happening {
                Happening::Signal(signal) if self.signals.is_stop(signal) => {
                    let left = ON_STOP.min(self.left_to_stop() / 2);
                    if tokio::time::timeout(left, work.done()).await.is_err() {
                        tracing::warn!("{what} does not wait for {} any longer", work.progress().shown());
                    }
                    return Err(End::Stopped(signal));
                }
                Happening::Deadline if !warned && warning.is_over() => {
                    warned = true;
                    // It waits for the services where nothing before them takes time, as this does.
                    control::open_late(self).await.map_err(End::Failed)?;
                    tracing::warn!(
                        "{what} waits for {}, which has not answered for {}: often a network file system such as EFS or NFS; \
                         check its mount target and its security group",
                        work.progress().shown(),
                        Words(WORTH_A_LINE)
                    );
                }
                Happening::Deadline if limit.is_over() => {
                    tracing::error!(
                        "{what}: {} has not answered within {}: giving up",
                        work.progress().shown(),
                        Words(LIMIT)
                    );
                    return Err(End::Failed(exit::TIMEOUT));
                }
                Happening::Signal(_) | Happening::Reaped(_) | Happening::Deadline => {}
            }
        }
    }
}
