//! The place of unix sockets in the file system: where init listens, and where its clients connect.
//!
//! A path of more than 107 bytes does not fit into `sockaddr_un` (unix(7)). It is reached through its directory then, as
//! `/proc/self/fd/N/NAME`, so that no directory has to be changed to.

use super::{Dir, link_metadata, open_reference};
use crate::sys::local;
use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg, OFlag};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{Mode, umask};
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What `sun_path` holds, without the NUL at its end.
const LONGEST: usize = 107;

/// A path that fits into an address. It does so as long as this lives.
#[derive(Debug)]
pub struct Address {
    path: PathBuf,
    _directory: Option<OwnedFd>,
}

impl Address {
    /// The address of the socket at `path`, which need not be there; its directory must be when the path is long.
    ///
    /// # Errors
    /// The directory of a long path cannot be opened, or the name alone is too long.
    pub fn of(path: &Path) -> io::Result<Self> {
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let too_long =
            || io::Error::new(io::ErrorKind::InvalidFilename, "the name of the socket is too long");
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return Err(too_long()) };
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let directory = nix::fcntl::open(directory, flags, Mode::empty())?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        if path.as_os_str().len() > LONGEST {
            return Err(too_long());
        }
        Ok(Self { path, _directory: Some(directory) })
    }

    /// What fits.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// A socket file, told from another one that takes its name later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

/// Which socket is at `path`; `None` when nothing is.
///
/// # Errors
/// Something else than a socket is there, or the path cannot be looked at.
pub fn identity(path: &Path) -> io::Result<Option<Identity>> {
    match link_metadata(path) {
        Ok(found) if found.file_type().is_socket() => {
            Ok(Some(Identity { device: found.dev(), inode: found.ino() }))
        }
        Ok(_) => Err(io::Error::new(io::ErrorKind::AlreadyExists, "something that is no socket is there")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The one who may look for a socket in a directory and make one there, until it is dropped.
#[derive(Debug)]
pub struct Claim(#[expect(dead_code, reason = "held for its drop")] Flock<File>);

/// Claims `directory`. `None`: somebody else has it at the moment. It is gone with its process (flock(2)).
///
/// # Errors
/// The directory cannot be opened, or its file system has no such locks.
pub fn claim(directory: &Path) -> io::Result<Option<Claim>> {
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let opened = File::from(nix::fcntl::open(directory, flags, Mode::empty())?);
    match Flock::lock(opened, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(Claim(lock))),
        Err((_, Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

/// Listens at `path`, for this user alone (mode 0600), without blocking. Call it while no other thread makes files: the
/// umask is the process's.
///
/// # Errors
/// Something is at `path`, or the directory cannot be written.
pub fn listen(path: &Path) -> io::Result<UnixListener> {
    bind(Address::of(path)?.path(), 0o600)
}

/// Listens under `name` in an open directory, for whoever `mode` lets, without blocking: whatever happens to the directory's
/// path meanwhile. The socket has its mode from the beginning, and nothing is changed by its path. As for [`listen`], no
/// other thread may make files.
///
/// # Errors
/// Something has that name, or the directory cannot be written.
pub fn listen_in(directory: &Dir, name: &OsStr, mode: u32) -> io::Result<UnixListener> {
    let here = Path::new("/proc/self/fd").join(directory.as_fd().as_raw_fd().to_string());
    bind(&here.join(name), mode)
}

fn bind(path: &Path, mode: u32) -> io::Result<UnixListener> {
    let before = umask(Mode::from_bits_truncate(!mode & 0o777));
    let bound = UnixListener::bind(path);
    umask(before);
    let listener = bound?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Connects to the socket at `path`, through no link of another user than root. The limit stays that of writes.
///
/// # Errors
/// There is none, or nobody listens; `TimedOut` when its queue of connections stays full for `limit`: whoever listens there
/// accepts no more.
pub fn connect(path: &Path, limit: Duration) -> io::Result<UnixStream> {
    if path.as_os_str().is_empty() || path.as_os_str().as_bytes().contains(&0) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "this is no path of a socket"));
    }
    local::connect(open_reference(path)?.as_fd(), limit)
}

/// The other side has closed both directions, rather than only what it sends.
pub fn is_hung_up(fd: impl AsFd) -> bool {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::empty())];
    let found = poll(&mut polled, PollTimeout::ZERO).is_ok_and(|ready| ready > 0);
    let [polled] = polled;
    let gone = PollFlags::POLLHUP | PollFlags::POLLERR;
    found && polled.revents().is_some_and(|events| events.intersects(gone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::Shutdown;
    use std::os::unix::fs::PermissionsExt as _;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn it_listens_for_one_user_however_long_the_path_is() {
        let directory = tempfile::tempdir().unwrap();
        let long = directory.path().join("d".repeat(120));
        std::fs::create_dir(&long).unwrap();
        for path in [directory.path().join("init.sock"), long.join("init.sock")] {
            let listener = listen(&path).unwrap();
            listener.set_nonblocking(false).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
            let mut client = connect(&path, PATIENCE).unwrap();
            client.write_all(b"x").unwrap();
            let mut byte = [0];
            listener.accept().unwrap().0.read_exact(&mut byte).unwrap();
            assert_eq!(listen(&path).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            drop(listener);
            assert_eq!(connect(&path, PATIENCE).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        }
        assert!(listen(&directory.path().join("n".repeat(200))).is_err());
    }

    #[test]
    fn in_an_open_directory_the_socket_has_its_mode_and_nothing_else_is_touched() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir(at("a")).unwrap();
        std::fs::create_dir(at("other")).unwrap();
        let directory = Dir::open(&at("a")).unwrap();
        std::fs::rename(at("a"), at("moved")).unwrap();
        std::os::unix::fs::symlink("other", at("a")).unwrap();
        let _listener = listen_in(&directory, OsStr::new("health.sock"), 0o666).unwrap();
        assert_eq!(at("moved/health.sock").metadata().unwrap().permissions().mode() & 0o777, 0o666);
        assert!(!at("other/health.sock").exists());
        // A link in its place is neither followed nor replaced.
        std::fs::write(at("victim"), "").unwrap();
        std::os::unix::fs::symlink("../victim", at("moved/link")).unwrap();
        assert!(listen_in(&directory, OsStr::new("link"), 0o666).is_err());
        assert_ne!(at("victim").metadata().unwrap().permissions().mode() & 0o777, 0o666);
    }

    #[test]
    fn only_a_socket_is_taken_for_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("init.sock");
        assert_eq!(identity(&path).unwrap(), None);
        let _listener = listen(&path).unwrap();
        assert!(identity(&path).unwrap().is_some());
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(identity(&link).is_err());
        assert!(identity(directory.path()).is_err());
    }

    #[test]
    fn a_full_queue_ends_a_connect_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let _listener = UnixListener::bind(&path).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect(&path, Duration::from_millis(5)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10_000, "the queue of a listener is bounded");
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_path_that_cannot_be_one_is_refused() {
        for path in ["", "a\0b"] {
            let error = connect(Path::new(path), Duration::from_secs(1)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{path}");
        }
    }

    #[test]
    fn a_half_closed_peer_is_there() {
        let (here, there) = UnixStream::pair().unwrap();
        assert!(!is_hung_up(&here));
        there.shutdown(Shutdown::Write).unwrap();
        assert!(!is_hung_up(&here));
        drop(there);
        assert!(is_hung_up(&here));
    }
}
