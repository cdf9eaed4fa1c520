//! When a task asks, and what it makes of the answers.

use super::command::Runner;
use super::told::{self, Told};
use super::{Line, Message};
use crate::config::plan::{LivePlan, ProbePlan, ReadyPlan};
use crate::probe::{self, Address, Outcome};
use crate::runtime::clock;
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::{self, Pid, proc};
use std::rc::Rc;
use std::time::Duration;

/// The pause after the first attempt; it doubles up to the plan's interval. PHP-FPM is up within some 30 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
/// A service that takes long is asked less and less often, but never less than this: each question may be a request to PHP,
/// and a line in its log.
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Asks until the answer is yes often enough.
pub(super) async fn until_ready(line: Line, name: String, plan: ReadyPlan, told: Rc<Told>) {
    let began = clock::now();
    match plan.probe {
        ProbePlan::Notify | ProbePlan::NotifyFd { .. } => {
            // Once, and in time before the deadline, so that a service that never gets ready leaves a trace of why.
            let early = tokio::time::timeout(plan.deadline / 3, told.until_ready()).await;
            if early.is_err() {
                tracing::warn!(service = %name, "not ready after {}: {}", since(began), silence(&plan.probe));
                told.until_ready().await;
            }
        }
        _ => return ask(&line, &name, &plan, began).await,
    }
    // It says so once, which counts as often as is asked for.
    for _ in 0..plan.successes {
        line.say(Message::Ready { ok: true }).await;
    }
}

fn silence(probe: &ProbePlan) -> String {
    match probe {
        ProbePlan::NotifyFd { fd } => format!("it has written no line feed to descriptor {fd}"),
        _ => "it has sent no READY=1 to NOTIFY_SOCKET".to_owned(),
    }
}

async fn ask(line: &Line, name: &str, plan: &ReadyPlan, began: Mono) {
    let mut asker = Asker::new(line.clone(), plan.probe.clone(), plan.timeout);
    let (mut pause, mut told, mut successes) = (FIRST_PAUSE, false, 0_u32);
    loop {
        let why = match asker.attempt().await {
            outcome @ (Outcome::Ready | Outcome::ReadyBut(_)) => {
                successes = successes.saturating_add(1);
                if successes >= plan.successes {
                    warm_up(name, plan).await;
                }
                line.say(Message::Ready { ok: true }).await;
                if successes >= plan.successes {
                    if let Outcome::ReadyBut(but) = outcome {
                        tracing::warn!(service = %name, "{but}");
                    }
                    return;
                }
                None
            }
            Outcome::NotReady(why) | Outcome::Degraded(why) => Some(why),
        };
        if let Some(why) = why {
            if std::mem::take(&mut successes) > 0 {
                line.say(Message::Ready { ok: false }).await;
            }
            if !told && clock::now().since(began) >= plan.deadline / 3 {
                told = true;
                tracing::warn!(service = %name, "not ready after {}: {why}", since(began));
            }
        }
        tokio::time::sleep(pause).await;
        pause = next_pause(pause, plan.interval, clock::now().since(began));
    }
}

/// Doubles up to the plan's interval, and from then on is a tenth of the time that has passed.
fn next_pause(pause: Duration, interval: Duration, passed: Duration) -> Duration {
    pause.saturating_mul(2).min(interval.max(LONGEST_PAUSE.min(passed / 10)))
}

/// Compiles what the plan names. Whatever comes of it, the service is ready: without it the first visitors wait longer.
async fn warm_up(name: &str, plan: &ReadyPlan) {
    let (Some(warm_up), ProbePlan::FastCgi { address, .. }) = (&plan.warm_up, &plan.probe) else { return };
    let began = clock::now();
    let done = match Address::parse(address) {
        Ok(address) => {
            let most = warm_up.budget.saturating_add(ReadyPlan::WARM_UP_SLACK);
            let whole = tokio::time::timeout(most, probe::warm_up::warm_up(&address, warm_up));
            whole.await.unwrap_or_else(|_| Err(format!("no answer within {}", Words(most))))
        }
        Err(error) => Err(error.to_string()),
    };
    match done {
        Ok(report) if report.is_complete() => {
            tracing::info!(service = %name, "opcache warm-up: {report} in {}", since(began));
        }
        Ok(report) => tracing::warn!(service = %name, "opcache warm-up: {report} in {}", since(began)),
        Err(why) => tracing::warn!(service = %name, "opcache warm-up: {why}"),
    }
}

fn since(began: Mono) -> String {
    Words(clock::now().since(began)).to_string()
}

/// Makes attempts, one at a time.
struct Asker {
    probe: ProbePlan,
    timeout: Duration,
    runner: Runner,
}

impl Asker {
    fn new(line: Line, probe: ProbePlan, timeout: Duration) -> Self {
        Self { probe, timeout, runner: Runner::new(line, timeout) }
    }

    async fn attempt(&mut self) -> Outcome {
        match self.probe {
            ProbePlan::Command { .. } => self.runner.attempt().await,
            _ => self.ask().await,
        }
    }

    async fn ask(&self) -> Outcome {
        let timeout = clock::Timeout::new(self.timeout);
        let outcome = probe::attempt(&self.probe, self.timeout).await;
        if outcome.is_ready() || !clock::slept_through(timeout.at()) {
            return outcome;
        }
        // Who was frozen could not answer in time, and is asked once more.
        probe::attempt(&self.probe, self.timeout).await
    }
}

/// Asks for ever whether the instance lives.
pub(super) async fn watch(line: Line, name: String, plan: LivePlan, told: Rc<Told>, pid: Option<Pid>) {
    let mut verdict =
        Verdict { line: line.clone(), name, told: Rc::clone(&told), unsettled: plan.successes, plan };
    if verdict.plan.probe == ProbePlan::Notify {
        return watchdog(&mut verdict, &told).await;
    }
    let mut asker = Asker::new(line, verdict.plan.probe.clone(), verdict.plan.timeout);
    // Instances that were started together should not ask together.
    tokio::time::sleep(verdict.plan.interval.mul_f64(share(sys::clock::wall()))).await;
    loop {
        let mut outcome = asker.attempt().await;
        if let (Outcome::Degraded(_), Some(pid)) = (&outcome, pid)
            && proc::is_stopped(pid)
        {
            // It will not get to its queue: nobody works there.
            outcome = Outcome::NotReady("its processes are stopped (SIGSTOP), and nobody answers".to_owned());
        }
        verdict.take(outcome).await;
        tokio::time::sleep(verdict.plan.interval).await;
    }
}

/// Half to all of it, by the lowest digits of the clock.
fn share(wall: i128) -> f64 {
    const STEPS: i32 = 1024;
    // Nanoseconds; many clocks count in steps of a microsecond.
    let step = i32::try_from((wall / 1000).rem_euclid(i128::from(STEPS))).unwrap_or_default();
    0.5 + f64::from(step) / f64::from(2 * STEPS)
}

/// Waits for what the service tells, for an interval each time.
async fn watchdog(verdict: &mut Verdict, told: &Told) {
    let interval = verdict.plan.interval;
    loop {
        let outcome = match clock::within(interval, told.until_pinged()).await {
            Some(told::Ping::Alive) => Outcome::Ready,
            Some(told::Ping::Trigger) => {
                // It asks for what follows: there is nothing to count.
                for _ in 0..verdict.plan.failures {
                    verdict.take(Outcome::NotReady("it sent WATCHDOG=trigger".to_owned())).await;
                }
                continue;
            }
            None => Outcome::NotReady(format!("it sent no WATCHDOG=1 within {}", Words(interval))),
        };
        verdict.take(outcome).await;
    }
}

/// What came of liveness so far.
struct Verdict {
    line: Line,
    name: String,
    told: Rc<Told>,
    plan: LivePlan,
    /// So many successes the core has to hear before they are no news.
    unsettled: u32,
}

impl Verdict {
    async fn take(&mut self, outcome: Outcome) {
        let degraded = match &outcome {
            Outcome::Degraded(why) => Some(why.clone()),
            _ => None,
        };
        if let Some(change) = self.told.degrade(degraded) {
            let news = !matches!(change, told::Change::Still(_));
            match change {
                told::Change::Worse(why) => tracing::warn!(service = %self.name, "degraded: {why}"),
                told::Change::Still(why) => tracing::debug!(service = %self.name, "still degraded: {why}"),
                told::Change::Better(attempts) => {
                    tracing::info!(service = %self.name, "no longer degraded, after {attempts}");
                }
            }
            if news {
                self.line.say(Message::Changed).await;
            }
        }
        match outcome {
            Outcome::NotReady(why) => {
                self.unsettled = self.plan.successes;
                self.line.say(Message::Live { ok: false, why: Some(why) }).await;
            }
            Outcome::Ready | Outcome::ReadyBut(_) | Outcome::Degraded(_) if self.unsettled > 0 => {
                self.unsettled = self.unsettled.saturating_sub(1);
                self.line.say(Message::Live { ok: true, why: None }).await;
            }
            Outcome::Ready | Outcome::ReadyBut(_) | Outcome::Degraded(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Duration, FIRST_PAUSE, next_pause, share};

    /// When it asks within a time, with this interval.
    fn attempts(interval: u64, within: u64) -> Vec<u64> {
        let (mut now, mut pause, mut all) = (Duration::ZERO, FIRST_PAUSE, vec![0]);
        loop {
            now += pause;
            if now > Duration::from_secs(within) {
                return all;
            }
            all.push(u64::try_from(now.as_millis()).unwrap());
            pause = next_pause(pause, Duration::from_millis(interval), now);
        }
    }

    #[test]
    fn who_takes_long_is_asked_less_often() {
        assert_eq!(attempts(50, 1)[..6], [0, 5, 15, 35, 75, 125]);
        // 3,540 times in 38 s, with a pause of 50 ms and a request that took as long as nothing.
        assert!((60..100).contains(&attempts(50, 38).len()), "{}", attempts(50, 38).len());
        let last = attempts(50, 300);
        assert_eq!(last[last.len() - 1] - last[last.len() - 2], 1000);
        assert_eq!(attempts(2000, 300).len() - 9, 149, "a longer interval is kept");
    }

    #[test]
    fn the_first_attempt_comes_between_half_an_interval_and_a_whole_one() {
        for wall in [i128::MIN, -1, 0, 1_023_000, 1_023_999, 1_024_000, i128::MAX] {
            assert!((0.5..1.0).contains(&share(wall)), "{wall}");
        }
        assert!(share(1_000) > share(0));
    }
}
