//! Why a schedule was refused, and where in its text.

use std::fmt;
use std::ops::Range;

/// Why a schedule was refused. Reads as one line; [`ScheduleError::caret`] draws the place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ScheduleError {
    /// The text is not an expression that cron takes.
    Syntax {
        /// The whole expression.
        expression: String,
        /// The offending part of it, in bytes. May be empty (something is missing there), and then also at the end.
        at: Range<usize>,
        /// What is wrong, what is allowed, and what to write instead.
        problem: String,
    },
    /// The expression is well formed and no day of the calendar fits it.
    Never {
        /// The whole expression.
        expression: String,
        /// The day-of-month field, in bytes.
        at: Range<usize>,
    },
    /// The time zone database has no such name.
    Zone {
        /// The name as it was given.
        zone: String,
        /// The name in the database that is nearest to it, when one is near.
        nearest: Option<String>,
    },
}

impl ScheduleError {
    /// The byte column, from 1, of what is wrong in the expression; `None` when the time zone is.
    pub fn column(&self) -> Option<usize> {
        self.span().map(|(_, at)| at.start.saturating_add(1))
    }

    /// What is wrong, without the expression and the place: for messages that show those themselves.
    pub fn problem(&self) -> String {
        match self {
            Self::Syntax { problem, .. } => problem.clone(),
            Self::Never { .. } => "never happens: none of its months has such a day".to_owned(),
            Self::Zone { zone, nearest: Some(nearest) } => {
                format!("no time zone is called {zone:?}; the nearest is {nearest:?}")
            }
            Self::Zone { zone, nearest: None } => {
                format!(
                    "no time zone is called {zone:?}; write an IANA name such as \"Europe/Paris\", or \"UTC\""
                )
            }
        }
    }

    /// Two lines, indented by two blanks: the expression, and carets under what is wrong. `None` as in
    /// [`ScheduleError::column`].
    pub fn caret(&self) -> Option<String> {
        let (expression, at) = self.span()?;
        let (before, rest) = expression.split_at_checked(at.start).unwrap_or((expression, ""));
        let marked = rest.get(..at.len()).unwrap_or(rest);
        // A tab stays a tab, so that the carets stand where the terminal put the text.
        let pad: String = before.chars().map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let shown: String =
            expression.chars().map(|c| if c.is_control() && c != '\t' { '?' } else { c }).collect();
        Some(format!("  {shown}\n  {pad}{}", "^".repeat(marked.chars().count().max(1))))
    }

    fn span(&self) -> Option<(&str, &Range<usize>)> {
        match self {
            Self::Syntax { expression, at, .. } | Self::Never { expression, at } => Some((expression, at)),
            Self::Zone { .. } => None,
        }
    }
}

impl fmt::Display for ScheduleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax { expression, at, .. } => {
                let column = at.start.saturating_add(1);
                write!(f, "cannot read schedule {expression:?} at column {column}: {}", self.problem())
            }
            Self::Never { expression, .. } => {
                write!(f, "cannot use schedule {expression:?}: it {}", self.problem())
            }
            Self::Zone { .. } => write!(f, "cannot find the time zone: {}", self.problem()),
        }
    }
}

impl std::error::Error for ScheduleError {}
