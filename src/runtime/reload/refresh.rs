//! When which file is looked at for a change.

use crate::config::plan::{FilePlan, Plan};
use crate::supervisor::Mono;
use std::time::Duration;

/// The share of an interval by which containers differ that were started at once.
const JITTER: f64 = 0.1;

struct Entry {
    file: FilePlan,
    every: Duration,
    next: Mono,
}

/// The files that are looked at, and when.
pub struct Refresh {
    entries: Vec<Entry>,
    /// One for the container: a certificate and its key, looked at equally often, are looked at together.
    factor: f64,
}

impl Refresh {
    pub fn new(plan: &Plan, now: Mono) -> Self {
        let share = f64::from(u32::try_from(crate::sys::random() & 0xffff).unwrap_or_default()) / 65_535.0;
        let mut refresh = Self { entries: Vec::new(), factor: 1.0 - JITTER + 2.0 * JITTER * share };
        refresh.follow(plan, now);
        refresh
    }

    /// Another plan: every interval begins anew, since its files have just been fetched.
    pub fn follow(&mut self, plan: &Plan, now: Mono) {
        let factor = self.factor;
        let entry = |file: &FilePlan| {
            let every = file.refresh?;
            let every = Duration::try_from_secs_f64(every.as_secs_f64() * factor).unwrap_or(every);
            Some(Entry { file: file.clone(), every, next: now.after(every) })
        };
        self.entries = plan.files.iter().filter_map(entry).collect();
    }

    /// Nothing is looked at any more.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.entries.iter().map(|entry| entry.next).min()
    }

    /// The files to look at now.
    pub fn due(&mut self, now: Mono) -> Vec<FilePlan> {
        let due = self.entries.iter_mut().filter(|entry| entry.next <= now);
        due.map(|entry| {
            entry.next = now.after(entry.every);
            entry.file.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::resolve::{Layers, resolve};
    use crate::config::tree::Source;

    #[test]
    fn files_of_one_interval_are_due_together_and_never_twice() {
        let text = "[[file]]\nsource='/a'\npath='/x/a'\nrefresh='10s'\n[[file]]\nsource='/b'\npath='/x/b'\nrefresh='10s'\n\
                    [[file]]\nsource='/c'\npath='/x/c'\n";
        let source = Source { name: "test".into(), text: text.into() };
        let layers = Layers::parse(vec![source], "/srv".into()).unwrap();
        let plan = resolve(&layers, &|_| None, None).unwrap();
        let start = Mono::default();
        let mut refresh = Refresh::new(&plan, start);
        let at = refresh.deadline().unwrap();
        let after = at.since(start);
        assert!(after >= Duration::from_secs(9) && after <= Duration::from_secs(11), "{after:?}");
        assert!(refresh.due(start).is_empty());
        assert_eq!(refresh.due(at).len(), 2);
        assert!(refresh.due(at).is_empty() && refresh.deadline().unwrap() > at);
        refresh.clear();
        assert_eq!(refresh.deadline(), None);
    }
}
