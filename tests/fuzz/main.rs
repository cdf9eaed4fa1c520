//! Every corpus, and what a simple mutator makes of it: the short form of the fuzzing that `tests/fuzz/run` does with
//! libFuzzer. The same targets, no instrumentation.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: a target that fails stops there"
)]

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// Inputs made of each corpus; `PHP_INIT_FUZZ` sets another number.
const ROUNDS: u64 = 1_000;
/// The longest input in bytes.
const LONGEST: usize = 8192;

/// SplitMix64: the same inputs in every run.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        bits ^ (bits >> 31)
    }

    /// Below `end`; 0 when there is nothing below it.
    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }
}

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<PathBuf> =
        fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let inputs: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).unwrap()).collect();
    assert!(!inputs.is_empty(), "{} is empty", directory.display());
    inputs
}

/// One input of the corpus with a few changes: bytes flipped, removed, repeated, or a part of another input put in.
fn mutated(inputs: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut input = inputs[dice.below(inputs.len())].clone();
    for _ in 0..=dice.below(6) {
        let at = dice.below(input.len() + 1);
        let end = (at + dice.below(16)).min(input.len());
        match dice.below(6) {
            0 => input.splice(at..end, []).for_each(drop),
            1 => input.insert(at, dice.next().to_le_bytes()[0]),
            2 => {
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= 1 << dice.below(8);
                }
            }
            3 => {
                let part = input[at..end].repeat(dice.below(40));
                input.splice(at..at, part).for_each(drop);
            }
            4 => {
                let other = &inputs[dice.below(inputs.len())];
                let from = dice.below(other.len() + 1);
                let part = other[from..(from + dice.below(200)).min(other.len())].to_vec();
                input.splice(at..end, part).for_each(drop);
            }
            _ => input.truncate(at),
        }
        input.truncate(LONGEST);
    }
    input
}

fn fuzz(name: &str) {
    let (_, target) = targets::TARGETS.iter().find(|(known, _)| *known == name).unwrap();
    let rounds = std::env::var("PHP_INIT_FUZZ").map_or(ROUNDS, |text| text.parse().unwrap());
    let inputs = corpus(name);
    let mut dice = Dice(rounds);
    let made = std::iter::repeat_with(|| mutated(&inputs, &mut dice)).take(usize::try_from(rounds).unwrap());
    for input in inputs.iter().cloned().chain(made) {
        let shown = input.clone();
        let outcome = std::panic::catch_unwind(|| target(&input));
        assert!(outcome.is_ok(), "{name} failed for {:?}", shown.escape_ascii().to_string());
    }
}

macro_rules! fuzz {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            fuzz(stringify!($name));
        }
    )*};
}

fuzz!(dotenv config crontab schedule supervisord fastcgi control lines decrypt);

#[test]
fn every_target_has_a_test_and_a_program_of_cargo_fuzz() {
    let programs =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fuzz/cargo/Cargo.toml")).unwrap();
    let tests = include_str!("main.rs");
    let listed = tests.lines().find(|line| line.starts_with("fuzz!(")).unwrap();
    for (name, _) in targets::TARGETS {
        assert!(programs.contains(&format!("name = \"{name}\"")), "cargo-fuzz has no {name}");
        assert!(listed.contains(name), "no test runs {name}");
    }
}
