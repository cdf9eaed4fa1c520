//! A child that could not become its program, and why, in words.

use super::SpawnError;
use super::lookup::{Verdict, Wanted};
use super::report::{Found, Kind, Report};
use crate::exit;
use crate::sys::users::Identity;
use crate::sys::{Pid, errno_words, fd};
use std::fmt;

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
    pub(super) const ALL: [Self; 9] = [
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

/// The exit code of a child that failed so.
pub(super) fn code(stage: Stage, errno: i32) -> u8 {
    match (stage, errno) {
        (_, libc::EAGAIN | libc::ENOMEM | libc::EMFILE | libc::ENFILE) => exit::OS,
        (Stage::Execute, libc::ENOENT | libc::ENOTDIR) => exit::NOT_FOUND,
        _ => exit::NOT_EXECUTABLE,
    }
}

/// A child's report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecFault {
    pub pid: Pid,
    pub stage: Stage,
    pub errno: i32,
    /// What was there instead of a program, where that was what failed.
    found: Box<Found>,
}

impl ExecFault {
    pub(super) fn new(pid: Pid, report: &Report) -> Self {
        Self { pid, stage: report.stage, errno: report.errno, found: Box::new(report.found) }
    }

    /// 127 not found, 126 not executable, 71 the system refused: also the child's exit code.
    pub fn code(&self) -> u8 {
        code(self.stage, self.errno)
    }

    /// It may be otherwise in a moment.
    pub fn is_transient(&self) -> bool {
        self.code() == exit::OS
    }

    /// The whole story for a log line: what, to which command, as whom, why, and what to do.
    pub fn describe(&self, context: &Context) -> String {
        if let Some(error) = self.not_a_program(context) {
            return error.to_string();
        }
        let file = context.wanted.candidate(self.found.candidate);
        let what = match (self.stage, &context.identity) {
            (Stage::Directory, _) => context.wanted.dir.display().to_string(),
            (Stage::Group, Some(identity)) => identity.gid.to_string(),
            (Stage::User, Some(identity)) => identity.to_string(),
            (Stage::Groups, Some(identity)) => format!("{:?}", identity.groups),
            (Stage::OpenFiles, _) => context.open_files.map(|n| n.to_string()).unwrap_or_default(),
            (Stage::Execute, _) => context.wanted.absolute(&file).display().to_string(),
            _ => String::new(),
        };
        let mut text = match self.stage {
            Stage::Execute => format!("cannot execute {what}"),
            _ => format!("cannot start {:?}: {} {what}", context.wanted.program(), self.stage.phrase()),
        };
        text.truncate(text.trim_end().len());
        if let Some(identity) = context.identity.as_ref().filter(|_| self.stage as u8 > Stage::User as u8) {
            text.push_str(&format!(" as {identity}"));
        }
        text.push_str(&format!(": {}", errno_words(self.errno)));
        if let Some(remedy) = self.remedy() {
            text.push_str(&format!(" ({remedy})"));
        }
        text
    }

    /// The program is not there, or is no file that anybody may execute: in the words of [`super::Command::look_up`].
    fn not_a_program(&self, context: &Context) -> Option<SpawnError> {
        let found = &self.found;
        let verdict = match (self.stage, self.errno, found.kind) {
            (Stage::Execute, libc::ENOENT, Kind::Missing) => Verdict::Missing,
            (Stage::Execute, libc::ENOENT, Kind::Link) => {
                Verdict::Link(String::from_utf8_lossy(found.text()).into_owned())
            }
            (Stage::Execute, libc::EACCES, Kind::Directory | Kind::Special | Kind::File) => {
                Verdict::of_mode(found.kind, found.mode)
            }
            _ => Verdict::Perhaps,
        };
        context.wanted.refuse(&context.wanted.candidate(found.candidate), verdict)
    }

    fn remedy(&self) -> Option<String> {
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
            (Stage::Execute, libc::ENOEXEC) => return Some(wrong_format(&self.found)),
            (Stage::Execute, libc::ENOENT) => return missing_interpreter(&self.found),
            (Stage::Execute, libc::EACCES) => return Some(forbidden(&self.found)),
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
    pub(super) wanted: Wanted,
    pub(super) identity: Option<Identity>,
    pub(super) open_files: Option<u64>,
}

fn missing_interpreter(found: &Found) -> Option<String> {
    if let Some(interpreter) = found.shebang().map(String::from_utf8_lossy) {
        let returns = if interpreter.ends_with('\r') { ": the script has Windows line ends" } else { "" };
        return Some(format!("the file is there, but its interpreter {interpreter:?} is not{returns}"));
    }
    found.text().starts_with(b"\x7fELF").then(|| {
        "the file is there, but its dynamic loader is not: it was built for another C library (glibc or musl)".into()
    })
}

fn wrong_format(found: &Found) -> String {
    let text = found.text();
    // e_machine of the ELF header: elf(5).
    let machine = text.starts_with(b"\x7fELF").then(|| text.get(18).copied()).flatten();
    match machine {
        Some(62) => format!("it is built for x86-64, and this machine is {}", std::env::consts::ARCH),
        Some(183) => format!("it is built for arm64, and this machine is {}", std::env::consts::ARCH),
        Some(_) => format!("it is built for another machine than {}", std::env::consts::ARCH),
        None if found.empty => "the file is empty".into(),
        None => "it is neither a program nor a script that starts with #!".into(),
    }
}

fn forbidden(found: &Found) -> String {
    if found.noexec {
        return format!("it is on a {} system mounted noexec", fd::file_system_name(found.file_system));
    }
    match found.shebang().map(String::from_utf8_lossy) {
        Some(interpreter) if !found.interpreter => {
            format!("its interpreter {interpreter:?} may not be executed")
        }
        _ if found.kind == Kind::Hidden => {
            "it and the directories above it need execute permission for that user".into()
        }
        _ => format!(
            "it has mode {:04o}; it and the directories above it need execute permission for that user",
            found.mode
        ),
    }
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
    fn codes_are_those_of_a_shell() {
        assert_eq!(code(Stage::Execute, libc::ENOENT), 127);
        assert_eq!(code(Stage::Directory, libc::ENOENT), 126);
        assert_eq!(code(Stage::Execute, libc::EACCES), 126);
        assert_eq!(code(Stage::User, libc::EAGAIN), 71);
    }
}
