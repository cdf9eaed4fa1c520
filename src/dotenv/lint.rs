//! What phpdotenv accepts and the author of the file hardly meant.

use super::error::presentable;
use super::resolve::reference;
use super::{Dialect, Document, Entry, Secret, Warning, WarningKind, parse_text};
use std::collections::BTreeMap;

/// All warnings about an accepted file, in the order of their lines. `text` is what `bytes` were decoded to,
/// `document` what that was parsed to, `values` what that resolves to.
pub(super) fn warnings(
    bytes: &[u8],
    text: &str,
    document: &Document,
    values: &BTreeMap<String, Secret>,
) -> Vec<Warning> {
    let mut warnings = Vec::new();
    of_bytes(bytes, &mut warnings);
    of_entries(document, &mut warnings);
    of_versions(text, document, &mut warnings);
    of_laravel(document, values, &mut warnings);
    warnings.sort_by_key(|warning| warning.line);
    warnings
}

impl Document {
    /// Warns of every key that the real environment has already: Laravel's immutable repository leaves those alone, so
    /// the file's value never counts.
    pub fn shadowed(&self, real: impl Fn(&str) -> bool) -> Vec<Warning> {
        let shadowed = self.entries.iter().filter(|entry| real(&entry.key));
        shadowed.map(|entry| about(entry, WarningKind::Shadowed)).collect()
    }
}

fn about(entry: &Entry, kind: WarningKind) -> Warning {
    Warning { line: entry.line, key: presentable(&entry.key), kind }
}

/// The first of each kind; one is enough to fix the file.
fn of_bytes(bytes: &[u8], warnings: &mut Vec<Warning>) {
    let returns = bytes.iter().position(|byte| *byte == b'\r').map(|at| (at, WarningKind::CarriageReturn));
    let nul = bytes.iter().position(|byte| *byte == 0).map(|at| (at, WarningKind::Nul));
    let faulty = std::str::from_utf8(bytes).err().map(|error| (error.valid_up_to(), WarningKind::NotUtf8));
    for (at, kind) in [returns, nul, faulty].into_iter().flatten() {
        let line = 1 + line_ends(bytes.get(..at).unwrap_or_default());
        warnings.push(Warning { line, key: None, kind });
    }
}

/// `\n`, `\r\n` and `\r` in `bytes`, which do not end between the two of a pair.
fn line_ends(bytes: &[u8]) -> usize {
    let pairs = bytes.windows(2).filter(|pair| *pair == b"\r\n").count();
    bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count().saturating_sub(pairs)
}

fn of_entries(document: &Document, warnings: &mut Vec<Warning>) {
    // Where each name that has a value was defined last.
    let mut defined: BTreeMap<&str, usize> = BTreeMap::new();
    for entry in &document.entries {
        let Some(value) = &entry.value else {
            // No key: a word alone on its line may be half of a secret.
            warnings.push(Warning { line: entry.line, key: None, kind: WarningKind::NoEquals });
            defined.remove(entry.key.as_str());
            continue;
        };
        if value.facts.cut_by_comment {
            warnings.push(about(entry, WarningKind::CommentCutsValue));
        }
        if value.facts.quote_inside {
            warnings.push(about(entry, WarningKind::QuoteInsideValue));
        }
        let references = value.vars.iter().filter_map(|at| value.text.expose().get(*at..));
        if let Some(kind) = references.filter_map(|text| dollar(text, &defined)).next() {
            warnings.push(about(entry, kind));
        }
        if let Some(earlier) = defined.insert(&entry.key, entry.line) {
            warnings.push(about(entry, WarningKind::Duplicate { earlier }));
        }
    }
}

/// What is odd about the `$` that `text` starts with.
fn dollar(text: &str, defined: &BTreeMap<&str, usize>) -> Option<WarningKind> {
    if let Some(name) = reference(text.bytes()) {
        return (!defined.contains_key(name.as_str())).then_some(WarningKind::UndefinedReference);
    }
    let after = text.get(1..).unwrap_or_default();
    if let Some(inside) = after.strip_prefix('{') {
        let name = inside.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        let expansion = name.len() < inside.len() && name.starts_with([':', '-', '+', '?', '#', '%', '/']);
        return expansion.then_some(WarningKind::ShellExpansion);
    }
    // In capitals only: passwords have a `$` before a letter often enough.
    let name = after
        .find(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'))
        .unwrap_or(after.len());
    let ends = !after.get(name..).is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric()));
    let shell = name >= 2 && ends && after.starts_with(|c: char| c.is_ascii_uppercase() || c == '_');
    shell.then_some(WarningKind::ShellVariable)
}

/// Debian 12 and Laravel applications that were not updated for long have phpdotenv 5.4.
fn of_versions(text: &str, document: &Document, warnings: &mut Vec<Warning>) {
    let line = match parse_text(text, Dialect::V5_4) {
        Err(error) => Some(error.line),
        Ok(older) if older == *document => None,
        Ok(older) => {
            let same = older.entries.iter().zip(&document.entries).take_while(|(a, b)| a == b).count();
            document.entries.get(same).or(older.entries.get(same)).map(|entry| entry.line)
        }
    };
    warnings.extend(line.map(|line| Warning { line, key: None, kind: WarningKind::OlderVersionsDiffer }));
}

fn of_laravel(document: &Document, values: &BTreeMap<String, Secret>, warnings: &mut Vec<Warning>) {
    let value = |key: &str| values.get(key).map(Secret::expose).unwrap_or_default();
    let mut warn = |key: &str, kind| {
        let entry = document.entries.iter().rev().find(|entry| entry.key == key);
        warnings.extend(entry.map(|entry| about(entry, kind)));
    };
    // Laravel's Env casts `true` and `(true)` in any case.
    let debug = ["true", "(true)", "1"].iter().any(|on| value("APP_DEBUG").eq_ignore_ascii_case(on));
    if debug && ["production", "prod"].contains(&value("APP_ENV")) {
        warn("APP_DEBUG", WarningKind::DebugInProduction);
    }
    if values.contains_key("APP_KEY") && !is_app_key(value("APP_KEY")) {
        warn("APP_KEY", WarningKind::MalformedAppKey);
    }
}

/// 16 (AES-128) or 32 bytes, as they are or as `base64:…`.
fn is_app_key(key: &str) -> bool {
    let length = match key.strip_prefix("base64:") {
        Some(encoded) => base64_length(encoded),
        None => Some(key.len()),
    };
    matches!(length, Some(16 | 32))
}

/// How many bytes `encoded` stands for; `None` if it is not base64.
fn base64_length(encoded: &str) -> Option<usize> {
    let digits = encoded.trim_end_matches('=');
    let padding = encoded.len() - digits.len();
    let valid = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'));
    (valid && padding <= 2 && encoded.len().is_multiple_of(4)).then_some(digits.len() * 3 / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_measured_without_being_decoded() {
        assert_eq!(base64_length("AAAA"), Some(3));
        assert_eq!(base64_length("AAA="), Some(2));
        assert_eq!(base64_length("AA=="), Some(1));
        for bad in ["A", "AA", "A===", "AA*=", "AAAAA"] {
            assert_eq!(base64_length(bad), None, "{bad}");
        }
        assert!(is_app_key("base64:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="));
        assert!(is_app_key("0123456789abcdef0123456789abcdef"));
        assert!(!is_app_key("") && !is_app_key("base64:") && !is_app_key("SomeRandomString"[..15].into()));
    }

    #[test]
    fn a_carriage_return_and_its_newline_are_one_line_end() {
        assert_eq!(line_ends(b"a\r\nb\nc\rd"), 3);
        assert_eq!(line_ends(b""), 0);
    }
}
