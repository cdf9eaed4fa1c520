//! What clients of the control socket ask of the event loop: who is meant, and what the core is told.

use super::super::clock;
use super::super::control::Ask;
use super::Loop;
use super::waits::{One, RunWait};
use crate::config::plan::{Overlap, Signal};
use crate::config::suggest::nearest;
use crate::control::protocol::{Outcome, Reply, Request};
use crate::control::request::Refusal;
use crate::control::server::Replies;
use crate::exit;
use crate::runtime::reload::Verdict;
use crate::supervisor::{Event, Id, Target, Verb};

/// The name of everything.
const ALL: &str = "all";

impl Loop<'_> {
    /// Answers, or begins to.
    pub(super) async fn asked(&mut self, ask: Ask) -> Option<u8> {
        let Ask { request, to } = ask;
        match request {
            Request::Status => {
                to.last(Reply::Status(Box::new(self.status())));
                None
            }
            Request::Start { names } => self.ask(&names, Verb::Start, to).await,
            Request::Stop { names } => self.ask(&names, Verb::Stop, to).await,
            Request::Restart { names } => self.ask(&names, Verb::Restart, to).await,
            Request::Signal { names, signal } => match Signal::parse(&signal) {
                Some(signal) => self.ask(&names, Verb::Signal(signal), to).await,
                None => {
                    to.last(
                        Refusal::usage(format!("cannot send {signal:?}: there is no such signal")).into(),
                    );
                    None
                }
            },
            Request::Run { name, wait } => self.run_now(&name, wait, to).await,
            Request::Pause => self.pause(true, to).await,
            Request::Resume => self.pause(false, to).await,
            Request::Reload => self.reload_asked(to).await,
            // The reception answers these itself.
            Request::Health { .. } | Request::Timeline | Request::Logs { .. } | Request::Events { .. } => {
                None
            }
        }
    }

    /// Reloads as SIGHUP does; the answer comes when it has ended.
    async fn reload_asked(&mut self, to: Replies) -> Option<u8> {
        let answer = Box::new(move |verdict: &Verdict| {
            to.last(done([outcome(ALL, verdict.code, verdict.text.clone())]));
        });
        self.ask_reload("init reload", Some(answer)).await
    }

    async fn ask(&mut self, names: &[String], verb: Verb, to: Replies) -> Option<u8> {
        let mut targets = Vec::new();
        for name in names {
            match self.target(name, verb) {
                // Once each, however often it is named.
                Ok(target) if targets.contains(&target) => {}
                Ok(target) => targets.push(target),
                Err(refusal) => {
                    to.last(refusal.into());
                    return None;
                }
            }
        }
        if self.core.is_stopping() {
            to.last(stopping().into());
            return None;
        }
        let mut ids: Vec<Id> = targets.iter().flat_map(|target| self.meant(*target)).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.is_empty() {
            let what = if names.is_empty() {
                "no service was named".to_owned()
            } else {
                format!("{} has no process", names.join(", "))
            };
            to.last(
                Refusal::usage(format!("cannot do that: {what}; init status shows what there is")).into(),
            );
            return None;
        }
        let all: Vec<One> = ids.into_iter().map(|id| One::new(id, self.name(id), self.pid(id))).collect();
        let mut ended = None;
        if let Verb::Signal(signal) = verb {
            let results: Vec<Outcome> = all.iter().map(|one| sent(one, signal)).collect();
            for target in targets {
                ended = ended.or(self.feed(Event::Ask { target, verb }).await);
            }
            to.last(done(results));
            return ended;
        }
        self.waits.add(to, verb, all);
        for target in targets {
            ended = ended.or(self.feed(Event::Ask { target, verb }).await);
        }
        ended
    }

    /// Who `name` is: `NAME`, `NAME:N` or `all`; with the verbs that end something a cron entry too, for its runs.
    fn target(&self, name: &str, verb: Verb) -> Result<Target, Refusal> {
        let index = |found: Option<usize>| found.and_then(|index| u16::try_from(index).ok());
        let service = |name: &str| index(self.plan.services.iter().position(|service| service.name == name));
        if name == ALL {
            return Ok(Target::All);
        }
        if let Some(unit) = service(name) {
            return Ok(Target::Unit(unit));
        }
        if let Some((service_name, number)) = name.rsplit_once(':')
            && let Some(unit) = service(service_name)
        {
            let instances = self.plan.services.get(usize::from(unit)).map_or(0, |service| service.instances);
            return match number.parse::<u16>() {
                Ok(instance) if instance < instances => Ok(Target::One(Id::Service { unit, instance })),
                _ => Err(Refusal::usage(format!(
                    "cannot find {name:?}: {service_name} has {instances} of them, numbered from 0"
                ))),
            };
        }
        let entry = index(self.plan.crons.iter().position(|cron| cron.name == name));
        match (entry, verb) {
            // The newest of its runs stands for all: see `meant`.
            (Some(unit), Verb::Stop | Verb::Signal(_)) => Ok(Target::One(Id::Run { unit, run: 0 })),
            (Some(_), _) => Err(Refusal::usage(format!(
                "cannot start {name:?}: it is a cron entry; 'init run {name}' runs it once"
            ))),
            (None, _) => Err(self.no_service(name)),
        }
    }

    fn no_service(&self, name: &str) -> Refusal {
        let services = self.plan.services.iter().map(|service| service.name.as_str());
        let crons = self.plan.crons.iter().map(|cron| cron.name.as_str());
        unknown("service", name, &services.chain(crons).chain([ALL]).collect::<Vec<_>>())
    }

    /// Why there is nothing to run.
    fn no_job(&self, name: &str) -> Refusal {
        if self.target(name, Verb::Start).is_ok() {
            return Refusal::usage(format!(
                "cannot run {name:?}: that is no cron entry; 'init restart {name}' starts services anew"
            ));
        }
        let names: Vec<&str> = self.plan.crons.iter().map(|cron| cron.name.as_str()).collect();
        unknown("cron entry", name, &names)
    }

    /// The instances or runs of a target.
    fn meant(&self, target: Target) -> Vec<Id> {
        let unit = |unit: u16| {
            let instances = self.plan.services.get(usize::from(unit)).map_or(0, |service| service.instances);
            (0..instances).map(move |instance| Id::Service { unit, instance })
        };
        match target {
            Target::All => (0..).zip(&self.plan.services).flat_map(|(index, _)| unit(index)).collect(),
            Target::Unit(index) => unit(index).collect(),
            Target::One(Id::Run { unit, run: 0 }) => self.runs(unit),
            Target::One(id) => vec![id],
        }
    }

    /// The runs of an entry that go on.
    fn runs(&self, unit: u16) -> Vec<Id> {
        let snapshot = self.core.snapshot(clock::now());
        let entry = snapshot.crons.into_iter().find(|cron| cron.unit == unit);
        entry.map(|cron| cron.runs.into_iter().map(|(id, ..)| id).collect()).unwrap_or_default()
    }

    fn pid(&self, id: Id) -> Option<i32> {
        self.shell.children.pid(id).map(crate::sys::Pid::raw)
    }

    async fn run_now(&mut self, name: &str, wait: bool, to: Replies) -> Option<u8> {
        let Some((unit, cron)) = (0..).zip(&self.plan.crons).find(|(_, cron)| cron.name == name) else {
            to.last(self.no_job(name).into());
            return None;
        };
        if self.core.is_stopping() {
            to.last(stopping().into());
            return None;
        }
        let may_queue = matches!(cron.overlap, Overlap::Queue | Overlap::Replace);
        let before = self.runs(unit);
        self.waits.listen(unit, before.clone());
        let ended = self.feed(Event::RunNow { unit }).await;
        let heard = self.waits.heard();
        let new = self.runs(unit).into_iter().find(|id| !before.contains(id));
        let pid = new.and_then(|id| self.pid(id));
        let waiting = RunWait { name: name.to_owned(), unit, before, id: new };
        match (new, heard.ended) {
            (Some(_), _) if wait => self.waits.add_run(to, waiting),
            (Some(_), _) => {
                let pid = pid.map(|pid| format!(", pid {pid}")).unwrap_or_default();
                to.last(done([outcome(name, exit::OK, format!("started{pid}"))]));
            }
            (None, Some(code)) => to.last(done([outcome(name, code, heard.text)])),
            (None, None) if may_queue && wait => {
                to.progress(heard.text);
                self.waits.add_run(to, waiting);
            }
            (None, None) => {
                let code = if may_queue { exit::OK } else { exit::FAILED };
                to.last(done([outcome(name, code, heard.text)]));
            }
        }
        ended
    }

    async fn pause(&mut self, paused: bool, to: Replies) -> Option<u8> {
        if self.core.is_stopping() {
            to.last(stopping().into());
            return None;
        }
        let already = self.shell.board.paused.replace(paused) == paused;
        let ended = self.feed(if paused { Event::Pause } else { Event::Resume }).await;
        let text = match (paused, already) {
            (true, false) => "paused: the schedule and the services that have a pause-signal",
            (true, true) => "is paused already",
            (false, false) => "resumed",
            (false, true) => "is not paused",
        };
        to.last(done([outcome(ALL, exit::OK, text.to_owned())]));
        ended
    }
}

/// There is no such name, and which of `names` may be meant.
fn unknown(what: &str, name: &str, names: &[&str]) -> Refusal {
    let hint = nearest(name, names).map_or_else(
        || "; init status shows what there is".to_owned(),
        |near| format!(": did you mean {near:?}?"),
    );
    Refusal::usage(format!("cannot find the {what} {name:?}{hint}"))
}

/// What became of a signal, as far as can be known.
fn sent(one: &One, signal: Signal) -> Outcome {
    match one.before {
        Some(pid) => outcome(&one.name, exit::OK, format!("sent SIG{signal} to pid {pid}")),
        None => outcome(&one.name, exit::FAILED, format!("SIG{signal} not sent: it has no process")),
    }
}

pub(super) fn outcome(name: &str, code: u8, text: String) -> Outcome {
    Outcome { name: name.to_owned(), ok: code == exit::OK, code, text }
}

pub(super) fn done(results: impl Into<Vec<Outcome>>) -> Reply {
    Reply::Done { results: results.into() }
}

fn stopping() -> Refusal {
    Refusal::unavailable("cannot do that any more: the container is stopping")
}
