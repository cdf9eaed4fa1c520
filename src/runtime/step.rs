//! One child at a time, waited for: the fetch child, boot steps, the migration.

use super::children::Gone;
use super::clock;
use super::relay::RelayHandle;
use super::shell::{Happening, Shell};
use crate::config::plan::Signal;
use crate::supervisor::Mono;
use crate::supervisor::words::Words;
use crate::sys::{Pid, group, words};
use std::time::Duration;

/// How long a step that was told to end may take before it is killed, at most half of the plan's `stop-timeout`. A
/// stop during boot has nothing to lose: no request and no job is in flight.
pub const GRACE: Duration = Duration::from_secs(2);

/// How long a killed step may take to be gone. One that waits in the kernel (dead NFS) may never be.
pub const AFTER_KILL: Duration = Duration::from_secs(1);

/// How long the last output of a step that ended may take to arrive; a background process may hold its pipes open.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// How a wait for a step ended.
pub enum StepEnd {
    Done(Gone),
    /// It was told of this stop signal and ended by itself.
    Obeyed(Gone, Signal),
    /// It was ended because its time was over.
    TimedOut,
    /// It was ended because of this stop signal.
    Stopped(Signal),
}

/// What a stop signal does to the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnStop {
    /// It is ended at once.
    End,
    /// It is told once and may finish within this time; its own verdict counts. A second stop signal kills it.
    Forward(Duration),
}

impl Shell {
    /// Waits for the step `pid`, at most `timeout`. Returns when it is gone, or could not even be killed.
    pub async fn wait_step(&mut self, pid: Pid, timeout: Option<Duration>, on_stop: OnStop) -> StepEnd {
        let timeout = timeout.map(clock::Timeout::new);
        let mut told: Option<(Signal, Mono)> = None;
        loop {
            let limit = timeout.as_ref().map(clock::Timeout::at);
            let deadline = told.map(|(_, by)| by).into_iter().chain(limit).min();
            match self.next(deadline).await {
                Happening::Reaped(gone) => {
                    let Some(mut gone) = gone.into_iter().find(|gone| gone.pid == pid) else { continue };
                    self.last_words(std::mem::take(&mut gone.relays)).await;
                    return match told {
                        None => StepEnd::Done(gone),
                        Some((signal, _)) => StepEnd::Obeyed(gone, signal),
                    };
                }
                Happening::Signal(signal) if self.signals.is_stop(signal) => match (on_stop, told) {
                    (OnStop::Forward(grace), None) => {
                        let by = self.until_kill(grace);
                        tracing::warn!(
                            "{signal:?}: telling the migration to stop, it has {} to finish",
                            Words(by.since(clock::now()))
                        );
                        report(group::stop(pid, Signal::TERM));
                        told = Some((signal, by));
                    }
                    (_, Some((first, _))) => {
                        self.kill_step(pid).await;
                        return StepEnd::Stopped(first);
                    }
                    (OnStop::End, None) => {
                        self.end_step(pid).await;
                        return StepEnd::Stopped(signal);
                    }
                },
                Happening::Signal(signal) => tracing::debug!("{signal:?} is ignored until boot is done"),
                Happening::Deadline => match told {
                    // It has been told, and has had its time.
                    Some((signal, _)) => {
                        self.kill_step(pid).await;
                        return StepEnd::Stopped(signal);
                    }
                    None if timeout.as_ref().is_some_and(clock::Timeout::is_over) => {
                        self.end_step(pid).await;
                        return StepEnd::TimedOut;
                    }
                    // The step was frozen with init.
                    None => {}
                },
            }
        }
    }

    /// Ends the step and its group: TERM, then KILL. A stop signal meanwhile hurries.
    async fn end_step(&mut self, pid: Pid) {
        report(group::stop_group_of_child(pid, Signal::TERM));
        let over = clock::now().after(GRACE.min(self.plan.stop_timeout / 2));
        loop {
            // A stop may begin meanwhile.
            let deadline = self.until_kill(over.since(clock::now()));
            match self.next(Some(deadline)).await {
                Happening::Reaped(gone) if gone.iter().any(|gone| gone.pid == pid) => {
                    // What it has started and not waited for.
                    report(group::signal_group(pid, Signal::KILL));
                    return self.all_last_words(gone).await;
                }
                Happening::Signal(signal) if self.signals.is_stop(signal) => {
                    return self.kill_step(pid).await;
                }
                Happening::Deadline => return self.kill_step(pid).await,
                Happening::Reaped(_) | Happening::Signal(_) => {}
            }
        }
    }

    /// KILL to the step and its group.
    pub async fn kill_step(&mut self, pid: Pid) {
        report(group::signal_group_of_child(pid, Signal::KILL));
        let began = clock::now();
        let deadline = self.until_exit(AFTER_KILL);
        loop {
            match self.next(Some(deadline)).await {
                Happening::Reaped(gone) if gone.iter().any(|gone| gone.pid == pid) => {
                    return self.all_last_words(gone).await;
                }
                Happening::Deadline => {
                    return tracing::error!(
                        "pid {pid} is still alive {} after SIGKILL: it waits in the kernel, often for a file system such as \
                         EFS or NFS; going on without waiting for it",
                        Words(clock::now().since(began))
                    );
                }
                Happening::Reaped(_) | Happening::Signal(_) => {}
            }
        }
    }

    async fn all_last_words(&self, gone: Vec<Gone>) {
        self.last_words(gone.into_iter().flat_map(|gone| gone.relays).collect()).await;
    }

    /// Waits for what the step has written last, no longer than a stop has time.
    async fn last_words(&self, relays: Vec<RelayHandle>) {
        last_words(relays, self.until_exit(LAST_WORDS).since(clock::now())).await;
    }
}

/// Waits until the relays have read what dead processes wrote, at most `within`. A log that is not read is not waited
/// for.
pub async fn last_words(relays: Vec<RelayHandle>, within: Duration) {
    if relays.is_empty() {
        return;
    }
    relays.iter().for_each(RelayHandle::catch_up);
    let all = async {
        for relay in relays {
            relay.caught_up().await;
        }
    };
    let _ = tokio::time::timeout(within, all).await;
}

/// A step that is gone already needs no signal.
pub fn report(outcome: std::io::Result<group::Sent>) {
    if let Err(error) = outcome {
        tracing::warn!("cannot signal the boot step: {}", words(&error));
    }
}
