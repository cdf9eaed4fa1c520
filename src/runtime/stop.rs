//! Nothing that init started outlives it: the last sweep over its descendants.

use super::Mode;
use super::boot::End;
use super::children::names;
use super::clock;
use super::shell::{Happening, Shell};
use crate::config::plan::Signal;
use crate::control::protocol::Phase;
use crate::exit;
use crate::supervisor::Mono;
use crate::supervisor::words::{Words, counted};
use crate::sys::{self, Pid, proc::Process};
use std::time::Duration;

/// What descendants may take after TERM when a boot or a migration has ended: there is no work in flight.
pub const AFTER_BOOT: Duration = Duration::from_secs(1);

/// What descendants may take after TERM when init itself has failed: requests and jobs may be in flight.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// How often a walk over /proc looks for newcomers while everything is killed.
const WALK_EVERY: Duration = Duration::from_millis(100);

/// How long killed processes may take to disappear. One in uninterruptible sleep (dead NFS) may never.
const AFTER_KILL: Duration = Duration::from_secs(1);

/// Cleans up after a boot that did not end in a running container; the exit code.
pub async fn after_boot_ended(shell: &mut Shell, mode: &Mode, end: End) -> u8 {
    sweep(shell, AFTER_BOOT).await;
    before_boot(mode, end)
}

/// Tells of a boot that did not end in a running container and has left no process; the exit code.
pub fn before_boot(mode: &Mode, end: End) -> u8 {
    match end {
        End::Failed(code) => {
            tracing::error!("boot failed: exiting with code {code}");
            code
        }
        End::Stopped(signal) => {
            tracing::info!("stopped during boot by {signal:?}");
            match mode {
                Mode::Supervise => exit::OK,
                Mode::Migrate | Mode::OneOff { .. } => exit::of_signal(signal.number()),
            }
        }
    }
}

/// Ends everything after a panic in the loop: nobody is left to supervise it; the exit code.
pub async fn after_fault(shell: &mut Shell) -> u8 {
    tracing::error!("ending everything that runs, then exiting with code {}", exit::SOFTWARE);
    sweep(shell, AFTER_FAULT.min(shell.plan.stop_timeout / 2)).await;
    exit::SOFTWARE
}

/// Every process that descends from init. Empty where /proc cannot be read: then only groups can be signalled.
pub fn descendants() -> Vec<Process> {
    if sys::reap::has_no_child() {
        return Vec::new();
    }
    sys::proc::descendants(Pid::current()).unwrap_or_default()
}

/// Those that have not ended. What has ended and waits to be reaped needs nothing more.
fn living() -> Vec<Process> {
    let mut all = descendants();
    all.retain(|process| !process.zombie);
    all
}

/// Ends every descendant: TERM, `grace`, then KILL, within the budget of a stop that is under way. A stop signal meanwhile
/// ends the grace.
pub async fn sweep(shell: &mut Shell, grace: Duration) {
    shell.board.enter(Phase::Stopping);
    let left = living();
    if left.is_empty() {
        return;
    }
    tracing::info!("{} left behind: {}", processes(&left), names(&left));
    stop_all(&left, Signal::TERM);
    let began = clock::now();
    if gone_by(shell, shell.until_kill(grace), true).await {
        return;
    }
    let left = living();
    tracing::warn!(
        "{} did not end within {} and is killed: {}",
        processes(&left),
        Words(clock::now().since(began)),
        names(&left)
    );
    stop_all(&left, Signal::KILL);
    let end = shell.until_exit(AFTER_KILL);
    while clock::now() < end && !gone_by(shell, shell.until_exit(WALK_EVERY).min(end), false).await {
        // Newcomers of a fork storm; as PID 1 the kernel kills the rest with init.
        living().iter().for_each(|process| drop(sys::proc::signal(process, Signal::KILL)));
    }
}

/// Waits until no descendant is left, at most until `deadline`. Does not walk over /proc, however much ends meanwhile: a process
/// without a child has no descendant either.
async fn gone_by(shell: &mut Shell, deadline: Mono, hurry: bool) -> bool {
    // Those that ended a moment ago: init leaves nothing to reap either.
    let _ = shell.children.reap();
    while !sys::reap::has_no_child() {
        match shell.next(Some(deadline)).await {
            Happening::Deadline => return false,
            Happening::Signal(signal) if hurry && shell.signals.is_stop(signal) => return false,
            _ => {}
        }
    }
    true
}

/// Sends a stop signal, then CONT, to each of `processes` that is still the same process. One line tells of a refusal.
pub fn stop_all(processes: &[Process], signal: Signal) {
    let refusal = |process: &Process| sys::proc::stop(process, signal).err();
    let refused: Vec<_> = processes.iter().filter_map(|process| Some((process, refusal(process)?))).collect();
    let Some((_, error)) = refused.first() else { return };
    let whom: Vec<Process> = refused.iter().map(|(process, _)| (*process).clone()).collect();
    tracing::warn!("cannot send {signal:?} to {}: {}", names(&whom), sys::words(error));
}

fn processes(all: &[Process]) -> String {
    counted(all.len(), "process", "processes")
}
