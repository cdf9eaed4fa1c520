//! One process and its group, from the request to start it until the last of its group is gone.
//!
//! Shared by instances of services and runs of cron entries, which differ only in when they start and what follows.
//! Two rules live here. A new process never starts beside what an earlier one left: a killed PHP-FPM master leaves
//! workers that hold the port, and its successor would exit 78 for ever. And every ending escalates: the stop signal, TERM to
//! the whole group shortly before the limit, KILL to the whole group at the limit.

use super::event::{Action, Id, Mono, Severity};
use super::turn::{Turn, nearer, part};
use super::words::Words;
use crate::config::plan::{Signal, StopScope};
use std::time::Duration;

/// How long a killed group may take to be gone before its successor starts all the same.
const CLEAR: Duration = Duration::from_secs(2);

/// How long before KILL the whole group gets TERM, unless that was the stop signal: children of a master that hangs
/// may still clean up after themselves. At most a fifth of the time allowed.
const TERM_AHEAD: Duration = Duration::from_secs(1);

/// How long after the stop signal one that may have missed it gets it once more.
const AGAIN: Duration = Duration::from_secs(1);

/// After so long a wait for what a main process left behind is told about: most of it ends at once.
const WORTH_A_LINE: Duration = Duration::from_secs(1);

/// After so long a process that survives SIGKILL is told about.
const STUCK: Duration = Duration::from_secs(10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    /// No process, and nothing left of an earlier one.
    Gone,
    /// The shell was asked for a process and has not answered yet.
    Asked,
    /// The main process lives, with this pid.
    Alive(i32),
    /// The main process ended; others of its group live.
    Leftovers,
}

/// What a stop sends, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Manner {
    pub signal: Signal,
    pub scope: StopScope,
}

impl Manner {
    /// TERM to the whole group: what every stop escalates to.
    pub const TERM: Self = Self { signal: Signal::TERM, scope: StopScope::Group };
}

#[derive(Clone, Debug)]
pub(super) struct Process {
    pub id: Id,
    life: Life,
    /// Since when the main process lives (or was asked for).
    started: Mono,
    ending: Option<Ending>,
    /// When waiting for leftovers that were killed ends.
    clear_by: Option<Mono>,
}

/// A stop under way.
#[derive(Clone, Copy, Debug)]
struct Ending {
    manner: Manner,
    begun: Mono,
    /// When the stop signal is sent once more.
    again_at: Option<Mono>,
    /// When the whole group gets TERM; `None` when it has had it or needs none.
    term_at: Option<Mono>,
    /// The whole group has had TERM.
    term_sent: bool,
    /// When the whole group gets KILL; `None` when it has had it.
    kill_at: Option<Mono>,
    /// When the wait for what the main process left behind is told about.
    left_told_at: Option<Mono>,
    /// When a main process that survives KILL is told about.
    stuck_at: Option<Mono>,
}

impl Ending {
    const fn new(manner: Manner, begun: Mono, kill_at: Option<Mono>) -> Self {
        Self {
            manner,
            begun,
            again_at: None,
            term_at: None,
            term_sent: false,
            kill_at,
            left_told_at: None,
            stuck_at: None,
        }
    }
}

impl Process {
    pub const fn new(id: Id) -> Self {
        Self { id, life: Life::Gone, started: Mono::new(Duration::ZERO), ending: None, clear_by: None }
    }

    /// Nothing lives and nothing was asked for.
    pub fn gone(&self) -> bool {
        self.life == Life::Gone
    }

    /// There is, or is about to be, a main process.
    pub const fn has_main(&self) -> bool {
        matches!(self.life, Life::Asked | Life::Alive(_))
    }

    pub const fn alive(&self) -> bool {
        matches!(self.life, Life::Alive(_))
    }

    /// A stop is under way.
    pub const fn ending(&self) -> bool {
        self.ending.is_some()
    }

    /// KILL was sent because the stop took too long, or is due as soon as the process is there.
    pub fn killed(&self) -> bool {
        self.ending.is_some_and(|ending| ending.kill_at.is_none())
    }

    /// Since when the stop is under way.
    pub fn ending_since(&self) -> Option<Mono> {
        self.ending.map(|ending| ending.begun)
    }

    pub const fn pid(&self) -> Option<i32> {
        match self.life {
            Life::Alive(pid) => Some(pid),
            Life::Gone | Life::Asked | Life::Leftovers => None,
        }
    }

    pub const fn started(&self) -> Mono {
        self.started
    }

    /// Asks for the process. Only when [`Process::gone`].
    pub fn ask(&mut self, turn: &mut Turn<'_>) {
        *self = Self { life: Life::Asked, started: turn.now, ..Self::new(self.id) };
        turn.act(Action::Spawn { id: self.id });
    }

    /// The process is there. One whose stop began in the meantime is stopped at once. False: nobody asked.
    pub fn spawned(&mut self, pid: i32, turn: &mut Turn<'_>) -> bool {
        if self.life != Life::Asked {
            return false;
        }
        self.life = Life::Alive(pid);
        self.started = turn.now;
        match self.ending {
            Some(Ending { kill_at: Some(_), manner, .. }) => self.send_stop(manner, turn),
            Some(_) => self.send_kill(turn),
            None => {}
        }
        true
    }

    /// No process came of it, or one that ended before it became its program; it cannot have left anything behind.
    /// False: nobody asked.
    pub fn spawn_failed(&mut self) -> bool {
        let asked = self.has_main();
        if asked {
            self.forget();
        }
        asked
    }

    /// The main process ended. What is left of its group gets TERM, unless it has had it, and the rest of the time of the
    /// stop under way, at most `grace`; or KILL when there is none. False: there was no main process.
    pub fn exited(&mut self, leftovers: bool, grace: Duration, turn: &mut Turn<'_>) -> bool {
        if !self.has_main() {
            return false;
        }
        if !leftovers {
            self.forget();
            return true;
        }
        self.life = Life::Leftovers;
        match &mut self.ending {
            Some(Ending { kill_at: Some(kill_at), again_at, term_at, term_sent, left_told_at, .. }) => {
                (*again_at, *term_at) = (None, None);
                // A reload gives requests long to finish. What is left serves none, and holds up the successor.
                *kill_at = turn.now.after(grace).min(*kill_at);
                *left_told_at = Some(turn.now.after(WORTH_A_LINE)).filter(|at| *at < *kill_at);
                // What is left cleans up already, perhaps by programs started for it: a second TERM would cut that short.
                if !*term_sent {
                    self.send_stop(Manner::TERM, turn);
                }
            }
            Some(_) | None => self.send_kill(turn),
        }
        true
    }

    /// The last of the leftovers is gone. Late news of an earlier process changes nothing.
    pub fn group_empty(&mut self) {
        if self.life == Life::Leftovers {
            self.forget();
        }
    }

    /// Nothing lives any more. Keeps only when it lived.
    pub fn forget(&mut self) {
        *self = Self { started: self.started, ..Self::new(self.id) };
    }

    /// Begins a stop that ends with KILL at `kill_at`; brings the end of one under way forward to it.
    pub fn end(&mut self, manner: Manner, kill_at: Mono, turn: &mut Turn<'_>) {
        match &mut self.ending {
            Some(Ending { kill_at: Some(earlier), term_at, .. }) => {
                *earlier = kill_at.min(*earlier);
                *term_at = term_at.map(|at| at.min(term_before(kill_at, turn.now)));
            }
            // Already killed; or nothing is there that a signal could end, but what KILL has been sent to.
            Some(_) => {}
            None if matches!(self.life, Life::Gone | Life::Leftovers) => {}
            None => {
                let term_at = (manner != Manner::TERM).then(|| term_before(kill_at, turn.now));
                self.ending = Some(Ending { term_at, ..Ending::new(manner, turn.now, Some(kill_at)) });
                if self.alive() {
                    self.send_stop(manner, turn);
                }
            }
        }
    }

    /// The stop under way may not have been heard: its signal is sent once more, unless TERM comes before.
    pub fn repeat(&mut self, now: Mono) {
        if let Some(ending) = &mut self.ending {
            let at = now.after(AGAIN);
            ending.again_at = Some(at).filter(|at| ending.term_at.is_some_and(|term_at| *at < term_at));
        }
    }

    /// TERM to the whole group at once, KILL at `kill_at` at the latest.
    pub fn hurry(&mut self, kill_at: Mono, turn: &mut Turn<'_>) {
        if self.gone() || self.killed() {
            return;
        }
        let (begun, earlier) = self
            .ending
            .map_or((turn.now, kill_at), |ending| (ending.begun, ending.kill_at.unwrap_or(kill_at)));
        let kill_at = Some(kill_at.min(earlier));
        self.ending = Some(Ending::new(Manner::TERM, begun, kill_at));
        if self.life != Life::Asked {
            self.send_stop(Manner::TERM, turn);
        }
    }

    /// KILL to the whole group, once. A process that is still being started gets it as soon as it is there.
    pub fn kill(&mut self, turn: &mut Turn<'_>) {
        if !self.gone() && !self.killed() {
            self.send_kill(turn);
        }
    }

    fn send_kill(&mut self, turn: &mut Turn<'_>) {
        let manner = Manner { signal: Signal::KILL, scope: StopScope::Group };
        let (manner, begun) = self.ending.map_or((manner, turn.now), |ending| (ending.manner, ending.begun));
        let stuck_at = self.has_main().then(|| turn.now.after(STUCK));
        self.ending = Some(Ending { stuck_at, ..Ending::new(manner, begun, None) });
        if self.life != Life::Asked {
            turn.act(Action::KillGroup { id: self.id });
        }
        if self.life == Life::Leftovers {
            self.clear_by = Some(turn.now.after(CLEAR));
        }
    }

    /// Does what is due: TERM, KILL, giving up the wait for what survives KILL.
    pub fn tick(&mut self, turn: &mut Turn<'_>) {
        let due = |at: Option<Mono>| at.is_some_and(|at| at <= turn.now);
        if due(self.clear_by) {
            self.forget();
            let text = "processes that it left behind survive SIGKILL; going on without waiting for them";
            turn.tell(Severity::Warn, self.id, text);
            return;
        }
        let Some(ending) = self.ending else { return };
        if due(ending.kill_at) {
            if self.life != Life::Asked {
                let took = Words(turn.now.since(ending.begun));
                let who = if self.alive() { "it" } else { "what it left behind" };
                let text = format!("killed: {who} did not stop within {took} of SIG{}", ending.manner.signal);
                turn.tell(Severity::Warn, self.id, text);
            }
            self.kill(turn);
        } else if due(ending.term_at) {
            if let Some(ending) = &mut self.ending {
                (ending.again_at, ending.term_at) = (None, None);
            }
            if self.life != Life::Asked {
                self.send_stop(Manner::TERM, turn);
            }
        } else if due(ending.again_at) {
            if let Some(ending) = &mut self.ending {
                ending.again_at = None;
            }
            if self.alive() {
                self.send_stop(ending.manner, turn);
            }
        } else if due(ending.left_told_at) {
            if let Some(ending) = &mut self.ending {
                ending.left_told_at = None;
            }
            let wait = Words(ending.kill_at.map_or(Duration::ZERO, |at| at.since(turn.now)));
            let text = format!("has ended; SIGKILL to what it left behind unless that ends within {wait}");
            turn.tell(Severity::Info, self.id, text);
        } else if due(ending.stuck_at) {
            if let Some(ending) = &mut self.ending {
                ending.stuck_at = None;
            }
            let text = format!(
                "still alive {} after SIGKILL: it waits in the kernel, often for a file system such as EFS or NFS",
                Words(STUCK)
            );
            turn.tell(Severity::Error, self.id, text);
        }
    }

    /// When [`Process::tick`] has something to do.
    pub fn deadline(&self) -> Option<Mono> {
        let Some(ending) = self.ending else { return self.clear_by };
        let all = [ending.again_at, ending.term_at, ending.kill_at, ending.left_told_at, ending.stuck_at];
        all.into_iter().fold(self.clear_by, nearer)
    }

    fn send_stop(&mut self, manner: Manner, turn: &mut Turn<'_>) {
        if let Some(ending) = &mut self.ending {
            ending.term_sent |= manner == Manner::TERM;
        }
        turn.act(Action::Stop { id: self.id, scope: manner.scope, signal: manner.signal });
    }
}

/// When the whole group gets TERM, before its KILL.
fn term_before(kill_at: Mono, now: Mono) -> Mono {
    let span = kill_at.since(now);
    now.after(span.saturating_sub(TERM_AHEAD.min(part(span, 5))))
}
