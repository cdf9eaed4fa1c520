//! Why a fetch or a step failed: words and the exit code of the boot that it ends, or of the reload.

use super::boot::End;
use std::fmt;

/// A failure that nobody has told of yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// One of [`crate::exit`], or the step's own.
    pub code: u8,
    pub text: String,
    /// What to do about it, a sentence each.
    pub hints: Vec<String>,
}

impl Failure {
    pub fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), hints: Vec::new() }
    }

    /// Logs it: the end of the boot.
    pub fn end(&self) -> End {
        self.log();
        End::Failed(self.code)
    }

    pub fn log(&self) {
        tracing::error!("{}", self.with_hints());
    }

    /// The text and what to do about it, in one line: a line of its own would not say what it is about.
    pub fn with_hints(&self) -> String {
        let hints: String = self.hints.iter().map(|hint| format!("; {hint}")).collect();
        format!("{}{hints}", self.text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
