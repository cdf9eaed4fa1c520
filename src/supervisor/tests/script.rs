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
use crate::config::plan::StopScope;
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
                Some((name, 1)) => name.clone(),
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

    /// An action in words; `None` for a notice.
    pub fn action(&self, action: &Action) -> Option<String> {
        Some(match action {
            Action::Spawn { id } => format!("spawn {}", self.of(*id)),
            Action::Signal { id, scope, signal } => {
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
        self.notices.extend(actions.iter().filter_map(|action| match action {
            Action::Notice(notice) => Some(notice.clone()),
            _ => None,
        }));
        self.names.actions(&actions)
    }

    fn event(&mut self, text: &str) -> Event {
        let words: Vec<&str> = text.split_whitespace().collect();
        let id = || self.names.id(words[1]);
        match words[0] {
            "-" => Event::Deadline,
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
                    Err(_) => ExitStatus::Signal(crate::config::plan::Signal::parse(words[2]).unwrap()),
                },
                oom: words.contains(&"oom"),
                leftovers: words.contains(&"left"),
            },
            "empty" => Event::GroupEmpty { id: id() },
            "ready" => Event::Probe { id: id(), ok: true },
            "notready" => Event::Probe { id: id(), ok: false },
            "due" => {
                let unit = self.names.crons.iter().position(|cron| cron == words[1]).unwrap();
                Event::CronDue { unit: u16::try_from(unit).unwrap() }
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
