//! PURE: phpdotenv's grammar, for validation.
//!
//! A fetched `.env` is read here exactly as `vlucas/phpdotenv` will read it, before any PHP runs: PHP's own message
//! for a broken file shows the secret, comes too late, and some broken files give no message at all.
//!
//! * [`parse`] equals the library: same files accepted, same names, same values. A differential test holds it to that.
//! * [`Document::resolve`] replaces `${NAME}` as Laravel does.
//! * [`validate()`] is stricter, finds all problems at once, and warns about what is accepted but hardly meant.
//!
//! Nothing in here shows a value: values are [`Secret`]s, errors and warnings carry a line and at most a key.
//! This is not a loader: init never exports a `.env` to its children, since the real environment wins over the file
//! in Laravel and would hide every later change.
//!
//! ```
//! let document = php_init::dotenv::parse(b"HOST=db\nURL=\"mysql://${HOST}/app\" # main").unwrap();
//! let values = document.resolve(|_| None);
//! assert_eq!(values["URL"].expose(), "mysql://db/app");
//!
//! let error = php_init::dotenv::parse(b"A=1\nDB_PASSWORD=one two").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 2, key DB_PASSWORD: the value has unquoted whitespace: put it in double quotes"
//! );
//! ```
#![forbid(unsafe_code)]

mod decode;
mod entry;
mod error;
mod lines;
mod lint;
mod resolve;
mod secret;
#[cfg(test)]
mod tests;
mod unicode;
mod validate;

pub use decode::file_content;
pub use error::{Fault, ParseError, Problem, ProblemKind, Warning, WarningKind};
pub use secret::Secret;
pub use validate::{Report, validate};

use lines::{Chunk, Scanner};

/// Which phpdotenv. The grammar changed once, in 5.5: names beyond ASCII, and `="` at the end of a line inside a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Dialect {
    /// 5.0 to 5.4.
    V5_4,
    /// 5.5 and later.
    #[default]
    V5_6,
}

/// The entries of a file, in its order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    pub entries: Vec<Entry>,
}

/// One `NAME=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub key: String,
    /// `None`: a `NAME` without `=`, which unsets it.
    pub value: Option<Value>,
    /// Where it starts, from 1.
    pub line: usize,
}

/// A value with its quotes and escapes undone and its `${NAME}` not yet replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    text: Secret,
    /// Where in `text` the `$`s stand that may begin a variable, in bytes, ascending.
    vars: Vec<usize>,
    facts: Facts,
}

/// What the lints want to know of how a value was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Facts {
    cut_by_comment: bool,
    quote_inside: bool,
}

impl Value {
    /// The value before `${NAME}` is replaced.
    pub fn unresolved(&self) -> &Secret {
        &self.text
    }
}

/// Reads the content of a file as the newest phpdotenv does: a UTF-8 byte order mark is dropped, a sequence that is
/// not UTF-8 becomes `?`, and the first faulty entry is an error that names its line and key.
pub fn parse(bytes: &[u8]) -> Result<Document, ParseError> {
    parse_text(&file_content(bytes), Dialect::default())
}

/// As [`parse`], for text that is not from a file (a byte order mark is then part of the first name, and an error)
/// and for the version of phpdotenv that `dialect` says.
pub fn parse_text(text: &str, dialect: Dialect) -> Result<Document, ParseError> {
    let lines = lines::split(text);
    let mut entries = Vec::new();
    for chunk in Scanner::new(&lines, dialect) {
        if let Chunk::Entry { first, text, .. } = chunk {
            entries.push(read_entry(&text, first, dialect).map_err(|(error, _)| error)?);
        }
    }
    Ok(Document { entries })
}

/// Reads the raw entry that starts on line `first` (from 0). An error comes with the name, unless it is invalid, to
/// compare with and not to show.
fn read_entry(raw: &str, first: usize, dialect: Dialect) -> Result<Entry, (ParseError, Option<String>)> {
    let line = first + 1;
    match entry::parse(raw, line, dialect) {
        Ok((key, value)) => Ok(Entry { key, value, line }),
        Err(entry::Refused { fault, name }) => {
            let key = name.as_deref().and_then(error::presentable);
            Err((ParseError { line, key, kind: fault }, name))
        }
    }
}
