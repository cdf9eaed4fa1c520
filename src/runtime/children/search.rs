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
//! To read an environment may take for ever, so a thread does it, one at a time, and is not waited for without end.

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
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a search may take. The core waits for two seconds until what was left is gone, and then goes on.
const TIME: Duration = Duration::from_secs(1);
/// After this time nothing further is read.
const READ_TIME: Duration = Duration::from_millis(500);
/// A process that forks faster than it is killed is searched for so often.
const ROUNDS: u8 = 10;
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
    fn is(&self, pid: Pid) -> bool {
        let Ok(ids) = environ::Ids::of(pid) else { return false };
        (self.uid == 0 || ids.may_be_signalled_by(self.uid))
            && matches!(environ::variable(pid, &ids, INSTANCE), Ok(Some(mark)) if mark == self.mark.as_bytes())
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

#[derive(Debug)]
struct Running {
    wanted: Vec<(Option<Id>, Sought)>,
    answer: oneshot::Receiver<Vec<Found>>,
    /// `None`: it is not waited for any more.
    until: Option<Mono>,
}

/// The thread, and what it is to do next.
#[derive(Debug, Default)]
pub(super) struct Search {
    wanted: Vec<(Option<Id>, Sought)>,
    running: Option<Running>,
    answers: Vec<Found>,
}

impl Search {
    /// False: an earlier search hangs.
    fn want(&mut self, id: Option<Id>, sought: Sought) -> bool {
        let hangs = self.running.as_ref().is_some_and(|running| running.until.is_none());
        if !hangs {
            self.wanted.push((id, sought));
        }
        !hangs
    }

    /// Begins a search for what is wanted, unless one is under way. `live`: the children that init started.
    fn start(&mut self, live: impl Iterator<Item = Pid>) {
        if self.running.is_some() || self.wanted.is_empty() {
            return;
        }
        let wanted = std::mem::take(&mut self.wanted);
        let live: HashSet<i32> = live.map(Pid::raw).collect();
        let (done, answer) = oneshot::channel();
        let all = wanted.clone();
        let search = move || drop(done.send(find(all, &live)));
        match std::thread::Builder::new().name("leftovers".to_owned()).stack_size(STACK).spawn(search) {
            Ok(_) => {
                self.running = Some(Running { wanted, answer, until: Some(clock::now().after(TIME)) });
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
        let until = running.until;
        let answer = tokio::select! {
            answer = &mut running.answer => Some(answer),
            () = clock::until(until) => None,
        };
        match answer {
            Some(answer) => self.ended(answer.ok()),
            None => self.give_up(),
        }
    }

    fn ended(&mut self, answer: Option<Vec<Found>>) {
        let Some(running) = self.running.take() else { return };
        // One that was given up has been answered.
        if running.until.is_some() {
            self.answers.extend(answer.unwrap_or_else(|| nobody(running.wanted).collect()));
        }
    }

    fn give_up(&mut self) {
        let Some(running) = &mut self.running else { return };
        running.until = None;
        tracing::warn!(
            "cannot find out what was left behind: a process does not let its /proc/PID/environ be read, often because it waits \
             for a file system such as EFS or NFS; what is in a session of its own lives on until the stop"
        );
        let wanted = std::mem::take(&mut running.wanted).into_iter().chain(self.wanted.drain(..));
        self.answers.extend(nobody(wanted));
    }

    fn take(&mut self) -> Vec<Found> {
        match self.running.as_mut().map(|running| running.answer.try_recv()) {
            Some(Ok(answer)) => self.ended(Some(answer)),
            Some(Err(oneshot::error::TryRecvError::Closed)) => self.ended(None),
            Some(Err(oneshot::error::TryRecvError::Empty)) | None => {}
        }
        std::mem::take(&mut self.answers)
    }
}

fn nobody(wanted: impl IntoIterator<Item = (Option<Id>, Sought)>) -> impl Iterator<Item = Found> {
    wanted.into_iter().map(|(id, sought)| Found { id, sought, processes: Vec::new() })
}

/// Walks /proc once. On a thread of its own.
fn find(wanted: Vec<(Option<Id>, Sought)>, live: &HashSet<i32>) -> Vec<Found> {
    let mut found: Vec<Found> = nobody(wanted).collect();
    let until = clock::now().after(READ_TIME);
    for process in strays(proc::descendants(Pid::current()).unwrap_or_default(), live) {
        if clock::now() > until {
            break;
        }
        if let Some(of) = found.iter_mut().find(|found| found.sought.is(process.pid)) {
            of.processes.push(process);
        }
    }
    found
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
mod tests {
    use super::*;

    fn process(pid: i32, parent: i32, group: i32) -> Process {
        let (pid, comm) = (Pid::new(pid).unwrap(), "x".to_owned());
        Process { pid, parent, group, session: group, start_time: 1, comm, zombie: false }
    }

    #[test]
    fn what_belongs_to_a_living_child_is_no_stray() {
        let all = vec![
            process(10, 1, 10),
            process(20, 1, 20),
            process(21, 1, 10),
            Process { zombie: true, ..process(30, 1, 30) },
            process(11, 10, 11),
            process(22, 20, 20),
            process(23, 21, 23),
        ];
        let pids: Vec<i32> = strays(all, &HashSet::from([10])).iter().map(|p| p.pid.raw()).collect();
        assert_eq!(pids, [20, 22]);
    }

    /// The thread hangs as long as the sender lives.
    #[tokio::test(flavor = "current_thread")]
    async fn a_search_that_hangs_is_answered_and_nothing_waits_for_the_next_one() {
        let sought = |mark: &str| Sought { mark: mark.to_owned(), uid: 0 };
        let (hangs, answer) = oneshot::channel();
        let wanted = vec![(None, sought("a"))];
        let mut search = Search {
            running: Some(Running { wanted, answer, until: Some(clock::now()) }),
            ..Search::default()
        };
        assert!(search.want(None, sought("b")));
        search.finished().await;
        let marks = |found: Vec<Found>| -> Vec<String> {
            found.iter().filter(|found| found.processes.is_empty()).map(|of| of.sought.mark.clone()).collect()
        };
        assert_eq!(marks(search.take()), ["a", "b"]);
        assert!(!search.want(None, sought("c")));
        // It comes back: what it says is too late, and the next search may begin.
        hangs.send(nobody([(None, sought("a"))]).collect()).unwrap();
        assert_eq!(marks(search.take()), [""; 0]);
        assert!(search.want(None, sought("d")));
    }

    #[test]
    fn a_mark_replaces_any_other_and_steps_have_none() {
        let mut marks = Marks::new();
        let mut command = Command::new(["x"]);
        command.env = vec![("A".into(), "1".into()), (INSTANCE.into(), "of another init".into())];
        let first = marks.put(Who::Probe(1), &mut command).unwrap();
        let second = marks.put(Who::Probe(1), &mut command).unwrap();
        assert_ne!(first, second);
        assert_eq!(command.env[0], (INSTANCE.into(), second.mark.into()));
        assert_eq!(command.env.len(), 2);
        assert_eq!(marks.put(Who::Step, &mut command), None);
        assert_eq!(command.env.len(), 1);
    }
}
