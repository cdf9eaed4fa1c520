//! The one way to open a file that somebody else may have touched.
//!
//! A name in a directory of the application's is whatever the application makes of it at any moment: a FIFO or a device,
//! which can hold its reader for ever; a link to a file of root's; a file without end. So a file is opened without
//! waiting and without following a link in its last component, and then examined by its descriptor: it must be a
//! regular file of the expected owner, and no more than a limit is read of it. Links on the way are
//! [`super::walk`]'s business.
//!
//! What it does not protect from is a file system that does not answer (NFS, FUSE): nothing here belongs on the
//! event loop.

use super::walk::{Found, WRITABLE, resolve};
use crate::sys::identity::file_uid;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// NONBLOCK: a FIFO would wait for its other end, and a file with a lease (fcntl(2), F_SETLEASE) for the holder to give it up.
/// NOCTTY: a terminal would become init's own.
pub(super) const SAFE: OFlag =
    OFlag::O_NOFOLLOW.union(OFlag::O_NONBLOCK).union(OFlag::O_NOCTTY).union(OFlag::O_CLOEXEC);

/// Whom a file must belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Whoever: what the file says is trusted no further than its owner is.
    Anyone,
    /// Root or init's own user.
    Init,
}

impl Owner {
    fn accepts(self, uid: u32) -> bool {
        self == Self::Anyone || uid == 0 || uid == nix::unistd::geteuid().as_raw()
    }
}

/// Opens a regular file for reading. With root's rights, links on the way and in its place are followed if they are root's
/// (a Kubernetes ConfigMap consists of such links); with those of another user all are.
///
/// # Errors
/// It is not there, not a regular file, of another owner, or behind a link that is not trusted.
pub fn open(path: &Path, owner: Owner) -> io::Result<File> {
    match resolve(&std::path::absolute(path)?, None)? {
        Found::Directory(_) => Err(Errno::EISDIR.into()),
        Found::Entry { parent, name } => open_at(&parent, Path::new(&name), owner),
    }
}

/// As [`open`], whoever owns it, for content that is handed on to others. Where fs.protected_hardlinks is 0 another user may
/// give a file of root's a further name in a directory of their own: with root's rights such a name is refused.
///
/// # Errors
/// As [`open`]; it may be such a name.
pub fn open_to_copy(path: &Path) -> io::Result<File> {
    match resolve(&std::path::absolute(path)?, None)? {
        Found::Directory(_) => Err(Errno::EISDIR.into()),
        Found::Entry { parent, name } => {
            let file = open_at(&parent, Path::new(&name), Owner::Anyone)?;
            let (stat, directory) = (fstat(&file)?, fstat(&parent)?);
            let roots_alone = directory.st_uid == 0 && directory.st_mode & WRITABLE == 0;
            if file_uid() == 0 && stat.st_uid == 0 && stat.st_nlink > 1 && !roots_alone {
                return Err(io::Error::other("it is root's, and another user may have given it this name"));
            }
            Ok(file)
        }
    }
}

/// What is at `path`, to be referred to and not to be read (O_PATH): a socket, by its client. Links are followed as by
/// [`open`].
///
/// # Errors
/// It is not there, or behind a link that is not trusted.
pub fn open_reference(path: &Path) -> io::Result<OwnedFd> {
    match resolve(&std::path::absolute(path)?, None)? {
        Found::Directory(directory) => Ok(directory),
        Found::Entry { parent, name } => {
            let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
            Ok(openat(&parent, Path::new(&name), flags, Mode::empty())?)
        }
    }
}

/// Whether something that is there and no directory can be opened for appending. Links are followed as by [`open`].
pub(super) fn try_append(path: &Path) -> io::Result<()> {
    match resolve(&std::path::absolute(path)?, None)? {
        Found::Directory(_) => Err(Errno::EISDIR.into()),
        Found::Entry { parent, name } => {
            let flags = OFlag::O_WRONLY | OFlag::O_APPEND | SAFE;
            match openat(&parent, name.as_os_str(), flags, Mode::empty()) {
                // A FIFO without a reader, which is a kind of writable.
                Err(Errno::ENXIO) => Ok(()),
                opened => Ok(opened.map(drop)?),
            }
        }
    }
}

/// The file `name` in an open directory; a link in its place is refused.
pub(super) fn open_at(parent: impl AsFd, name: &Path, owner: Owner) -> io::Result<File> {
    // Before it is opened: to open a device can do something already (a watchdog starts, a tape rewinds).
    let looked = openat(&parent, name, OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC, Mode::empty())?;
    check(&fstat(&looked)?, owner)?;
    let file: OwnedFd = match openat(&parent, name, OFlag::O_RDONLY | SAFE, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::EWOULDBLOCK) => {
            let text = "a process holds a lease on it (fcntl(2))";
            return Err(io::Error::new(io::ErrorKind::WouldBlock, text));
        }
        Err(Errno::ELOOP) => return Err(not_regular(SFlag::S_IFLNK)),
        Err(errno) => return Err(errno.into()),
    };
    // Once more: it may be another one by now.
    check(&fstat(&file)?, owner)?;
    Ok(File::from(file))
}

/// It is a regular file of the expected owner.
fn check(stat: &FileStat, owner: Owner) -> io::Result<()> {
    match kind(stat) {
        SFlag::S_IFREG if owner.accepts(stat.st_uid) => Ok(()),
        SFlag::S_IFREG => Err(io::Error::other(format!("it belongs to uid {}", stat.st_uid))),
        SFlag::S_IFDIR => Err(Errno::EISDIR.into()),
        other => Err(not_regular(other)),
    }
}

pub(super) fn kind(stat: &FileStat) -> SFlag {
    SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits())
}

fn not_regular(kind: SFlag) -> io::Error {
    let found = match kind {
        SFlag::S_IFIFO => "a FIFO",
        SFlag::S_IFSOCK => "a socket",
        SFlag::S_IFLNK => "a symbolic link",
        _ => "a device",
    };
    io::Error::other(format!("it is {found}, not a regular file"))
}

/// The content of a regular file of at most `max` bytes, opened as [`open`] does.
///
/// # Errors
/// As [`open`]; it is larger, or cannot be read.
pub fn read(path: &Path, owner: Owner, max: u64) -> io::Result<Vec<u8>> {
    read_bounded(&open(path, owner)?, max)
}

/// As [`read`], as text.
///
/// # Errors
/// As [`read`]; `InvalidData` when it is not UTF-8.
pub fn read_text(path: &Path, owner: Owner, max: u64) -> io::Result<String> {
    text(read(path, owner, max)?)
}

pub(super) fn text(bytes: Vec<u8>) -> io::Result<String> {
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// What is left of an open file, if that is at most `max` bytes.
///
/// # Errors
/// It is larger (`FileTooLarge`), or cannot be read. Never a part of it: what was cut short may mean something else.
pub fn read_bounded(mut file: &File, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.by_ref().take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(read).is_ok_and(|read| read > max) {
        let text = format!("it is larger than {max} bytes");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes)
}
