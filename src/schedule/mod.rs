//! PURE: crontab expressions, the next run, and which run is due.
//!
//! * [`vixie`] reads an expression exactly as Vixie cron does and counts on a timeline without time zones.
//! * [`Schedule`] lays that timeline over a time zone, daylight saving time included.
//! * [`Timetable`] holds the schedules of all cron entries and tells which of them is due, whatever the clock does.
//! * [`crontab`] reads crontab files and makes cron entries of their lines.
//!
//! Nothing here knows the time or starts a process: instants are passed in. The one thing that is read from outside
//! is the time zone database, by `jiff` (the system's, or the copy in the binary where the image has none).
//! Overlapping runs, their processes and their deadlines are [`crate::supervisor`]'s.

#![forbid(unsafe_code)]

pub mod crontab;
mod error;
mod timetable;
pub mod vixie;
mod zoned;

pub use error::ScheduleError;
pub use timetable::{Due, Timetable};
pub use zoned::Schedule;
