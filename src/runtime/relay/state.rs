//! What one relay remembers between two looks at its pipe.

use crate::logs::line::Framer;
use std::time::Duration;
use tokio::time::Instant;

/// A partial line is flushed when nothing followed it for this long: longer than a CPU quota keeps a writer waiting
/// between two writes (its period is 100 ms, cpu.max of cgroups(7)).
pub(super) const IDLE: Duration = Duration::from_millis(200);

#[derive(Debug)]
pub(super) struct State {
    pub(super) framer: Framer,
    /// Read, but not handed on for want of room.
    pub(super) pending: Vec<u8>,
    /// When the partial line that is held began.
    pub(super) partial_since: Option<Instant>,
    /// Bytes that were read without a pause. Not those since the pipe was empty last: it is after each few pages of a
    /// write where pipes are small (pipe(7), pipe-user-pages-soft).
    pub(super) burst: usize,
    last_read: Option<Instant>,
}

impl State {
    pub(super) fn new(max_line: usize) -> Self {
        Self {
            framer: Framer::new(max_line),
            pending: Vec::new(),
            partial_since: None,
            burst: 0,
            last_read: None,
        }
    }

    pub(super) fn read(&mut self, n: usize, now: Instant) {
        let pause =
            self.last_read.replace(now).is_none_or(|last| now.saturating_duration_since(last) >= IDLE);
        self.burst = if pause { n } else { self.burst.saturating_add(n) };
    }
}
