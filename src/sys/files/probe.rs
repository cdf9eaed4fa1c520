//! Is this path writable? Found out by writing, as the user that will: permission bits say nothing about
//! read-only mounts, quotas, NFS exports and LSMs.

use super::as_user;
use crate::sys::users::Identity;
use crate::sys::{Pid, fd, words};
use std::ffi::OsString;
use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Why a path cannot be written, with the remedy in its text.
#[derive(Debug)]
pub struct ProbeError {
    pub path: PathBuf,
    /// Who tried; `None` for init's own user.
    pub user: Option<String>,
    /// The ids of who tried.
    pub ids: (u32, u32),
    pub source: io::Error,
}

impl ProbeError {
    /// The path does not exist.
    pub fn is_missing(&self) -> bool {
        self.source.kind() == io::ErrorKind::NotFound
    }

    /// The file system is mounted read-only.
    pub fn is_read_only(&self) -> bool {
        self.source.kind() == io::ErrorKind::ReadOnlyFilesystem
    }

    /// Permission bits, or their like: the only reason that depends on who tried.
    fn is_refused(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied
    }

    fn remedy(&self) -> String {
        let path = self.path.display();
        match self.source.raw_os_error() {
            Some(libc::EROFS) => {
                format!("the file system is read-only: declare a volume or tmpfs at {path}")
            }
            Some(libc::ENOENT) => "it does not exist: make it in the image, or declare a volume there".into(),
            Some(libc::ENOSPC | libc::EDQUOT) => {
                let kind = fd::file_system(&self.path).unwrap_or_else(|_| "file".into());
                if fd::is_out_of_inodes(&self.path) {
                    return format!(
                        "the {kind} system has no inode left (df -i): remove files, or give it more"
                    );
                }
                format!("the {kind} system is full: make room, or give the volume more")
            }
            Some(libc::EACCES | libc::EPERM) => match std::fs::metadata(&self.path) {
                Ok(data) => {
                    let (uid, gid) = (data.uid(), data.gid());
                    let mode = data.permissions().mode() & 0o7777;
                    let remedy = match self.ids {
                        // Root without DAC_OVERRIDE obeys permission bits like anybody else: capabilities(7).
                        (0, _) => "add the capability DAC_OVERRIDE".to_owned(),
                        (own_uid, own_gid) => {
                            format!("chown it to {own_uid}:{own_gid} in the image before VOLUME")
                        }
                    };
                    let owner = if uid == 0 { String::new() } else { format!(", or run as {uid}:{gid}") };
                    format!("it belongs to {uid}:{gid} with mode {mode:04o}: {remedy}{owner}")
                }
                Err(_) => "a directory above it may not be entered".into(),
            },
            _ => words(&self.source),
        }
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot write {}", self.path.display())?;
        match (&self.user, self.ids.0) {
            (Some(user), _) => write!(f, " as {user}")?,
            (None, 0) if self.is_refused() => f.write_str(" as root")?,
            (None, uid) if self.is_refused() => write!(f, " as uid {uid}")?,
            (None, _) => {}
        }
        write!(f, ": {}", self.remedy())
    }
}

impl std::error::Error for ProbeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

/// Makes, writes and removes a file in the directory `path` with the rights of `identity`; a `path` that is a
/// file is opened for appending, and keeps its content.
pub fn probe_writable(path: &Path, identity: Option<&Identity>) -> Result<(), ProbeError> {
    let result = match as_user(identity, || if is_file(path)? { append(path) } else { create_in(path) }) {
        Ok(result) => result,
        Err(error) => Err(io::Error::other(format!(
            "init may not act for that user ({}): run the container as root with the capabilities SETUID and \
             SETGID, or as the user itself",
            words(&error)
        ))),
    };
    result.map_err(|source| ProbeError {
        path: path.to_owned(),
        user: identity.map(ToString::to_string),
        ids: identity.map_or_else(own_ids, |identity| (identity.uid, identity.gid)),
        source,
    })
}

fn own_ids() -> (u32, u32) {
    (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
}

fn is_file(path: &Path) -> io::Result<bool> {
    Ok(!std::fs::metadata(path)?.is_dir())
}

fn append(path: &Path) -> io::Result<()> {
    // NONBLOCK: a FIFO without a reader would hold init for ever. It answers ENXIO, which is a kind of
    // writable.
    let opened = OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    match opened {
        Err(error) if error.raw_os_error() == Some(libc::ENXIO) => Ok(()),
        opened => opened.map(drop),
    }
}

fn create_in(directory: &Path) -> io::Result<()> {
    // create_new: an existing file, or a link in its place, is never opened.
    let (probe, file) = (0..16)
        .find_map(|attempt: u32| {
            let mut name = OsString::from(".init-probe-");
            name.push(format!("{}-{attempt}", Pid::current()));
            let probe = directory.join(name);
            let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&probe);
            match opened {
                // Left by an earlier init of the same pid, which was killed at this point.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => None,
                opened => Some(opened.map(|file| (probe, file))),
            }
        })
        .unwrap_or_else(|| Err(io::Error::from(io::ErrorKind::AlreadyExists)))?;
    let written = fill(file);
    // Removing is part of the test: artisan replaces its caches by rename and unlink.
    let removed = std::fs::remove_file(&probe);
    written.and(removed)
}

/// A full file system still makes empty files.
fn fill(mut file: File) -> io::Result<()> {
    file.write_all(&[0; 512])
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn user() -> Identity {
        crate::sys::users::Users::parse("www-data:x:33:33::/:/bin/sh", "").find("www-data").unwrap()
    }

    #[test]
    fn a_writable_directory_is_left_as_it_was() {
        let root = tempfile::tempdir().unwrap();
        probe_writable(root.path(), None).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_keeps_its_content() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("laravel.log");
        fs::write(&file, "line\n").unwrap();
        probe_writable(&file, None).unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "line\n");
    }

    #[test]
    fn what_is_missing_and_what_is_forbidden_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let missing = probe_writable(&root.path().join("storage"), None).unwrap_err();
        assert!(missing.is_missing() && missing.to_string().contains("does not exist"), "{missing}");
        // tempdir is 0700 of whoever runs the tests.
        let open = root.path().join("open");
        fs::create_dir(&open).unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let refused = probe_writable(&open, Some(&user())).unwrap_err().to_string();
        let why =
            if nix::unistd::geteuid().is_root() { "it belongs to" } else { "init may not act for that user" };
        assert!(refused.contains(&format!("as www-data: {why}")), "{refused}");
        assert!(!nix::unistd::geteuid().is_root() || refused.contains("chown it to 33:33"), "{refused}");
        assert!(probe_writable(Path::new("/proc"), None).is_err());
    }

    #[test]
    fn a_stale_probe_is_no_hindrance() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join(format!(".init-probe-{}-0", Pid::current())), "").unwrap();
        probe_writable(root.path(), None).unwrap();
    }
}
