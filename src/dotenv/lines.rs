//! From text to raw entries: line ends, values of several lines, comments.
//!
//! The twin of phpdotenv's `Parser/Lines.php`. It looks at quotes before it looks at comments and with a rule of its
//! own (not the one that later reads the value), so a quote in a comment can swallow what follows, and an entry that
//! never finds its closing quote takes the rest of the file with it, without an error.

use super::Dialect;
use std::borrow::Cow;

/// What PHP's `trim()` takes away. Not the form feed.
pub(super) const TRIMMED: &[char] = &[' ', '\n', '\r', '\t', '\0', '\x0B'];

/// The text's lines. `\r\n`, `\n` and a lone `\r` all end one.
pub(super) fn split(text: &str) -> Vec<&str> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some((at, end)) = rest.bytes().enumerate().find(|(_, byte)| matches!(byte, b'\r' | b'\n')) {
        let (line, tail) = rest.split_at(at);
        lines.push(line);
        let width = if end == b'\r' && tail.as_bytes().get(1) == Some(&b'\n') { 2 } else { 1 };
        rest = tail.get(width..).unwrap_or_default();
    }
    lines.push(rest);
    lines
}

/// Neither a comment nor blank.
pub(super) fn is_content(line: &str) -> bool {
    let line = line.trim_matches(TRIMMED);
    !line.is_empty() && !line.starts_with('#')
}

/// One piece of a file. Lines are counted from 0, both ends included.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Chunk<'a> {
    /// A raw `NAME=value`, its lines joined by `\n`.
    Entry { first: usize, last: usize, text: Cow<'a, str> },
    /// A comment that opened a double quote and ran on until a line with another one.
    LongComment { first: usize, last: usize },
    /// Opened by `="` and never closed: phpdotenv drops it and everything after it.
    Unterminated { first: usize },
}

/// Hands out the chunks of `lines` in order. `next` may be set back to look at lines again.
pub(super) struct Scanner<'a> {
    lines: &'a [&'a str],
    dialect: Dialect,
    pub(super) next: usize,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(lines: &'a [&'a str], dialect: Dialect) -> Self {
        Self { lines, dialect, next: 0 }
    }

    /// The last line of the value that `first` opens; `None` when nothing closes it.
    fn closed_at(&self, first: usize) -> Option<usize> {
        let mut following = self.lines.iter().enumerate().skip(first + 1);
        following
            .find(|(_, line)| {
                // Up to 5.4 a line like `abc="` inside a value opened it anew, and then needed two quotes to close.
                let reopens = self.dialect == Dialect::V5_4 && opens(line);
                closes(line, reopens)
            })
            .map(|(last, _)| last)
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Chunk<'a>;

    fn next(&mut self) -> Option<Chunk<'a>> {
        loop {
            let first = self.next;
            let line = *self.lines.get(first)?;
            self.next += 1;
            if !opens(line) {
                if is_content(line) {
                    return Some(Chunk::Entry { first, last: first, text: Cow::Borrowed(line) });
                }
                continue;
            }
            let Some(last) = self.closed_at(first) else {
                self.next = self.lines.len();
                return Some(Chunk::Unterminated { first });
            };
            self.next = last + 1;
            if !is_content(line) {
                return Some(Chunk::LongComment { first, last });
            }
            let text = self.lines.get(first..=last).unwrap_or_default().join("\n");
            return Some(Chunk::Entry { first, last, text: Cow::Owned(text) });
        }
    }
}

/// The line has `="` and is not complete in itself.
fn opens(line: &str) -> bool {
    line.contains("=\"") && !closes(line, true)
}

/// The line ends a value of several lines. `opened`: it is the line that began it.
fn closes(line: &str, opened: bool) -> bool {
    line == "\"" || closing_quotes(line) > usize::from(opened)
}

/// Double quotes that follow something other than a backslash, pairs of backslashes left out first. One at the very
/// start of the line follows nothing and does not count.
fn closing_quotes(line: &str) -> usize {
    let mut count = 0;
    let mut before = None;
    let mut bytes = line.bytes().peekable();
    while let Some(byte) = bytes.next() {
        if byte == b'\\' && bytes.next_if_eq(&b'\\').is_some() {
            continue;
        }
        if byte == b'"' && before.is_some_and(|before| before != b'\\') {
            count += 1;
        }
        before = Some(byte);
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_three_line_ends_count_alike() {
        assert_eq!(split("a\r\nb\nc\rd\n\re"), ["a", "b", "c", "d", "", "e"]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("\r\n"), ["", ""]);
    }

    #[test]
    fn a_quote_at_the_start_or_after_a_backslash_does_not_close() {
        assert_eq!(closing_quotes(r#""x"#), 0);
        assert_eq!(closing_quotes(r#"x\""#), 0);
        assert_eq!(closing_quotes(r#"x\\""#), 1);
        assert_eq!(closing_quotes(r#"\\""#), 0);
        assert_eq!(closing_quotes(r#"A="""#), 2);
        assert!(closes("\"", false) && !closes("\"x", false));
    }

    #[test]
    fn older_versions_reopen_a_value_at_a_line_that_ends_in_equals_quote() {
        let lines = ["K=\"a", "b=\"", "C=1"];
        let chunks: Vec<_> = Scanner::new(&lines, Dialect::V5_6).collect();
        assert!(matches!(
            chunks.as_slice(),
            [Chunk::Entry { first: 0, last: 1, .. }, Chunk::Entry { first: 2, .. }]
        ));
        let chunks: Vec<_> = Scanner::new(&lines, Dialect::V5_4).collect();
        assert_eq!(chunks, [Chunk::Unterminated { first: 0 }]);
    }
}
