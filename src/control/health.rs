//! PURE: healthy or not, and why.
//!
//! | phase | `alive` | `ready` |
//! |---|---|---|
//! | booting | healthy | not: what the boot is at |
//! | migrating, one-off | healthy | healthy, with a word about it: nobody sends requests here, and a check must not end the migration |
//! | running, reloading | unless an essential service is FATAL | every essential service, and every other one with a probe, is up |
//! | stopping | healthy: it ends by itself | not |
//!
//! A service is up when one of its instances is RUNNING and answers its liveness probe: three workers of four are a service
//! that works. What the others are is a reason without being a verdict. No answer at all is the client's to judge.

use super::protocol::{Health, Level, Phase};
use crate::supervisor::words::Words;
use crate::supervisor::{State, Want};
use std::time::Duration;

/// What of an instance counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    pub name: String,
    pub state: State,
    pub want: Want,
    /// The verdict of its liveness probe, where it has one.
    pub alive: Option<bool>,
    /// Such as `every worker is busy`.
    pub degraded: Option<String>,
}

/// What of a service counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    pub essential: bool,
    /// It has a readiness or a liveness probe.
    pub probed: bool,
    pub instances: Vec<Instance>,
}

impl Service {
    fn counts(&self) -> bool {
        self.essential || self.probed
    }

    fn is_up(&self) -> bool {
        self.instances.iter().any(Instance::is_up)
    }

    /// Failed for good, all of it.
    fn is_lost(&self) -> bool {
        !self.instances.is_empty() && self.instances.iter().all(|instance| instance.state == State::Fatal)
    }
}

impl Instance {
    fn is_up(&self) -> bool {
        self.state == State::Running && self.alive != Some(false)
    }

    /// What keeps it from being up.
    fn trouble(&self) -> Option<String> {
        let name = &self.name;
        match (self.state, self.want) {
            (State::Running, _) if self.alive == Some(false) => {
                Some(format!("{name} does not answer its liveness probe"))
            }
            (State::Running, _) => None,
            (state, Want::Down) => Some(format!("{name} is {state}, as was asked for")),
            (state, Want::Up) => Some(format!("{name} is {state}")),
        }
    }
}

/// The verdict. `doing`: what the boot is at, and for how long.
pub fn verdict(level: Level, phase: Phase, doing: Option<(&str, Duration)>, services: &[Service]) -> Health {
    let mut reasons = Vec::new();
    let healthy = match (phase, level) {
        (Phase::Booting, level) => {
            reasons.push(match doing {
                Some((what, lasting)) => format!("{what} has been going on for {}", Words(lasting)),
                None => "init boots".to_owned(),
            });
            level == Level::Alive
        }
        (Phase::Stopping, level) => {
            reasons.push("the container is stopping".to_owned());
            level == Level::Alive
        }
        (Phase::Migrating, _) => {
            reasons.push("the container migrates".to_owned());
            true
        }
        (Phase::OneOff, _) => {
            reasons.push("the container runs one command".to_owned());
            true
        }
        (Phase::Running | Phase::Reloading, level) => {
            if phase == Phase::Reloading {
                reasons.push("a reload goes on".to_owned());
            }
            running(level, services, &mut reasons)
        }
    };
    Health { healthy, phase, reasons }
}

fn running(level: Level, services: &[Service], reasons: &mut Vec<String>) -> bool {
    let mut healthy = true;
    for service in services {
        let lost = service.essential && service.is_lost();
        let down = match level {
            Level::Alive => lost,
            Level::Ready => service.counts() && !service.is_up(),
        };
        healthy &= !down;
        if lost {
            reasons.push(format!("{} is FATAL, and essential", service.name));
            continue;
        }
        if service.counts() {
            reasons.extend(service.instances.iter().filter_map(Instance::trouble));
        }
        let degraded = service.instances.iter().filter(|instance| instance.state == State::Running);
        reasons.extend(degraded.filter_map(|instance| {
            instance.degraded.as_ref().map(|why| format!("{} is degraded: {why}", instance.name))
        }));
    }
    healthy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(name: &str, essential: bool, probed: bool, states: &[State]) -> Service {
        let instance = |state: &State| Instance {
            name: name.to_owned(),
            state: *state,
            want: Want::Up,
            alive: None,
            degraded: None,
        };
        Service { name: name.to_owned(), essential, probed, instances: states.iter().map(instance).collect() }
    }

    fn healthy(phase: Phase, services: &[Service]) -> (bool, bool) {
        let verdict = |level| verdict(level, phase, None, services).healthy;
        (verdict(Level::Alive), verdict(Level::Ready))
    }

    #[test]
    fn each_phase_has_its_verdict_whatever_the_services_do() {
        let down = [service("web", true, true, &[State::Stopped])];
        for (phase, verdict) in [
            (Phase::Booting, (true, false)),
            (Phase::Migrating, (true, true)),
            (Phase::OneOff, (true, true)),
            (Phase::Stopping, (true, false)),
            (Phase::Running, (true, false)),
            (Phase::Reloading, (true, false)),
        ] {
            assert_eq!(healthy(phase, &down), verdict, "{phase:?}");
        }
        assert_eq!(healthy(Phase::Running, &[]), (true, true), "a scheduler has no services");
    }

    #[test]
    fn the_boot_says_what_it_is_at() {
        let doing = Some(("boot step \"optimize\"", Duration::from_secs(3)));
        let health = verdict(Level::Ready, Phase::Booting, doing, &[]);
        assert_eq!(health.reasons, ["boot step \"optimize\" has been going on for 3s"]);
    }

    #[test]
    fn alive_minds_what_is_lost_and_essential_alone() {
        use State::{Backoff, Fatal, Running};
        for (essential, states, alive) in [
            (true, &[Fatal][..], false),
            (true, &[Fatal, Fatal], false),
            (true, &[Fatal, Running], true),
            (true, &[Backoff], true),
            (false, &[Fatal], true),
        ] {
            let services = [service("web", essential, false, states)];
            assert_eq!(healthy(Phase::Running, &services).0, alive, "{essential} {states:?}");
        }
    }

    #[test]
    fn ready_minds_essential_and_probed_services() {
        use State::{Backoff, Running, Starting};
        for (essential, probed, states, ready) in [
            (true, false, &[Running][..], true),
            (true, false, &[Starting], false),
            (false, true, &[Starting], false),
            (false, false, &[Starting], true),
            (true, false, &[Backoff, Running], true),
            (true, true, &[Backoff, Backoff], false),
        ] {
            let services = [service("web", essential, probed, states)];
            assert_eq!(healthy(Phase::Running, &services).1, ready, "{essential} {probed} {states:?}");
        }
    }

    #[test]
    fn a_dead_liveness_probe_is_no_readiness_and_a_saturated_pool_is_only_degraded() {
        let mut web = service("web", true, true, &[State::Running]);
        web.instances[0].alive = Some(false);
        let health = verdict(Level::Ready, Phase::Running, None, &[web.clone()]);
        assert_eq!(health.reasons, ["web does not answer its liveness probe"]);
        assert!(!health.healthy && verdict(Level::Alive, Phase::Running, None, &[web.clone()]).healthy);
        web.instances[0].alive = Some(true);
        web.instances[0].degraded = Some("every worker is busy".to_owned());
        let health = verdict(Level::Ready, Phase::Running, None, &[web]);
        assert!(health.healthy);
        assert_eq!(health.reasons, ["web is degraded: every worker is busy"]);
    }

    #[test]
    fn what_was_stopped_by_request_says_so() {
        let mut web = service("web", true, false, &[State::Stopped]);
        web.instances[0].want = Want::Down;
        let health = verdict(Level::Ready, Phase::Running, None, &[web]);
        assert_eq!(
            (health.healthy, health.reasons),
            (false, vec!["web is STOPPED, as was asked for".to_owned()])
        );
    }
}
