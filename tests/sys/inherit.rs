//! What a child gets from init, and what not.

use crate::support::{DEADLINE, Stage, code, is_root, line, open_dir, path, play, role, sh, user};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal as Named, signal};
use php_init::config::plan::Signal;
use php_init::sys::fd;
use php_init::sys::spawn::{Command, Output, Session, Stdin};
use std::io::{Read, Seek, Write};
use std::os::fd::{AsFd as _, AsRawFd};
use std::os::unix::fs::PermissionsExt;

fn field<'a>(status: &'a str, name: &str) -> &'a str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim()
}

#[test]
fn no_signal_is_blocked_or_ignored() {
    let mut stage = Stage::new();
    // SAFETY of the test: ignoring is all that is done, so there is no handler that could run.
    for ignored in [Named::SIGINT, Named::SIGQUIT, Named::SIGHUP, Named::SIGPIPE, Named::SIGUSR1] {
        #[expect(unsafe_code, reason = "signal(2)")]
        // SAFETY: no handler is installed.
        unsafe { signal(ignored, SigHandler::SigIgn) }.unwrap();
    }
    SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK).unwrap();
    let mut command = Command::new(["cat", "/proc/self/status"]);
    command.env = path();
    let (status, _) = stage.output(command);
    for mask in ["SigBlk:", "SigIgn:", "SigPnd:", "ShdPnd:"] {
        assert_eq!(field(&status, mask), "0000000000000000", "{mask}");
    }
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    assert_ne!(field(&own, "SigBlk:"), "0000000000000000", "init's own mask is as it was");
}

/// Descriptors of every kind: none of init's own comes through.
#[test]
fn no_descriptor_leaks() {
    let mut stage = Stage::new();
    let _pipe = fd::pipe_cloexec().unwrap();
    let _timer = php_init::sys::clock::WallTimer::new().unwrap();
    let pipe = fd::pipe_cloexec().unwrap();
    let _private = php_init::sys::fd_out::reopen(pipe.write.as_fd()).unwrap();
    let mut command = Command::new(["ls", "/proc/self/fd"]);
    command.env = path();
    let (names, _) = stage.output(command);
    // 3 is ls's own, of the directory.
    assert_eq!(names.split_whitespace().collect::<Vec<_>>(), ["0", "1", "2", "3"]);
}

#[test]
fn init_keeps_no_descriptor_of_a_child() {
    let mut stage = Stage::new();
    if role().is_none() {
        // Alone, so that no other test's descriptors are counted.
        let counting = play("inherit::init_keeps_no_descriptor_of_a_child", "counting");
        return assert_eq!(code(stage.run(&counting)), Some(0));
    }
    let count = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let (good, mut bad) = (sh("exit 0"), sh("exit 0"));
    bad.dir = "/no/such/directory".into();
    let before = count();
    for _ in 0..50 {
        assert!(stage.run(&good).fault.is_none());
        assert!(stage.run(&bad).fault.is_some());
        assert!(stage.run(&Command::new(["no-such-tool"])).fault.is_some());
    }
    assert_eq!(count(), before);
}

#[test]
fn children_that_are_prepared_together_share_nothing_and_do_not_depend_on_each_other() {
    let mut stage = Stage::new();
    let (mut pipes, mut prepared) = (Vec::new(), Vec::new());
    // The last one outlives the others, whose pipes must end all the same.
    for script in ["echo a", "echo b", "a NUL: \0", "echo c", "exec sleep 1000 >&-"] {
        let pipe = fd::pipe_cloexec().unwrap();
        let mut command = sh(script);
        command.stdout = Output::Fd(pipe.write);
        pipes.push(pipe.read);
        prepared.push(command.prepare(stage.reaper.launcher()));
    }
    assert_eq!(prepared.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, true, false, true, true]);
    let pids: Vec<_> = prepared.iter().flatten().map(|one| one.fork().unwrap()).collect();
    drop(prepared);
    let outputs = pipes.into_iter().map(|pipe| std::io::read_to_string(std::fs::File::from(pipe)).unwrap());
    assert_eq!(outputs.collect::<Vec<_>>(), ["a\n", "b\n", "", "c\n", ""]);
    let _ = php_init::sys::group::signal(pids[3], Signal::KILL).unwrap();
    let mut ended = Vec::new();
    crate::support::until("all are reaped", || {
        ended.extend(stage.reaper.reap().reaped);
        ended.len() == pids.len()
    });
    assert!(pids.iter().all(|pid| ended.iter().any(|one| one.pid == *pid && one.fault.is_none())));
}

#[test]
fn descriptors_that_init_inherited_are_closed_or_kept() {
    if let Some(role) = role() {
        let mut stage = Stage::new();
        let mut command = sh("test -e /proc/self/fd/7 && test -e /proc/$$/fd/9");
        command.keep_inherited = role == "keep";
        assert_eq!(code(stage.run(&command)), Some(if role == "keep" { 0 } else { 1 }));
        return;
    }
    let mut stage = Stage::new();
    for role in ["keep", "close"] {
        let mut command = play("inherit::descriptors_that_init_inherited_are_closed_or_kept", role);
        command.extra_fds = vec![(fd::dev_null().unwrap(), 7), (fd::dev_null().unwrap(), 9)];
        assert_eq!(code(stage.run(&command)), Some(0), "{role}");
    }
}

/// Every number that could be trampled on: sources where targets are, swapped, and one source for two
/// targets.
#[test]
fn descriptors_arrive_where_they_should_whatever_their_numbers() {
    let mut stage = Stage::new();
    let file = |text: &str| {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file.rewind().unwrap();
        file
    };
    let (three, four, five) = (file("to five"), file("to three"), file("to four"));
    let numbers: Vec<_> = [&three, &four, &five].iter().map(|file| file.as_raw_fd()).collect();
    let pipe = fd::pipe_cloexec().unwrap();
    let mut command =
        sh(&format!("cat <&{} && cat <&{} && cat <&{} && echo out >&2", numbers[1], numbers[2], numbers[0]));
    command.extra_fds =
        vec![(three.into(), numbers[1]), (four.into(), numbers[2]), (five.into(), numbers[0])];
    command.stdout = Output::Fd(pipe.write.try_clone().unwrap());
    command.stderr = Output::Fd(pipe.write);
    assert_eq!(code(stage.run(&command)), Some(0));
    drop(command);
    let mut text = String::new();
    std::fs::File::from(pipe.read).read_to_string(&mut text).unwrap();
    assert_eq!(text, "to fiveto threeto fourout\n");
}

#[test]
fn stdin_is_at_its_end_or_what_was_given() {
    let mut stage = Stage::new();
    let mut command = Command::new(["cat"]);
    command.env = path();
    assert_eq!(stage.output(command).0, "");
    let pipe = fd::pipe_cloexec().unwrap();
    fd::write(&pipe.write, b"hello").unwrap();
    drop(pipe.write);
    let mut command = Command::new(["cat"]);
    command.env = path();
    command.stdin = Stdin::Fd(pipe.read);
    assert_eq!(stage.output(command).0, "hello");
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let mut stage = Stage::new();
    let mut command = Command::new(["/usr/bin/env"]);
    command.env = vec![("A".into(), "x=y z".into()), ("EMPTY".into(), "".into())];
    assert_eq!(stage.output(command).0, "A=x=y z\nEMPTY=\n");
}

#[test]
fn directory_umask_and_limits() {
    let mut stage = Stage::new();
    let dir = open_dir();
    let mut command = sh("pwd; umask; ulimit -Sn; ulimit -Hn; ulimit -Hn >/dev/null");
    command.dir = dir.path().to_owned();
    command.umask = Some(0o027);
    command.open_files = Some(77);
    let (_, hard) = nix::sys::resource::getrlimit(nix::sys::resource::Resource::RLIMIT_NOFILE).unwrap();
    assert_eq!(stage.output(command).0, format!("{}\n0027\n77\n{hard}\n", dir.path().display()));
}

#[test]
fn ids_groups_and_rights_are_the_users() {
    let mut stage = Stage::new();
    let mut identity = user("www-data");
    identity.groups = vec![33, 4242];
    let mut command = Command::new(["cat", "/proc/self/status"]);
    command.env = path();
    command.identity = Some(identity);
    if !is_root() {
        return assert_eq!(code(stage.run(&command)), Some(126));
    }
    let (status, _) = stage.output(command);
    assert_eq!(field(&status, "Uid:"), "33\t33\t33\t33");
    assert_eq!(field(&status, "Gid:"), "33\t33\t33\t33");
    assert_eq!(field(&status, "Groups:"), "33 4242");
    for rights in ["CapEff:", "CapPrm:", "CapInh:"] {
        assert_eq!(field(&status, rights), "0000000000000000", "{rights}");
    }
}

/// The bug that PHP images meet most: a child without root's rights re-opens its own stderr. Also under an
/// init that is not dumpable.
#[test]
fn a_childs_pipe_can_be_its_own() {
    let mut stage = Stage::new();
    crate::support::become_reaper();
    let identity = is_root().then(|| user("www-data"));
    for own in [true, false] {
        let pipe = fd::pipe_cloexec().unwrap();
        if let Some(identity) = identity.as_ref().filter(|_| own) {
            fd::fchown(&pipe.write, identity.uid, identity.gid).unwrap();
        }
        let mut command = sh("echo hello >/proc/self/fd/1");
        command.identity.clone_from(&identity);
        command.stdout = Output::Fd(pipe.write);
        command.stderr = Output::Fd(fd::dev_null().unwrap());
        let ended = code(stage.run(&command));
        assert_eq!(ended == Some(0), own || identity.is_none(), "{ended:?}");
    }
}

#[test]
fn sessions_and_groups() {
    let mut stage = Stage::new();
    let own = (nix::unistd::getpgrp().as_raw(), nix::unistd::getsid(None).unwrap().as_raw());
    for session in [Session::New, Session::Foreground, Session::Inherit] {
        let mut command =
            sh("read -r pid comm state ppid pgrp sid rest </proc/self/stat; echo $pid $pgrp $sid");
        command.session = session;
        let (text, _) = stage.output(command);
        let ids: Vec<i32> = text.split_whitespace().map(|id| id.parse().unwrap()).collect();
        let expected = match session {
            Session::New => (ids[0], ids[0]),
            Session::Foreground => (ids[0], own.1),
            Session::Inherit => own,
        };
        assert_eq!((ids[1], ids[2]), expected, "{session:?}");
    }
}

#[test]
fn the_death_signal_survives_the_change_of_user() {
    let test = "inherit::the_death_signal_survives_the_change_of_user";
    if role().is_some() {
        let stage = Stage::new();
        let mut command = sh("echo $$; exec sleep 1000");
        command.identity = is_root().then(|| user("www-data"));
        command.death_signal = Some(Signal::TERM);
        stage.spawn(&command);
        // Lives until it is killed.
        return crate::support::until("the end of the world", || false);
    }
    let mut stage = Stage::new();
    crate::support::become_reaper();
    let pipe = fd::pipe_cloexec().unwrap();
    let mut command = play(test, "parent");
    command.stdout = Output::Fd(pipe.write);
    let parent = stage.spawn(&command);
    // Lines of the test harness come before it.
    let child: i32 = std::iter::repeat_with(|| line(&pipe.read)).find_map(|line| line.parse().ok()).unwrap();
    assert!(crate::support::alive(child));
    let _ = php_init::sys::group::signal(parent, Signal::KILL).unwrap();
    let start = php_init::sys::clock::monotonic();
    let mut ended = Vec::new();
    crate::support::until("both are gone", || {
        ended.extend(stage.reaper.reap().reaped);
        ended.len() == 2
    });
    assert!(php_init::sys::clock::monotonic() - start < DEADLINE);
    let child = ended.iter().find(|reaped| reaped.pid.raw() == child).unwrap();
    assert_eq!(child.status, php_init::sys::reap::WaitStatus::Signal(15));
}

/// A signal to the group of a child that is not yet its program must not run init's handler in it.
#[test]
fn inits_handlers_never_run_in_a_child() {
    use std::sync::atomic::{AtomicI32, Ordering};
    static WRITE: AtomicI32 = AtomicI32::new(-1);
    extern "C" fn handler(_: i32) {
        // SAFETY: write(2) from a static array is async-signal-safe.
        #[expect(unsafe_code, reason = "the self-pipe of an event loop")]
        unsafe {
            libc::write(WRITE.load(Ordering::SeqCst), b"x".as_ptr().cast(), 1)
        };
    }
    let mut stage = Stage::new();
    let pipe = fd::pipe_cloexec().unwrap();
    fd::set_nonblocking(&pipe.read).unwrap();
    WRITE.store(pipe.write.as_raw_fd(), Ordering::SeqCst);
    #[expect(unsafe_code, reason = "signal(2)")]
    // SAFETY: the handler makes one system call.
    unsafe { signal(Named::SIGTERM, SigHandler::Handler(handler)) }.unwrap();
    for _ in 0..200 {
        let pid = stage.spawn(&sh("exec sleep 1000"));
        let _ = php_init::sys::group::signal_group_of_child(pid, Signal::TERM).unwrap();
        assert_eq!(stage.wait(pid).status, php_init::sys::reap::WaitStatus::Signal(15));
    }
    assert!(fd::read(&pipe.read, &mut [0]).is_err(), "init saw a signal that it never got");
}

#[test]
fn a_file_in_a_private_directory_runs_only_for_its_owner() {
    let dir = open_dir();
    std::fs::create_dir(dir.path().join("bin")).unwrap();
    let tool = dir.path().join("bin/tool");
    std::fs::write(&tool, "#!/bin/sh\nexit 9\n").unwrap();
    std::fs::set_permissions(&tool, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::set_permissions(dir.path().join("bin"), std::fs::Permissions::from_mode(0o700)).unwrap();
    let mut stage = Stage::new();
    let mut command = Command::new(["bin/tool"]);
    command.dir = dir.path().to_owned();
    assert_eq!(code(stage.run(&command)), Some(9), "relative to its directory");
    if is_root() {
        command.identity = Some(user("www-data"));
        assert_eq!(code(stage.run(&command)), Some(126));
    }
}
