//! A directory of a reload's own: where files wait for their turn, and where a generation of caches lives.
//!
//! Whoever made it holds a lock in it, which dies with its process (flock(2)). So what a killed predecessor left is told
//! from what another container on the same volume is using.

use crate::exit;
use crate::runtime::failure::Failure;
use crate::sys::files::{self, Made};
use crate::sys::users::Identity;
use crate::sys::words;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Its owner and the owner's group: what is in it may be secret.
const MODE: u32 = 0o750;
const LOCK: &str = ".lock";
/// So many names are tried; others may be another container's.
const TRIES: u32 = 1000;

/// Removed when it is dropped, unless it was kept.
pub struct Scratch {
    path: PathBuf,
    kept: bool,
    _lock: File,
}

impl Scratch {
    /// Makes `PARENT/PREFIX<n>` for `owner`, with the first free number after `number`, which becomes it.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn make(
        parent: &Path,
        prefix: &str,
        number: &mut u32,
        owner: Option<&Identity>,
    ) -> Result<Self, Failure> {
        let refused = |text: String| Failure::new(exit::CANT_CREATE, text);
        for _ in 0..TRIES {
            *number = number.saturating_add(1);
            let path = parent.join(format!("{prefix}{number}"));
            match files::make_directory(&path, owner, MODE).map_err(|error| refused(error.to_string()))? {
                Made::Existed => continue,
                Made::Created => {}
            }
            return match File::create_new(path.join(LOCK)) {
                Ok(lock) => {
                    // Where there are no locks (some network file systems) it is only less protected from a neighbour.
                    let _ = lock.try_lock();
                    Ok(Self { path, kept: false, _lock: lock })
                }
                Err(error) => {
                    let _ = fs::remove_dir_all(&path);
                    Err(refused(format!("cannot write in {}: {}", path.display(), words(&error))))
                }
            };
        }
        Err(refused(format!("cannot make a directory {prefix}N in {}: all are there", parent.display())))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// It stays when it is dropped, for processes that use it.
    pub fn keep(&mut self) {
        self.kept = true;
    }

    /// Removes it without waiting: it may hold a thousand files, and the disk may be slow.
    pub fn remove_later(mut self) {
        self.kept = true;
        let path = self.path.clone();
        let thread = std::thread::Builder::new().name("remove".to_owned());
        if let Err(error) = thread.spawn(move || remove(&path)) {
            tracing::debug!("cannot start a thread to remove {}: {}", self.path.display(), words(&error));
            remove(&self.path);
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if !self.kept {
            remove(&self.path);
        }
    }
}

fn remove(path: &Path) {
    match fs::remove_dir_all(path) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => tracing::warn!("cannot remove {}: {}", path.display(), words(&error)),
    }
}

/// Removes what dead processes left as `PARENT/PREFIX<n>`.
pub fn sweep(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let ours = number.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()));
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        // One without a lock is half made or half removed.
        let dead = match File::open(entry.path().join(LOCK)) {
            Ok(lock) => lock.try_lock().is_ok(),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if dead {
            tracing::info!("removing {}, which an earlier init left", entry.path().display());
            remove(&entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_not_swept_and_what_was_left_is() {
        let dir = tempfile::tempdir().unwrap();
        let mut number = 0;
        let one = Scratch::make(dir.path(), "x-", &mut number, None).unwrap();
        let mut two = Scratch::make(dir.path(), "x-", &mut number, None).unwrap();
        assert_eq!(number, 2);
        fs::create_dir(dir.path().join("x-y")).unwrap();
        sweep(dir.path(), "x-");
        assert!(one.path().exists() && two.path().exists());
        let (first, second) = (one.path().to_owned(), two.path().to_owned());
        drop(one);
        two.keep();
        drop(two);
        assert!(!first.exists() && second.exists());
        sweep(dir.path(), "x-");
        assert!(!second.exists() && dir.path().join("x-y").exists());
    }

    #[test]
    fn a_name_that_is_taken_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("x-1")).unwrap();
        let mut number = 0;
        let made = Scratch::make(dir.path(), "x-", &mut number, None).unwrap();
        assert_eq!((number, made.path()), (2, dir.path().join("x-2").as_path()));
    }
}
