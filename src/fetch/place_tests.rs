use super::*;
use crate::exit;
use std::os::unix::fs::symlink;

fn target(dir: &Path, mode: u32) -> Target {
    Target { path: dir.join(".env"), directory: None, mode, uid: None, gid: None }
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn root() -> bool {
    fs::metadata("/proc/self").unwrap().uid() == 0
}

#[test]
fn a_new_file_has_its_mode_and_nothing_is_left_beside_it() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), 0o440);
    assert!(place(b"A=1\n", &target).unwrap());
    assert_eq!(fs::read(&target.path).unwrap(), b"A=1\n");
    assert_eq!(mode(&target.path), 0o440);
    assert_eq!(names(dir.path()), [".env"]);
}

/// Whoever may write the directory above renames another one to that name: one of root's, with a file that root runs.
#[test]
fn a_directory_in_the_place_of_the_one_that_was_made_is_not_written() {
    let above = tempfile::tempdir().unwrap();
    let (staged, other) = (above.path().join("staged"), above.path().join("other"));
    fs::create_dir(&staged).unwrap();
    fs::create_dir(&other).unwrap();
    let made = Dir::open(&staged).unwrap();
    let target = Target { directory: Some(made.id().unwrap()), ..target(&staged, 0o440) };
    assert!(place(b"A=1\n", &target).unwrap());
    fs::rename(&staged, above.path().join("moved")).unwrap();
    fs::rename(&other, &staged).unwrap();
    let error = place(b"A=2\n", &target).unwrap_err();
    assert_eq!(error.kind.code(), exit::CANT_CREATE);
    assert!(error.message.contains("another directory was put in the place of"), "{error}");
    assert_eq!(names(&staged), [""; 0]);
    assert_eq!(fs::read(above.path().join("moved/.env")).unwrap(), b"A=1\n");
}

#[test]
fn the_same_content_keeps_the_file_and_mends_its_mode() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), 0o440);
    assert!(place(b"A=1\n", &target).unwrap());
    let inode = fs::metadata(&target.path).unwrap().ino();
    fs::set_permissions(&target.path, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!place(b"A=1\n", &target).unwrap());
    assert_eq!((fs::metadata(&target.path).unwrap().ino(), mode(&target.path)), (inode, 0o440));
    assert!(place(b"A=2\n", &target).unwrap());
    assert_ne!(fs::metadata(&target.path).unwrap().ino(), inode);
    assert_eq!(fs::read(&target.path).unwrap(), b"A=2\n");
}

#[test]
fn owner_and_group_are_set_before_the_mode() {
    if !root() {
        // Without privileges only one's own ids can be given; that path is the next test's.
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let target = Target { uid: Some(33), gid: Some(34), ..target(dir.path(), 0o440) };
    assert!(place(b"A=1\n", &target).unwrap());
    let metadata = fs::metadata(&target.path).unwrap();
    assert_eq!((metadata.uid(), metadata.gid(), metadata.mode() & 0o7777), (33, 34, 0o440));
    // A large file, to cross the comparison's buffer.
    let large = vec![b'x'; 20_000];
    assert!(place(&large, &target).unwrap());
    std::os::unix::fs::chown(&target.path, Some(0), Some(0)).unwrap();
    assert!(!place(&large, &target).unwrap());
    assert_eq!(fs::metadata(&target.path).unwrap().uid(), 33);
}

#[test]
fn ones_own_ids_are_no_change() {
    let dir = tempfile::tempdir().unwrap();
    let me = fs::metadata(dir.path()).unwrap();
    let target = Target { uid: Some(me.uid()), gid: Some(me.gid()), ..target(dir.path(), 0o400) };
    assert!(place(b"A=1\n", &target).unwrap());
    assert_eq!(mode(&target.path), 0o400);
}

#[test]
fn a_symbolic_link_is_replaced_and_its_target_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let victim = dir.path().join("victim");
    fs::write(&victim, b"A=1\n").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o604)).unwrap();
    let target = target(dir.path(), 0o440);
    symlink(&victim, &target.path).unwrap();
    assert!(place(b"A=1\n", &target).unwrap());
    assert!(fs::symlink_metadata(&target.path).unwrap().is_file());
    assert_eq!((fs::read(&victim).unwrap(), mode(&victim)), (b"A=1\n".to_vec(), 0o604));
}

#[test]
fn a_dead_writers_file_is_removed_and_a_live_ones_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let dead = dir.path().join(".env.init-00000000000000aa");
    let live = dir.path().join(".env.init-00000000000000bb");
    let other = dir.path().join(".env.init-notes");
    for path in [&dead, &live, &other] {
        fs::write(path, b"S=1\n").unwrap();
    }
    let held = File::open(&live).unwrap();
    held.try_lock().unwrap();
    place(b"A=1\n", &target(dir.path(), 0o440)).unwrap();
    assert_eq!(names(dir.path()), [".env", ".env.init-00000000000000bb", ".env.init-notes"]);
    drop(held);
    sweep(&dir.path().join(".env"));
    assert_eq!(names(dir.path()), [".env", ".env.init-notes"]);
}

#[test]
fn each_obstacle_has_its_remedy_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let missing = place(b"x", &target(&dir.path().join("none"), 0o440)).unwrap_err();
    assert_eq!(missing.kind.code(), exit::CANT_CREATE);
    assert!(missing.message.contains("does not exist") && missing.hints[0].contains("volume"), "{missing}");

    fs::write(dir.path().join("file"), b"").unwrap();
    let not_dir = place(b"x", &target(&dir.path().join("file"), 0o440)).unwrap_err();
    assert!(not_dir.message.contains("is not a directory"), "{not_dir}");

    fs::create_dir(dir.path().join(".env")).unwrap();
    let is_dir = place(b"x", &target(dir.path(), 0o440)).unwrap_err();
    assert!(is_dir.message.contains("it is a directory"), "{is_dir}");
    assert_eq!(names(dir.path()), [".env", "file"]);

    let read_only =
        place(b"x", &Target { path: "/proc/sys/.env".into(), ..target(dir.path(), 0o440) }).unwrap_err();
    assert_eq!(read_only.kind, Kind::Place);
    let relative = place(b"x", &Target { path: ".env".into(), ..target(dir.path(), 0o440) }).unwrap_err();
    assert_eq!(relative.kind, Kind::Setting);
}

#[test]
fn obstacles_that_need_a_mount_have_their_words() {
    let target = target(Path::new("/opt/php"), 0o440);
    let place = Place::new(&target).unwrap();
    let error = place.explain(&Step { step: "write", error: io::Error::from(io::ErrorKind::StorageFull) });
    assert!(error.message.contains("is full") && error.kind == Kind::Place, "{error}");
    let busy = place.explain(&Step { step: "rename", error: io::Error::from(io::ErrorKind::ResourceBusy) });
    assert!(busy.message.contains("mount point") && busy.hints[0].contains("/opt/php"), "{busy}");
}

/// Whoever may write the directory may put a FIFO under any name in it: opening one waits for its other end.
#[test]
fn a_fifo_in_the_place_of_any_file_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), 0o440);
    let mode = nix::sys::stat::Mode::S_IRWXU;
    let temporary = dir.path().join(".env.init-0123456789abcdef");
    nix::unistd::mkfifo(&temporary, mode).unwrap();
    nix::unistd::mkfifo(&target.path, mode).unwrap();
    assert!(place(b"A=1\n", &target).unwrap());
    assert_eq!(fs::read(&target.path).unwrap(), b"A=1\n");
    sweep(&target.path);
    assert!(!fs::symlink_metadata(&temporary).unwrap().is_file(), "it is not init's to remove");
}

#[test]
fn a_file_of_another_user_is_replaced_even_with_the_same_content() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let target = Target { uid: Some(0), ..target(dir.path(), 0o440) };
    fs::write(&target.path, b"A=1\n").unwrap();
    std::os::unix::fs::chown(&target.path, Some(33), Some(33)).unwrap();
    let mut held = fs::File::options().append(true).open(&target.path).unwrap();
    assert!(place(b"A=1\n", &target).unwrap());
    held.write_all(b"B=2\n").unwrap();
    assert_eq!(fs::read(&target.path).unwrap(), b"A=1\n", "whoever had it open cannot change it any more");
}

#[test]
fn as_root_nothing_is_placed_through_a_link_of_another_user() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let target = target(dir.path(), 0o440);
    let other = tempfile::tempdir().unwrap();
    let link = dir.path().join("link");
    symlink(other.path(), &link).unwrap();
    std::os::unix::fs::lchown(&link, Some(33), Some(33)).unwrap();
    let error = place(b"A=1\n", &Target { path: link.join(".env"), ..target }).unwrap_err();
    assert!(error.message.contains("belongs to uid 33"), "{}", error.message);
    assert_eq!(fs::read_dir(other.path()).unwrap().count(), 0);
}
