//! The users and groups of this container, as its files tell them.

use super::open::{Owner, open};
use crate::sys::users::{GROUP, PASSWD, Users, UsersError};
use std::io::{self, Read as _};
use std::path::Path;

/// Far above any image's. A larger file is refused rather than half read.
const MAX_FILE: u64 = 16 << 20;

/// Reads `/etc/passwd` and `/etc/group`. A file that is not there has no entries.
///
/// # Errors
/// A file is there and cannot be read, or is larger than 16 MiB.
pub fn read_users() -> Result<Users, UsersError> {
    Ok(Users::parse(&read(Path::new(PASSWD))?, &read(Path::new(GROUP))?))
}

fn read(path: &Path) -> Result<String, UsersError> {
    let fault = |source| UsersError::Read { path: path.to_owned(), source };
    let file = match open(path, Owner::Anyone) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        Err(error) => return Err(fault(error)),
    };
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(fault)?;
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) >= MAX_FILE {
        return Err(fault(io::Error::other("larger than 16 MiB")));
    }
    // Full names may be in any encoding; the fields that count are ASCII.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
