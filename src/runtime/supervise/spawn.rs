//! From an id to a process: what the plan says of an instance, or of a run.

use super::super::children::Who;
use super::super::launch::{Launch, LaunchError, Ready};
use super::super::probing::{self, Ears};
use super::Loop;
use crate::config::plan::{KillMode, Plan};
use crate::logs::format::Label;
use crate::supervisor::{Event, Id, SpawnFault};
use crate::sys::Pid;
use std::rc::Rc;

/// A start that was prepared.
struct Prepared {
    ready: Ready,
    ears: Option<Ears>,
    kill_mode: KillMode,
}

impl Prepared {
    fn fork(self) -> Result<(Pid, Self), LaunchError> {
        Ok((self.ready.fork()?, self))
    }
}

impl Loop<'_> {
    /// Starts all of `ids` in this order, and empties it: prepares them, forks them in a row, and takes them in. What the core
    /// is to be told is added to `events`.
    pub(super) fn start(&mut self, ids: &mut Vec<Id>, events: &mut Vec<Event>) {
        let plan = Rc::clone(&self.plan);
        let prepared: Vec<_> = ids.iter().map(|id| self.prepare(&plan, *id)).collect();
        // Nothing else between two forks: see `sys::spawn::Prepared`.
        let forked: Vec<_> = prepared.into_iter().map(|start| start.and_then(Prepared::fork)).collect();
        for (id, forked) in ids.drain(..).zip(forked) {
            events.push(match forked {
                Ok((pid, start)) => {
                    self.enter(id, pid, start);
                    Event::Spawned { id, pid: pid.raw() }
                }
                Err(error) => {
                    tracing::error!(service = %self.name(id), "{error}");
                    Event::SpawnFailed { id, fault: SpawnFault { code: error.code() } }
                }
            });
        }
    }

    fn enter(&mut self, id: Id, pid: Pid, start: Prepared) {
        self.shell.enter(pid, start.ready);
        self.shell.children.set_kill_mode(pid, start.kill_mode);
        if let Some(ears) = start.ears {
            self.probes.listen(id, &self.name(id), pid, ears);
        }
    }

    fn prepare(&mut self, plan: &Plan, id: Id) -> Result<Prepared, LaunchError> {
        let log = &plan.log;
        match id {
            Id::Service { unit, instance } => {
                let Some(service) = plan.services.get(usize::from(unit)) else {
                    return Err(LaunchError::Unknown);
                };
                let launch = Launch {
                    who: Who::Unit(id),
                    label: Label::Service {
                        name: service.name.clone(),
                        instance,
                        instances: service.instances,
                    },
                    argv: &service.command,
                    user: service.user.as_deref(),
                    work_dir: service.work_dir.as_deref(),
                    env: &service.env,
                    umask: service.umask,
                    open_files: service.open_files,
                    format: service.log_format.unwrap_or(log.format),
                    on_stall: service.on_stall.unwrap_or(log.on_stall),
                    all_to_stderr: false,
                    tap: self.protection.tap(id, service),
                };
                let (ready, ears) = probing::prepare(service, &launch, self.shell)?;
                Ok(Prepared { ready, ears, kill_mode: service.kill_mode })
            }
            Id::Run { unit, .. } => {
                let Some(cron) = plan.crons.get(usize::from(unit)) else { return Err(LaunchError::Unknown) };
                let launch = Launch {
                    who: Who::Unit(id),
                    label: Label::Cron { name: cron.name.clone() },
                    argv: &cron.command,
                    user: cron.user.as_deref(),
                    work_dir: cron.work_dir.as_deref(),
                    env: &cron.env,
                    umask: cron.umask,
                    open_files: None,
                    format: cron.log_format.unwrap_or(log.format),
                    on_stall: cron.on_stall.unwrap_or(log.on_stall),
                    all_to_stderr: false,
                    tap: None,
                };
                let ready = self.shell.prepare(&launch, None)?;
                Ok(Prepared { ready, ears: None, kill_mode: KillMode::All })
            }
        }
    }
}
