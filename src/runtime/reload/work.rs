//! One reload, or one look for changes: its children one after the other, and what they have made so far.

use super::stage::Stage;
use super::{GENERATIONS, Scratch, Why, merge, text};
use crate::config::plan::{Env, FilePlan, Plan, ServicePlan, Signal, StepPlan};
use crate::exit;
use crate::fetch::Outcome;
use crate::fetch::job::Known;
use crate::runtime::boot::End;
use crate::runtime::children::Gone;
use crate::runtime::env::Environment;
use crate::runtime::failure::Failure;
use crate::runtime::fetching::Fetching;
use crate::runtime::shell::Shell;
use crate::runtime::stepping::Stepping;
use crate::runtime::{Mode, clock, crontabs, drop_in, preflight, step, supervise};
use crate::supervisor::Mono;
use crate::supervisor::words::counted;
use crate::sys::{Pid, files, group};
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

/// What `php-fpm -t` may take; it parses a few files.
const TEST: Duration = Duration::from_secs(30);
/// Of the directories of caches, which hold every secret.
const MODE: u32 = 0o750;

/// What comes next.
pub enum Next {
    /// A child runs.
    Wait,
    /// Ask again.
    Again,
    Done,
}

enum Job {
    Fetch { file: Box<FilePlan>, staged: PathBuf, fetching: Fetching },
    Step(Stepping),
}

/// How far a child that took too long was told to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    Term,
    Kill,
}

struct Running {
    pid: Pid,
    deadline: Mono,
    told: Told,
    job: Job,
}

/// What goes on.
pub struct Work {
    /// `None`: it is a look for changes.
    why: Option<Why>,
    pub began: Mono,
    /// The plan to be.
    pub plan: Rc<Plan>,
    pub generation: Option<Scratch>,
    /// Of its children.
    environment: Environment,
    stage: Stage,
    changed: Vec<FilePlan>,
    running: Option<Running>,
    fetches: VecDeque<FilePlan>,
    steps: VecDeque<StepPlan>,
    prepared: bool,
    killed: bool,
}

impl Work {
    /// Reads the configuration again and looks whether it could run here.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn reload(shell: &mut Shell, why: Why, number: &mut u32) -> Result<Self, (Why, Failure)> {
        let mut plan = match read(shell) {
            Ok(plan) => plan,
            Err(failure) => return Err((why, failure)),
        };
        keep_fixed(&shell.plan, &mut plan);
        let environment = Environment::of_plan(&plan, &plan.env);
        let mut work = Self::new(Some(why), Rc::new(plan), environment);
        work.swap(shell);
        let made = preflight::preflight(shell, &Mode::Supervise)
            .map_err(|end| match end {
                End::Failed(code) => Failure::new(code, "this configuration cannot run here, as told above"),
                End::Stopped(signal) => Failure::new(exit::of_signal(signal.number()), "stopped"),
            })
            .and_then(|()| generation(shell, number));
        work.swap(shell);
        match made {
            Ok(generation) => {
                work.generation = generation;
                work.fetches = work.plan.files.iter().cloned().collect();
                Ok(work)
            }
            Err(failure) => Err((work.why(), failure)),
        }
    }

    /// Looks whether these files have changed.
    pub fn look(shell: &Shell, files: Vec<FilePlan>) -> Self {
        let plan = Rc::clone(&shell.plan);
        Self { fetches: files.into(), ..Self::new(None, plan, shell.environment.clone()) }
    }

    fn new(why: Option<Why>, plan: Rc<Plan>, environment: Environment) -> Self {
        Self {
            why,
            began: clock::now(),
            plan,
            generation: None,
            environment,
            stage: Stage::default(),
            changed: Vec::new(),
            running: None,
            fetches: VecDeque::new(),
            steps: VecDeque::new(),
            prepared: false,
            killed: false,
        }
    }

    pub fn is_look(&self) -> bool {
        self.why.is_none()
    }

    pub fn why(&self) -> Why {
        self.why.clone().unwrap_or_else(|| Why::Asked("refresh".to_owned()))
    }

    pub fn is_killed(&self) -> bool {
        self.killed
    }

    pub fn pid(&self) -> Option<Pid> {
        self.running.as_ref().map(|running| running.pid)
    }

    pub fn deadline(&self) -> Option<Mono> {
        self.running.as_ref().map(|running| running.deadline)
    }

    /// The files that are new.
    pub fn changed_files(&self) -> Vec<FilePlan> {
        self.changed.clone()
    }

    pub fn into_stage(self) -> Stage {
        self.stage
    }

    /// `.env changed (etag 0a1b), 2 boot steps`.
    pub fn summary(&self) -> String {
        let mut parts: Vec<String> = self
            .stage
            .fetched()
            .map(|(path, origin)| {
                let etag = origin.etag.as_ref().map_or(String::new(), |etag| format!(" (etag {etag})"));
                format!("{} changed{etag}", name(path))
            })
            .collect();
        if parts.is_empty() {
            parts.push("no file changed".to_owned());
        }
        if !self.plan.boot.is_empty() {
            parts.push(counted(self.plan.boot.len(), "boot step", "boot steps"));
        }
        parts.join(", ")
    }

    /// What children get once all is in its place.
    pub fn environment(&self) -> Environment {
        Environment::of_plan(&self.plan, &self.plan.env)
    }

    /// The shell gets the plan and the environment to be for a moment, in which nothing is waited for, and back again.
    fn swap(&mut self, shell: &mut Shell) {
        std::mem::swap(&mut shell.plan, &mut self.plan);
        std::mem::swap(&mut shell.environment, &mut self.environment);
    }

    /// Starts the next child, where there is one more.
    ///
    /// # Errors
    /// It cannot go on.
    pub fn next(
        &mut self,
        shell: &mut Shell,
        literals: &mut BTreeSet<String>,
        first: &Plan,
    ) -> Result<Next, Failure> {
        if self.killed || self.running.is_some() {
            return Ok(Next::Wait);
        }
        if let Some(file) = self.fetches.pop_front() {
            return self.fetch(shell, file).map(|()| Next::Wait);
        }
        if self.is_look() {
            return Ok(Next::Done);
        }
        if !std::mem::replace(&mut self.prepared, true) {
            return self.prepare(shell, literals, first).map(|()| Next::Again);
        }
        let Some(step) = self.steps.pop_front() else { return Ok(Next::Done) };
        self.swap(shell);
        let stepping = Stepping::start(shell, &step, false);
        self.swap(shell);
        let stepping = stepping?;
        self.run(stepping.pid, stepping.limit, Job::Step(stepping));
        Ok(Next::Wait)
    }

    fn run(&mut self, pid: Pid, limit: Duration, job: Job) {
        let deadline = clock::now().after(limit);
        self.running = Some(Running { pid, deadline, told: Told::Nothing, job });
    }

    fn fetch(&mut self, shell: &mut Shell, file: FilePlan) -> Result<(), Failure> {
        // With another owner or mode it is another file.
        let before = shell.plan.files.iter().find(|before| before.path == file.path);
        let same = before.is_some_and(|before| (before.mode, &before.owner) == (file.mode, &file.owner));
        let origin = shell.origins.get(&file.path).filter(|origin| origin.source == file.source);
        // What was decrypted otherwise is other content of the same object.
        let decrypted = before.is_some_and(|before| before.decrypt == file.decrypt);
        let etag = origin.filter(|_| decrypted).and_then(|origin| origin.etag.clone());
        let known = same.then(|| Known { path: file.path.clone(), etag });
        self.swap(shell);
        let started = self.stage.place_of(shell, &file.path).and_then(|staged| {
            let waiting = FilePlan { path: staged.clone(), ..file.clone() };
            Fetching::start(shell, &waiting, known).map(|fetching| (staged, fetching))
        });
        self.swap(shell);
        let (staged, fetching) = started?;
        self.run(fetching.pid, fetching.limit, Job::Fetch { file: Box::new(file), staged, fetching });
        Ok(())
    }

    /// Everything is fetched: what boot steps and services will see.
    fn prepare(
        &mut self,
        shell: &mut Shell,
        literals: &mut BTreeSet<String>,
        first: &Plan,
    ) -> Result<(), Failure> {
        self.stage.complete(&self.plan);
        let mut plan = (*self.plan).clone();
        self.make_caches(shell, &mut plan)?;
        let zone = std::env::var("TZ").ok();
        crontabs::load(&mut plan, zone.as_deref(), &|path| self.stage.now(path))
            .map_err(|code| Failure::new(code, "a crontab cannot be run, as told above"))?;
        if plan.services.is_empty() && plan.crons.is_empty() {
            return Err(Failure::new(exit::CONFIG, supervise::nothing(&plan)));
        }
        self.environment = Environment::of_plan(&plan, &plan.env);
        let mut steps = plan.boot.clone();
        let tests = self.drop_ins(shell, &mut plan, literals, first)?;
        let mut env = plan.env.clone();
        self.stage.redirect(&mut env);
        steps.iter_mut().for_each(|step| self.stage.redirect(&mut step.env));
        self.environment = Environment::of_plan(&plan, &env);
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
        literals: &mut BTreeSet<String>,
        first: &Plan,
    ) -> Result<Vec<StepPlan>, Failure> {
        let planned = plan.env.clone();
        let value = |service: &ServicePlan, name: &str| service.env.get(name).or(planned.get(name)).cloned();
        for service in &plan.services {
            for name in planned.keys().chain(service.env.keys()) {
                let before = first.services.iter().find(|before| before.name == service.name);
                let before = before.and_then(|before| before.env.get(name).or(first.env.get(name)));
                if before != value(service, name).as_ref() {
                    literals.insert(name.clone());
                }
            }
        }
        let literal = |service: &ServicePlan, name: &str| {
            value(service, name).filter(|value| literals.contains(name) && merge::is_literal(value))
        };
        self.swap(shell);
        let all = drop_in::render(shell, plan, &literal);
        let mut tests = Vec::new();
        let mut failed = None;
        for drop_in in all {
            let name = drop_in.name.as_str();
            let path = match self.stage.write(shell, &drop_in.text, &drop_in.target) {
                Ok(staged) => staged.unwrap_or_else(|| drop_in.target.path.clone()),
                // So it was at boot, and was told then.
                Err(_) if files::probe_writable(&plan.state_dir, None).is_err() => continue,
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
            drop_in.apply(plan);
        }
        self.swap(shell);
        failed.map_or(Ok(tests), Err)
    }

    /// A child ended; `None`: none of these.
    pub fn gone(&mut self, gone: &Gone) -> Option<Result<(), Failure>> {
        let running = self.running.take_if(|running| running.pid == gone.pid)?;
        if running.told != Told::Nothing {
            // What it has started and not waited for.
            step::report(group::signal_group(running.pid, Signal::KILL));
            return Some(Err(running.timed_out()));
        }
        match running.job {
            Job::Step(stepping) => Some(stepping.done(gone)),
            Job::Fetch { file, staged, fetching } => Some(fetching.done(gone).map(|fetched| {
                tracing::debug!("{}", fetched.text);
                if fetched.outcome == Outcome::Placed {
                    self.stage.wait(staged, file.path.clone(), Some(fetched.origin));
                    self.changed.push(*file);
                }
            })),
        }
    }

    /// The deadline of the child passed: TERM, then KILL. The failure, when it does not even end then.
    pub fn due(&mut self, now: Mono) -> Option<Failure> {
        let running = self.running.as_mut().filter(|running| running.deadline <= now)?;
        let (signal, time) = match running.told {
            Told::Nothing => (Signal::TERM, step::GRACE.min(self.plan.stop_timeout / 2)),
            Told::Term => (Signal::KILL, step::AFTER_KILL),
            Told::Kill => {
                tracing::error!(
                    "pid {} is still alive {} after SIGKILL: it waits in the kernel, often for a file system such as EFS or \
                     NFS; going on without waiting for it",
                    running.pid,
                    crate::supervisor::words::Words(step::AFTER_KILL)
                );
                return self.running.take().map(|running| running.timed_out());
            }
        };
        running.told = if signal == Signal::TERM { Told::Term } else { Told::Kill };
        running.deadline = now.after(time);
        step::report(group::signal_group_of_child(running.pid, signal));
        None
    }

    /// Kills what runs; `false`: that was done already.
    pub fn kill(&mut self) -> bool {
        if std::mem::replace(&mut self.killed, true) {
            return false;
        }
        if let Some(running) = &self.running {
            step::report(group::signal_group_of_child(running.pid, Signal::KILL));
        }
        true
    }
}

impl Running {
    fn timed_out(&self) -> Failure {
        match &self.job {
            Job::Fetch { fetching, .. } => fetching.timed_out(),
            Job::Step(stepping) => stepping.timed_out(),
        }
    }
}

/// The configuration as it is now.
fn read(shell: &Shell) -> Result<Plan, Failure> {
    let plan = (shell.load)().map_err(|errors| {
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
    if plan.state_dir != shell.plan.state_dir {
        let text = format!(
            "state-dir cannot become {} in a container that runs with {}: that needs a restart of the container",
            plan.state_dir.display(),
            shell.plan.state_dir.display()
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
fn generation(shell: &mut Shell, number: &mut u32) -> Result<Option<Scratch>, Failure> {
    if shell.plan.reload.caches.is_empty() || shell.plan.boot.is_empty() {
        return Ok(None);
    }
    let app = shell.identity(None).ok().flatten();
    let parent = shell.plan.state_dir.join(GENERATIONS);
    preflight::make_own(shell, &parent, app.as_ref())
        .map_err(|text| Failure::new(exit::CANT_CREATE, text))?;
    Scratch::make(&parent, "", number, app.as_ref()).map(Some)
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| text(path), |name| name.to_string_lossy().into_owned())
}

/// The names of files, for a sentence.
pub fn list<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    paths.map(name).collect::<Vec<_>>().join(", ")
}
