//! What a service tells of itself, and what its probes tell of it.
//!
//! A socket for sd_notify(3), a pipe for s6's line feed. Both are made anew for each process, so what an earlier one left
//! behind cannot speak for the next.

use crate::config::plan::{Env, ProbePlan, ServicePlan};
use crate::probe::notify::{self, LONGEST};
use crate::runtime::output::watch;
use crate::supervisor::words::counted;
use crate::sys::notify::{Received, Sender, receive, socket};
use crate::sys::{Pid, fd, proc, words};
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::rc::Rc;
use std::time::Duration;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::AbortHandle;

/// So many datagrams in a row, and then a pause: the kernel makes a service that floods wait meanwhile.
const IN_A_ROW: u32 = 16;
const PAUSE: Duration = Duration::from_millis(50);

/// What is known of one instance.
#[derive(Debug, Default)]
pub struct Told {
    ready: Cell<bool>,
    ping: Cell<Option<Ping>>,
    status: RefCell<Option<String>>,
    degraded: RefCell<Option<String>>,
    /// Attempts of the present degradation.
    row: Cell<u32>,
    attempts: Cell<u64>,
    changed: Notify,
}

/// What came from a watchdog's client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ping {
    Alive,
    Trigger,
}

/// What an attempt that found it degraded changed, or one that found it better.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    Worse(String),
    /// As before; worth no line of its own unless somebody looks closely.
    Still(String),
    /// After so many attempts, in words.
    Better(String),
}

impl Told {
    /// Why it is degraded, by its last liveness probe.
    pub fn degraded(&self) -> Option<String> {
        self.degraded.borrow().clone()
    }

    /// How many attempts found it degraded so far.
    pub fn degraded_attempts(&self) -> u64 {
        self.attempts.get()
    }

    /// Its last STATUS=.
    pub fn status(&self) -> Option<String> {
        self.status.borrow().clone()
    }

    pub(super) async fn until_ready(&self) {
        while !self.ready.get() {
            self.changed.notified().await;
        }
    }

    pub(super) async fn until_pinged(&self) -> Ping {
        loop {
            if let Some(ping) = self.ping.take() {
                return ping;
            }
            self.changed.notified().await;
        }
    }

    /// What an attempt found; the change, if it is one.
    pub(super) fn degrade(&self, why: Option<String>) -> Option<Change> {
        let before = self.degraded.replace(why.clone());
        match (before, why) {
            (before, Some(why)) => {
                self.attempts.set(self.attempts.get().saturating_add(1));
                self.row.set(self.row.get().saturating_add(1));
                Some(if before.is_none() { Change::Worse(why) } else { Change::Still(why) })
            }
            (Some(_), None) => Some(Change::Better(counted(self.row.replace(0), "attempt", "attempts"))),
            (None, None) => None,
        }
    }

    /// The process that all of it was about has ended.
    pub(super) fn forget(&self) {
        self.ready.set(false);
        self.ping.set(None);
        self.status.take();
        self.heal();
    }

    /// Nobody asks any more.
    pub(super) fn heal(&self) {
        self.row.set(0);
        self.degraded.take();
    }

    fn take(&self, name: &str, told: notify::Told) {
        tracing::debug!(service = %name, "told {told:?}");
        match told {
            notify::Told::Ready => self.ready.set(true),
            notify::Told::Watchdog => self.ping.set(Some(Ping::Alive)),
            notify::Told::Trigger => self.ping.set(Some(Ping::Trigger)),
            notify::Told::Status(text) => {
                self.status.replace(Some(text).filter(|text| !text.is_empty()));
            }
            // READY=1 follows a reload; a stop is seen when the process ends.
            notify::Told::Reloading | notify::Told::Stopping => {}
            // What init started is what it watches: a process that goes into the background has left its group.
            notify::Told::MainPid => {}
        }
        self.changed.notify_waiters();
    }
}

/// What is made before a process is started, so that it may tell of itself.
#[derive(Debug, Default)]
pub struct Ears {
    /// Who the process runs as.
    uid: u32,
    socket: Option<File>,
    pipe: Option<(OwnedFd, RawFd)>,
    /// What the process gets: variables, and a descriptor with its number there.
    pub env: Env,
    pub descriptor: Option<(OwnedFd, RawFd)>,
}

impl Ears {
    /// `None`: the service tells nothing. `pipe` makes one that its user may open by name, as a shell's `>/dev/fd/3` does.
    ///
    /// # Errors
    /// The system refused a descriptor.
    pub fn new(
        service: &ServicePlan,
        uid: u32,
        mut pipe: impl FnMut() -> io::Result<fd::Pipe>,
    ) -> io::Result<Option<Self>> {
        let mut ears = Self { uid, ..Self::default() };
        let ready = service.ready.as_ref().map(|ready| &ready.probe);
        let live = service.live.as_ref().filter(|live| live.probe == ProbePlan::Notify);
        if live.is_some() || ready == Some(&ProbePlan::Notify) {
            let (socket, name) = socket()?;
            ears.socket = Some(socket);
            ears.env.insert("NOTIFY_SOCKET".to_owned(), name);
        }
        if let Some(live) = live {
            // WATCHDOG_PID is left out: it would have to be the child's own, and without it every process is meant.
            ears.env.insert("WATCHDOG_USEC".to_owned(), live.interval.as_micros().to_string());
        }
        if let Some(ProbePlan::NotifyFd { fd: number }) = ready {
            let pipe = pipe()?;
            fd::set_nonblocking(&pipe.read)?;
            ears.pipe = Some((pipe.read, RawFd::from(*number)));
            ears.descriptor = Some((pipe.write, RawFd::from(*number)));
        }
        Ok((ears.socket.is_some() || ears.pipe.is_some()).then_some(ears))
    }

    /// Starts the tasks that listen to the process `pid`.
    pub(super) fn listen(self, name: &str, pid: Pid, told: &Rc<Told>) -> Vec<AbortHandle> {
        let mut tasks = Vec::new();
        let refused = |error: &io::Error| {
            tracing::error!(service = %name, "cannot listen to what it tells: {}", words(error));
        };
        match self.socket.map(|socket| watch(socket, Interest::READABLE)) {
            Some(Ok(socket)) => {
                let who = Who { name: name.to_owned(), pid, uid: self.uid, refused: Cell::new(false) };
                tasks.push(tokio::task::spawn_local(hear(socket, who, Rc::clone(told))).abort_handle());
            }
            Some(Err((_, error))) => refused(&error),
            None => {}
        }
        if let Some((pipe, number)) = self.pipe {
            match watch(File::from(pipe), Interest::READABLE) {
                Ok(pipe) => {
                    let task = line_feed(pipe, number, name.to_owned(), Rc::clone(told));
                    tasks.push(tokio::task::spawn_local(task).abort_handle());
                }
                Err((_, error)) => refused(&error),
            }
        }
        tasks
    }
}

/// Whose word counts.
struct Who {
    name: String,
    pid: Pid,
    uid: u32,
    /// One that was refused has been told about.
    refused: Cell<bool>,
}

impl Who {
    /// A process of the instance. One that has ended since it sent (`systemd-notify` lives for a moment) cannot be placed;
    /// then the user decides, who could do worse to its own processes than this.
    fn admits(&self, sender: Option<Sender>) -> bool {
        let Some(Sender { pid: Some(pid), uid }) = sender else { return false };
        proc::belongs(pid, self.pid).unwrap_or(uid == self.uid)
    }

    fn refuse(&self, received: Received) {
        let Who { name, refused, .. } = self;
        let whom = match received.sender {
            Some(Sender { pid: Some(pid), uid }) => format!("pid {pid} of uid {uid}"),
            _ => "a process of another container".to_owned(),
        };
        // Anyone may knock, and as often as they like.
        if refused.replace(true) {
            tracing::debug!(service = %name, "{whom} may not speak for it");
        } else {
            tracing::warn!(
                service = %name,
                "{whom} sent to its NOTIFY_SOCKET and may not speak for it: it is no process of this service; ignored"
            );
        }
    }
}

/// Takes datagrams for as long as the process lives.
async fn hear(socket: AsyncFd<File>, who: Who, told: Rc<Told>) {
    let mut buffer = vec![0; LONGEST];
    let mut in_a_row = 0_u32;
    loop {
        let Ok(mut ready) = socket.readable().await else { return };
        match ready.try_io(|socket| receive(socket.get_ref(), &mut buffer)) {
            Ok(Ok(received)) if received.cut => {
                tracing::debug!(service = %who.name, "it told more than {LONGEST} bytes at once; ignored");
            }
            Ok(Ok(received)) if who.admits(received.sender) => {
                for word in notify::parse(buffer.get(..received.length).unwrap_or_default()) {
                    told.take(&who.name, word);
                }
            }
            Ok(Ok(received)) => who.refuse(received),
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(error)) => {
                return tracing::error!(service = %who.name, "cannot listen to what it tells: {}", words(&error));
            }
            Err(_would_block) => {
                in_a_row = 0;
                continue;
            }
        }
        in_a_row = in_a_row.saturating_add(1);
        if in_a_row >= IN_A_ROW {
            in_a_row = 0;
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// Waits for the line feed, and reads on: a service that writes more must not be ended by SIGPIPE.
async fn line_feed(pipe: AsyncFd<File>, number: RawFd, name: String, told: Rc<Told>) {
    let mut buffer = [0; 512];
    loop {
        let Ok(mut ready) = pipe.readable().await else { return };
        match ready.try_io(|pipe| fd::read(pipe.get_ref(), &mut buffer)) {
            Ok(Ok(0)) => {
                if !told.ready.get() {
                    tracing::warn!(
                        service = %name,
                        "it closed descriptor {number} without a line feed, and so cannot tell that it is ready"
                    );
                }
                return;
            }
            Ok(Ok(length)) => {
                if buffer.get(..length).is_some_and(|read| read.contains(&b'\n')) {
                    told.take(&name, notify::Told::Ready);
                }
                // One that goes on and on has to wait meanwhile.
                if length == buffer.len() || told.ready.get() {
                    tokio::time::sleep(PAUSE).await;
                } else {
                    tokio::task::yield_now().await;
                }
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(Err(_)) => return,
            Err(_would_block) => {}
        }
    }
}
