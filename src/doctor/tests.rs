//! What concerns all checks: ids, words, the table, the report. Each area's facts, good and bad, are in its own file.

mod areas;
mod plans;
mod samples;

use super::facts::Facts;
use super::report::{self, Style};
use super::{AREAS, Check, Finding, Severity, examine};
use std::collections::BTreeSet;

fn all() -> Vec<&'static Check> {
    AREAS.iter().flat_map(|area| area.checks).copied().collect()
}

#[test]
fn ids_are_unique_and_plain() {
    let ids: BTreeSet<&str> = all().iter().map(|check| check.id).collect();
    assert_eq!(ids.len(), all().len());
    for check in all() {
        assert!(
            check.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        );
        for text in [check.what, check.why, check.fix] {
            assert!(!text.is_empty() && !text.ends_with('.') && !text.contains('\n'), "{}: {text}", check.id);
        }
    }
}

#[test]
fn the_table_of_the_readme_is_this_one() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let readme = std::fs::read_to_string(&path).unwrap();
    let (before, rest) =
        readme.split_once("<!-- doctor -->\n").expect("README has the mark of the doctor's table");
    let (table, after) = rest.split_once("<!-- /doctor -->").expect("the table ends");
    if std::env::var_os("PHP_INIT_BLESS").is_some() {
        let text = format!("{before}<!-- doctor -->\n{}<!-- /doctor -->{after}", report::table());
        return std::fs::write(path, text).unwrap();
    }
    assert!(
        table == report::table(),
        "README's table is stale: PHP_INIT_BLESS=1 cargo test --lib doctor writes it anew"
    );
}

fn sample() -> Vec<(&'static str, Vec<Finding>)> {
    examine(&samples::broken(), &plans::laravel())
}

#[test]
fn the_report_fits_a_terminal() {
    let text = report::text(&sample(), Style::default());
    for line in text.lines() {
        // A word without a space may be longer: it is to be copied.
        assert!(line.chars().count() <= 80 || !line.trim().contains(' '), "{line}");
        assert!(!line.contains('\x1b') && line.trim_end() == line, "{line:?}");
    }
    assert!(text.contains("  breaks  ext-pcntl\n"), "{text}");
    assert!(text.ends_with(" not checked\n"), "{text}");
    let coloured = report::text(&sample(), Style { colour: true, quiet: false });
    assert!(coloured.contains("\x1b[1;31mbreaks"), "{coloured}");
    let quiet = report::text(&sample(), Style { colour: false, quiet: true });
    assert!(quiet.contains("breaks") && !quiet.contains("\n  note") && !quiet.contains("\n  ok"), "{quiet}");
}

#[test]
fn the_json_has_every_finding_with_its_words() {
    let value: serde_json::Value = serde_json::from_str(&report::json(&sample(), false)).unwrap();
    let findings = value["findings"].as_array().unwrap();
    assert_eq!(findings.len(), sample().iter().map(|(_, findings)| findings.len()).sum::<usize>());
    for finding in findings {
        for key in ["id", "area", "severity", "seen", "why", "fix"] {
            assert!(finding[key].as_str().is_some_and(|text| !text.is_empty()), "{key} of {finding}");
        }
    }
    assert!(value["counts"]["breaks"].as_u64().unwrap() > 0);
    let quiet: serde_json::Value = serde_json::from_str(&report::json(&sample(), true)).unwrap();
    assert!(quiet["findings"].as_array().unwrap().len() < findings.len());
}

#[test]
fn nothing_known_breaks_nothing() {
    let found = examine(&Facts::default(), &plans::laravel());
    let breaks: Vec<&Finding> =
        found.iter().flat_map(|(_, all)| all).filter(|one| one.severity == Severity::Breaks).collect();
    assert!(breaks.is_empty(), "{breaks:?}");
}
