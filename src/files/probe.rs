//! Is this path writable? Found out by writing, as the user that will: permission bits say nothing about
//! read-only mounts, quotas, NFS exports and LSMs.

use super::at::{Dir, Kind};
use super::open::{Owner, try_append};
use super::walk::DirectoryError;
use crate::sys::identity::{as_user, file_uid};
use crate::sys::look::metadata;
use crate::sys::users::Identity;
use crate::sys::{fd, random, words};
use std::fmt;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

const PREFIX: &str = ".init-probe-";
/// A name of 64 random bits is taken only by whoever guessed it.
const TRIES: u32 = 4;
/// So many names of a directory are looked at for what was left: an upload directory may hold millions.
const MOST_NAMES: usize = 1000;

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
            Some(libc::EACCES | libc::EPERM) => match metadata(&self.path) {
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
    let result = match as_user(identity, || probe(path)) {
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

fn probe(path: &Path) -> io::Result<()> {
    match Dir::open(path) {
        Ok(directory) => create_in(&directory),
        Err(DirectoryError::NotADirectory { .. }) => try_append(path),
        Err(error) => Err(error.into()),
    }
}

/// A name that nobody can have taken beforehand.
fn create_in(directory: &Dir) -> io::Result<()> {
    remove_leftovers(directory);
    let mut made = Err(io::Error::from(io::ErrorKind::AlreadyExists));
    for _ in 0..TRIES {
        let name = format!("{PREFIX}{:016x}", random());
        // An existing file, or a link in its place, is never opened.
        made = directory.create_new(&name, 0o600).map(|file| (name, file));
        if !made.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::AlreadyExists) {
            break;
        }
    }
    let (name, file) = made?;
    // A file that is locked is in use by another init.
    let _ = fd::try_lock(&file);
    let written = fill(&file);
    // Removing is part of the test: artisan replaces its caches by rename and unlink.
    let removed = directory.remove_file(&name);
    written.and(removed)
}

/// A full file system still makes empty files.
fn fill(mut file: &File) -> io::Result<()> {
    file.write_all(&[0; 512])
}

/// Removes what an init left that was killed between making a probe file and removing it. Others may have laid what has
/// such a name: only regular files of the user who probes are removed, and nothing is written to.
fn remove_leftovers(directory: &Dir) {
    for name in directory.names(MOST_NAMES).unwrap_or_default() {
        if !name.to_str().is_some_and(is_probe) {
            continue;
        }
        let Ok(entry) = directory.look(&name) else { continue };
        if entry.kind != Kind::File || entry.uid != file_uid() {
            continue;
        }
        let dead = directory.open_file(&name, Owner::Anyone).is_ok_and(|file| fd::try_lock(&file).is_ok());
        if dead {
            let _ = directory.remove_file(&name);
        }
    }
}

fn is_probe(name: &str) -> bool {
    name.strip_prefix(PREFIX).is_some_and(|rest| {
        !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-')
    })
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
    fn names_that_others_have_taken_are_no_hindrance_and_leftovers_are_removed() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(format!("{PREFIX}{name}"));
        // What an earlier version made, which tried 16 names: whoever took them all kept every boot from working.
        for attempt in 0..16 {
            fs::create_dir(at(&format!("{}-{attempt}", crate::sys::Pid::current()))).unwrap();
        }
        nix::unistd::mkfifo(&at("0000000000000001"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::write(at("0000000000000002"), "").unwrap();
        fs::write(at("0000000000000003"), "").unwrap();
        let in_use = File::open(at("0000000000000003")).unwrap();
        in_use.try_lock().unwrap();
        probe_writable(root.path(), None).unwrap();
        assert!(at("0000000000000001").exists() && at("0000000000000003").exists());
        assert!(!at("0000000000000002").exists());
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 18);
    }

    #[test]
    fn root_writes_nothing_through_a_link_of_the_application() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let (root, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let link = root.path().join("cache");
        std::os::unix::fs::symlink(other.path(), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(33), Some(33)).unwrap();
        assert!(probe_writable(&link, None).is_err());
        std::os::unix::fs::lchown(&link, Some(0), Some(0)).unwrap();
        probe_writable(&link, None).unwrap();
    }
}
