//! What is wrong in a configuration, and where.

use super::secret::hide_in_line;
use std::fmt;

/// One problem. [`fmt::Display`] shows it as compilers do, with the line it is in and a caret:
///
/// ```text
/// /etc/init.toml:12:1: unknown key "comand" in [service.queue]: did you mean "command"?
///    |
/// 12 | comand = ["php", "artisan", "queue:work"]
///    | ^^^^^^
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// Where it is; absent when it is in no file, such as a role of the command line.
    pub place: Option<Place>,
    /// What is wrong and what to do, in one line. Never holds what a `${VAR}` expanded to.
    pub message: String,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Path of the file, or the name of a preset.
    pub file: String,
    /// From 1.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    /// The whole line, with values of names that look secret hidden.
    pub text: String,
    /// How many characters of the line are meant.
    pub width: usize,
}

impl Place {
    /// The place of bytes `start..end` of `text`, the content of `file`.
    pub fn new(file: &str, text: &str, start: usize, end: usize) -> Self {
        let start = floor_boundary(text, start);
        let end = floor_boundary(text, end.max(start));
        let before = text.get(..start).unwrap_or_default();
        let line_start = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
        let rest = text.get(line_start..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let line_end = line_start.saturating_add(line.len());
        let meant = text.get(start..end.min(line_end).max(start)).unwrap_or_default();
        Self {
            file: file.to_owned(),
            line: before.matches('\n').count().saturating_add(1),
            column: text.get(line_start..start).unwrap_or_default().chars().count().saturating_add(1),
            text: hide_in_line(line),
            width: meant.chars().count().max(1),
        }
    }
}

fn floor_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at = at.saturating_sub(1);
    }
    at
}

impl ConfigError {
    /// A problem that is in no file.
    pub fn anywhere(message: impl Into<String>) -> Self {
        Self { place: None, message: message.into() }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(place) = &self.place else {
            return f.write_str(&self.message);
        };
        writeln!(f, "{}:{}:{}: {}", place.file, place.line, place.column, self.message)?;
        let number = place.line.to_string();
        let margin = number.len();
        // Tabs are kept before the caret, so that it stands under its text whatever the terminal makes of them.
        let indent: String = place
            .text
            .chars()
            .take(place.column.saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        writeln!(f, "{:margin$} |", "")?;
        writeln!(f, "{number} | {}", place.text)?;
        write!(f, "{:margin$} | {indent}{}", "", "^".repeat(place.width))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_points_at_its_text() {
        let text = "a = 1\n\tb = { DB_PASSWORD = \"x\", ü = 2 }\r\nc = 3\n";
        let start = text.find("ü").unwrap();
        let place = Place::new("/etc/init.toml", text, start, start + 2);
        let error = ConfigError { place: Some(place), message: "no".into() };
        let shown = error.to_string();
        assert_eq!(
            shown,
            "/etc/init.toml:2:27: no\n  |\n2 | \tb = { DB_PASSWORD = \"*\", ü = 2 }\n  | \t                         ^"
        );
    }

    #[test]
    fn a_place_at_the_end_or_beyond_is_still_a_place() {
        let place = Place::new("f", "ab\n", 3, 3);
        assert_eq!((place.line, place.column, place.width), (2, 1, 1));
        let place = Place::new("f", "é", 1, 99);
        assert_eq!((place.line, place.column, place.width), (1, 1, 1));
    }
}
