//! Resolves a path from directory to directory by descriptors, through no link that somebody else could have laid.
//!
//! With root's rights, a symbolic link is followed only if it belongs to root: nobody else could have made it. (A hard
//! link to another's link cannot be made: only regular files can be linked so, with fs.protected_hardlinks.) With the
//! rights of another user, init's own or one that the thread acts for ([`super::as_user`]), every link is followed: the
//! kernel checks every step, and a link leads nowhere that the user could not go without it.

use crate::sys::identity::file_uid;
use crate::sys::users::Identity;
use crate::sys::words;
use nix::errno::Errno;
use nix::fcntl::{OFlag, openat, readlinkat};
use nix::sys::stat::{Mode, SFlag, fstat, mkdirat};
use std::collections::VecDeque;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

/// The kernel's own limit: path_resolution(7).
const MAX_LINKS: usize = 40;
/// The bits that let others than the owner write. An ACL shows in that of the group: acl(5).
pub(super) const WRITABLE: u32 = 0o022;
const STICKY: u32 = 0o1000;
const DIRECTORY: OFlag = OFlag::O_DIRECTORY.union(OFlag::O_NOFOLLOW).union(OFlag::O_CLOEXEC);

/// Why a directory cannot be reached, made or given away.
#[derive(Debug)]
pub enum DirectoryError {
    /// A link on the way that another user could change.
    ForeignLink { path: PathBuf, uid: u32 },
    /// A directory on the way in which another user could rename what is in it.
    Replaceable { path: PathBuf, uid: u32, gid: u32, mode: u32 },
    /// A directory or file that should be root's alone and is not; and why it cannot become that.
    Foreign { path: PathBuf, uid: u32, gid: u32, mode: u32, source: Option<io::Error> },
    /// Something on the way is a file.
    NotADirectory { path: PathBuf },
    /// Links point in a circle.
    TooManyLinks { path: PathBuf },
    /// The path does not start at the root.
    Relative { path: PathBuf },
    /// The system said no. `what` is such as `cannot make directory`.
    System { what: &'static str, path: PathBuf, source: io::Error },
}

impl DirectoryError {
    /// The error of the system call, if it was one.
    pub fn io(&self) -> Option<&io::Error> {
        match self {
            Self::System { source, .. } | Self::Foreign { source: Some(source), .. } => Some(source),
            _ => None,
        }
    }

    /// The path that is not root's alone, if `who` is one of those who may change it.
    pub fn changeable_by(&self, who: &Identity) -> Option<&Path> {
        match self {
            Self::ForeignLink { path, uid } => (*uid == who.uid).then_some(path),
            Self::Replaceable { path, uid, gid, mode } | Self::Foreign { path, uid, gid, mode, .. } => {
                let of_group = who.gid == *gid || who.groups.contains(gid);
                let may = *uid == who.uid || mode & 0o020 != 0 && of_group || mode & 0o002 != 0;
                may.then_some(path)
            }
            Self::NotADirectory { .. }
            | Self::TooManyLinks { .. }
            | Self::Relative { .. }
            | Self::System { .. } => None,
        }
        .map(PathBuf::as_path)
    }
}

impl fmt::Display for DirectoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ForeignLink { path, uid } => write!(
                f,
                "cannot follow {} as root: it is a symbolic link that belongs to uid {uid}, who could point it \
                 anywhere (write the real path, or make the link as root)",
                path.display()
            ),
            Self::Replaceable { path, uid, mode, .. } => write!(
                f,
                "cannot trust what lies in {0}: it belongs to uid {uid} with mode {mode:04o}, and who may write it may replace \
                 what is in it (chown root {0} && chmod go-w {0}, or choose a path elsewhere)",
                path.display()
            ),
            Self::Foreign { path, uid, gid, mode, source } => {
                write!(f, "cannot trust {}: it belongs to {uid}:{gid} with mode {mode:04o}", path.display())?;
                source
                    .as_ref()
                    .map_or(Ok(()), |why| write!(f, ", and root may not take it over: {}", words(why)))
            }
            Self::NotADirectory { path } => {
                write!(f, "cannot enter {}: it is not a directory", path.display())
            }
            Self::TooManyLinks { path } => {
                write!(f, "cannot enter {}: too many symbolic links", path.display())
            }
            Self::Relative { path } => {
                write!(f, "cannot enter {}: the path must start with /", path.display())
            }
            Self::System { what, path, source } => {
                write!(f, "{what} {}: {}", path.display(), words(source))?;
                match source.raw_os_error() {
                    Some(libc::EROFS) => f.write_str(" (declare a volume or tmpfs there)"),
                    _ => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for DirectoryError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.io().map(|source| source as &(dyn std::error::Error + 'static))
    }
}

/// For callers that have a path of their own in their message: the system's error as it came, the others in words.
impl From<DirectoryError> for io::Error {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::System { source, .. } => source,
            DirectoryError::NotADirectory { .. } => Self::from_raw_os_error(libc::ENOTDIR),
            DirectoryError::TooManyLinks { .. } => Self::from_raw_os_error(libc::ELOOP),
            error => Self::other(error),
        }
    }
}

pub(super) fn system(what: &'static str, path: &Path) -> impl FnOnce(Errno) -> DirectoryError {
    let path = path.to_owned();
    move |errno| DirectoryError::System { what, path, source: errno.into() }
}

/// What a path leads to.
pub(super) enum Found {
    Directory(OwnedFd),
    /// Anything else, by its directory and its name there. It was no link when it was looked at.
    Entry {
        parent: OwnedFd,
        name: OsString,
    },
}

/// Makes a missing directory in the parent, by its name; the path is for errors. Returns it opened.
pub(super) type Make<'a> = &'a mut dyn FnMut(&OwnedFd, &OsStr, &Path) -> Result<OwnedFd, DirectoryError>;

/// Opens the directory `path`. Missing ones are made by `missing`, which gets the parent, the name and the
/// path so far; `None` leaves them missing.
pub(super) fn open_directory(path: &Path, missing: Option<Make<'_>>) -> Result<OwnedFd, DirectoryError> {
    match resolve(path, missing)? {
        Found::Directory(fd) => Ok(fd),
        Found::Entry { .. } => Err(DirectoryError::NotADirectory { path: path.to_owned() }),
    }
}

/// Finds what `path` leads to, and opens it if it is a directory. `missing`: see [`open_directory`].
pub(super) fn resolve(path: &Path, missing: Option<Make<'_>>) -> Result<Found, DirectoryError> {
    walk(path, false, missing)
}

/// As [`resolve`], for root: in every directory on the way root alone may rename what is in it. So the path leads to the same
/// place tomorrow, unless root changes that.
pub(super) fn resolve_guarded(path: &Path, missing: Option<Make<'_>>) -> Result<Found, DirectoryError> {
    walk(path, true, missing)
}

fn walk(path: &Path, guarded: bool, mut missing: Option<Make<'_>>) -> Result<Found, DirectoryError> {
    if !path.is_absolute() {
        return Err(DirectoryError::Relative { path: path.to_owned() });
    }
    let mut at = Walk { fd: root()?, path: PathBuf::from("/"), followed: 0, guarded };
    let mut names: VecDeque<OsString> = names(path);
    while let Some(name) = names.pop_front() {
        at.guard()?;
        let here = at.path.join(&name);
        match openat(
            &at.fd,
            name.as_os_str(),
            OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC,
            Mode::empty(),
        ) {
            Ok(fd) => match at.step(fd, &here)? {
                Step::Entered => {}
                Step::Link(target) => {
                    if target.is_absolute() {
                        (at.fd, at.path) = (root()?, PathBuf::from("/"));
                    }
                    for name in self::names(&target).into_iter().rev() {
                        names.push_front(name);
                    }
                }
                Step::Other if names.is_empty() => return Ok(Found::Entry { parent: at.fd, name }),
                Step::Other => return Err(DirectoryError::NotADirectory { path: here }),
            },
            Err(Errno::ENOENT) if missing.is_some() => {
                if let Some(make) = missing.as_mut() {
                    (at.fd, at.path) = (make(&at.fd, &name, &here)?, here);
                }
            }
            Err(errno) => return Err(system("cannot enter", &here)(errno)),
        }
    }
    match openat(&at.fd, ".", DIRECTORY, Mode::empty()) {
        // One that may be entered and not listed: what O_PATH gave will do for that.
        Err(Errno::EACCES) => Ok(Found::Directory(at.fd)),
        result => result.map(Found::Directory).map_err(system("cannot open directory", path)),
    }
}

enum Step {
    Entered,
    /// A link that may be followed, to this target.
    Link(PathBuf),
    Other,
}

struct Walk {
    fd: OwnedFd,
    path: PathBuf,
    followed: usize,
    guarded: bool,
}

impl Walk {
    /// Refuses to go on from a directory in which another user could rename what is in it, where that matters. A sticky
    /// one such as /tmp is none of these: what belongs to root in it, root alone may rename there (unlink(2)).
    fn guard(&self) -> Result<(), DirectoryError> {
        if !self.guarded {
            return Ok(());
        }
        let stat = fstat(&self.fd).map_err(system("cannot examine", &self.path))?;
        let (uid, gid, mode) = (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777);
        if uid == 0 && (mode & WRITABLE == 0 || mode & STICKY != 0) {
            return Ok(());
        }
        Err(DirectoryError::Replaceable { path: self.path.clone(), uid, gid, mode })
    }

    /// Enters a directory, reads a link.
    fn step(&mut self, fd: OwnedFd, here: &Path) -> Result<Step, DirectoryError> {
        let stat = fstat(&fd).map_err(system("cannot examine", here))?;
        match SFlag::from_bits_truncate(stat.st_mode & SFlag::S_IFMT.bits()) {
            SFlag::S_IFDIR => {
                (self.fd, self.path) = (fd, here.to_owned());
                Ok(Step::Entered)
            }
            SFlag::S_IFLNK => {
                self.followed = self.followed.saturating_add(1);
                if self.followed > MAX_LINKS {
                    return Err(DirectoryError::TooManyLinks { path: here.to_owned() });
                }
                if stat.st_uid != 0 && file_uid() == 0 {
                    return Err(DirectoryError::ForeignLink { path: here.to_owned(), uid: stat.st_uid });
                }
                // An empty path means the link that was opened: readlinkat(2).
                let target = readlinkat(&fd, "").map_err(system("cannot read link", here))?;
                Ok(Step::Link(PathBuf::from(target)))
            }
            _ => Ok(Step::Other),
        }
    }
}

fn root() -> Result<OwnedFd, DirectoryError> {
    nix::fcntl::open("/", OFlag::O_PATH | DIRECTORY, Mode::empty())
        .map_err(system("cannot open", Path::new("/")))
}

/// `..` stays: it is entered by descriptor, so it means what it means to the kernel.
fn names(path: &Path) -> VecDeque<OsString> {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    parts.collect()
}

/// Makes a directory that nobody else may enter yet, and opens it. If another was put in its place, that is
/// refused.
pub(super) fn make_private(parent: impl AsFd, name: &OsStr, path: &Path) -> Result<OwnedFd, DirectoryError> {
    match mkdirat(&parent, name, Mode::S_IRWXU) {
        Ok(()) | Err(Errno::EEXIST) => {}
        Err(errno) => return Err(system("cannot make directory", path)(errno)),
    }
    let fd =
        openat(&parent, name, DIRECTORY, Mode::empty()).map_err(system("cannot open directory", path))?;
    let uid = fstat(&fd).map_err(system("cannot examine", path))?.st_uid;
    if uid != nix::unistd::geteuid().as_raw() {
        return Err(DirectoryError::ForeignLink { path: path.to_owned(), uid });
    }
    Ok(fd)
}
