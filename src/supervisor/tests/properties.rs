//! Random histories against the core's promises: 10,000 of each kind in the normal run, `PHP_INIT_HISTORIES=1000000`
//! on request. `PHP_INIT_SEED=n` replays the one history that failed.
//!
//! *Lives*: random plans in the fake world, whose processes behave in every odd way and whose shell keeps the contract.
//! The world checks at every step: never two processes of one id, no start beside leftovers or during a stop, a deadline
//! whenever something is waited for and never one in the past, nothing after the exit, everyone told before it, the
//! stop within its budget whatever happens.
//!
//! *Nonsense*: any event, of any id, in any order, at any time, from a shell that has lost its mind. The core may not panic,
//! start a process it believes alive, start anything during a stop, or hang in one.

use super::super::*;
use super::plans::*;
use super::random::*;
use super::world::{Behaviour, World};
use crate::config::plan::*;
use std::collections::{BTreeMap, BTreeSet};

fn histories() -> u64 {
    std::env::var("PHP_INIT_HISTORIES").ok().and_then(|count| count.parse().ok()).unwrap_or(10_000)
}

/// Runs the histories in as many threads as there are processors; tells the seed of the one that fails.
fn all(history: fn(u64)) {
    if let Some(seed) = std::env::var("PHP_INIT_SEED").ok().and_then(|seed| seed.parse().ok()) {
        return history(seed);
    }
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for seed in (thread..histories()).step_by(usize::try_from(threads).unwrap()) {
                    let ended = std::panic::catch_unwind(|| history(seed));
                    assert!(ended.is_ok(), "history {seed} failed: replay it with PHP_INIT_SEED={seed}");
                }
            });
        }
    });
}

fn live(seed: u64) {
    let mut luck = Luck::new(seed);
    let services = random_services(&mut luck);
    let crons = random_crons(&mut luck);
    let budget = luck.pick(&[secs(25), secs(25), secs(2), millis(300), secs(120)]);
    let immortals = luck.one_in(10);
    let mut fate = Luck::new(seed ^ 0xFA7E);
    let behave = move |_: Id, _: u32| {
        let immortal = immortals && fate.one_in(4);
        let behaviour = random_behaviour(&mut fate);
        // A group that survives KILL is a lie the world cannot keep track of: the main process alone is immortal.
        let leaves = if immortal { None } else { behaviour.leaves };
        Behaviour { immortal, leaves, ..behaviour }
    };
    let mut world = World::new(&services, &crons, budget, seed, Box::new(behave));
    world.tell(Event::Boot);
    for _ in 0..luck.below(16) {
        let delay = luck.span();
        let event = match luck.below(12) {
            0 => Event::Reload,
            1 if luck.one_in(3) => Event::Stop,
            2..=6 => random_request(&mut luck),
            _ => Event::CronDue { unit: u16::try_from(luck.below(3)).unwrap() },
        };
        world.at(delay, event);
    }
    world.run_for(millis(luck.below(20_000)));
    for _ in 0..luck.below(3) {
        if world.exit.is_none() {
            random_replan(&mut luck, &mut world, random_service);
        }
        let wait = luck.span().min(secs(3));
        world.run_for(wait);
    }
    for _ in 0..luck.below(4) {
        if world.exit.is_none() {
            world.tell(Event::Stop);
        }
        let wait = luck.span();
        world.run_for(wait);
    }
    if world.exit.is_none() {
        world.tell(Event::Stop);
    }
    world.run_for(secs(600));
    let Some((_, code)) = world.exit else { panic!("it never ends\n{}", world.story()) };
    for event in [Event::Boot, Event::Stop, Event::Deadline, Event::Reload] {
        world.tell(event);
    }
    assert_eq!(world.exit.map(|(_, code)| code), Some(code));
}

#[test]
fn random_lives_keep_every_promise() {
    all(live);
}

/// A service that comes up sooner or later, whatever people do.
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

/// Processes that come up, stay up, and end when they are told, in the end by KILL.
fn decent(seed: u64) {
    let mut luck = Luck::new(seed);
    let count = luck.below(4);
    let services: Vec<ServicePlan> =
        (0..count).map(|index| decent_service(&mut luck, index, count)).collect();
    let mut fate = Luck::new(seed ^ 0xFA7E);
    let behave = move |_: Id, start: u32| Behaviour {
        ready_after: Some(fate.span().min(secs(10))),
        obeys_after: (!fate.one_in(4)).then(|| fate.span()),
        leaves: fate.one_in(4).then_some(None),
        heirs_obey: fate.one_in(2),
        sick_after: (start < 3 && fate.one_in(3)).then(|| fate.span()),
        ..Behaviour::default()
    };
    // An entry keeps the container when every service is gone.
    let mut world = World::new(&services, &[cron("keep")], secs(25), seed, Box::new(behave));
    world.tell(Event::Boot);
    for _ in 0..luck.below(12) {
        match luck.below(4) {
            0 => {
                random_replan(&mut luck, &mut world, decent_service);
            }
            1 if luck.one_in(3) => world.tell(Event::Reload),
            _ => world.tell(random_request(&mut luck)),
        }
        if world.exit.is_some() {
            return;
        }
        let wait = luck.span().min(secs(300));
        world.run_for(wait);
    }
    world.tell(Event::Resume);
    world.run_for(secs(4000));
    if world.exit.is_some() {
        return;
    }
    let planned = world.ids(Target::All);
    for id in world.living() {
        let kept = planned.contains(&id) || matches!(id, Id::Run { .. });
        assert!(kept, "{id:?} survives the plan that had it\n{}", world.story());
    }
    for id in planned {
        let Id::Service { unit, .. } = id else { continue };
        let (state, want) = world.core.state(id).expect("a planned instance");
        let wanted = if want == Want::Up { State::Running } else { State::Stopped };
        assert_eq!(state, wanted, "{id:?}\n{}", world.story());
        assert_eq!(world.living().contains(&id), want == Want::Up, "{id:?}\n{}", world.story());
        // What is down was stopped by somebody, or came to a service that was.
        let stopped = world.ids(Target::Unit(unit)).iter().any(|id| world.halted.contains(id));
        assert!(want == Want::Up || stopped, "{id:?} is down by itself\n{}", world.story());
    }
}

#[test]
fn whatever_people_ask_for_what_is_wanted_comes_up_and_nothing_else() {
    all(decent);
}

/// What a shell that believes the core would think is alive.
#[derive(Default)]
struct Belief {
    asked: BTreeSet<Id>,
    alive: BTreeSet<Id>,
    /// Until when leftovers hold the next start up.
    left: BTreeMap<Id, Mono>,
}

fn random_event(luck: &mut Luck) -> Event {
    let unit = u16::try_from(luck.below(5)).unwrap();
    let id = if luck.one_in(4) {
        Id::Run { unit, run: u32::try_from(luck.below(6)).unwrap() }
    } else {
        Id::Service { unit, instance: u16::try_from(luck.below(3)).unwrap() }
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
        36 => Event::Orphans { alive: u32::try_from(luck.below(3)).unwrap() },
        _ => Event::Deadline,
    }
}

impl Belief {
    fn hears(&mut self, event: &Event, now: Mono) {
        match *event {
            Event::Spawned { id, .. } if self.asked.remove(&id) => {
                self.alive.insert(id);
            }
            Event::SpawnFailed { id, .. } => {
                self.asked.remove(&id);
                self.alive.remove(&id);
            }
            Event::Exited { id, leftovers, .. } => {
                let lived = self.asked.remove(&id) | self.alive.remove(&id);
                if lived && leftovers && matches!(id, Id::Service { .. }) {
                    self.left.insert(id, now);
                }
            }
            Event::GroupEmpty { id } => {
                self.left.remove(&id);
            }
            _ => {}
        }
    }

    fn does(&mut self, action: &Action, now: Mono, stopping: bool) {
        let Action::Spawn { id } = action else { return };
        assert!(!stopping, "{id:?} starts during the stop");
        assert!(!self.alive.contains(id), "{id:?} lives twice");
        if let Some(since) = self.left.remove(id) {
            assert!(now.since(since) >= secs(2), "{id:?} starts beside what it left behind");
        }
        assert!(self.asked.insert(*id), "{id:?} was asked for twice");
    }
}

fn nonsense(seed: u64) {
    let mut luck = Luck::new(seed);
    let budget = luck.pick(&[secs(25), Duration::ZERO, Duration::MAX, secs(2)]);
    let services = random_services(&mut luck);
    let crons = random_crons(&mut luck);
    let mut core = Supervisor::new(&services, &crons, budget, seed);
    let mut belief = Belief::default();
    let (mut now, mut over, mut stopping) = (Mono::default(), false, None);
    let mut trace = Vec::new();
    // At the end of time itself no time passes any more.
    let far = Mono::new(secs(u64::from(u32::MAX)));
    for step in 0..luck.below(120) {
        let event = if step == 0 && !luck.one_in(20) { Event::Boot } else { random_event(&mut luck) };
        // Late timers, early timers, and a clock that goes back.
        let read = match core.next_deadline() {
            Some(deadline) if luck.one_in(2) && deadline < far => deadline,
            _ if luck.one_in(30) => Mono::default(),
            _ => now.after(luck.span()),
        };
        now = now.max(read);
        belief.hears(&event, now);
        let was_stopping = stopping.is_some();
        let actions = core.handle(event.clone(), read);
        trace.push((now, event, actions.clone()));
        assert!(!over || actions.is_empty(), "{actions:?} after the exit: {trace:#?}");
        for action in &actions {
            assert!(!over, "{action:?} follows the exit: {trace:#?}");
            belief.does(action, now, was_stopping);
            over |= matches!(action, Action::Exit { .. });
        }
        if core.is_stopping() {
            let since = *stopping.get_or_insert(now);
            let endless = budget == Duration::MAX;
            assert!(over || endless || core.next_deadline().is_some(), "the stop may hang: {trace:#?}");
            let end = since.after(budget).after(millis(50));
            assert!(over || now <= end, "the stop takes too long: {trace:#?}");
        }
        let crowd = |status: &status::CronStatus| status.runs.len() > 3;
        assert!(!core.snapshot(now).crons.iter().any(crowd), "{trace:#?}");
        assert!(core.next_deadline().is_none_or(|deadline| deadline > now), "{trace:#?}");
    }
}

#[test]
fn nonsense_never_breaks_the_core() {
    all(nonsense);
}

#[test]
fn an_instance_never_starts_more_often_than_its_limit_allows() {
    all(|seed| {
        let mut luck = Luck::new(seed);
        let restarts = u32::try_from(luck.below(6)).unwrap();
        let limit = GiveUp { restarts, within: secs(3600), then: Then::Stay };
        let backoff = Backoff { reset_after: secs(86_400), ..service("s").backoff };
        let plan = ServicePlan {
            instances: 3,
            give_up: Some(limit),
            backoff,
            stagger: millis(luck.below(9_000)),
            ..service("s")
        };
        let mut fate = Luck::new(seed ^ 0xFA7E);
        let behave = move |_: Id, _: u32| Behaviour {
            ends: Some((millis(fate.below(2000)), ExitStatus::Code(fate.pick(&[0, 1])))),
            ..random_behaviour(&mut fate)
        };
        let mut world = World::new(&[plan], &[cron("c")], secs(25), seed, Box::new(behave));
        world.tell(Event::Boot);
        world.run_for(secs(3600));
        for (id, starts) in &world.starts {
            assert!(*starts <= restarts + 1, "{id:?} started {starts} times\n{}", world.story());
            assert_eq!(world.core.state(*id).unwrap().0, State::Fatal, "{}", world.story());
        }
    });
}
