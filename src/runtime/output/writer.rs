//! The fallback where the log cannot be written without blocking: a thread that may block instead of init.
//!
//! It is needed for regular files (epoll refuses them, and a full or remote disk stalls write(2)), for a pipe of
//! another user that may not be re-opened, and where /proc is not mounted. One chunk at a time is on its way; it
//! stays in the queue until the thread has answered, so nothing else has to be bounded. A thread stuck in write(2)
//! does not keep the process from exiting.

use crate::sys::fd_out;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::sync::mpsc as jobs;
use tokio::sync::mpsc as answers;

/// Small: the thread calls write(2) and poll(2) and nothing else.
const STACK: usize = 64 << 10;

/// The chunk comes back, to be filled again, with how many of its bytes were written.
type Answer = (Vec<u8>, usize, io::Result<()>);

/// The loop's end of the thread.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: jobs::SyncSender<Vec<u8>>,
    answers: answers::Receiver<Answer>,
}

impl Writer {
    /// Starts the thread. It ends when this handle is dropped.
    pub(super) fn start(file: File) -> io::Result<Self> {
        let (jobs, work) = jobs::sync_channel::<Vec<u8>>(1);
        let (done, answers) = answers::channel(1);
        std::thread::Builder::new().name("log-writer".to_owned()).stack_size(STACK).spawn(move || {
            for chunk in work {
                let (written, result) = write_all(&file, &chunk);
                if done.blocking_send((chunk, written, result)).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { jobs, answers })
    }

    /// Writes one chunk and waits for the thread's answer.
    pub(super) async fn write(&mut self, chunk: Vec<u8>) -> Answer {
        let gone = || io::Error::other("the writer thread has ended");
        if let Err(jobs::TrySendError::Full(chunk) | jobs::TrySendError::Disconnected(chunk)) =
            self.jobs.try_send(chunk)
        {
            return (chunk, 0, Err(gone()));
        }
        self.answers.recv().await.unwrap_or_else(|| (Vec::new(), 0, Err(gone())))
    }
}

fn write_all(mut file: &File, chunk: &[u8]) -> (usize, io::Result<()>) {
    let mut written: usize = 0;
    while let Some(rest) = chunk.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write(rest) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(n) => written = written.saturating_add(n),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // Someone else made the shared description non-blocking.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if let Err(error) = fd_out::wait_writable(file.as_fd(), None) {
                    return (written, Err(error));
                }
            }
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}
