//! What a thread does for a reload: everything that a file system may keep waiting.
//!
//! The thread gets what it needs and hands back what it made; what is made of that is done on the loop. So neither sees the
//! other's half-done work, and nothing is shared.

use super::Work;
use crate::exit;
use crate::runtime::clock::Timeout;
use crate::runtime::failure::Failure;
use crate::runtime::off_loop::{LIMIT, OffLoop, Progress, Watch};
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use std::pin::Pin;

/// Makes of a thread's result what it is to the work.
type Take = Box<dyn FnOnce(&mut Work) -> Result<(), Failure>>;

/// A thread that is busy.
pub(super) struct Busy {
    done: Pin<Box<dyn Future<Output = Take>>>,
    watch: Watch,
    /// `None`: it has been told already that it takes long.
    timeout: Option<Timeout>,
    /// The thread changes what others see, and so cannot be given up half way.
    commits: bool,
}

impl Busy {
    /// Starts `work` on a thread; `take` gets its result.
    pub(super) fn start<T: Send + 'static>(
        work: impl FnOnce(&Progress) -> Result<T, Failure> + Send + 'static,
        take: impl FnOnce(&mut Work, T) -> Result<(), Failure> + 'static,
    ) -> Self {
        let mut work = OffLoop::start(work);
        let watch = work.watch();
        let done = Box::pin(async move {
            let made = work.done().await;
            Box::new(move |all: &mut Work| take(all, made??)) as Take
        });
        Self { done, watch, timeout: Some(Timeout::new(LIMIT)), commits: false }
    }

    /// The thread must finish, however long it takes.
    pub(super) fn commits(self) -> Self {
        Self { commits: true, ..self }
    }

    pub(super) fn is_commit(&self) -> bool {
        self.commits
    }

    /// Waits for the thread. Safe to cancel.
    pub(super) async fn done(&mut self) -> Take {
        self.done.as_mut().await
    }

    /// For who gives it up.
    pub(super) fn watch(&self) -> Watch {
        self.watch.clone()
    }

    pub(super) fn deadline(&self) -> Option<Mono> {
        self.timeout.as_ref().map(Timeout::at)
    }

    /// Why it is not waited for any longer, once its time is over.
    pub(super) fn due(&mut self) -> Option<Failure> {
        self.timeout.take_if(|timeout| timeout.is_over())?;
        let text = format!(
            "{} has not answered within {}: often a network file system such as EFS or NFS",
            self.watch.progress().shown(),
            Words(LIMIT)
        );
        if self.commits {
            // The thread would go on behind the back of the next reload, and place what is older.
            tracing::warn!(
                "the reload waits: {text}; files are being put into their places, which must end first"
            );
            return None;
        }
        Some(Failure::new(exit::TIMEOUT, text))
    }
}
