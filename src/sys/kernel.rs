//! Files that the kernel makes: /proc, /sys and the cgroup file system. Nobody can put anything in their place, and
//! reading one does not wait for anybody.

#![allow(clippy::disallowed_methods, reason = "the one place that opens files of the kernel's, by path")]

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::Path;

/// The text of a file of the kernel's.
///
/// # Errors
/// It is not there, may not be read, or is of a process that is gone.
pub fn read(path: impl AsRef<Path>) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Opens a file of the kernel's for reading.
///
/// # Errors
/// As [`read`].
pub fn open(path: impl AsRef<Path>) -> io::Result<File> {
    File::open(path)
}

/// Writes to a setting of the kernel's.
///
/// # Errors
/// The kernel refuses it.
pub fn write(path: impl AsRef<Path>, text: &str) -> io::Result<()> {
    // Never made: a file that is not there is a setting that this kernel does not have.
    use io::Write as _;
    fs::OpenOptions::new().write(true).open(path)?.write_all(text.as_bytes())
}

/// The names in a directory of the kernel's.
///
/// # Errors
/// It is not there or may not be listed.
pub fn list(path: impl AsRef<Path>) -> io::Result<Vec<OsString>> {
    fs::read_dir(path)?.map(|entry| Ok(entry?.file_name())).collect()
}
