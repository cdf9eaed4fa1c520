//! Descriptors of the container's log: re-opened, written and read without ever blocking.
//!
//! The flags of an inherited description are never touched: O_NONBLOCK on it would reach every child that shares
//! it, and their writes would fail with EAGAIN and lose lines.

use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, OpenOptionsExt as _};

/// What a descriptor leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Pipe,
    Socket,
    /// Terminals, and devices such as /dev/null.
    CharDevice,
    /// Regular files and whatever else there is.
    Other,
}

/// Device, inode, device number: equal for two descriptors of the same pipe, terminal, socket or file.
pub type Identity = (u64, u64, u64);

/// A private descriptor of the same description, closed on exec.
pub fn duplicate(fd: BorrowedFd<'_>) -> io::Result<File> {
    fd.try_clone_to_owned().map(File::from)
}

/// What the file is, and which.
pub fn inspect(file: &File) -> io::Result<(Kind, Identity)> {
    let meta = file.metadata()?;
    let kind = meta.file_type();
    let kind = match () {
        () if kind.is_fifo() => Kind::Pipe,
        () if kind.is_socket() => Kind::Socket,
        () if kind.is_char_device() => Kind::CharDevice,
        () => Kind::Other,
    };
    Ok((kind, (meta.dev(), meta.ino(), meta.rdev())))
}

/// A new description of the same pipe or terminal, for writing, that does not block and is closed on exec. Fails
/// with ENXIO for sockets, EACCES for another user's pipe, ENOENT without /proc.
#[expect(clippy::disallowed_methods, reason = "what is opened is the descriptor's own file, without waiting")]
pub fn reopen(fd: BorrowedFd<'_>) -> io::Result<File> {
    let flags = OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    OpenOptions::new()
        .append(true)
        .custom_flags(flags.bits())
        .open(format!("/proc/self/fd/{}", fd.as_raw_fd()))
}

/// Writes what the socket takes now. WouldBlock when it takes nothing, whatever the description's flags.
#[expect(
    unsafe_code,
    reason = "MSG_DONTWAIT is the one way to write a shared socket without blocking; std lacks it"
)]
pub fn send_now(socket: BorrowedFd<'_>, parts: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: all-zero is a valid msghdr: no name, no vector, no control data.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    // IoSlice is documented to have the layout of iovec. sendmsg only reads through the pointer.
    message.msg_iov = parts.as_ptr().cast_mut().cast();
    // The type of the field is size_t on glibc and int on musl. Callers pass three parts at most.
    message.msg_iovlen = parts.len() as _;
    // SAFETY: the descriptor is open for the borrow's life, and `message` with its vector lives over the call.
    let sent = unsafe {
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL)
    };
    usize::try_from(sent).map_err(|_| io::Error::last_os_error())
}

/// Waits until the descriptor can be written (or its reader is gone), at most `timeout_ms` milliseconds; for ever
/// when `None`. False when the time is over.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout_ms: Option<u16>) -> io::Result<bool> {
    let timeout = timeout_ms.map_or(PollTimeout::NONE, PollTimeout::from);
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    match poll(&mut polled, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(nix::errno::Errno::EINTR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;

    #[test]
    fn a_reopened_pipe_does_not_make_the_shared_one_non_blocking() {
        let (_reader, shared) = io::pipe().unwrap();
        let mut private = reopen(shared.as_fd()).unwrap();
        while private.write(&[b'x'; 4096]).is_ok() {}
        assert_eq!(private.write(b"x").unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let flags = OFlag::from_bits_retain(
            nix::fcntl::fcntl(shared.as_fd(), nix::fcntl::FcntlArg::F_GETFL).unwrap(),
        );
        assert!(!flags.contains(OFlag::O_NONBLOCK));
    }

    #[test]
    fn a_socket_cannot_be_reopened() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(reopen(one.as_fd()).unwrap_err().raw_os_error(), Some(libc::ENXIO));
    }
}
