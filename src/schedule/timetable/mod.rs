//! Which cron entry is due, whatever the wall clock does: it may be stepped either way, and the whole machine may
//! have slept. The shell owns the timer: it waits for [`Timetable::next_due`] and calls [`Timetable::advance`] then,
//! and also whenever it learns that the clock was set (too often is harmless, too late is told as lag).

#[cfg(test)]
mod tests;

use super::Schedule;
use super::error::ScheduleError;
use crate::config::plan::CronPlan;
use jiff::{SignedDuration, Timestamp};
use std::time::Duration;

/// A run this late is still worth starting. `artisan schedule:run` looks at the minute it is started in, so a minute
/// that is over is lost anyway.
const WORTH_RUNNING: SignedDuration = SignedDuration::from_secs(60);
/// Up to here, a clock that goes back is being corrected and what has run is not run again; beyond, it is another
/// time. Cron draws the same line (cron(8): changes of more than three hours take effect at once).
const CORRECTION: SignedDuration = SignedDuration::from_hours(3);
/// A clock set back by less than this right after the boot does not bring back the minute of the boot, which an
/// earlier container may have run.
const BOOT_MARGIN: SignedDuration = SignedDuration::from_secs(60);
/// Missed runs are counted up to here: a week of minutes takes well under a tenth of a second.
const MISSED_CAP: u32 = 10_000;

/// Something came due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The index into the plan's cron entries.
    pub unit: u16,
    /// Start it. Otherwise the newest run is too old for that, and this is only told for the log.
    pub run: bool,
    /// When the newest run should have started.
    pub scheduled: Timestamp,
    /// How long ago that was.
    pub lag: Duration,
    /// Runs that did not and will not happen: those before the newest one, and the newest itself unless `run`.
    /// Counted up to 10,000.
    pub missed: u32,
}

/// The schedules of all cron entries and where each of them stands.
#[derive(Clone, Debug)]
pub struct Timetable {
    rows: Vec<Row>,
    boot: Timestamp,
    /// The clock at the latest call.
    now: Timestamp,
}

#[derive(Clone, Debug)]
struct Row {
    unit: u16,
    schedule: Schedule,
    /// Later than every instant that was handled.
    next: Option<Timestamp>,
    /// The newest instant that was run or told as missed.
    handled: Option<Timestamp>,
}

impl Timetable {
    /// Starts at `now`, on the wall clock: what is due at `now` or before is never run, so that a restart within a
    /// minute does not run that minute twice.
    pub fn new(entries: impl IntoIterator<Item = (u16, Schedule)>, now: Timestamp) -> Self {
        let rows = entries
            .into_iter()
            .map(|(unit, schedule)| Row { unit, next: schedule.next_after(now), schedule, handled: None })
            .collect();
        Self { rows, boot: now, now }
    }

    /// As [`Timetable::new`], for a plan's cron entries. The error carries the name of the entry that it is about.
    pub fn from_plan(crons: &[CronPlan], now: Timestamp) -> Result<Self, (String, ScheduleError)> {
        let entries = (0..=u16::MAX)
            .zip(crons)
            .map(|(unit, cron)| match Schedule::parse(&cron.schedule, cron.time_zone.as_deref()) {
                Ok(schedule) => Ok((unit, schedule)),
                Err(error) => Err((cron.name.clone(), error)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Self::new(entries, now))
    }

    /// The wall-clock time to call [`Timetable::advance`] at. `None`: nothing is ever due again.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.rows.iter().filter_map(|row| row.next).min()
    }

    /// The next run of one entry; `None` also for an entry that is not in the table.
    pub fn next_of(&self, unit: u16) -> Option<Timestamp> {
        self.rows.iter().find(|row| row.unit == unit).and_then(|row| row.next)
    }

    /// Tells what came due up to `now`, on the wall clock: at most one [`Due`] for each entry, in the order of the
    /// plan. No instant is answered twice, unless the clock was set back by more than three hours.
    pub fn advance(&mut self, now: Timestamp) -> Vec<Due> {
        if now < self.now {
            for row in &mut self.rows {
                row.go_back(now, self.boot);
            }
        }
        self.now = now;
        self.rows.iter_mut().filter_map(|row| row.catch_up(now)).collect()
    }
}

impl Row {
    /// The clock was set back to `now`: what has not been handled may come again.
    fn go_back(&mut self, now: Timestamp, boot: Timestamp) {
        let done = match self.handled {
            Some(handled) if handled.duration_since(now) <= CORRECTION => handled.max(now),
            Some(_) => {
                self.handled = None;
                now
            }
            None if boot.duration_since(now) <= BOOT_MARGIN => boot.max(now),
            None => now,
        };
        self.next = self.schedule.next_after(done);
    }

    fn catch_up(&mut self, now: Timestamp) -> Option<Due> {
        let first = self.next.filter(|next| *next <= now)?;
        let newest = self.newest(first, now);
        let earlier = self.count(first, newest);
        self.handled = Some(newest);
        self.next = self.schedule.next_after(now);
        let lag = now.duration_since(newest);
        let run = lag <= WORTH_RUNNING;
        Some(Due {
            unit: self.unit,
            run,
            scheduled: newest,
            lag: lag.unsigned_abs(),
            missed: if run { earlier } else { earlier.saturating_add(1).min(MISSED_CAP) },
        })
    }

    /// The last run of `first..=now`, where `first` is one. Looks back over ever longer spans, so a clock that
    /// leaps decades (a machine that booted in 1970) costs no more than one that leaps an hour.
    fn newest(&self, first: Timestamp, now: Timestamp) -> Timestamp {
        // `next_after` is strict: one second more, so that a run just worth it is found.
        let mut span = WORTH_RUNNING.saturating_add(SignedDuration::from_secs(1));
        loop {
            let from = now.checked_sub(span).unwrap_or(first).max(first);
            let found = if from == first { Some(first) } else { self.schedule.next_after(from) };
            if let Some(mut newest) = found.filter(|found| *found <= now) {
                while let Some(next) = self.schedule.next_after(newest).filter(|next| *next <= now) {
                    newest = next;
                }
                return newest;
            }
            span = span.saturating_mul(2);
        }
    }

    /// How many runs `first..newest` has, up to the cap.
    fn count(&self, first: Timestamp, newest: Timestamp) -> u32 {
        let mut count = 0;
        let mut at = first;
        while at < newest && count < MISSED_CAP {
            count += 1;
            match self.schedule.next_after(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        count
    }
}
