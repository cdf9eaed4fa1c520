//! A cron entry and its runs: overlap, jitter, timeouts.
//!
//! What a run leaves behind after it ended by itself is left alone: Laravel's `runInBackground` detaches its tasks
//! on purpose (`Illuminate\Console\Scheduling\CommandBuilder`). They count as orphans and get the grace of a stop. What a run that
//! was stopped leaves behind goes with it.

use super::event::{Action, ExitStatus, Id, Mono, Severity, SpawnFault};
use super::limit::Limit;
use super::process::{Manner, Process};
use super::reason::{Ending, Program};
use super::turn::{Turn, nearer};
use super::words::Words;
use crate::config::plan::{CronPlan, Overlap, Signal, StopScope};
use std::time::Duration;

/// From the stop signal of a run that timed out or is replaced to KILL.
const GRACE: Duration = Duration::from_secs(10);

/// An entry that is due more often than this tells of its successes at debug level only.
const OFTEN: Duration = Duration::from_secs(600);

/// How the runs of an entry ended. What was stopped by request, replaced, or ended by a stop of the container is in none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcomes {
    pub ok: u64,
    /// Those that could not be started among them.
    pub failed: u64,
    /// Stopped beyond their timeout.
    pub timeout: u64,
    /// Due, and not run: because of the overlap rule, or of a pause.
    pub skipped: u64,
}

#[derive(Clone, Debug)]
pub(super) struct Cron {
    unit: u16,
    pub name: String,
    program: Program,
    overlap: Overlap,
    max_running: usize,
    timeout: Option<Duration>,
    jitter: Duration,
    manner: Manner,
    pub runs: Vec<Run>,
    last_run: u32,
    /// A run that jitter holds back.
    held_until: Option<Mono>,
    /// A run that waits for the earlier one to end.
    queued: bool,
    last_due: Option<Mono>,
    often: bool,
    /// How the last run ended, and when.
    pub last: Option<(String, Mono)>,
    pub outcomes: Outcomes,
    /// The plan has it no more.
    pub retired: bool,
    /// The user knows that a pause holds it.
    pause_told: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Run {
    pub process: Process,
    /// When it has run for too long.
    timeout_at: Option<Limit>,
    timed_out: bool,
    /// The last signal that somebody had sent to it.
    asked: Option<Signal>,
}

impl Cron {
    pub fn new(unit: u16, plan: &CronPlan) -> Self {
        Self {
            unit,
            name: plan.name.clone(),
            program: Program::of(&plan.command),
            overlap: plan.overlap,
            max_running: max_running(plan),
            timeout: plan.timeout,
            jitter: plan.jitter,
            manner: Manner { signal: plan.stop_signal, scope: StopScope::Group },
            runs: Vec::new(),
            last_run: 0,
            held_until: None,
            queued: false,
            last_due: None,
            often: false,
            last: None,
            outcomes: Outcomes::default(),
            retired: false,
            pause_told: false,
        }
    }

    /// Another plan has come; the runs go on under the timeout that they began with.
    pub fn replan(&mut self, plan: &CronPlan, retired: bool) {
        self.name.clone_from(&plan.name);
        self.program = Program::of(&plan.command);
        self.overlap = plan.overlap;
        self.max_running = max_running(plan);
        self.timeout = plan.timeout;
        self.jitter = plan.jitter;
        self.manner.signal = plan.stop_signal;
        self.retired = false;
        if retired {
            self.retire();
        }
    }

    /// The plan has it no more: its runs end by themselves.
    pub fn retire(&mut self) {
        self.retired = true;
        self.unwant();
    }

    /// The plan has it no more, and nothing of it runs.
    pub fn over(&self) -> bool {
        self.retired && self.runs.is_empty()
    }

    /// What a notice is about when there is no run.
    pub const fn id(&self) -> Id {
        Id::Run { unit: self.unit, run: 0 }
    }

    /// A pause begins: what waits for its turn is not run.
    pub fn hold(&mut self, turn: &mut Turn<'_>) {
        self.pause_told = false;
        let waiting = [self.held_until.is_some(), self.queued].into_iter().filter(|waits| *waits).count();
        self.unwant();
        for _ in 0..waiting {
            self.due_while_paused(turn);
        }
    }

    /// It is due and the container is paused. Told once for each pause.
    pub fn due_while_paused(&mut self, turn: &mut Turn<'_>) {
        self.skip();
        if !std::mem::replace(&mut self.pause_told, true) {
            turn.tell(Severity::Info, self.id(), "not run while the container is paused");
        }
    }

    fn skip(&mut self) {
        self.outcomes.skipped = self.outcomes.skipped.saturating_add(1);
    }

    /// Somebody wants one run now, without jitter.
    pub fn run_now(&mut self, turn: &mut Turn<'_>) {
        turn.tell(Severity::Info, self.id(), "one run: asked to");
        self.fire(turn);
    }

    /// It is due: now, or a random while later. A run still held back goes first, so none is lost.
    pub fn due(&mut self, turn: &mut Turn<'_>) {
        self.often = self.last_due.is_some_and(|last| turn.now.since(last) < OFTEN);
        self.last_due = Some(turn.now);
        if self.jitter.is_zero() {
            return self.fire(turn);
        }
        if self.held_until.take().is_some() {
            self.fire(turn);
        }
        let wait = turn.dice.up_to(self.jitter);
        self.held_until = Some(turn.now.after(wait));
    }

    fn fire(&mut self, turn: &mut Turn<'_>) {
        if self.runs.len() < self.max_running {
            return self.start(turn);
        }
        let waits = self.overlap == Overlap::Replace || self.overlap == Overlap::Queue;
        if !waits || self.queued {
            self.skip();
        }
        let Some(oldest) = self.runs.first() else { return };
        let (id, age) = (oldest.process.id, Words(turn.now.since(oldest.process.started())));
        match self.overlap {
            Overlap::Allow => {
                let most = self.max_running;
                let text =
                    format!("not started: {most} runs go on already (max-running), the oldest for {age}");
                turn.tell(Severity::Warn, id, text);
            }
            Overlap::Skip => {
                turn.tell(Severity::Info, id, format!("skipped one run: this one has gone on for {age}"));
            }
            Overlap::Queue if self.queued => {
                let text =
                    format!("skipped one run: this one has gone on for {age} and another waits already");
                turn.tell(Severity::Info, id, text);
            }
            Overlap::Queue => {
                self.queued = true;
                turn.tell(Severity::Info, id, format!("the next run waits: this one has gone on for {age}"));
            }
            Overlap::Replace => {
                self.queued = true;
                let fresh = self.runs.iter().any(|run| !run.process.ending());
                if fresh {
                    turn.tell(Severity::Info, id, format!("stopping after {age}: the next run replaces it"));
                }
                let kill_at = turn.now.after(GRACE);
                for run in &mut self.runs {
                    run.stop(self.manner, kill_at, turn);
                }
            }
        }
    }

    fn start(&mut self, turn: &mut Turn<'_>) {
        self.last_run = self.last_run.wrapping_add(1).max(1);
        let mut process = Process::new(Id::Run { unit: self.unit, run: self.last_run });
        process.ask(turn);
        let timeout_at = self.timeout.map(|timeout| Limit::new(turn.now.after(timeout)));
        self.runs.push(Run { process, timeout_at, timed_out: false, asked: None });
    }

    pub fn spawned(&mut self, run: u32, pid: i32, turn: &mut Turn<'_>) {
        let Some(run) = self.find(run) else { return };
        if run.process.spawned(pid, turn) {
            turn.tell(Severity::Debug, run.process.id, format!("started, pid {pid}"));
        }
    }

    pub fn spawn_failed(&mut self, run: u32, fault: SpawnFault, turn: &mut Turn<'_>) {
        let Some(run) = self.find(run) else { return };
        if run.process.spawn_failed() {
            let text = format!("this run could not be started (code {})", fault.code);
            turn.tell(Severity::Warn, run.process.id, text.clone());
            self.last = Some((text, turn.now));
            self.outcomes.failed = self.outcomes.failed.saturating_add(1);
        }
    }

    pub fn exited(&mut self, run: u32, status: ExitStatus, oom: bool, leftovers: bool, turn: &mut Turn<'_>) {
        let (program, often) = (self.program, self.often);
        let Some(run) = self.find(run) else { return };
        let (told, timed_out) = (run.process.ending(), run.timed_out);
        // Who asked for the signal need not be told where it came from.
        let asked = matches!((status, run.asked), (ExitStatus::Signal(by), Some(asked)) if by == asked);
        let uptime = turn.now.since(run.process.started());
        if !run.process.exited(leftovers && told, GRACE, turn) {
            return;
        }
        let ending = Ending { program, status, oom, uptime };
        let (severity, words) = match (told, status.success()) {
            (true, _) => (Severity::Info, format!("stopped: {}", ending.asked())),
            (false, true) if often => (Severity::Debug, ending.words()),
            (false, true) => (Severity::Info, ending.words()),
            (false, false) if asked => (Severity::Warn, ending.asked()),
            (false, false) => (Severity::Warn, ending.words()),
        };
        turn.tell(severity, run.process.id, words.clone());
        self.last = Some((words, turn.now));
        let Outcomes { ok, failed, timeout, .. } = &mut self.outcomes;
        let count = match (told, status.success()) {
            _ if timed_out => timeout,
            (false, true) => ok,
            (false, false) => failed,
            (true, _) => return,
        };
        *count = count.saturating_add(1);
    }

    pub fn group_empty(&mut self, run: u32) {
        if let Some(run) = self.find(run) {
            run.process.group_empty();
        }
    }

    /// Does what is due, drops what has ended.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        for run in &mut self.runs {
            run.tick(self.manner, turn);
        }
        self.runs.retain(|run| !run.process.gone());
    }

    /// Starts what waited. The container is up.
    pub fn advance(&mut self, turn: &mut Turn<'_>) {
        if self.held_until.is_some_and(|at| at <= turn.now) {
            self.held_until = None;
            self.fire(turn);
        }
        if self.queued && self.runs.is_empty() {
            self.queued = false;
            self.start(turn);
        }
    }

    pub fn frozen(&mut self, lost: Duration) {
        let limits = self.runs.iter_mut().filter_map(|run| run.timeout_at.as_mut());
        limits.for_each(|limit| limit.frozen(lost));
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.runs.iter().map(Run::deadline).fold(self.held_until, nearer)
    }

    /// The container stops: what has not started never will.
    pub fn unwant(&mut self) {
        self.held_until = None;
        self.queued = false;
    }

    pub fn stop(&mut self, kill_at: Mono, turn: &mut Turn<'_>) {
        for run in &mut self.runs {
            run.stop(self.manner, kill_at, turn);
        }
    }

    /// Somebody wants one run to end.
    pub fn stop_run(&mut self, run: u32, turn: &mut Turn<'_>) {
        let manner = self.manner;
        let Some(run) = self.find(run).filter(|run| run.process.has_main()) else { return };
        if !run.process.ending() {
            turn.tell(Severity::Info, run.process.id, "stopping: asked to");
        }
        run.stop(manner, turn.now.after(GRACE), turn);
    }

    /// Sends a signal that somebody asked for to the main process of one run.
    pub fn signal_run(&mut self, run: u32, signal: Signal, turn: &mut Turn<'_>) {
        let Some(run) = self.find(run).filter(|run| run.process.alive()) else { return };
        let id = run.process.id;
        run.asked = Some(signal);
        turn.act(Action::Signal { id, signal });
        turn.tell(Severity::Info, id, format!("sent SIG{signal}: asked to"));
    }

    pub fn hurry(&mut self, kill_at: Mono, turn: &mut Turn<'_>) {
        for run in &mut self.runs {
            run.process.hurry(kill_at, turn);
        }
    }

    pub fn kill(&mut self, turn: &mut Turn<'_>) {
        for run in &mut self.runs {
            run.process.kill(turn);
        }
    }

    fn find(&mut self, run: u32) -> Option<&mut Run> {
        let id = Id::Run { unit: self.unit, run };
        self.runs.iter_mut().find(|run| run.process.id == id)
    }
}

fn max_running(plan: &CronPlan) -> usize {
    match plan.overlap {
        Overlap::Allow => usize::from(plan.max_running.max(1)),
        Overlap::Skip | Overlap::Queue | Overlap::Replace => 1,
    }
}

impl Run {
    fn stop(&mut self, manner: Manner, kill_at: Mono, turn: &mut Turn<'_>) {
        self.timeout_at = None;
        self.process.end(manner, kill_at, turn);
    }

    fn tick(&mut self, manner: Manner, turn: &mut Turn<'_>) {
        if self.timeout_at.is_some_and(|limit| limit.at <= turn.now) && self.process.has_main() {
            let age = Words(turn.now.since(self.process.started()));
            turn.tell(
                Severity::Warn,
                self.process.id,
                format!("stopping: it ran for {age}, beyond its timeout"),
            );
            self.timed_out = true;
            self.stop(manner, turn.now.after(GRACE), turn);
        }
        self.process.tick(turn);
    }

    fn deadline(&self) -> Option<Mono> {
        let timeout_at = self.timeout_at.map(|limit| limit.at);
        nearer(timeout_at.filter(|_| self.process.has_main()), self.process.deadline())
    }
}
