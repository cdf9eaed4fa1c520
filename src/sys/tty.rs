//! The terminal of a one-off command.
//!
//! As tini does: the command's group becomes the terminal's foreground group, so that Ctrl-C reaches it and
//! it may read ([`Session::Foreground`](super::spawn::Session::Foreground)). Unlike tini the terminal is
//! given back afterwards: where init is not pid 1 but was started from a shell, the shell's next read would
//! fail with EIO otherwise.
//!
//! What it is not: job control. A command that Ctrl-Z stops stays stopped until somebody continues it.

use nix::sys::signal::{SigSet, SigmaskHow, Signal};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The terminal at stdin and the group that had it.
#[derive(Debug)]
pub struct Foreground {
    terminal: OwnedFd,
    group: Pid,
}

impl Foreground {
    /// Remembers who has the terminal at stdin. `None`: stdin is no terminal, or not this session's.
    pub fn remember() -> Option<Self> {
        let stdin = io::stdin();
        let group = tcgetpgrp(stdin.as_fd()).ok()?;
        // A copy of its own: the terminal may be wanted when stdin has long been closed.
        Some(Self { terminal: super::fd::duplicate_above(stdin.as_fd(), 3).ok()?, group })
    }

    /// Gives the terminal back to the group that had it. Call when the command has ended.
    pub fn restore(&self) -> io::Result<()> {
        // init is in a background group now, to which the kernel answers this call with SIGTTOU:
        // tcsetpgrp(3).
        let mut ttou = SigSet::empty();
        ttou.add(Signal::SIGTTOU);
        let before = ttou.thread_swap_mask(SigmaskHow::SIG_BLOCK)?;
        let result = tcsetpgrp(&self.terminal, self.group);
        before.thread_set_mask()?;
        Ok(result?)
    }
}

/// One of stdin, stdout and stderr is the terminal of this process's session, so its foreground group, which may be
/// this process's own, gets SIGWINCH whenever the window changes its size: tty_ioctl(4).
pub fn has_terminal() -> bool {
    let (stdin, stdout, stderr) = (io::stdin(), io::stdout(), io::stderr());
    [stdin.as_fd(), stdout.as_fd(), stderr.as_fd()].into_iter().any(|fd| tcgetpgrp(fd).is_ok())
}

/// Stdin is a terminal and this process's group is in its foreground, so it may give it away. A background
/// job may not: the user is typing to somebody else.
pub(super) fn stdin_is_ours() -> bool {
    tcgetpgrp(io::stdin().as_fd()).is_ok_and(|group| group == getpgrp())
}
