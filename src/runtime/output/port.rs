//! The way to the container's stdout or stderr that never blocks init.

use super::writer::Writer;
use crate::sys::fd_out::{self, Identity, Kind};
use std::cell::RefCell;
use std::fs::File;
use std::io::{self, IoSlice, Write as _};
use std::os::fd::{AsFd as _, AsRawFd, BorrowedFd};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// How a sink is written.
#[derive(Debug)]
pub(super) enum Port {
    /// A re-opened pipe or terminal, non-blocking by itself.
    Polled(AsyncFd<File>),
    /// A socket, non-blocking call by call: it cannot be re-opened (ENXIO) and its flags are shared.
    Socket(AsyncFd<File>),
    /// A device that never blocks and that epoll refuses, such as /dev/null.
    Direct(File),
    /// A thread that may block.
    Thread(RefCell<Option<Writer>>),
    /// No way at all, and why: everything is discarded, and counted.
    Closed(String),
}

impl Port {
    /// Finds the way for `fd`, and tells what it leads to when it is open.
    pub(super) fn open(fd: BorrowedFd<'_>) -> (Self, Option<Identity>) {
        let inspected = fd_out::duplicate(fd).and_then(|file| Ok((fd_out::inspect(&file)?, file)));
        match inspected {
            Ok(((kind, identity), file)) => (Self::choose(kind, file), Some(identity)),
            Err(error) => (Self::Closed(error.to_string()), None),
        }
    }

    fn choose(kind: Kind, inherited: File) -> Self {
        match kind {
            Kind::Pipe | Kind::CharDevice => {
                let Ok(own) = fd_out::reopen(inherited.as_fd()) else { return Self::thread(inherited) };
                match watch(own, Interest::WRITABLE) {
                    Ok(own) => Self::Polled(own),
                    Err((own, _)) if kind == Kind::CharDevice => Self::Direct(own),
                    Err(_) => Self::thread(inherited),
                }
            }
            Kind::Socket => match watch(inherited, Interest::WRITABLE) {
                Ok(socket) => Self::Socket(socket),
                Err((inherited, _)) => Self::thread(inherited),
            },
            // The inherited description, not a new one: its offset is shared with children that inherit it.
            Kind::Other => Self::thread(inherited),
        }
    }

    pub(super) fn thread(file: File) -> Self {
        match Writer::start(file) {
            Ok(writer) => Self::Thread(RefCell::new(Some(writer))),
            Err(error) => Self::Closed(format!("cannot start its writer thread: {error}")),
        }
    }

    /// Writes what is taken at once; `WouldBlock` when that is nothing.
    pub(super) fn write_now(&self, parts: &[&[u8]; 3]) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); 3];
        let mut used: usize = 0;
        for (slice, part) in slices.iter_mut().zip(parts.iter().filter(|part| !part.is_empty())) {
            *slice = IoSlice::new(part);
            used = used.saturating_add(1);
        }
        let slices = slices.get(..used).unwrap_or_default();
        match self {
            Self::Polled(fd) => retry(|| write(fd.get_ref(), slices)),
            Self::Socket(fd) => retry(|| fd_out::send_now(fd.get_ref().as_fd(), slices)),
            Self::Direct(file) => retry(|| write(file, slices)),
            Self::Thread(_) => Err(io::ErrorKind::WouldBlock.into()),
            Self::Closed(why) => Err(io::Error::other(why.clone())),
        }
    }
}

/// Puts the file into the loop's epoll set; gives it back with the error when that is refused.
pub(crate) fn watch<F: AsRawFd + 'static>(file: F, interest: Interest) -> Result<AsyncFd<F>, (F, io::Error)> {
    #[expect(
        deprecated,
        reason = "`register` is unsafe; a File, or a share of it, owns its descriptor, which is all that it asks for"
    )]
    AsyncFd::try_with_interest(file, interest).map_err(tokio::io::unix::AsyncFdTryNewError::into_parts)
}

fn write(mut file: &File, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => file.write(one),
        several => file.write_vectored(several),
    }
}

fn retry(mut call: impl FnMut() -> io::Result<usize>) -> io::Result<usize> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            result => return result,
        }
    }
}
