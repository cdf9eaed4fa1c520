//! Clients that wait until something has become of what they asked for.
//!
//! There are no more of them than the socket takes in, and one that has gone is forgotten at the next event; what it
//! asked for goes on.

use super::super::clock;
use super::Loop;
use super::asks::{done, outcome};
use crate::control::protocol::Outcome;
use crate::control::server::Replies;
use crate::exit;
use crate::supervisor::{Event, Id, Notice, State, Supervisor, Verb, Want};

/// One instance, or run, that is waited for.
#[derive(Debug)]
pub(super) struct One {
    pub id: Id,
    pub name: String,
    /// Its process when it was asked for.
    pub before: Option<i32>,
    shown: Option<State>,
    /// The code of the last end since.
    ended: Option<u8>,
    outcome: Option<Outcome>,
}

impl One {
    pub fn new(id: Id, name: String, before: Option<i32>) -> Self {
        Self { id, name, before, shown: None, ended: None, outcome: None }
    }
}

/// One run that is waited for.
#[derive(Debug)]
pub(super) struct RunWait {
    pub name: String,
    pub unit: u16,
    /// Runs that were there before.
    pub before: Vec<Id>,
    /// `None`: it waits for its turn, and is the next one.
    pub id: Option<Id>,
}

/// What was said and what ended while a run was asked for.
#[derive(Debug, Default)]
pub(super) struct Heard {
    unit: u16,
    before: Vec<Id>,
    pub text: String,
    pub ended: Option<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Waits {
    verbs: Vec<(Replies, Verb, Vec<One>)>,
    runs: Vec<(Replies, RunWait, Option<u8>)>,
    listening: Option<Heard>,
}

impl Waits {
    pub fn add(&mut self, to: Replies, verb: Verb, all: Vec<One>) {
        self.verbs.push((to, verb, all));
    }

    pub fn add_run(&mut self, to: Replies, run: RunWait) {
        self.runs.push((to, run, None));
    }

    /// From now on, what is said and ends of `unit` is remembered.
    pub fn listen(&mut self, unit: u16, before: Vec<Id>) {
        self.listening = Some(Heard { unit, before, ..Heard::default() });
    }

    pub fn heard(&mut self) -> Heard {
        self.listening.take().unwrap_or_default()
    }

    /// The core is told this.
    pub fn see(&mut self, event: &Event) {
        let (id, code) = match event {
            Event::Exited { id, status, .. } => (*id, status.code()),
            Event::SpawnFailed { id, fault } => (*id, fault.code),
            _ => return,
        };
        for one in self.verbs.iter_mut().flat_map(|(_, _, all)| all).filter(|one| one.id == id) {
            one.ended = Some(code);
        }
        let Id::Run { unit, .. } = id else { return };
        if let Some(heard) = &mut self.listening
            && heard.unit == unit
            && !heard.before.contains(&id)
        {
            heard.ended = Some(code);
        }
        for (_, run, ended) in &mut self.runs {
            let its_own = run.id == Some(id);
            if its_own || (run.id.is_none() && run.unit == unit && !run.before.contains(&id)) {
                *ended = Some(code);
            }
        }
    }

    /// The core says this.
    pub fn overhear(&mut self, notice: &Notice) {
        if let Some(heard) = &mut self.listening
            && matches!(notice.about, Some(Id::Run { unit, .. }) if unit == heard.unit)
        {
            heard.text.clone_from(&notice.text);
        }
    }
}

impl Loop<'_> {
    /// Tells those that wait what has become of it, after each event.
    pub(super) fn settle(&mut self) {
        if !self.waits.runs.is_empty() {
            self.settle_runs();
        }
        if self.waits.verbs.is_empty() {
            return;
        }
        let mut waits = std::mem::take(&mut self.waits.verbs);
        waits.retain(|(to, ..)| !to.is_gone());
        for (to, verb, all) in &mut waits {
            for one in all.iter_mut().filter(|one| one.outcome.is_none()) {
                let now = self.shell.children.pid(one.id).map(crate::sys::Pid::raw);
                judge(&self.core, *verb, one, now, to);
            }
        }
        for (to, verb, all) in waits {
            if all.iter().any(|one| one.outcome.is_none()) {
                self.waits.verbs.push((to, verb, all));
            } else {
                to.last(done(all.into_iter().filter_map(|one| one.outcome).collect::<Vec<_>>()));
            }
        }
    }

    fn settle_runs(&mut self) {
        let stopping = self.core.is_stopping();
        let snapshot = self.core.snapshot(clock::now());
        for (to, run, ended) in std::mem::take(&mut self.waits.runs) {
            let entry = snapshot.crons.iter().find(|cron| cron.unit == run.unit);
            match ended {
                _ if to.is_gone() => {}
                Some(code) => {
                    let words =
                        entry.and_then(|cron| cron.last_exit.as_ref()).map(|(words, _)| words.clone());
                    let text = words.unwrap_or_else(|| format!("ended with code {code}"));
                    to.last(done([outcome(&run.name, code, text)]));
                }
                None if stopping && run.id.is_none() => {
                    let text = "not run: the container is stopping".to_owned();
                    to.last(done([outcome(&run.name, exit::UNAVAILABLE, text)]));
                }
                None => self.waits.runs.push((to, run, None)),
            }
        }
    }
}

/// What has become of one, if anything has yet.
fn judge(core: &Supervisor, verb: Verb, one: &mut One, now: Option<i32>, to: &Replies) {
    if matches!(one.id, Id::Run { .. }) {
        // The only verb that waits for runs ends them.
        if now.is_none() || now != one.before {
            one.outcome = Some(outcome(&one.name, exit::OK, "stopped".to_owned()));
        }
        return;
    }
    let Some((state, want)) = core.state(one.id) else {
        one.outcome =
            Some(outcome(&one.name, exit::FAILED, "is not in the configuration any more".to_owned()));
        return;
    };
    if one.shown.replace(state) != Some(state) {
        to.progress(format!("{}: {state}", one.name));
    }
    let pid = now.map(|pid| format!(", pid {pid}")).unwrap_or_default();
    let (code, text) = match (verb, state) {
        (Verb::Stop, State::Stopped) if want == Want::Down => (exit::OK, "stopped".to_owned()),
        (Verb::Stop, State::Exited | State::Fatal) => (exit::OK, format!("is {state}")),
        (Verb::Stop, _) => return,
        (Verb::Restart, State::Running) if now == one.before => return,
        (_, State::Running) if now == one.before => (exit::OK, format!("is RUNNING already{pid}")),
        (Verb::Restart, State::Running) => (exit::OK, format!("restarted{pid}")),
        (_, State::Running) => (exit::OK, format!("started{pid}")),
        (_, State::Exited) if one.ended == Some(exit::OK) => (exit::OK, "started, and exited 0".to_owned()),
        // It has been told to start, and waits for its turn among the instances of its service.
        (_, State::Backoff) if one.ended.is_none() => return,
        (_, State::Exited | State::Fatal | State::Backoff) => (exit::FAILED, failed(core, one.id, state)),
        (_, State::Stopped) if want == Want::Down => (exit::FAILED, "was stopped meanwhile".to_owned()),
        _ if core.is_stopping() => (exit::UNAVAILABLE, "the container is stopping".to_owned()),
        _ => return,
    };
    one.outcome = Some(outcome(&one.name, code, text));
}

/// The state and the last end, in words.
fn failed(core: &Supervisor, id: Id, state: State) -> String {
    let instances = core.snapshot(clock::now()).instances;
    let last =
        instances.into_iter().find(|instance| instance.id == id).and_then(|instance| instance.last_exit);
    match last {
        Some(words) => format!("is {state}: {words}"),
        None => format!("is {state}"),
    }
}
