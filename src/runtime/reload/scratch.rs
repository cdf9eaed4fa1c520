//! A directory of a reload's own: where files wait for their turn, and where a generation of caches lives.
//!
//! Whoever made it holds a lock on the directory itself, which dies with its process (flock(2)). So what a killed
//! predecessor left is told from what another container on the same volume is using, and there is no file in it that
//! somebody else could replace. Everything goes by the descriptors of the directory and of the one that it is in.

use crate::exit;
use crate::files::{self, Dir, DirId, Kind};
use crate::runtime::clock::Timeout;
use crate::runtime::failure::Failure;
use crate::runtime::off_loop::{OffLoop, is_loop};
use crate::sys::users::Identity;
use crate::sys::words;
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::Path;
use std::time::Duration;

/// Its owner and the owner's group: what is in it may be secret.
const MODE: u32 = 0o750;
/// A file in a directory that was made where others may write: they could rename any directory of root's to a name of init's,
/// but none of them can make a file in it.
const MARK: &str = ".made-by-init";
/// So many names are tried; others may be another container's.
const TRIES: u32 = 1000;
/// So many names of a directory are looked at for what was left: whoever may write there can fill it.
const MOST_NAMES: usize = 100_000;
/// What the removal of one directory may take: whoever owns it may fill it as fast as it is emptied.
const REMOVAL: Duration = Duration::from_secs(60);

/// Removed when it is dropped, unless it was kept.
pub struct Scratch {
    parent: Dir,
    name: OsString,
    dir: Dir,
    id: DirId,
    /// Whose it is; what is in it is removed with no more rights than that user's.
    owner: Option<Identity>,
    kept: bool,
}

impl Scratch {
    /// Makes a directory in `parent` for `owner`, under the first free one of `names`.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(
        parent: &Path,
        names: &mut dyn FnMut() -> String,
        owner: Option<&Identity>,
    ) -> Result<Self, Failure> {
        let refused = |text: String| Failure::new(exit::CANT_CREATE, text);
        let parent = Dir::open(parent).map_err(|error| refused(error.to_string()))?;
        let ids = owner.map(|owner| (owner.uid, owner.gid));
        for _ in 0..TRIES {
            let name = OsString::from(names());
            match parent.make_dir(&name, MODE, ids) {
                Ok(dir) => {
                    // Where there are no locks (some network file systems) it is only less protected from a neighbour.
                    let _ = dir.try_lock();
                    let id = dir.id().map_err(|error| {
                        refused(format!("cannot examine {}: {}", dir.path().display(), words(&error)))
                    })?;
                    let made = Self { parent, name, dir, id, owner: owner.cloned(), kept: false };
                    if is_shared(&made.parent) {
                        made.dir.create_new(MARK, 0o400).map_err(|error| {
                            refused(format!("cannot write in {}: {}", made.path().display(), words(&error)))
                        })?;
                    }
                    return Ok(made);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    // It may have been made, and not been given its owner.
                    let _ = parent.remove_dir(&name);
                    let path = parent.path().join(&name);
                    return Err(refused(format!(
                        "cannot make directory {}: {}",
                        path.display(),
                        words(&error)
                    )));
                }
            }
        }
        let path = parent.path().display();
        Err(refused(format!("cannot make a directory in {path}: each of {TRIES} names is taken")))
    }

    /// Where it is for processes.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Which directory it is, whatever has its path by now.
    pub fn id(&self) -> DirId {
        self.id
    }

    /// It, opened.
    pub fn dir(&self) -> &Dir {
        &self.dir
    }

    /// The directory that it is in, opened.
    pub fn parent(&self) -> &Dir {
        &self.parent
    }

    /// It stays when it is dropped, for processes that use it.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Removes it without waiting: there may be a thousand files, and the disk may be slow.
    pub fn remove_later(mut self) -> OffLoop<()> {
        self.kept = false;
        OffLoop::start(move |_| drop(self))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.kept {
            return;
        }
        if is_loop() {
            // There was no thread to be had for whoever had it.
            tracing::debug!("{} stays until the next boot", self.path().display());
        } else {
            let limit = Timeout::new(REMOVAL);
            remove(&self.parent, &self.name, &self.dir, self.owner.as_ref(), &|| !limit.is_over());
        }
    }
}

/// Empties `dir` with the rights of `owner`, who may have moved directories of root's into it, and removes it. Its name may
/// stand for another directory by now: who may write the parent could have given it to one of root's. What that holds
/// stays, since only an empty directory is removed by its name.
fn remove(parent: &Dir, name: &OsStr, dir: &Dir, owner: Option<&Identity>, goes_on: &dyn Fn() -> bool) {
    let emptied = files::as_user(owner, || files::empty(dir, goes_on)).flatten();
    match emptied.and_then(|()| parent.remove_dir(name)) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => {
            let path = parent.path().join(name);
            let remedy = match error.kind() {
                io::ErrorKind::PermissionDenied => {
                    " for its owner: what that user may not remove stays, so look what it is, and remove it by hand"
                }
                _ => "",
            };
            tracing::warn!("cannot remove {}: {}{remedy}", path.display(), words(&error));
        }
    }
}

/// Removes what dead processes left in `parent` under names that `is_ours`, as long as `goes_on` says so.
///
/// In a directory that another user may write, that user could give any directory of root's such a name: there only what
/// init has marked is removed, and what is empty. What is in a directory of another user's is removed with that user's
/// rights.
pub fn sweep(
    parent: &Path,
    is_ours: &dyn Fn(&str) -> bool,
    app: Option<&Identity>,
    goes_on: &dyn Fn() -> bool,
) {
    let Ok(parent) = Dir::open(parent) else { return };
    let shared = is_shared(&parent);
    for name in parent.names(MOST_NAMES).unwrap_or_default() {
        let Ok(found) = parent.look(&name) else { continue };
        if !name.to_str().is_some_and(is_ours) || found.kind != Kind::Directory {
            continue;
        }
        let owner = files::rights_to_empty(&found, app);
        // Root may not list it, for want of DAC_OVERRIDE, where its owner can.
        let opened = files::as_user(owner.as_ref(), || parent.open_closed_dir(&name)).flatten();
        let Ok(dir) = opened.or_else(|_| parent.open_dir(&name)) else { continue };
        if dir.try_lock().is_err() {
            continue;
        }
        if !shared || is_marked(&dir) {
            tracing::info!("removing {}, which an earlier init left", dir.path().display());
            remove(&parent, &name, &dir, owner.as_ref(), goes_on);
        } else if !is_shared(&dir) {
            // Made by an init that was killed before it could mark it, if it is empty, and only then it is removed.
            let _ = parent.remove_dir(&name);
        }
    }
}

/// Others than init and root may write it.
fn is_shared(dir: &Dir) -> bool {
    !dir.entry().is_ok_and(|entry| entry.is_own() && entry.mode & 0o022 == 0)
}

/// It has the mark, and nobody else can have made that.
fn is_marked(dir: &Dir) -> bool {
    !is_shared(dir) && dir.look(MARK).is_ok_and(|mark| mark.is_own())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

    fn numbered(number: &mut u32) -> impl FnMut() -> String {
        move || {
            *number += 1;
            format!("x-{number}")
        }
    }

    fn is_ours(name: &str) -> bool {
        name.strip_prefix("x-").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_digit()))
    }

    #[test]
    fn directories_in_use_are_kept_and_those_of_dead_processes_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let mut number = 0;
        let one = Scratch::make(dir.path(), &mut numbered(&mut number), None).unwrap();
        let mut two = Scratch::make(dir.path(), &mut numbered(&mut number), None).unwrap();
        assert_eq!(number, 2);
        fs::create_dir(dir.path().join("x-y")).unwrap();
        sweep(dir.path(), &is_ours, None, &|| true);
        assert!(one.path().exists() && two.path().exists());
        let (first, second) = (one.path().to_owned(), two.path().to_owned());
        drop(one);
        two.keep();
        drop(two);
        assert!(!first.exists() && second.exists());
        sweep(dir.path(), &is_ours, None, &|| true);
        assert!(!second.exists() && dir.path().join("x-y").exists());
    }

    #[test]
    fn a_directory_that_took_its_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = Scratch::make(dir.path(), &mut numbered(&mut 0), None).unwrap();
        let (path, gone) = (made.path().to_owned(), dir.path().join("gone"));
        fs::write(path.join("secret"), "x").unwrap();
        fs::rename(&path, &gone).unwrap();
        fs::create_dir(&path).unwrap();
        fs::write(path.join("file"), "root's").unwrap();
        drop(made);
        assert!(path.join("file").exists());
        assert_eq!(fs::read_dir(gone).unwrap().count(), 0);
    }

    #[test]
    fn an_existing_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x-1")).unwrap();
        let mut number = 0;
        let made = Scratch::make(dir.path(), &mut numbered(&mut number), None).unwrap();
        assert_eq!(made.path(), dir.path().join("x-2").as_path());
        drop(made);
        assert!(dir.path().join("x-1").exists());
    }

    #[test]
    fn a_fifo_in_the_directory_does_not_hold_the_sweep() {
        let dir = tempfile::tempdir().unwrap();
        let left = dir.path().join("x-7");
        fs::create_dir(&left).unwrap();
        for name in [".lock", "app.env"] {
            nix::unistd::mkfifo(&left.join(name), nix::sys::stat::Mode::S_IRWXU).unwrap();
        }
        sweep(dir.path(), &is_ours, None, &|| true);
        assert!(!left.exists());
    }

    #[test]
    fn a_link_under_a_name_of_inits_is_neither_followed_nor_removed() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("file"), "x").unwrap();
        symlink(other.path(), dir.path().join("x-7")).unwrap();
        sweep(dir.path(), &is_ours, None, &|| true);
        assert!(other.path().join("file").exists() && dir.path().join("x-7").exists());
    }

    #[test]
    fn a_directory_of_roots_that_the_application_renamed_is_not_swept() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        lchown(dir.path(), Some(33), Some(33)).unwrap();
        let uploads = dir.path().join("x-1");
        fs::create_dir(&uploads).unwrap();
        // As init makes its own.
        fs::set_permissions(&uploads, fs::Permissions::from_mode(MODE)).unwrap();
        fs::write(uploads.join("file"), "x").unwrap();
        // The application's own, with a mark: nothing in it is worth root's doing anything.
        let forged = dir.path().join("x-3");
        fs::create_dir(&forged).unwrap();
        fs::write(forged.join(MARK), "").unwrap();
        for path in [&forged, &forged.join(MARK)] {
            lchown(path, Some(33), Some(33)).unwrap();
        }
        let mut own = Scratch::make(dir.path(), &mut || "x-2".to_owned(), None).unwrap();
        let left = own.path().to_owned();
        own.keep();
        drop(own);
        // Its init was killed before it could mark it.
        let unmarked = dir.path().join("x-4");
        fs::create_dir(&unmarked).unwrap();
        sweep(dir.path(), &is_ours, None, &|| true);
        assert!(uploads.join("file").exists() && forged.exists() && !left.exists() && !unmarked.exists());
    }

    #[test]
    fn a_generation_is_removed_with_the_rights_of_its_owner() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let app = crate::sys::users::Users::parse("", "").find("33:33").unwrap();
        let fill = |path: &Path, uid: u32| {
            fs::create_dir_all(path.join("roots/deep")).unwrap();
            fs::write(path.join("roots/deep/file"), "").unwrap();
            fs::write(path.join("theirs"), "").unwrap();
            lchown(path.join("theirs"), Some(uid), Some(uid)).unwrap();
            lchown(path, Some(uid), Some(uid)).unwrap();
        };
        let made = Scratch::make(dir.path(), &mut || "x-1".to_owned(), Some(&app)).unwrap();
        let mut paths = vec![made.path().to_owned()];
        fill(made.path(), 33);
        drop(made);
        // Left by an earlier init, for the application and for the user that it was before.
        for (name, uid) in [("x-2", 33), ("x-3", 34)] {
            paths.push(dir.path().join(name));
            fill(&dir.path().join(name), uid);
        }
        sweep(dir.path(), &is_ours, Some(&app), &|| true);
        for path in paths {
            let all = (path.join("roots/deep/file").exists(), path.join("theirs").exists());
            assert_eq!(all, (true, false), "{}", path.display());
        }
    }

    #[test]
    fn a_removal_hits_the_directory_that_was_made_and_nothing_in_its_place() {
        let dir = tempfile::tempdir().unwrap();
        let other = tempfile::tempdir().unwrap();
        fs::write(other.path().join("file"), "x").unwrap();
        let made = Scratch::make(dir.path(), &mut || "x-1".to_owned(), None).unwrap();
        fs::rename(made.path(), dir.path().join("moved")).unwrap();
        symlink(other.path(), made.path()).unwrap();
        drop(made);
        assert!(other.path().join("file").exists());
    }
}
