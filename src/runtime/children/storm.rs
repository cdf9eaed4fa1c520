//! Orphans that end by the thousand, one CHLD each.
//!
//! A signal costs ten times what the wait for its orphan does: the handler, its pipe, a turn of the loop. So while that goes
//! on CHLD is blocked, and it is looked every millisecond who has ended.

use crate::config::plan::Signal;
use crate::supervisor::Mono;
use crate::sys::mask;
use std::time::Duration;

/// So many looks that found orphans alone…
const LOOKS: u32 = 32;
/// …within this time are a storm, …
const WITHIN: Duration = Duration::from_millis(20);
/// …which is over when a look finds so few.
const FEW: u64 = 4;

/// Long enough for more than a few, and short beside the time that a restart takes.
const PAUSE: Duration = Duration::from_millis(4);

#[derive(Debug, Default)]
pub(super) struct Storm {
    since: Option<Mono>,
    looks: u32,
    /// When it is to be looked; `None`: there is no storm.
    next: Option<Mono>,
}

impl Storm {
    /// A look has found so many orphans, and nothing else unless `ours`.
    pub(super) fn looked(&mut self, orphans: u64, ours: bool, now: Mono) {
        if self.next.is_some() {
            self.next = (orphans >= FEW).then(|| now.after(PAUSE));
            if self.next.is_none() {
                // Whoever has ended meanwhile is told of now.
                mask::release(&[Signal::CHLD.number()]);
            }
        } else if orphans > 0 && !ours && self.begins(now) {
            mask::hold(&[Signal::CHLD.number()]);
            self.next = Some(now.after(PAUSE));
        }
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.next
    }

    fn begins(&mut self, now: Mono) -> bool {
        if self.since.is_none_or(|since| now.since(since) > WITHIN) {
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

    fn at(micros: u64) -> Mono {
        Mono::new(Duration::from_micros(micros))
    }

    #[test]
    fn orphans_in_quick_succession_are_one_until_few_come() {
        let mut storm = Storm::default();
        let mut begun = |n: u64| {
            storm.looked(1, false, at(n * 100));
            storm.next().is_some()
        };
        assert_eq!((1..1000).find(|n| begun(*n)), Some(u64::from(LOOKS)));
        storm.looked(500, true, at(5000));
        assert_eq!(storm.next(), Some(at(9000)));
        storm.looked(1, false, at(9000));
        assert_eq!(storm.next(), None);
    }

    #[test]
    fn orphans_now_and_then_and_ends_of_our_own_are_none() {
        let mut storm = Storm::default();
        for n in 0..1000 {
            storm.looked(1, false, at(n * 2000));
            storm.looked(3, true, at(n * 2000 + 1));
            storm.looked(0, true, at(n * 2000 + 2));
            assert_eq!(storm.next(), None);
        }
    }
}
