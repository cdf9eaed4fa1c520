//! Lives one history and tells what became of it.

use crate::case::{Case, Kind, Step, random_crons, service_of};
use crate::invariants::Invariant;
use crate::luck::Luck;
use crate::nonsense;
use crate::plans::{cron, secs};
use crate::process::Behaviour;
use crate::relay::Relay;
use crate::subject::Core;
use crate::wall::Wall;
use crate::world::World;
use php_init::config::plan::{ServicePlan, Signal};
use php_init::control::protocol::Request;
use php_init::control::request::parse_request;
use php_init::supervisor::{Event, Id, Mono, State, Supervisor, Target, Verb, Want};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A history with more happenings than this goes on to its stop.
const MOST: u64 = 400;

#[derive(Clone, Debug, Default)]
pub struct Outcome {
    pub broken: Option<(Invariant, String)>,
    pub events: u64,
    pub trace: Vec<String>,
    /// What was started, and how often.
    pub starts: BTreeMap<Id, u32>,
}

/// Lives it, with this in the core's place.
pub fn live<C: Core>(case: &Case, make: fn(Supervisor) -> C, traced: bool) -> Outcome {
    let lived = catch_unwind(AssertUnwindSafe(|| match case.kind {
        Kind::Nonsense => nonsense::live(case, make, traced),
        Kind::Wild | Kind::Decent => in_a_world(case, make, traced),
    }));
    lived.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let said = said.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        Outcome { broken: Some((Invariant::NoPanic, said)), ..Outcome::default() }
    })
}

fn in_a_world<C: Core>(case: &Case, make: fn(Supervisor) -> C, traced: bool) -> Outcome {
    let core = make(Supervisor::new(&case.services, &case.crons, case.budget, case.seed));
    let (seed, odd, decent) = (case.seed, case.odd, case.kind == Kind::Decent);
    let plain = case.plain.clone();
    let behave = move |id: Id, start: u32| {
        let odd = if plain.contains(&(id, start)) { 0 } else { odd };
        let behaviour = Behaviour::random(seed, id, start);
        let behaviour = if decent { behaviour.decent(start) } else { behaviour }.only(odd);
        // A group that survives KILL is a lie the world cannot keep track of: the main process alone is immortal.
        let leaves = if behaviour.immortal { None } else { behaviour.leaves };
        Behaviour { leaves, ..behaviour }
    };
    let mut world = World::new(core, &case.services, &case.crons, case.budget, Box::new(behave));
    world.trace = traced.then(Vec::new);
    world.sigchld_lag = case.sigchld_lag;
    world.relay = case.logs.then(|| Relay::new(seed));
    world.wall = (!case.crons.is_empty()).then(|| Wall::new(&case.crons));
    for (wait, step) in &case.steps {
        world.run_until(world.now.after(*wait), MOST);
        if world.over() {
            break;
        }
        take(&mut world, case, step);
    }
    if !world.over() {
        match case.kind {
            Kind::Decent => settle(&mut world),
            _ => end(&mut world),
        }
    }
    let trace = world.trace.unwrap_or_default();
    Outcome { broken: world.broken, events: world.events, trace, starts: world.starts }
}

fn take<C: Core>(world: &mut World<C>, case: &Case, step: &Step) {
    let now = world.now;
    match step {
        Step::Tell(event) => world.tell(event.clone()),
        Step::Line(line, meant) => request(world, line, meant.as_ref()),
        Step::Replan(seed) => replan(world, case, *seed),
        Step::Clock(seconds) => {
            world.note(|| format!("{now:?} the wall clock is set by {seconds} s"));
            if let Some(wall) = &mut world.wall {
                wall.step(*seconds, now);
            }
            world.look_at_the_wall();
        }
        Step::Famine(span) => {
            world.note(|| format!("{now:?} no process can be started for {span:?}"));
            world.famine = now.after(*span);
        }
        Step::Freeze(span) => world.freeze(*span),
        Step::Shoot(seed) => world.shoot(&mut Luck::new(*seed)),
        Step::Stall(stalled) => {
            if let Some(relay) = &mut world.relay {
                relay.stalled = *stalled;
            }
        }
    }
}

/// As the control socket does: the bytes are read, then the core is told.
fn request<C: Core>(world: &mut World<C>, line: &[u8], meant: Option<&Request>) {
    let now = world.now;
    world.note(|| format!("{now:?} a client says {}", String::from_utf8_lossy(line)));
    let request = match (parse_request(line), meant) {
        (Ok(read), Some(meant)) if read.request != *meant => {
            return world
                .fail(Invariant::RequestsRead, || format!("{:?} instead of {meant:?}", read.request));
        }
        (Err(refusal), Some(_)) => return world.fail(Invariant::RequestsRead, || refusal.message),
        (Err(refusal), None) if refusal.message.len() > 200 || refusal.code == 0 => {
            return world.fail(Invariant::RequestsRead, || refusal.message);
        }
        (Err(_), None) => return,
        (Ok(read), _) => read.request,
    };
    let (names, verb) = match request {
        Request::Start { names } => (names, Verb::Start),
        Request::Stop { names } => (names, Verb::Stop),
        Request::Restart { names } => (names, Verb::Restart),
        Request::Signal { names, signal } => match Signal::parse(&signal) {
            Some(signal @ (Signal::USR1 | Signal::TERM | Signal::KILL)) => (names, Verb::Signal(signal)),
            _ => return,
        },
        Request::Run { name, .. } => {
            let unit = name.strip_prefix('c').and_then(|unit| unit.parse().ok());
            return unit.map_or((), |unit| world.tell(Event::RunNow { unit }));
        }
        Request::Pause => return world.tell(Event::Pause),
        Request::Resume => return world.tell(Event::Resume),
        Request::Reload => return world.tell(Event::Reload),
        _ => return,
    };
    for target in names.iter().filter_map(|name| target(name)) {
        if !world.over() {
            world.tell(Event::Ask { target, verb });
        }
    }
}

fn target(name: &str) -> Option<Target> {
    if name == "all" {
        return Some(Target::All);
    }
    let name = name.strip_prefix('s')?;
    match name.split_once(':') {
        Some((unit, instance)) => {
            let (unit, instance) = (unit.parse().ok()?, instance.parse().ok()?);
            Some(Target::One(Id::Service { unit, instance }))
        }
        None => Some(Target::Unit(name.parse().ok()?)),
    }
}

/// Another plan: some services gone, changed or of another size, some back, some new.
fn replan<C: Core>(world: &mut World<C>, case: &Case, seed: u64) {
    let (luck, make) = (&mut Luck::new(seed), service_of(case.kind));
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
            5 => service.instances = luck.small(4),
            _ => {}
        }
    }
    if services.len() < 6 && luck.one_in(2) {
        services.push(make(luck, services.len() as u64, 5));
    }
    let mut crons = world.crons.clone();
    if crons.len() < 3 && luck.one_in(4) {
        let name = format!("c{}", crons.len());
        match case.kind {
            Kind::Decent => crons.push(cron(&name)),
            _ => crons.extend(random_crons(luck).into_iter().take(1)),
        }
    }
    let retired_crons: Vec<u16> = (0_u16..).take(crons.len()).filter(|_| luck.one_in(4)).collect();
    changed.retain(|unit| !retired.contains(unit));
    world.replan(services, crons, retired, &changed, &retired_crons);
}

/// In the end somebody stops it; nothing changes after that.
fn end<C: Core>(world: &mut World<C>) {
    world.tell(Event::Stop);
    world.run_for(secs(600));
    let Some(exit) = world.exit else {
        return world.fail(Invariant::StopEnds, || "it never ends".to_owned());
    };
    for event in [Event::Boot, Event::Stop, Event::Deadline, Event::Reload] {
        world.tell(event);
    }
    if world.exit != Some(exit) {
        world.fail(Invariant::LastWord, || "it ends twice".to_owned());
    }
}

/// Nothing happens any more: what is wanted comes up, and nothing else lives.
fn settle<C: Core>(world: &mut World<C>) {
    // Schedules go on for ever; what they start is not looked at here.
    world.wall = None;
    if !world.booted() {
        return;
    }
    world.run_until(Mono::new(world.now.since_origin() + secs(4000)), u64::MAX);
    if world.over() {
        return;
    }
    let planned = world.ids(Target::All);
    let stray = |id: &Id| !planned.contains(id) && !matches!(id, Id::Run { .. });
    if let Some(id) = world.living().into_iter().find(stray) {
        world.fail(Invariant::Settles, || format!("{id:?} survives the plan that had it"));
    }
    for id in planned {
        let Id::Service { unit, .. } = id else { continue };
        let Some((state, want)) = world.core.state(id) else {
            return world.fail(Invariant::Settles, || format!("the plan has {id:?} and the core has not"));
        };
        let wanted = if want == Want::Up { State::Running } else { State::Stopped };
        if state != wanted || world.living().contains(&id) != (want == Want::Up) {
            world.fail(Invariant::Settles, || format!("{id:?} is {state} and wanted {want:?}"));
        }
        // What is down was stopped by somebody, or came to a service that was.
        let stopped = world.ids(Target::Unit(unit)).iter().any(|id| world.halted.contains(id));
        if want == Want::Down && !stopped {
            world.fail(Invariant::Wanted, || format!("{id:?} is down by itself"));
        }
    }
}
