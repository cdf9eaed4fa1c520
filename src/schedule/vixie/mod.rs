//! Vixie cron's expressions, exactly, over the `cron` crate.
//!
//! The crate does the counting. What it reads differently from cron never reaches it, because the text is
//! read here, to sets of numbers, and the crate gets plain lists of numbers:
//!
//! | | Vixie cron | the `cron` crate |
//! |---|---|---|
//! | fields | 5 | 6 or 7, seconds first |
//! | Sunday | 0, 7 or `sun` | 1 or `sun` |
//! | day of month and day of week | either one, unless one of them starts with `*` | both |
//! | `5/15` | refused | 5, 20, 35, 50 |
//! | `*/90` in minutes | minute 0 | refused |
//! | `?` | refused | any |
//! | `@midnight`, `@annually` | known | refused |
//!
//! Here is no time zone: the crate sees a timeline of plain seconds, on which it cannot go wrong (over a zone with
//! daylight saving time it skips runs, and may answer with an instant in the past). [`super::Schedule`] adds the zone.

mod fields;
mod parse;
#[cfg(test)]
mod tests;

use super::error::ScheduleError;
use chrono::{DateTime, Utc};
use fields::Sets;
use std::str::FromStr;

/// An expression, read: on a timeline of local seconds since 1970-01-01T00:00:00, when does it happen?
#[derive(Clone, Debug)]
pub struct Expression {
    /// One, or two of which either is enough: by day of month, and by day of week.
    alternatives: Vec<cron::Schedule>,
    wildcard: bool,
}

impl Expression {
    /// Reads five fields, six with seconds in front, or one of `@yearly @annually @monthly @weekly @daily @midnight
    /// @hourly`. Errors tell the place and what to write instead; an expression that never happens is one.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let parsed = parse::parse(text)?;
        let days_at = parsed.days_at.clone();
        let expression = Self::count_with(text, &parsed.sets)?;
        if expression.next_local(0).is_none() {
            return Err(ScheduleError::Never { expression: text.to_owned(), at: days_at });
        }
        Ok(expression)
    }

    /// Minute or hour starts with `*`. Cron then follows the wall clock when it jumps, rather than catching up.
    pub fn is_wildcard(&self) -> bool {
        self.wildcard
    }

    /// The first moment at or after `from`; both are local seconds since 1970. `None`: not again before the year 2101,
    /// where the crate's calendar ends.
    pub fn next_local(&self, from: i64) -> Option<i64> {
        // The crate's calendar starts in 1970 and casts the year to unsigned.
        let before = from.max(0).saturating_sub(1);
        let after = DateTime::<Utc>::from_timestamp(before, 0)?;
        self.alternatives
            .iter()
            .filter_map(|schedule| schedule.after(&after).next())
            .map(|moment| moment.timestamp())
            .min()
    }

    fn count_with(text: &str, sets: &Sets) -> Result<Self, ScheduleError> {
        let rendered = if sets.either_day {
            vec![sets.render(true, false), sets.render(false, true)]
        } else {
            vec![sets.render(true, true)]
        };
        let alternatives = rendered
            .iter()
            .map(|numbers| {
                cron::Schedule::from_str(numbers).map_err(|error| ScheduleError::Syntax {
                    expression: text.to_owned(),
                    at: 0..text.len(),
                    problem: format!("the counting library refuses {numbers:?}: {error}"),
                })
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { alternatives, wildcard: sets.wildcard })
    }
}
