//! What is at a path, without opening it. Links are followed, whoever laid them: to know what is there opens nothing.
//!
//! On a file system that does not answer this waits as well: it does not belong on the event loop.

#![allow(clippy::disallowed_methods, reason = "the one place that looks at paths")]

use std::ffi::OsString;
use std::fs::Metadata;
use std::io;
use std::path::Path;

/// stat(2).
///
/// # Errors
/// It is not there, or the way to it may not be entered.
pub fn metadata(path: &Path) -> io::Result<Metadata> {
    std::fs::metadata(path)
}

/// lstat(2): a link itself.
///
/// # Errors
/// It is not there, or the way to it may not be entered.
pub fn link_metadata(path: &Path) -> io::Result<Metadata> {
    std::fs::symlink_metadata(path)
}

/// Something is there. What cannot be looked at is not.
pub fn exists(path: &Path) -> bool {
    metadata(path).is_ok()
}

/// A regular file is there.
pub fn is_file(path: &Path) -> bool {
    metadata(path).is_ok_and(|data| data.is_file())
}

/// A directory is there.
pub fn is_directory(path: &Path) -> bool {
    metadata(path).is_ok_and(|data| data.is_dir())
}

/// The names in a directory, in no order. What is no directory is not opened for it (O_DIRECTORY).
///
/// # Errors
/// It is not there, no directory, or may not be listed.
pub fn list(path: &Path) -> io::Result<Vec<OsString>> {
    std::fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}
