//! The child's whole work as numbers and pointers, made before the fork, because nothing may be allocated
//! after it.

use super::lookup::Wanted;
use super::report::FaultPipe;
use super::{Command, Launcher, Output, Session, SpawnError, Stdin};
use crate::sys::{fd, tty};
use nix::sys::signal::Signal;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Pid, Uid};
use std::ffi::{CString, OsStr};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;

/// Strings that live until the exec, and the array of pointers to them that execve(2) takes.
pub(super) struct CStrings {
    pointers: Vec<*const libc::c_char>,
    /// What `pointers` point at. The bytes do not move with the vector.
    _owned: Vec<CString>,
}

impl CStrings {
    fn new(owned: Vec<CString>) -> Self {
        let pointers = owned.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        Self { pointers, _owned: owned }
    }

    /// Ends with a null pointer.
    pub(super) fn as_ptr(&self) -> *const *const libc::c_char {
        self.pointers.as_ptr()
    }
}

/// Ids to take on.
pub(super) struct Ids {
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
}

/// Everything that [`super::child`] reads.
pub(super) struct Work {
    pub(super) parent: Pid,
    pub(super) session: Session,
    /// Make the child's group the foreground group of the terminal at descriptor 0.
    pub(super) take_terminal: bool,
    pub(super) close_inherited: bool,
    /// From, to. Every "from" is above every "to", so that none is overwritten before its turn.
    pub(super) moves: Vec<(RawFd, RawFd)>,
    /// What the child writes to its own oom_score_adj.
    pub(super) oom_score: Option<CString>,
    pub(super) umask: Option<Mode>,
    /// Soft and hard limit.
    pub(super) open_files: Option<(u64, u64)>,
    pub(super) ids: Option<Ids>,
    pub(super) death_signal: Option<Signal>,
    pub(super) dir: Option<CString>,
    pub(super) programs: Vec<CString>,
    pub(super) argv: CStrings,
    pub(super) envp: CStrings,
    pub(super) fault: RawFd,
    /// Copies that `moves` and `fault` name.
    _owned: Vec<OwnedFd>,
}

impl Work {
    pub(super) fn new(command: &Command, launcher: &Launcher) -> Result<Self, SpawnError> {
        let wanted = Wanted::of(command);
        wanted.check_name()?;
        let candidates = wanted.candidates();
        let programs: Result<_, _> = candidates.iter().map(|file| text(command, file.as_os_str())).collect();
        let argv: Result<_, _> = command.argv.iter().map(|argument| text(command, argument)).collect();
        let descriptors = Descriptors::new(command, &launcher.faults)?;
        Ok(Self {
            parent: Pid::this(),
            session: command.session,
            take_terminal: command.session == Session::Foreground
                && matches!(command.stdin, Stdin::Inherit)
                && tty::stdin_is_ours(),
            close_inherited: !command.keep_inherited,
            moves: descriptors.moves,
            oom_score: launcher.oom_score.clone(),
            umask: command.umask.map(Mode::from_bits_truncate),
            open_files: command.open_files.map(|soft| open_files(command, soft)).transpose()?,
            ids: command.identity.as_ref().map(|identity| Ids {
                uid: Uid::from_raw(identity.uid),
                gid: Gid::from_raw(identity.gid),
                groups: identity.groups.iter().copied().map(Gid::from_raw).collect(),
            }),
            death_signal: command.death_signal.and_then(|signal| Signal::try_from(signal.number()).ok()),
            dir: match command.dir.as_os_str() {
                dir if dir.is_empty() => None,
                dir => Some(text(command, dir)?),
            },
            programs: programs?,
            argv: CStrings::new(argv?),
            envp: CStrings::new(environment(command)?),
            fault: descriptors.fault,
            _owned: descriptors.owned,
        })
    }
}

struct Descriptors {
    moves: Vec<(RawFd, RawFd)>,
    fault: RawFd,
    owned: Vec<OwnedFd>,
}

impl Descriptors {
    fn new(command: &Command, faults: &FaultPipe) -> Result<Self, SpawnError> {
        if let Some((_, number)) = command.extra_fds.iter().find(|(_, number)| *number < 3) {
            let why = format!("descriptor {number} is not one that can be added: 3 and above");
            return Err(SpawnError::Invalid { program: command.program(), why });
        }
        let highest = command.extra_fds.iter().map(|(_, number)| *number).fold(2, RawFd::max);
        let mut all = Self { moves: Vec::new(), fault: -1, owned: Vec::new() };
        all.fault = all.above(command, highest, faults.write_end())?;
        match &command.stdin {
            Stdin::Inherit => {}
            Stdin::Fd(fd) => all.add(command, highest, fd.as_fd(), 0)?,
            Stdin::Null => {
                let null = fd::dev_null().map_err(|error| command.refused("open /dev/null", error))?;
                all.add(command, highest, null.as_fd(), 0)?;
                all.owned.push(null);
            }
        }
        for (output, number) in [(&command.stdout, 1), (&command.stderr, 2)] {
            if let Output::Fd(fd) = output {
                all.add(command, highest, fd.as_fd(), number)?;
            }
        }
        for (fd, number) in &command.extra_fds {
            all.add(command, highest, fd.as_fd(), *number)?;
        }
        Ok(all)
    }

    fn add(
        &mut self,
        command: &Command,
        highest: RawFd,
        from: BorrowedFd<'_>,
        to: RawFd,
    ) -> Result<(), SpawnError> {
        let from = self.above(command, highest, from)?;
        self.moves.push((from, to));
        Ok(())
    }

    /// The descriptor itself if its number is above `highest`, otherwise a copy that is.
    fn above(&mut self, command: &Command, highest: RawFd, fd: BorrowedFd<'_>) -> Result<RawFd, SpawnError> {
        if fd.as_raw_fd() > highest {
            return Ok(fd.as_raw_fd());
        }
        let copy = fd::duplicate_above(fd, highest.saturating_add(1));
        let copy = copy.map_err(|error| command.refused("duplicate a descriptor", error))?;
        let raw = copy.as_raw_fd();
        self.owned.push(copy);
        Ok(raw)
    }
}

fn text(command: &Command, text: &OsStr) -> Result<CString, SpawnError> {
    // The text itself may be a secret, so it is not shown.
    CString::new(text.as_bytes()).map_err(|_| SpawnError::Invalid {
        program: command.program(),
        why: "an argument, a variable or a path contains a NUL byte".into(),
    })
}

fn environment(command: &Command) -> Result<Vec<CString>, SpawnError> {
    let pairs = command.env.iter().map(|(key, value)| {
        let mut pair = key.clone();
        pair.push("=");
        pair.push(value);
        text(command, &pair)
    });
    pairs.collect()
}

fn open_files(command: &Command, soft: u64) -> Result<(u64, u64), SpawnError> {
    let limits = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE);
    let (_, hard) = limits.map_err(|errno| command.refused("read the limit of open files", errno.into()))?;
    Ok((soft, hard.max(soft)))
}
