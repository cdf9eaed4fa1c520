//! How things look: what the terminal can show, colours, and text that cannot drive it.

use crate::sys::local;
use std::borrow::Cow;
use std::io::IsTerminal as _;

/// What stdout can show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// It is a terminal.
    pub terminal: bool,
    /// Columns to fit into; `None`: a line may be as long as it likes.
    pub width: Option<usize>,
    /// Rows of the terminal.
    pub height: Option<usize>,
    pub colour: bool,
    /// Blocks, bars and dots of Unicode.
    pub unicode: bool,
}

/// The meaning of a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    Good,
    Busy,
    Bad,
    Faint,
    Title,
    Name,
    Accent,
    Work,
}

impl Look {
    /// Nothing but text, as for a pipe.
    pub const PLAIN: Self = Self { terminal: false, width: None, height: None, colour: false, unicode: true };

    /// Of this process's stdout.
    pub fn of_stdout(env: &dyn Fn(&str) -> Option<String>) -> Self {
        let set = |name: &str| env(name).filter(|value| !value.is_empty());
        let unicode = speaks_unicode(&set);
        let stdout = std::io::stdout();
        if !stdout.is_terminal() {
            return Self { unicode, ..Self::PLAIN };
        }
        let window = local::window(&stdout);
        let columns = window.map(|(columns, _)| usize::from(columns));
        let given = set("COLUMNS").and_then(|columns| columns.parse().ok());
        Self {
            terminal: true,
            width: Some(columns.or(given).unwrap_or(80).max(20)),
            height: window.map(|(_, rows)| usize::from(rows)).filter(|rows| *rows > 0),
            // https://no-color.org
            colour: set("NO_COLOR").is_none() && set("TERM").is_none_or(|term| term != "dumb"),
            unicode,
        }
    }

    /// The text in a colour, where there are colours.
    pub fn paint(&self, ink: Ink, text: &str) -> String {
        if !self.colour || text.is_empty() {
            return text.to_owned();
        }
        let code = match ink {
            Ink::Good => "32",
            Ink::Busy => "33",
            Ink::Bad => "31",
            Ink::Faint => "2",
            Ink::Title | Ink::Name => "1",
            Ink::Accent => "36",
            Ink::Work => "35",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

/// The locale says UTF-8; or nothing at all, as in every container: terminals of today do.
fn speaks_unicode(set: &dyn Fn(&str) -> Option<String>) -> bool {
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG"));
    locale.is_none_or(|locale| {
        let locale = locale.to_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    })
}

/// Moves the cursor, changes the direction of text, or is otherwise no letter.
fn drives(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text with everything that could drive a terminal shown as `\x1b` or `\u{202e}`.
pub fn harmless(text: &str) -> Cow<'_, str> {
    if text.chars().any(drives) { Cow::Owned(tamed(text, &|_| None)) } else { Cow::Borrowed(text) }
}

/// As [`harmless`], with tabs and colours left as they are, for the lines that services write. Colours end with the text.
pub fn coloured(text: &str) -> Cow<'_, str> {
    if !text.chars().any(drives) {
        return Cow::Borrowed(text);
    }
    let mut out = tamed(text, &|rest| match rest.chars().next()? {
        '\t' => Some(1),
        '\u{1b}' => colour_length(rest),
        _ => None,
    });
    if out.contains('\u{1b}') {
        out.push_str("\u{1b}[0m");
    }
    Cow::Owned(out)
}

/// How long the colour sequence is that `text` begins with: `ESC [ digits and semicolons m`.
fn colour_length(text: &str) -> Option<usize> {
    let numbers = text.strip_prefix("\u{1b}[")?;
    let end = numbers.find(|c: char| !c.is_ascii_digit() && c != ';')?;
    let length = end.saturating_add(3);
    (numbers.get(end..)?.starts_with('m') && length <= 32).then_some(length)
}

/// `keeps` says how many bytes at the start of its argument may stay.
fn tamed(text: &str, keeps: &dyn Fn(&str) -> Option<usize>) -> String {
    let mut out = String::with_capacity(text.len().saturating_mul(2));
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = match keeps(rest).filter(|_| drives(c)) {
            Some(length) => {
                out.push_str(rest.get(..length).unwrap_or_default());
                length
            }
            None => {
                escape(c, &mut out);
                c.len_utf8()
            }
        };
        rest = rest.get(length..).unwrap_or_default();
    }
    out
}

fn escape(c: char, out: &mut String) {
    use std::fmt::Write as _;
    // Writing to a string cannot fail.
    let _ = match c {
        _ if !drives(c) => write!(out, "{c}"),
        '\n' => write!(out, "\\n"),
        '\r' => write!(out, "\\r"),
        '\t' => write!(out, "\\t"),
        c if u32::from(c) < 0x100 => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_drives_the_terminal() {
        for (text, shown) in [
            ("plain é █", "plain é █"),
            ("a\u{1b}[2Jb", "a\\x1b[2Jb"),
            ("\r\n\t\u{7f}\u{9b}", "\\r\\n\\t\\x7f\\x9b"),
            ("\u{202e}txt", "\\u{202e}txt"),
        ] {
            assert_eq!(harmless(text), shown);
        }
    }

    #[test]
    fn a_log_line_keeps_its_colours_and_nothing_else() {
        for (text, shown) in [
            ("\u{1b}[1;32mok\u{1b}[0m\tx", "\u{1b}[1;32mok\u{1b}[0m\tx\u{1b}[0m"),
            ("\u{1b}[2J\u{1b}]0;t\u{7}", "\\x1b[2J\\x1b]0;t\\x07"),
            ("\u{1b}[", "\\x1b["),
            ("\u{1b}[31", "\\x1b[31"),
            ("a\tb", "a\tb"),
        ] {
            assert_eq!(coloured(text), shown);
        }
    }

    #[test]
    fn a_locale_without_utf8_gets_none() {
        let with = |pairs: &'static [(&str, &str)]| {
            speaks_unicode(&|name: &str| {
                pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
            })
        };
        assert!(
            with(&[]) && with(&[("LANG", "C.UTF-8")]) && with(&[("LC_ALL", "de_DE.utf8"), ("LANG", "C")])
        );
        assert!(!with(&[("LANG", "C")]) && !with(&[("LC_ALL", "POSIX"), ("LANG", "C.UTF-8")]));
    }
}
