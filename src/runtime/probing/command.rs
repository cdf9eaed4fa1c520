//! Probes that run a program: started and reaped by the loop like every other child, waited for by the probe's task.

use super::{Line, Message};
use crate::config::plan::{LogFormat, OnStall, ProbePlan, ServicePlan, Signal};
use crate::exit;
use crate::logs::format::Label;
use crate::probe::Outcome;
use crate::probe::notify::clean;
use crate::runtime::children::{Gone, Who};
use crate::runtime::clock;
use crate::runtime::launch::Launch;
use crate::runtime::output::watch;
use crate::runtime::shell::Shell;
use crate::supervisor::ExitStatus;
use crate::supervisor::words::Words;
use crate::sys::spawn::{Command, Output};
use crate::sys::{Pid, fd, group, words};
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

/// What is kept of stderr: the end of it.
const TAIL: usize = 1024;
/// What is shown of its last line, in characters.
const SHOWN: usize = 200;

/// A program to start for a task, which waits for its end.
#[derive(Debug)]
pub struct Run {
    aim: super::Aim,
    reply: oneshot::Sender<Outcome>,
}

/// A program that runs.
pub(super) struct Running {
    /// The number of the task that it runs for.
    pub task: u64,
    pid: Pid,
    reply: oneshot::Sender<Outcome>,
    stderr: Rc<Tail>,
    reader: AbortHandle,
}

/// Runs the program of a task, once at a time.
pub(super) struct Runner {
    line: Line,
    timeout: Duration,
    /// An earlier one that was killed and has not ended.
    left: Option<oneshot::Receiver<Outcome>>,
}

impl Runner {
    pub(super) fn new(line: Line, timeout: Duration) -> Self {
        Self { line, timeout, left: None }
    }

    pub(super) async fn attempt(&mut self) -> Outcome {
        // A process that waits in the kernel survives SIGKILL for a while; a second one would only wait beside it.
        if let Some(mut left) = self.left.take()
            && clock::within(self.timeout, &mut left).await.is_none()
        {
            self.left = Some(left);
            return Outcome::NotReady(
                "its probe was killed and is still there: it waits in the kernel".to_owned(),
            );
        }
        let (reply, mut end) = oneshot::channel();
        self.line.say(Message::Run(Run { aim: self.line.aim, reply })).await;
        match clock::within(self.timeout, &mut end).await {
            Some(Ok(outcome)) => outcome,
            Some(Err(_)) => Outcome::NotReady("its probe could not be started".to_owned()),
            None => {
                self.line.say(Message::Kill).await;
                self.left = Some(end);
                Outcome::NotReady(format!(
                    "its probe did not end within {} and was killed",
                    Words(self.timeout)
                ))
            }
        }
    }
}

/// Starts the program; a task whose program cannot be started is told why. Where the system has no room for it at the moment
/// (processes, descriptors, memory), that says nothing against the service, which would only find no room to be restarted.
pub(super) fn start(
    run: Run,
    service: &ServicePlan,
    task: u64,
    who: Who,
    shell: &mut Shell,
) -> Option<Running> {
    match try_start(&run, service, who, shell) {
        Ok((pid, stderr, reader)) => Some(Running { task, pid, reply: run.reply, stderr, reader }),
        Err(outcome) => {
            let _ = run.reply.send(outcome);
            None
        }
    }
}

fn try_start(
    run: &Run,
    service: &ServicePlan,
    who: Who,
    shell: &mut Shell,
) -> Result<(Pid, Rc<Tail>, AbortHandle), Outcome> {
    let probe = match run.aim {
        super::Aim::Ready => service.ready.as_ref().map(|ready| &ready.probe),
        super::Aim::Live => service.live.as_ref().map(|live| &live.probe),
    };
    let Some(ProbePlan::Command { command: argv }) = probe else {
        return Err(Outcome::NotReady("the plan has no such probe any more".to_owned()));
    };
    let refused = |error: io::Error| Outcome::Degraded(format!("cannot start its probe: {}", words(&error)));
    let command = shell.command(&launch(service, argv, who));
    let mut command = command.map_err(|error| Outcome::NotReady(error.to_string()))?;
    let pipe = fd::pipe_cloexec().map_err(refused)?;
    fd::set_nonblocking(&pipe.read).map_err(refused)?;
    let reader = watch(File::from(pipe.read), Interest::READABLE).map_err(|(_, error)| refused(error))?;
    command.stdout = Output::Fd(fd::dev_null().map_err(refused)?);
    command.stderr = Output::Fd(pipe.write);
    let pid = spawn(shell, who, command)?;
    let stderr = Rc::new(Tail { pipe: reader, end: RefCell::default() });
    let reader = tokio::task::spawn_local(read(Rc::clone(&stderr))).abort_handle();
    Ok((pid, stderr, reader))
}

fn spawn(shell: &mut Shell, who: Who, command: Command) -> Result<Pid, Outcome> {
    shell.children.spawn(who, command).map_err(|error| no_room(error.is_transient(), error.to_string()))
}

/// What came of a program that could not be started.
fn no_room(transient: bool, why: String) -> Outcome {
    if transient {
        Outcome::Degraded(format!("no room for its probe: {why}"))
    } else {
        Outcome::NotReady(why)
    }
}

fn launch<'a>(service: &'a ServicePlan, argv: &'a [String], who: Who) -> Launch<'a> {
    Launch {
        who,
        label: Label::Service { name: service.name.clone(), instance: 0, instances: 1 },
        argv,
        user: service.user.as_deref(),
        work_dir: service.work_dir.as_deref(),
        env: &service.env,
        umask: service.umask,
        open_files: None,
        format: LogFormat::Inherit,
        on_stall: OnStall::Drop,
        all_to_stderr: false,
        tap: None,
    }
}

impl Running {
    /// Ends the program and what it started. It has not been reaped, so its pid is its own.
    pub(super) fn kill(&self) {
        if let Err(error) = group::signal_group_of_child(self.pid, Signal::KILL) {
            tracing::warn!("cannot kill the probe with pid {}: {}", self.pid, words(&error));
        }
    }

    pub(super) fn ended(self, gone: &Gone) {
        self.reader.abort();
        // What it started and left behind would outlive every probe; an empty group is no error.
        let _ = group::signal_group(self.pid, Signal::KILL);
        self.stderr.finish();
        let verdict = match (&gone.fault, gone.status) {
            (Some(fault), status) => no_room(status.code() == exit::OS, fault.clone()),
            (None, ExitStatus::Code(0)) => Outcome::Ready,
            (None, ExitStatus::Code(code)) => {
                Outcome::NotReady(self.stderr.with(format!("its probe exited {code}")))
            }
            (None, ExitStatus::Signal(signal)) => {
                Outcome::NotReady(self.stderr.with(format!("its probe was killed by {signal:?}")))
            }
        };
        let _ = self.reply.send(verdict);
    }
}

/// The pipe of stderr, and the end of what came through it.
struct Tail {
    pipe: AsyncFd<File>,
    end: RefCell<Vec<u8>>,
}

impl Tail {
    /// Takes what is there; the end of the pipe is an error like any other, after which nothing comes.
    fn take(&self) -> io::Result<()> {
        let mut buffer = [0; 4096];
        match fd::read(self.pipe.get_ref(), &mut buffer)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            length => {
                let mut end = self.end.borrow_mut();
                end.extend_from_slice(buffer.get(..length).unwrap_or_default());
                let surplus = end.len().saturating_sub(TAIL);
                end.drain(..surplus);
                Ok(())
            }
        }
    }

    /// What the pipe still holds, 64 KiB at most.
    fn finish(&self) {
        for _ in 0..16 {
            if self.take().is_err() {
                return;
            }
        }
    }

    /// The words, with its last line behind them.
    fn with(&self, text: String) -> String {
        let end = self.end.borrow();
        let line =
            end.split(|byte| *byte == b'\n').map(|line| clean(line, SHOWN)).rfind(|line| !line.is_empty());
        line.map_or(text.clone(), |line| format!("{text}: {line}"))
    }
}

async fn read(tail: Rc<Tail>) {
    loop {
        let Ok(mut ready) = tail.pipe.readable().await else { return };
        match ready.try_io(|_| tail.take()) {
            // A flood must not starve the rest.
            Ok(Ok(())) => tokio::task::yield_now().await,
            Ok(Err(_)) => return,
            Err(_would_block) => {}
        }
    }
}
