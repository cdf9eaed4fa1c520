//! One reload, or one look for changes: its children one after the other, and what they have made so far.

mod busy;
mod child;
mod prepare;

use super::stage::Stage;
use super::{Scratch, Why, text};
use crate::config::plan::{FilePlan, OnChange, Plan, StepPlan};
use crate::fetch::job::Known;
use crate::runtime::children::Gone;
use crate::runtime::clock;
use crate::runtime::env::Environment;
use crate::runtime::failure::Failure;
use crate::runtime::fetching::Fetching;
use crate::runtime::fpm::StatusPage;
use crate::runtime::off_loop::{OffLoop, Watch};
use crate::runtime::shell::{Origin, Shell};
use crate::runtime::stepping::Stepping;
use crate::runtime::verify::{self, Check, Stamp};
use crate::supervisor::Mono;
use crate::supervisor::words::counted;
use crate::sys::Pid;
use busy::Busy;
use child::{Fetch, Job, Running};
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// What comes next.
pub enum Next {
    /// A child runs, or a thread works.
    Wait,
    /// Ask again.
    Again,
    Done,
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
    /// Where what has been placed came from.
    pub origins: Vec<(PathBuf, Origin)>,
    /// `.env changed (etag 0a1b), 2 boot steps`.
    pub summary: String,
    /// The next number of a generation.
    pub number: u32,
    changed: Vec<FilePlan>,
    phase: Phase,
    running: Option<Running>,
    fetches: VecDeque<FilePlan>,
    steps: VecDeque<StepPlan>,
    /// The step that comes next, and how the file that it has to write stands.
    ready: Option<(StepPlan, Option<Stamp>)>,
    killed: bool,
    busy: Option<Busy>,
    /// Why a thread could not do what it should.
    failed: Option<Failure>,
}

/// What is under way, or comes next once no thread and no child works on it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Fetch,
    Step,
    Commit,
    Done,
}

impl Work {
    /// Begins with reading the configuration again and looking whether it could run here.
    pub fn reload(shell: &Shell, why: Why, number: u32) -> Self {
        let (load, site) = (Arc::clone(&shell.load), shell.site());
        let mut work = Self::new(Some(why), Rc::clone(&shell.plan), shell.environment.clone(), number);
        work.busy = Some(Busy::start(
            move |progress| prepare::read(&load, site, progress, number),
            |work, read| {
                work.plan = Rc::new(read.plan);
                work.environment = read.environment;
                work.generation = read.generation;
                work.stage = read.stage;
                work.fetches = work.plan.files.iter().cloned().collect();
                work.number = read.number;
                Ok(())
            },
        ));
        work
    }

    /// Waits for the thread that works on it; for ever where none does. Safe to cancel.
    pub async fn made(&mut self) {
        let Some(busy) = &mut self.busy else { return std::future::pending().await };
        let take = busy.done().await;
        self.busy = None;
        self.failed = take(self).err();
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
        let files: Vec<FilePlan> =
            plan.files.iter().filter(|file| paths.contains(file.path.as_path())).cloned().collect();
        let mut work = Self::new(None, Rc::clone(&plan), shell.environment.clone(), 0);
        work.fetches = files.iter().cloned().collect();
        let site = shell.site();
        work.busy = Some(Busy::start(
            move |progress| Stage::of_files(&mut site.with(progress), &files),
            |work, stage| {
                work.stage = stage;
                Ok(())
            },
        ));
        work
    }

    fn new(why: Option<Why>, plan: Rc<Plan>, environment: Environment, number: u32) -> Self {
        Self {
            why,
            began: clock::now(),
            plan,
            generation: None,
            environment,
            stage: Stage::default(),
            literals: BTreeSet::new(),
            pages: Vec::new(),
            origins: Vec::new(),
            summary: String::new(),
            number,
            changed: Vec::new(),
            phase: Phase::Fetch,
            running: None,
            fetches: VecDeque::new(),
            steps: VecDeque::new(),
            ready: None,
            killed: false,
            busy: None,
            failed: None,
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
        let busy = self.busy.as_ref().filter(|_| !self.killed).and_then(Busy::deadline);
        self.running.as_ref().map(Running::deadline).or(busy)
    }

    /// The files that are new.
    pub fn changed_files(&self) -> Vec<FilePlan> {
        self.changed.clone()
    }

    /// Those of them that everything is fetched once more for.
    pub fn reloading_files(&self) -> impl Iterator<Item = &FilePlan> {
        self.changed.iter().filter(|file| file.on_change == OnChange::Reload)
    }

    /// A thread works on it.
    pub fn is_busy(&self) -> bool {
        self.busy.is_some()
    }

    /// Files are being put into their places.
    pub fn commits(&self) -> bool {
        self.busy.as_ref().is_some_and(Busy::is_commit)
    }

    /// The thread that works on it.
    pub fn watch(&self) -> Option<Watch> {
        self.busy.as_ref().map(Busy::watch)
    }

    /// Removes what it has made and nobody uses, on a thread; `None`: there is nothing.
    pub fn discard(self) -> Option<OffLoop<()>> {
        let made = (self.stage, self.generation);
        (made.0.has_directories() || made.1.is_some()).then(|| OffLoop::start(move |_| drop(made)))
    }

    fn summarize(&self) -> String {
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

    /// Starts the next child or thread, where there is one more.
    ///
    /// # Errors
    /// It cannot go on.
    pub fn next(
        &mut self,
        shell: &mut Shell,
        literals: &BTreeSet<String>,
        first: &Plan,
    ) -> Result<Next, Failure> {
        if self.killed || self.running.is_some() || self.busy.is_some() {
            return Ok(Next::Wait);
        }
        if let Some(failure) = self.failed.take() {
            return Err(failure);
        }
        match self.phase {
            Phase::Fetch => match self.fetches.pop_front() {
                Some(file) => return self.fetch(shell, file).map(|()| Next::Wait),
                None if self.is_look() => self.phase = Phase::Commit,
                None => {
                    self.phase = Phase::Step;
                    self.prepare(shell, literals, first);
                }
            },
            Phase::Step => {
                if let Some((step, before)) = self.ready.take() {
                    return self.step(shell, &step, before).map(|()| Next::Wait);
                }
                match self.steps.pop_front() {
                    Some(step) => self.make_ready(shell, step),
                    None => self.phase = Phase::Commit,
                }
            }
            Phase::Commit => {
                self.phase = Phase::Done;
                self.commit();
            }
            Phase::Done => return Ok(Next::Done),
        }
        Ok(Next::Again)
    }

    /// A step comes next. Where it has to write a file, it is noted first how that stands.
    fn make_ready(&mut self, shell: &mut Shell, step: StepPlan) {
        self.swap(shell);
        let cache = Check::cache_of(shell, &step);
        self.swap(shell);
        let Some(cache) = cache else {
            self.ready = Some((step, None));
            return;
        };
        self.busy = Some(Busy::start(
            move |progress| Ok(verify::stamp(&cache, progress)),
            |work, before| {
                work.ready = Some((step, before));
                Ok(())
            },
        ));
    }

    fn step(&mut self, shell: &mut Shell, step: &StepPlan, before: Option<Stamp>) -> Result<(), Failure> {
        self.swap(shell);
        let stepping = Stepping::start(shell, step, before, false);
        self.swap(shell);
        let stepping = stepping?;
        self.run(stepping.pid, stepping.limit, Job::Step(stepping));
        Ok(())
    }

    /// A step ended by itself.
    fn stepped(&mut self, stepping: Stepping, gone: &Gone) -> Result<(), Failure> {
        let Some(cache) = stepping.ended(gone)? else { return stepping.verdict(None) };
        self.busy = Some(Busy::start(
            move |progress| Ok(verify::stamp(&cache, progress)),
            |_, after| stepping.verdict(after),
        ));
        Ok(())
    }

    /// Puts the files into their places; those of a look that lead to a reload are fetched again by that.
    fn commit(&mut self) {
        self.summary = self.summarize();
        let leads_to_reload = self.is_look() && self.reloading_files().next().is_some();
        if self.stage.is_empty() || leads_to_reload {
            return;
        }
        let stage = std::mem::take(&mut self.stage);
        let place = Busy::start(
            move |progress| stage.commit(progress),
            |work, origins| {
                work.origins = origins;
                Ok(())
            },
        );
        self.busy = Some(place.commits());
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
        let started = self.stage.place_of(&file.path).and_then(|staged| {
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
}

fn name(path: &Path) -> String {
    path.file_name().map_or_else(|| text(path), |name| name.to_string_lossy().into_owned())
}

/// The names of files, for a sentence.
pub fn list<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    paths.map(name).collect::<Vec<_>>().join(", ")
}
