//! What is wrong in a `.env` file, in words that never show a value.

use std::fmt;

/// Why phpdotenv refuses an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing before the `=`.
    NoName,
    /// A character in the name that phpdotenv does not take.
    InvalidName,
    /// `export A=b`: phpdotenv knows `export` only when the whole left side is longer than eight characters.
    ShortExport,
    /// No `=`, and not a name.
    NotAnAssignment,
    /// A quote was opened and the entry ended before it was closed.
    UnclosedQuote,
    /// A backslash in double quotes before something other than `"`, `\`, `$`, `f`, `n`, `r`, `t` or `v`.
    BadEscape,
    /// Text after whitespace in a value without quotes.
    UnquotedWhitespace,
    /// Text after the closing quote, on this line (from 1) of the file.
    TextAfterQuote { on: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoName => "there is no name before the `=`",
            Self::InvalidName => "the name is invalid: use letters, digits, `_` and `.`",
            Self::ShortExport => "phpdotenv takes no `export` before a name of one letter: remove the `export`",
            Self::NotAnAssignment => {
                "this is neither NAME=value nor a comment: if it belongs to the value above, that value must start with `=\"` and end with `\"`"
            }
            Self::UnclosedQuote => {
                "the closing quote is missing (a value of several lines needs double quotes, and no space before the first)"
            }
            Self::BadEscape => {
                "the value has an unknown escape sequence: double the backslash, or use single quotes"
            }
            Self::UnquotedWhitespace => "the value has unquoted whitespace: put it in double quotes",
            Self::TextAfterQuote { on } => {
                return write!(
                    f,
                    "text follows the closing quote on line {on}: close an open quote, or write `\\\"` for a quote inside the value"
                );
            }
        })
    }
}

/// The first entry that phpdotenv refuses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError {
    /// Where the entry starts, from 1.
    pub line: usize,
    /// The entry's name, when it is certain to be one and not a misplaced secret.
    pub key: Option<String>,
    pub kind: Fault,
}

impl std::error::Error for ParseError {}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, Some(self.line), self.key.as_deref())?;
        self.kind.fmt(f)
    }
}

/// Why a file is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProblemKind {
    /// phpdotenv would refuse the whole file, and Laravel would answer every request with 500.
    Syntax(Fault),
    /// Opened by `="` and never closed. phpdotenv drops the rest of the file without an error.
    Unterminated,
    /// A `"` in a comment makes phpdotenv take the entries up to line `through` (from 1) as part of the comment.
    CommentSwallows { through: usize },
    /// A required key is not in the file, or a line `NAME` without `=` unsets it.
    Missing,
    /// A required key is there without a value.
    Empty,
    /// No entry at all.
    NoEntries,
    /// The values grow out of all bounds where they refer to each other.
    TooLarge,
    /// Written by an editor or a shell that saves UTF-16.
    Utf16,
    /// The file has more problems than are listed.
    More,
}

/// One reason not to accept a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where the entry starts, from 1; `None` when it is about the file as a whole.
    pub line: Option<usize>,
    pub key: Option<String>,
    pub kind: ProblemKind,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, self.line, self.key.as_deref())?;
        f.write_str(match self.kind {
            ProblemKind::Syntax(fault) => return fault.fmt(f),
            ProblemKind::Unterminated => {
                "the double quote is never closed, and phpdotenv would silently drop the rest of the file: close it"
            }
            ProblemKind::CommentSwallows { through } => {
                return write!(
                    f,
                    "the double quote in this comment makes phpdotenv skip everything up to line {through}: remove the quote"
                );
            }
            ProblemKind::Missing => "required, but not defined: add it",
            ProblemKind::Empty => "required, but empty: give it a value",
            ProblemKind::NoEntries => "the file defines nothing",
            ProblemKind::TooLarge => "the values become too large here: look at the `${NAME}` that refer to each other",
            ProblemKind::Utf16 => "the file is UTF-16: save it as UTF-8",
            ProblemKind::More => "there are more problems after these",
        })
    }
}

/// What is accepted but is probably not meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WarningKind {
    /// `PASS=ab#cd` is `ab`.
    CommentCutsValue,
    /// The key was defined on line `earlier` (from 1) too.
    Duplicate { earlier: usize },
    /// `A=$B`: only `${B}` is replaced.
    ShellVariable,
    /// `${B:-x}` and the like: only a plain `${B}` is replaced.
    ShellExpansion,
    /// `${B}` where nothing above defines B.
    UndefinedReference,
    /// `A=b"c"`: the quotes are part of the value.
    QuoteInsideValue,
    /// A `NAME` without `=`.
    NoEquals,
    /// Lines end in `\r\n` or `\r`.
    CarriageReturn,
    /// A NUL byte.
    Nul,
    /// Bytes that are not UTF-8; each faulty sequence becomes a `?`.
    NotUtf8,
    /// phpdotenv up to 5.4 reads the file otherwise from here on.
    OlderVersionsDiffer,
    /// The real environment has the key, and Laravel prefers it.
    Shadowed,
    /// APP_DEBUG is on and APP_ENV is production.
    DebugInProduction,
    /// APP_KEY is not a key of 16 or 32 bytes.
    MalformedAppKey,
}

/// One thing to look at, by line and key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// From 1.
    pub line: usize,
    pub key: Option<String>,
    pub kind: WarningKind,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        place(f, Some(self.line), self.key.as_deref())?;
        f.write_str(match self.kind {
            WarningKind::CommentCutsValue => "the value ends at a `#`: quote it if the `#` is part of it",
            WarningKind::Duplicate { earlier } => {
                return write!(f, "already defined on line {earlier}; this one wins");
            }
            WarningKind::ShellVariable => "`$NAME` stays as it is: phpdotenv replaces `${NAME}` alone",
            WarningKind::ShellExpansion => "phpdotenv replaces a plain `${NAME}` alone; this stays as it is",
            WarningKind::UndefinedReference => {
                "refers to a `${NAME}` that nothing above defines: it stays as it is unless the environment has it"
            }
            WarningKind::QuoteInsideValue => "the quotes inside the value are part of it",
            WarningKind::NoEquals => "a name without `=` sets nothing",
            WarningKind::CarriageReturn => "lines end in CR; phpdotenv takes that, shells do not",
            WarningKind::Nul => "there is a NUL byte; getenv() would see the value cut off there",
            WarningKind::NotUtf8 => "there are bytes that are not UTF-8; phpdotenv turns them into `?`",
            WarningKind::OlderVersionsDiffer => "phpdotenv before 5.5 reads this otherwise, or refuses it",
            WarningKind::Shadowed => "the environment already has it, and wins over the file",
            WarningKind::DebugInProduction => {
                "debug mode is on in production: error pages will show the configuration"
            }
            WarningKind::MalformedAppKey => {
                "not a valid key: `php artisan key:generate --show` prints one (`base64:` and 32 bytes)"
            }
        })
    }
}

/// `line 12, key DB_PASSWORD: `, as much of it as is known.
fn place(f: &mut fmt::Formatter<'_>, line: Option<usize>, key: Option<&str>) -> fmt::Result {
    match (line, key) {
        (Some(line), Some(key)) => write!(f, "line {line}, key {key}: "),
        (Some(line), None) => write!(f, "line {line}: "),
        (None, Some(key)) => write!(f, "key {key}: "),
        (None, None) => Ok(()),
    }
}

/// `name` if it may be shown: what stands left of an `=` may be a secret that lost its name, or a line of base64.
/// Names are words joined by `_`, `.` or `-`, none of them long, none of them long and with digits.
pub(super) fn presentable(name: &str) -> Option<String> {
    let starts_well = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    let is_word = |word: &str| {
        let digits = word.bytes().any(|byte| byte.is_ascii_digit());
        word.bytes().all(|byte| byte.is_ascii_alphanumeric()) && word.len() <= if digits { 10 } else { 20 }
    };
    (starts_well && name.len() <= 64 && name.split(['_', '.', '-']).all(is_word)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_shown_and_things_like_secrets_are_not() {
        for name in ["APP_KEY", "DB_PASSWORD", "_X", "a.b", "MY-KEY", "AWS_S3_KEY2", "MAIL_FROM_ADDRESS"] {
            assert_eq!(presentable(name).as_deref(), Some(name));
        }
        for name in [
            "",
            "1A",
            "hunter2!",
            "a b",
            "s3cr3tpassword",
            "MIIEvQIBADANBgkqhkiG9w0BAQ",
            "wJalrXUtnFEMIK7MDENGbPxRfiCY",
            "p\u{e4}ss",
            "AKIAIOSFODNN7EXAMPLE",
        ] {
            assert_eq!(presentable(name), None, "{name}");
        }
    }

    #[test]
    fn errors_name_line_and_key() {
        let error = ParseError { line: 12, key: Some("DB_PASSWORD".into()), kind: Fault::UnquotedWhitespace };
        assert_eq!(
            error.to_string(),
            "line 12, key DB_PASSWORD: the value has unquoted whitespace: put it in double quotes"
        );
        let error = ParseError { line: 3, key: None, kind: Fault::NoName };
        assert_eq!(error.to_string(), "line 3: there is no name before the `=`");
    }
}
