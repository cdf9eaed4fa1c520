//! One reload, or one look for changes: its children one after the other, and what they have made so far.

mod prepare;

use super::stage::Stage;
use super::{Scratch, Why, text};
use crate::config::plan::{FilePlan, Plan, Signal, StepPlan};
use crate::exit;
use crate::fetch::Outcome;
use crate::fetch::job::Known;
use crate::runtime::children::Gone;
use crate::runtime::env::Environment;
use crate::runtime::failure::Failure;
use crate::runtime::fetching::Fetching;
use crate::runtime::fpm::StatusPage;
use crate::runtime::off_loop::{self, OffLoop};
use crate::runtime::shell::Shell;
use crate::runtime::stepping::Stepping;
use crate::runtime::{clock, step};
use crate::supervisor::Mono;
use crate::supervisor::words::{Words, counted};
use crate::sys::{Pid, group};
use prepare::Read;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

/// What comes next.
pub enum Next {
    /// A child runs.
    Wait,
    /// Ask again.
    Again,
    Done,
}

enum Job {
    Fetch(Box<Fetch>),
    Step(Stepping),
}

struct Fetch {
    file: FilePlan,
    staged: PathBuf,
    fetching: Fetching,
}

/// How far a child that took too long was told to end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    Term,
    Kill,
}

struct Running {
    pid: Pid,
    timeout: clock::Timeout,
    /// How far it was told to end, and how long that may take.
    told: Option<(Told, Mono)>,
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
    /// Of [`super::Reloads`], as it will be.
    pub literals: BTreeSet<String>,
    /// Where the pools' status will be asked for.
    pub pages: Vec<StatusPage>,
    changed: Vec<FilePlan>,
    running: Option<Running>,
    fetches: VecDeque<FilePlan>,
    steps: VecDeque<StepPlan>,
    prepared: bool,
    killed: bool,
    /// The configuration is being read.
    reading: Option<Reading>,
    /// Why it could not be.
    unread: Option<Failure>,
}

struct Reading {
    work: OffLoop<Result<Read, Failure>>,
    timeout: clock::Timeout,
}

impl Work {
    /// Begins with reading the configuration again and looking whether it could run here, off the loop.
    pub fn reload(shell: &Shell, why: Why, number: u32) -> Self {
        let (load, site) = (Arc::clone(&shell.load), shell.site());
        let reading = OffLoop::start(move |progress| prepare::read(&load, site, progress, number));
        let timeout = clock::Timeout::new(off_loop::LIMIT);
        let plan = Rc::clone(&shell.plan);
        Self {
            reading: Some(Reading { work: reading, timeout }),
            ..Self::new(Some(why), plan, shell.environment.clone())
        }
    }

    /// Waits for the configuration; for ever where none is read. Safe to cancel. The next number of a generation.
    pub async fn read(&mut self) -> Option<u32> {
        let Some(reading) = &mut self.reading else { return std::future::pending().await };
        let read = reading.work.done().await;
        self.reading = None;
        match read.unwrap_or_else(|| Err(Failure::new(exit::SOFTWARE, "a fault in init itself"))) {
            Ok(read) => {
                self.plan = Rc::new(read.plan);
                self.environment = read.environment;
                self.generation = read.generation;
                self.fetches = self.plan.files.iter().cloned().collect();
                Some(read.number)
            }
            Err(failure) => {
                self.unread = Some(failure);
                None
            }
        }
    }

    /// Looks whether these files have changed, and those that need them or that they need: a certificate is never replaced
    /// without its key.
    pub fn look(shell: &Shell, due: &[FilePlan]) -> Self {
        let plan = Rc::clone(&shell.plan);
        let mut paths: BTreeSet<&Path> = due.iter().map(|file| file.path.as_path()).collect();
        let mut before = 0;
        while paths.len() > std::mem::replace(&mut before, paths.len()) {
            for (one, other) in
                plan.files.iter().flat_map(|one| plan.files.iter().map(move |other| (one, other)))
            {
                if one.needs(other)
                    && (paths.contains(one.path.as_path()) || paths.contains(other.path.as_path()))
                {
                    paths.extend([one.path.as_path(), other.path.as_path()]);
                }
            }
        }
        let fetches = plan.files.iter().filter(|file| paths.contains(file.path.as_path())).cloned().collect();
        Self { fetches, ..Self::new(None, Rc::clone(&plan), shell.environment.clone()) }
    }

    fn new(why: Option<Why>, plan: Rc<Plan>, environment: Environment) -> Self {
        Self {
            why,
            began: clock::now(),
            plan,
            generation: None,
            environment,
            stage: Stage::default(),
            literals: BTreeSet::new(),
            pages: Vec::new(),
            changed: Vec::new(),
            running: None,
            fetches: VecDeque::new(),
            steps: VecDeque::new(),
            prepared: false,
            killed: false,
            reading: None,
            unread: None,
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
        let reading = self.reading.as_ref().filter(|_| !self.killed).map(|reading| reading.timeout.at());
        self.running.as_ref().map(Running::deadline).or(reading)
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
        self.environment.of_next_plan(&self.plan, &self.plan.env)
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
        literals: &BTreeSet<String>,
        first: &Plan,
    ) -> Result<Next, Failure> {
        if self.killed || self.running.is_some() || self.reading.is_some() {
            return Ok(Next::Wait);
        }
        if let Some(failure) = self.unread.take() {
            return Err(failure);
        }
        if let Some(file) = self.fetches.pop_front() {
            return self.fetch(shell, file).map(|()| Next::Wait);
        }
        if self.is_look() {
            return Ok(Next::Done);
        }
        if !std::mem::replace(&mut self.prepared, true) {
            self.literals.clone_from(literals);
            return self.prepare(shell, first).map(|()| Next::Again);
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
        self.running = Some(Running { pid, timeout: clock::Timeout::new(limit), told: None, job });
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
            let waiting = FilePlan { path: staged.path.clone(), ..file.clone() };
            let now = |path: &Path| self.stage.now(path);
            let fetching = Fetching::start(shell, &waiting, Some(staged.directory), known, &now)?;
            Ok((staged.path, fetching))
        });
        self.swap(shell);
        let (staged, fetching) = started?;
        self.run(fetching.pid, fetching.limit, Job::Fetch(Box::new(Fetch { file, staged, fetching })));
        Ok(())
    }

    /// A child ended; `None`: none of these.
    pub fn gone(&mut self, gone: &Gone) -> Option<Result<(), Failure>> {
        let running = self.running.take_if(|running| running.pid == gone.pid)?;
        if running.told.is_some() {
            // What it has started and not waited for.
            step::report(group::signal_group(running.pid, Signal::KILL));
            return Some(Err(running.timed_out()));
        }
        match running.job {
            Job::Step(stepping) => Some(stepping.done(gone)),
            Job::Fetch(fetch) => {
                let Fetch { file, staged, fetching } = *fetch;
                Some(fetching.done(gone).map(|fetched| {
                    tracing::debug!("{}", fetched.text);
                    if fetched.outcome == Outcome::Placed {
                        self.stage.wait(staged, file.path.clone(), Some(fetched.origin));
                        self.changed.push(file);
                    }
                }))
            }
        }
    }

    /// The deadline of the child passed: TERM, then KILL. The failure, when it does not even end then.
    pub fn due(&mut self, now: Mono) -> Option<Failure> {
        if let Some(reading) = self.reading.as_ref().filter(|reading| reading.timeout.is_over()) {
            let text = format!(
                "{} has not answered within {}: often a network file system such as EFS or NFS",
                reading.work.progress().shown(),
                Words(off_loop::LIMIT)
            );
            return Some(Failure::new(exit::TIMEOUT, text));
        }
        let running = self.running.as_mut().filter(|running| running.deadline() <= now)?;
        let (told, signal, time) = match running.told {
            None => (Told::Term, Signal::TERM, step::GRACE.min(self.plan.stop_timeout / 2)),
            Some((Told::Term, _)) => (Told::Kill, Signal::KILL, step::AFTER_KILL),
            Some((Told::Kill, _)) => {
                tracing::error!(
                    "pid {} is still alive {} after SIGKILL: it waits in the kernel, often for a file system such as EFS or \
                     NFS; going on without waiting for it",
                    running.pid,
                    Words(step::AFTER_KILL)
                );
                return self.running.take().map(|running| running.timed_out());
            }
        };
        running.told = Some((told, now.after(time)));
        step::report(group::stop_group_of_child(running.pid, signal));
        None
    }

    /// Kills what runs; `false`: that was done already.
    pub fn kill(&mut self) -> bool {
        if std::mem::replace(&mut self.killed, true) {
            return false;
        }
        if let Some(running) = &self.running {
            step::report(group::stop_group_of_child(running.pid, Signal::KILL));
        }
        true
    }
}

impl Running {
    fn deadline(&self) -> Mono {
        self.told.map_or_else(|| self.timeout.at(), |(_, by)| by)
    }

    fn timed_out(&self) -> Failure {
        match &self.job {
            Job::Fetch(fetch) => fetch.fetching.timed_out(),
            Job::Step(stepping) => stepping.timed_out(),
        }
    }
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| text(path), |name| name.to_string_lossy().into_owned())
}

/// The names of files, for a sentence.
pub fn list<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    paths.map(name).collect::<Vec<_>>().join(", ")
}
