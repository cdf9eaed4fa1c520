//! Many histories in a few threads, and the story of the one that fails.

use crate::case::Case;
use crate::history::live;
use crate::invariants::Invariant;
use crate::shrink::shrink;
use crate::subject::Core;
use php_init::supervisor::Supervisor;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// What came of a campaign.
pub struct Result {
    /// The least seed that was found to fail.
    pub failed: Option<u64>,
    pub events: u64,
}

/// Seeds that a thread takes at a time.
const BATCH: u64 = 64;

/// Lives the histories of these seeds; stops at the first that fails.
pub fn run<C: Core>(seeds: Range<u64>, threads: usize, make: fn(Supervisor) -> C) -> Result {
    let (next, failed, events) = (AtomicU64::new(seeds.start), AtomicU64::new(u64::MAX), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                let mut count = 0;
                loop {
                    let from = next.fetch_add(BATCH, Ordering::Relaxed);
                    if from >= seeds.end || from > failed.load(Ordering::Relaxed) {
                        break;
                    }
                    for seed in from..(from + BATCH).min(seeds.end) {
                        let outcome = live(&Case::new(seed), make, false);
                        count += outcome.events;
                        if outcome.broken.is_some() {
                            failed.fetch_min(seed, Ordering::Relaxed);
                            break;
                        }
                    }
                }
                events.fetch_add(count, Ordering::Relaxed);
            });
        }
    });
    let failed = Some(failed.into_inner()).filter(|seed| *seed < u64::MAX);
    Result { failed, events: events.into_inner() }
}

/// The story of one seed: what breaks, and the smallest history that breaks it too.
pub struct Story {
    pub invariant: Invariant,
    pub trace: Vec<String>,
    pub text: String,
}

/// `None`: nothing breaks.
pub fn story<C: Core>(seed: u64, make: fn(Supervisor) -> C) -> Option<Story> {
    let case = Case::new(seed);
    let (invariant, _) = live(&case, make, false).broken?;
    let small = shrink(case, make, invariant);
    let outcome = live(&small, make, true);
    let mut text = format!("seed {seed} breaks {invariant:?}: {}\n", invariant.sentence());
    let _ = writeln!(text, "\n{:?} history, stop within {:?}", small.kind, small.budget);
    for (unit, plan) in small.services.iter().enumerate() {
        let _ = writeln!(text, "service {unit} {plan:?}");
    }
    for (unit, plan) in small.crons.iter().enumerate() {
        let _ = writeln!(text, "entry {unit} {plan:?}");
    }
    let _ = writeln!(text, "\n{}", outcome.trace.join("\n"));
    if let Some((_, how)) = outcome.broken {
        let _ = writeln!(text, "\n{how}");
    }
    Some(Story { invariant, trace: outcome.trace, text })
}
