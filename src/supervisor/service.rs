//! One instance of a service: the seven states, and what each event makes of them.
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | STOPPED | not started: before boot, waiting for its turn or its dependencies, or stopped | its turn |
//! | STARTING | asked for or alive, not ready yet | probe or grace: RUNNING; end: policy; ready deadline: STOPPING |
//! | RUNNING | alive and ready | end: policy |
//! | BACKOFF | ended, waits for its next start | delay and group gone: STARTING |
//! | STOPPING | told to end, or its leftovers are being ended | all gone: what follows the stop |
//! | EXITED | ended for good as its restart policy says | – |
//! | FATAL | failed for good: gave up, cannot be started, or a service that it requires failed | – |
//!
//! *Policy*, decided by uptime rather than exit code: `never`, and `on-failure` after a success, end in EXITED. A run of at least
//! `reset-after` forgives earlier failures; when it also ended well it restarts at once and counts for nothing. Any
//! other end is a failure: the first in a row of an instance that was RUNNING restarts at once, the k-th waits
//! `initial · factor^(k−1)`, and one beyond the limit of `give-up` is FATAL.

use super::backoff::{Failures, delay};
use super::event::{Action, ExitStatus, Id, Mono, Severity, SpawnFault};
use super::process::Process;
use super::reason::Ending;
use super::spec::{Spec, State, Want};
use super::turn::{Turn, nearer};
use super::words::Words;
use crate::config::plan::{Restart, Signal};
use crate::exit;
use std::time::Duration;

/// The least uptime that forgives failures, whatever the plan says: `reset-after = "0s"` would never back off.
const LEAST_HEALTHY: Duration = Duration::from_millis(100);

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// STOPPED.
    Down,
    /// STARTING again: a reload.
    Restart,
    /// As after a failed run: it never became ready.
    Failed,
    /// FATAL: what it requires failed.
    Fatal,
}

/// How the last run, or the attempt at one, ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub words: String,
    pub success: bool,
    /// What the container exits with when this ends it.
    pub code: u8,
}

#[derive(Clone, Debug)]
pub(super) struct Instance {
    pub process: Process,
    pub state: State,
    pub want: Want,
    pub since: Mono,
    /// STARTING: when the probe's deadline or the grace ends. STOPPED, BACKOFF: from when it may start.
    pub timer: Option<Mono>,
    pub next: Next,
    /// Failures in a row.
    pub failures: u32,
    pub restarts: u32,
    pub last: Option<Outcome>,
    /// A reload is to restart it.
    pub stale: bool,
    started_once: bool,
    recent: Failures,
}

impl Instance {
    pub fn new(id: Id) -> Self {
        Self {
            process: Process::new(id),
            state: State::Stopped,
            want: Want::Down,
            since: Mono::default(),
            timer: None,
            next: Next::Down,
            failures: 0,
            restarts: 0,
            last: None,
            stale: false,
            started_once: false,
            recent: Failures::default(),
        }
    }

    fn id(&self) -> Id {
        self.process.id
    }

    fn enter(&mut self, state: State, timer: Option<Mono>, turn: &Turn<'_>) {
        self.state = state;
        self.since = turn.now;
        self.timer = timer;
    }

    /// The moment from which it may start, once nothing of an earlier run is left.
    pub fn startable(&self) -> Option<Mono> {
        let waits = matches!(self.state, State::Stopped | State::Backoff) && self.want == Want::Up;
        self.timer.filter(|_| waits && self.process.gone())
    }

    pub fn start(&mut self, turn: &mut Turn<'_>) {
        if self.started_once {
            self.restarts = self.restarts.saturating_add(1);
        }
        self.started_once = true;
        self.stale = false;
        self.enter(State::Starting, None, turn);
        self.process.ask(turn);
    }

    pub fn spawned(&mut self, spec: &Spec, pid: i32, turn: &mut Turn<'_>) {
        if !self.process.spawned(pid, turn) || self.state != State::Starting || self.want == Want::Down {
            return;
        }
        turn.tell(Severity::Info, self.id(), format!("started, pid {pid}"));
        let wait = match spec.ready_within {
            Some(deadline) => {
                turn.act(Action::StartProbe { id: self.id() });
                deadline
            }
            None => spec.start_grace,
        };
        self.timer = Some(turn.now.after(wait));
    }

    pub fn spawn_failed(&mut self, spec: &Spec, fault: SpawnFault, turn: &mut Turn<'_>) {
        self.end_probe(spec, turn);
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

    /// The probe answered. Only a first success counts.
    pub fn probe(&mut self, spec: &Spec, ok: bool, turn: &mut Turn<'_>) {
        if ok && self.state == State::Starting && self.probing(spec) {
            let took = Words(turn.now.since(self.process.started()));
            turn.act(Action::StopProbe { id: self.id() });
            turn.tell(Severity::Info, self.id(), format!("ready after {took}"));
            self.enter(State::Running, None, turn);
        }
    }

    fn probing(&self, spec: &Spec) -> bool {
        spec.ready_within.is_some() && self.process.alive() && self.timer.is_some()
    }

    fn end_probe(&self, spec: &Spec, turn: &mut Turn<'_>) {
        if self.state == State::Starting && self.probing(spec) {
            turn.act(Action::StopProbe { id: self.id() });
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
        self.end_probe(spec, turn);
        let killed = self.process.killed();
        let told = self.process.ending_since();
        let uptime = turn.now.since(self.process.started());
        if !self.process.exited(leftovers, turn) {
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
        self.last = Some(Outcome { words: ending.words(), success: status.success(), code: status.code() });
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
        let healthy = reached && uptime >= spec.backoff.reset_after.max(LEAST_HEALTHY);
        if healthy {
            self.failures = 0;
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
        if let Some(limit) = &spec.give_up
            && self.recent.one_more(limit, turn.now)
        {
            let text =
                format!("; giving up, more than {} restarts in {}", limit.restarts, Words(limit.within));
            self.tell_last(Severity::Error, &text, turn);
            return self.enter(State::Fatal, None, turn);
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
    pub fn lost(&mut self, spec: &Spec, dependency: &str, code: u8, turn: &mut Turn<'_>) {
        if self.state.is_final() || (self.state == State::Stopping && self.next == Next::Fatal) {
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
        }
    }

    /// Ends the process, if there is one. A stop under way goes on, with what now follows it.
    pub fn stop(&mut self, spec: &Spec, next: Next, kill_at: Mono, turn: &mut Turn<'_>) {
        match self.state {
            State::Starting | State::Running => {
                self.end_probe(spec, turn);
                self.next = next;
                self.enter(State::Stopping, None, turn);
                self.process.end(spec.manner, kill_at, turn);
            }
            State::Stopping => {
                self.next = next;
                self.process.end(spec.manner, kill_at, turn);
            }
            State::Stopped | State::Backoff => self.enter(State::Stopped, None, turn),
            State::Exited | State::Fatal => {}
        }
    }

    /// TERM to the whole group at once, whatever its turn.
    pub fn hurry(&mut self, kill_at: Mono, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Starting | State::Running) {
            self.next = Next::Down;
            self.enter(State::Stopping, None, turn);
        }
        self.process.hurry(kill_at, turn);
    }

    /// KILL to the whole group.
    pub fn kill(&mut self, turn: &mut Turn<'_>) {
        if matches!(self.state, State::Starting | State::Running) {
            self.next = Next::Down;
            self.enter(State::Stopping, None, turn);
        }
        self.process.kill(turn);
    }

    /// The container stops: nothing starts any more. What is alive waits for its turn in the order.
    pub fn unwant(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        self.want = Want::Down;
        self.stale = false;
        match self.state {
            State::Stopped | State::Backoff => self.stop(spec, Next::Down, turn.now, turn),
            State::Starting if self.probing(spec) => {
                turn.act(Action::StopProbe { id: self.id() });
                self.timer = None;
            }
            State::Starting => self.timer = None,
            State::Stopping => self.next = Next::Down,
            State::Running | State::Exited | State::Fatal => {}
        }
    }

    pub fn group_empty(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        self.process.group_empty();
        if self.state == State::Stopping && self.process.gone() {
            self.ended(spec, turn);
        }
    }

    /// A stop is complete.
    fn ended(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
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
                let deadline = spec.ready_within.unwrap_or(spec.start_grace);
                let words = format!("was not ready within {}", Words(deadline));
                self.last = Some(Outcome { words, success: false, code: exit::FAILED });
                self.failed(spec, false, turn);
            }
            Next::Fatal => self.enter(State::Fatal, None, turn),
        }
    }

    pub fn tick(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        let was_gone = self.process.gone();
        self.process.tick(turn);
        if self.state == State::Stopping && !was_gone && self.process.gone() {
            self.ended(spec, turn);
        }
        let due = self.timer.is_some_and(|at| at <= turn.now);
        if !(due && self.state == State::Starting && self.process.alive()) {
            return;
        }
        if let Some(deadline) = spec.ready_within {
            let text = format!("not ready within {}: stopping it to try again", Words(deadline));
            turn.tell(Severity::Warn, self.id(), text);
            self.stop(spec, Next::Failed, turn.now.after(spec.stop_timeout), turn);
        } else {
            self.enter(State::Running, None, turn);
        }
    }

    /// When [`Instance::tick`] has something to do.
    pub fn deadline(&self) -> Option<Mono> {
        let own = self.timer.filter(|_| self.state == State::Starting && self.process.alive());
        nearer(own, self.process.deadline())
    }

    fn tell_last(&self, severity: Severity, then: &str, turn: &mut Turn<'_>) {
        let words = self.last.as_ref().map_or("never started", |last| last.words.as_str());
        turn.tell(severity, self.id(), format!("{words}{then}"));
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
