//! A one-off command at a terminal.

use crate::support::{DEADLINE, Stage, code, line, play, role, sh, until};
use nix::pty::openpty;
use nix::unistd::{getpgrp, tcgetpgrp};
use php_init::sys::reap::WaitStatus;
use php_init::sys::spawn::{Output, Session, Stdin};
use php_init::sys::tty::Foreground;
use php_init::sys::{clock, fd};
use std::fs::File;
use std::io::{Read, Write};

const TEST: &str = "terminal::the_terminal_goes_to_the_command_and_comes_back";

/// Ctrl-C ends the command and not init, and the terminal is init's again when the command has ended.
#[test]
fn the_terminal_goes_to_the_command_and_comes_back() {
    if role().is_some() {
        return one_off();
    }
    let mut stage = Stage::new();
    let pty = openpty(None, None).unwrap();
    let pipe = fd::pipe_cloexec().unwrap();
    let mut command = play(TEST, "one-off");
    command.stdin = Stdin::Fd(pty.slave);
    command.stdout = Output::Fd(pipe.write.try_clone().unwrap());
    command.stderr = Output::Fd(pipe.write);
    let pid = stage.spawn(&command);
    drop(command);
    // The harness of the other process says a few words first.
    let start = clock::monotonic();
    let mut said = Vec::new();
    while said.last().is_none_or(|line: &String| line != "the command reads") {
        assert!(clock::monotonic() - start < DEADLINE, "{said:?}");
        said.push(line(&pipe.read));
    }
    let mut master = File::from(pty.master);
    master.write_all(b"typed\n").unwrap();
    while said.last().is_none_or(|line: &String| line != "the command got typed") {
        assert!(clock::monotonic() - start < DEADLINE, "{said:?}");
        said.push(line(&pipe.read));
    }
    master.write_all(b"\x03").unwrap();
    let ended = stage.wait(pid);
    let mut rest = String::new();
    File::from(pipe.read).read_to_string(&mut rest).unwrap();
    assert_eq!(code(ended), Some(0), "{said:?}{rest}");
}

/// The part of init: leader of a session whose terminal is stdin.
fn one_off() {
    let mut stage = Stage::new();
    #[expect(unsafe_code, reason = "nobody but a test takes a terminal")]
    // SAFETY: an ioctl with a number.
    let taken = unsafe { libc::ioctl(0, libc::TIOCSCTTY, 0) };
    assert_eq!(taken, 0);
    let before = Foreground::remember().unwrap();
    let mut command = sh("echo the command reads; read line; echo the command got $line; exec sleep 1000");
    command.stdin = Stdin::Inherit;
    command.session = Session::Foreground;
    let pid = stage.spawn(&command);
    until("the command has the terminal", || {
        tcgetpgrp(std::io::stdin()).is_ok_and(|group| group.as_raw() == pid.raw())
    });
    assert_eq!(stage.wait(pid).status, WaitStatus::Signal(2), "Ctrl-C");
    assert_ne!(tcgetpgrp(std::io::stdin()).unwrap(), getpgrp());
    before.restore().unwrap();
    assert_eq!(tcgetpgrp(std::io::stdin()).unwrap(), getpgrp());
}

#[test]
fn without_a_terminal_nothing_is_taken() {
    let mut stage = Stage::new();
    let mut command = sh("exit 4");
    command.session = Session::Foreground;
    command.stdin = Stdin::Inherit;
    assert_eq!(code(stage.run(&command)), Some(4));
}
