//! What an instance is and should be, and what the core needs of a service's plan.

use super::process::Manner;
use super::reason::Program;
use crate::config::plan::{Backoff, GiveUp, LivePlan, ReadyPlan, Restart, ServicePlan, Signal};
use std::fmt;
use std::time::Duration;

/// What an instance is. Shown with supervisord's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Stopped,
    Starting,
    Running,
    Backoff,
    Stopping,
    Exited,
    Fatal,
}

impl State {
    /// Nothing will start it again by itself.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Exited | Self::Fatal)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stopped => "STOPPED",
            Self::Starting => "STARTING",
            Self::Running => "RUNNING",
            Self::Backoff => "BACKOFF",
            Self::Stopping => "STOPPING",
            Self::Exited => "EXITED",
            Self::Fatal => "FATAL",
        })
    }
}

/// What an instance should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Want {
    Up,
    Down,
}

/// What the core needs of a [`ServicePlan`].
#[derive(Clone, Debug)]
pub(super) struct Spec {
    pub name: String,
    pub program: Program,
    pub essential: bool,
    pub restart: Restart,
    pub backoff: Backoff,
    pub give_up: Option<GiveUp>,
    pub start_grace: Duration,
    pub stagger: Duration,
    pub manner: Manner,
    pub stop_timeout: Duration,
    pub reload_signal: Option<Signal>,
    /// From the stop signal of a reload to KILL.
    pub reload_timeout: Duration,
    pub pause_signal: Option<Signal>,
    pub resume_signal: Option<Signal>,
    pub ready: Option<ReadyPlan>,
    pub live: Option<LivePlan>,
}

impl Spec {
    pub fn new(plan: &ServicePlan, stop_timeout: Duration) -> Self {
        Self {
            name: plan.name.clone(),
            program: Program::of(&plan.command),
            essential: plan.essential,
            restart: plan.restart,
            backoff: plan.backoff,
            give_up: plan.give_up,
            start_grace: plan.start_grace,
            stagger: plan.stagger,
            manner: Manner { signal: plan.stop_signal, scope: plan.stop_scope },
            stop_timeout: plan.stop_timeout.unwrap_or(stop_timeout).min(stop_timeout),
            reload_signal: plan.reload_signal,
            reload_timeout: plan.reload_timeout,
            pause_signal: plan.pause_signal,
            resume_signal: plan.resume_signal,
            ready: plan.ready.clone(),
            live: plan.live.clone(),
        }
    }
}
