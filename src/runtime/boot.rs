//! Boot, in order: preflight, files, steps. Everything here may fail, and then the container does not start.

use super::children::Gone;
use super::fetching::Fetching;
use super::off_loop::OffLoop;
use super::shell::{Shell, Site};
use super::step::{OnStop, StepEnd};
use super::stepping::Stepping;
use super::verify::{self, Check, Stamp};
use super::{Mode, clock, preflight};
use crate::config::plan::{FileFormat, FilePlan, Signal, StepPlan};
use crate::control::protocol::SpanKind;
use crate::fetch::place;
use crate::supervisor::ExitStatus;
use crate::supervisor::words::Words;
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// Why boot did not end in a running container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The reason was logged; this is the container's exit code.
    Failed(u8),
    /// A stop signal came.
    Stopped(Signal),
}

/// Boots.
///
/// # Errors
/// [`End`] when something failed or a stop signal came.
pub async fn boot(shell: &mut Shell, mode: &Mode) -> Result<(), End> {
    let began = clock::now();
    tracing::info!(
        "init {} boots: preset {}, role {}, uid {}, {}",
        env!("CARGO_PKG_VERSION"),
        shell.plan.preset,
        shell.plan.role.as_deref().unwrap_or("all"),
        shell.own_uid,
        if shell.role.pid1 { "pid 1" } else { "not pid 1" },
    );
    for warning in &shell.role.warnings {
        tracing::warn!("{warning}");
    }
    let withheld = shell.environment.withheld();
    if !withheld.is_empty() {
        tracing::info!(
            "withheld from every child: {} (pass-env names those that the application needs)",
            withheld.join(", ")
        );
    }
    let board = Rc::clone(&shell.board);
    let span = board.begin(SpanKind::Init, "preflight");
    let (site, its_mode) = (shell.site(), mode.clone());
    let work = OffLoop::start(move |progress| {
        let mut site = site.with(progress);
        let checked = preflight::preflight(&mut site, &its_mode, &super::reload::sweep);
        if checked.is_ok() && its_mode.boots() {
            tell_of_no_dotenv(&site);
        }
        checked
    });
    let checked = shell.wait_off_loop("preflight", work).await.and_then(|checked| checked);
    board.end(span, checked.is_ok());
    checked?;
    if !mode.boots() {
        tracing::info!("--no-boot: nothing is fetched and no boot step runs");
        return Ok(());
    }
    let plan = shell.plan.clone();
    for file in &plan.files {
        let span = board.begin(SpanKind::Fetch, &file.path.display().to_string());
        let fetched = fetch(shell, file).await;
        board.end(span, fetched.is_ok());
        fetched?;
    }
    for step in &plan.boot {
        let span = board.begin(SpanKind::Step, &step.name);
        let done = run_step(shell, step, mode.is_one_off()).await;
        board.end(span, done.is_ok());
        done?;
    }
    tracing::info!("booted in {}", Words(clock::now().since(began)));
    Ok(())
}

/// Laravel without any `.env` answers 500 to everything. A task definition that lacks the one variable is the usual
/// reason, and nothing else would tell of it.
fn tell_of_no_dotenv(site: &Site) {
    let plan = &site.plan;
    let set = |name: &str| site.environment.get(name).is_some_and(|value| !value.is_empty());
    let fetched = plan.files.iter().any(|file| file.format == FileFormat::Dotenv);
    let own = plan.work_dir.join(".env");
    site.progress.at(&own);
    if plan.preset == "laravel" && !fetched && !set("APP_KEY") && !crate::files::exists(&own) {
        tracing::warn!(
            "no .env: none is fetched, since neither INIT_ENV_SOURCE nor CONFIG_BUCKET is set, {} does not exist, and \
             APP_KEY is not in the environment",
            own.display()
        );
    }
}

async fn run_step(shell: &mut Shell, step: &StepPlan, all_to_stderr: bool) -> Result<(), End> {
    let before = stamp(shell, step, Check::cache_of(shell, step)).await?;
    let stepping = Stepping::start(shell, step, before, all_to_stderr).map_err(|failure| failure.end())?;
    match shell.wait_step(stepping.pid, Some(stepping.limit), OnStop::End).await {
        StepEnd::Done(gone) => {
            let cache = stepping.ended(&gone).map_err(|failure| failure.end())?;
            let after = stamp(shell, step, cache).await?;
            stepping.verdict(after).map_err(|failure| failure.end())
        }
        StepEnd::TimedOut => Err(stepping.timed_out().end()),
        StepEnd::Obeyed(_, signal) | StepEnd::Stopped(signal) => Err(End::Stopped(signal)),
    }
}

/// How the file that a step has to write stands.
async fn stamp(shell: &mut Shell, step: &StepPlan, cache: Option<PathBuf>) -> Result<Option<Stamp>, End> {
    let Some(cache) = cache else { return Ok(None) };
    let work = OffLoop::start(move |progress| verify::stamp(&cache, progress));
    shell.wait_off_loop(&format!("boot step \"{}\"", step.name), work).await
}

async fn fetch(shell: &mut Shell, file: &FilePlan) -> Result<(), End> {
    let fetching =
        Fetching::start(shell, file, None, None, &Path::to_owned).map_err(|failure| failure.end())?;
    let end = shell.wait_step(fetching.pid, Some(fetching.limit), OnStop::End).await;
    if !matches!(end, StepEnd::Done(_)) {
        // A child that was killed may have left its temporary file.
        let path = file.path.clone();
        shell.tidy_up(OffLoop::start(move |_| place::sweep(&path))).await;
    }
    match end {
        StepEnd::Obeyed(_, signal) | StepEnd::Stopped(signal) => Err(End::Stopped(signal)),
        StepEnd::TimedOut => Err(fetching.timed_out().end()),
        StepEnd::Done(gone) => {
            let fetched = fetching.done(&gone).map_err(|failure| failure.end())?;
            tracing::info!("{}", fetched.text);
            shell.origins.insert(file.path.clone(), fetched.origin);
            Ok(())
        }
    }
}

/// What the death of a process by KILL is to its parent, and what a shell passes on.
const OOM: u8 = 137;

/// Why a step that ended is a failure, in words.
pub fn failure(gone: &Gone) -> Option<String> {
    if let Some(fault) = &gone.fault {
        return Some(fault.clone());
    }
    match gone.status {
        ExitStatus::Code(0) => None,
        status if gone.oom && status.code() == OOM => {
            Some("out of memory: the kernel killed it, the container is at its memory limit".to_owned())
        }
        ExitStatus::Code(255) => {
            Some("exit code 255, which PHP gives for a fatal error: its lines above say which".to_owned())
        }
        ExitStatus::Code(code) => Some(format!("exit code {code}: its lines above say why")),
        ExitStatus::Signal(signal) => Some(format!("ended by {signal:?}")),
    }
}
