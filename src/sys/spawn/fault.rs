//! A child that could not become its program, and why, in words.
//!
//! One pipe for all children. Each writes at most one record, smaller than PIPE_BUF, so records never mix; it
//! writes before it exits, so whoever drains the pipe *after* reaping a child has its record.

use crate::sys::users::Identity;
use crate::sys::{Pid, errno_words};
use crate::{exit, sys};
use nix::fcntl::OFlag;
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What a child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Stage {
    Session = 1,
    Descriptors,
    OpenFiles,
    Groups,
    Group,
    User,
    DeathSignal,
    Directory,
    Execute,
}

impl Stage {
    const ALL: [Self; 9] = [
        Self::Session,
        Self::Descriptors,
        Self::OpenFiles,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::DeathSignal,
        Self::Directory,
        Self::Execute,
    ];

    /// Such as `cannot change to directory`.
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Session => "cannot make a session and process group",
            Self::Descriptors => "cannot set up stdin, stdout and stderr",
            Self::OpenFiles => "cannot set the limit of open files",
            Self::Groups => "cannot set the supplementary groups",
            Self::Group => "cannot set group",
            Self::User => "cannot set user",
            Self::DeathSignal => "cannot set the death signal",
            Self::Directory => "cannot change to directory",
            Self::Execute => "cannot execute",
        }
    }
}

const RECORD: usize = 12;

/// What the child writes: pid, stage, errno.
pub(super) fn record(pid: i32, stage: Stage, errno: i32) -> [u8; RECORD] {
    let ([a, b, c, d], [e, f, g, h]) = (pid.to_ne_bytes(), errno.to_ne_bytes());
    [a, b, c, d, e, f, g, h, stage as u8, 0, 0, 0]
}

/// The exit code of a child that failed so.
pub(super) fn code(stage: Stage, errno: i32) -> u8 {
    match (stage, errno) {
        (_, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => exit::OS,
        (Stage::Execute, libc::ENOENT | libc::ENOTDIR) => exit::NOT_FOUND,
        _ => exit::NOT_EXECUTABLE,
    }
}

/// Where all children report. Made once.
#[derive(Debug)]
pub struct FaultPipe {
    read: std::fs::File,
    write: OwnedFd,
}

impl FaultPipe {
    /// Neither end blocks: init must not wait for a child, nor a child for init.
    pub fn new() -> io::Result<Self> {
        let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Self { read: read.into(), write })
    }

    /// Every record that is there.
    pub fn drain(&self) -> Vec<ExecFault> {
        let mut faults = Vec::new();
        let mut record = [0; RECORD];
        // Records are written whole, so they are read whole. An error is WouldBlock: nothing more.
        while matches!((&self.read).read(&mut record), Ok(RECORD)) {
            faults.extend(ExecFault::read(record));
        }
        faults
    }

    pub(super) fn write_end(&self) -> BorrowedFd<'_> {
        self.write.as_fd()
    }
}

/// A child's report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExecFault {
    pub pid: Pid,
    pub stage: Stage,
    pub errno: i32,
}

impl ExecFault {
    fn read(record: [u8; RECORD]) -> Option<Self> {
        let [a, b, c, d, e, f, g, h, stage, ..] = record;
        Some(Self {
            pid: Pid::new(i32::from_ne_bytes([a, b, c, d]))?,
            stage: Stage::ALL.into_iter().find(|known| *known as u8 == stage)?,
            errno: i32::from_ne_bytes([e, f, g, h]),
        })
    }

    /// 127 not found, 126 not executable, 71 the system refused: also the child's exit code.
    pub fn code(&self) -> u8 {
        code(self.stage, self.errno)
    }

    /// It may be otherwise in a moment.
    pub fn is_transient(&self) -> bool {
        self.code() == exit::OS
    }

    /// The whole story for a log line: what, to which command, as whom, why, and what to do. Reads a few
    /// bytes of the program to find out.
    pub fn describe(&self, context: &Context) -> String {
        let what = match (self.stage, &context.identity) {
            (Stage::Directory, _) => context.dir.display().to_string(),
            (Stage::Group, Some(identity)) => identity.gid.to_string(),
            (Stage::User, Some(identity)) => identity.to_string(),
            (Stage::Groups, Some(identity)) => format!("{:?}", identity.groups),
            (Stage::OpenFiles, _) => context.open_files.map(|n| n.to_string()).unwrap_or_default(),
            (Stage::Execute, _) => context.file().display().to_string(),
            _ => String::new(),
        };
        let mut text = match self.stage {
            Stage::Execute => format!("cannot execute {what}"),
            _ => format!(
                "cannot start {:?}: {} {what}",
                context.program.to_string_lossy(),
                self.stage.phrase()
            ),
        };
        text.truncate(text.trim_end().len());
        if let Some(identity) = context.identity.as_ref().filter(|_| self.stage as u8 > Stage::User as u8) {
            text.push_str(&format!(" as {identity}"));
        }
        text.push_str(&format!(": {}", errno_words(self.errno)));
        if let Some(remedy) = self.remedy(context) {
            text.push_str(&format!(" ({remedy})"));
        }
        text
    }

    fn remedy(&self, context: &Context) -> Option<String> {
        let fixed = match (self.stage, self.errno) {
            (Stage::Groups | Stage::Group | Stage::User, libc::EPERM) => {
                "init may not change users: run the container as root with the capabilities SETUID and SETGID, or \
                 let the container's own user be the service's"
            }
            // Since Linux 3.1 the new user's limit is looked at by the exec, execve(2).
            (Stage::User | Stage::Execute, libc::EAGAIN) => {
                "that user has too many processes: raise its nproc limit"
            }
            (Stage::OpenFiles, libc::EPERM) => {
                "the hard limit is lower and init may not raise it: set the container's nofile ulimit"
            }
            (Stage::OpenFiles, libc::EINVAL) => "above the kernel's fs.nr_open",
            (Stage::Directory, libc::ENOENT) => "make it in the image, or set another work-dir",
            (Stage::Directory, libc::EACCES) => {
                "each of its parent directories needs execute permission for that user"
            }
            (Stage::Execute, libc::ENOEXEC) => return Some(not_a_program(&context.file())),
            (Stage::Execute, libc::ENOENT) => return missing_interpreter(&context.file()),
            (Stage::Execute, libc::EACCES) => return Some(forbidden(&context.file())),
            (Stage::Execute, libc::E2BIG) => "arguments and environment are larger than the kernel takes",
            (Stage::Execute, libc::ETXTBSY) => "somebody is writing the file",
            _ => return None,
        };
        Some(fixed.into())
    }
}

/// The parts of a command that a failure is told with. Holds neither its arguments nor its environment.
#[derive(Clone, Debug, Default)]
pub struct Context {
    pub(super) program: OsString,
    pub(super) candidates: Vec<PathBuf>,
    pub(super) dir: PathBuf,
    pub(super) identity: Option<Identity>,
    pub(super) open_files: Option<u64>,
}

impl Context {
    /// The first candidate, absolute.
    fn file(&self) -> PathBuf {
        match self.candidates.first() {
            Some(file) => self.dir.join(file.strip_prefix(".").unwrap_or(file)),
            None => PathBuf::from(&self.program),
        }
    }
}

/// First bytes of a file; empty when it cannot be read.
fn head(file: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(file) {
        let _ = file.take(4096).read_to_end(&mut bytes);
    }
    bytes
}

/// `/usr/bin/env` of `#!/usr/bin/env php`.
fn interpreter(head: &[u8]) -> Option<String> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = String::from_utf8_lossy(line);
    line.trim_start().split([' ', '\t']).next().filter(|path| !path.is_empty()).map(str::to_owned)
}

fn missing_interpreter(file: &Path) -> Option<String> {
    let head = head(file);
    if let Some(interpreter) = interpreter(&head) {
        let returns = if interpreter.ends_with('\r') { ": the script has Windows line ends" } else { "" };
        return Some(format!("the file is there, but its interpreter {interpreter:?} is not{returns}"));
    }
    head.starts_with(b"\x7fELF").then(|| {
        "the file is there, but its dynamic loader is not: it was built for another C library (glibc or musl)".into()
    })
}

fn not_a_program(file: &Path) -> String {
    let head = head(file);
    // e_machine of the ELF header: elf(5).
    let machine = head.starts_with(b"\x7fELF").then(|| head.get(18).copied()).flatten();
    match machine {
        Some(62) => format!("it is built for x86-64, and this machine is {}", std::env::consts::ARCH),
        Some(183) => format!("it is built for arm64, and this machine is {}", std::env::consts::ARCH),
        Some(_) => format!("it is built for another machine than {}", std::env::consts::ARCH),
        None if head.is_empty() => "the file is empty".into(),
        None => "it is neither a program nor a script that starts with #!".into(),
    }
}

fn forbidden(file: &Path) -> String {
    let mount = nix::sys::statvfs::statvfs(file).ok();
    if mount.is_some_and(|mount| mount.flags().contains(nix::sys::statvfs::FsFlags::ST_NOEXEC)) {
        let kind = sys::fd::file_system(file).unwrap_or_else(|_| "file".into());
        return format!("it is on a {kind} system mounted noexec");
    }
    let head = head(file);
    if let Some(interpreter) = interpreter(&head).filter(|path| !is_executable(Path::new(path))) {
        return format!("its interpreter {interpreter:?} may not be executed");
    }
    match std::fs::metadata(file) {
        Ok(data) => format!(
            "it has mode {:04o}; it and the directories above it need execute permission for that user",
            data.permissions().mode() & 0o7777
        ),
        Err(_) => "it and the directories above it need execute permission for that user".into(),
    }
}

fn is_executable(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

/// Without a context, such as `cannot execute: permission denied`.
impl fmt::Display for ExecFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.stage.phrase(), errno_words(self.errno))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_survive_the_pipe() {
        let pipe = FaultPipe::new().unwrap();
        assert_eq!(pipe.drain(), []);
        for stage in Stage::ALL {
            assert_eq!(sys::fd::write(&pipe.write, &record(77, stage, libc::EACCES)).unwrap(), RECORD);
        }
        let faults = pipe.drain();
        assert_eq!(faults.iter().map(|fault| fault.stage).collect::<Vec<_>>(), Stage::ALL);
        assert!(faults.iter().all(|fault| fault.pid.raw() == 77 && fault.errno == libc::EACCES));
        assert_eq!(pipe.drain(), []);
    }

    #[test]
    fn a_full_pipe_blocks_nobody() {
        let pipe = FaultPipe::new().unwrap();
        let mut written = 0_usize;
        while sys::fd::write(&pipe.write, &record(77, Stage::User, 1)).is_ok() {
            written += 1;
        }
        assert_eq!(pipe.drain().len(), written);
    }

    #[test]
    fn codes_are_those_of_a_shell() {
        assert_eq!(code(Stage::Execute, libc::ENOENT), 127);
        assert_eq!(code(Stage::Directory, libc::ENOENT), 126);
        assert_eq!(code(Stage::Execute, libc::EACCES), 126);
        assert_eq!(code(Stage::User, libc::EAGAIN), 71);
    }

    #[test]
    fn interpreters_are_read_as_the_kernel_does() {
        assert_eq!(interpreter(b"#!/bin/sh\n").as_deref(), Some("/bin/sh"));
        assert_eq!(interpreter(b"#! /usr/bin/env php\r\n").as_deref(), Some("/usr/bin/env"));
        assert_eq!(interpreter(b"#!/bin/sh\r\nx").as_deref(), Some("/bin/sh\r"));
        assert_eq!(interpreter(b"#!\n"), None);
        assert_eq!(interpreter(b"<?php"), None);
    }
}
