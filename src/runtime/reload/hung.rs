//! Threads of reloads and looks that were given up.
//!
//! Such a thread hangs in the kernel and cannot be ended. Were more begun meanwhile, each of them would leave one more, with all
//! it holds, for as long as the file system is dead.

use crate::exit;
use crate::runtime::failure::Failure;
use crate::runtime::off_loop::Watch;

/// Those that may still hang.
#[derive(Default)]
pub struct Hung(Vec<Watch>);

impl Hung {
    /// These are not waited for any longer.
    pub fn push(&mut self, threads: impl IntoIterator<Item = Option<Watch>>) {
        self.0.extend(threads.into_iter().flatten());
    }

    /// Why nothing may begin now.
    pub fn refuse(&mut self) -> Option<Failure> {
        let before = self.0.len();
        self.0.retain(Watch::is_alive);
        let Some(thread) = self.0.first() else {
            if before > 0 {
                tracing::info!("the file system has answered: reloads and refreshes are possible again");
            }
            return None;
        };
        let text = format!(
            "an earlier reload or refresh still waits for {}: nothing is reloaded or refreshed until that answers",
            thread.progress().shown()
        );
        Some(Failure::new(exit::TIMEOUT, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::off_loop::OffLoop;
    use std::path::Path;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test waits for a thread")]
    fn nothing_begins_until_the_thread_that_was_given_up_has_ended() {
        let mut hung = Hung::default();
        assert_eq!(hung.refuse(), None);
        let (answers, answer) = mpsc::channel::<()>();
        let (is_there, there) = mpsc::channel();
        let work = OffLoop::start(move |progress| {
            progress.at(Path::new("/efs/app"));
            is_there.send(()).unwrap();
            let _ = answer.recv();
        });
        there.recv().unwrap();
        hung.push([Some(work.watch()), None]);
        drop(work);
        let refused = hung.refuse().unwrap();
        assert_eq!(refused.code, 124);
        assert!(refused.text.contains("still waits for /efs/app"), "{refused}");
        assert_eq!(hung.refuse(), Some(refused));
        answers.send(()).unwrap();
        let began = Instant::now();
        while hung.refuse().is_some() {
            assert!(began.elapsed() < Duration::from_secs(10));
            std::thread::yield_now();
        }
    }
}
