//! The wall clock, which anyone may set, and the schedule that must live with it.

use super::invariants::Invariant;
use jiff::{SignedDuration, Timestamp};
use php_init::config::plan::CronPlan;
use php_init::schedule::{Schedule, Timetable};
use php_init::supervisor::Mono;
use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

/// What an entry of a random plan has.
pub const SCHEDULES: [&str; 5] = ["* * * * *", "*/5 * * * *", "0 * * * *", "30 2 * * *", "0 0 1 1 *"];

/// A few seconds before daylight saving time begins in Berlin.
const ORIGIN: i64 = 1_774_745_990;

fn schedule(expression: &str) -> Schedule {
    static PARSED: OnceLock<Vec<Schedule>> = OnceLock::new();
    let parse = |text: &str| Schedule::parse(text, Some("Europe/Berlin")).expect("a schedule");
    let parsed = PARSED.get_or_init(|| SCHEDULES.iter().map(|text| parse(text)).collect());
    let known = SCHEDULES.iter().position(|known| *known == expression);
    known.map_or_else(|| parse(expression), |at| parsed[at].clone())
}

pub struct Wall {
    table: Timetable,
    /// What the wall clock shows at the origin of the other clock.
    origin: Timestamp,
    /// The newest moment that was answered, for each entry.
    answered: BTreeMap<u16, Timestamp>,
}

impl Wall {
    pub fn new(crons: &[CronPlan]) -> Self {
        let origin = Timestamp::from_second(ORIGIN).unwrap_or(Timestamp::UNIX_EPOCH);
        Self { table: table(crons, origin), origin, answered: BTreeMap::new() }
    }

    fn read(&self, now: Mono) -> Timestamp {
        let since = SignedDuration::try_from(now.since_origin()).unwrap_or(SignedDuration::ZERO);
        self.origin.checked_add(since).unwrap_or(Timestamp::MAX)
    }

    /// Another plan has come.
    pub fn replan(&mut self, crons: &[CronPlan], now: Mono) {
        self.table = table(crons, self.read(now));
        self.answered.clear();
    }

    /// When the shell's timer goes off.
    pub fn due(&self, now: Mono) -> Option<Mono> {
        let wait = self.table.next_due()?.duration_since(self.read(now));
        Some(now.after(Duration::try_from(wait).unwrap_or_default()))
    }

    /// Somebody sets the clock.
    pub fn step(&mut self, seconds: i64, now: Mono) {
        let by = SignedDuration::from_secs(seconds);
        self.origin = self.origin.checked_add(by).unwrap_or(self.origin);
        let shows = self.read(now);
        self.answered.retain(|_, last| last.duration_since(shows) <= SignedDuration::from_hours(3));
    }

    /// What is due now.
    pub fn advance(&mut self, now: Mono) -> Result<Vec<u16>, (Invariant, String)> {
        let shows = self.read(now);
        let mut units = Vec::new();
        for due in self.table.advance(shows) {
            let last = self.answered.insert(due.unit, due.scheduled);
            if last.is_some_and(|last| last >= due.scheduled) {
                return Err((Invariant::DueOnce, format!("entry {} at {} again", due.unit, due.scheduled)));
            }
            let lag = shows.duration_since(due.scheduled);
            if lag.is_negative() || due.run != (lag <= SignedDuration::from_secs(60)) {
                return Err((Invariant::DueInTime, format!("{due:?} at {shows}")));
            }
            if due.run {
                units.push(due.unit);
            }
        }
        match self.table.next_due() {
            Some(next) if next <= shows => Err((Invariant::DueInTime, format!("{next} is next at {shows}"))),
            _ => Ok(units),
        }
    }
}

fn table(crons: &[CronPlan], now: Timestamp) -> Timetable {
    let entries = (0_u16..).zip(crons.iter().map(|cron| schedule(&cron.schedule)));
    Timetable::new(entries, now)
}
