//! Atomic placing: readers see the earlier file or the whole new one, with its owner and mode, and nothing else.
//!
//! A temporary file in the same directory (rename(2) does not cross file systems) is created with O_EXCL, which follows no
//! symbolic link (open(2)), and mode 0600; then written, given its mode and
//! its owner, synced, renamed and the directory synced. It is gone after every failure. A temporary file that a killed
//! predecessor left is removed: its writer held a lock (flock(2) dies with its process), so one that can be locked is dead, and
//! a live one of another container on the same volume is left alone.
//!
//! The directory may be the application's, and init root: it is opened once, through no link of another user, and all the
//! rest goes by its descriptor. What lies in it may be a FIFO or a link, and is opened only if it is neither.
//!
//! It makes no directories: whether a missing one is a forgotten volume is preflight's to say.

use super::error::{FetchError, Kind};
use super::file::reason;
use crate::files::{Dir, DirId, DirectoryError, Kind as FileKind, Owner};
use crate::sys::fd::{self, is_out_of_inodes};
use crate::sys::users;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

/// So many names of a directory are looked at for temporary files: whoever may write there can fill it.
const MOST_NAMES: usize = 100_000;

/// Where a file goes and how it looks there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    pub path: PathBuf,
    /// The directory of `path`. `None`: whichever is there.
    pub directory: Option<DirId>,
    /// Permission bits, such as 0o440.
    pub mode: u32,
    /// `None` leaves what the process creates.
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Puts `bytes` at `target`. `Ok(false)`: the same content was there and only owner and mode were seen to.
pub fn place(bytes: &[u8], target: &Target) -> Result<bool, FetchError> {
    let place = Place::new(target)?;
    place.put(bytes).map_err(|step| place.explain(&step))
}

struct Place<'a> {
    target: &'a Target,
    dir: &'a Path,
    name: &'a OsStr,
    /// `.NAME.init-`, to which 16 hexadecimal digits are added.
    prefix: String,
}

/// What failed, for the words of the error.
#[derive(Debug)]
struct Step {
    step: &'static str,
    error: io::Error,
}

fn step(step: &'static str) -> impl FnOnce(io::Error) -> Step {
    move |error| Step { step, error }
}

/// Removes the temporary file unless it has been renamed.
struct Temporary<'a> {
    dir: &'a Dir,
    name: OsString,
    renamed: bool,
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.renamed {
            // Nothing can be done about a failure here; the next boot removes what is left.
            let _ = self.dir.remove_file(&self.name);
        }
    }
}

impl<'a> Place<'a> {
    fn new(target: &'a Target) -> Result<Self, FetchError> {
        let bad = || {
            FetchError::new(
                Kind::Setting,
                format!(
                    "cannot place a file at \"{}\": it is not an absolute path of a file",
                    target.path.display()
                ),
            )
        };
        let name = target.path.file_name().ok_or_else(bad)?;
        let dir = target.path.parent().filter(|dir| dir.is_absolute()).ok_or_else(bad)?;
        let text = name.to_string_lossy();
        let prefix = format!(".{}.init-", text.strip_prefix('.').unwrap_or(&text));
        Ok(Self { target, dir, name, prefix })
    }

    fn put(&self, bytes: &[u8]) -> Result<bool, Step> {
        let dir = self.open()?;
        self.remove_stale(&dir);
        if self.keep(&dir, bytes)? {
            return Ok(false);
        }
        match self.replace(&dir, bytes) {
            // Between its creation and its lock a temporary file looks stale to another container on the same volume.
            Err(Step { step: "rename", error, .. }) if error.kind() == io::ErrorKind::NotFound => {
                self.replace(&dir, bytes)?;
            }
            other => other?,
        }
        Ok(true)
    }

    /// Opens the directory, through no link of another user.
    fn open(&self) -> Result<Dir, Step> {
        let plain = |error: &DirectoryError| {
            matches!(error, DirectoryError::System { .. } | DirectoryError::NotADirectory { .. })
        };
        let dir = Dir::open(self.dir).map_err(|error| Step {
            step: if plain(&error) { "create" } else { "reach" },
            error: error.into(),
        })?;
        match self.target.directory {
            Some(wanted) if dir.id().map_err(step("reach"))? != wanted => {
                Err(step("recognise")(io::Error::other("it is another directory")))
            }
            _ => Ok(dir),
        }
    }

    fn is_temporary(&self, name: &str) -> bool {
        name.strip_prefix(&self.prefix)
            .is_some_and(|rest| rest.len() == 16 && rest.bytes().all(|b| b.is_ascii_hexdigit()))
    }

    fn remove_stale(&self, dir: &Dir) {
        for name in dir.names(MOST_NAMES).unwrap_or_default() {
            if !name.to_str().is_some_and(|name| self.is_temporary(name)) {
                continue;
            }
            let dead = dir.open_file(&name, Owner::Anyone).is_ok_and(|file| fd::try_lock(&file).is_ok());
            if dead {
                let _ = dir.remove_file(&name);
            }
        }
    }

    /// `true` when a regular file with this very content is there already; its owner and mode are right then.
    fn keep(&self, dir: &Dir, bytes: &[u8]) -> Result<bool, Step> {
        let same_size = |size: u64| u64::try_from(bytes.len()).is_ok_and(|length| length == size);
        // A link is replaced, and so is whatever else is no regular file.
        match dir.look(self.name) {
            Ok(found) if found.kind == FileKind::File && found.links == 1 && same_size(found.size) => {}
            _ => return Ok(false),
        }
        let Ok(mut file) = dir.open_file(self.name, Owner::Anyone) else { return Ok(false) };
        let Ok(now) = file.metadata() else { return Ok(false) };
        if now.nlink() != 1 || !self.may_keep(&now) || !same(&mut file, bytes) {
            return Ok(false);
        }
        self.dress(&file, &now)?;
        Ok(true)
    }

    /// A file that belonged to another user than it is to belong to may be open for writing there: it is replaced.
    fn may_keep(&self, now: &fs::Metadata) -> bool {
        let own = users::own_uid();
        now.uid() == self.target.uid.unwrap_or(own) || now.uid() == own
    }

    /// Gives an open file its owner and mode, where they differ.
    fn dress(&self, file: &File, now: &fs::Metadata) -> Result<(), Step> {
        let uid = self.target.uid.filter(|uid| *uid != now.uid());
        let gid = self.target.gid.filter(|gid| *gid != now.gid());
        // The mode first: without FOWNER root may not change that of what is another's.
        if now.mode() & 0o7777 != self.target.mode {
            let mode = fs::Permissions::from_mode(self.target.mode);
            file.set_permissions(mode).map_err(step("change the mode of"))?;
        }
        if uid.is_some() || gid.is_some() {
            fchown(file, uid, gid).map_err(step("change owner"))?;
        }
        Ok(())
    }

    fn replace(&self, dir: &Dir, bytes: &[u8]) -> Result<(), Step> {
        let name = OsString::from(format!("{}{:016x}", self.prefix, crate::sys::random()));
        let mut file = dir.create_new(&name, 0o600).map_err(step("create"))?;
        let mut temporary = Temporary { dir, name, renamed: false };
        // Without a lock (some network file systems have none) the file is only less protected from a neighbour.
        let _ = fd::try_lock(&file);
        file.write_all(bytes).map_err(step("write"))?;
        let metadata = file.metadata().map_err(step("write"))?;
        self.dress(&file, &metadata)?;
        file.sync_all().map_err(step("sync"))?;
        dir.rename(&temporary.name, dir, self.name).map_err(step("rename"))?;
        temporary.renamed = true;
        // The file is complete and in its place; a file system that cannot sync a directory loses nothing by it.
        let _ = dir.sync();
        Ok(())
    }

    fn explain(&self, step: &Step) -> FetchError {
        use io::ErrorKind as E;
        let (path, dir) = (self.target.path.display(), self.dir.display());
        let why = reason(&step.error);
        let error = |what: String| FetchError::new(Kind::Place, format!("cannot write {path}: {what}"));
        match (step.step, step.error.kind()) {
            ("create", E::NotFound) => error(format!("its directory {dir} does not exist"))
                .hint(format!("make {dir} in the image or declare it as a volume")),
            ("create", E::NotADirectory) => {
                error(format!("{dir} is not a directory")).hint("choose another path")
            }
            (_, E::ReadOnlyFilesystem) => error(format!("{dir} is read-only"))
                .hint(format!("declare {dir} as a volume or tmpfs of its own when the root is read-only")),
            ("create", E::PermissionDenied) => {
                error(format!("{dir} may not be written: {why}")).hint(format!(
                    "give {dir} to the user that init runs as, or set path to a directory that user may write"
                ))
            }
            (_, E::StorageFull) if is_out_of_inodes(self.dir) => {
                error(format!("the file system of {dir} has no inode left: {why}"))
                    .hint("remove files (df -i counts them), or give the volume more inodes")
            }
            (_, E::StorageFull | E::QuotaExceeded) => {
                error(format!("the file system of {dir} is full: {why}"))
                    .hint("make room or enlarge the volume")
            }
            ("change owner", _) => error(format!("cannot change its owner to {}: {why}", self.owner()))
                .hint(if users::own_uid() == 0 {
                    "add the capability CHOWN (--cap-add); on a file system that keeps its owner, mount a tmpfs instead"
                } else {
                    "run init as root, or leave owner out so that the file belongs to init's own user"
                }),
            ("rename", E::ResourceBusy) => error("it is a mount point of its own".to_owned())
                .hint(format!("mount the directory {dir} rather than the one file")),
            ("rename", E::IsADirectory) => {
                error("it is a directory".to_owned()).hint("name the file itself as path")
            }
            ("reach", _) => error(why),
            ("recognise", _) => error(format!("another directory was put in the place of {dir}, which init made"))
                .hint("let root alone write the directory above it, or choose a path in state-dir"),
            (what, _) => error(format!("cannot {what} it: {why}")),
        }
    }

    fn owner(&self) -> String {
        let id = |id: Option<u32>| id.map_or_else(|| "-".to_owned(), |id| id.to_string());
        format!("{}:{}", id(self.target.uid), id(self.target.gid))
    }
}

/// Removes what a child that was killed may have left beside `path`. For the parent, after it ended one.
pub fn sweep(path: &Path) {
    let target = Target { path: path.to_owned(), directory: None, mode: 0, uid: None, gid: None };
    if let Ok(place) = Place::new(&target)
        && let Ok(dir) = place.open()
    {
        place.remove_stale(&dir);
    }
}

fn same(file: &mut File, bytes: &[u8]) -> bool {
    let mut rest = bytes;
    let mut buffer = [0_u8; 8192];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => return rest.is_empty(),
            Ok(n) if rest.get(..n) == buffer.get(..n) => rest = rest.get(n..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
#[path = "place_tests.rs"]
mod tests;
