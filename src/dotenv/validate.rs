//! Stricter than phpdotenv, and all problems at once.

use super::error::presentable;
use super::lines::{self, Chunk, Scanner};
use super::{
    Dialect, Document, Fault, ParseError, Problem, ProblemKind, Secret, Warning, decode, lint, read_entry,
};
use std::collections::{BTreeMap, BTreeSet};

/// After so many problems the rest is not looked at: it bounds the work on hostile files and the length of the message.
const MOST_PROBLEMS: usize = 50;

/// Most bytes of all values together once `${NAME}` is replaced. PHP's own memory limit is 128 MB by default.
const MOST_VALUES: usize = 16 * 1024 * 1024;

/// What an accepted file is like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Different keys that have a value, the empty one included.
    pub keys: usize,
    /// In the order of their lines.
    pub warnings: Vec<Warning>,
}

/// Checks a fetched file before it is put in place. Every key of `require_keys` must have a value that is not blank.
/// All problems are returned, in the order of their lines, those of the file as a whole last.
pub fn validate(bytes: &[u8], require_keys: &[String]) -> Result<Report, Vec<Problem>> {
    if decode::is_utf16(bytes) {
        return Err(vec![Problem { line: None, key: None, kind: ProblemKind::Utf16 }]);
    }
    let text = decode::file_content(bytes);
    let lines = lines::split(&text);
    let mut check = Check::new(&lines);
    check.read();
    let values = check.values();
    check.require(require_keys, &values);
    if !check.problems.is_empty() {
        return Err(check.problems);
    }
    let warnings = lint::warnings(bytes, &text, &check.document, &values);
    Ok(Report { keys: values.len(), warnings })
}

struct Check<'a> {
    lines: &'a [&'a str],
    scanner: Scanner<'a>,
    /// Lines before this one are read again, after a problem that may have swallowed them: what looks like the inside
    /// of a value there is none of our business.
    again_until: usize,
    document: Document,
    problems: Vec<Problem>,
    /// Names of faulty entries: they are not missing.
    faulty: BTreeSet<String>,
}

impl<'a> Check<'a> {
    fn new(lines: &'a [&'a str]) -> Self {
        Self {
            lines,
            scanner: Scanner::new(lines, Dialect::default()),
            again_until: 0,
            document: Document::default(),
            problems: Vec::new(),
            faulty: BTreeSet::new(),
        }
    }

    fn read(&mut self) {
        while let Some(chunk) = self.scanner.next() {
            match chunk {
                Chunk::Entry { first, last, text } => match read_entry(&text, first, Dialect::default()) {
                    Ok(entry) => self.document.entries.push(entry),
                    Err((error, name)) => self.refuse(error, name, first, last),
                },
                Chunk::LongComment { first, last } => self.long_comment(first, last),
                Chunk::Unterminated { first } => self.unterminated(first),
            }
            if self.problems.len() >= MOST_PROBLEMS {
                self.problems.push(Problem { line: None, key: None, kind: ProblemKind::More });
                return;
            }
        }
    }

    fn refuse(&mut self, error: ParseError, name: Option<String>, first: usize, last: usize) {
        self.faulty.extend(name);
        let no_entry = matches!(error.kind, Fault::NotAnAssignment | Fault::InvalidName | Fault::NoName);
        if no_entry && first < self.again_until {
            return;
        }
        let swallowed = !matches!(error.kind, Fault::BadEscape);
        self.problems.push(Problem {
            line: Some(error.line),
            key: error.key,
            kind: ProblemKind::Syntax(error.kind),
        });
        if last > first && swallowed {
            self.read_again(first + 1, last + 1);
        }
    }

    fn long_comment(&mut self, first: usize, last: usize) {
        let inside = self.lines.get(first + 1..=last).unwrap_or_default();
        if inside.iter().any(|line| lines::is_content(line)) {
            let kind = ProblemKind::CommentSwallows { through: last + 1 };
            self.problems.push(Problem { line: Some(first + 1), key: None, kind });
            self.read_again(first + 1, last + 1);
        }
    }

    fn unterminated(&mut self, first: usize) {
        let line = self.lines.get(first).copied().unwrap_or_default();
        if !lines::is_content(line) {
            return self.long_comment(first, self.lines.len().saturating_sub(1));
        }
        // The value is open, so the entry cannot be read; its name can, without the value.
        let head = line.split_once('=').map(|(name, _)| name).unwrap_or_default();
        let name = read_entry(&format!("{head}="), first, Dialect::default()).map(|entry| entry.key).ok();
        let key = name.as_deref().and_then(presentable);
        self.faulty.extend(name);
        self.problems.push(Problem { line: Some(first + 1), key, kind: ProblemKind::Unterminated });
        self.read_again(first + 1, self.lines.len());
    }

    fn read_again(&mut self, from: usize, until: usize) {
        self.scanner.next = from;
        self.again_until = self.again_until.max(until);
    }

    /// What the file sets where the environment is empty; nothing when that is too large.
    fn values(&mut self) -> BTreeMap<String, Secret> {
        let values = self.document.resolve_within(MOST_VALUES, |_| None);
        values.unwrap_or_else(|entry| {
            let (line, key) = (Some(entry.line), presentable(&entry.key));
            self.problems.push(Problem { line, key, kind: ProblemKind::TooLarge });
            // Not missing, only unknown.
            self.faulty.extend(self.document.entries.iter().map(|entry| entry.key.clone()));
            BTreeMap::new()
        })
    }

    fn require(&mut self, keys: &[String], values: &BTreeMap<String, Secret>) {
        for key in keys {
            let kind = match values.get(key) {
                Some(value) if !value.expose().trim_matches(lines::TRIMMED).is_empty() => continue,
                _ if self.faulty.contains(key) => continue,
                Some(_) => ProblemKind::Empty,
                None => ProblemKind::Missing,
            };
            let line =
                self.document.entries.iter().rev().find(|entry| entry.key == *key).map(|entry| entry.line);
            self.problems.push(Problem { line, key: Some(key.clone()), kind });
        }
        if self.problems.is_empty() && self.document.entries.is_empty() {
            self.problems.push(Problem { line: None, key: None, kind: ProblemKind::NoEntries });
        }
    }
}
