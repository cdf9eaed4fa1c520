//! Replacements as fast as they go, so that one of them falls between a look and what is done because of it.

use super::swap::exchange;
use super::{STORAGE, Tenant};
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt as _, symlink};
use std::path::Path;
use std::time::{Duration, Instant};

/// As often as possible for a while; the first error ends it.
fn again(tenant: &mut Tenant, mut step: impl FnMut(u64) -> io::Result<()>) -> io::Result<()> {
    let end = Instant::now() + Duration::from_millis(50 + tenant.luck.below(250));
    let mut turn = 0;
    while Instant::now() < end {
        step(turn)?;
        turn += 1;
    }
    Ok(())
}

/// A directory of the plan and one of root's that is not empty change places: an empty one of root's is handed over.
pub fn directory(tenant: &mut Tenant) -> io::Result<()> {
    let roots = Path::new(STORAGE).join("root-private");
    // In the same directory: what is moved to another one must be writable itself.
    let mine = Path::new(STORAGE).join("logs");
    for entry in fs::read_dir(&mine).into_iter().flatten().flatten() {
        let _ = fs::remove_file(entry.path());
    }
    again(tenant, |_| exchange(&roots, &mine))
}

/// The directory of a placed file, and a link to one of root's.
pub fn parent(tenant: &mut Tenant) -> io::Result<()> {
    let link = Path::new(STORAGE).join(".x-link");
    match symlink("/tmp/root/dir", &link) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let mine = Path::new(STORAGE).join("app");
    let raced = again(tenant, |_| exchange(&link, &mine));
    // The directory is what stays.
    if mine.symlink_metadata().is_ok_and(|data| data.is_symlink()) {
        let _ = exchange(&link, &mine);
    }
    let _ = fs::remove_file(&link);
    raced
}

/// A socket that has just been made, and a link to a file of root's.
pub fn socket(tenant: &mut Tenant) -> io::Result<()> {
    let socket = Path::new(STORAGE).join("app/health.sock");
    let link = Path::new(STORAGE).join("app/.x-socket");
    let _ = fs::remove_file(&socket);
    again(tenant, |_| {
        if !link.is_symlink() {
            symlink("/tmp/root/secret", &link)?;
        }
        if socket.symlink_metadata().is_ok_and(|data| data.file_type().is_socket()) {
            fs::rename(&link, &socket)?;
        }
        Ok(())
    })
}
