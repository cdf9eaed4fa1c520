//! A writer that never stops, a small write after the other.
//!
//! A relay that is faster than such a writer finds little in the pipe and is woken by the next write at once: two switches
//! of context for a line, of which init pays one and the writer the other. So while that goes on the pipe is out of the loop's
//! epoll set, which every write would wake, and is looked at each millisecond; it holds what gathers meanwhile. Pipes are
//! enlarged for this alone: the usual 64 kB would be full before.

use crate::sys::fd;
use std::os::fd::AsFd;
use std::time::Duration;
use tokio::time::Instant;

/// How long is not looked. The timer knows nothing shorter.
pub(super) const PAUSE: Duration = Duration::from_millis(1);

/// So many looks that emptied the pipe of so little each…
const LOOKS: u32 = 64;
const SMALL: usize = 8 << 10;
/// …within this time are a flood, …
const WITHIN: Duration = Duration::from_millis(10);
/// …which is over when so little has gathered in a pause: a line of usual length every 10 µs…
const LITTLE: usize = 12 << 10;
/// …or so much that the writer may have had to wait for room.
const MUCH: usize = 768 << 10;

/// What the pipe then should hold, and what it must hold at least. 1 MiB is what everybody may ask for (pipe(7)).
const WANTED: i32 = 1 << 20;
const ENOUGH: i32 = 256 << 10;

#[derive(Debug, Default)]
pub(super) struct Flood {
    since: Option<Instant>,
    looks: u32,
    /// Bytes since the last pause; `None`: there is no flood.
    gathered: Option<usize>,
    /// The pipe could not be enlarged, and is not asked again.
    refused: bool,
}

impl Flood {
    /// A look has read `n` bytes; `all`: and emptied the pipe.
    pub(super) fn read(&mut self, n: usize, all: bool, now: Instant, pipe: impl AsFd) {
        if let Some(gathered) = &mut self.gathered {
            let sum = gathered.saturating_add(n);
            *gathered = if all { 0 } else { sum };
            if (all && sum < LITTLE) || sum > MUCH {
                self.end();
            }
        } else if self.begins(all && n < SMALL, now) {
            let size = fd::enlarge_pipe(pipe, WANTED).unwrap_or_default();
            self.refused = size < ENOUGH;
            self.gathered = (!self.refused).then_some(0);
        }
    }

    /// A look has found nothing.
    pub(super) fn end(&mut self) {
        self.gathered = None;
    }

    pub(super) fn goes_on(&self) -> bool {
        self.gathered.is_some()
    }

    fn begins(&mut self, small: bool, now: Instant) -> bool {
        if !small || self.refused {
            return false;
        }
        if self.since.is_none_or(|since| now.saturating_duration_since(since) > WITHIN) {
            self.since = Some(now);
            self.looks = 0;
        }
        self.looks = self.looks.saturating_add(1);
        self.looks >= LOOKS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, micros: u64) -> Instant {
        start.checked_add(Duration::from_micros(micros)).unwrap()
    }

    fn read(flood: &mut Flood, n: usize, all: bool, at: Instant, pipe: impl AsFd) -> bool {
        flood.read(n, all, at, pipe);
        flood.goes_on()
    }

    #[test]
    fn many_small_reads_in_a_row_are_one_until_little_gathers() {
        let (pipe, start) = (fd::pipe_cloexec().unwrap(), Instant::now());
        let mut flood = Flood::default();
        let mut look = |n, all, micros| read(&mut flood, n, all, at(start, micros), &pipe.read);
        assert_eq!((1..1000).find(|n| look(120, true, n * 10)), Some(u64::from(LOOKS)));
        assert!(look(64 << 10, false, 2000));
        assert!(look(120, true, 2010), "much has gathered");
        assert!(!look(120, true, 3010), "and now little");
        assert!(!look(120, true, 14_000));
        assert!(fd::enlarge_pipe(&pipe.read, 4096).is_ok());
    }

    #[test]
    fn lines_that_come_now_and_then_and_large_reads_are_none() {
        let (pipe, start) = (fd::pipe_cloexec().unwrap(), Instant::now());
        let mut flood = Flood::default();
        let mut look = |n, all, micros| read(&mut flood, n, all, at(start, micros), &pipe.read);
        assert!((1..1000).all(|n| !look(120, true, n * 200)));
        assert!((1..1000).all(|n| !look(65536, false, 200_000 + n * 10)));
        assert!((1..1000).all(|n| !look(32768, true, 300_000 + n * 10)));
    }

    #[test]
    fn a_pipe_that_stays_small_is_looked_at_as_ever() {
        let (start, other) = (Instant::now(), fd::dev_null().unwrap());
        let mut flood = Flood::default();
        assert!((1..1000).all(|n| !read(&mut flood, 120, true, at(start, n), &other)));
    }
}
