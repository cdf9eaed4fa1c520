//! A scenario as a script: one event a line, with the actions that it must give rise to.
//!
//! ```text
//! 0      boot                         => spawn php-fpm
//! 0      spawned php-fpm              => probe php-fpm
//! 0.12   ready php-fpm                => unprobe php-fpm
//!   = php-fpm RUNNING                    its state now
//!   ! ready after 120ms                  a notice since the last event says so
//! 30     -                            => kill php-fpm        the deadline at 30 s
//! ```
//!
//! Times are seconds. Deadlines fire by themselves between the lines; one that leads to an action without standing in the
//! script fails the test, as does any difference in actions. Notices are no part of the comparison.

use super::super::*;
use crate::config::plan::{Signal, StopScope};
use std::fmt::Write as _;

pub struct Script {
    pub core: Supervisor,
    names: Names,
    now: Mono,
    notices: Vec<Notice>,
    pid: i32,
}

/// Names of ids, for people.
pub struct Names {
    services: Vec<(String, u16)>,
    crons: Vec<String>,
}

impl Names {
    pub fn new(services: &[ServicePlan], crons: &[CronPlan]) -> Self {
        Self {
            services: services.iter().map(|plan| (plan.name.clone(), plan.instances)).collect(),
            crons: crons.iter().map(|plan| plan.name.clone()).collect(),
        }
    }

    pub fn of(&self, id: Id) -> String {
        match id {
            Id::Service { unit, instance } => match self.services.get(usize::from(unit)) {
                Some((name, 1)) if instance == 0 => name.clone(),
                Some((name, _)) => format!("{name}:{instance}"),
                None => format!("?{unit}:{instance}"),
            },
            Id::Run { unit, run } => {
                format!("{}#{run}", self.crons.get(usize::from(unit)).map_or("?", String::as_str))
            }
        }
    }

    fn id(&self, text: &str) -> Id {
        if let Some((name, run)) = text.split_once('#') {
            let unit = self.crons.iter().position(|cron| cron == name).expect(text);
            return Id::Run { unit: u16::try_from(unit).unwrap(), run: run.parse().unwrap() };
        }
        let (name, instance) = text.split_once(':').unwrap_or((text, "0"));
        let unit = self.services.iter().position(|(service, _)| service == name).expect(text);
        Id::Service { unit: u16::try_from(unit).unwrap(), instance: instance.parse().unwrap() }
    }

    fn cron(&self, name: &str) -> u16 {
        u16::try_from(self.crons.iter().position(|cron| cron == name).unwrap()).unwrap()
    }

    /// `all`, `NAME`: every instance, `NAME:N`, `JOB#N`.
    fn target(&self, text: &str) -> Target {
        match self.services.iter().position(|(service, _)| service == text) {
            _ if text == "all" => Target::All,
            Some(unit) => Target::Unit(u16::try_from(unit).unwrap()),
            None => Target::One(self.id(text)),
        }
    }

    /// An action in words; `None` for a notice.
    pub fn action(&self, action: &Action) -> Option<String> {
        Some(match action {
            Action::Spawn { id } => format!("spawn {}", self.of(*id)),
            Action::Signal { id, signal } => format!("{signal} {}", self.of(*id)),
            Action::Stop { id, scope, signal } => {
                let scope = match scope {
                    StopScope::Main => "",
                    StopScope::Group => " group",
                };
                format!("{signal} {}{scope}", self.of(*id))
            }
            Action::KillGroup { id } => format!("kill {}", self.of(*id)),
            Action::StartProbe { id } => format!("probe {}", self.of(*id)),
            Action::StopProbe { id } => format!("unprobe {}", self.of(*id)),
            Action::StartLiveness { id } => format!("watch {}", self.of(*id)),
            Action::StopLiveness { id } => format!("unwatch {}", self.of(*id)),
            Action::SignalOrphans { signal } => format!("{signal} orphans"),
            Action::CountOrphans => "count orphans".to_owned(),
            Action::Exit { code } => format!("exit {code}"),
            Action::Notice(_) => return None,
        })
    }

    pub fn actions(&self, actions: &[Action]) -> Vec<String> {
        actions.iter().filter_map(|action| self.action(action)).collect()
    }
}

impl Script {
    pub fn new(services: &[ServicePlan], crons: &[CronPlan]) -> Self {
        Self {
            core: Supervisor::new(services, crons, Duration::from_secs(25), 1),
            names: Names::new(services, crons),
            now: Mono::default(),
            notices: Vec::new(),
            pid: 100,
        }
    }

    /// Plays the lines. Can be called again to go on.
    pub fn play(&mut self, script: &str) -> &mut Self {
        for (number, line) in script.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let line = line.trim();
            let context = |said: String| format!("line {}: {line}\n{said}", number + 1);
            if let Some(state) = line.strip_prefix("= ") {
                self.check_state(state, context);
            } else if let Some(text) = line.strip_prefix("! ") {
                let found = self.notices.iter().any(|notice| self.render(notice).contains(text));
                let told: Vec<String> = self.notices.iter().map(|notice| self.render(notice)).collect();
                assert!(found, "{}", context(format!("told: {told:#?}")));
            } else {
                self.step(line, context);
            }
        }
        self
    }

    /// Puts another plan in the place of this one, at a moment in seconds. `-NAME` in `what` is retired, `NAME` changed.
    pub fn replan(
        &mut self,
        at: f64,
        services: &[ServicePlan],
        crons: &[CronPlan],
        what: &str,
        wanted: &str,
    ) -> &mut Self {
        let at = Mono::new(Duration::from_secs_f64(at));
        self.pass_until(at, false, &|said| format!("replan {what}\n{said}"));
        self.now = at;
        self.names = Names::new(services, crons);
        let (gone, changed): (Vec<&str>, Vec<&str>) =
            what.split_whitespace().partition(|name| name.starts_with('-'));
        let gone: Vec<&str> = gone.into_iter().map(|name| name.trim_start_matches('-')).collect();
        let unit = |name: &&str| services.iter().position(|service| service.name == *name);
        let units = |names: &[&str]| names.iter().filter_map(unit).map(index).collect::<Vec<u16>>();
        let cron = |name: &&str| crons.iter().position(|cron| cron.name == *name).map(index);
        let plan = Replan {
            services,
            retired: &units(&gone),
            changed: &units(&changed),
            crons,
            retired_crons: &gone.iter().filter_map(cron).collect::<Vec<u16>>(),
            stop_timeout: Duration::from_secs(25),
        };
        self.notices.clear();
        let actions = self.core.replan(&plan, at);
        let actions = self.told(&actions);
        let wanted: Vec<&str> =
            wanted.split(';').map(str::trim).filter(|action| !action.is_empty()).collect();
        assert_eq!(actions, wanted, "replan {what}\n{}", self.core.snapshot(self.now));
        self
    }

    pub fn now(&self) -> Mono {
        self.now
    }

    fn check_state(&self, state: &str, context: impl Fn(String) -> String) {
        for pair in state.split(',') {
            let (name, wanted) = pair.trim().rsplit_once(' ').unwrap();
            let (state, _) = self.core.state(self.names.id(name)).unwrap();
            assert_eq!(state.to_string(), wanted, "{}", context(name.to_owned()));
        }
    }

    fn step(&mut self, line: &str, context: impl Fn(String) -> String) {
        let (event, wanted) = line.split_once("=>").unwrap_or((line, ""));
        let (time, event) = event.trim().split_once(' ').expect(line);
        let at = Mono::new(Duration::from_secs_f64(time.parse().expect(line)));
        let event = event.trim();
        let explicit = event == "-";
        self.pass_until(at, explicit, &context);
        self.now = at;
        let event = self.event(event);
        if explicit {
            assert_eq!(self.core.next_deadline(), Some(at), "{}", context("no deadline here".to_owned()));
        }
        self.notices.clear();
        let actions = self.feed(event);
        let wanted: Vec<&str> =
            wanted.split(';').map(str::trim).filter(|action| !action.is_empty()).collect();
        assert_eq!(actions, wanted, "{}", context(self.core.snapshot(self.now).to_string()));
    }

    /// Fires the deadlines before `at`; none of them may lead to an action.
    fn pass_until(&mut self, at: Mono, explicit: bool, context: &impl Fn(String) -> String) {
        while let Some(deadline) = self.core.next_deadline() {
            if deadline > at || (explicit && deadline == at) {
                break;
            }
            self.now = deadline;
            let actions = self.feed(Event::Deadline);
            assert!(actions.is_empty(), "{}", context(format!("before it, at {deadline:?}: {actions:?}")));
        }
    }

    fn feed(&mut self, event: Event) -> Vec<String> {
        let actions = self.core.handle(event, self.now);
        self.told(&actions)
    }

    fn told(&mut self, actions: &[Action]) -> Vec<String> {
        self.notices.extend(actions.iter().filter_map(|action| match action {
            Action::Notice(notice) => Some(notice.clone()),
            _ => None,
        }));
        self.names.actions(actions)
    }

    fn event(&mut self, text: &str) -> Event {
        let words: Vec<&str> = text.split_whitespace().collect();
        let id = || self.names.id(words[1]);
        match words[0] {
            "-" => Event::Deadline,
            "frozen" => Event::Frozen { lost: Duration::from_secs_f64(words[1].parse().unwrap()) },
            "boot" => Event::Boot,
            "stop" => Event::Stop,
            "reload" => Event::Reload,
            "spawned" => {
                self.pid += 1;
                Event::Spawned { id: self.names.id(words[1]), pid: self.pid }
            }
            "nospawn" => {
                Event::SpawnFailed { id: id(), fault: SpawnFault { code: words[2].parse().unwrap() } }
            }
            "exit" => Event::Exited {
                id: id(),
                status: match words[2].parse() {
                    Ok(code) => ExitStatus::Code(code),
                    Err(_) => ExitStatus::Signal(Signal::parse(words[2]).unwrap()),
                },
                oom: words.contains(&"oom"),
                leftovers: words.contains(&"left"),
            },
            "empty" => Event::GroupEmpty { id: id() },
            "ready" => Event::Probe { id: id(), ok: true },
            "notready" => Event::Probe { id: id(), ok: false },
            "due" => Event::CronDue { unit: self.names.cron(words[1]) },
            "alive" => Event::Live { id: id(), ok: true, why: None },
            "sick" => Event::Live { id: id(), ok: false, why: Some("no answer".to_owned()) },
            "pause" => Event::Pause,
            "resume" => Event::Resume,
            "run" => Event::RunNow { unit: self.names.cron(words[1]) },
            "ask" => {
                let verb = match words[1] {
                    "start" => Verb::Start,
                    "stop" => Verb::Stop,
                    "restart" => Verb::Restart,
                    signal => Verb::Signal(Signal::parse(signal).unwrap()),
                };
                Event::Ask { target: self.names.target(words[2]), verb }
            }
            "orphans" => Event::Orphans { alive: words[1].parse().unwrap() },
            other => panic!("no such event: {other}"),
        }
    }

    fn render(&self, notice: &Notice) -> String {
        let mut line = format!("{:?} ", notice.severity).to_lowercase();
        if let Some(id) = notice.about {
            let _ = write!(line, "{}: ", self.names.of(id));
        }
        line + &notice.text
    }
}
