//! Removal of a directory with all that is in it, which somebody else may be filling at the same time.
//!
//! By descriptors: no link is followed, no file is opened, and no other file system is entered. The work has a bound;
//! what is beyond it stays.

use super::at::{Dir, Kind};
use std::ffi::OsStr;
use std::io;

/// Far above what any cache holds.
const MOST_ENTRIES: usize = 200_000;
/// One descriptor each.
const MOST_DEPTH: usize = 64;
/// Names that are read at once.
const BATCH: usize = 1024;

/// Removes the directory `name` in `parent`, and what is in it.
///
/// # Errors
/// It is not there, no directory, deeper or larger than anything of init's is, or in use as a mount point.
pub fn remove_tree(parent: &Dir, name: impl AsRef<OsStr>) -> io::Result<()> {
    let name = name.as_ref();
    empty(&parent.open_dir(name)?)?;
    parent.remove_dir(name)
}

/// Removes all that is in `dir`.
///
/// # Errors
/// As [`remove_tree`].
pub fn empty(dir: &Dir) -> io::Result<()> {
    let mut left = MOST_ENTRIES;
    empty_within(dir, dir.entry()?.device, MOST_DEPTH, &mut left)
}

fn empty_within(dir: &Dir, device: u64, depth: usize, left: &mut usize) -> io::Result<()> {
    loop {
        // Listed anew each time: what was removed shifts the rest, and more may have come.
        let names = dir.names(BATCH)?;
        if names.is_empty() {
            return Ok(());
        }
        for name in names {
            let Some(next) = left.checked_sub(1) else {
                return Err(io::Error::other(format!("more than {MOST_ENTRIES} files are in it")));
            };
            *left = next;
            match remove_entry(dir, &name, device, depth, left) {
                // Somebody else removed it.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                result => result?,
            }
        }
    }
}

fn remove_entry(dir: &Dir, name: &OsStr, device: u64, depth: usize, left: &mut usize) -> io::Result<()> {
    if dir.look(name)?.kind != Kind::Directory {
        return dir.remove_file(name);
    }
    let Some(depth) = depth.checked_sub(1) else {
        return Err(io::Error::other(format!("its directories are nested deeper than {MOST_DEPTH}")));
    };
    let below = dir.open_dir(name)?;
    if below.entry()?.device != device {
        return Err(io::Error::other("another file system is mounted in it"));
    }
    empty_within(&below, device, depth, left)?;
    dir.remove_dir(name)
}
