//! Missing directories, made with their owner.
//!
//! First with the user's own rights, which is all that is needed in a volume of the user. Only where these do
//! not suffice (a volume that came up empty and root's, as ECS makes those that the image does not declare)
//! as root, by descriptors.

use super::at::Dir;
use super::walk::{DirectoryError, make_private, open_directory, system};
use crate::sys::fd;
use crate::sys::identity::as_user;
use crate::sys::look::metadata;
use crate::sys::users::Identity;
use nix::sys::stat::{Mode, fchmod, fstat};
use std::ffi::OsStr;
use std::fs::{DirBuilder, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;

/// Whether there was anything to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    Existed,
    Created,
}

/// Makes `path` (absolute) and what is missing above it, with this mode, owned by `identity` (`None`: by
/// init's user). A directory that is there keeps its owner and mode.
pub fn make_directory(path: &Path, identity: Option<&Identity>, mode: u32) -> Result<Made, DirectoryError> {
    let fault =
        |source| DirectoryError::System { what: "cannot make directory", path: path.to_owned(), source };
    if !path.is_absolute() {
        return Err(DirectoryError::Relative { path: path.to_owned() });
    }
    let made = match identity {
        // Root may write anywhere, but what it makes plainly is of its own group.
        Some(owner) if owner.is_root() && owner.gid != nix::unistd::getegid().as_raw() => {
            Err(io::ErrorKind::PermissionDenied.into())
        }
        _ => as_user(identity, || make_plainly(path, mode)).and_then(|result| result),
    };
    match made {
        Ok(made) => return Ok(made),
        Err(error)
            if error.kind() == io::ErrorKind::NotADirectory
                || error.kind() == io::ErrorKind::AlreadyExists =>
        {
            return Err(DirectoryError::NotADirectory { path: path.to_owned() });
        }
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied && nix::unistd::geteuid().is_root() => {
        }
        Err(error) => return Err(fault(error)),
    }
    let mut made = Made::Existed;
    let mut create = |parent: &OwnedFd, name: &OsStr, path: &Path| {
        made = Made::Created;
        let fault = |what, source| DirectoryError::System { what, path: path.to_owned(), source };
        let dir = Dir::from_fd(make_private(parent, name, path)?, path);
        // Who may write the parent could have given the name to another directory of root's, with what it holds.
        if !dir.names(1).map_err(|source| fault("cannot list", source))?.is_empty() {
            let source = io::Error::other("another directory was put in its place");
            return Err(fault("cannot make directory", source));
        }
        // The owner comes last: without FOWNER root may not change the mode of what is another's.
        fchmod(&dir, Mode::from_bits_truncate(mode)).map_err(system("cannot chmod", path))?;
        if let Some(identity) = identity {
            fd::fchown(&dir, identity.uid, identity.gid).map_err(|source| fault("cannot chown", source))?;
        }
        Ok(dir.into_fd())
    };
    open_directory(path, Some(&mut create))?;
    Ok(made)
}

/// `mkdir -p` with the rights of the moment.
#[expect(clippy::disallowed_methods, reason = "the user's rights, or those of init where it is no other's")]
fn make_plainly(path: &Path, mode: u32) -> io::Result<Made> {
    match metadata(path) {
        Ok(data) if data.is_dir() => return Ok(Made::Existed),
        Ok(_) => return Err(io::Error::from(io::ErrorKind::NotADirectory)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let is_missing = |path: &Path| metadata(path).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
    let missing: Vec<&Path> = path.ancestors().take_while(|above| is_missing(above)).collect();
    DirBuilder::new().recursive(true).mode(mode).create(path)?;
    for made in missing {
        // Whatever the umask was.
        std::fs::set_permissions(made, Permissions::from_mode(mode & 0o7777))?;
    }
    Ok(Made::Created)
}

/// Gives a directory (absolute path) to `identity` if it is root's and there is nothing in it: a volume that
/// came up empty. Returns whether it did. Anything else stays as it is: what the image put there has the
/// owner that the image wanted.
pub fn take_ownership(path: &Path, identity: &Identity) -> Result<bool, DirectoryError> {
    let fault = |what, source| DirectoryError::System { what, path: path.to_owned(), source };
    if !nix::unistd::geteuid().is_root() || identity.is_root() {
        return Ok(false);
    }
    let fd = open_directory(path, None)?;
    if fstat(&fd).map_err(system("cannot examine", path))?.st_uid != 0 {
        return Ok(false);
    }
    // The very directory that is handed over: another one may be at its path by now.
    let dir = Dir::from_fd(fd, path);
    let names = dir.names(2).map_err(|source| fault("cannot list", source))?;
    // mkfs makes lost+found in the root of every ext4 volume.
    if names.iter().any(|name| name != "lost+found") {
        return Ok(false);
    }
    fd::fchown(&dir, identity.uid, identity.gid).map_err(|source| fault("cannot chown", source))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, symlink};

    fn user() -> Identity {
        crate::sys::users::Users::parse("www-data:x:33:33::/:/bin/sh", "").find("www-data").unwrap()
    }

    fn is_root() -> bool {
        nix::unistd::geteuid().is_root()
    }

    /// Whoever may write the parent renames one of root's to the name that is missing, and back.
    #[test]
    fn a_directory_of_roots_that_takes_the_name_is_not_handed_over() {
        if !is_root() {
            return;
        }
        let parent = tempfile::tempdir().unwrap();
        let (roots, path) = (parent.path().join("roots"), parent.path().join("storage"));
        fs::create_dir(&roots).unwrap();
        fs::write(roots.join("secret"), "x").unwrap();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let swapping = std::thread::spawn({
            let (roots, path) = (roots.clone(), path.clone());
            move || {
                while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
                    let _ = fs::rename(&roots, &path);
                    let _ = fs::rename(&path, &roots);
                }
            }
        });
        for _ in 0..5000 {
            let _ = make_directory(&path, Some(&user()), 0o755);
            // Empties nothing: what it made itself.
            let _ = fs::remove_dir(&path);
        }
        drop(stop);
        swapping.join().unwrap();
        let found = [&roots, &path].into_iter().find(|dir| dir.join("secret").exists()).unwrap();
        assert_eq!(fs::metadata(found).unwrap().uid(), 0);
    }

    /// A directory that everybody may enter and nobody but its owner may write.
    fn root() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), Permissions::from_mode(0o755)).unwrap();
        root
    }

    fn facts(path: &Path) -> (u32, u32, u32) {
        let data = fs::metadata(path).unwrap();
        (data.uid(), data.gid(), data.mode() & 0o7777)
    }

    #[test]
    fn missing_directories_get_owner_and_mode_and_others_are_left_alone() {
        let root = root();
        let identity = is_root().then(user);
        let (uid, gid) = if is_root() {
            (33, 33)
        } else {
            (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw())
        };
        let deep = root.path().join("storage/framework/cache");
        assert_eq!(make_directory(&deep, identity.as_ref(), 0o2770).unwrap(), Made::Created);
        assert_eq!(facts(&deep), (uid, gid, 0o2770));
        assert_eq!(facts(&root.path().join("storage")), (uid, gid, 0o2770));
        assert_eq!(facts(root.path()).2, 0o755);
        assert_eq!(make_directory(&deep, identity.as_ref(), 0o700).unwrap(), Made::Existed);
        assert_eq!(facts(&deep).2, 0o2770);
        // In a directory of the user's own no root is needed.
        let own = deep.join("data");
        assert_eq!(make_directory(&own, identity.as_ref(), 0o755).unwrap(), Made::Created);
        assert_eq!(facts(&own), (uid, gid, 0o755));
    }

    #[test]
    fn root_does_not_follow_a_link_that_the_user_laid() {
        if !is_root() {
            return assert!(make_directory(&root().path().join("x"), None, 0o755).is_ok());
        }
        let (root, secret) = (root(), tempfile::tempdir().unwrap());
        fs::create_dir(root.path().join("theirs")).unwrap();
        let link = root.path().join("theirs/framework");
        symlink(secret.path(), &link).unwrap();
        std::os::unix::fs::lchown(&link, Some(33), Some(33)).unwrap();
        let error = make_directory(&link.join("cache"), Some(&user()), 0o755).unwrap_err();
        assert!(matches!(error, DirectoryError::ForeignLink { uid: 33, .. }), "{error}");
        assert_eq!(fs::read_dir(secret.path()).unwrap().count(), 0);
        // The same link made by root is part of the image.
        std::os::unix::fs::lchown(&link, Some(0), Some(0)).unwrap();
        assert_eq!(make_directory(&link.join("cache"), Some(&user()), 0o755).unwrap(), Made::Created);
        assert_eq!(facts(&secret.path().join("cache")), (33, 33, 0o755));
    }

    #[test]
    fn relative_links_dots_circles_and_files() {
        let root = root();
        fs::create_dir_all(root.path().join("a/b")).unwrap();
        symlink("../c", root.path().join("a/link")).unwrap();
        fs::create_dir(root.path().join("c")).unwrap();
        fs::write(root.path().join("file"), "").unwrap();
        symlink("loop", root.path().join("loop")).unwrap();
        let open = |path: &str| open_directory(&root.path().join(path), None);
        let inode = |fd: OwnedFd| fstat(fd).unwrap().st_ino;
        let c = fs::metadata(root.path().join("c")).unwrap().ino();
        assert_eq!(inode(open("a/link").unwrap()), c);
        assert_eq!(inode(open("a/b/../../c/.").unwrap()), c);
        assert!(matches!(open("file/x"), Err(DirectoryError::NotADirectory { .. })));
        assert!(matches!(open("loop"), Err(DirectoryError::TooManyLinks { .. })));
        assert!(matches!(open("gone"), Err(DirectoryError::System { .. })));
        assert!(matches!(open_directory(Path::new("a"), None), Err(DirectoryError::Relative { .. })));
        let error = make_directory(&root.path().join("file/x"), None, 0o755).unwrap_err();
        assert!(matches!(error, DirectoryError::NotADirectory { .. }), "{error}");
    }

    #[test]
    fn an_empty_volume_changes_hands_and_a_full_one_does_not() {
        let root = root();
        let volume = root.path().join("volume");
        fs::create_dir_all(volume.join("lost+found")).unwrap();
        assert_eq!(take_ownership(&volume, &user()).unwrap(), is_root());
        assert_eq!(facts(&volume).0 == 33, is_root());
        assert!(!take_ownership(&volume, &user()).unwrap(), "it is not root's any more");
        let full = root.path().join("full");
        fs::create_dir_all(full.join("code")).unwrap();
        assert!(!take_ownership(&full, &user()).unwrap());
    }
}
