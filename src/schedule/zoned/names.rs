//! Time zones by name, and what was meant by a name that is none.

use crate::schedule::ScheduleError;
use crate::typo::distance;
use jiff::tz::{self, TimeZone};

/// A zone of the database, by name in either case.
pub(super) fn find_zone(name: &str) -> Result<TimeZone, ScheduleError> {
    TimeZone::get(name)
        .map_err(|_| ScheduleError::Zone { zone: name.to_owned(), nearest: nearest_zone(name) })
}

/// The name in the database with the fewest letters to change, if a third of them or fewer.
fn nearest_zone(name: &str) -> Option<String> {
    // Longer than any zone: not worth the comparison.
    if name.len() > 64 {
        return None;
    }
    let wanted = name.to_ascii_lowercase().replace(' ', "_");
    tz::db()
        .available()
        .map(|known| {
            let known = known.to_string();
            let lower = known.to_ascii_lowercase();
            // `Paris` is as good as `Europe/Paris`.
            let city = lower.rsplit('/').next().unwrap_or_default();
            (distance(&wanted, &lower).min(distance(&wanted, city)), known)
        })
        .min()
        .filter(|(changes, _)| changes.saturating_mul(3) <= wanted.len())
        .map(|(_, known)| known)
}
