//! What was thrown away, and when that is reported.
//!
//! A report is itself a line of the log that could not take the lost ones, so it must not come as often as they do: the
//! first is due at once, and further ones [`REPORT_EVERY`] after the last. What is lost in between is summed up.

use super::line::count_lines;
use std::time::Duration;

/// The least time between two reports about the same source.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// How much was thrown away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    pub lines: u64,
    pub bytes: u64,
}

impl Lost {
    /// Nothing was.
    pub fn is_none(&self) -> bool {
        self.lines == 0 && self.bytes == 0
    }

    /// Adds the lines of `bytes`.
    pub fn add(&mut self, bytes: &[u8]) {
        let bytes_lost = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.merge(Self { lines: count_lines(bytes), bytes: bytes_lost });
    }

    /// Adds what another count has.
    pub fn merge(&mut self, other: Self) {
        self.lines = self.lines.saturating_add(other.lines);
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// What one source has lost since its last report. Times are those of any clock that does not go back.
#[derive(Debug, Default)]
pub struct Unreported {
    lost: Lost,
    reported_at: Option<Duration>,
}

impl Unreported {
    /// More was lost.
    pub fn merge(&mut self, lost: Lost) {
        self.lost.merge(lost);
    }

    /// What was lost and not reported yet.
    pub fn lost(&self) -> Lost {
        self.lost
    }

    /// The earliest time of the next report, whether or not there is anything to report.
    pub fn earliest(&self) -> Duration {
        self.reported_at.map_or(Duration::ZERO, |at| at.saturating_add(REPORT_EVERY))
    }

    /// When the next report is due; `None`: there is nothing to report.
    pub fn due_at(&self) -> Option<Duration> {
        (!self.lost.is_none()).then(|| self.earliest())
    }

    /// Reports at `now`: what was lost since the last time.
    pub fn report(&mut self, now: Duration) -> Lost {
        self.reported_at = Some(now);
        std::mem::take(&mut self.lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_that_loses_lines_without_end_is_reported_every_few_seconds_with_every_line_counted() {
        let mut source = Unreported::default();
        let (mut reports, mut counted) = (Vec::new(), 0);
        // A line is lost every 20 ms for a minute.
        for now in (0..60_000).step_by(20).map(Duration::from_millis) {
            source.merge(Lost { lines: 1, bytes: 100 });
            if source.due_at().is_some_and(|due| due <= now) {
                counted += source.report(now).lines;
                reports.push(now.as_secs());
            }
        }
        assert_eq!(reports, [0, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55]);
        assert_eq!(counted + source.lost().lines, 3000);
        // The rest is due although nothing more is lost.
        assert_eq!(source.due_at(), Some(Duration::from_secs(60)));
        assert_eq!(source.report(Duration::from_secs(60)).lines + counted, 3000);
        assert_eq!(source.due_at(), None);
    }
}
