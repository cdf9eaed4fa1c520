//! What every part of the shell shares: the plan, the children, signals, clock, output.

use super::board::Board;
use super::children::{Children, Gone};
use super::control::Control;
use super::env::Environment;
use super::off_loop::Progress;
use super::output::{Limits, Output};
use super::relay::Relays;
use super::signals::Signals;
use super::{Mode, clock};
use super::{journal, needs};
use crate::config::ConfigError;
use crate::config::plan::{LogLevel, Plan, Signal};
use crate::control::protocol::Phase;
use crate::supervisor::{Budget, Mono};
use crate::sys::init::Became;
use crate::sys::users::{Identity, UsersError};
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::Arc;
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

/// Reads the configuration as the command line said. For a thread of its own.
pub type Load = Arc<dyn Fn(&Progress) -> Result<Plan, Vec<ConfigError>> + Send + Sync>;

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
    /// The times of the stop, once one is under way.
    stop: Option<Budget>,
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

/// Copies of what a thread needs to look at the container's files: see [`super::off_loop`].
pub struct Site {
    pub plan: Plan,
    pub environment: Environment,
    pub own_uid: u32,
    identities: HashMap<String, Identity>,
    /// Where the work is.
    pub progress: Progress,
}

impl Site {
    /// The same, for work that tells where it is.
    #[must_use]
    pub fn with(self, progress: &Progress) -> Self {
        Self { progress: progress.clone(), ..self }
    }

    /// As [`Shell::identity`].
    ///
    /// # Errors
    /// As [`Shell::identity`].
    pub fn identity(&mut self, user: Option<&str>) -> Result<Option<Identity>, UsersError> {
        identity(&self.plan, self.own_uid, user, &mut self.identities)
    }
}

fn identity(
    plan: &Plan,
    own_uid: u32,
    user: Option<&str>,
    known: &mut HashMap<String, Identity>,
) -> Result<Option<Identity>, UsersError> {
    let Some(name) = user.or(plan.user.as_deref()) else { return Ok(None) };
    if let Some(found) = known.get(name) {
        return Ok(Some(found.clone()));
    }
    let found = needs::identity(plan, own_uid, user)?;
    known.extend(found.clone().map(|found| (name.to_owned(), found)));
    Ok(found)
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
            stop: None,
            role,
            load: Arc::new(|_| Err(Vec::new())),
            origins: HashMap::new(),
            plan: Rc::new(plan),
        })
    }

    /// What a thread of its own needs to look at the container's files.
    pub fn site(&self) -> Site {
        Site {
            plan: (*self.plan).clone(),
            environment: self.environment.clone(),
            own_uid: self.own_uid,
            identities: self.identities.clone(),
            progress: Progress::default(),
        }
    }

    /// Whom a child runs as: `user`, else the plan's. `None` when init is not root, and so cannot choose.
    ///
    /// # Errors
    /// The user or group is not in /etc/passwd or /etc/group.
    pub fn identity(&mut self, user: Option<&str>) -> Result<Option<Identity>, UsersError> {
        identity(&self.plan, self.own_uid, user, &mut self.identities)
    }

    /// Waits for the deadline, children to end, or a signal. From the first signal to stop the budget of the stop runs.
    pub async fn next(&mut self, deadline: Option<Mono>) -> Happening {
        let happening = self.next_to_forward(deadline).await;
        if let Happening::Signal(signal) = happening
            && self.signals.is_stop(signal)
        {
            self.stops();
        }
        happening
    }

    /// As [`Shell::next`], for who passes signals on: that a one-off gets one need not mean that the container stops.
    pub async fn next_to_forward(&mut self, deadline: Option<Mono>) -> Happening {
        let signal = tokio::select! {
            biased;
            // First, or children that end without end would put it off.
            () = clock::until(deadline) => None,
            signal = self.signals.next() => Some(signal),
            () = self.children.due() => Some(Signal::CHLD),
            // One CHLD may stand for more ends than a batch holds, and no other comes for the rest.
            () = std::future::ready(()), if self.children.more_to_reap() => Some(Signal::CHLD),
        };
        match signal {
            Some(Signal::CHLD) => Happening::Reaped(self.children.reap()),
            Some(signal) => Happening::Signal(signal),
            None => {
                // What has ended by now has ended in time. There is one step at a time, so this puts the deadline off once.
                let gone = self.children.reap();
                if gone.is_empty() { Happening::Deadline } else { Happening::Reaped(gone) }
            }
        }
    }

    /// A stop is under way: from the first time on its budget runs, which ends with init's own exit.
    pub fn stops(&mut self) {
        self.board.enter(Phase::Stopping);
        self.stops_since(clock::now());
    }

    /// A stop has been under way since `begun`. One whose budget is over has been given up by whoever asked for it.
    pub fn stops_since(&mut self, begun: Mono) {
        let budget = Budget::new(begun, self.plan.stop_timeout);
        if self.stop.is_none() && budget.over_at > clock::now() {
            self.stop = Some(budget);
        }
    }

    /// `time` from now, or when a stop that is under way has KILL sent to everything.
    pub fn until_kill(&self, time: Duration) -> Mono {
        let at = clock::now().after(time);
        self.stop.map_or(at, |stop| at.min(stop.kill_at))
    }

    /// `time` from now, or when a stop that is under way waits for nothing any more.
    pub fn until_exit(&self, time: Duration) -> Mono {
        let at = clock::now().after(time);
        self.stop.map_or(at, |stop| at.min(stop.exit_at))
    }

    /// What the budget of the stop has left, less the time that the logs need; little where no stop is under way.
    pub fn left_to_stop(&self) -> Duration {
        self.stop.map_or(FLUSH, |stop| stop.over_at.since(clock::now()).saturating_sub(FLUSH))
    }

    /// Writes what is buffered, for a bounded time.
    pub async fn finish(&mut self) {
        self.control.close();
        let left = self.stop.map_or(FLUSH, |stop| stop.over_at.since(clock::now()));
        self.relays.drain(left.clamp(LEAST_FLUSH, FLUSH)).await;
    }
}
