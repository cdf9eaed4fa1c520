//! Removal of a directory with all that is in it, which somebody else may be filling at the same time.
//!
//! By descriptors: no link is followed, no file is opened, and no other file system is entered. Whoever filled it may have
//! nested directories without end: what lies deeper than [`MOST_DEPTH`] is moved to the top and removed from there, so
//! neither the stack nor the number of open descriptors grows with it. Only the caller's time is a limit.

use super::at::{Dir, Kind};
use crate::sys::random;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::io;

/// Levels that are walked in place, with one open descriptor each.
const MOST_DEPTH: usize = 16;
/// Names that are read at once.
const BATCH: usize = 1024;
/// So many entries that cannot be removed are passed over; with more of them the removal is given up.
const MOST_REFUSED: usize = 1000;

/// Removes all that is in `dir`, as long as `goes_on` says so. What cannot be removed stays, and the rest is removed.
///
/// # Errors
/// Why something stays: the first reason.
pub fn empty(dir: &Dir, goes_on: &dyn Fn() -> bool) -> io::Result<()> {
    let mut removal = Removal { top: dir, device: dir.entry()?.device, goes_on, refused: 0, why: None };
    removal.empty(dir, MOST_DEPTH)?;
    removal.why.map_or(Ok(()), Err)
}

struct Removal<'a> {
    top: &'a Dir,
    device: u64,
    goes_on: &'a dyn Fn() -> bool,
    /// Entries that could not be removed.
    refused: usize,
    /// Why the first of them could not.
    why: Option<io::Error>,
}

impl Removal<'_> {
    /// Removes what can be removed of what is in `dir`.
    ///
    /// # Errors
    /// The removal ends here.
    fn empty(&mut self, dir: &Dir, depth: usize) -> io::Result<()> {
        // Its owner may have taken all rights from itself. Whose it is not may not change that, and need not.
        let _ = dir.open_up();
        let mut passed: BTreeSet<OsString> = BTreeSet::new();
        loop {
            // Listed anew each time: what was removed shifts the rest, and more may have come.
            let mut names = match dir.names(BATCH.saturating_add(passed.len())) {
                Ok(names) => names,
                Err(error) => return self.refuse(error),
            };
            names.retain(|name| !passed.contains(name));
            if names.is_empty() {
                return Ok(());
            }
            for name in names {
                if !(self.goes_on)() {
                    return Err(io::Error::other("it takes too long: the rest stays until the next start"));
                }
                match self.remove(dir, &name, depth) {
                    Ok(()) => {}
                    // Somebody else removed it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => {
                        self.refuse(error)?;
                        passed.insert(name);
                    }
                }
            }
        }
    }

    /// Notes that something stays.
    fn refuse(&mut self, error: io::Error) -> io::Result<()> {
        self.refused = self.refused.saturating_add(1);
        if self.refused > MOST_REFUSED {
            return Err(error);
        }
        self.why.get_or_insert(error);
        Ok(())
    }

    fn remove(&mut self, dir: &Dir, name: &OsStr, depth: usize) -> io::Result<()> {
        if dir.look(name)?.kind != Kind::Directory {
            return dir.remove_file(name);
        }
        // Most are empty by now, or belong to somebody who lets nobody look into them.
        if dir.remove_dir(name).is_ok() {
            return Ok(());
        }
        let below = dir.open_closed_dir(name)?;
        if below.entry()?.device != self.device {
            return Err(io::Error::other("another file system is mounted in it"));
        }
        let Some(depth) = depth.checked_sub(1) else {
            let _ = below.open_up();
            // The listing of the top finds it there.
            return dir.rename(name, self.top, format!(".deep-{:016x}", random()));
        };
        let before = self.refused;
        self.empty(&below, depth)?;
        match dir.remove_dir(name) {
            // The reason is that of what stays in it.
            Err(_) if self.refused > before => Err(io::ErrorKind::DirectoryNotEmpty.into()),
            result => result,
        }
    }
}
