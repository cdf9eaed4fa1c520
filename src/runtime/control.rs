//! The control socket of this init: whether there is one, and who answers what.
//!
//! Health, timeline, logs and events come from what the shell shares ([`Board`]), at any moment of the container's life.
//! Everything about services is asked of the event loop ([`super::supervise`]) through a bounded queue, and refused in words
//! while there is none: during boot, a migration, a one-off, the last moments of a stop.

use super::board::Board;
use super::shell::Shell;
use super::{Mode, state_dir};
use crate::config::suggest::nearest;
use crate::control::protocol::{Phase, Reply, Request, Status};
use crate::control::request::Refusal;
use crate::control::server::{self, CLIENTS, Desk, Found, Listening, Opened, Replies};
use crate::exit;
use crate::files::{self, socket};
use std::path::Path;
use std::rc::Rc;
use tokio::net::UnixListener;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// What a client wants of the event loop.
#[derive(Debug)]
pub struct Ask {
    pub request: Request,
    pub to: Replies,
}

/// The shell's end of the socket.
#[derive(Default)]
pub struct Control {
    listening: Option<Listening>,
    /// The task that takes clients in.
    serving: Option<AbortHandle>,
    asks: Option<mpsc::Receiver<Ask>>,
    /// Who answers, also where there is no socket.
    desk: Option<Rc<dyn Desk>>,
    /// The socket is still to be opened.
    late: bool,
    /// Another init has it.
    beside: Option<i32>,
}

/// So many processes are started in less time than anybody would miss the socket.
const FEW: u32 = 16;

impl Control {
    /// What is asked next. Safe to cancel.
    pub async fn next(&mut self) -> Ask {
        if let Some(asks) = &mut self.asks
            && let Some(ask) = asks.recv().await
        {
            return ask;
        }
        std::future::pending().await
    }

    /// Who answers requests, whatever way they come.
    pub fn desk(&self) -> Option<Rc<dyn Desk>> {
        self.desk.clone()
    }

    /// The pid of another init that runs in this container and answers.
    pub fn beside(&self) -> Option<i32> {
        self.beside
    }

    /// Takes the socket away, at the end.
    pub fn close(&self) {
        if let Some(listening) = &self.listening {
            listening.remove();
        }
    }
}

/// Opens the desk, and the socket, unless that is better done late.
///
/// # Errors
/// The exit code: another init runs this container already.
pub async fn open(shell: &mut Shell, mode: &Mode) -> Result<(), u8> {
    shell.board.know(&shell.plan);
    receive(shell);
    shell.control.late = may_wait(shell, mode);
    if shell.control.late { Ok(()) } else { listen(shell, mode).await }
}

/// Opens the socket if it had to wait.
///
/// # Errors
/// As [`open`]: two that were started at the same moment have both begun.
pub async fn open_late(shell: &mut Shell) -> Result<(), u8> {
    if std::mem::take(&mut shell.control.late) { listen(shell, &Mode::Supervise).await } else { Ok(()) }
}

/// The socket can wait until the services are on their way, which so start a good part sooner: there is nothing to do
/// before them that would take time, and no other init to give way to.
fn may_wait(shell: &Shell, mode: &Mode) -> bool {
    let plan = &shell.plan;
    let instances: u32 = plan.services.iter().map(|service| u32::from(service.instances)).sum();
    let nobody = |path: &Path| matches!(socket::identity(path), Ok(None));
    *mode == Mode::Supervise
        && plan.files.is_empty()
        && plan.boot.is_empty()
        && instances <= FEW
        && plan.control.socket.as_deref().is_some_and(nobody)
}

/// Makes the socket and serves it from now on. Without one the container runs all the same, and says so.
async fn listen(shell: &mut Shell, mode: &Mode) -> Result<(), u8> {
    let Some(desk) = shell.control.desk() else { return Ok(()) };
    let Some(path) = shell.plan.control.socket.clone() else { return Ok(()) };
    if let Err(why) = prepare(shell, mode, &path) {
        without(mode, &why);
        return Ok(());
    }
    match Listening::open(&path).await {
        Ok(Opened::Listens(listening, listener)) => {
            serve(shell, listening, listener, desk);
        }
        Ok(Opened::Taken(Found::Here(pid))) if *mode == Mode::Supervise => {
            tracing::error!(
                "cannot supervise: another init runs here already, as pid {pid}, and answers on {}: to run a command beside it \
                 write 'init -- CMD', to steer it 'init status' and its like; if they are meant to be two, give one of them another \
                 state-dir",
                path.display()
            );
            return Err(exit::LOCKED);
        }
        Ok(Opened::Taken(Found::Here(pid))) => {
            tracing::debug!("init runs here already, as pid {pid}: the control socket stays its own");
            shell.control.beside = Some(pid);
        }
        Ok(Opened::Taken(_)) => {
            let path = path.display();
            without(
                mode,
                &format!(
                    "another container's init listens on {path}: give each container a state-dir of its own"
                ),
            );
        }
        Err(error) => without(mode, &error.to_string()),
    }
    Ok(())
}

fn serve(shell: &mut Shell, listening: Listening, listener: UnixListener, desk: Rc<dyn Desk>) {
    tracing::debug!("control socket {}", listening.path().display());
    let task = tokio::task::spawn_local(server::serve(listener, shell.own_uid, desk));
    shell.control.listening = Some(listening);
    if let Some(earlier) = shell.control.serving.replace(task.abort_handle()) {
        earlier.abort();
    }
}

/// Makes the socket where there is none: it was removed, with its directory or by a cleaner of old files, or there was no room
/// for it at the start. Nothing is waited for: the event loop calls it.
pub fn renew(shell: &mut Shell) {
    let (Some(path), Some(desk)) = (shell.plan.control.socket.clone(), shell.control.desk()) else { return };
    // One that has to wait yet will find no other.
    if shell.control.late || !matches!(socket::identity(&path), Ok(None)) {
        return;
    }
    let made = prepare(shell, &Mode::Supervise, &path)
        .and_then(|()| Listening::anew(&path).map_err(|error| error.to_string()));
    match made {
        Ok((listening, listener)) => {
            tracing::info!("there was no control socket {}: made it anew", path.display());
            serve(shell, listening, listener, desk);
        }
        Err(why) => without(&Mode::Supervise, &why),
    }
}

/// Opens the desk: from now on there is somebody to answer.
fn receive(shell: &mut Shell) {
    let (sender, asks) = mpsc::channel(CLIENTS);
    let desk: Rc<dyn Desk> = Rc::new(Reception {
        board: Rc::clone(&shell.board),
        asks: sender,
        preset: shell.plan.preset.clone(),
        role: shell.plan.role.clone(),
    });
    shell.control = Control { asks: Some(asks), desk: Some(desk), ..Control::default() };
}

/// Makes the directory of the socket.
fn prepare(shell: &mut Shell, mode: &Mode, path: &Path) -> Result<(), String> {
    let directory = path.parent().unwrap_or(path);
    // Whoever wants no boot wants nothing to be changed.
    if !mode.boots() {
        return Ok(());
    }
    // A user that is not known is told of by the preflight.
    let app = shell.identity(None).ok().flatten();
    if directory == shell.plan.state_dir && files::is_directory(directory) {
        // Taken over before the socket is in it. Where that is refused, the preflight tells, if anything needs it; the
        // socket does without, since its clients look who serves it.
        let refused = state_dir::prepare(&shell.plan, shell.own_uid, app.as_ref());
        refused.unwrap_or_else(|why| tracing::debug!("{why}"));
    } else if !files::is_directory(directory) {
        state_dir::make_own(shell.own_uid, directory, app.as_ref())?;
    }
    Ok(())
}

/// What it means that there is no socket. A one-off needs none, and its output is its caller's.
fn without(mode: &Mode, why: &str) {
    if mode.is_one_off() {
        tracing::debug!("no control socket: {why}");
        return;
    }
    tracing::warn!(
        "{why}; going on without a control socket: init status, init health and their like will not find this init; mount a \
         writable state-dir (a tmpfs will do), or choose another one"
    );
}

/// Answers at once what it can, and hands on the rest.
struct Reception {
    board: Rc<Board>,
    asks: mpsc::Sender<Ask>,
    preset: String,
    role: Option<String>,
}

impl Desk for Reception {
    fn take(&self, request: Request, to: Replies) {
        match request {
            Request::Health { level } => to.last(Reply::Health(self.board.health(level))),
            Request::Timeline => to.last(Reply::Timeline(self.board.timeline())),
            Request::Status if !self.board.supervises.get() => {
                to.last(Reply::Status(Box::new(self.status())))
            }
            Request::Logs { names, lines, follow } => match self.unknown(&names) {
                Some(refusal) => to.last(refusal.into()),
                None => {
                    let tail = Rc::clone(&self.board.tail);
                    drop(tokio::task::spawn_local(tail.send_logs(names, lines, follow, to)));
                }
            },
            Request::Events { lines, follow } => {
                let tail = Rc::clone(&self.board.tail);
                drop(tokio::task::spawn_local(tail.send_events(lines, follow, to)));
            }
            request if self.board.supervises.get() => self.hand_on(request, to),
            _ => to.last(Refusal::unavailable(not_now(self.board.phase())).into()),
        }
    }
}

impl Reception {
    fn hand_on(&self, request: Request, to: Replies) {
        if let Err(error) = self.asks.try_send(Ask { request, to }) {
            let (mpsc::error::TrySendError::Full(ask) | mpsc::error::TrySendError::Closed(ask)) = error;
            ask.to.last(Refusal::unavailable("too much is asked of init at the moment: try again").into());
        }
    }

    /// The first of `names` that nobody writes under, in words.
    fn unknown(&self, names: &[String]) -> Option<Refusal> {
        let planned = self.board.names.borrow();
        let written = self.board.tail.names();
        let services = self.board.services.borrow();
        let instances = services.iter().flat_map(|service| &service.instances).map(|one| &one.name);
        let known: Vec<&str> =
            planned.iter().chain(&written).chain(instances).map(String::as_str).chain(["init"]).collect();
        // While it boots there are no instances yet, and somebody may wait for the lines of one.
        let may_come = |name: &str| {
            services.is_empty() && name.rsplit_once(':').is_some_and(|(service, _)| known.contains(&service))
        };
        let name = names.iter().find(|name| !known.contains(&name.as_str()) && !may_come(name))?;
        let near = nearest(name, &known).map(|near| format!(": did you mean {near:?}?"));
        Some(Refusal::usage(format!(
            "cannot show the lines of {name:?}: no service, instance or cron entry has that name{}",
            near.unwrap_or_default()
        )))
    }

    fn status(&self) -> Status {
        Status { preset: self.preset.clone(), role: self.role.clone(), ..self.board.status() }
    }
}

/// Why there is nothing to start, stop or reload.
fn not_now(phase: Phase) -> &'static str {
    match phase {
        Phase::Booting => "cannot do that yet: the container boots, and no service runs before that is done",
        Phase::Migrating => "cannot do that: this container migrates, and runs no service",
        Phase::OneOff => "cannot do that: this container runs one command, and no service",
        Phase::Running | Phase::Reloading | Phase::Stopping => {
            "cannot do that any more: the container is stopping"
        }
    }
}
