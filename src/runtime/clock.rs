//! The shell's clock: the only place that turns time into [`Mono`], and that finds out how much of it was lost.
//!
//! A container that is frozen (docker pause, a snapshot of its machine, SIGSTOP) loses time: clocks go on, and nobody in it can
//! do what is expected by a deadline. Nothing tells init of a freeze, but its own timers are late then. They are late on a busy
//! machine too, and where the container's CPU quota is used up; that is no loss: everybody in it runs on, if slowly, and limits
//! are for what is slow. The kernel tells the two apart: who waits for a processor is ready to run and is counted
//! (run_delay in /proc/thread-self/schedstat, Documentation/scheduler/sched-stats.rst; throttling is in it), who is frozen is not.
//!
//! The rule: a timer that is late by more than `HELD_UP`, beyond the time that init ran or was ready to run meanwhile, was late
//! by a freeze, and that much was lost. Long waits are made in steps, so that a freeze in the middle of one is noticed too. Where the
//! kernel has no schedstat (gVisor), a busy machine counts as a freeze; [`Limit`] bounds what comes of it.

use crate::supervisor::{Limit, Mono};
use crate::sys;
use std::cell::{Cell, RefCell};
use std::pin::pin;
use std::time::Duration;

/// A timer that is later than this is worth a look at why.
const HELD_UP: Duration = Duration::from_millis(250);

/// A wait is made in steps of a quarter of what is left of it, or of this.
const LEAST_STEP: Duration = Duration::from_millis(500);

/// How often the time that init was ready to run is looked at.
const SAMPLED: Duration = Duration::from_millis(50);

/// This moment.
pub fn now() -> Mono {
    Mono::new(sys::clock::monotonic())
}

/// Waits until `deadline`; for ever without one.
pub async fn until(deadline: Option<Mono>) {
    let Some(deadline) = deadline else { return std::future::pending().await };
    loop {
        sample();
        let began = now();
        let left = deadline.since(began);
        if left.is_zero() {
            return;
        }
        let step = left.min(LEAST_STEP.max(left / 4));
        tokio::time::sleep(step).await;
        woke(began.after(step));
    }
}

/// How much time was lost to freezes so far.
pub fn lost() -> Duration {
    PACE.with_borrow(|pace| pace.lost)
}

/// Since the moment `expected` the container was frozen, and nobody in it could answer by then.
pub fn slept_through(expected: Mono) -> bool {
    woke(expected);
    PACE.with_borrow(|pace| pace.thawed.is_some_and(|thawed| thawed > expected))
}

/// A time limit that counts from now.
pub struct Timeout {
    limit: Cell<Limit>,
    /// What had been lost when the limit was looked at last.
    lost: Cell<Duration>,
}

impl Timeout {
    pub fn new(time: Duration) -> Self {
        sample();
        Self { limit: Cell::new(Limit::new(now().after(time))), lost: Cell::new(lost()) }
    }

    /// When it is over, by what is known now.
    pub fn at(&self) -> Mono {
        let mut limit = self.limit.get();
        let all = lost();
        let before = self.lost.replace(all);
        if all > before {
            limit.frozen(all.saturating_sub(before));
            self.limit.set(limit);
        }
        limit.at
    }

    pub fn is_over(&self) -> bool {
        self.at() <= now()
    }
}

/// Waits for `future` for as long as `limit`; `None`: in vain.
pub async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let limit = Timeout::new(limit);
    while !limit.is_over() {
        tokio::select! {
            biased;
            output = future.as_mut() => return Some(output),
            () = until(Some(limit.at())) => {}
        }
    }
    None
}

thread_local! {
    static PACE: RefCell<Pace> = RefCell::new(Pace::new(Sample::now()));
}

/// How long init had run or been ready to run by a moment.
#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Mono,
    runnable: Duration,
}

impl Sample {
    fn now() -> Self {
        Self { at: now(), runnable: sys::clock::runnable() }
    }
}

/// Whether time goes by as it should.
#[derive(Debug)]
struct Pace {
    /// The last two, so that one of them was before a timer that is late, whoever wakes up first.
    samples: [Sample; 2],
    /// Until when delays have been judged: several timers are late because of one freeze.
    judged: Mono,
    lost: Duration,
    /// When the last freeze ended.
    thawed: Option<Mono>,
}

impl Pace {
    const fn new(first: Sample) -> Self {
        Self { samples: [first; 2], judged: first.at, lost: Duration::ZERO, thawed: None }
    }

    fn push(&mut self, sample: Sample) {
        self.samples = [self.samples[1], sample];
    }

    /// A timer of `expected` fired at `sample`.
    fn woke(&mut self, expected: Mono, sample: Sample) {
        let from = expected.max(self.judged);
        let [older, newer] = self.samples;
        let before = if newer.at <= from { newer } else { older };
        let runnable = sample.runnable.saturating_sub(before.runnable);
        let lost = sample.at.since(from).saturating_sub(runnable);
        if lost > HELD_UP {
            self.lost = self.lost.saturating_add(lost);
            self.thawed = Some(sample.at);
        }
        self.judged = sample.at;
        self.push(sample);
    }
}

fn sample() {
    PACE.with_borrow_mut(|pace| {
        if now().since(pace.samples[1].at) >= SAMPLED {
            pace.push(Sample::now());
        }
    });
}

fn woke(expected: Mono) {
    if now().since(expected) > HELD_UP {
        PACE.with_borrow_mut(|pace| pace.woke(expected, Sample::now()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::new(Duration::from_millis(millis))
    }

    fn sample(millis: u64, runnable: u64) -> Sample {
        Sample { at: at(millis), runnable: Duration::from_millis(runnable) }
    }

    #[test]
    fn a_late_timer_means_a_freeze_unless_init_waited_for_a_processor() {
        let mut pace = Pace::new(sample(0, 7));
        pace.woke(at(100), sample(1100, 7));
        assert_eq!(pace.lost, Duration::from_secs(1));
        // The CPU quota is used up.
        pace.woke(at(2000), sample(2800, 807));
        assert_eq!((pace.lost, pace.thawed), (Duration::from_secs(1), Some(at(1100))));
        // Frozen, and the processor is busy after the thaw.
        pace.woke(at(3000), sample(5000, 1307));
        assert_eq!(pace.lost, Duration::from_millis(2500));
    }

    #[test]
    fn timers_that_are_late_because_of_one_freeze_count_it_once() {
        let mut pace = Pace::new(sample(0, 0));
        pace.woke(at(100), sample(1100, 0));
        pace.woke(at(50), sample(1101, 0));
        pace.woke(at(800), sample(1102, 0));
        assert_eq!(pace.lost, Duration::from_secs(1));
    }
}
