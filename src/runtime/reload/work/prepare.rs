//! What a reload needs before its boot steps: the configuration, a generation of caches, PHP-FPM's drop-ins.

use super::Work;
use crate::config::plan::{Env, Plan, ServicePlan, StepPlan};
use crate::exit;
use crate::files;
use crate::probe::warm_up::SCRIPT;
use crate::runtime::boot::End;
use crate::runtime::env::Environment;
use crate::runtime::failure::Failure;
use crate::runtime::off_loop::Progress;
use crate::runtime::reload::scratch::Scratch;
use crate::runtime::reload::{GENERATIONS, merge, text};
use crate::runtime::shell::{Load, Shell, Site};
use crate::runtime::{Mode, crontabs, drop_in, preflight, state_dir, supervise};
use std::rc::Rc;
use std::time::Duration;

/// What `php-fpm -t` may take; it parses a few files.
const TEST: Duration = Duration::from_secs(30);
/// Of the directories of caches, which hold every secret.
const MODE: u32 = 0o750;

impl Work {
    /// Everything is fetched: what boot steps and services will see.
    pub(super) fn prepare(&mut self, shell: &mut Shell, first: &Plan) -> Result<(), Failure> {
        self.stage.complete(&self.plan);
        let mut plan = (*self.plan).clone();
        self.make_caches(shell, &mut plan)?;
        let zone = std::env::var("TZ").ok();
        crontabs::load(&mut plan, zone.as_deref(), &|path| self.stage.now(path))
            .map_err(|code| Failure::new(code, "a crontab cannot be run, as the log says"))?;
        if plan.services.is_empty() && plan.crons.is_empty() {
            return Err(Failure::new(exit::CONFIG, supervise::nothing(&plan)));
        }
        self.environment = self.environment.of_next_plan(&plan, &plan.env);
        let mut steps = plan.boot.clone();
        drop_in::warm_ups(&mut plan, |target| {
            state_dir::trusted(shell)?;
            self.stage.write(shell, SCRIPT, target).map(drop).map_err(|failure| failure.text)
        });
        let tests = self.drop_ins(shell, &mut plan, first)?;
        let mut env = plan.env.clone();
        self.stage.redirect(&mut env);
        steps.iter_mut().for_each(|step| self.stage.redirect(&mut step.env));
        self.environment = self.environment.of_next_plan(&plan, &env);
        self.steps = steps.into_iter().chain(tests).collect();
        self.plan = Rc::new(plan);
        Ok(())
    }

    /// Points the variables of caches into the new generation.
    fn make_caches(&self, shell: &mut Shell, plan: &mut Plan) -> Result<(), Failure> {
        let Some(generation) = &self.generation else { return Ok(()) };
        let app = shell.identity(plan.user.as_deref()).ok().flatten();
        for (name, value) in &plan.reload.caches {
            let path = generation.path().join(value.trim_end_matches('/'));
            let directory = if value.ends_with('/') { Some(path.as_path()) } else { path.parent() };
            if let Some(directory) = directory.filter(|directory| *directory != generation.path()) {
                files::make_directory(directory, app.as_ref(), MODE)
                    .map_err(|error| Failure::new(exit::CANT_CREATE, error.to_string()))?;
            }
            plan.env.insert(name.clone(), text(&path));
        }
        Ok(())
    }

    /// Stages PHP-FPM's drop-ins. A master that reloads with a configuration it does not take ends, and every request with
    /// it: so PHP-FPM itself is asked first. The steps that ask it.
    fn drop_ins(
        &mut self,
        shell: &mut Shell,
        plan: &mut Plan,
        first: &Plan,
    ) -> Result<Vec<StepPlan>, Failure> {
        let planned = plan.env.clone();
        let value = |service: &ServicePlan, name: &str| service.env.get(name).or(planned.get(name)).cloned();
        for service in &plan.services {
            for name in planned.keys().chain(service.env.keys()) {
                let before = first.services.iter().find(|before| before.name == service.name);
                let before = before.and_then(|before| before.env.get(name).or(first.env.get(name)));
                if before != value(service, name).as_ref() {
                    self.literals.insert(name.clone());
                }
            }
        }
        let literals = self.literals.clone();
        let literal = |service: &ServicePlan, name: &str| {
            value(service, name).filter(|value| literals.contains(name) && merge::is_literal(value))
        };
        self.swap(shell);
        let unusable =
            state_dir::trusted(shell).is_err() || files::probe_writable(&plan.state_dir, None).is_err();
        let all = drop_in::render(shell, plan, &literal);
        let mut tests = Vec::new();
        let mut failed = None;
        for drop_in in all {
            let name = drop_in.name.as_str();
            // So it was at boot, and was told then.
            if unusable {
                self.pages.extend_from_slice(drop_in.pages(false));
                continue;
            }
            let path = match self.stage.write(shell, &drop_in.text, &drop_in.target) {
                Ok(staged) => staged.unwrap_or_else(|| drop_in.target.path.clone()),
                Err(failure) => {
                    failed = Some(failure);
                    break;
                }
            };
            let mut command = drop_in.command(plan, &path);
            command.push("-t".to_owned());
            let service = plan.services.get(drop_in.index);
            tests.push(StepPlan {
                name: format!("{name}-test"),
                command,
                user: service.and_then(|service| service.user.clone()),
                work_dir: service.and_then(|service| service.work_dir.clone()),
                env: service.map_or_else(Env::new, |service| service.env.clone()),
                timeout: TEST,
                verify: None,
                umask: 0o022,
            });
            self.pages.extend_from_slice(drop_in.pages(true));
            drop_in.apply(plan);
        }
        self.swap(shell);
        failed.map_or(Ok(tests), Err)
    }
}

/// What a reload begins with.
pub(super) struct Read {
    pub(super) plan: Plan,
    pub(super) environment: Environment,
    pub(super) generation: Option<Scratch>,
    /// Of the generation.
    pub(super) number: u32,
}

/// Reads the configuration again and looks whether it could run here. For a thread of its own.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(
    load: &Load,
    mut site: Site,
    progress: &Progress,
    mut number: u32,
) -> Result<Read, Failure> {
    let mut plan = configuration(load, &site.plan)?;
    keep_fixed(&site.plan, &mut plan);
    site.environment = site.environment.of_next_plan(&plan, &plan.env);
    site.plan = plan;
    site.progress = progress.clone();
    preflight::preflight(&mut site, &Mode::Supervise).map_err(|end| match end {
        End::Failed(code) => Failure::new(code, "this configuration cannot run here, as the log says"),
        End::Stopped(signal) => Failure::new(exit::of_signal(signal.number()), "stopped"),
    })?;
    let generation = generation(&mut site, &mut number)?;
    Ok(Read { plan: site.plan, environment: site.environment, generation, number })
}

/// The configuration as it is now.
fn configuration(load: &Load, before: &Plan) -> Result<Plan, Failure> {
    let plan = load().map_err(|errors| {
        // In a line each: with their carets they are for a terminal.
        let mut lines = errors.iter().map(|error| match &error.place {
            Some(place) => format!("{}:{}:{}: {}", place.file, place.line, place.column, error.message),
            None => error.message.clone(),
        });
        let first = lines.next().unwrap_or_default();
        Failure {
            hints: lines.collect(),
            ..Failure::new(exit::CONFIG, format!("cannot read the configuration: {first}"))
        }
    })?;
    if plan.state_dir != before.state_dir {
        let text = format!(
            "state-dir cannot become {} in a container that runs with {}: that needs a restart of the container",
            plan.state_dir.display(),
            before.state_dir.display()
        );
        return Err(Failure::new(exit::CONFIG, text));
    }
    Ok(plan)
}

/// Keeps what is decided once in the life of a container, and says so where it was changed.
fn keep_fixed(old: &Plan, new: &mut Plan) {
    for (key, changed) in [
        ("log.format", old.log.format != new.log.format),
        ("log.max-line", old.log.max_line != new.log.max_line),
    ] {
        if changed {
            tracing::warn!(
                "{key} has changed: it stays as it was, since that needs a restart of the container"
            );
        }
    }
    new.log.format = old.log.format;
    new.log.max_line = old.log.max_line;
}

/// A directory for the caches of this reload, where the plan has any.
fn generation(site: &mut Site, number: &mut u32) -> Result<Option<Scratch>, Failure> {
    if site.plan.reload.caches.is_empty() || site.plan.boot.is_empty() {
        return Ok(None);
    }
    let app = site.identity(None).ok().flatten();
    let parent = site.plan.state_dir.join(GENERATIONS);
    site.progress.at(&parent);
    state_dir::make_own(site.own_uid, &parent, app.as_ref())
        .map_err(|text| Failure::new(exit::CANT_CREATE, text))?;
    let mut next = || {
        *number = number.saturating_add(1);
        number.to_string()
    };
    Scratch::make(&parent, &mut next, app.as_ref()).map(Some)
}
