//! Random histories of the whole system above the system calls, by the million.
//!
//! ```text
//! cargo run --release --example simulate -- --seeds 1000000
//! cargo run --release --example simulate -- --seed 4711        one history, made small where it fails
//! cargo run --release --example simulate -- --invariants       what is checked
//! ```
//!
//! `--from N` begins at another seed, `--threads N` is the number of processors otherwise.

#![forbid(unsafe_code)]
#![allow(
    clippy::expect_used,
    clippy::disallowed_methods,
    dead_code,
    reason = "a tool that may stop and look at the clock"
)]

mod campaign;
mod case;
mod history;
mod invariants;
mod luck;
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
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

fn main() -> ExitCode {
    let mut out = std::io::stdout();
    let said = match asked() {
        Ok(asked) => carry_out(&asked),
        Err(text) => Err(text),
    };
    let (text, code) = match said {
        Ok(text) => (text, ExitCode::SUCCESS),
        Err(text) => (text, ExitCode::FAILURE),
    };
    let _ = writeln!(out, "{text}");
    code
}

struct Asked {
    from: u64,
    seeds: u64,
    seed: Option<u64>,
    threads: usize,
    list: bool,
}

fn asked() -> Result<Asked, String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut asked = Asked { from: 0, seeds: 10_000, seed: None, threads, list: false };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64, String> {
            let text = words.next().ok_or_else(|| format!("{word} wants a number"))?;
            text.parse().map_err(|_| format!("{word} wants a number, not {text}"))
        };
        match word.as_str() {
            "--seeds" => asked.seeds = number()?,
            "--seed" => asked.seed = Some(number()?),
            "--from" => asked.from = number()?,
            "--threads" => asked.threads = usize::try_from(number()?).unwrap_or(1),
            "--invariants" => asked.list = true,
            other => {
                return Err(format!("unknown argument {other}: see the head of tests/simulate/command.rs"));
            }
        }
    }
    Ok(asked)
}

fn carry_out(asked: &Asked) -> Result<String, String> {
    if asked.list {
        let line = |invariant: &Invariant| format!("{invariant:?}: {}", invariant.sentence());
        return Ok(Invariant::ALL.iter().map(line).collect::<Vec<_>>().join("\n"));
    }
    std::panic::set_hook(Box::new(|_| {}));
    let whole: fn(Supervisor) -> Supervisor = |core| core;
    let tell = |seed| campaign::story(seed, whole).map(|story| story.text);
    if let Some(seed) = asked.seed {
        return tell(seed).map_or_else(|| Ok(format!("seed {seed} keeps every invariant")), Err);
    }
    let began = Instant::now();
    let result = campaign::run(asked.from..asked.from.saturating_add(asked.seeds), asked.threads, whole);
    if let Some(seed) = result.failed {
        return Err(tell(seed).unwrap_or_default() + &format!("\nreplay it with --seed {seed}"));
    }
    let took = began.elapsed().as_secs_f64();
    Ok(format!(
        "{} histories, {} events, {} invariants after each: all held ({took:.1} s, {:.0} histories a second in {} threads)",
        asked.seeds,
        result.events,
        Invariant::ALL.len(),
        asked.seeds as f64 / took,
        asked.threads,
    ))
}
