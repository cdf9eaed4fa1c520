//! Probes as tasks: readiness until the answer is yes, liveness until the instance ends.
//!
//! | file | what |
//! |---|---|
//! | `mod.rs` | [`Probes`]: what runs, and the one channel to the loop |
//! | `task.rs` | when a task asks, and what it makes of the answers |
//! | `told.rs` | what a service tells of itself: its socket, its descriptor |
//! | `command.rs` | probes that run a program |
//!
//! A task tells the loop only what changes something: of readiness successes and what interrupts them, of liveness failures
//! and the successes that end them. Attempts of one task never overlap.

mod command;
mod task;
mod told;

pub use command::Run;
pub use told::{Ears, Told};

use super::children::{Gone, Who};
use super::launch::{Launch, LaunchError, Ready};
use super::shell::Shell;
use crate::config::plan::{LivePlan, ReadyPlan, ServicePlan};
use crate::supervisor::{Event, Id};
use crate::sys::Pid;
use crate::sys::spawn::SpawnError;
use command::Running;
use std::collections::HashMap;
use std::rc::Rc;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// Messages that wait for the loop. A task that finds no room waits with its next attempt.
const MESSAGES: usize = 64;

/// What a probe is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Aim {
    Ready,
    Live,
}

/// What a task has to say.
#[derive(Debug)]
pub enum Message {
    Ready {
        ok: bool,
    },
    Live {
        ok: bool,
        why: Option<String>,
    },
    /// It became degraded, or is no more; see [`Probes::degraded`].
    Changed,
    /// Start the program of the probe.
    Run(Run),
    /// It took too long.
    Kill,
}

/// A message and the task that it is of: one of a task that was stopped may be on its way when the next has been started.
#[derive(Debug)]
pub struct Asked {
    id: Id,
    aim: Aim,
    number: u64,
    message: Message,
}

/// How a task speaks to the loop.
#[derive(Clone)]
struct Line {
    id: Id,
    aim: Aim,
    number: u64,
    sender: mpsc::Sender<Asked>,
}

impl Line {
    async fn say(&self, message: Message) {
        let Self { id, aim, number, .. } = *self;
        // The loop ends with the container.
        let _ = self.sender.send(Asked { id, aim, number, message }).await;
    }
}

/// The probes that run, and what is known from them.
pub struct Probes {
    tasks: HashMap<(Id, Aim), (u64, AbortHandle)>,
    started: u64,
    sender: mpsc::Sender<Asked>,
    messages: mpsc::Receiver<Asked>,
    /// Programs of probes, by the number that [`Who::Probe`] has, until they are reaped.
    commands: HashMap<u64, Running>,
    /// The tasks that listen to what instances tell.
    listeners: HashMap<Id, Vec<AbortHandle>>,
    told: HashMap<Id, Rc<Told>>,
}

impl Default for Probes {
    fn default() -> Self {
        let (sender, messages) = mpsc::channel(MESSAGES);
        Self {
            tasks: HashMap::new(),
            started: 0,
            sender,
            messages,
            commands: HashMap::new(),
            listeners: HashMap::new(),
            told: HashMap::new(),
        }
    }
}

impl Probes {
    /// Asks for readiness until it is there; an earlier probe of the same instance ends.
    pub fn start_ready(&mut self, id: Id, name: String, plan: ReadyPlan) {
        let told = self.told(id);
        self.start(id, Aim::Ready, |line| task::until_ready(line, name, plan, told));
    }

    /// Asks again and again whether the instance, whose main process is `pid`, lives.
    pub fn start_live(&mut self, id: Id, name: String, plan: LivePlan, pid: Option<Pid>) {
        let told = self.told(id);
        self.start(id, Aim::Live, |line| task::watch(line, name, plan, told, pid));
    }

    fn start<F: Future<Output = ()> + 'static>(&mut self, id: Id, aim: Aim, task: impl FnOnce(Line) -> F) {
        self.stop(id, aim);
        self.started = self.started.wrapping_add(1);
        let number = self.started;
        let line = Line { id, aim, number, sender: self.sender.clone() };
        let task = tokio::task::spawn_local(task(line));
        self.tasks.insert((id, aim), (number, task.abort_handle()));
    }

    /// Stops asking; a program that runs for it is killed.
    pub fn stop(&mut self, id: Id, aim: Aim) {
        if let Some((number, task)) = self.tasks.remove(&(id, aim)) {
            task.abort();
            self.kill(number);
        }
        if let (Aim::Live, Some(told)) = (aim, self.told.get(&id)) {
            told.heal();
        }
    }

    fn kill(&self, number: u64) {
        self.commands.values().filter(|running| running.task == number).for_each(Running::kill);
    }

    /// The main process of the instance has ended: nothing is asked and nothing heard any more.
    pub fn instance_ended(&mut self, id: Id) {
        for aim in [Aim::Ready, Aim::Live] {
            self.stop(id, aim);
        }
        self.listeners.remove(&id).into_iter().flatten().for_each(|task| task.abort());
        if let Some(told) = self.told.get(&id) {
            told.forget();
        }
    }

    /// Listens to what the process `pid` of an instance tells.
    pub fn listen(&mut self, id: Id, name: &str, pid: Pid, ears: Ears) {
        let told = self.told(id);
        self.listeners.insert(id, ears.listen(name, pid, &told));
    }

    fn told(&mut self, id: Id) -> Rc<Told> {
        Rc::clone(self.told.entry(id).or_default())
    }

    /// Why the instance is degraded, by its last liveness probe.
    pub fn degraded(&self, id: Id) -> Option<String> {
        self.told.get(&id).and_then(|told| told.degraded())
    }

    /// What is known of an instance by its probes and from itself, where it has any.
    pub fn known(&self, id: Id) -> Option<&Told> {
        self.told.get(&id).map(Rc::as_ref)
    }

    /// The next message. Safe to cancel.
    pub async fn next(&mut self) -> Asked {
        loop {
            match self.messages.recv().await {
                Some(asked) if self.is_current(&asked) => return asked,
                // What a task says that was stopped meanwhile is nobody's.
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }

    fn is_current(&self, asked: &Asked) -> bool {
        self.tasks.get(&(asked.id, asked.aim)).is_some_and(|(number, _)| *number == asked.number)
    }

    /// What the message means to the core; a program to run is started, or killed, here.
    pub fn take(&mut self, asked: Asked, shell: &mut Shell) -> Option<Event> {
        let Asked { id, number, message, .. } = asked;
        match message {
            Message::Ready { ok } => Some(Event::Probe { id, ok }),
            Message::Live { ok, why } => Some(Event::Live { id, ok, why }),
            Message::Changed => None,
            Message::Run(run) => {
                let service = service(shell, id)?;
                self.started = self.started.wrapping_add(1);
                // One that could not be started tells its task so.
                if let Some(running) = command::start(run, &service, number, Who::Probe(self.started), shell)
                {
                    self.commands.insert(self.started, running);
                }
                None
            }
            Message::Kill => {
                self.kill(number);
                None
            }
        }
    }

    /// Takes the programs of probes out of what was reaped. At once: from now on their pids may be others'.
    pub fn reaped(&mut self, all: &mut Vec<Gone>) {
        all.retain(|gone| {
            let Who::Probe(command) = gone.who else { return true };
            if let Some(running) = self.commands.remove(&command) {
                running.ended(gone);
            }
            false
        });
    }
}

/// Prepares the start of an instance, with what it needs to tell of itself, where it tells anything.
///
/// # Errors
/// [`LaunchError`]; nothing came of it.
pub fn prepare(
    service: &ServicePlan,
    launch: &Launch<'_>,
    shell: &mut Shell,
) -> Result<(Ready, Option<Ears>), LaunchError> {
    let refused = |source| {
        let program = launch.argv.first().cloned().unwrap_or_default();
        SpawnError::Refused { program, step: "make what it tells of itself through", source }
    };
    let owner = shell.identity(launch.user)?.map(|identity| (identity.uid, identity.gid));
    let uid = owner.map_or(shell.own_uid, |(uid, _)| uid);
    let ears = Ears::new(service, uid, || shell.pipe(owner)).map_err(refused)?;
    let Some(mut ears) = ears else { return Ok((shell.prepare(launch, None)?, None)) };
    let mut env = launch.env.clone();
    env.append(&mut ears.env);
    let ready = shell.prepare(&Launch { env: &env, ..launch.clone() }, ears.descriptor.take())?;
    Ok((ready, Some(ears)))
}

fn service(shell: &Shell, id: Id) -> Option<ServicePlan> {
    let Id::Service { unit, .. } = id else { return None };
    shell.plan.services.get(usize::from(unit)).cloned()
}

#[cfg(test)]
mod tests;
