//! Children that never become their program: each stage, with its code and its words.

use crate::support::{Stage, code, is_root, open_dir, path, play, role, script, sh, user};
use php_init::sys::reap::Reaped;
use php_init::sys::spawn::{Command, Output, SpawnError, Stdin};
use php_init::sys::users::Identity;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

/// Spawns what must fail after the fork. Returns its end and its story.
fn fail(stage: &mut Stage, command: &Command) -> (Reaped, String) {
    let pid = stage.spawn(command);
    let reaped = stage.wait(pid);
    let fault = reaped.fault.unwrap_or_else(|| panic!("no fault, but {:?}", reaped.status));
    assert_eq!(fault.pid, pid);
    assert_eq!(code(reaped), Some(fault.code()), "the exit code says the same");
    (reaped, fault.describe(&command.context()))
}

fn expect(command: &Command, wanted: u8, words: &[&str]) {
    let mut stage = Stage::new();
    let (reaped, story) = fail(&mut stage, command);
    assert_eq!(code(reaped), Some(wanted), "{story}");
    for words in words {
        assert!(story.contains(words), "{words:?} is not in: {story}");
    }
}

fn program(file: PathBuf) -> Command {
    let mut command = Command::new([file]);
    command.env = path();
    command
}

#[test]
fn a_missing_directory() {
    let mut command = sh("exit 0");
    command.dir = "/no/such/directory".into();
    expect(
        &command,
        126,
        &[
            r#"cannot start "/bin/sh": cannot change to directory /no/such/directory: no such file or directory"#,
            "make it in the image",
        ],
    );
}

#[test]
fn a_directory_that_the_user_may_not_enter() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut command = sh("exit 0");
    command.dir = dir.path().to_owned();
    command.identity = Some(user("www-data"));
    if is_root() {
        expect(&command, 126, &["cannot change to directory", "as www-data: permission denied"]);
    } else {
        expect(&command, 126, &["cannot set the supplementary groups", "capabilities SETUID and SETGID"]);
    }
}

#[test]
fn too_many_open_files_asked_for() {
    let mut command = sh("exit 0");
    command.open_files = Some(1 << 40);
    expect(&command, 126, &["cannot set the limit of open files 1099511627776: operation not permitted"]);
}

#[test]
fn an_identity_that_init_may_not_take() {
    let mut command = sh("exit 0");
    // Not even root may be this one: it is -1.
    command.identity =
        Some(Identity { uid: u32::MAX, gid: 33, groups: vec![33], name: None, home: None, shell: None });
    if is_root() {
        // setresuid(-1) changes nothing and succeeds, so this is caught where the kernel does say no: the
        // groups.
        command.identity.as_mut().unwrap().groups = vec![u32::MAX];
        expect(&command, 126, &["cannot set the supplementary groups [4294967295]: invalid argument"]);
    } else {
        expect(&command, 126, &["operation not permitted", "SETUID and SETGID"]);
    }
}

#[test]
fn a_missing_interpreter() {
    let dir = open_dir();
    let file = script(&dir, "tool", b"#!/no/such/php -q\n", 0o755);
    expect(
        &program(file),
        127,
        &["/tool: no such file or directory", r#"its interpreter "/no/such/php" is not"#],
    );
}

#[test]
fn an_interpreter_with_windows_line_ends() {
    let dir = open_dir();
    let file = script(&dir, "tool", b"#!/bin/sh\r\nexit 0\r\n", 0o755);
    expect(&program(file), 127, &["the script has Windows line ends"]);
}

#[test]
fn a_script_without_a_first_line() {
    let dir = open_dir();
    let file = script(&dir, "tool", b"echo hello\n", 0o755);
    expect(&program(file), 126, &["exec format error", "neither a program nor a script that starts with #!"]);
    let file = script(&dir, "empty", b"", 0o755);
    expect(&program(file), 126, &["the file is empty"]);
}

#[test]
fn another_architecture() {
    let dir = open_dir();
    let mut elf = vec![0; 64];
    elf[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    elf[16] = 2;
    elf[18] = if cfg!(target_arch = "x86_64") { 183 } else { 62 };
    let file = script(&dir, "tool", &elf, 0o755);
    let other = if cfg!(target_arch = "x86_64") { "arm64" } else { "x86-64" };
    expect(
        &program(file),
        126,
        &["exec format error", &format!("it is built for {other}, and this machine is ")],
    );
}

#[test]
fn a_file_that_this_user_may_not_execute() {
    let dir = open_dir();
    let file = script(&dir, "tool", b"#!/bin/sh\n", if is_root() { 0o700 } else { 0o010 });
    let mut command = program(file);
    command.identity = is_root().then(|| user("www-data"));
    expect(&command, 126, &["cannot execute ", "permission denied", "it has mode "]);
}

#[test]
fn an_argument_list_that_is_too_long() {
    let mut command = sh("exit 0");
    command.argv.push("x".repeat(200_000).into());
    expect(&command, 126, &["cannot execute /bin/sh", "larger than the kernel takes"]);
}

#[test]
fn path_goes_on_where_this_user_may_not_execute() {
    let (first, second) = (open_dir(), open_dir());
    script(&first, "tool", b"#!/bin/sh\nexit 1\n", if is_root() { 0o700 } else { 0o010 });
    script(&second, "tool", b"#!/bin/sh\nexit 42\n", 0o755);
    let mut command = Command::new(["tool"]);
    let path = format!("{}:{}", first.path().display(), second.path().display());
    command.env = vec![("PATH".into(), path.into())];
    command.identity = is_root().then(|| user("www-data"));
    assert_eq!(code(Stage::new().run(&command)), Some(42));
}

#[test]
fn faults_of_many_children_are_not_mixed_up() {
    let mut stage = Stage::new();
    let (mut missing, good) = (sh("exit 0"), sh("exit 3"));
    missing.dir = "/no/such/directory".into();
    let children: Vec<_> =
        (0..200).map(|n| (n % 3 == 0, stage.spawn(if n % 3 == 0 { &missing } else { &good }))).collect();
    let mut ended = std::collections::BTreeMap::new();
    crate::support::until("all have ended", || {
        ended.extend(stage.reaper.reap().reaped.into_iter().map(|reaped| (reaped.pid, reaped)));
        ended.len() == children.len()
    });
    for (bad, pid) in children {
        assert_eq!(ended[&pid].fault.map(|fault| fault.pid), bad.then_some(pid));
        assert_eq!(code(ended[&pid]), Some(if bad { 126 } else { 3 }));
    }
}

#[test]
fn what_is_certain_needs_no_fork() {
    let stage = Stage::new();
    let spawn = |command: &Command| command.spawn(stage.reaper.launcher()).unwrap_err();
    let error = spawn(&Command::new(["no-such-tool"]));
    assert!(matches!(error, SpawnError::NotFound { .. }) && error.code() == 127, "{error}");
    let error = spawn(&Command::new(["/etc/passwd"]));
    assert!(matches!(error, SpawnError::NotExecutable { .. }) && error.code() == 126, "{error}");
    let error = spawn(&Command::new(Vec::<String>::new()));
    assert!(matches!(error, SpawnError::Invalid { .. }), "{error}");
    let error = spawn(&Command::new(["/bin/sh", "secret\0"]));
    assert!(matches!(error, SpawnError::Invalid { .. }), "{error}");
    assert!(!error.to_string().contains("secret"));
    let mut command = sh("exit 0");
    command.extra_fds = vec![(php_init::sys::fd::dev_null().unwrap(), 2)];
    assert!(matches!(spawn(&command), SpawnError::Invalid { .. }));
}

#[test]
fn without_descriptors_the_system_refuses_and_nothing_is_left() {
    let mut stage = Stage::new();
    let mut held = Vec::new();
    let pipe = php_init::sys::fd::pipe_cloexec().unwrap();
    let files = nix::sys::resource::Resource::RLIMIT_NOFILE;
    let (soft, hard) = nix::sys::resource::getrlimit(files).unwrap();
    nix::sys::resource::setrlimit(files, 64, hard).unwrap();
    while let Ok(fd) = php_init::sys::fd::dev_null() {
        held.push(fd);
    }
    let mut command = sh("exit 0");
    command.stdout = Output::Fd(pipe.write);
    let error = command.spawn(stage.reaper.launcher()).unwrap_err();
    assert!(error.is_transient() && error.code() == 71, "{error}");
    assert!(error.to_string().contains("cannot open /dev/null: too many open files"), "{error}");
    held.clear();
    assert_eq!(code(stage.run(&command)), Some(0), "it goes on when there are some again");
    command.stdin = Stdin::Inherit;
    assert_eq!(code(stage.run(&command)), Some(0));
    nix::sys::resource::setrlimit(files, soft, hard).unwrap();
}

/// The limit of processes counts for everybody but the machine's first user, so a user of its own plays this.
#[test]
fn without_processes_the_system_refuses() {
    let mut stage = Stage::new();
    if role().is_none() {
        let mut command = play("faults::without_processes_the_system_refuses", "crowded");
        command.identity = is_root().then(|| user(&(100_000 + std::process::id()).to_string()));
        return assert_eq!(code(stage.run(&command)), Some(0));
    }
    let processes = nix::sys::resource::Resource::RLIMIT_NPROC;
    let (_, hard) = nix::sys::resource::getrlimit(processes).unwrap();
    nix::sys::resource::setrlimit(processes, 1, hard).unwrap();
    let error = sh("exit 0").spawn(stage.reaper.launcher()).unwrap_err();
    assert!(error.is_transient() && error.code() == 71, "{error}");
    assert!(
        error.to_string().contains("cannot fork: resource temporarily unavailable (the limit of proc"),
        "{error}"
    );
    nix::sys::resource::setrlimit(processes, hard, hard).unwrap();
    assert_eq!(code(stage.run(&sh("exit 0"))), Some(0));
}
