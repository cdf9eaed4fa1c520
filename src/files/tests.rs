//! What an application could put in place of a file that init opens.

use super::*;
use crate::sys::users::Users;
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::path::Path;

const MAX: u64 = 1 << 20;

fn remove_tree(parent: &Dir, name: &str) -> std::io::Result<()> {
    empty(&parent.open_dir(name)?, &|| true)?;
    parent.remove_dir(name)
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

fn refusal(path: &Path) -> String {
    read(path, Owner::Anyone, MAX).unwrap_err().to_string()
}

#[test]
fn only_a_regular_file_of_bounded_size_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "text").unwrap();
    assert_eq!(read_text(&at("file"), Owner::Init, 4).unwrap(), "text");
    assert!(read(&at("file"), Owner::Init, 3).unwrap_err().to_string().contains("larger than 3 bytes"));
    nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
    assert!(refusal(&at("fifo")).contains("a FIFO"));
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    assert!(refusal(&at("socket")).contains("a socket"));
    assert!(refusal(Path::new("/dev/zero")).contains("a device"));
    assert!(refusal(&at("none")).contains("No such file"));
    assert_eq!(read(dir.path(), Owner::Anyone, MAX).unwrap_err().kind(), std::io::ErrorKind::IsADirectory);
    let sparse = fs::File::create(at("huge")).unwrap();
    sparse.set_len(1 << 40).unwrap();
    assert!(refusal(&at("huge")).contains("larger than"));
}

#[test]
fn links_of_root_are_followed_and_those_of_another_user_are_not() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    // As Kubernetes mounts a ConfigMap: file -> ..data/file, ..data -> ..2026.
    fs::create_dir(at("..2026")).unwrap();
    fs::write(at("..2026/init.toml"), "x").unwrap();
    symlink("..2026", at("..data")).unwrap();
    symlink("..data/init.toml", at("init.toml")).unwrap();
    assert_eq!(read(&at("init.toml"), Owner::Init, MAX).unwrap(), b"x");
    symlink(at("init.toml"), at("absolute")).unwrap();
    assert_eq!(read(&at("absolute"), Owner::Init, MAX).unwrap(), b"x");
    if !is_root() {
        return;
    }
    lchown(at("absolute"), Some(33), Some(33)).unwrap();
    let text = refusal(&at("absolute"));
    assert!(text.contains("belongs to uid 33"), "{text}");
    lchown(at("..data"), Some(33), Some(33)).unwrap();
    assert!(refusal(&at("init.toml")).contains("belongs to uid 33"));
    let user = Users::parse("www-data:x:33:33::/:/bin/sh", "").find("www-data").unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let with_its_rights = as_user(Some(&user), || read(&at("absolute"), Owner::Init, MAX)).unwrap();
    assert!(with_its_rights.is_ok(), "with the rights of a user every link is that user's own affair");
}

#[test]
fn the_owner_counts_where_it_is_asked_for() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    lchown(&file, Some(33), Some(33)).unwrap();
    assert!(read(&file, Owner::Anyone, MAX).is_ok());
    assert!(read(&file, Owner::Init, MAX).unwrap_err().to_string().contains("belongs to uid 33"));
}

#[test]
fn in_an_open_directory_no_link_is_followed_and_nothing_is_waited_for() {
    let root = tempfile::tempdir().unwrap();
    let dir = Dir::open(root.path()).unwrap();
    fs::write(root.path().join("file"), "x").unwrap();
    symlink("file", root.path().join("link")).unwrap();
    nix::unistd::mkfifo(&root.path().join("fifo"), Mode::S_IRWXU).unwrap();
    assert!(dir.open_file("file", Owner::Init).is_ok());
    assert!(dir.open_file("link", Owner::Init).unwrap_err().to_string().contains("a symbolic link"));
    assert!(dir.open_file("fifo", Owner::Init).unwrap_err().to_string().contains("a FIFO"));
    assert_eq!(dir.create_new("link", 0o600).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    symlink(".", root.path().join("here")).unwrap();
    assert!(dir.open_dir("here").is_err());
    let mut names = dir.names(10).unwrap();
    names.sort();
    assert_eq!(names, ["fifo", "file", "here", "link"]);
    assert_eq!(dir.names(2).unwrap().len(), 2);
}

#[test]
fn a_directory_stays_the_one_that_was_opened() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir(at("a")).unwrap();
    fs::create_dir(at("other")).unwrap();
    let dir = Dir::open(&at("a")).unwrap();
    fs::rename(at("a"), at("b")).unwrap();
    symlink("other", at("a")).unwrap();
    dir.create_new("file", 0o600).unwrap();
    assert!(at("b/file").exists() && !at("other/file").exists());
}

#[test]
fn a_tree_is_removed_without_opening_or_following_anything_in_it() {
    let root = tempfile::tempdir().unwrap();
    let at = |name: &str| root.path().join(name);
    fs::create_dir_all(at("tree/a/b")).unwrap();
    fs::create_dir(at("kept")).unwrap();
    fs::write(at("kept/file"), "x").unwrap();
    symlink("../../kept", at("tree/a/link")).unwrap();
    nix::unistd::mkfifo(&at("tree/a/fifo"), Mode::S_IRWXU).unwrap();
    for n in 0..3000 {
        fs::write(at(&format!("tree/a/b/{n}")), "").unwrap();
    }
    let dir = Dir::open(root.path()).unwrap();
    remove_tree(&dir, "tree").unwrap();
    assert!(!at("tree").exists() && at("kept/file").exists());
    symlink("kept", at("tree")).unwrap();
    assert!(remove_tree(&dir, "tree").is_err(), "a link in its place");
    assert!(at("kept/file").exists());
}

#[test]
fn a_tree_is_removed_however_deep_and_wide() {
    let root = tempfile::tempdir().unwrap();
    let top = Dir::open(root.path()).unwrap();
    let mut dir = top.make_dir("deep", 0o700, None).unwrap();
    // Far more levels than a process has descriptors, and than fit into a path.
    for level in 0..5000 {
        let below = dir.make_dir("d", 0o700, None).unwrap();
        if level % 100 == 0 {
            (0..30).for_each(|n| drop(dir.create_new(format!("{n}"), 0o600).unwrap()));
            below.make_dir("beside", 0o700, None).unwrap().make_dir("x", 0o700, None).unwrap();
        }
        dir = below;
    }
    drop(dir);
    remove_tree(&top, "deep").unwrap();
    assert!(top.names(1).unwrap().is_empty());
}

#[test]
fn a_removal_with_the_rights_of_a_user_takes_what_is_that_users_and_nothing_else() {
    if !is_root() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| root.path().join("dir").join(name);
    fs::create_dir_all(at("shared/deep")).unwrap();
    fs::create_dir_all(at("closed/below")).unwrap();
    for name in ["shared/deep/roots", "shared/theirs", "closed/below/theirs", "theirs"] {
        fs::write(at(name), "").unwrap();
    }
    for name in ["", "shared/theirs", "closed", "closed/below", "closed/below/theirs", "theirs"] {
        lchown(at(name), Some(33), Some(33)).unwrap();
    }
    // As an application may have it from its image: root's, and the group may write it.
    lchown(at("shared"), Some(0), Some(33)).unwrap();
    for (name, mode) in [("shared", 0o775), ("closed/below", 0), ("closed", 0), ("", 0)] {
        fs::set_permissions(at(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let user = Users::parse("www-data:x:33:33::/:/bin/sh", "").find("www-data").unwrap();
    let dir = Dir::open(&at("")).unwrap();
    let error = as_user(Some(&user), || empty(&dir, &|| true)).unwrap().unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
    assert_eq!(dir.names(9).unwrap(), ["shared"]);
    assert!(at("shared/deep/roots").exists() && !at("shared/theirs").exists());
    let late = empty(&dir, &|| false).unwrap_err();
    assert!(late.to_string().contains("too long") && at("shared/deep/roots").exists());
}

#[test]
fn directories_are_made_with_their_owner_whatever_the_umask() {
    let root = tempfile::tempdir().unwrap();
    let dir = Dir::open(root.path()).unwrap();
    let before = nix::sys::stat::umask(Mode::from_bits_truncate(0o177));
    let made = dir.make_dir("own", 0o2750, is_root().then_some((0, 33)));
    nix::sys::stat::umask(before);
    let entry = made.unwrap().entry().unwrap();
    assert_eq!((entry.kind, entry.mode), (Kind::Directory, 0o2750));
    assert_eq!(entry.gid == 33, is_root());
    assert!(dir.make_dir("own", 0o700, None).is_err());
    assert!(fs::metadata(root.path().join("own")).unwrap().permissions().mode() & 0o7777 == 0o2750);
}

#[test]
fn a_link_of_another_user_shows_no_more_of_the_configuration_than_that_user_may_read() {
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("release")).unwrap();
    for (name, mode) in [("init.toml", 0o644), ("secret", 0o600)] {
        fs::write(at("release").join(name), name).unwrap();
        fs::set_permissions(at("release").join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    nix::unistd::mkfifo(&at("release/fifo"), Mode::from_bits_truncate(0o666)).unwrap();
    symlink("release", at("current")).unwrap();
    let read = |name: &str| read_configuration(&at("current").join(name), MAX);
    assert_eq!(read("secret").unwrap(), "secret");
    if is_root() {
        lchown(at("current"), Some(33), Some(33)).unwrap();
        let refused = read("secret").unwrap_err().to_string();
        assert!(
            refused.contains("belongs to uid 33") && refused.contains("make the link as root"),
            "{refused}"
        );
    }
    assert_eq!(read("init.toml").unwrap(), "init.toml");
    assert!(read("fifo").unwrap_err().to_string().contains("a FIFO"));
    assert_eq!(read("none").unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_descriptor_that_init_was_started_with_may_be_a_pipe() {
    use std::io::Write as _;
    use std::os::fd::AsRawFd as _;
    let (reader, mut writer) = std::io::pipe().unwrap();
    writer.write_all(b"text").unwrap();
    drop(writer);
    let path = format!("/dev/fd/{}", reader.as_raw_fd());
    assert_eq!(read_given(Path::new(&path), MAX).unwrap(), "text");
    assert_eq!(read_given(Path::new("/dev/null"), MAX).unwrap(), "", "mounted over a file to have none");
    assert!(read_given(Path::new("/dev/zero"), MAX).unwrap_err().to_string().contains("a device"));
}
