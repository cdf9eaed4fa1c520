//! A source on disk: a mounted secret, a file baked into the image, a test's fixture.
//!
//! Symbolic links are followed (Kubernetes mounts secrets as such), as root only those of root's: another user could
//! have a file of root's placed where that user can read it.

use super::error::{FetchError, Kind};
use crate::files;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

/// Between two attempts to open a file that has a lease.
const LEASE_PAUSE: Duration = Duration::from_millis(20);

/// Reads the whole of `path`, up to `max_size` bytes.
pub fn read(path: &Path, max_size: u64) -> Result<Vec<u8>, FetchError> {
    let file = open(path).map_err(|error| refused(path, &error))?;
    let length = file.metadata().map_err(|error| refused(path, &error))?.len();
    if length > max_size {
        return Err(too_large(&path.display().to_string(), Some(length), max_size));
    }
    // The exact capacity, so that no reallocation leaves a copy of a secret behind in freed memory. One byte
    // more than the cap tells "as large as allowed" from "grew while it was read".
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0).saturating_add(1));
    file.take(max_size.saturating_add(1)).read_to_end(&mut bytes).map_err(|error| refused(path, &error))?;
    if bytes.len() as u64 > max_size {
        return Err(too_large(&path.display().to_string(), None, max_size));
    }
    Ok(bytes)
}

/// Opens the file, once no process holds a lease on it. The attempt has broken the lease: its holder gives it up, or the kernel
/// takes it after /proc/sys/fs/lease-break-time. PID 1 ends the child if that lasts longer than the job may.
fn open(path: &Path) -> io::Result<File> {
    loop {
        match files::open_to_copy(path) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                #[expect(clippy::disallowed_methods, reason = "nothing tells of the end of a lease")]
                std::thread::sleep(LEASE_PAUSE);
            }
            outcome => return outcome,
        }
    }
}

/// The error of a source beyond its cap, whatever the source is.
pub fn too_large(source: &str, size: Option<u64>, max_size: u64) -> FetchError {
    let size = size.map_or_else(|| "larger than".to_owned(), |size| format!("{size} bytes, more than"));
    FetchError::new(
        Kind::Invalid,
        format!("cannot accept {source}: it is {size} the {max_size} bytes that max-size allows"),
    )
    .hint("check that the source names the right file, or raise max-size")
}

fn refused(path: &Path, error: &io::Error) -> FetchError {
    let message = format!("cannot read {}: {}", path.display(), reason(error));
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FetchError::new(Kind::Missing, message)
            .hint("mount or create it before the container starts, or set required = false"),
        io::ErrorKind::PermissionDenied => FetchError::new(Kind::Forbidden, message)
            .hint("let the user that init runs as read it and search its directories"),
        // A directory, a FIFO, a link of another user.
        io::ErrorKind::IsADirectory | io::ErrorKind::Other => {
            FetchError::new(Kind::Missing, message).hint("name one regular file as the source")
        }
        _ => FetchError::new(Kind::Unreachable, message),
    }
}

/// An I/O error without Rust's own "(os error 2)".
pub fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// As the application may do where fs.protected_hardlinks is 0.
    #[test]
    fn a_second_name_that_another_user_gave_a_file_of_roots_is_refused() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (theirs, secret) = (dir.path().join("theirs"), dir.path().join("secret"));
        std::fs::create_dir(&theirs).unwrap();
        std::fs::write(&secret, "A=1").unwrap();
        std::fs::hard_link(&secret, theirs.join("name")).unwrap();
        assert_eq!(read(&theirs.join("name"), 9).unwrap(), b"A=1", "root gave it");
        std::os::unix::fs::chown(&theirs, Some(33), Some(33)).unwrap();
        assert!(
            read(&theirs.join("name"), 9).unwrap_err().to_string().contains("may have given it this name")
        );
        assert_eq!(read(&secret, 9).unwrap(), b"A=1");
    }

    #[test]
    fn a_file_and_a_link_to_it_are_read_up_to_the_cap() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, b"A=1\n").unwrap();
        symlink(&path, dir.path().join("link")).unwrap();
        assert_eq!(read(&path, 4).unwrap(), b"A=1\n");
        assert_eq!(read(&dir.path().join("link"), 4).unwrap(), b"A=1\n");
        let error = read(&path, 3).unwrap_err();
        assert_eq!(error.kind, Kind::Invalid);
        assert!(error.message.contains("4 bytes, more than the 3 bytes"), "{}", error.message);
    }

    #[test]
    fn what_cannot_be_read_is_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let missing = read(&dir.path().join("none"), 10).unwrap_err();
        assert_eq!(missing.kind, Kind::Missing);
        assert!(missing.message.ends_with(": No such file or directory"), "{}", missing.message);
        assert!(!missing.hints.is_empty());
        assert!(read(dir.path(), 10).unwrap_err().message.contains("a directory"));
        assert!(read(Path::new("/dev/null"), 10).unwrap_err().message.contains("not a regular file"));
    }
}
