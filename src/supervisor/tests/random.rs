//! Random plans, behaviours and requests for the properties.

use super::super::*;
use super::plans::*;
use super::world::{Behaviour, World};
use crate::config::plan::*;

/// Random numbers of the tests' own, so that the core's may change.
pub struct Luck(turn::Dice);

impl Luck {
    pub fn new(seed: u64) -> Self {
        Self(turn::Dice::new(seed ^ 0x5EED_5EED_5EED_5EED))
    }

    /// From 0 up to, not including, `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.next() % end.max(1)
    }

    pub fn one_in(&mut self, count: u64) -> bool {
        self.below(count) == 0
    }

    pub fn pick<T: Clone>(&mut self, choices: &[T]) -> T {
        let index = usize::try_from(self.below(choices.len() as u64)).unwrap();
        choices[index].clone()
    }

    /// Mostly short, sometimes very long, now and then nothing.
    pub fn span(&mut self) -> Duration {
        let scale = self.pick(&[0, 1, 50, 1000, 10_000, 100_000, 5_000_000]);
        millis(self.below(scale + 1))
    }
}

pub fn random_services(luck: &mut Luck) -> Vec<ServicePlan> {
    let count = luck.below(5);
    (0..count).map(|index| random_service(luck, index, count)).collect()
}

pub fn random_service(luck: &mut Luck, index: u64, count: u64) -> ServicePlan {
    let others = |luck: &mut Luck| {
        let chosen = (0..luck.below(3)).map(|_| format!("s{}", luck.below(count + 1)));
        chosen.collect::<Vec<_>>()
    };
    let threshold = |luck: &mut Luck| u32::try_from(luck.below(4)).unwrap();
    let pausable = luck.one_in(3);
    let then = luck.pick(&[Then::Exit, Then::Stay]);
    let limit = GiveUp { restarts: u32::try_from(luck.below(4)).unwrap(), within: luck.span(), then };
    ServicePlan {
        command: words(luck.pick(&["php-fpm -F", "php artisan queue:work", "nginx", "x"])),
        instances: u16::try_from(luck.below(4)).unwrap(),
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
        resume_signal: Signal::from_number(18).filter(|_| pausable),
        ready: luck.one_in(2).then(|| ReadyPlan { successes: threshold(luck), ..ready(luck.span()) }),
        live: luck.one_in(3).then(|| LivePlan {
            failures: threshold(luck),
            successes: threshold(luck),
            ..super::plans::live()
        }),
        ..service(&format!("s{index}"))
    }
}

pub fn random_crons(luck: &mut Luck) -> Vec<CronPlan> {
    let count = luck.below(3);
    let entry = |luck: &mut Luck, index: u64| CronPlan {
        overlap: luck.pick(&[Overlap::Allow, Overlap::Skip, Overlap::Queue, Overlap::Replace]),
        max_running: u16::try_from(luck.below(4)).unwrap(),
        timeout: luck.one_in(2).then(|| luck.span()),
        jitter: if luck.one_in(2) { luck.span() } else { Duration::ZERO },
        stop_signal: luck.pick(&[Signal::TERM, Signal::QUIT]),
        ..cron(&format!("c{index}"))
    };
    (0..count).map(|index| entry(luck, index)).collect()
}

pub fn random_behaviour(luck: &mut Luck) -> Behaviour {
    let status = match luck.below(5) {
        0 | 1 => ExitStatus::Code(0),
        2 | 3 => ExitStatus::Code(luck.pick(&[1, 12, 78, 255])),
        _ => ExitStatus::Signal(luck.pick(&[Signal::KILL, Signal::TERM, Signal::QUIT])),
    };
    Behaviour {
        unstartable: luck.one_in(8).then(|| luck.pick(&[71, 126, 127, 0])),
        faults: luck.one_in(8).then(|| (luck.span(), luck.pick(&[71, 126, 127]))),
        ready_after: (!luck.one_in(5)).then(|| luck.span()),
        ends: (!luck.one_in(4)).then(|| (luck.span(), status)),
        obeys_after: (!luck.one_in(4)).then(|| luck.span()),
        leaves: luck.one_in(3).then(|| luck.one_in(2).then(|| luck.span())),
        heirs_obey: luck.one_in(2),
        sick_after: luck.one_in(4).then(|| luck.span()),
        immortal: false,
    }
}

/// What somebody may ask for, of whatever there may be.
pub fn random_request(luck: &mut Luck) -> Event {
    let unit = u16::try_from(luck.below(6)).unwrap();
    let target = match luck.below(6) {
        0 => Target::All,
        1 | 2 => Target::Unit(unit),
        3 | 4 => Target::One(Id::Service { unit, instance: u16::try_from(luck.below(4)).unwrap() }),
        _ => Target::One(Id::Run { unit, run: u32::try_from(luck.below(4)).unwrap() }),
    };
    let signal = Signal::from_number(10).unwrap();
    match luck.below(10) {
        0..=2 => Event::Ask { target, verb: Verb::Stop },
        3 | 4 => Event::Ask { target, verb: Verb::Start },
        5 => Event::Ask { target, verb: Verb::Restart },
        6 => Event::Ask { target, verb: Verb::Signal(luck.pick(&[signal, Signal::TERM, Signal::KILL])) },
        7 => Event::Pause,
        8 => Event::Resume,
        _ => Event::RunNow { unit },
    }
}

/// Another plan: some services gone, changed or of another size, some back, some new.
pub fn random_replan(luck: &mut Luck, world: &mut World, make: fn(&mut Luck, u64, u64) -> ServicePlan) {
    let mut services = world.services.clone();
    let mut retired = world.retired.clone();
    let mut changed = Vec::new();
    for (service, unit) in services.iter_mut().zip(0_u16..) {
        match luck.below(8) {
            0 => {
                retired.insert(unit);
            }
            1 => {
                retired.remove(&unit);
            }
            2 => changed.push(unit),
            3 => {
                changed.push(unit);
                *service = make(luck, u64::from(unit), 4);
            }
            4 => *service = ServicePlan { instances: service.instances, ..make(luck, u64::from(unit), 4) },
            5 => service.instances = u16::try_from(luck.below(4)).unwrap(),
            _ => {}
        }
    }
    if services.len() < 6 && luck.one_in(2) {
        services.push(make(luck, services.len() as u64, 5));
    }
    let mut crons = world.crons.clone();
    if crons.len() < 3 && luck.one_in(4) {
        crons.push(cron(&format!("c{}", crons.len())));
    }
    let retired_crons: Vec<u16> = (0_u16..).take(crons.len()).filter(|_| luck.one_in(4)).collect();
    changed.retain(|unit| !retired.contains(unit));
    world.replan(services, crons, retired, &changed, &retired_crons);
}
