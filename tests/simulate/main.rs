//! Ten thousand random histories of the whole system above the system calls, and proof that they would find a mistake.
//! A million are a command: see `command.rs`. What is checked is listed in `invariants.rs`.
//!
//! | file | what |
//! |---|---|
//! | `case` | one history as data, from a seed |
//! | `history` | lives it: people, plans, clocks, the control socket |
//! | `world`, `process` | the kernel and the shell: processes, pids, SIGCHLD, probes, orphans; what is checked at every step |
//! | `relay`, `wall` | the log with its reader; the wall clock with the schedule |
//! | `nonsense` | a shell that breaks every contract |
//! | `shrink`, `campaign` | a failing history made small; many histories |
//! | `mutants` | cores with a mistake each |
//! | `life` | lives that are written out rather than thrown |

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on stops here")]
#![allow(dead_code, reason = "the command uses more of the modules that it shares with the test")]

mod campaign;
mod case;
mod history;
mod invariants;
mod life;
mod luck;
mod mutants;
mod nonsense;
#[path = "../../src/supervisor/tests/plans.rs"]
mod plans;
mod process;
mod relay;
mod shrink;
mod subject;
mod wall;
mod world;

use invariants::Invariant;
use php_init::config;
use php_init::supervisor::Supervisor;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn whole(core: Supervisor) -> Supervisor {
    core
}

#[test]
fn random_histories_keep_every_invariant() {
    if let Some(seed) = number("PHP_INIT_SEED") {
        let story = campaign::story(seed, whole);
        assert!(story.is_none(), "{}", story.unwrap().text);
        return;
    }
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let seeds = 0..number("PHP_INIT_HISTORIES").unwrap_or(10_000);
    let failed = campaign::run(seeds, threads, whole).failed;
    let story = failed.and_then(|seed| campaign::story(seed, whole));
    assert!(failed.is_none(), "replay it with PHP_INIT_SEED={}\n{}", failed.unwrap(), story.unwrap().text);
}

#[test]
fn the_same_seed_is_the_same_history() {
    for seed in 0..50 {
        let lived = || history::live(&case::Case::new(seed), whole, true).trace;
        assert_eq!(lived(), lived(), "seed {seed}");
    }
}

#[test]
fn every_invariant_has_a_sentence_of_its_own() {
    let sentences: std::collections::BTreeSet<&str> =
        Invariant::ALL.iter().map(|one| one.sentence()).collect();
    assert_eq!(sentences.len(), Invariant::ALL.len());
    assert!(sentences.iter().all(|sentence| sentence.ends_with('.')));
}
