//! Monotonic time, wall time, and an alarm at a wall time that notices when the clock is stepped.
//!
//! The one place that reads a clock. The monotonic clock does not count while the machine is suspended;
//! containers are not.
#![expect(unsafe_code, reason = "clock_gettime(2) and timerfd(2) through libc")]

use super::{check, kernel};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// Time since the machine started, for delays and deadlines.
pub fn monotonic() -> Duration {
    let now = now(libc::CLOCK_MONOTONIC);
    Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// Nanoseconds since 1970-01-01T00:00:00Z; may go backwards.
pub fn wall() -> i128 {
    let now = now(libc::CLOCK_REALTIME);
    i128::from(now.tv_sec).saturating_mul(1_000_000_000).saturating_add(i128::from(now.tv_nsec))
}

/// How long this thread has run, or was ready to run and waited for a processor, the throttling of a CPU quota included.
/// Time in which it slept, or was stopped or frozen, is not in it. Zero where the kernel does not tell.
pub fn runnable() -> Duration {
    // "cpu_time run_delay timeslices", the first two in nanoseconds.
    let line = kernel::read("/proc/thread-self/schedstat").unwrap_or_default();
    let times = line.split_ascii_whitespace().take(2).filter_map(|field| field.parse::<u64>().ok());
    Duration::from_nanos(times.fold(0, u64::saturating_add))
}

fn now(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writing. It cannot fail: both clocks are always there.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// Why a [`WallTimer`] became readable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alarm {
    /// The time has come.
    Fired,
    /// Somebody set the clock: the moment that was computed may be wrong now. The timer is still armed.
    ClockChanged,
}

/// A descriptor that becomes readable at a wall-clock time, or when the clock is set. Non-blocking: made for
/// an event loop.
#[derive(Debug)]
pub struct WallTimer(OwnedFd);

impl WallTimer {
    /// A timer that is not armed.
    pub fn new() -> io::Result<Self> {
        // SAFETY: two numbers.
        let fd = check(unsafe {
            libc::timerfd_create(libc::CLOCK_REALTIME, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
        })?;
        // SAFETY: the kernel has just made `fd`, so it is open and nobody else owns it.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Fires once at this time since 1970; at once if it is past.
    pub fn arm(&self, at: Duration) -> io::Result<()> {
        // Zero would disarm.
        let at = at.max(Duration::from_nanos(1));
        let time = libc::timespec {
            tv_sec: at.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: libc::c_long::from(i32::try_from(at.subsec_nanos()).unwrap_or(0)),
        };
        match self.set(time) {
            // The clock was set since the last time. The kernel has armed the timer all the same, and told
            // the change with this error only once (fs/timerfd.c, do_timerfd_settime); arming again is plain.
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => self.set(time),
            result => result,
        }
    }

    /// What happened since the last read; `None` if nothing has.
    pub fn read(&self) -> io::Result<Option<Alarm>> {
        let mut expirations = [0; 8];
        match super::fd::read(&self.0, &mut expirations) {
            Ok(_) => Ok(Some(Alarm::Fired)),
            Err(error) if error.raw_os_error() == Some(libc::ECANCELED) => Ok(Some(Alarm::ClockChanged)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn set(&self, at: libc::timespec) -> io::Result<()> {
        let spec = libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: at };
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        // SAFETY: `spec` is valid for reading, and the old value is not asked for.
        check(unsafe {
            libc::timerfd_settime(self.0.as_raw_fd(), flags, &raw const spec, std::ptr::null_mut())
        })
        .map(drop)
    }
}

impl AsFd for WallTimer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for WallTimer {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    fn wait(timer: &WallTimer) {
        poll(&mut [PollFd::new(timer.as_fd(), PollFlags::POLLIN)], PollTimeout::from(10_000_u16)).unwrap();
    }

    fn since_1970() -> Duration {
        Duration::from_nanos(u64::try_from(wall()).unwrap())
    }

    #[test]
    fn time_goes_on() {
        let (before, wall_before) = (monotonic(), wall());
        assert!(monotonic() >= before);
        // 2020-01-01, so that seconds and nanoseconds are not mixed up.
        assert!(wall_before > 1_577_836_800_000_000_000);
    }

    #[test]
    fn time_at_work_counts_as_runnable_and_no_more_than_has_passed() {
        let (began, before) = (monotonic(), runnable());
        // The kernel adds to it at ticks.
        while runnable().saturating_sub(before) < Duration::from_millis(20) {
            assert!(monotonic().saturating_sub(began) < Duration::from_secs(20), "the kernel does not count");
        }
        assert!(
            runnable().saturating_sub(before)
                <= monotonic().saturating_sub(began) + Duration::from_millis(20)
        );
    }

    #[test]
    fn it_fires_at_the_time_and_once() {
        let timer = WallTimer::new().unwrap();
        let at = since_1970().saturating_add(Duration::from_millis(20));
        timer.arm(at).unwrap();
        assert_eq!(timer.read().unwrap(), None);
        wait(&timer);
        assert_eq!(timer.read().unwrap(), Some(Alarm::Fired));
        assert!(since_1970() >= at);
        assert_eq!(timer.read().unwrap(), None);
    }

    #[test]
    fn a_past_time_fires_at_once() {
        let timer = WallTimer::new().unwrap();
        timer.arm(Duration::ZERO).unwrap();
        wait(&timer);
        assert_eq!(timer.read().unwrap(), Some(Alarm::Fired));
    }

    /// By hand, as root: `cargo test --lib stepped_clock -- --ignored`.
    #[test]
    #[ignore = "sets the machine's clock (to what it is)"]
    fn a_stepped_clock_is_noticed_once() {
        let timer = WallTimer::new().unwrap();
        timer.arm(since_1970().saturating_add(Duration::from_secs(3600))).unwrap();
        let step = || {
            let now = now(libc::CLOCK_REALTIME);
            // SAFETY: `now` is valid for reading.
            check(unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const now) }).unwrap()
        };
        step();
        wait(&timer);
        assert_eq!(timer.read().unwrap(), Some(Alarm::ClockChanged));
        assert_eq!(timer.read().unwrap(), None);
        // Set between two arms: the second is armed all the same.
        step();
        timer.arm(since_1970().saturating_add(Duration::from_millis(10))).unwrap();
        wait(&timer);
        assert_eq!(timer.read().unwrap(), Some(Alarm::Fired));
    }
}
