//! The client's end of a unix socket: a connect that ends, and one wait for whatever comes first.
#![expect(unsafe_code, reason = "std connects without a time limit")]

use super::check;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Connects to a socket that was found by its path (O_PATH), whatever is at the path by now. `TimedOut` when its queue of
/// connections stays full for `limit`. The limit stays that of writes.
pub fn connect(socket: BorrowedFd<'_>, limit: Duration) -> io::Result<UnixStream> {
    // Fits into the address, however long the path was.
    let path = format!("/proc/self/fd/{}", socket.as_raw_fd());
    // SAFETY: all zeroes are a valid address, of no family yet.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = u16::try_from(libc::AF_UNIX).unwrap_or(1);
    // Shorter than the address by far, so that zeroes end it.
    for (to, from) in address.sun_path.iter_mut().zip(path.as_bytes()) {
        *to = from.cast_signed() as libc::c_char;
    }
    // SAFETY: three numbers.
    let fd = check(unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel has just made `fd`, so it is open and nobody else owns it.
    let stream = UnixStream::from(unsafe { OwnedFd::from_raw_fd(fd) });
    // unix(7): SO_SNDTIMEO also limits connect.
    stream.set_write_timeout(Some(limit.max(Duration::from_millis(1))))?;
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_un>()).unwrap_or(0);
    // SAFETY: `address` is valid for `length` bytes, and the text in it ends with a zero.
    let done = check(unsafe { libc::connect(stream.as_raw_fd(), (&raw const address).cast(), length) });
    match done {
        Ok(_) => Ok(stream),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Err(io::ErrorKind::TimedOut.into()),
        Err(error) => Err(error),
    }
}

/// The process that listens at the other end, as it was when it began to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub uid: u32,
    /// 0: it is in none of this process's pid namespaces.
    pub pid: i32,
}

/// Who serves a socket that this process has connected to: SO_PEERCRED of unix(7), which the kernel fills in.
pub fn peer(stream: &UnixStream) -> io::Result<Peer> {
    let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
    let mut length = libc::socklen_t::try_from(size_of::<libc::ucred>()).unwrap_or(0);
    // SAFETY: `found` is valid for writing `length` bytes.
    check(unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut found).cast(),
            &raw mut length,
        )
    })?;
    Ok(Peer { uid: found.uid, pid: found.pid })
}

/// What [`wait`] waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Woken {
    /// There is something to read, or its end.
    Input,
    /// Nobody reads the output any more.
    ReaderGone,
    TimedOut,
}

/// Waits until `input` can be read, until the reader of `output` has gone (a pipe or socket; of files and terminals
/// never), or for `limit`.
pub fn wait(
    input: Option<BorrowedFd<'_>>,
    output: BorrowedFd<'_>,
    limit: Option<Duration>,
) -> io::Result<Woken> {
    // Without events only errors and hang-ups are told: poll(2).
    let gone = PollFd::new(output, PollFlags::empty());
    let mut waits = vec![gone];
    waits.extend(input.map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
    let timeout = match limit {
        None => PollTimeout::NONE,
        Some(limit) => PollTimeout::try_from(limit).unwrap_or(PollTimeout::MAX),
    };
    match poll(&mut waits, timeout) {
        Ok(0) => Ok(Woken::TimedOut),
        Ok(_) if waits.first().and_then(PollFd::any).unwrap_or(false) => Ok(Woken::ReaderGone),
        Ok(_) => Ok(Woken::Input),
        Err(error) => Err(error.into()),
    }
}

/// Columns and rows of the terminal behind `fd`; `None`: it is none, or does not know.
pub fn window(fd: impl AsFd) -> Option<(u16, u16)> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: `size` is valid for writing, and of the type that this request fills.
    let done = check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) });
    done.ok().map(|_| (size.ws_col, size.ws_row)).filter(|(columns, _)| *columns > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_input_reader_and_time_wakes() {
        let pipe = crate::sys::fd::pipe_cloexec().unwrap();
        let (a, b) = UnixStream::pair().unwrap();
        let short = Some(Duration::from_millis(1));
        assert_eq!(wait(Some(a.as_fd()), pipe.write.as_fd(), short).unwrap(), Woken::TimedOut);
        crate::sys::fd::write(&b, b"x").unwrap();
        assert_eq!(wait(Some(a.as_fd()), pipe.write.as_fd(), None).unwrap(), Woken::Input);
        drop(pipe.read);
        assert_eq!(wait(None, pipe.write.as_fd(), None).unwrap(), Woken::ReaderGone);
        assert_eq!(window(&a), None);
    }
}
