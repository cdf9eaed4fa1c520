//! The search for what an instance that has ended left behind outside of its process group.
//!
//! A process that called setsid(2) is in no group of its service's, and once its parents have ended its parent is init: it cannot
//! be told from any other orphan. But it inherits an environment, so each instance, run and probe program gets a variable of
//! its own, [`INSTANCE`]. When it ends and init has a child that it did not start, /proc is walked once for those that
//! have it; once more when all that were found are gone, since they may have forked meanwhile.
//!
//! The variable is in the memory of the process, which may remove or change it. Without it, or where it cannot be read
//! ([`crate::sys::environ`]), a process is left alone until the container stops, as every orphan is. With that of another
//! instance it brings about its own end and nobody else's: whoever writes a process's memory may kill it as well. A program
//! that gets more rights by its file (sudo) keeps the environment of its caller, so one that the service's user could
//! not signal is left alone; and so is what descends from a living child of init.
//!
//! To read an environment may take for ever, so a thread does it, one at a time, and is not waited for without end. The process
//! that it hangs at is left out until the thread comes back, and another thread goes on; there are at most [`MOST_HUNG`].

use super::super::clock;
use super::super::env::INSTANCE;
use super::{Child, Children, Who};
use crate::config::plan::KillMode;
use crate::supervisor::{Id, Mono};
use crate::sys::proc::{self, Process};
use crate::sys::spawn::Command;
use crate::sys::{Pid, environ, random, users, words};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

/// How long a search may take. The core waits for two seconds until what was left is gone, and then goes on.
const TIME: Duration = Duration::from_secs(1);
/// After this time nothing further is read.
const READ_TIME: Duration = Duration::from_millis(500);
/// A process that forks faster than it is killed is searched for so often.
const ROUNDS: u8 = 10;
/// Maximum number of threads that hang. With so many nothing is searched for until one comes back.
const MOST_HUNG: usize = 4;
/// The thread reads small files and nothing else.
const STACK: usize = 128 << 10;

/// Gives out the variables.
#[derive(Debug)]
pub(super) struct Marks {
    /// Another init above or beside this one has other marks.
    init: u64,
    last: u64,
}

impl Marks {
    pub(super) fn new() -> Self {
        Self { init: random(), last: 0 }
    }

    /// Puts a mark into the environment of a command, and returns what to search for once that has ended.
    pub(super) fn put(&mut self, who: Who, command: &mut Command) -> Option<Sought> {
        command.env.retain(|(name, _)| name != OsStr::new(INSTANCE));
        if matches!(who, Who::Step) {
            return None;
        }
        self.last = self.last.wrapping_add(1);
        let mark = format!("{:016x}-{}", self.init, self.last);
        // In front: of a long environment only so much is read.
        command.env.insert(0, (INSTANCE.into(), mark.clone().into()));
        let uid = command.identity.as_ref().map_or_else(users::own_uid, |identity| identity.uid);
        Some(Sought { mark, uid })
    }
}

/// The processes with a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sought {
    mark: String,
    /// Whose processes they may be.
    uid: u32,
}

impl Sought {
    /// Whether it is worth looking into a process with these ids: the user that it may belong to could signal it.
    fn may_be(&self, ids: &environ::Ids) -> bool {
        self.uid == 0 || ids.may_be_signalled_by(self.uid)
    }
}

/// What is known of the search for one leftover.
#[derive(Debug)]
pub(super) struct Progress {
    sought: Sought,
    /// The answer is not there yet.
    pub(super) open: bool,
    rounds: u8,
}

/// What was found, or nobody.
#[derive(Debug)]
pub(super) struct Found {
    /// `None`: of a probe's program.
    pub(super) id: Option<Id>,
    sought: Sought,
    pub(super) processes: Vec<Process>,
}

/// What a thread brings back.
#[derive(Debug, Default)]
struct Answer {
    found: Vec<Found>,
    /// Those that could not be looked into, and why the first could not.
    unread: Vec<Process>,
    why: Option<io::Error>,
}

/// The process that a thread is reading the environment of.
type Reading = Arc<Mutex<Option<Process>>>;

fn set(reading: &Reading, process: Option<Process>) {
    *reading.lock().unwrap_or_else(PoisonError::into_inner) = process;
}

#[derive(Debug)]
struct Running {
    wanted: Vec<(Option<Id>, Sought)>,
    answer: oneshot::Receiver<Answer>,
    reading: Reading,
    until: Mono,
}

/// A thread that is not waited for any more.
#[derive(Debug)]
struct Hung {
    /// Where it hangs. `None`: at none, it only got no processor.
    at: Option<Process>,
    answer: oneshot::Receiver<Answer>,
}

/// The thread, and what it is to do next.
#[derive(Debug, Default)]
pub(super) struct Search {
    wanted: Vec<(Option<Id>, Sought)>,
    running: Option<Running>,
    hung: Vec<Hung>,
    answers: Vec<Found>,
    /// That some processes cannot be looked into has been logged.
    unread_told: bool,
}

impl Search {
    /// False: too many earlier searches hang.
    fn want(&mut self, id: Option<Id>, sought: Sought) -> bool {
        let works = !self.is_spent();
        if works {
            self.wanted.push((id, sought));
        }
        works
    }

    /// As many threads hang as may.
    fn is_spent(&mut self) -> bool {
        self.hung.retain_mut(|hung| matches!(hung.answer.try_recv(), Err(TryRecvError::Empty)));
        self.hung.len() >= MOST_HUNG
    }

    /// Begins a search for what is wanted, unless one is under way. `live`: the children that init started.
    fn start(&mut self, live: impl Iterator<Item = Pid>) {
        if self.running.is_some() || self.wanted.is_empty() {
            return;
        }
        let wanted = std::mem::take(&mut self.wanted);
        let live: HashSet<i32> = live.map(Pid::raw).collect();
        let skipped: Vec<Process> = self.hung.iter().filter_map(|hung| hung.at.clone()).collect();
        let (done, answer) = oneshot::channel();
        let (all, reading) = (wanted.clone(), Reading::default());
        let own = Arc::clone(&reading);
        let search = move || drop(done.send(find(all, &live, &skipped, &own)));
        match std::thread::Builder::new().name("leftovers".to_owned()).stack_size(STACK).spawn(search) {
            Ok(_) => {
                self.running = Some(Running { wanted, answer, reading, until: clock::now().after(TIME) });
            }
            Err(error) => {
                tracing::warn!("cannot search for what was left behind: {}", words(&error));
                self.answers.extend(nobody(wanted));
            }
        }
    }

    /// Returns when there is an answer, or the search takes too long. Safe to cancel.
    pub(super) async fn finished(&mut self) {
        if !self.answers.is_empty() {
            return;
        }
        let Some(running) = &mut self.running else { return std::future::pending().await };
        let until = Some(running.until);
        let answer = tokio::select! {
            biased;
            answer = &mut running.answer => Some(answer),
            () = clock::until(until) => None,
        };
        match answer {
            Some(answer) => self.ended(answer.ok()),
            None => self.give_up(),
        }
    }

    fn ended(&mut self, answer: Option<Answer>) {
        let Some(running) = self.running.take() else { return };
        let answer =
            answer.unwrap_or_else(|| Answer { found: nobody(running.wanted).collect(), ..Answer::default() });
        if let Some(why) = answer.why.filter(|_| !std::mem::replace(&mut self.unread_told, true)) {
            let names = super::names(&answer.unread);
            tracing::debug!("cannot look whether a service left these behind: {names}: {}", words(&why));
        }
        self.answers.extend(answer.found);
    }

    /// The thread hangs: the search begins anew without the process that it hangs at.
    fn give_up(&mut self) {
        let Some(Running { wanted, answer, reading, .. }) = self.running.take() else { return };
        let at = reading.lock().unwrap_or_else(PoisonError::into_inner).take();
        let whose = at.as_ref().map_or_else(
            || "a search for it got no processor".to_owned(),
            |at| {
                format!(
                    "{}[{}] does not let its /proc/PID/environ be read, often because it waits for a file system such as EFS or                      NFS",
                    at.comm, at.pid
                )
            },
        );
        tracing::warn!(
            "cannot find out what was left behind: {whose}; if it is in a session of its own, it lives on until the stop"
        );
        let goes_on = at.is_some();
        self.hung.push(Hung { at, answer });
        if goes_on && !self.is_spent() {
            self.wanted.extend(wanted);
        } else {
            self.answers.extend(nobody(wanted.into_iter().chain(self.wanted.drain(..))));
        }
    }

    fn take(&mut self) -> Vec<Found> {
        match self.running.as_mut().map(|running| running.answer.try_recv()) {
            Some(Ok(answer)) => self.ended(Some(answer)),
            Some(Err(TryRecvError::Closed)) => self.ended(None),
            Some(Err(TryRecvError::Empty)) | None => {}
        }
        std::mem::take(&mut self.answers)
    }
}

fn nobody(wanted: impl IntoIterator<Item = (Option<Id>, Sought)>) -> impl Iterator<Item = Found> {
    wanted.into_iter().map(|(id, sought)| Found { id, sought, processes: Vec::new() })
}

/// Walks /proc once, and looks into each process once. On a thread of its own, which may hang at any of them but `skipped`.
fn find(
    wanted: Vec<(Option<Id>, Sought)>,
    live: &HashSet<i32>,
    skipped: &[Process],
    reading: &Reading,
) -> Answer {
    let mut answer = Answer { found: nobody(wanted).collect(), ..Answer::default() };
    let until = clock::now().after(READ_TIME);
    for process in strays(proc::descendants(Pid::current()).unwrap_or_default(), live) {
        if skipped.iter().any(|skipped| super::same(skipped, &process)) {
            continue;
        }
        // One that is gone by now, or nobody's that is searched for.
        let Ok(ids) = environ::Ids::of(process.pid) else { continue };
        if !answer.found.iter().any(|found| found.sought.may_be(&ids)) {
            continue;
        }
        set(reading, Some(process.clone()));
        let mark = if clock::now() > until {
            Err(io::ErrorKind::TimedOut.into())
        } else {
            environ::variable(process.pid, &ids, INSTANCE)
        };
        set(reading, None);
        match mark {
            Ok(mark) => {
                let mark = mark.unwrap_or_default();
                let is =
                    |found: &&mut Found| found.sought.mark.as_bytes() == mark && found.sought.may_be(&ids);
                if let Some(of) = answer.found.iter_mut().find(is) {
                    of.processes.push(process);
                }
            }
            Err(_) if !proc::lives(&process) => {}
            Err(error) => {
                answer.unread.push(process);
                answer.why.get_or_insert(error);
            }
        }
    }
    answer
}

/// Those of `all`, in the order of generations, that live and neither are nor descend from a living child that init
/// started, and are in the group of none.
fn strays(all: Vec<Process>, live: &HashSet<i32>) -> Vec<Process> {
    let mut owned = live.clone();
    let mut strays = Vec::new();
    for process in all {
        let pid = process.pid.raw();
        if owned.contains(&pid) || owned.contains(&process.parent) || live.contains(&process.group) {
            owned.insert(pid);
        } else if !process.zombie {
            strays.push(process);
        }
    }
    strays
}

impl Child {
    /// What is searched for when it has ended. A run that ends by itself may leave something behind.
    pub(super) fn sought(&mut self) -> Option<Sought> {
        let may_leave = matches!(self.who, Who::Unit(Id::Run { .. })) && self.told.is_none();
        self.sought.take().filter(|_| !may_leave)
    }
}

impl Children {
    /// Which processes are to end with a child.
    pub fn set_kill_mode(&mut self, pid: Pid, mode: KillMode) {
        if mode == KillMode::Group
            && let Some(child) = self.live.get_mut(&pid)
        {
            child.sought = None;
        }
    }

    /// A search for what has ended is worth its while: init has a child that it did not start.
    pub(super) fn has_strangers(&self) -> bool {
        proc::has_child_but(|pid| self.live.contains_key(&pid))
    }

    /// What a child that has ended left behind is to be found. `None`: it is not searched for.
    pub(super) fn search_for(&mut self, who: Who, sought: Sought) -> Option<Progress> {
        let id = match who {
            Who::Unit(id) => Some(id),
            Who::Probe(_) | Who::Step => None,
        };
        let wanted = self.search.want(id, sought.clone());
        wanted.then_some(Progress { sought, open: true, rounds: 1 })
    }

    /// Takes the answers of a search: what was found gets the signal that the rest of its unit has had, and what a probe's
    /// program left is killed.
    pub(super) fn take_found(&mut self) {
        for found in self.search.take() {
            match found.id.map(|id| self.left.get_mut(&id)) {
                Some(Some(left)) => left.found(found),
                Some(None) => {}
                None => {
                    proc::kill_all(&found.processes);
                }
            }
        }
        self.start_search();
    }

    pub(super) fn start_search(&mut self) {
        self.search.start(self.live.keys().copied());
    }
}

impl Progress {
    /// Takes the answer; true while the search goes on, once what was found is gone.
    pub(super) fn goes_on(&mut self, found: &Found) -> bool {
        if self.sought != found.sought {
            return true;
        }
        self.open = false;
        !found.processes.is_empty() && self.rounds < ROUNDS
    }

    /// Searches once more; false: an earlier search hangs.
    pub(super) fn again(&mut self, id: Id, search: &mut Search) -> bool {
        self.rounds = self.rounds.saturating_add(1);
        self.open = search.want(Some(id), self.sought.clone());
        self.open
    }
}

#[cfg(test)]
mod tests;
