//! Files that wait beside their places, and how they get into them: all, or none.
//!
//! Beside, in a directory of the same file system, so that each step is a rename(2).

use super::GENERATIONS;
use super::scratch::{self, Scratch};
use crate::config::plan::{Env, FilePlan};
use crate::exit;
use crate::fetch::place::{Target, place};
use crate::files::{self, Dir, DirId, Owner};
use crate::runtime::clock::Timeout;
use crate::runtime::failure::Failure;
use crate::runtime::off_loop::Progress;
use crate::runtime::shell::{Origin, Site};
use crate::runtime::state_dir;
use crate::sys::users::Identity;
use crate::sys::words;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PREFIX: &str = ".init-reload-";
/// What an earlier file is kept as until all are in their places.
const EARLIER: &str = ".earlier-";
/// The largest file that is copied where a file system has no hard links, in bytes.
const MOST_COPIED: u64 = 64 << 20;
/// What the sweep of a boot may take; the next one goes on with the rest.
const SWEEP: Duration = Duration::from_secs(20);

/// A file that waits.
struct Waiting {
    staged: PathBuf,
    path: PathBuf,
    /// Where it was fetched from; `None`: init wrote it.
    origin: Option<Origin>,
}

/// Where a file is to wait.
pub struct Staged {
    pub path: PathBuf,
    /// The directory that was made for it: whoever may write the one above could put another in its place.
    pub directory: DirId,
}

/// All that waits, by the directory that it is for.
#[derive(Default)]
pub struct Stage {
    directories: BTreeMap<PathBuf, Scratch>,
    waiting: Vec<Waiting>,
}

impl Stage {
    /// A stage with a directory for every one of `files`. For a thread of its own.
    ///
    /// # Errors
    /// There is no directory for one of them.
    pub fn of_files(site: &mut Site, files: &[FilePlan]) -> Result<Self, Failure> {
        let mut stage = Self::default();
        files.iter().try_for_each(|file| stage.open(site, &file.path))?;
        Ok(stage)
    }

    /// Makes the directory that the file for `path` waits in, where there is none yet.
    fn open(&mut self, site: &mut Site, path: &Path) -> Result<(), Failure> {
        let Some(parent) = path.parent().filter(|parent| !self.directories.contains_key(*parent)) else {
            return Ok(());
        };
        site.progress.at(parent);
        let owner = site.identity(None).ok().flatten();
        let owner = owner.map(|app| Identity { uid: site.own_uid, ..app });
        let directory = Scratch::make(parent, &mut name_of_scratch, owner.as_ref())?;
        self.directories.insert(parent.to_owned(), directory);
        Ok(())
    }

    /// Where the file that is meant for `path` waits.
    ///
    /// # Errors
    /// There is no directory for it.
    pub fn place_of(&self, path: &Path) -> Result<Staged, Failure> {
        let made = path.parent().and_then(|parent| self.directories.get(parent)).zip(path.file_name());
        let Some((directory, name)) = made else {
            let text = format!("cannot place a file at {}: it is not an absolute path", path.display());
            return Err(Failure::new(exit::CONFIG, text));
        };
        Ok(Staged { path: directory.path().join(name), directory: directory.id() })
    }

    /// The file for `path` has come.
    pub fn wait(&mut self, staged: PathBuf, path: PathBuf, origin: Option<Origin>) {
        self.waiting.push(Waiting { staged, path, origin });
    }

    /// Writes a file of init's own, unless it is there already; where it waits. For a thread of its own.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(
        &mut self,
        site: &mut Site,
        text: &str,
        target: &Target,
    ) -> Result<Option<PathBuf>, Failure> {
        site.progress.at(&target.path);
        let most = u64::try_from(text.len()).unwrap_or(u64::MAX);
        if files::read(&target.path, Owner::Init, most).is_ok_and(|now| now == text.as_bytes()) {
            return Ok(None);
        }
        self.open(site, &target.path)?;
        let staged = self.place_of(&target.path)?;
        let path = target.path.clone();
        let target =
            Target { path: staged.path.clone(), directory: Some(staged.directory), ..target.clone() };
        place(text.as_bytes(), &target)
            .map_err(|error| Failure::new(exit::CANT_CREATE, error.to_string()))?;
        self.wait(staged.path.clone(), path, None);
        Ok(Some(staged.path))
    }

    /// The file of `path` as it will be.
    pub fn now(&self, path: &Path) -> PathBuf {
        self.waiting.iter().find(|file| file.path == path).map_or(path, |file| &file.staged).to_owned()
    }

    /// Files that were fetched and will be new.
    pub fn fetched(&self) -> impl Iterator<Item = (&Path, &Origin)> {
        self.waiting.iter().filter_map(|file| Some((file.path.as_path(), file.origin.as_ref()?)))
    }

    /// Puts beside the files that wait those of the plan that have not changed: a directory is read as a whole. For a thread of
    /// its own.
    pub fn complete(&self, site: &Site) {
        for file in &site.plan.files {
            site.progress.at(&file.path);
            let Some((parent, name)) = file.path.parent().zip(file.path.file_name()) else { continue };
            let Some(directory) = self.directories.get(parent) else { continue };
            if directory.dir().look(name).is_err()
                && let Err(error) = double(directory.parent(), name, directory.dir(), name)
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::warn!("cannot put {} beside what is new: {}", file.path.display(), words(&error));
            }
        }
    }

    /// Points the values that are a directory of files which wait at where they wait: `APP_ENV_PATH`.
    pub fn redirect(&self, env: &mut Env) {
        for value in env.values_mut() {
            let directory = self.directories.iter().find(|(parent, _)| Path::new(value.as_str()) == **parent);
            if let Some((parent, directory)) = directory
                && self.waiting.iter().any(|file| file.path.parent() == Some(parent))
            {
                *value = directory.path().display().to_string();
            }
        }
    }

    /// There are directories to remove.
    pub fn has_directories(&self) -> bool {
        !self.directories.is_empty()
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Puts every file into its place; the origins of those that were fetched. For a thread of its own.
    ///
    /// # Errors
    /// One could not be placed; every place has its earlier file again.
    pub fn commit(self, progress: &Progress) -> Result<Vec<(PathBuf, Origin)>, Failure> {
        for (done, file) in self.waiting.iter().enumerate() {
            progress.at(&file.path);
            if let Err(error) = self.enter(file) {
                for earlier in self.waiting.iter().take(done) {
                    self.leave(earlier);
                }
                let text = format!("cannot place {}: {}", file.path.display(), words(&error));
                return Err(Failure::new(exit::CANT_CREATE, text));
            }
        }
        Ok(self.waiting.into_iter().filter_map(|file| Some((file.path, file.origin?))).collect())
    }

    /// The directory that a file waits in, and its name there and in its place.
    fn waits_in<'a>(&'a self, file: &'a Waiting) -> io::Result<(&'a Scratch, &'a OsStr)> {
        let directory = file.path.parent().and_then(|parent| self.directories.get(parent));
        directory.zip(file.path.file_name()).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn enter(&self, file: &Waiting) -> io::Result<()> {
        let (directory, name) = self.waits_in(file)?;
        // The earlier one stays in its place until the new one has it: no reader finds nothing.
        match double(directory.parent(), name, directory.dir(), &earlier(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        directory.dir().rename(name, directory.parent(), name)
    }

    fn leave(&self, file: &Waiting) {
        let back = || {
            let (directory, name) = self.waits_in(file)?;
            match directory.dir().rename(earlier(name), directory.parent(), name) {
                // There was none.
                Err(error) if error.kind() == io::ErrorKind::NotFound => directory.parent().remove_file(name),
                result => result,
            }
        };
        if let Err(error) = back() {
            tracing::error!("cannot put the earlier {} back: {}", file.path.display(), words(&error));
        }
    }
}

/// What an earlier file of this name waits as.
fn earlier(name: &OsStr) -> OsString {
    let mut all = OsString::from(EARLIER);
    all.push(name);
    all
}

/// Gives a file a second name, or a copy where the file system has no hard links.
fn double(from: &Dir, name: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
    match from.link(name, to, new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => copy(from, name, to, new),
        result => result,
    }
}

fn copy(from: &Dir, name: &OsStr, to: &Dir, new: &OsStr) -> io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown};
    let source = from.open_file(name, Owner::Anyone)?;
    let data = source.metadata()?;
    let mut target = to.create_new(new, 0o600)?;
    if io::copy(&mut source.take(MOST_COPIED.saturating_add(1)), &mut target)? > MOST_COPIED {
        return Err(io::Error::other(format!("it is larger than {MOST_COPIED} bytes")));
    }
    // Without set-user-ID and the like: until it is handed over, the copy is init's with the content of the application. The
    // owner comes last: without FOWNER root may not change the mode of what is another's.
    target.set_permissions(Permissions::from_mode(data.mode() & 0o777))?;
    fchown(&target, Some(data.uid()), Some(data.gid()))
}

/// A name that nobody can have taken beforehand, to keep a reload from working.
fn name_of_scratch() -> String {
    format!("{PREFIX}{:016x}", crate::sys::random())
}

fn is_scratch(name: &str) -> bool {
    let rest = name.strip_prefix(PREFIX);
    rest.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Removes what an earlier init left. For the boot, once the state directory is init's own, and before anything is probed: the
/// application may have filled the file system with its part of it.
pub fn sweep(site: &mut Site) {
    let app = site.identity(None).ok().flatten();
    let (plan, progress) = (&site.plan, &site.progress);
    let limit = Timeout::new(SWEEP);
    let goes_on = || !limit.is_over();
    let is_number = |name: &str| name.bytes().all(|byte| byte.is_ascii_digit());
    // Where others could exchange it, nothing in it is known to be a generation.
    if state_dir::trusted(site).is_ok() {
        let generations = plan.state_dir.join(GENERATIONS);
        progress.at(&generations);
        scratch::sweep(&generations, &is_number, app.as_ref(), &goes_on);
    }
    let parents = plan.files.iter().filter_map(|file| file.path.parent());
    let directories: BTreeSet<&Path> = parents.chain([plan.state_dir.as_path()]).collect();
    for directory in directories {
        progress.at(directory);
        scratch::sweep(directory, &is_scratch, app.as_ref(), &goes_on);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn stage(dir: &Path, names: &[&str]) -> Stage {
        let mut stage = Stage::default();
        let scratch = Scratch::make(dir, &mut name_of_scratch, None).unwrap();
        for name in names {
            let staged = scratch.path().join(name);
            fs::write(&staged, "new").unwrap();
            stage.wait(staged, dir.join(name), Some(Origin { source: (*name).to_owned(), etag: None }));
        }
        stage.directories.insert(dir.to_owned(), scratch);
        stage
    }

    #[test]
    fn all_get_into_their_places_and_nothing_is_left() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "old").unwrap();
        assert_eq!(stage(dir.path(), &["a", "b"]).commit(&Progress::default()).unwrap().len(), 2);
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "new");
        assert_eq!(fs::read_to_string(dir.path().join("b")).unwrap(), "new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn when_one_cannot_be_placed_the_earlier_ones_are_put_back() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a"), "old").unwrap();
        fs::create_dir_all(dir.path().join("c/x")).unwrap();
        let failure = stage(dir.path(), &["a", "b", "c"]).commit(&Progress::default()).unwrap_err();
        assert_eq!(failure.code, exit::CANT_CREATE);
        assert_eq!(fs::read_to_string(dir.path().join("a")).unwrap(), "old");
        assert!(!dir.path().join("b").exists());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_copy_has_no_rights_of_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a");
        fs::write(&file, "x").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o6755)).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        copy(&open, OsStr::new("a"), &open, OsStr::new("b")).unwrap();
        assert_eq!(fs::metadata(dir.path().join("b")).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_directory_is_read_as_a_whole_while_its_files_wait() {
        let dir = tempfile::tempdir().unwrap();
        let stage = stage(dir.path(), &[".env"]);
        let staged = stage.directories.values().next().unwrap().path().to_owned();
        let text = dir.path().display().to_string();
        let mut env = Env::from([("P".to_owned(), text.clone()), ("Q".to_owned(), format!("{text}/x"))]);
        stage.redirect(&mut env);
        assert_eq!(
            (env["P"].as_str(), env["Q"].as_str()),
            (staged.to_str().unwrap(), format!("{text}/x").as_str())
        );
        assert_eq!(stage.now(&dir.path().join(".env")), staged.join(".env"));
        assert_eq!(stage.now(&dir.path().join("other")), dir.path().join("other"));
    }
}
