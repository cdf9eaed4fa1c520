//! Files that say what init does: its configuration, crontabs, PHP-FPM's configuration, certificate authorities.
//!
//! Their text is trusted whoever they belong to: whoever mounts or places them decides. So they may lie behind a link of
//! another user as well, as deployments make them (`current -> releases/42`). What must not happen is that such a link
//! shows a file of root's, by a message about the text, or that what it leads to holds init.

use super::open::{Owner, open, read_bounded, text};
use super::users::read_users;
use super::walk::DirectoryError;
use crate::sys::identity::as_user;
use crate::sys::look::metadata;
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

/// The device number of /dev/null: null(4).
const NULL: u64 = libc::makedev(1, 3);

/// Opens a regular file for reading. What lies behind a link of another user's is opened with that user's rights if init is
/// root: it is nothing that the user could not read.
///
/// # Errors
/// It is not there, not a regular file, or behind a link whose owner may not read it.
pub fn open_configuration(path: &Path) -> io::Result<File> {
    let refused = match open(path, Owner::Anyone) {
        Ok(file) => return Ok(file),
        Err(error) => error,
    };
    let Some(uid) = owner_of_link(&refused) else { return Err(refused) };
    // Where there is no such user any more, the number alone.
    let owner = read_users().unwrap_or_default().find(&uid.to_string()).map_err(io::Error::other)?;
    match as_user(Some(&owner), || open(path, Owner::Anyone)) {
        // The refusal tells of the link, and what to do.
        Ok(Err(error)) if error.kind() == io::ErrorKind::PermissionDenied => Err(refused),
        Ok(opened) => opened,
        Err(_) => Err(refused),
    }
}

fn owner_of_link(error: &io::Error) -> Option<u32> {
    match error.get_ref()?.downcast_ref::<DirectoryError>()? {
        DirectoryError::ForeignLink { uid, .. } => Some(*uid),
        _ => None,
    }
}

/// The text of a file of at most `max` bytes, opened as [`open_configuration`] does.
///
/// # Errors
/// As [`open_configuration`]; it is larger, or `InvalidData`: it is not UTF-8.
pub fn read_configuration(path: &Path, max: u64) -> io::Result<String> {
    text(read_bounded(&open_configuration(path)?, max)?)
}

/// As [`read_configuration`], for a path that an operator gives: it may also be a descriptor that init was started with
/// (`<(…)`, `/dev/stdin`), of whatever kind, or /dev/null, which is mounted over a file to have none.
///
/// # Errors
/// As [`read_configuration`].
pub fn read_given(path: &Path, max: u64) -> io::Result<String> {
    if ["/dev/stdin", "/dev/fd", "/proc/self/fd"].iter().any(|place| path.starts_with(place)) {
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever started this process opened it; a pipe is meant to be waited for"
        )]
        let file = File::open(path)?;
        return text(read_bounded(&file, max)?);
    }
    if metadata(path).is_ok_and(|data| data.file_type().is_char_device() && data.rdev() == NULL) {
        return Ok(String::new());
    }
    read_configuration(path, max)
}
