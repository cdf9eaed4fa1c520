//! What root alone may change: how a directory becomes that, and whether a path is that.
//!
//! Who may write a directory decides what its names stand for, from one moment to the next: root must not trust what it
//! finds under a name that the application may rename. A directory that root took over is safe whatever the application
//! kept of it: an open descriptor gives no right to change it, since each change is checked against its owner and mode
//! of that moment (unlink(2), rename(2)). A *file* that was the application's is not: who opened it for writing still
//! may. So files are never taken over, only replaced.

use super::at::{Dir, Entry, Kind};
use super::remove::empty;
use super::walk::{DirectoryError, Found, Make, WRITABLE, make_private, resolve_guarded};
use crate::sys::fd;
use crate::sys::identity::as_user;
use crate::sys::random;
use crate::sys::users::Identity;
use nix::sys::stat::{Mode, fchmod};
use std::ffi::OsStr;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// A group that owns nothing.
const NO_GROUP: u32 = 65534;

/// A directory that root alone may change, at a path that root alone may change.
#[derive(Debug)]
pub struct Owned {
    pub dir: Dir,
    /// Whose it was, and how, if it had to be taken over.
    pub taken_from: Option<Entry>,
}

/// Makes `path` (absolute), or takes it over, so that root alone may change it and `group` may enter it (`None`: whoever may
/// now). One that root alone may change already stays as it is, unless `group` could not enter it. For root.
///
/// # Errors
/// A directory above it is not root's alone; or it cannot be made or taken over.
pub fn own_directory(path: &Path, group: Option<u32>, mode: u32) -> Result<Owned, DirectoryError> {
    let mut make = |parent: &OwnedFd, name: &OsStr, path: &Path| {
        let fd = make_private(parent, name, path)?;
        give(&fd, group.unwrap_or(0), mode).map_err(refused("cannot chown", path))?;
        Ok(fd)
    };
    let dir = open(path, Some(&mut make))?;
    let before = dir.entry().map_err(refused("cannot examine", path))?;
    if before.is_roots_alone() {
        if let Some(group) = group.filter(|group| !before.lets_in(*group)) {
            // It is safe as it is. That the application cannot enter it is found out, and told, by who tries.
            let _ = give(&dir, group, mode);
        }
        return Ok(Owned { dir, taken_from: None });
    }
    let foreign = |source| before.foreign(path, Some(source));
    // Others may read what they could before: nobody but root writes it now.
    let (group, mode) =
        group.map_or((before.gid, before.mode & 0o755), |group| (group, mode | before.mode & 0o005));
    give(&dir, group, mode).map_err(foreign)?;
    // Until the mode was set its former owner may have renamed it away, where it was in a sticky directory. And a network
    // file system may say yes and keep its own idea of the owner.
    let dir = open(path, None)?;
    let after = dir.entry().map_err(refused("cannot examine", path))?;
    if !after.is_roots_alone() {
        return Err(foreign(io::Error::other(
            "the file system keeps its owner, or somebody else replaces it",
        )));
    }
    Ok(Owned { dir, taken_from: Some(before) })
}

fn open(path: &Path, missing: Option<Make<'_>>) -> Result<Dir, DirectoryError> {
    match resolve_guarded(path, missing)? {
        Found::Directory(fd) => Ok(Dir::from_fd(fd, path)),
        Found::Entry { .. } => Err(DirectoryError::NotADirectory { path: path.to_owned() }),
    }
}

/// The owner first: until it is root's, its owner could change the mode again.
fn give(dir: impl AsFd, group: u32, mode: u32) -> io::Result<()> {
    match fd::fchown(&dir, 0, group) {
        // It could be opened as a place only: root may not list it, for want of DAC_OVERRIDE.
        Err(error) if error.raw_os_error() == Some(libc::EBADF) => {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        result => result,
    }?;
    Ok(fchmod(&dir, Mode::from_bits_truncate(mode))?)
}

fn refused(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DirectoryError {
    let path = path.to_owned();
    move |source| DirectoryError::System { what, path, source }
}

impl Entry {
    /// Root alone may change it.
    pub fn is_roots_alone(&self) -> bool {
        self.uid == 0 && self.mode & WRITABLE == 0
    }

    fn foreign(&self, path: &Path, source: Option<io::Error>) -> DirectoryError {
        let (uid, gid, mode) = (self.uid, self.gid, self.mode);
        DirectoryError::Foreign { path: path.to_owned(), uid, gid, mode, source }
    }

    /// Whoever has this group may enter and list it.
    fn lets_in(&self, group: u32) -> bool {
        group == 0 || self.mode & 0o005 == 0o005 || self.gid == group && self.mode & 0o050 == 0o050
    }
}

/// Whether root alone may change what `path` leads to: it, and every directory on the way.
///
/// # Errors
/// What another user may change; or `path` cannot be looked at.
pub fn is_roots_alone(path: &Path) -> Result<(), DirectoryError> {
    let entry = match resolve_guarded(path, None)? {
        Found::Directory(fd) => Dir::from_fd(fd, path).entry(),
        Found::Entry { parent, name } => Dir::from_fd(parent, path).look(name),
    };
    let entry = entry.map_err(refused("cannot examine", path))?;
    if entry.is_roots_alone() { Ok(()) } else { Err(entry.foreign(path, None)) }
}

/// Removes what another user left under a name in a directory of root's where a `wanted` is to be: what is of another
/// kind. A file in the place of a file is no hindrance: it is replaced. A socket is: clients would reach its maker.
///
/// A directory that its owner may not empty is renamed, since there may be directories of root's in it: to what.
///
/// # Errors
/// It cannot be removed.
pub fn clear(dir: &Dir, name: &OsStr, wanted: Kind, app: Option<&Identity>) -> io::Result<Option<String>> {
    let found = match dir.look(name) {
        Ok(found) if found.uid != 0 => found,
        Ok(_) => return Ok(None),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    match (found.kind, wanted) {
        (Kind::Directory, Kind::Directory) => {}
        (Kind::Directory, _) => {
            let owner = rights_to_empty(&found, app);
            let _ = as_user(owner.as_ref(), || empty(&dir.open_closed_dir(name)?, &|| true)).flatten();
            if dir.remove_dir(name).is_err() {
                let left = format!(".left-{:016x}", random());
                dir.rename(name, dir, &left)?;
                return Ok(Some(left));
            }
        }
        (_, Kind::Directory | Kind::Socket) => dir.remove_file(name)?,
        _ => {}
    }
    Ok(None)
}

/// Whose rights to use to empty a directory: those of its owner, who may have moved directories of root's into it that it
/// may not empty. `None`: root's own, as for a directory that root alone may change.
pub fn rights_to_empty(dir: &Entry, app: Option<&Identity>) -> Option<Identity> {
    if dir.is_own() && dir.mode & WRITABLE == 0 {
        return None;
    }
    match app {
        Some(app) if dir.is_own() || dir.uid == app.uid => Some(app.clone()),
        None if dir.is_own() => None,
        // The application ran as another user then.
        _ => Some(Identity {
            uid: dir.uid,
            gid: NO_GROUP,
            groups: Vec::new(),
            name: None,
            home: None,
            shell: None,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, lchown, symlink};

    const GROUP: Option<u32> = Some(33);

    /// A directory that belongs to uid 33, in one of root's that everybody may enter; `None` without root.
    fn theirs() -> Option<(tempfile::TempDir, std::path::PathBuf)> {
        if !nix::unistd::geteuid().is_root() {
            return None;
        }
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        let dir = root.path().join("state");
        fs::create_dir(&dir).unwrap();
        lchown(&dir, Some(33), Some(33)).unwrap();
        Some((root, dir))
    }

    fn facts(path: &Path) -> (u32, u32, u32) {
        let data = fs::symlink_metadata(path).unwrap();
        (data.uid(), data.gid(), data.mode() & 0o7777)
    }

    #[test]
    fn a_directory_of_another_user_becomes_roots_and_an_open_one_does_not_help_that_user() {
        let Some((_root, dir)) = theirs() else { return };
        let user = crate::sys::users::Users::parse("", "").find("33:33").unwrap();
        let held = crate::files::as_user(Some(&user), || Dir::open(&dir)).unwrap().unwrap();
        let owned = own_directory(&dir, GROUP, 0o750).unwrap();
        assert_eq!(owned.taken_from.map(|before| before.uid), Some(33));
        assert_eq!(facts(&dir), (0, 33, 0o755), "others may enter as before");
        let made = crate::files::as_user(Some(&user), || held.create_new("x", 0o644)).unwrap();
        assert_eq!(made.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        assert!(own_directory(&dir, GROUP, 0o750).unwrap().taken_from.is_none(), "it is root's now");
        assert!(is_roots_alone(&dir).is_ok());
    }

    #[test]
    fn a_directory_that_is_roots_alone_keeps_its_mode_if_the_group_may_enter() {
        let Some((root, _)) = theirs() else { return };
        let dir = root.path().join("own");
        for (mode, after) in [
            (0o755, (0, 0, 0o755)),
            (0o700, (0, 33, 0o750)),
            (0o770, (0, 33, 0o750)),
            (0o777, (0, 33, 0o755)),
        ] {
            fs::create_dir(&dir).unwrap();
            fs::set_permissions(&dir, Permissions::from_mode(mode)).unwrap();
            own_directory(&dir, GROUP, 0o750).unwrap();
            assert_eq!(facts(&dir), after, "{mode:o}");
            fs::remove_dir(&dir).unwrap();
        }
        own_directory(&dir, GROUP, 0o750).unwrap();
        assert_eq!(facts(&dir), (0, 33, 0o750), "it was missing");
        fs::set_permissions(&dir, Permissions::from_mode(0o775)).unwrap();
        own_directory(&dir, None, 0o750).unwrap();
        assert_eq!(facts(&dir), (0, 33, 0o755), "for nobody's group it loses what makes it unsafe");
    }

    #[test]
    fn below_a_directory_that_others_may_write_nothing_is_roots_alone() {
        let Some((root, dir)) = theirs() else { return };
        let above = root.path();
        let below = dir.join("state");
        let error = own_directory(&below, GROUP, 0o750).unwrap_err();
        assert!(
            matches!(&error, DirectoryError::Replaceable { path, uid: 33, .. } if *path == dir),
            "{error}"
        );
        assert!(!below.exists());
        for mode in [0o775, 0o757, 0o777] {
            fs::set_permissions(above, Permissions::from_mode(mode)).unwrap();
            let error = own_directory(&dir, GROUP, 0o750).unwrap_err();
            assert!(matches!(error, DirectoryError::Replaceable { uid: 0, .. }), "{mode:o}: {error}");
            assert_eq!(facts(&dir), (33, 33, 0o755));
        }
        // Where nobody may rename what is another's.
        fs::set_permissions(above, Permissions::from_mode(0o1777)).unwrap();
        own_directory(&dir, GROUP, 0o750).unwrap();
        assert_eq!(facts(&dir), (0, 33, 0o755));
    }

    #[test]
    fn a_link_is_followed_if_it_is_roots() {
        let Some((root, dir)) = theirs() else { return };
        let link = root.path().join("link");
        symlink(&dir, &link).unwrap();
        lchown(&link, Some(33), Some(33)).unwrap();
        let error = own_directory(&link, GROUP, 0o750).unwrap_err();
        assert!(matches!(error, DirectoryError::ForeignLink { uid: 33, .. }), "{error}");
        assert_eq!(facts(&dir).0, 33);
        lchown(&link, Some(0), Some(0)).unwrap();
        own_directory(&link, GROUP, 0o750).unwrap();
        assert_eq!(facts(&dir), (0, 33, 0o755));
    }

    #[test]
    fn files_are_roots_alone_with_all_that_is_above_them() {
        let Some((root, dir)) = theirs() else { return };
        let (file, theirs) = (root.path().join("file"), dir.join("file"));
        fs::write(&file, "").unwrap();
        fs::write(&theirs, "").unwrap();
        assert!(is_roots_alone(&file).is_ok());
        assert!(matches!(is_roots_alone(&theirs), Err(DirectoryError::Replaceable { uid: 33, .. })));
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        assert!(matches!(is_roots_alone(&file), Err(DirectoryError::Foreign { mode: 0o666, .. })));
        assert!(is_roots_alone(&root.path().join("none")).is_err());
    }

    #[test]
    fn what_stands_in_the_way_is_removed_if_it_is_another_users() {
        let Some((root, _)) = theirs() else { return };
        let dir = Dir::open(root.path()).unwrap();
        let at = |name: &str| root.path().join(name);
        fs::create_dir_all(at("env/deep")).unwrap();
        symlink("/etc", at("tls")).unwrap();
        fs::create_dir(at("roots")).unwrap();
        for name in ["env", "tls"] {
            lchown(at(name), Some(33), Some(33)).unwrap();
        }
        fs::create_dir_all(at("full/roots/deep")).unwrap();
        lchown(at("full"), Some(33), Some(33)).unwrap();
        for path in [at("env/deep"), at("full/roots")] {
            lchown(path, Some(0), Some(33)).unwrap();
        }
        for (name, wanted) in
            [("env", Kind::File), ("full", Kind::File), ("tls", Kind::Directory), ("roots", Kind::File)]
        {
            let left = clear(&dir, OsStr::new(name), wanted, None).unwrap();
            assert_eq!(fs::symlink_metadata(at(name)).is_ok(), name == "roots", "{name}");
            assert_eq!(left.is_some(), name == "full");
            assert!(left.is_none_or(|left| at(&left).join("roots/deep").exists()), "root's stays");
        }
        clear(&dir, OsStr::new("none"), Kind::File, None).unwrap();
    }
}
