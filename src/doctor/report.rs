//! Findings as text for a terminal of 80 columns, as JSON, and the table of README.

use super::{AREAS, Finding, Severity};
use serde_json::{Value, json};
use std::fmt::Write as _;

const WIDTH: usize = 80;
/// Where the text of a finding begins.
const INDENT: usize = 10;

/// How much of it, and whether with colour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    pub colour: bool,
    /// Only what breaks or hurts.
    pub quiet: bool,
}

/// How many there are of one severity.
pub fn count(areas: &[(&'static str, Vec<Finding>)], severity: Severity) -> usize {
    areas.iter().flat_map(|(_, findings)| findings).filter(|finding| finding.severity == severity).count()
}

/// The report. What is in order takes one line of ids an area.
pub fn text(areas: &[(&'static str, Vec<Finding>)], style: Style) -> String {
    let mut out = String::new();
    for (title, findings) in areas {
        let mut shown: Vec<&Finding> = findings
            .iter()
            .filter(|one| one.severity != Severity::Ok && !(style.quiet && one.severity > Severity::Hurts))
            .collect();
        shown.sort_by_key(|one| one.severity);
        let fine: Vec<&str> = match style.quiet {
            true => Vec::new(),
            false => ids(findings, Severity::Ok),
        };
        if shown.is_empty() && fine.is_empty() {
            continue;
        }
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}", paint(title, "1", style));
        let (seen, unseen): (Vec<&Finding>, Vec<&Finding>) =
            shown.into_iter().partition(|one| one.severity != Severity::NotChecked);
        seen.iter().for_each(|finding| one(&mut out, finding, style));
        not_checked(&mut out, &unseen, style);
        if !fine.is_empty() {
            let label = format!("  {}", paint(&format!("{:<8}", "ok"), "32", style));
            wrapped(&mut out, &label, &fine.join(", "));
        }
        out.push('\n');
    }
    let _ = writeln!(
        out,
        "{} will break, {} hurt, {} notes, {} in order, {} not checked",
        count(areas, Severity::Breaks),
        count(areas, Severity::Hurts),
        count(areas, Severity::Note),
        count(areas, Severity::Ok),
        count(areas, Severity::NotChecked),
    );
    out
}

/// Each once: a check may have found several things in order.
fn ids(findings: &[Finding], severity: Severity) -> Vec<&'static str> {
    let mut ids: Vec<&str> = Vec::new();
    for finding in findings.iter().filter(|finding| finding.severity == severity) {
        if !ids.contains(&finding.check.id) {
            ids.push(finding.check.id);
        }
    }
    ids
}

fn one(out: &mut String, finding: &Finding, style: Style) {
    let (word, colour) = match finding.severity {
        Severity::Breaks => ("breaks", "1;31"),
        Severity::Hurts => ("hurts", "33"),
        Severity::Note => ("note", "36"),
        Severity::NotChecked | Severity::Ok => return,
    };
    let label = format!("  {}", paint(&format!("{word:<8}"), colour, style));
    let _ = writeln!(out, "{label}{}", paint(finding.check.id, "1", style));
    wrapped(out, &" ".repeat(INDENT), &finding.seen);
    wrapped(out, &format!("{}why: ", " ".repeat(INDENT)), finding.check.why);
    wrapped(out, &format!("{}fix: ", " ".repeat(INDENT)), finding.fix());
}

/// What could not be looked at, one entry for each reason.
fn not_checked(out: &mut String, findings: &[&Finding], style: Style) {
    let mut told: Vec<&str> = Vec::new();
    for finding in findings {
        let why = finding.seen.as_str();
        if told.contains(&why) {
            continue;
        }
        told.push(why);
        let mut ids: Vec<&str> =
            findings.iter().filter(|other| other.seen == why).map(|other| other.check.id).collect();
        ids.dedup();
        let label = format!("  {}", paint(&format!("{:<8}", "unseen"), "2", style));
        wrapped(out, &label, &ids.join(", "));
        wrapped(out, &" ".repeat(INDENT), &format!("not checked: {why}"));
    }
}

/// `text` in lines of [`WIDTH`], below each other where the first one begins. What has no space stays whole: a line to
/// be copied is not to be broken.
fn wrapped(out: &mut String, label: &str, text: &str) {
    let indent = visible(label);
    let mut line = label.to_owned();
    let mut width = indent;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if width > indent && width + 1 + length > WIDTH {
            let _ = writeln!(out, "{line}");
            line = " ".repeat(indent);
            width = indent;
        }
        if width > indent {
            line.push(' ');
            width += 1;
        }
        line.push_str(word);
        width += length;
    }
    let _ = writeln!(out, "{}", line.trim_end());
}

/// Columns, without the escapes of colours.
fn visible(text: &str) -> usize {
    let mut columns = 0;
    let mut escape = false;
    for char in text.chars() {
        match (escape, char) {
            (false, '\x1b') => escape = true,
            (true, 'm') => escape = false,
            (true, _) => {}
            (false, _) => columns += 1,
        }
    }
    columns
}

fn paint(text: &str, colour: &str, style: Style) -> String {
    if style.colour { format!("\x1b[{colour}m{text}\x1b[0m") } else { text.to_owned() }
}

/// One object, on one line.
pub fn json(areas: &[(&'static str, Vec<Finding>)], quiet: bool) -> String {
    let kept = |finding: &&Finding| !quiet || finding.severity <= Severity::Hurts;
    let findings: Vec<Value> = areas
        .iter()
        .flat_map(|(area, findings)| findings.iter().filter(kept).map(move |finding| (area, finding)))
        .map(|(area, finding)| {
            json!({
                "id": finding.check.id,
                "area": area,
                "severity": finding.severity.name(),
                "seen": finding.seen,
                "why": finding.check.why,
                "fix": finding.fix(),
            })
        })
        .collect();
    let counts = json!({
        "breaks": count(areas, Severity::Breaks),
        "hurts": count(areas, Severity::Hurts),
        "note": count(areas, Severity::Note),
        "ok": count(areas, Severity::Ok),
        "not-checked": count(areas, Severity::NotChecked),
    });
    json!({ "version": 1, "counts": counts, "findings": findings }).to_string()
}

/// README's table: one row for each check.
pub fn table() -> String {
    let mut out =
        String::from("| finding | what is looked at | why it hurts | what to do |\n|---|---|---|---|\n");
    for check in AREAS.iter().flat_map(|area| area.checks) {
        let cell = |text: &str| text.replace('|', "\\|");
        let _ = writeln!(
            out,
            "| `{}` | {} | {} | {} |",
            check.id,
            cell(check.what),
            cell(check.why),
            cell(check.fix)
        );
    }
    out
}
