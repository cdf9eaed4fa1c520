//! An open directory, and what is done with the names in it.
//!
//! Every call goes by the descriptor: whatever happens to the path meanwhile, the names are looked up in the directory that
//! was opened, and a link in the last component is never followed.

use super::open::{Owner, SAFE, kind, open_at};
use super::walk::{DirectoryError, open_directory};
use crate::sys::fd;
use crate::sys::identity::file_uid;
use nix::fcntl::{AtFlags, OFlag, openat, renameat};
use nix::sys::stat::{FchmodatFlags, FileStat, Mode, SFlag, fchmod, fchmodat, fstat, fstatat, mkdirat};
use nix::unistd::{LinkatFlags, UnlinkatFlags, linkat, unlinkat};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub kind: Kind,
    pub uid: u32,
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
    pub links: u64,
    pub size: u64,
    pub(super) device: u64,
    pub(super) inode: u64,
}

/// The kinds of files that make a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    File,
    Directory,
    Link,
    Socket,
    Other,
}

impl Entry {
    #[allow(
        clippy::unnecessary_cast,
        clippy::useless_conversion,
        reason = "the types depend on the C library"
    )]
    pub(super) fn of(stat: &FileStat) -> Self {
        let kind = match kind(stat) {
            SFlag::S_IFREG => Kind::File,
            SFlag::S_IFDIR => Kind::Directory,
            SFlag::S_IFLNK => Kind::Link,
            SFlag::S_IFSOCK => Kind::Socket,
            _ => Kind::Other,
        };
        Self {
            kind,
            uid: stat.st_uid,
            gid: stat.st_gid,
            mode: stat.st_mode & 0o7777,
            links: stat.st_nlink as u64,
            size: u64::try_from(stat.st_size).unwrap_or_default(),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
        }
    }

    /// It belongs to root or to init's own user.
    pub fn is_own(&self) -> bool {
        self.uid == 0 || self.uid == nix::unistd::geteuid().as_raw()
    }
}

/// Tells a directory from every other one, as long as somebody has it open: afterwards its number may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirId {
    device: u64,
    inode: u64,
}

/// An open directory.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    /// Where it was when it was opened: for messages, and for processes that look it up by path.
    path: PathBuf,
}

impl AsFd for Dir {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Dir {
    /// Opens a directory. With root's rights, only links of root's are followed on the way.
    ///
    /// # Errors
    /// It is not there, or behind a link that is not trusted.
    pub fn open(path: &Path) -> Result<Self, DirectoryError> {
        let absolute = std::path::absolute(path).map_err(|source| DirectoryError::System {
            what: "cannot enter",
            path: path.to_owned(),
            source,
        })?;
        let fd = open_directory(&absolute, None)?;
        Ok(Self { fd, path: path.to_owned() })
    }

    pub(super) fn from_fd(fd: OwnedFd, path: &Path) -> Self {
        Self { fd, path: path.to_owned() }
    }

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Where it was when it was opened.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory itself.
    ///
    /// # Errors
    /// The file system does not tell.
    pub fn entry(&self) -> io::Result<Entry> {
        Ok(Entry::of(&fstat(&self.fd)?))
    }

    /// Which directory it is, whatever its path leads to by now.
    ///
    /// # Errors
    /// The file system does not tell.
    pub fn id(&self) -> io::Result<DirId> {
        let Entry { device, inode, .. } = self.entry()?;
        Ok(DirId { device, inode })
    }

    /// What `name` is, itself: a link is not followed.
    ///
    /// # Errors
    /// It is not there, or the directory may not be entered.
    pub fn look(&self, name: impl AsRef<OsStr>) -> io::Result<Entry> {
        Ok(Entry::of(&fstatat(&self.fd, name.as_ref(), AtFlags::AT_SYMLINK_NOFOLLOW)?))
    }

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// It is not there, no regular file, or of another owner.
    pub fn open_file(&self, name: impl AsRef<OsStr>, owner: Owner) -> io::Result<File> {
        open_at(&self.fd, Path::new(name.as_ref()), owner)
    }

    /// Makes a file for writing and reading. Its mode is further limited by the umask.
    ///
    /// # Errors
    /// There is something of that name, or the directory cannot be written.
    pub fn create_new(&self, name: impl AsRef<OsStr>, mode: u32) -> io::Result<File> {
        let flags = OFlag::O_RDWR | OFlag::O_CREAT | OFlag::O_EXCL | SAFE;
        Ok(File::from(openat(&self.fd, name.as_ref(), flags, Mode::from_bits_truncate(mode))?))
    }

    /// Opens a directory in it; a link in its place is refused.
    ///
    /// # Errors
    /// It is not there, or no directory.
    pub fn open_dir(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | SAFE;
        let fd = openat(&self.fd, name.as_ref(), flags, Mode::empty())?;
        Ok(Self { fd, path: self.path.join(name.as_ref()) })
    }

    /// Makes a directory of this very mode and owner (`None`: as the thread makes it), and opens it.
    ///
    /// # Errors
    /// There is something of that name, or the directory cannot be written.
    pub fn make_dir(
        &self,
        name: impl AsRef<OsStr>,
        mode: u32,
        owner: Option<(u32, u32)>,
    ) -> io::Result<Self> {
        let name = name.as_ref();
        mkdirat(&self.fd, name, Mode::S_IRWXU)?;
        let dir = self.open_dir(name)?;
        // Somebody who may write here could have put another one in its place: their own, or one of root's with what it holds.
        if !dir.entry()?.is_own() || !dir.names(1)?.is_empty() {
            return Err(io::Error::other("another user put a directory in its place"));
        }
        // The owner comes last: without FOWNER root may not change the mode of what is another's.
        fchmod(&dir.fd, Mode::from_bits_truncate(mode))?;
        if let Some((uid, gid)) = owner {
            fd::fchown(&dir.fd, uid, gid)?;
        }
        Ok(dir)
    }

    /// Gives its owner all rights to it, where they are missing. For that owner.
    ///
    /// # Errors
    /// It is another user's.
    pub(super) fn open_up(&self) -> io::Result<()> {
        let mode = self.entry()?.mode;
        if mode & 0o700 == 0o700 {
            Ok(())
        } else {
            Ok(fchmod(&self.fd, Mode::from_bits_truncate(mode | 0o700))?)
        }
    }

    /// Opens a directory in it. With the rights of a user that has taken them from itself, it gets them back.
    ///
    /// # Errors
    /// As [`Dir::open_dir`].
    pub fn open_closed_dir(&self, name: impl AsRef<OsStr>) -> io::Result<Self> {
        let name = name.as_ref();
        match self.open_dir(name) {
            // For root it would be another user's, and its name could lead anywhere by now. A link of that user's leads to nothing
            // that it could not change itself.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied && file_uid() != 0 => {
                fchmodat(&self.fd, name, Mode::S_IRWXU, FchmodatFlags::FollowSymlink)?;
                self.open_dir(name)
            }
            result => result,
        }
    }

    /// Removes a name that is no directory.
    ///
    /// # Errors
    /// It is not there, a directory, or the directory cannot be written.
    pub fn remove_file(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), UnlinkatFlags::NoRemoveDir)?)
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// It is not there, not empty, or no directory.
    pub fn remove_dir(&self, name: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(unlinkat(&self.fd, name.as_ref(), UnlinkatFlags::RemoveDir)?)
    }

    /// Renames `name` to `new` in `to`, in place of what is there.
    ///
    /// # Errors
    /// See rename(2).
    pub fn rename(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(renameat(&self.fd, name.as_ref(), &to.fd, new.as_ref())?)
    }

    /// Gives what `name` stands for a second name, `new` in `to`. A link gets it itself, not what it points to.
    ///
    /// # Errors
    /// See link(2).
    pub fn link(&self, name: impl AsRef<OsStr>, to: &Self, new: impl AsRef<OsStr>) -> io::Result<()> {
        Ok(linkat(&self.fd, name.as_ref(), &to.fd, new.as_ref(), LinkatFlags::empty())?)
    }

    /// The first `most` names in it, in no order, without `.` and `..`.
    ///
    /// # Errors
    /// It cannot be listed.
    pub fn names(&self, most: usize) -> io::Result<Vec<OsString>> {
        let flags = OFlag::O_DIRECTORY | OFlag::O_RDONLY | SAFE;
        // One of its own: the position in a listing belongs to the description.
        let mut list = nix::dir::Dir::openat(&self.fd, ".", flags, Mode::empty())?;
        let names = list.iter().filter_map(|entry| match entry {
            Ok(entry) => {
                let name = entry.file_name().to_bytes();
                (!matches!(name, b"." | b"..")).then(|| Ok(OsStr::from_bytes(name).to_owned()))
            }
            Err(errno) => Some(Err(errno.into())),
        });
        names.take(most).collect()
    }

    /// Locks it until it is closed (flock(2)). Nobody needs a file in it for that.
    ///
    /// # Errors
    /// `WouldBlock`: another process has it. The file system may have no such locks.
    pub fn try_lock(&self) -> io::Result<()> {
        fd::try_lock(&self.fd)
    }

    /// Writes the names in it to the disk.
    ///
    /// # Errors
    /// The file system cannot.
    pub fn sync(&self) -> io::Result<()> {
        Ok(nix::unistd::fsync(&self.fd)?)
    }
}
