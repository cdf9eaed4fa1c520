//! What went wrong with a fetch: which verdict, in which words, and what to do about it.
//!
//! One type for all of the tree, because the words are made where the failure is understood (a 403 of S3, an errno of
//! rename) and everything above only needs the verdict. Neither a value of a file nor a credential may get in here;
//! what S3 or a credentials endpoint said is passed through [`quote`], and [`super::run`] scrubs the report once more.

use crate::config::plan::source::SourceError;
use crate::exit;
use std::fmt;

/// The verdict, and with it the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A setting cannot be used: source, endpoint, certificate bundle.
    Setting,
    /// The object, its version or its bucket does not exist.
    Missing,
    /// As [`Kind::Missing`], but the source was optional.
    Absent,
    /// Credentials are lacking, wrong or not enough.
    Forbidden,
    /// No answer, or none that was complete, before the deadline.
    Unreachable,
    /// Too large, or not valid as what it should be.
    Invalid,
    /// The file cannot be put in its place.
    Place,
    /// A fault of init itself.
    Internal,
}

impl Kind {
    /// The exit code of the child.
    pub fn code(self) -> u8 {
        match self {
            Self::Absent => exit::OK,
            Self::Setting => exit::CONFIG,
            Self::Missing | Self::Forbidden => exit::NO_INPUT,
            Self::Unreachable => exit::UNAVAILABLE,
            Self::Invalid => exit::DATA,
            Self::Place => exit::CANT_CREATE,
            Self::Internal => exit::SOFTWARE,
        }
    }
}

/// A fetch that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchError {
    pub kind: Kind,
    /// "cannot …": what was being done, to what, and why it did not work.
    pub message: String,
    /// What to do, a sentence each, the likeliest first.
    pub hints: Vec<String>,
    /// Another attempt may work.
    pub transient: bool,
}

impl FetchError {
    /// An error that another attempt would only repeat.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), hints: Vec::new(), transient: false }
    }

    /// Adds a remedy.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Marks the error as one that may pass.
    pub fn transient(mut self) -> Self {
        self.transient = true;
        self
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.hints.iter().try_for_each(|hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for FetchError {}

impl From<SourceError> for FetchError {
    fn from(error: SourceError) -> Self {
        Self::new(Kind::Setting, error.to_string())
    }
}

/// Text of a stranger (a server's message) made fit for a log line: no control characters, at most 300 characters.
pub fn quote(text: &str) -> String {
    let clean: String =
        text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(300).collect::<String>();
    clean.trim_end_matches(['.', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verdict_has_its_code() {
        let codes: Vec<u8> = [
            Kind::Absent,
            Kind::Setting,
            Kind::Missing,
            Kind::Forbidden,
            Kind::Unreachable,
            Kind::Invalid,
            Kind::Place,
            Kind::Internal,
        ]
        .into_iter()
        .map(Kind::code)
        .collect();
        assert_eq!(codes, [0, 78, 66, 66, 69, 65, 73, 70]);
    }

    #[test]
    fn a_strangers_text_is_one_bounded_line() {
        assert_eq!(quote(" Access\r\n\u{1b}[31mDenied. "), "Access   [31mDenied");
        assert_eq!(quote(&"é".repeat(1000)).chars().count(), 300);
    }
}
