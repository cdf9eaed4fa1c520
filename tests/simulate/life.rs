//! Whole lives of a container in the fake world.

use crate::luck::Luck;
use crate::plans::*;
use crate::process::Behaviour;
use crate::world::World;
use php_init::config::plan::{Backoff, CronPlan, GiveUp, ServicePlan, Signal, Then};
use php_init::supervisor::{Event, ExitStatus, Id, Mono, Severity, State, Supervisor};

const DAY: u64 = 86_400;

fn laravel() -> (Vec<ServicePlan>, Vec<CronPlan>) {
    let workers = ServicePlan { stagger: millis(500), ..queue(4) };
    (vec![fpm(), workers], vec![cron("schedule")])
}

/// The container with processes that behave so.
fn world(behave: impl FnMut(Id, u32) -> Behaviour + 'static) -> World<Supervisor> {
    let (services, crons) = laravel();
    let core = Supervisor::new(&services, &crons, secs(25), 1);
    World::new(core, &services, &crons, secs(25), Box::new(behave))
}

/// PHP-FPM is killed every six hours and leaves its workers, queue workers recycle themselves hourly and crash now
/// and then, `schedule:run` takes three seconds and leaves a background task every tenth time.
fn day(id: Id, start: u32) -> Behaviour {
    match id {
        Id::Service { unit: 0, .. } => Behaviour {
            ready_after: Some(millis(80)),
            ends: Some((secs(6 * 3600), ExitStatus::Signal(Signal::KILL))),
            obeys_after: Some(secs(2)),
            leaves: Some(None),
            ..Behaviour::default()
        },
        Id::Service { instance, .. } => {
            let crash = (start + u32::from(instance)).is_multiple_of(7);
            let ends = if crash {
                (secs(120), ExitStatus::Code(12))
            } else {
                (secs(3600 + u64::from(instance) * 17), ExitStatus::Code(0))
            };
            Behaviour { ends: Some(ends), obeys_after: Some(secs(4)), ..Behaviour::default() }
        }
        Id::Run { run, .. } => Behaviour {
            ends: Some((secs(3), ExitStatus::Code(0))),
            leaves: run.is_multiple_of(10).then_some(Some(secs(90))),
            ..Behaviour::default()
        },
    }
}

#[test]
fn a_day_of_a_laravel_container() {
    let mut world = world(day);
    world.tell(Event::Boot);
    for minute in 1..DAY / 60 {
        world.at(secs(minute * 60), Event::CronDue { unit: 0 });
    }
    world.run_for(secs(DAY - 30));
    assert_eq!(world.broken, None);
    assert_eq!(world.running(), 5, "{}", world.story());
    let runs = world.starts.keys().filter(|id| matches!(id, Id::Run { .. })).count();
    assert_eq!(runs as u64, DAY / 60 - 1);
    let starts = |unit, instance| world.starts[&Id::Service { unit, instance }];
    assert_eq!(starts(0, 0), 4);
    assert!((24..40).contains(&starts(1, 0)), "{}", starts(1, 0));
    assert!(world.said("memory limit reached"));
    let loud = world.notices.iter().filter(|(_, notice)| notice.severity < Severity::Debug).count();
    assert!(loud < 600, "{loud} lines in a day are too many for anyone to read");
    world.tell(Event::Stop);
    world.run_for(secs(60));
    assert_eq!(world.broken, None);
    let (at, code) = world.exit.unwrap();
    assert_eq!(code, 0);
    assert!(at.since(Mono::new(secs(DAY - 30))) <= secs(7), "{}", world.story());
}

#[test]
fn a_lost_database_of_an_hour_does_not_become_a_storm_and_ends_by_itself() {
    let hour = |id: Id, start: u32| match id {
        Id::Service { unit: 1, .. } if start < 50 => {
            Behaviour { ends: Some((millis(300), ExitStatus::Code(0))), ..Behaviour::default() }
        }
        _ => Behaviour::default(),
    };
    let mut world = world(hour);
    world.tell(Event::Boot);
    world.run_for(secs(3600));
    let starts = world.starts[&Id::Service { unit: 1, instance: 3 }];
    assert!((50..70).contains(&starts), "{starts}");
    assert_eq!(world.broken, None);
    assert_eq!(world.running(), 5, "{}", world.story());
    assert!(world.said("lost database"));
}

#[test]
fn a_container_full_of_the_deaf_ends_within_its_budget() {
    let deaf = |_: Id, _: u32| Behaviour {
        obeys_after: None,
        leaves: Some(None),
        heirs_obey: false,
        ..Behaviour::default()
    };
    let mut world = world(deaf);
    world.tell(Event::Boot);
    world.at(secs(60), Event::CronDue { unit: 0 });
    world.at(secs(70), Event::Stop);
    world.run_for(secs(200));
    assert_eq!(world.broken, None);
    let (at, code) = world.exit.unwrap();
    assert_eq!(code, 0);
    assert!(at <= Mono::new(secs(95)), "{at:?}\n{}", world.story());
}

#[test]
fn what_survives_kill_cannot_keep_the_container() {
    let stuck = |_: Id, _: u32| Behaviour { obeys_after: None, immortal: true, ..Behaviour::default() };
    let mut world = world(stuck);
    world.tell(Event::Boot);
    world.at(secs(70), Event::Stop);
    world.run_for(secs(200));
    assert_eq!(world.broken, None);
    assert_eq!(world.exit, Some((Mono::new(millis(94_500)), 0)), "{}", world.story());
    assert!(world.said("left behind"));
}

#[test]
fn an_instance_never_starts_more_often_than_its_limit_allows() {
    for seed in 0..1000 {
        let luck = &mut Luck::new(seed);
        let restarts = luck.small(6).into();
        let limit = GiveUp { restarts, within: secs(3600), then: Then::Stay };
        let backoff = Backoff { reset_after: secs(86_400), ..service("s").backoff };
        let stagger = millis(luck.below(9_000));
        let plan = ServicePlan { instances: 3, give_up: Some(limit), backoff, stagger, ..service("s") };
        let mut fate = luck.clone();
        let behave = move |id: Id, start: u32| {
            let status = ExitStatus::Code(fate.pick(&[0, 1]));
            let ends = Some((millis(fate.below(2000)), status));
            Behaviour { ends, immortal: false, ..Behaviour::random(seed, id, start) }
        };
        let (services, crons) = ([plan], [cron("c")]);
        let core = Supervisor::new(&services, &crons, secs(25), seed);
        let mut world = World::new(core, &services, &crons, secs(25), Box::new(behave));
        world.tell(Event::Boot);
        world.run_for(secs(3600));
        assert_eq!(world.broken, None, "seed {seed}");
        for (id, starts) in &world.starts {
            assert!(*starts <= restarts + 1, "seed {seed}: {id:?} started {starts} times\n{}", world.story());
            assert_eq!(world.core.state(*id).unwrap().0, State::Fatal, "seed {seed}\n{}", world.story());
        }
    }
}
