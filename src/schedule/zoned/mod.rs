//! An expression in a time zone: the next instant, daylight saving time included.

mod names;
#[cfg(test)]
mod tests;

use super::error::ScheduleError;
use super::vixie::Expression;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::fmt;

/// When something is to run: an expression, and the time zone whose clocks it speaks of.
///
/// Where clocks change, cron's own rule holds (cron(8), "Daylight Saving Time and other time changes"):
///
/// * clocks jump forward: what a fixed time would have started within the hour that is not, starts once, right after
///   the jump; entries whose minute or hour starts with `*` go on with the new time
/// * clocks jump back: a fixed time that has been is not run again; entries whose minute or hour starts with `*`
///   run through the hour twice
///
/// ```
/// use php_init::schedule::Schedule;
///
/// let schedule = Schedule::parse("30 1 * * sun", Some("Europe/London"))?;
/// let saturday = "2026-03-28T12:00:00Z".parse()?;
/// // There is no 01:30 on that Sunday: at 01:00 clocks show 02:00.
/// assert_eq!(schedule.next_after(saturday), Some("2026-03-29T01:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Schedule {
    text: String,
    expression: Expression,
    zone: TimeZone,
}

impl Schedule {
    /// Reads an expression (see [`Expression::parse`]) for the clocks of `zone`, an IANA name; `None` is UTC.
    pub fn parse(text: &str, zone: Option<&str>) -> Result<Self, ScheduleError> {
        let zone = zone.map_or(Ok(TimeZone::UTC), names::find_zone)?;
        Ok(Self { text: text.to_owned(), expression: Expression::parse(text)?, zone })
    }

    /// The expression as it was given.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The zone whose clocks count.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// The first run strictly later than `instant`, at a whole second. `None`: not again before the year 2101.
    ///
    /// Time is cut at the zone's changes into pieces of constant offset, in which local time is plain arithmetic, and
    /// the pieces are gone through in order: so the answer never lies in the past, and asking again with the answer
    /// always gets further.
    pub fn next_after(&self, instant: Timestamp) -> Option<Timestamp> {
        let mut cursor = floor(instant).checked_add(1)?;
        loop {
            let piece = self.piece(cursor)?;
            let mut local = cursor.checked_add(piece.offset)?;
            if !self.expression.is_wildcard()
                && let Some(seam) = piece.seam
            {
                if seam.at == cursor && seam.before < seam.after {
                    let missed = self.expression.next_local(seam.at.checked_add(seam.before)?)?;
                    if missed < local {
                        return Timestamp::from_second(cursor).ok();
                    }
                } else if seam.before > seam.after {
                    local = local.max(seam.at.checked_add(seam.before)?);
                }
            }
            let next = self.expression.next_local(local)?.checked_sub(piece.offset)?;
            match piece.end {
                Some(end) if next >= end => cursor = end,
                _ => return Timestamp::from_second(next).ok(),
            }
        }
    }

    /// The piece of constant offset that `second` (since 1970, UTC) lies in.
    fn piece(&self, second: i64) -> Option<Piece> {
        let at = Timestamp::from_second(second).ok()?;
        let offset = self.offset(at);
        let end = self.zone.following(at).next().map(|change| change.timestamp().as_second());
        // `preceding` is strict, and a change at `second` itself is wanted.
        let just_after = Timestamp::from_second(second.checked_add(1)?).ok()?;
        let seam = self.zone.preceding(just_after).next().and_then(|change| {
            let at = change.timestamp().as_second();
            let before = Timestamp::from_second(at.checked_sub(1)?).ok()?;
            Some(Seam { at, before: self.offset(before), after: offset })
        });
        Some(Piece { offset, end, seam })
    }

    fn offset(&self, at: Timestamp) -> i64 {
        self.zone.to_offset(at).seconds().into()
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} in {}", self.text, self.zone.iana_name().unwrap_or("UTC"))
    }
}

impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.zone == other.zone
    }
}

/// A stretch of time in which local time is UTC plus `offset` seconds.
struct Piece {
    offset: i64,
    /// Where the next one starts.
    end: Option<i64>,
    /// Its own start.
    seam: Option<Seam>,
}

/// A change of a zone's offset from `before` to `after`. They are equal when only the zone's abbreviation changes.
struct Seam {
    at: i64,
    before: i64,
    after: i64,
}

/// The whole second at or before `instant`.
fn floor(instant: Timestamp) -> i64 {
    let second = instant.as_second();
    if instant.subsec_nanosecond() < 0 { second.saturating_sub(1) } else { second }
}
