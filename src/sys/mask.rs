//! Which signals wait until they are wanted.

#![forbid(unsafe_code)]

use nix::sys::signal::{SigSet, Signal};

/// Makes the signals with these numbers wait for this thread. What waits is lost neither to a process without a handler
/// nor to pid 1, for which the kernel drops any other signal that is not caught (kernel/signal.c, `sig_ignored`).
pub fn hold(signals: &[i32]) {
    // Fails for arguments alone that are not valid.
    let _ = set(signals).thread_block();
}

/// Lets them come again; those that waited come at once.
pub fn release(signals: &[i32]) {
    let _ = set(signals).thread_unblock();
}

/// Numbers that nix does not name, the real-time ones, stay out.
fn set(signals: &[i32]) -> SigSet {
    signals.iter().filter_map(|number| Signal::try_from(*number).ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn a_held_signal_comes_when_it_is_released() {
        // raise(3) is to this thread alone.
        let signal = Signal::SIGWINCH;
        hold(&[signal as i32]);
        nix::sys::signal::raise(signal).unwrap();
        let came = Arc::new(AtomicBool::new(false));
        signal_hook::flag::register(signal as i32, Arc::clone(&came)).unwrap();
        assert!(!came.load(Ordering::SeqCst));
        release(&[signal as i32]);
        assert!(came.load(Ordering::SeqCst));
    }
}
