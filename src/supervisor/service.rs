//! One instance of a service: the seven states, and what each event makes of them.
//!
//! | state | meaning | leaves it by |
//! |---|---|---|
//! | STOPPED | not started: before boot, waiting for its turn or its dependencies, held by a pause, or stopped | its turn; a request |
//! | STARTING | asked for or alive, not ready yet | probe or grace: RUNNING; end: policy; ready deadline: STOPPING |
//! | RUNNING | alive and ready | end: policy; liveness probe: STOPPING |
//! | BACKOFF | ended, waits for its next start | delay and group gone: STARTING |
//! | STOPPING | told to end, or its leftovers are being ended | all gone: what follows the stop |
//! | EXITED | ended for good as its restart policy says | a request, a plan that changes it after a failure |
//! | FATAL | failed for good: gave up, cannot be started, or a service that it requires failed | the same |
//!
//! A request stops an instance from any of these, and starts it from any: while the container is up, `Want::Down` means
//! stopped by request, or without room in the plan any more.
//!
//! | file | what |
//! |---|---|
//! | `ending` | what an end makes of it: the restart policy, giving up, what follows a stop |
//! | `probes` | readiness and liveness |
//! | `requests` | start, stop, restart, signal, pause and another plan |

mod ending;
mod probes;
mod requests;

use super::backoff::Failures;
use super::causes::{Cause, Restarts};
use super::event::{Id, Mono, Severity};
use super::process::Process;
use super::reason::Program;
use super::spec::{Spec, State, Want};
use super::turn::{Turn, nearer};
use crate::config::plan::Signal;
use probes::{Probing, Pulse};
use std::time::Duration;

/// What follows a stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// STOPPED.
    Down,
    /// STARTING again: a reload, or a request.
    Restart,
    /// As after a failed run: it never became ready, or its liveness probe failed.
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

/// A failure that init found out about while the process lived.
#[derive(Clone, Debug)]
struct Blame {
    words: String,
    /// For how long it had been up, when it had been RUNNING.
    uptime: Option<Duration>,
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
    /// Attempts in a row that did not get as far as RUNNING.
    pub unready: u32,
    pub restarts: Restarts,
    pub last: Option<Outcome>,
    /// A reload is to restart it.
    pub stale: bool,
    /// The plan has no room for it any more: it goes when it is down.
    pub surplus: bool,
    /// It has had the pause signal.
    pub paused: bool,
    /// FATAL because of what it requires.
    lost: bool,
    probing: Option<Probing>,
    /// What the liveness probe has found.
    pulse: Pulse,
    /// Why it is stopped, when that is a failure.
    blame: Option<Blame>,
    /// Why the next start is one.
    cause: Cause,
    /// The last signal that somebody had sent to it.
    asked: Option<Signal>,
    /// When it was told to reload itself.
    pub reloaded: Option<Mono>,
    started_once: bool,
    recent: Failures,
}

/// PHP-FPM replaces itself at a reload once its requests have ended, and a QUIT that comes between its last look and
/// execvp(2) is gone with the old program (php-src sapi/fpm/fpm/fpm_signals.c blocks USR1, USR2 and CHLD alone): the new one
/// would serve on until TERM cuts what it is at. A second QUIT changes nothing for one that has heard the first. This is
/// for how long after a reload it may be replacing itself.
const REPLACES: Duration = Duration::from_secs(120);

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
            unready: 0,
            restarts: Restarts::default(),
            last: None,
            stale: false,
            surplus: false,
            paused: false,
            lost: false,
            probing: None,
            pulse: Pulse::default(),
            blame: None,
            cause: Cause::Exit,
            asked: None,
            reloaded: None,
            started_once: false,
            recent: Failures::default(),
        }
    }

    fn id(&self) -> Id {
        self.process.id
    }

    fn enter(&mut self, state: State, timer: Option<Mono>, turn: &mut Turn<'_>) {
        if self.state == State::Running && state != State::Running {
            self.unwatch(turn);
        }
        self.state = state;
        self.since = turn.now;
        self.timer = timer;
        self.lost = false;
    }

    /// It has, or is about to have, a process that nobody told to end.
    pub const fn is_up(&self) -> bool {
        matches!(self.state, State::Starting | State::Running)
    }

    /// Stopped by request, or on the way there; only told from other reasons while the container is up.
    pub fn halted(&self) -> bool {
        self.want == Want::Down
    }

    /// The moment from which it may start, once nothing of an earlier run is left.
    pub fn startable(&self) -> Option<Mono> {
        let waits = matches!(self.state, State::Stopped | State::Backoff) && self.want == Want::Up;
        self.timer.filter(|_| waits && self.process.gone())
    }

    pub fn start(&mut self, turn: &mut Turn<'_>) {
        if self.started_once {
            self.restarts.count(self.cause);
        }
        self.started_once = true;
        self.stale = false;
        self.paused = false;
        self.asked = None;
        self.reloaded = None;
        self.pulse = Pulse::default();
        self.enter(State::Starting, None, turn);
        self.process.ask(turn);
    }

    pub fn spawned(&mut self, spec: &Spec, pid: i32, turn: &mut Turn<'_>) {
        if !self.process.spawned(pid, turn) || self.state != State::Starting || self.want == Want::Down {
            return;
        }
        turn.tell(Severity::Info, self.id(), format!("started, pid {pid}"));
        self.await_ready(spec, turn);
    }

    /// Ends the process, if there is one. A stop under way goes on, with what now follows it.
    pub fn stop(&mut self, spec: &Spec, next: Next, kill_at: Mono, turn: &mut Turn<'_>) {
        match self.state {
            State::Starting | State::Running => {
                self.end_probe(turn);
                self.next = next;
                self.enter(State::Stopping, None, turn);
                self.process.end(spec.manner, kill_at, turn);
                let reloaded = self.reloaded.is_some_and(|at| turn.now.since(at) < REPLACES);
                if reloaded && spec.program == Program::Fpm {
                    self.process.repeat(turn.now);
                }
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
        self.cut_short(turn);
        self.process.hurry(kill_at, turn);
    }

    /// KILL to the whole group.
    pub fn kill(&mut self, turn: &mut Turn<'_>) {
        self.cut_short(turn);
        self.process.kill(turn);
    }

    fn cut_short(&mut self, turn: &mut Turn<'_>) {
        if self.is_up() {
            self.next = Next::Down;
            self.enter(State::Stopping, None, turn);
        }
    }

    /// The container stops: nothing starts any more. What is alive waits for its turn in the order.
    pub fn unwant(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        self.want = Want::Down;
        self.stale = false;
        self.unwatch(turn);
        match self.state {
            State::Stopped | State::Backoff => self.stop(spec, Next::Down, turn.now, turn),
            State::Starting => {
                self.end_probe(turn);
                self.timer = None;
            }
            State::Stopping => self.next = Next::Down,
            State::Running | State::Exited | State::Fatal => {}
        }
    }

    pub fn tick(&mut self, spec: &Spec, turn: &mut Turn<'_>) {
        let was_gone = self.process.gone();
        self.process.tick(turn);
        if self.state == State::Stopping && !was_gone && self.process.gone() {
            self.ended(spec, turn);
        }
        let due = self.timer.is_some_and(|at| at <= turn.now);
        if due && self.state == State::Starting && self.process.alive() {
            self.waited(spec, turn);
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
