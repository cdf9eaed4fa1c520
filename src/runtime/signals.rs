//! Signals as a stream, and what each of them means to init.

use crate::config::plan::Signal;
use crate::sys::{group, mask, tty, words};
use futures_util::StreamExt;
use std::io;

/// Signals that ask the container to stop. The official php-fpm image has `STOPSIGNAL SIGQUIT` and the apache ones
/// `SIGWINCH`, and Fargate honours it; PWR is what LXC and systemd-nspawn send.
const STOP: &[Signal] = &[Signal::TERM, Signal::INT, Signal::QUIT, Signal::WINCH, Signal::PWR];

/// XCPU and XFSZ: the kernel sends them when a limit of the container is reached, such as that of the size of a file
/// which is the log. Nobody else than PID 1 is spared; caught, the write fails like any other.
const LIMITS: [i32; 2] = [24, 25];

/// Every signal that a one-off gets forwarded: all that a process may catch, but those the kernel sends for a fault
/// of the program itself (4 ILL, 5 TRAP, 6 ABRT, 7 BUS, 8 FPE, 11 SEGV, 31 SYS), 17 CHLD, which is ours, 13 PIPE, which
/// Rust ignores, and 21 TTIN and 22 TTOU, which mean init's own access to the terminal.
fn forwarded() -> impl Iterator<Item = i32> {
    (1..=31)
        .filter(|number| ![4, 5, 6, 7, 8, 9, 11, 13, 17, 19, 21, 22, 31].contains(number))
        .chain(group::real_time_signals())
}

/// The stream of signals that reached init.
pub struct Signals {
    stream: signal_hook_tokio::Signals,
    /// What waits to be caught until somebody waits for it: the handlers are a sixth of what init does before its first
    /// service runs, where nothing boots.
    held: Vec<i32>,
    /// `docker run -t` sets the window's size right after the start, and the kernel then sends WINCH. It asks for
    /// nothing there; httpd ignores it at a terminal for the same reason (its `-DFOREGROUND`).
    terminal: bool,
    /// Given back by who could not act on them.
    back: Vec<Signal>,
}

impl Signals {
    /// From now on, what init acts on is not lost; with `forward`, neither is anything else that a one-off gets.
    ///
    /// # Errors
    /// The system refused a descriptor.
    pub fn new(forward: bool) -> io::Result<Self> {
        let mut wanted: Vec<i32> = [Signal::CHLD, Signal::HUP, Signal::USR1, Signal::USR2]
            .into_iter()
            .chain(STOP.iter().copied())
            .map(Signal::number)
            .chain(LIMITS)
            .collect();
        if forward {
            wanted.extend(forwarded());
            wanted.sort_unstable();
            wanted.dedup();
        }
        let mut signals = Self {
            stream: signal_hook_tokio::Signals::new(&[] as &[i32])?,
            held: Vec::new(),
            terminal: tty::has_terminal(),
            back: Vec::new(),
        };
        if forward {
            signals.catch(&wanted);
        } else {
            mask::hold(&wanted);
            signals.held = wanted;
        }
        Ok(signals)
    }

    fn catch(&self, wanted: &[i32]) {
        for signal in wanted {
            if let Err(error) = self.stream.handle().add_signal(*signal) {
                tracing::error!("cannot catch signal {signal}: {}", words(&error));
            }
        }
    }

    /// The signal asks the container to stop.
    pub fn is_stop(&self, signal: Signal) -> bool {
        STOP.contains(&signal) && !(self.terminal && signal == Signal::WINCH)
    }

    /// Signals that whoever waits next gets once more, before any other.
    pub fn give_back(&mut self, signals: Vec<Signal>) {
        self.back = signals;
    }

    /// The next signal. Safe to cancel.
    pub async fn next(&mut self) -> Signal {
        if let Some(signal) = self.back.pop() {
            return signal;
        }
        if !self.held.is_empty() {
            let held = std::mem::take(&mut self.held);
            self.catch(&held);
            mask::release(&held);
        }
        loop {
            match self.stream.next().await {
                Some(number) => {
                    if let Some(signal) = Signal::from_number(number) {
                        return signal;
                    }
                }
                // The stream ends only when its handle is closed, which nobody does.
                None => std::future::pending::<()>().await,
            }
        }
    }
}
