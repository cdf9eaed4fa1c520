//! From an id to a process: what the plan says of an instance, or of a run.

use super::super::children::Who;
use super::super::launch::{Launch, LaunchError};
use super::super::status;
use super::Loop;
use crate::logs::format::Label;
use crate::supervisor::Id;
use crate::sys;
use std::rc::Rc;

impl Loop<'_> {
    pub(super) fn spawn(&mut self, id: Id) -> Result<sys::Pid, LaunchError> {
        let plan = Rc::clone(&self.plan);
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
                let pid = self.probes.launch(id, &status::name(&plan, id), service, &launch, self.shell)?;
                self.shell.children.set_kill_mode(pid, service.kill_mode);
                Ok(pid)
            }
            Id::Run { unit, .. } => {
                let Some(cron) = plan.crons.get(usize::from(unit)) else { return Err(LaunchError::Unknown) };
                self.shell.launch(&Launch {
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
                })
            }
        }
    }
}
