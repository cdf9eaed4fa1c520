//! One history: a plan, what people and the world do to it, and the oddities of its processes. Made from a seed, and
//! plain data, so that a failing one can be made smaller.

use crate::config::plan::*;
use crate::luck::Luck;
use crate::plans::{self, millis, secs, service, words};
use crate::wall::SCHEDULES;
use php_init::control::protocol::{Envelope, Request, VERSION};
use php_init::supervisor::{Event, ExitStatus, Id, SpawnFault, Target, Verb};
use std::collections::BTreeSet;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any plan, processes of every sort, and a stop in the end.
    Wild,
    /// Services that come up whatever people do; in the end what is wanted must be RUNNING.
    Decent,
    /// Events without sense from a shell that has lost its mind.
    Nonsense,
}

/// What happens from outside.
#[derive(Clone, Debug)]
pub enum Step {
    Tell(Event),
    /// A line comes over the control socket; what was meant, unless it is junk.
    Line(Vec<u8>, Option<Request>),
    /// Another plan, from these dice.
    Replan(u64),
    /// The wall clock is set, by so many seconds.
    Clock(i64),
    /// For so long no process can be started.
    Famine(Duration),
    /// For so long the whole container is frozen.
    Freeze(Duration),
    /// Somebody kills a process.
    Shoot(u64),
    /// Nobody reads the log, or somebody does again.
    Stall(bool),
}

#[derive(Clone, Debug)]
pub struct Case {
    pub seed: u64,
    pub kind: Kind,
    pub services: Vec<ServicePlan>,
    pub crons: Vec<CronPlan>,
    pub budget: Duration,
    /// Each after the one before.
    pub steps: Vec<(Duration, Step)>,
    /// The oddities that its processes have, a bit each.
    pub odd: u32,
    pub sigchld_lag: Duration,
    /// The log is simulated too.
    pub logs: bool,
    /// Starts that have none of the oddities.
    pub plain: BTreeSet<(Id, u32)>,
}

impl Case {
    pub fn new(seed: u64) -> Self {
        let luck = &mut Luck::new(seed);
        let kind = match luck.below(8) {
            0 => Kind::Decent,
            1 | 2 => Kind::Nonsense,
            _ => Kind::Wild,
        };
        let count = luck.below(5);
        let services = (0..count).map(|index| service_of(kind)(luck, index, count)).collect();
        let mut case = Self {
            seed,
            kind,
            services,
            crons: Vec::new(),
            budget: luck.pick(&[secs(25), secs(25), secs(2), millis(300), secs(120)]),
            steps: Vec::new(),
            odd: u32::MAX,
            sigchld_lag: if luck.one_in(3) { millis(luck.below(30)) } else { Duration::ZERO },
            logs: luck.one_in(2),
            plain: BTreeSet::new(),
        };
        match kind {
            Kind::Wild => case.wild(luck),
            Kind::Decent => case.decent(luck),
            Kind::Nonsense => case.nonsense(luck),
        }
        case
    }

    /// Leaves a service out; what was about those after it still is.
    pub fn remove(&mut self, unit: u16) {
        self.services.remove(usize::from(unit));
        let left = |other: u16| if other > unit { other - 1 } else { other };
        let id = |id: &mut Id| {
            if let Id::Service { unit, .. } = id {
                *unit = left(*unit);
            }
        };
        for (_, step) in &mut self.steps {
            match step {
                Step::Tell(Event::Ask { target: Target::Unit(unit), .. }) => *unit = left(*unit),
                Step::Tell(Event::Ask { target: Target::One(of), .. }) => id(of),
                Step::Line(line, Some(request)) => {
                    if let Request::Start { names } | Request::Stop { names } | Request::Restart { names } =
                        request
                    {
                        names.iter_mut().for_each(|name| *name = renamed(name, left));
                    }
                    *line = line_of(request);
                }
                _ => {}
            }
        }
        let plain = std::mem::take(&mut self.plain);
        self.plain = plain.into_iter().map(|(mut of, start)| (id(&mut of), (of, start)).1).collect();
    }

    fn wild(&mut self, luck: &mut Luck) {
        self.crons = random_crons(luck);
        // The boot takes its time, and a stop may come meanwhile.
        let boots = luck.index(8).saturating_sub(5);
        for at in 0..luck.index(18) + boots + 1 {
            let step = if at == boots { Step::Tell(Event::Boot) } else { random_step(luck) };
            self.steps.push((luck.span().min(secs(4)), step));
        }
        // A stop at any moment, the boot's among them; what comes after it finds a container that stops.
        if luck.one_in(3) {
            let at = luck.index(self.steps.len() + 1);
            self.steps.insert(at, (luck.span().min(secs(2)), Step::Tell(Event::Stop)));
        }
        for _ in 0..luck.below(4) {
            self.steps.push((luck.span().min(secs(30)), Step::Tell(Event::Stop)));
        }
    }

    fn decent(&mut self, luck: &mut Luck) {
        // An entry keeps the container when every service is gone.
        self.crons = vec![CronPlan { schedule: SCHEDULES[4].to_owned(), ..plans::cron("keep") }];
        self.budget = secs(25);
        self.steps.push((Duration::ZERO, Step::Tell(Event::Boot)));
        for _ in 0..luck.below(10) {
            let step = match luck.below(8) {
                0 | 1 => Step::Replan(luck.next()),
                2 if luck.one_in(3) => Step::Tell(Event::Reload),
                3 => Step::Shoot(luck.next()),
                4 => Step::Famine(luck.span().min(secs(100))),
                _ => random_line(luck),
            };
            self.steps.push((luck.span().min(secs(300)), step));
        }
        self.steps.push((secs(1), Step::Tell(Event::Resume)));
    }

    fn nonsense(&mut self, luck: &mut Luck) {
        self.crons = random_crons(luck);
        self.budget = luck.pick(&[secs(25), Duration::ZERO, Duration::MAX, secs(2)]);
        for at in 0..luck.below(100) {
            let event = if at == 0 && !luck.one_in(20) { Event::Boot } else { random_event(luck) };
            self.steps.push((luck.span(), Step::Tell(event)));
        }
    }
}

pub type Make = fn(&mut Luck, u64, u64) -> ServicePlan;

pub fn service_of(kind: Kind) -> Make {
    if kind == Kind::Decent { decent_service } else { random_service }
}

fn random_service(luck: &mut Luck, index: u64, count: u64) -> ServicePlan {
    let others = |luck: &mut Luck| {
        // Seldom a circle or a name that is not there, which the configuration would refuse.
        let most = if luck.one_in(8) { count + 1 } else { index };
        let chosen = (0..luck.below(3).min(most)).map(|_| format!("s{}", luck.below(most)));
        chosen.collect::<Vec<_>>()
    };
    let threshold = |luck: &mut Luck| u32::from(luck.small(4));
    let pausable = luck.one_in(3);
    let then = luck.pick(&[Then::Exit, Then::Stay]);
    let limit = GiveUp { restarts: threshold(luck), within: luck.span(), then };
    ServicePlan {
        command: words(luck.pick(&["php-fpm -F", "php artisan queue:work", "nginx", "x"])),
        instances: luck.small(4),
        essential: luck.one_in(3),
        after: others(luck),
        requires: if luck.one_in(2) { others(luck) } else { Vec::new() },
        restart: luck.pick(&[Restart::Always, Restart::Always, Restart::OnFailure, Restart::Never]),
        backoff: Backoff {
            initial: luck.span(),
            factor: luck.pick(&[1.0, 2.0, 10.0, 0.0, f64::NAN]),
            max: luck.span(),
            jitter: luck.pick(&[0.0, 0.2, 1.0, 7.0]),
            reset_after: luck.span(),
        },
        give_up: luck.one_in(2).then_some(limit),
        start_grace: luck.span(),
        stagger: if luck.one_in(2) { luck.span() } else { Duration::ZERO },
        stop_signal: luck.pick(&[Signal::TERM, Signal::QUIT, Signal::INT]),
        stop_scope: luck.pick(&[StopScope::Main, StopScope::Group]),
        stop_timeout: luck.one_in(2).then(|| luck.span()),
        reload_signal: luck.one_in(3).then_some(Signal::USR2),
        reload_timeout: luck.span(),
        pause_signal: pausable.then_some(Signal::USR2),
        resume_signal: pausable.then_some(Signal::CONT),
        ready: luck.one_in(2).then(|| ReadyPlan { successes: threshold(luck), ..plans::ready(luck.span()) }),
        live: luck.one_in(3).then(|| LivePlan {
            failures: threshold(luck),
            successes: threshold(luck),
            ..plans::live()
        }),
        ..service(&format!("s{index}"))
    }
}

/// One that comes up sooner or later, whatever people do.
fn decent_service(luck: &mut Luck, index: u64, count: u64) -> ServicePlan {
    let plan = random_service(luck, index, count);
    ServicePlan {
        restart: Restart::Always,
        give_up: None,
        essential: false,
        reload_timeout: plan.reload_timeout.min(secs(100)),
        start_grace: plan.start_grace.min(secs(5)),
        stagger: plan.stagger.min(secs(5)),
        ready: plan.ready.map(|ready| ReadyPlan { deadline: secs(30), ..ready }),
        backoff: service("s").backoff,
        ..plan
    }
}

pub fn random_crons(luck: &mut Luck) -> Vec<CronPlan> {
    let entry = |luck: &mut Luck, index: u64| CronPlan {
        schedule: luck.pick(&SCHEDULES[..4]).to_owned(),
        overlap: luck.pick(&[Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::Replace]),
        max_running: luck.small(4),
        timeout: luck.one_in(2).then(|| luck.span()),
        jitter: if luck.one_in(2) { luck.span() } else { Duration::ZERO },
        stop_signal: luck.pick(&[Signal::TERM, Signal::QUIT]),
        ..plans::cron(&format!("c{index}"))
    };
    (0..luck.below(3)).map(|index| entry(luck, index)).collect()
}

fn random_step(luck: &mut Luck) -> Step {
    match luck.below(24) {
        0 => Step::Tell(Event::Reload),
        1 if luck.one_in(3) => Step::Tell(Event::Stop),
        2..=4 => Step::Tell(Event::CronDue { unit: luck.small(3) }),
        5..=7 => Step::Tell(random_request(luck)),
        8..=11 => Step::Replan(luck.next()),
        12 | 13 => Step::Shoot(luck.next()),
        14 => Step::Famine(luck.span().min(secs(20))),
        15 => Step::Stall(luck.one_in(2)),
        17 => Step::Freeze(luck.span()),
        16 => Step::Clock(random_clock(luck)),
        _ => random_line(luck),
    }
}

fn random_clock(luck: &mut Luck) -> i64 {
    let far = if luck.one_in(10) { 90_000 } else { 60 };
    let most = luck.pick(&[2, 60, 600, 600, 4000, far]);
    i64::try_from(luck.below(2 * most + 1)).unwrap_or(0) - i64::try_from(most).unwrap_or(0)
}

fn random_target(luck: &mut Luck) -> Target {
    let unit = luck.small(6);
    match luck.below(6) {
        0 => Target::All,
        1 | 2 => Target::Unit(unit),
        3 | 4 => Target::One(Id::Service { unit, instance: luck.small(4) }),
        _ => Target::One(Id::Run { unit, run: luck.small(4).into() }),
    }
}

/// What somebody may ask for, of whatever there may be.
fn random_request(luck: &mut Luck) -> Event {
    let target = random_target(luck);
    match luck.below(10) {
        0..=2 => Event::Ask { target, verb: Verb::Stop },
        3 | 4 => Event::Ask { target, verb: Verb::Start },
        5 => Event::Ask { target, verb: Verb::Restart },
        6 => {
            let signal = luck.pick(&[Signal::USR1, Signal::TERM, Signal::KILL]);
            Event::Ask { target, verb: Verb::Signal(signal) }
        }
        7 => Event::Pause,
        8 => Event::Resume,
        _ => Event::RunNow { unit: luck.small(6) },
    }
}

/// The same over the control socket, or junk.
fn random_line(luck: &mut Luck) -> Step {
    let unit = luck.small(6);
    let name = match luck.below(5) {
        0 => "all".to_owned(),
        1 | 2 => format!("s{unit}"),
        _ => format!("s{unit}:{}", luck.small(4)),
    };
    let names = vec![name];
    let request = match luck.below(11) {
        0..=2 => Request::Stop { names },
        3..=5 => Request::Start { names },
        6 => Request::Restart { names },
        7 => Request::Signal { names, signal: luck.pick(&["USR1", "SIGTERM", "9"]).to_owned() },
        8 => Request::Run { name: format!("c{}", luck.small(3)), wait: false },
        9 => Request::Pause,
        _ => Request::Resume,
    };
    let mut line = line_of(&request);
    if !luck.one_in(8) {
        return Step::Line(line, Some(request));
    }
    for _ in 0..=luck.below(4) {
        let at = luck.index(line.len());
        line[at] = luck.pick(b"\0\n{}[]\":,1e\xFFx");
    }
    if luck.one_in(4) {
        line.truncate(luck.index(line.len()));
    }
    Step::Line(line, None)
}

fn line_of(request: &Request) -> Vec<u8> {
    serde_json::to_vec(&Envelope { v: VERSION, request: request.clone() }).unwrap_or_default()
}

/// `sN` or `sN:M` with another N.
fn renamed(name: &str, left: impl Fn(u16) -> u16) -> String {
    let (unit, instance) = name.split_at(name.find(':').unwrap_or(name.len()));
    let unit = unit.strip_prefix('s').and_then(|unit| unit.parse().ok()).map(left);
    unit.map_or_else(|| name.to_owned(), |unit| format!("s{unit}{instance}"))
}

fn random_event(luck: &mut Luck) -> Event {
    let unit = luck.small(5);
    let id = if luck.one_in(4) {
        Id::Run { unit, run: luck.small(6).into() }
    } else {
        Id::Service { unit, instance: luck.small(3) }
    };
    let status = luck.pick(&[ExitStatus::Code(0), ExitStatus::Code(1), ExitStatus::Signal(Signal::KILL)]);
    match luck.below(40) {
        0 => Event::Stop,
        1 | 2 => Event::Reload,
        3..=6 => Event::CronDue { unit },
        7..=16 => Event::Spawned { id, pid: 7 },
        17..=19 => Event::SpawnFailed { id, fault: SpawnFault { code: luck.pick(&[0, 71, 127, 255]) } },
        20..=29 => Event::Exited { id, status, oom: luck.one_in(2), leftovers: luck.one_in(3) },
        30..=32 => Event::GroupEmpty { id },
        33 => Event::Probe { id, ok: luck.one_in(2) },
        34 => Event::Live { id, ok: luck.one_in(2), why: None },
        35 | 37 => random_request(luck),
        36 => Event::Orphans { alive: luck.small(3).into() },
        _ => Event::Deadline,
    }
}
