//! What an end makes of an instance.
//!
//! *Policy*, decided by uptime rather than exit code: `never`, and `on-failure` after a success, end in EXITED. A run of at least
//! `reset-after` forgives earlier failures; when it also ended well it restarts at once and counts for nothing. Any
//! other end is a failure: the first in a row of an instance that was RUNNING restarts at once, the k-th waits
//! `initial · factor^(k−1)`, and one beyond the limit of `give-up` is FATAL: within its time, or of attempts in a row that did
//! not get as far as RUNNING, however long each of them took.

use super::{Cause, Instance, Next, Outcome};
use crate::config::plan::{Backoff, Restart, Signal};
use crate::exit;
use crate::supervisor::backoff::delay;
use crate::supervisor::event::{ExitStatus, Severity, SpawnFault};
use crate::supervisor::reason::Ending;
use crate::supervisor::spec::{Spec, State, Want};
use crate::supervisor::turn::Turn;
use crate::supervisor::words::Words;
use std::time::Duration;

impl Instance {
    pub fn spawn_failed(&mut self, spec: &Spec, fault: SpawnFault, turn: &mut Turn<'_>) {
        self.end_probe(turn);
        if !self.process.spawn_failed() {
            return;
        }
        let words = match fault.code {
            exit::NOT_FOUND => {
                "could not be started: the program, or the interpreter that it names, was not found"
                    .to_owned()
            }
            exit::NOT_EXECUTABLE => {
                "could not be started: the program may not be executed there or as that user".to_owned()
            }
            code => format!("could not be started (code {code})"),
        };
        let outcome = Outcome { words, success: false, code: fault.code.max(exit::FAILED) };
        if self.state == State::Stopping {
            self.keep(outcome);
            return self.ended(spec, turn);
        }
        self.last = Some(outcome);
        self.cause = Cause::Start;
        // A program that is not there does not come by waiting, and `never` asks for one run.
        let hopeless = matches!(fault.code, exit::NOT_FOUND | exit::NOT_EXECUTABLE);
        if self.want == Want::Down {
            self.enter(State::Stopped, None, turn);
        } else if hopeless && spec.restart == Restart::Never {
            self.fatal(turn);
        } else {
            self.failed(spec, false, turn);
        }
    }

    pub fn exited(
        &mut self,
        spec: &Spec,
        status: ExitStatus,
        oom: bool,
        leftovers: bool,
        turn: &mut Turn<'_>,
    ) {
        self.end_probe(turn);
        let killed = self.process.killed();
        let told = self.process.ending_since();
        let uptime = turn.now.since(self.process.started());
        if !self.process.exited(leftovers, spec.stop_timeout, turn) {
            return;
        }
        let ending = Ending { program: spec.program, status, oom, uptime };
        if self.state == State::Stopping {
            self.keep(stopped(spec, ending, killed, turn.now.since(told.unwrap_or(turn.now))));
            if self.process.gone() {
                self.ended(spec, turn);
            }
            return;
        }
        let reached = self.state == State::Running;
        self.cause = match status {
            _ if oom => Cause::Oom,
            ExitStatus::Code(_) => Cause::Exit,
            ExitStatus::Signal(_) => Cause::Signal,
        };
        // Who asked for the signal need not be told where it came from.
        let asked = matches!((status, self.asked), (ExitStatus::Signal(by), Some(asked)) if by == asked);
        let words = if asked { ending.asked() } else { ending.words() };
        self.last = Some(Outcome { words, success: status.success(), code: status.code() });
        if self.want == Want::Down {
            // The stop had not come to it yet; it is too late to restart it.
            let severity = if status.success() { Severity::Info } else { Severity::Warn };
            self.tell_last(severity, ", before the stop came to it", turn);
            self.enter(State::Stopped, None, turn);
        } else {
            self.after_run(spec, reached, uptime, turn);
        }
    }

    /// Keeps how a stop ended, unless the reason for the stop is what people must know.
    fn keep(&mut self, outcome: Outcome) {
        if self.next != Next::Fatal {
            self.last = Some(outcome);
        }
    }

    fn after_run(&mut self, spec: &Spec, reached: bool, uptime: Duration, turn: &mut Turn<'_>) {
        let success = self.last.as_ref().is_some_and(|last| last.success);
        if spec.restart == Restart::Never || (spec.restart == Restart::OnFailure && success) {
            let severity = if success { Severity::Info } else { Severity::Error };
            self.tell_last(severity, "", turn);
            return self.enter(State::Exited, None, turn);
        }
        let healthy = reached && uptime >= spec.backoff.reset_after.max(Backoff::LEAST_RESET);
        if healthy {
            self.failures = 0;
        }
        if reached {
            self.unready = 0;
        }
        if healthy && success {
            self.tell_last(Severity::Info, "; restarting", turn);
            return self.enter(State::Backoff, Some(turn.now), turn);
        }
        self.failed(spec, reached, turn);
    }

    /// A run, or the attempt at one, failed: BACKOFF, or FATAL when it failed too often.
    fn failed(&mut self, spec: &Spec, reached: bool, turn: &mut Turn<'_>) {
        self.failures = self.failures.saturating_add(1);
        self.unready = if reached { 0 } else { self.unready.saturating_add(1) };
        if let Some(limit) = &spec.give_up {
            let often = self.recent.one_more(limit, turn.now);
            let why = match often {
                true => format!("more than {} restarts in {}", limit.restarts, Words(limit.within)),
                false => format!("it was not ready in {} attempts in a row", self.unready),
            };
            if often || self.unready > limit.restarts {
                self.tell_last(Severity::Error, &format!("; giving up, {why}"), turn);
                return self.enter(State::Fatal, None, turn);
            }
        }
        if self.failures == 1 && reached {
            self.tell_last(Severity::Warn, "; restarting at once", turn);
            return self.enter(State::Backoff, Some(turn.now), turn);
        }
        let wait = delay(&spec.backoff, self.failures, turn.dice);
        let row = match self.failures {
            1 => String::new(),
            row => format!(" ({row} failures in a row)"),
        };
        self.tell_last(Severity::Warn, &format!("; restarting in {}{row}", Words(wait)), turn);
        self.enter(State::Backoff, Some(turn.now.after(wait)), turn);
    }

    fn fatal(&mut self, turn: &mut Turn<'_>) {
        self.tell_last(Severity::Error, "; it stays down", turn);
        self.enter(State::Fatal, None, turn);
    }

    /// What it requires failed for good: it cannot go on either.
    pub fn suffer(&mut self, spec: &Spec, dependency: &str, code: u8, turn: &mut Turn<'_>) {
        let told = self.state == State::Stopping && self.next == Next::Fatal;
        if told || self.state.is_final() || self.halted() {
            return;
        }
        let words = format!("it requires {dependency}, which failed for good");
        let outcome = Outcome { words, success: false, code: code.max(exit::FAILED) };
        if self.process.has_main() {
            turn.tell(Severity::Error, self.id(), format!("stopping: {}", outcome.words));
            self.stop(spec, Next::Fatal, turn.now.after(spec.stop_timeout), turn);
            self.last = Some(outcome);
        } else {
            self.last = Some(outcome);
            self.fatal(turn);
            self.lost = true;
        }
    }

    pub fn group_empty(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        self.process.group_empty();
        if self.state == State::Stopping && self.process.gone() {
            self.ended(spec, turn);
        }
    }

    /// A stop is complete.
    pub(super) fn ended(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        let blame = self.blame.take();
        match self.next {
            Next::Down => {
                self.tell_last(Severity::Info, "", turn);
                self.enter(State::Stopped, None, turn);
            }
            Next::Restart => {
                self.tell_last(Severity::Info, "; starting it again", turn);
                self.enter(State::Stopped, None, turn);
            }
            Next::Failed => {
                let (words, uptime) =
                    blame.map_or_else(Default::default, |blame| (blame.words, blame.uptime));
                self.last = Some(Outcome { words, success: false, code: exit::FAILED });
                match uptime {
                    Some(uptime) => self.after_run(spec, true, uptime, turn),
                    None => self.failed(spec, false, turn),
                }
            }
            Next::Fatal => {
                self.enter(State::Fatal, None, turn);
                self.lost = true;
            }
        }
    }
}

/// The end of a stop in words: plain when it ended as asked, with the reason otherwise.
fn stopped(spec: &Spec, ending: Ending, killed: bool, took: Duration) -> Outcome {
    let asked = [0, exit::of_signal(spec.manner.signal.number()), exit::of_signal(Signal::TERM.number())];
    let code = ending.status.code();
    let (took, up) = (Words(took), Words(ending.uptime));
    let words = if killed {
        format!("ended by SIGKILL after {took}, was up for {up}")
    } else if asked.contains(&code) {
        format!("stopped in {took}, was up for {up}")
    } else {
        format!("stopped in {took}, but {}", ending.words())
    };
    Outcome { words, success: !killed && asked.contains(&code), code }
}
