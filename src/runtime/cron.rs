//! When cron entries are due: the pure timetable against the wall clock.
//!
//! One timer of the kernel's on the wall clock, which also reports when somebody sets the clock. Without entries there
//! is no timer and no wake-up.

use crate::config::plan::CronPlan;
use crate::schedule::{Due, Schedule, Timetable};
use crate::sys::clock::{self, Alarm, WallTimer};
use crate::sys::words;
use jiff::Timestamp;
use std::io;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The entries of the plan, and the timer of the next one.
pub struct Cron {
    timetable: Timetable,
    timer: Option<AsyncFd<WallTimer>>,
    /// The timer is set. If the system refused that, the clock is looked at every [`RETRY`].
    armed: bool,
}

const RETRY: Duration = Duration::from_secs(1);

#[expect(
    deprecated,
    reason = "`register` is unsafe; a WallTimer owns its descriptor, which is all that it asks for"
)]
fn watch(timer: WallTimer) -> io::Result<AsyncFd<WallTimer>> {
    AsyncFd::with_interest(timer, Interest::READABLE)
}

/// This moment on the wall clock.
fn wall() -> Timestamp {
    // A clock outside the years that jiff knows is no clock.
    Timestamp::from_nanosecond(clock::wall()).unwrap_or(Timestamp::UNIX_EPOCH)
}

/// The schedules of all entries but the `retired` ones.
fn timetable(crons: &[CronPlan], retired: &[u16], now: Timestamp) -> io::Result<Timetable> {
    let entries = (0..=u16::MAX).zip(crons).filter(|(unit, _)| !retired.contains(unit));
    let entries = entries.map(|(unit, cron)| {
        let schedule = Schedule::parse(&cron.schedule, cron.time_zone.as_deref());
        let schedule =
            schedule.map_err(|error| io::Error::other(format!("cron entry \"{}\": {error}", cron.name)))?;
        Ok((unit, schedule))
    });
    Ok(Timetable::new(entries.collect::<io::Result<Vec<_>>>()?, now))
}

impl Cron {
    /// # Errors
    /// The system refused the timer, or an entry's schedule is none.
    pub fn new(crons: &[CronPlan]) -> io::Result<Self> {
        let mut cron = Self { timetable: timetable(crons, &[], wall())?, timer: None, armed: false };
        cron.start()?;
        Ok(cron)
    }

    /// Goes on with other entries, but for those that are `retired`; what was due of the earlier ones.
    ///
    /// # Errors
    /// The system refused the timer, or an entry's schedule is none; nothing has changed then.
    pub fn renew(&mut self, crons: &[CronPlan], retired: &[u16]) -> io::Result<Vec<Due>> {
        let now = wall();
        let next = timetable(crons, retired, now)?;
        let due = self.timetable.advance(now);
        let before = std::mem::replace(&mut self.timetable, next);
        if let Err(error) = self.start() {
            self.timetable = before;
            return Err(error);
        }
        Ok(due)
    }

    fn start(&mut self) -> io::Result<()> {
        if self.timer.is_none() && self.timetable.next_due().is_some() {
            self.timer = Some(watch(WallTimer::new()?)?);
        }
        self.arm()
    }

    /// Waits until entries are due; they are never due twice. Safe to cancel.
    pub async fn due(&mut self) -> Vec<Due> {
        let Some(timer) = &self.timer else { return std::future::pending().await };
        if self.armed {
            fired(timer).await;
        } else {
            tokio::time::sleep(RETRY).await;
        }
        let due = self.timetable.advance(wall());
        let before = self.armed;
        if let Err(error) = self.arm()
            && before
        {
            let why = words(&error);
            tracing::error!(
                "cannot set the schedule's timer: {why}: looking at the clock every second instead"
            );
        }
        due
    }

    /// When the next entry is due.
    pub fn next(&self) -> Option<Timestamp> {
        self.timetable.next_due()
    }

    /// When one entry is due next.
    pub fn next_of(&self, unit: u16) -> Option<Timestamp> {
        self.timetable.next_of(unit)
    }

    fn arm(&mut self) -> io::Result<()> {
        let (Some(timer), Some(next)) = (&self.timer, self.timetable.next_due()) else { return Ok(()) };
        let armed = timer.get_ref().arm(Duration::try_from(next.as_duration()).unwrap_or_default());
        self.armed = armed.is_ok();
        armed
    }
}

/// Waits until the timer has fired, or somebody has set the clock.
async fn fired(timer: &AsyncFd<WallTimer>) {
    loop {
        // The event loop itself is gone.
        let Ok(mut ready) = timer.readable().await else { return std::future::pending().await };
        let fired = matches!(ready.get_inner().read(), Ok(Some(Alarm::Fired | Alarm::ClockChanged)));
        ready.clear_ready();
        if fired {
            return;
        }
    }
}
