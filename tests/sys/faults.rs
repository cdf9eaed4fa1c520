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
    let fault = reaped.fault.as_ref().unwrap_or_else(|| panic!("no fault, but {:?}", reaped.status));
    assert_eq!(fault.pid, pid);
    assert_eq!(code(&reaped), Some(fault.code()), "the exit code says the same");
    let story = fault.describe(&command.context());
    (reaped, story)
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

/// Far more than the pipe holds, and nothing is reaped meanwhile.
#[test]
fn faults_of_many_children_are_not_mixed_up() {
    let mut stage = Stage::new();
    let dir = open_dir();
    let text = format!("#!/no/such/interpreter {}\n", "x".repeat(300));
    let bad = program(script(&dir, "tool", text.as_bytes(), 0o755));
    let good = sh("exit 3");
    let children: Vec<_> =
        (0..900).map(|n| (n % 3 != 0, stage.spawn(if n % 3 == 0 { &good } else { &bad }))).collect();
    let mut ended = std::collections::BTreeMap::new();
    crate::support::until("all have ended", || {
        ended.extend(stage.reaper.reap().reaped.into_iter().map(|reaped| (reaped.pid, reaped)));
        ended.len() == children.len()
    });
    for (is_bad, pid) in children {
        let fault = ended[&pid].fault.as_ref();
        assert_eq!(fault.map(|fault| fault.pid), is_bad.then_some(pid));
        assert_eq!(code(&ended[&pid]), Some(if is_bad { 127 } else { 3 }));
        assert!(fault.is_none_or(|fault| fault.describe(&bad.context()).contains("its interpreter")));
    }
}

#[test]
fn a_program_that_is_not_there() {
    let dir = open_dir();
    std::os::unix::fs::symlink("/gone", dir.path().join("link")).unwrap();
    for (name, words) in [
        (
            "no-such-tool",
            r#"cannot find "no-such-tool": it is in none of the directories of PATH (/usr/local/bin:"#,
        ),
        ("/no/such/tool", r#"cannot find "/no/such/tool": there is no such file"#),
        ("./tool", r#"cannot find "./tool": there is no such file in /"#),
        ("./link", "it is a symbolic link to /gone, which is not there"),
    ] {
        let mut command = program(name.into());
        command.dir = dir.path().to_owned();
        expect(&command, 127, &[words]);
    }
}

#[test]
fn a_program_that_is_no_program() {
    let dir = open_dir();
    script(&dir, "plain", b"#!/bin/sh\n", 0o644);
    nix::unistd::mkfifo(&dir.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (name, words) in [
        ("plain", "has no execute permission (mode 0644): chmod +x"),
        ("fifo", "is no regular file"),
        ("", "is a directory"),
    ] {
        expect(&program(dir.path().join(name)), 126, &["cannot execute", words]);
    }
}

/// On a network file system that does not answer, whoever looks waits for ever. Under /proc/self the two see different files.
#[test]
fn the_child_looks_its_program_up_and_init_does_not() {
    let mut stage = Stage::new();
    let dir = open_dir();
    script(&dir, "tool", b"#!/bin/sh\nexit 42\n", 0o755);
    script(&dir, "broken", b"#!/no/such/interpreter\n", 0o755);
    for (name, path) in [("/proc/self/cwd/tool", "/bin"), ("tool", "/nothing:/proc/self/cwd")] {
        let mut command = Command::new([name]);
        command.env = vec![("PATH".into(), path.into())];
        command.dir = dir.path().to_owned();
        assert_eq!(code(stage.run(&command)), Some(42), "{name}");
    }
    drop(stage);
    let mut broken = program("/proc/self/cwd/broken".into());
    broken.dir = dir.path().to_owned();
    expect(&broken, 127, &[r#"its interpreter "/no/such/interpreter" is not"#]);
}

#[test]
fn what_is_certain_before_the_start_is_found_without_it() {
    let look_up = |program: &str| Command::new([program]).look_up().unwrap_err();
    let error = look_up("no-such-tool");
    assert!(matches!(error, SpawnError::NotFound { .. }) && error.code() == 127, "{error}");
    let error = look_up("/etc/passwd");
    assert!(matches!(error, SpawnError::NotExecutable { .. }) && error.code() == 126, "{error}");
    let stage = Stage::new();
    let spawn = |command: &Command| command.spawn(stage.reaper.launcher()).unwrap_err();
    for empty in [Command::new(Vec::<String>::new()), Command::new([""])] {
        assert!(matches!(empty.look_up().unwrap_err(), SpawnError::Invalid { .. }));
        assert!(matches!(spawn(&empty), SpawnError::Invalid { .. }));
    }
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
