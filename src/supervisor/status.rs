//! What a user is shown of every instance and run: the lines that SIGUSR1 prints, the data of a status command.

use super::Supervisor;
pub use super::causes::{Cause, Restarts};
use super::event::{Id, Mono};
use super::runs::Cron;
pub use super::runs::Outcomes;
use super::service::Instance;
use super::spec::{State, Want};
use super::unit::{Gate, Unit};
use super::words::{Words, counted};
use std::fmt;
use std::time::Duration;

/// The state of everything at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    pub stopping: bool,
    /// The schedule is held, and the services that have a pause signal are.
    pub paused: bool,
    pub instances: Vec<InstanceStatus>,
    pub crons: Vec<CronStatus>,
}

/// One instance of a service. Its `Display` is one line as `supervisorctl status` would print it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstanceStatus {
    pub id: Id,
    /// The service's name, followed by `:` and the instance where there is more than one.
    pub name: String,
    /// The service's name alone.
    pub service: String,
    pub essential: bool,
    pub state: State,
    /// While the container is up, [`Want::Down`] is what somebody stopped.
    pub want: Want,
    /// Of the main process, while it lives.
    pub pid: Option<i32>,
    /// For how long it has been in this state.
    pub lasting: Duration,
    /// For how long the main process has been alive.
    pub uptime: Option<Duration>,
    /// Starts after the first one, by cause.
    pub restarts: Restarts,
    /// Failures in a row.
    pub failures: u32,
    /// How the last run ended, in words.
    pub last_exit: Option<String>,
    /// Until the next start.
    pub retry_in: Option<Duration>,
    /// The service that its first start waits for.
    pub waits_for: Option<String>,
    /// What the liveness probe says of this run.
    pub alive: Option<bool>,
    /// It has had the pause signal, or does not start before the end of the pause.
    pub paused: bool,
}

/// One cron entry and its runs. Its `Display` is one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CronStatus {
    pub unit: u16,
    pub name: String,
    /// Id, pid and age of each run.
    pub runs: Vec<(Id, Option<i32>, Duration)>,
    /// How the last run ended, in words, and how long ago.
    pub last_exit: Option<(String, Duration)>,
    pub outcomes: Outcomes,
}

impl Supervisor {
    /// The state of everything as it was after the last event, with ages as of `now`.
    pub fn snapshot(&self, now: Mono) -> Snapshot {
        let instances = self.units.iter().enumerate().flat_map(|(index, unit)| {
            let waits_for = match super::gate(&self.order, index, |other| self.units.get(other)) {
                Gate::Waits(name) => Some(name.to_owned()),
                Gate::Open | Gate::Lost(..) => None,
            };
            let shown = |instance: &&Instance| !(instance.surplus && instance.process.gone());
            unit.instances
                .iter()
                .filter(shown)
                .map(move |instance| instance_status(unit, instance, waits_for.as_ref(), now))
        });
        let crons = self.crons.iter().zip(0..).filter(|(cron, _)| !cron.over());
        Snapshot {
            stopping: self.is_stopping(),
            paused: self.paused,
            instances: instances.collect(),
            crons: crons.map(|(cron, unit)| cron_status(cron, unit, now)).collect(),
        }
    }

    /// What the liveness probe says of one instance; `None` where there is none, or no answer yet.
    pub fn alive(&self, id: Id) -> Option<bool> {
        self.instance(id)?.alive()
    }

    /// The plan wants this instance: it is neither of a retired service nor beyond its number.
    pub fn keeps(&self, id: Id) -> bool {
        self.instance(id).is_some_and(|instance| !instance.surplus)
    }

    /// The state of one instance, and what it should be. `None`: there is no such instance.
    pub fn state(&self, id: Id) -> Option<(State, Want)> {
        let instance = self.instance(id)?;
        Some((instance.state, instance.want))
    }

    fn instance(&self, id: Id) -> Option<&Instance> {
        let Id::Service { unit, instance } = id else { return None };
        self.units.get(usize::from(unit))?.instances.get(usize::from(instance))
    }
}

fn instance_status(
    unit: &Unit,
    instance: &Instance,
    waits_for: Option<&String>,
    now: Mono,
) -> InstanceStatus {
    let id = instance.process.id;
    let name = match id {
        Id::Service { instance, .. } if unit.count > 1 || instance > 0 => {
            format!("{}:{instance}", unit.spec.name)
        }
        _ => unit.spec.name.clone(),
    };
    let waits = instance.state == State::Stopped && instance.want == Want::Up;
    let pid = instance.process.pid();
    InstanceStatus {
        id,
        name,
        service: unit.spec.name.clone(),
        essential: unit.spec.essential,
        state: instance.state,
        want: instance.want,
        pid,
        lasting: now.since(instance.since),
        uptime: pid.map(|_| now.since(instance.process.started())),
        restarts: instance.restarts,
        failures: instance.failures,
        last_exit: instance.last.as_ref().map(|last| last.words.clone()),
        retry_in: instance.timer.filter(|_| instance.state == State::Backoff).map(|at| at.since(now)),
        waits_for: waits_for.filter(|_| waits).cloned(),
        alive: instance.alive(),
        paused: instance.paused || (unit.held() && waits),
    }
}

fn cron_status(cron: &Cron, unit: u16, now: Mono) -> CronStatus {
    let run = |run: &super::runs::Run| (run.process.id, run.process.pid(), now.since(run.process.started()));
    CronStatus {
        unit,
        name: cron.name.clone(),
        runs: cron.runs.iter().map(run).collect(),
        last_exit: cron.last.as_ref().map(|(words, at)| (words.clone(), now.since(*at))),
        outcomes: cron.outcomes,
    }
}

impl fmt::Display for InstanceStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24} {:<9}", self.name, self.state)?;
        if let (Some(pid), Some(uptime)) = (self.pid, self.uptime) {
            write!(f, " pid {pid}, up for {}", Words(uptime))?;
        } else if let Some(other) = &self.waits_for {
            write!(f, " waits for {other}")?;
        } else if let Some(wait) = self.retry_in {
            write!(f, " next start in {}", Words(wait))?;
        } else {
            write!(f, " for {}", Words(self.lasting))?;
        }
        if self.paused {
            f.write_str(", paused")?;
        }
        if self.restarts != Restarts::default() {
            write!(f, ", {}", counted(self.restarts.total(), "restart", "restarts"))?;
        }
        match &self.last_exit {
            Some(words) => write!(f, "; last: {words}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for CronStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24} cron     ", self.name)?;
        match self.runs.as_slice() {
            [] => f.write_str(" no run")?,
            [(_, _, age)] => write!(f, " 1 run for {}", Words(*age))?,
            [(_, _, age), ..] => write!(f, " {} runs, the oldest for {}", self.runs.len(), Words(*age))?,
        }
        match &self.last_exit {
            Some((words, ago)) => write!(f, "; last {} ago: {words}", Words(*ago)),
            None => Ok(()),
        }
    }
}

/// One line for each instance and cron entry.
impl fmt::Display for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let instances = self.instances.iter().map(ToString::to_string);
        let crons = self.crons.iter().map(ToString::to_string);
        for (index, line) in instances.chain(crons).enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            f.write_str(&line)?;
        }
        Ok(())
    }
}
