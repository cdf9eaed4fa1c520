//! One boot step from its start to its verdict. Who waits for it meanwhile is the caller's: the boot itself, or the event
//! loop for a reload.

use super::children::{Gone, Who};
use super::failure::Failure;
use super::launch::Launch;
use super::shell::Shell;
use super::verify::{Check, Stamp};
use super::{boot, clock};
use crate::config::plan::{LogFormat, StepPlan};
use crate::exit;
use crate::logs::format::Label;
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::Pid;
use std::path::PathBuf;
use std::time::Duration;

/// A step that runs.
pub struct Stepping {
    pub pid: Pid,
    /// What it may take.
    pub limit: Duration,
    name: String,
    check: Option<Check>,
    began: Mono,
}

impl Stepping {
    /// Starts it. `before`: how the file that it has to write stands ([`Check::cache_of`]).
    ///
    /// # Errors
    /// No process came of it.
    pub fn start(
        shell: &mut Shell,
        step: &StepPlan,
        before: Option<Stamp>,
        all_to_stderr: bool,
    ) -> Result<Self, Failure> {
        let name = step.name.as_str();
        let check = Check::cache_of(shell, step).map(|cache| Check::new(cache, before));
        let launch = Launch {
            who: Who::Step,
            label: Label::Step { name: name.to_owned() },
            argv: &step.command,
            user: step.user.as_deref(),
            work_dir: step.work_dir.as_deref(),
            env: &step.env,
            umask: step.umask,
            open_files: None,
            format: match shell.plan.log.format {
                LogFormat::Inherit => LogFormat::Plain,
                format => format,
            },
            on_stall: shell.plan.log.on_stall,
            all_to_stderr,
            tap: check.as_ref().map(Check::tap),
        };
        let began = clock::now();
        let pid = shell.launch(&launch).map_err(|error| {
            Failure::new(error.code(), format!("boot step \"{name}\" cannot start: {error}"))
        })?;
        // Without its arguments: an expanded ${VAR} among them may be a secret.
        tracing::debug!("boot step \"{name}\" runs as pid {pid}");
        Ok(Self { pid, limit: step.timeout, name: name.to_owned(), check, began })
    }

    /// It ended by itself. The file that [`Stepping::verdict`] wants a stamp of, if any.
    ///
    /// # Errors
    /// It failed.
    pub fn ended(&self, gone: &Gone) -> Result<Option<PathBuf>, Failure> {
        match boot::failure(gone) {
            Some(text) => {
                let text = format!("boot step \"{}\" failed: {text}", self.name);
                Err(Failure::new(gone.status.code(), text))
            }
            None => Ok(self.check.as_ref().map(|check| check.cache().to_owned())),
        }
    }

    /// It ended well by its own account, with the file that it has to write as it is `after` it.
    ///
    /// # Errors
    /// It did not do what it said.
    pub fn verdict(mut self, after: Option<Stamp>) -> Result<(), Failure> {
        let name = &self.name;
        if let Some(Err(problem)) = self.check.as_mut().map(|check| check.verdict(after)) {
            let text = format!("boot step \"{name}\" exited 0, but {problem}");
            return Err(Failure::new(exit::UNVERIFIED, text));
        }
        tracing::info!("boot step \"{name}\" done in {}", Words(clock::now().since(self.began)));
        Ok(())
    }

    /// It was ended because its time was over.
    pub fn timed_out(&self) -> Failure {
        let text = format!(
            "boot step \"{}\" did not end within {} and was ended: give it a longer timeout, or find out what it waits for",
            self.name,
            Words(self.limit)
        );
        Failure::new(exit::TIMEOUT, text)
    }
}
