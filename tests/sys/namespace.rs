//! In namespaces of one's own, which unshare(1) makes, as root or in a user namespace: as pid 1, and on a
//! mount without exec.

use crate::support::{Stage, code, is_root, open_dir, path, play, role, script, sh, until};
use php_init::config::plan::Signal;
use php_init::files;
use php_init::sys::proc::{self, Snapshot};
use php_init::sys::spawn::{Command, Output};
use php_init::sys::{Pid, fd, group, init};
use std::io::Read;

/// Runs the test `test` in the new namespaces.
fn unshared(test: &str, options: &[&str]) {
    let mut stage = Stage::new();
    let inner = play(test, "inside");
    let mut argv: Vec<std::ffi::OsString> = vec!["unshare".into()];
    if !is_root() {
        argv.extend(["--user".into(), "--map-root-user".into()]);
    }
    argv.extend(options.iter().map(Into::into));
    argv.extend(inner.argv);
    let pipe = fd::pipe_cloexec().unwrap();
    let mut command = Command::new(argv);
    command.env = path();
    command.env.extend(inner.env);
    command.stdout = Output::Fd(pipe.write.try_clone().unwrap());
    command.stderr = Output::Fd(pipe.write);
    let pid = stage.spawn(&command);
    drop(command);
    let mut text = String::new();
    std::fs::File::from(pipe.read).read_to_string(&mut text).unwrap();
    assert_eq!(code(stage.wait(pid)), Some(0), "{text}");
    assert!(text.contains("1 passed"), "{text}");
}

#[test]
fn pid_1_reaps_everybody_and_signals_only_whom_it_means() {
    if role().is_none() {
        let test = "namespace::pid_1_reaps_everybody_and_signals_only_whom_it_means";
        return unshared(test, &["--pid", "--fork", "--mount-proc"]);
    }
    let mut stage = Stage::new();
    let became = init::become_init(true);
    assert_eq!((became.pid1, became.warnings.as_slice()), (true, [].as_slice()));
    let mut stranger = sh("exec sleep 1000");
    stranger.death_signal = Some(Signal::KILL);
    let stranger = stage.spawn(&stranger);
    let pid = stage.spawn(&sh("setsid sleep 1000 & sleep 1000 & wait"));
    let mut found = Vec::new();
    until("three are there", || {
        found = proc::descendants(pid).unwrap();
        found.iter().filter(|process| process.comm == "sleep").count() == 2
    });
    let _ = group::signal_group(pid, Signal::KILL).unwrap();
    proc::kill_all(&found);
    let mut reaped = 0;
    until("all three are reaped", || {
        reaped += stage.reaper.reap().reaped.len();
        reaped == 3
    });
    let left: Vec<Pid> =
        proc::descendants(Pid::current()).unwrap().iter().map(|process| process.pid).collect();
    assert_eq!(left, [stranger]);
}

/// A walk of somebody else's /proc would find strangers under the numbers of our children.
#[test]
fn a_proc_of_another_namespace_is_not_believed() {
    if role().is_none() {
        return unshared("namespace::a_proc_of_another_namespace_is_not_believed", &["--pid", "--fork"]);
    }
    let error = Snapshot::take().unwrap_err();
    assert!(error.to_string().contains("another PID namespace"), "{error}");
    assert!(proc::descendants(Pid::current()).is_err());
}

#[test]
fn a_mount_without_exec_is_named() {
    if role().is_none() {
        return unshared("namespace::a_mount_without_exec_is_named", &["--mount"]);
    }
    let mut stage = Stage::new();
    let dir = open_dir();
    let mount = sh(&format!("mount -t tmpfs -o noexec none {}", dir.path().display()));
    assert_eq!(code(stage.run(&mount)), Some(0));
    let command = Command::new([script(&dir, "tool", b"#!/bin/sh\n", 0o755)]);
    let fault = stage.run(&command).fault.unwrap();
    let story = fault.describe(&command.context());
    assert!(story.contains("/tool: permission denied (it is on a tmpfs system mounted noexec)"), "{story}");
    assert_eq!(fault.code(), 126);
    assert_eq!(code(stage.run(&sh(&format!("umount {}", dir.path().display())))), Some(0));
}

#[test]
fn a_read_only_mount_is_named() {
    if role().is_none() {
        return unshared("namespace::a_read_only_mount_is_named", &["--mount"]);
    }
    let mut stage = Stage::new();
    let dir = open_dir();
    let path = dir.path();
    assert_eq!(code(stage.run(&sh(&format!("mount -t tmpfs -o ro none {}", path.display())))), Some(0));
    let probe = files::probe_writable(path, None).unwrap_err();
    assert!(probe.is_read_only(), "{probe}");
    assert!(probe.to_string().contains("read-only: declare a volume or tmpfs at /"), "{probe}");
    let made = files::make_directory(&path.join("framework"), None, 0o755).unwrap_err().to_string();
    assert!(made.contains("declare a volume or tmpfs there"), "{made}");
    assert_eq!(code(stage.run(&sh(&format!("umount {}", path.display())))), Some(0));
}

#[test]
fn a_full_volume_is_named() {
    if role().is_none() {
        return unshared("namespace::a_full_volume_is_named", &["--mount"]);
    }
    let mut stage = Stage::new();
    let dir = open_dir();
    let path = dir.path();
    assert_eq!(code(stage.run(&sh(&format!("mount -t tmpfs -o size=64k none {}", path.display())))), Some(0));
    let _ = std::fs::write(path.join("fill"), vec![0; 1 << 20]);
    let probe = files::probe_writable(path, None).unwrap_err().to_string();
    assert!(probe.contains("the tmpfs system is full"), "{probe}");
    assert_eq!(code(stage.run(&sh(&format!("umount {}", path.display())))), Some(0));
}
