//! What every part of the shell shares: the plan, the children, signals, clock, output.

use super::board::Board;
use super::children::{Children, Gone};
use super::control::Control;
use super::env::Environment;
use super::output::{Limits, Output};
use super::relay::Relays;
use super::signals::Signals;
use super::{Mode, clock};
use super::{journal, needs};
use crate::config::ConfigError;
use crate::config::plan::{LogLevel, Plan, Signal};
use crate::control::protocol::Phase;
use crate::supervisor::Mono;
use crate::sys::init::Became;
use crate::sys::users::{Identity, UsersError};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

/// How long the logs may take to be written at the end: a container whose stdout nobody reads must still exit.
const FLUSH: Duration = Duration::from_millis(800);
/// And how long whatever the budget of the stop has left: what was said last matters most.
const LEAST_FLUSH: Duration = Duration::from_millis(50);

/// What happened while the shell waited.
pub enum Happening {
    /// Children were reaped (possibly none that anyone knows).
    Reaped(Vec<Gone>),
    /// Any signal but CHLD.
    Signal(Signal),
    /// The deadline passed.
    Deadline,
}

/// Reads the configuration as the command line said.
pub type Load = Rc<dyn Fn() -> Result<Plan, Vec<ConfigError>>>;

/// The shared state of the shell.
pub struct Shell {
    pub plan: Rc<Plan>,
    pub environment: Environment,
    pub children: Children,
    pub signals: Signals,
    pub relays: Relays,
    /// What others may know of the whole.
    pub board: Rc<Board>,
    /// Who asks what over the control socket.
    pub control: Control,
    /// While it lives, init's own lines go through the relays' output.
    _journal: journal::Attached,
    /// Users that were looked up, by the text that names them.
    identities: HashMap<String, Identity>,
    /// Who init itself runs as.
    pub own_uid: u32,
    /// init may not give pipes to other users, and has said so.
    pub(super) pipes_stay: bool,
    /// When init must have exited, once someone has asked for a stop.
    stop_by: Option<Mono>,
    /// What becoming init found.
    pub role: Became,
    /// Set by who supervises: nobody else reloads.
    pub load: Load,
    /// The ETag and source of what was fetched, by the path that it was placed at.
    pub origins: HashMap<PathBuf, Origin>,
}

/// Where a file in its place came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    pub source: String,
    pub etag: Option<String>,
}

impl Shell {
    /// Opens the outputs, starts the journal and takes the snapshot of the environment.
    ///
    /// # Errors
    /// The system refused a descriptor.
    pub fn new(
        plan: Plan,
        mode: &Mode,
        role: Became,
        signals: Signals,
        board: Rc<Board>,
    ) -> io::Result<Self> {
        let output = Output::open(Limits::default());
        // A one-off's output belongs to its caller: init speaks up only when something is wrong.
        let level = match (mode, plan.log.level) {
            (Mode::OneOff { .. }, LogLevel::Info) => LogLevel::Warn,
            (_, level) => level,
        };
        journal::configure(level, plan.log.format);
        let journal = journal::attach(output.clone());
        journal::record(Rc::clone(&board.tail));
        board.output.replace(Some(output.clone()));
        let environment = Environment::of_plan(&plan, &plan.env);
        Ok(Self {
            environment,
            children: Children::new()?,
            signals,
            control: Control::default(),
            relays: Relays::new(output, plan.log.max_line).recorded(Rc::clone(&board.tail)),
            board,
            _journal: journal,
            identities: HashMap::new(),
            own_uid: crate::sys::users::own_uid(),
            pipes_stay: false,
            stop_by: None,
            role,
            load: Rc::new(|| Err(Vec::new())),
            origins: HashMap::new(),
            plan: Rc::new(plan),
        })
    }

    /// Whom a child runs as: `user`, else the plan's. `None` when init is not root, and so cannot choose.
    ///
    /// # Errors
    /// The user or group is not in /etc/passwd or /etc/group.
    pub fn identity(&mut self, user: Option<&str>) -> Result<Option<Identity>, UsersError> {
        let Some(name) = user.or(self.plan.user.as_deref()) else { return Ok(None) };
        if self.own_uid != 0 {
            return Ok(None);
        }
        if let Some(known) = self.identities.get(name) {
            return Ok(Some(known.clone()));
        }
        let name = name.to_owned();
        let found = needs::identity(&self.plan, self.own_uid, user)?;
        self.identities.extend(found.clone().map(|found| (name, found)));
        Ok(found)
    }

    /// Waits for children to end, a signal or the deadline.
    pub async fn next(&mut self, deadline: Option<Mono>) -> Happening {
        let signal = tokio::select! {
            biased;
            signal = self.signals.next() => signal,
            () = clock::until(deadline) => return Happening::Deadline,
            () = self.children.due() => Signal::CHLD,
            // One CHLD may stand for more ends than a batch holds, and no other comes for the rest.
            () = std::future::ready(()), if self.children.more_to_reap() => Signal::CHLD,
        };
        if signal == Signal::CHLD {
            Happening::Reaped(self.children.reap())
        } else {
            Happening::Signal(signal)
        }
    }

    /// Someone asked for a stop: from the first time on its budget runs, which ends with init's own exit.
    pub fn asked_to_stop(&mut self) {
        self.board.enter(Phase::Stopping);
        let budget = self.plan.stop_timeout;
        self.stop_by.get_or_insert_with(|| clock::now().after(budget));
    }

    /// What the budget of the stop has left, less the time that the logs need; little where nobody asked for a stop.
    pub fn left_to_stop(&self) -> Duration {
        self.stop_by.map_or(FLUSH, |by| by.since(clock::now()).saturating_sub(FLUSH))
    }

    /// Writes what is buffered, for a bounded time.
    pub async fn finish(&mut self) {
        self.control.close();
        let left = self.stop_by.map_or(FLUSH, |by| by.since(clock::now()));
        self.relays.drain(left.clamp(LEAST_FLUSH, FLUSH)).await;
    }
}
