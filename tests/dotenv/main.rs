//! The `.env` grammar against the real phpdotenv: thousands of generated files, one PHP process.
//!
//! `DOTENV_CASES` and `DOTENV_SEED` choose how many and which; `DOTENV_AUTOLOAD` names the autoloader of another
//! phpdotenv than Debian's. A test that finds no PHP is listed as skipped, and fails under `CI=true`.
#![allow(clippy::disallowed_methods, reason = "a test may start the program it compares with")]
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panic and tell why")]

#[path = "../support/mod.rs"]
mod support;

mod generator;
mod oracle;

use generator::Random;
use oracle::{Answer, Case, Oracle};
use php_init::dotenv::{Dialect, Document, Fault, parse, parse_text};
use std::collections::BTreeMap;

const SEED: u64 = 0x5EED_D07E;
const CASES: u64 = 12_000;

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|value| value.parse().ok()).unwrap_or(default)
}

#[test]
fn differential() {
    let Some(oracle) = Oracle::start() else { return };
    let mut random = Random::new(number("DOTENV_SEED", SEED));
    let cases: Vec<Case> = (0..number("DOTENV_CASES", CASES)).map(|_| random.text_case()).collect();
    let accepted = compare(oracle, &cases);
    // A generator whose files are all refused, or all accepted, compares little.
    assert!(
        accepted * 5 > cases.len() && accepted * 5 < cases.len() * 4,
        "{accepted} of {} accepted",
        cases.len()
    );
}

#[test]
fn differential_of_files() {
    let Some(oracle) = Oracle::start() else { return };
    let mut random = Random::new(number("DOTENV_SEED", SEED) ^ 1);
    let mut cases: Vec<Case> = [
        b"\xef\xbb\xbfA=1".as_slice(),
        b"\xef\xbb\xbf\xef\xbb\xbfA=1",
        b"\xff\xfeA\0=\x001\0",
        b"A=caf\xe9\nB=\xed\xa0\x80\xf4\x90\x80\x80\xe2\x82",
        b"",
    ]
    .iter()
    .map(|bytes| Case { bytes: bytes.to_vec(), file: true, real: BTreeMap::new() })
    .collect();
    cases.extend((0..number("DOTENV_CASES", CASES) / 4).map(|_| random.file_case()));
    compare(oracle, &cases);
}

/// Panics at the first case that the two read otherwise; returns how many files were accepted.
fn compare(oracle: Oracle, cases: &[Case]) -> usize {
    let dialect = oracle.dialect;
    let answers = oracle.ask(cases);
    assert_eq!(answers.len(), cases.len(), "phpdotenv answered fewer cases than it was asked");
    let mut accepted = 0;
    for (case, theirs) in cases.iter().zip(&answers) {
        // `parse` speaks the newest dialect; Debian's phpdotenv may be older.
        let document = match (case.file, dialect) {
            (true, Dialect::V5_6) => parse(&case.bytes),
            (true, Dialect::V5_4) => parse_text(&php_init::dotenv::file_content(&case.bytes), dialect),
            (false, _) => parse_text(std::str::from_utf8(&case.bytes).expect("generated text"), dialect),
        };
        let ours = answer(document.as_ref().map_err(|error| error.kind), case);
        assert_eq!(
            &ours,
            theirs,
            "ours (left) and phpdotenv's (right) of {:?}",
            case.bytes.escape_ascii().to_string()
        );
        accepted += usize::from(ours.error.is_none());
    }
    accepted
}

fn answer(parsed: Result<&Document, Fault>, case: &Case) -> Answer {
    let document = match parsed {
        Ok(document) => document,
        Err(fault) => return Answer { error: Some(words(fault).to_owned()), ..Answer::default() },
    };
    let raw = document.entries.iter().map(|entry| {
        let value = entry.value.as_ref().map(|value| value.unresolved().expose().to_owned());
        (entry.key.clone(), value)
    });
    let set = document.resolve(|name| case.real.get(name).cloned());
    Answer {
        error: None,
        entries: raw.collect(),
        values: set.into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect(),
    }
}

/// phpdotenv's words for a fault.
fn words(fault: Fault) -> &'static str {
    match fault {
        Fault::NoName => "an unexpected equals",
        Fault::InvalidName | Fault::ShortExport | Fault::NotAnAssignment => "an invalid name",
        Fault::UnclosedQuote => "a missing closing quote",
        Fault::BadEscape => "an unexpected escape sequence",
        Fault::UnquotedWhitespace | Fault::TextAfterQuote { .. } => "unexpected whitespace",
    }
}

#[test]
fn name_characters_are_those_of_pcre() {
    let Some((version, theirs)) = oracle::name_characters() else { return };
    let ours: Vec<u32> = ('\u{80}'..=char::MAX)
        .filter(|c| parse_text(&format!("{c}=1"), Dialect::V5_6).is_ok())
        .map(u32::from)
        .collect();
    if version.starts_with("10.42") {
        assert_eq!(ours.len(), theirs.len());
        assert!(ours == theirs, "PCRE2 {version} has other name characters");
    } else {
        // Another Unicode: characters are added, hardly ever taken away.
        let strange = ours.iter().filter(|code| theirs.binary_search(code).is_err()).count();
        let missing = theirs.iter().filter(|code| ours.binary_search(code).is_err()).count();
        assert!(strange == 0 || missing == 0, "PCRE2 {version}: {strange} too many, {missing} too few");
    }
}
