//! What a reload needs before its boot steps: the configuration, a generation of caches, PHP-FPM's drop-ins.

use super::Work;
use super::busy::Busy;
use crate::config::plan::{Env, Plan, ServicePlan, StepPlan};
use crate::exit;
use crate::files;
use crate::probe::warm_up::SCRIPT;
use crate::runtime::boot::End;
use crate::runtime::env::Environment;
use crate::runtime::failure::Failure;
use crate::runtime::fpm::StatusPage;
use crate::runtime::off_loop::Progress;
use crate::runtime::reload::scratch::Scratch;
use crate::runtime::reload::stage::Stage;
use crate::runtime::reload::{GENERATIONS, merge, text};
use crate::runtime::shell::{Load, Shell, Site};
use crate::runtime::{Mode, crontabs, drop_in, preflight, state_dir, supervise};
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

/// What `php-fpm -t` may take; it parses a few files.
const TEST: Duration = Duration::from_secs(30);
/// Of the directories of caches, which hold every secret.
const MODE: u32 = 0o750;

impl Work {
    /// Everything is fetched: makes what boot steps and services will see.
    pub(super) fn prepare(&mut self, shell: &Shell, literals: &BTreeSet<String>, first: &Plan) {
        let mut site = shell.site();
        site.plan = (*self.plan).clone();
        site.environment = self.environment.clone();
        let stage = std::mem::take(&mut self.stage);
        let generation = self.generation.as_ref().map(|generation| generation.path().to_owned());
        let (literals, first) = (literals.clone(), first.clone());
        self.busy = Some(Busy::start(
            move |progress| prepare(site.with(progress), stage, generation.as_deref(), literals, &first),
            |work, prepared| {
                let Prepared { plan, environment, stage, steps, literals, pages } = prepared;
                work.plan = Rc::new(plan);
                work.environment = environment;
                work.stage = stage;
                work.steps = steps.into();
                work.literals = literals;
                work.pages = pages;
                Ok(())
            },
        ));
    }
}

/// What boot steps and services will see.
struct Prepared {
    plan: Plan,
    /// Of the boot steps: it points at where files wait.
    environment: Environment,
    stage: Stage,
    steps: Vec<StepPlan>,
    literals: BTreeSet<String>,
    pages: Vec<StatusPage>,
}

/// Makes it, with what was fetched in `stage`. For a thread of its own.
fn prepare(
    mut site: Site,
    mut stage: Stage,
    generation: Option<&Path>,
    mut literals: BTreeSet<String>,
    first: &Plan,
) -> Result<Prepared, Failure> {
    stage.complete(&site);
    if let Some(generation) = generation {
        make_caches(&mut site, generation)?;
    }
    let zone = std::env::var("TZ").ok();
    crontabs::load(&mut site, zone.as_deref(), &|path| stage.now(path))
        .map_err(|code| Failure::new(code, "a crontab cannot be run, as the log says"))?;
    if site.plan.services.is_empty() && site.plan.crons.is_empty() {
        return Err(Failure::new(exit::CONFIG, supervise::nothing(&site.plan)));
    }
    site.environment = site.environment.of_next_plan(&site.plan, &site.plan.env);
    let mut steps = site.plan.boot.clone();
    let mut services = std::mem::take(&mut site.plan.services);
    drop_in::warm_ups(&mut services, |target| {
        state_dir::trusted(&site)?;
        stage.write(&mut site, SCRIPT, target).map(drop).map_err(|failure| failure.text)
    });
    site.plan.services = services;
    note_literals(&site.plan, first, &mut literals);
    let mut pages = Vec::new();
    let tests = drop_ins(&mut site, &mut stage, &literals, &mut pages)?;
    let mut env = site.plan.env.clone();
    stage.redirect(&mut env);
    steps.iter_mut().for_each(|step| stage.redirect(&mut step.env));
    steps.extend(tests);
    let environment = site.environment.of_next_plan(&site.plan, &env);
    Ok(Prepared { plan: site.plan, environment, stage, steps, literals, pages })
}

/// Points the variables of caches into the new generation.
fn make_caches(site: &mut Site, generation: &Path) -> Result<(), Failure> {
    let app = site.identity(None).ok().flatten();
    for (name, value) in &site.plan.reload.caches {
        let path = generation.join(value.trim_end_matches('/'));
        let directory = if value.ends_with('/') { Some(path.as_path()) } else { path.parent() };
        if let Some(directory) = directory.filter(|directory| *directory != generation) {
            site.progress.at(directory);
            files::make_directory(directory, app.as_ref(), MODE)
                .map_err(|error| Failure::new(exit::CANT_CREATE, error.to_string()))?;
        }
        site.plan.env.insert(name.clone(), text(&path));
    }
    Ok(())
}

/// The value that a service of the plan gets, by the plan alone.
fn value<'a>(plan: &'a Plan, service: &'a ServicePlan, name: &str) -> Option<&'a String> {
    service.env.get(name).or(plan.env.get(name))
}

/// A variable that has another value than at boot is spelled out from now on: a master that runs may have either.
fn note_literals(plan: &Plan, first: &Plan, literals: &mut BTreeSet<String>) {
    for service in &plan.services {
        let before = first.services.iter().find(|before| before.name == service.name);
        for name in plan.env.keys().chain(service.env.keys()) {
            if before.and_then(|before| value(first, before, name)) != value(plan, service, name) {
                literals.insert(name.clone());
            }
        }
    }
}

/// Stages PHP-FPM's drop-ins. A master that reloads with a configuration it does not take ends, and every request with
/// it: so PHP-FPM itself is asked first. The steps that ask it.
fn drop_ins(
    site: &mut Site,
    stage: &mut Stage,
    literals: &BTreeSet<String>,
    pages: &mut Vec<StatusPage>,
) -> Result<Vec<StepPlan>, Failure> {
    let planned = site.plan.env.clone();
    let literal = |service: &ServicePlan, name: &str| {
        let value = service.env.get(name).or(planned.get(name)).cloned();
        value.filter(|value| literals.contains(name) && merge::is_literal(value))
    };
    let unusable =
        state_dir::trusted(site).is_err() || files::probe_writable(&site.plan.state_dir, None).is_err();
    let mut tests = Vec::new();
    for drop_in in drop_in::render(site, &literal) {
        let name = drop_in.name.as_str();
        // So it was at boot, and was told then.
        if unusable {
            pages.extend_from_slice(drop_in.pages(false));
            continue;
        }
        let staged = stage.write(site, &drop_in.text, &drop_in.target)?;
        let path = staged.unwrap_or_else(|| drop_in.target.path.clone());
        let mut command = drop_in.command(&site.plan, &path);
        command.push("-t".to_owned());
        let service = site.plan.services.get(drop_in.index);
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
        pages.extend_from_slice(drop_in.pages(true));
        drop_in.apply(&mut site.plan);
    }
    Ok(tests)
}

/// What a reload begins with.
pub(super) struct Read {
    pub(super) plan: Plan,
    pub(super) environment: Environment,
    pub(super) generation: Option<Scratch>,
    /// With a directory for every file of the plan.
    pub(super) stage: Stage,
    /// Of the generation.
    pub(super) number: u32,
}

/// Reads the configuration again and looks whether it could run here. For a thread of its own.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read(load: &Load, site: Site, progress: &Progress, mut number: u32) -> Result<Read, Failure> {
    let mut site = site.with(progress);
    let mut plan = configuration(load, progress, &site.plan)?;
    keep_fixed(&site.plan, &mut plan);
    site.environment = site.environment.of_next_plan(&plan, &plan.env);
    site.plan = plan;
    preflight::preflight(&mut site, &Mode::Supervise, &|_| {}).map_err(|end| match end {
        End::Failed(code) => Failure::new(code, "this configuration cannot run here, as the log says"),
        End::Stopped(signal) => Failure::new(exit::of_signal(signal.number()), "stopped"),
    })?;
    let generation = generation(&mut site, &mut number)?;
    let files = site.plan.files.clone();
    let stage = Stage::of_files(&mut site, &files)?;
    Ok(Read { plan: site.plan, environment: site.environment, generation, stage, number })
}

/// The configuration as it is now.
fn configuration(load: &Load, progress: &Progress, before: &Plan) -> Result<Plan, Failure> {
    let plan = load(progress).map_err(|errors| {
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
