//! Reload: configuration, files and boot steps once more, beside what runs, and then in its place.
//!
//! Driven by the event loop and never waiting itself: supervision, schedule and stop go on meanwhile. Nothing that runs
//! sees any of it until all of it has worked; a failure leaves everything as it was.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | what was asked for, when to look for changes, and what became of it |
//! | `work.rs`, `work/prepare.rs` | one reload, or one look for changes: its children and threads one after the other |
//! | `work/busy.rs`, `work/child.rs` | a thread that works for it, and a child |
//! | `stage.rs` | files that wait beside their places |
//! | `scratch.rs` | the directories of both, and of a generation of caches |
//! | `merge.rs` | PURE: the new plan in the place of the old one |
//! | `hung.rs` | threads that were given up: nothing begins while one of them hangs |
//! | `refresh.rs` | when which file is looked at |
//!
//! A *generation* is a directory of caches that the boot steps of one reload wrote. Laravel's `config:cache` and `view:cache`
//! clear before they write, and opcache does not look again at a file that it has: so each reload writes to paths
//! of its own.

mod hung;
mod merge;
mod refresh;
mod scratch;
mod stage;
mod work;

pub use merge::Merged;
pub use stage::sweep;

use super::children::{Gone, Who};
use super::clock;
use super::failure::Failure;
use super::off_loop::OffLoop;
use super::shell::Shell;
use crate::config::plan::{OnChange, Plan, Signal};
use crate::control::protocol::Phase;
use crate::exit;
use crate::supervisor::Mono;
use hung::Hung;
use refresh::Refresh;
use scratch::Scratch;
use std::collections::BTreeSet;
use std::path::Path;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;
use work::{Next, Work};

/// Where generations live, in the state directory.
const GENERATIONS: &str = ".generations";

/// What processes of an earlier generation may take beyond the stop budget before it is looked whether they are gone.
const MARGIN: Duration = Duration::from_secs(5);

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 0, or why not: one of [`crate::exit`].
    pub code: u8,
    pub text: String,
}

/// Who wants a reload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Why {
    /// Somebody; such as `HUP`.
    Asked(String),
    /// A look found that these files have changed.
    Changed(String),
}

/// Is told how the reload ended.
pub type Answer = Box<dyn FnOnce(&Verdict)>;

/// What the event loop must do next.
pub enum Change {
    /// Supervise this plan from now on. Files are in their places, and the environment of children is new.
    Plan(Box<Merged>),
    /// Send these signals to these services.
    Signals(Vec<(String, Signal)>),
}

/// Caches that processes may still use.
struct Old {
    generation: Scratch,
    /// Processes that started before use it.
    until: Mono,
    look: Mono,
}

/// All reloads of a container.
pub struct Reloads {
    work: Option<Work>,
    answers: Vec<Answer>,
    /// The one that follows the one that runs.
    queued: Option<(Why, Vec<Answer>)>,
    refresh: Refresh,
    /// Why the last reload that nobody asked for failed.
    complaint: Option<String>,
    /// Counts the names of generations.
    number: u32,
    generation: Option<Scratch>,
    old: Vec<Old>,
    /// Removals of what is not used any more.
    discarded: Vec<OffLoop<()>>,
    hung: Hung,
    /// Variables that PHP-FPM's drop-in spells out, since its master may run with other values.
    literals: BTreeSet<String>,
    first: Rc<Plan>,
}

impl Reloads {
    /// For what has been booted with the shell's plan.
    pub fn new(shell: &Shell) -> Self {
        Self {
            work: None,
            answers: Vec::new(),
            queued: None,
            refresh: Refresh::new(&shell.plan, clock::now()),
            complaint: None,
            number: 0,
            generation: None,
            old: Vec::new(),
            discarded: Vec::new(),
            hung: Hung::default(),
            literals: BTreeSet::new(),
            first: Rc::clone(&shell.plan),
        }
    }

    /// When [`Reloads::due`] must be called.
    pub fn deadline(&self) -> Option<Mono> {
        let work = match &self.work {
            Some(work) => work.deadline(),
            None => self.refresh.deadline(),
        };
        self.old.iter().map(|old| old.look).chain(work).min()
    }

    /// A reload, or a look at files, goes on.
    pub fn is_under_way(&self) -> bool {
        self.work.is_some()
    }

    /// Somebody wants a reload. While one runs, all further requests become one that follows.
    pub fn ask(&mut self, shell: &mut Shell, why: Why, answer: Option<Answer>) -> Option<Change> {
        if self.work.is_some() {
            tracing::info!("a reload is under way: another one follows");
            let (_, answers) = self.queued.get_or_insert((why, Vec::new()));
            answers.extend(answer);
            return None;
        }
        self.answers.extend(answer);
        self.begin(shell, why)
    }

    fn begin(&mut self, shell: &mut Shell, why: Why) -> Option<Change> {
        if let Some(failure) = self.hung.refuse() {
            return self.failed(shell, &why, &failure);
        }
        match &why {
            Why::Asked(who) => tracing::info!("{who}: reloading"),
            Why::Changed(what) => tracing::info!("{what} changed: reloading"),
        }
        shell.board.enter(Phase::Reloading);
        self.work = Some(Work::reload(shell, why, self.number));
        None
    }

    /// Waits for the thread that works for a reload; for ever where none does. Meanwhile it shows what removals have to say.
    /// Safe to cancel. Call [`Reloads::go_on`] then.
    pub async fn made(&mut self) {
        let Some(work) = &mut self.work else { return removed(&mut self.discarded).await };
        tokio::select! {
            biased;
            () = work.made() => self.number = self.number.max(work.number),
            () = removed(&mut self.discarded) => {}
        }
    }

    /// A child of a reload has ended.
    pub fn gone(&mut self, shell: &mut Shell, gone: &Gone) -> Option<Change> {
        if gone.who != Who::Step {
            return None;
        }
        let work = self.work.as_mut()?;
        if work.is_killed() {
            if work.pid() == Some(gone.pid) {
                self.discard();
            }
            return None;
        }
        match work.gone(gone)? {
            Ok(()) => self.go_on(shell),
            Err(failure) => self.fail(shell, &failure),
        }
    }

    /// The deadline has passed.
    pub fn due(&mut self, shell: &mut Shell) -> Option<Change> {
        let now = clock::now();
        self.forget_old(shell, now);
        let Some(work) = &mut self.work else {
            let files = self.refresh.due(now);
            if files.is_empty() {
                return None;
            }
            if let Some(failure) = self.hung.refuse() {
                return self.complain(shell, &failure);
            }
            tracing::debug!(
                "looking whether {} changed",
                work::list(files.iter().map(|file| file.path.as_path()))
            );
            self.work = Some(Work::look(shell, &files));
            return self.go_on(shell);
        };
        match work.due(now) {
            Some(failure) => self.fail(shell, &failure),
            None => None,
        }
    }

    /// Does what can be done without waiting.
    pub fn go_on(&mut self, shell: &mut Shell) -> Option<Change> {
        loop {
            match self.work.as_mut()?.next(shell, &self.literals, &self.first) {
                Ok(Next::Wait) => return None,
                Ok(Next::Again) => {}
                Ok(Next::Done) => break,
                Err(failure) => return self.fail(shell, &failure),
            }
        }
        if self.work.as_ref()?.is_look() { self.looked(shell) } else { self.committed(shell) }
    }

    /// Forgets what goes on, with all that it has made and nobody uses.
    fn discard(&mut self) {
        if let Some(work) = self.work.take() {
            let given_up = work.watch();
            let discarded = work.discard();
            if let Some(watch) = given_up {
                // What removes the rest may hang at the same place.
                self.hung.push([Some(watch), discarded.as_ref().map(OffLoop::watch)]);
            }
            self.discarded.extend(discarded);
        }
    }

    /// What the files that were looked at lead to.
    fn looked(&mut self, shell: &mut Shell) -> Option<Change> {
        let work = self.work.as_mut()?;
        shell.origins.extend(std::mem::take(&mut work.origins));
        let changed: Vec<_> = work.changed_files();
        let reload = work::list(work.reloading_files().map(|file| file.path.as_path()));
        self.discard();
        self.complaint = if changed.is_empty() { None } else { self.complaint.take() };
        if !reload.is_empty() {
            // Everything is fetched once more, under one roof.
            return self.begin(shell, Why::Changed(reload));
        }
        let text = work::list(changed.iter().map(|file| file.path.as_path()));
        if changed.is_empty() {
            return self.follow(shell);
        }
        let signals: Vec<(String, Signal)> = changed
            .iter()
            .filter_map(|file| match &file.on_change {
                OnChange::Signal { signal, service } => Some((service.clone(), *signal)),
                OnChange::Reload | OnChange::Nothing => None,
            })
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect();
        self.complaint = None;
        tracing::info!("{text} changed: placed");
        // What was asked for meanwhile comes after the signals.
        Some(Change::Signals(signals))
    }

    /// Files are in their places: so is everything else from now on.
    fn committed(&mut self, shell: &mut Shell) -> Option<Change> {
        let mut work = self.work.take()?;
        let caches: BTreeSet<String> =
            [&shell.plan, &work.plan].iter().flat_map(|plan| plan.reload.caches.keys().cloned()).collect();
        let mut generation = work.generation.take();
        let merged = merge::merge(&shell.plan, (*work.plan).clone(), &caches);
        let began = work.began;
        let environment = work.environment();
        let (literals, pages) = (std::mem::take(&mut work.literals), std::mem::take(&mut work.pages));
        shell.origins.extend(std::mem::take(&mut work.origins));
        let summary = std::mem::take(&mut work.summary);
        self.discarded.extend(work.discard());
        let now = clock::now();
        if let Some(generation) = &mut generation {
            generation.keep();
        }
        if let Some(generation) = std::mem::replace(&mut self.generation, generation) {
            let look = now.after(shell.plan.stop_timeout.saturating_add(MARGIN));
            self.old.push(Old { generation, until: now, look });
        }
        self.literals = literals;
        shell.board.status_pages.replace(pages);
        shell.environment = environment;
        shell.plan = Rc::new(merged.plan.clone());
        self.refresh.follow(&shell.plan, now);
        self.complaint = None;
        let names: Vec<&str> = (0..=u16::MAX)
            .zip(&merged.plan.services)
            .filter(|(index, _)| !merged.retired.contains(index))
            .map(|(_, service)| service.name.as_str())
            .collect();
        let took = crate::supervisor::words::Words(now.since(began));
        let reloading = match names.as_slice() {
            [] => String::new(),
            [one] => format!(", {one} reloads"),
            [rest @ .., last] => format!(", {} and {last} reload", rest.join(", ")),
        };
        let text = format!("reloaded in {took}: {summary}{reloading}");
        tracing::info!("{text}");
        self.tell(shell, &Verdict { code: exit::OK, text });
        Some(Change::Plan(Box::new(merged)))
    }

    fn fail(&mut self, shell: &mut Shell, failure: &Failure) -> Option<Change> {
        let why = self.work.as_ref().map(|work| (!work.is_look()).then(|| work.why()))?;
        self.discard();
        match why {
            Some(why) => self.failed(shell, &why, failure),
            None => self.complain(shell, failure),
        }
    }

    /// A look failed: told once, until the reason is another.
    fn complain(&mut self, shell: &mut Shell, failure: &Failure) -> Option<Change> {
        if self.complaint.as_ref() == Some(&failure.text) {
            tracing::debug!("{}", failure.text);
        } else {
            let text = format!("{}; everything stays as it was", failure.text);
            tracing::warn!("cannot refresh: {}", Failure { text, ..failure.clone() }.with_hints());
            self.complaint = Some(failure.text.clone());
        }
        self.follow(shell)
    }

    fn failed(&mut self, shell: &mut Shell, why: &Why, failure: &Failure) -> Option<Change> {
        let text = format!("reload failed: {}; everything stays as it was", failure.text);
        let known = matches!(why, Why::Changed(_)) && self.complaint.as_ref() == Some(&failure.text);
        if known {
            tracing::debug!("{text}");
        } else {
            Failure { text: text.clone(), ..failure.clone() }.log();
        }
        self.complaint = Some(failure.text.clone());
        self.tell(shell, &Verdict { code: failure.code, text });
        self.follow(shell)
    }

    fn tell(&mut self, shell: &Shell, verdict: &Verdict) {
        if shell.board.phase() == Phase::Reloading {
            shell.board.enter(Phase::Running);
        }
        shell.board.reloaded(verdict.clone());
        self.answers.drain(..).for_each(|answer| answer(verdict));
    }

    /// Begins what was asked for meanwhile. The event loop calls it once it has made a [`Change`].
    pub fn follow(&mut self, shell: &mut Shell) -> Option<Change> {
        if self.work.is_some() {
            return None;
        }
        let (why, answers) = self.queued.take()?;
        self.answers.extend(answers);
        self.begin(shell, why)
    }

    /// The container stops: what a reload has started is killed, for nothing of it counts any more.
    pub fn stop(&mut self, shell: &Shell) {
        self.refresh.clear();
        self.queued = None;
        if let Some(work) = &mut self.work
            && work.kill()
        {
            tracing::info!("the reload ends here: the container stops");
            let text = match work.commits() {
                true => "reload failed: the container stops while files are put into their places",
                false => "reload failed: the container stops; everything stays as it was",
            };
            let verdict = Verdict { code: exit::of_signal(Signal::TERM.number()), text: text.to_owned() };
            self.answers.drain(..).for_each(|answer| answer(&verdict));
            shell.board.reloaded(verdict);
        }
    }

    /// The loop has ended: waits until what was killed is gone, and leaves nothing half made where the file system answers.
    pub async fn finish(&mut self, shell: &mut Shell) {
        if let Some(pid) = self.work.as_ref().and_then(Work::pid) {
            shell.kill_step(pid).await;
        }
        if let Some(work) = self.work.as_mut().filter(|work| work.is_busy()) {
            let _ = tokio::time::timeout(shell.moment(), work.made()).await;
        }
        self.discard();
        // No process uses one any more.
        let old = std::mem::take(&mut self.old).into_iter().map(|old| old.generation);
        self.discarded.extend(old.chain(self.generation.take()).map(Scratch::remove_later));
        let all = async {
            for removal in &mut self.discarded {
                let _ = removal.done().await;
            }
        };
        let _ = tokio::time::timeout(shell.moment(), all).await;
    }

    /// Removes the generations that no process uses any more.
    fn forget_old(&mut self, shell: &Shell, now: Mono) {
        let plan = &shell.plan;
        // A master that reloads by a signal has replaced its workers by now; its own start tells nothing.
        let reloads = |unit: u16| {
            plan.services.get(usize::from(unit)).is_some_and(|service| service.reload_signal.is_some())
        };
        for old in std::mem::take(&mut self.old) {
            if old.look > now {
                self.old.push(old);
            } else if shell.children.any_older(old.until, reloads) {
                let look = now.after(plan.stop_timeout.saturating_add(MARGIN));
                self.old.push(Old { look, ..old });
            } else {
                tracing::debug!("removing {}", old.generation.path().display());
                self.discarded.push(old.generation.remove_later());
            }
        }
    }
}

/// Shows what removals have to say once they are done. Never ends.
async fn removed(removals: &mut Vec<OffLoop<()>>) {
    std::future::poll_fn(|context| {
        removals.retain_mut(|removal| std::pin::pin!(removal.done()).poll(context).is_pending());
        Poll::Pending
    })
    .await
}

/// The directory of a path, as a text in an environment.
fn text(path: &Path) -> String {
    path.display().to_string()
}
