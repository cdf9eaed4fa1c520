//! Why a program could not be executed, found out by the child that tried: with its user's rights, in its directory, and where
//! a file system that hangs holds up nobody else. Runs between fork and exec, under the rules of [`super::child`].
#![expect(unsafe_code, reason = "readlink(2) into an array")]

use super::report::{Found, HEAD, Kind};
use crate::sys::fd;
use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, stat};
use nix::sys::statfs::statfs;
use nix::sys::statvfs::FsFlags;
use std::ffi::CStr;

/// Looks at `file`, the command's candidate number `candidate`.
pub(super) fn inspect(candidate: usize, file: &CStr) -> Found {
    let data = match stat(file) {
        Ok(data) => data,
        Err(Errno::ENOENT | Errno::ENOTDIR) => return missing(candidate, file),
        Err(_) => return Found::new(candidate, Kind::Hidden),
    };
    let mut found = Found::new(candidate, kind(&data));
    // Twelve bits.
    found.mode = (data.st_mode & 0o7777) as u16;
    found.empty = data.st_size == 0;
    if let Ok(mount) = statfs(file) {
        found.noexec = mount.flags().contains(FsFlags::ST_NOEXEC);
        found.file_system = fd::magic(&mount);
    }
    if found.kind == Kind::File {
        read_head(file, &mut found);
        found.interpreter = interpreter_is_executable(&found);
    }
    found
}

/// There is something at `file`, be it a link that leads nowhere.
pub(super) fn exists(file: &CStr) -> bool {
    !matches!(nix::sys::stat::lstat(file), Err(Errno::ENOENT | Errno::ENOTDIR))
}

fn missing(candidate: usize, file: &CStr) -> Found {
    let mut found = Found::new(candidate, Kind::Missing);
    // SAFETY: writes at most HEAD bytes into the array.
    let length = unsafe { libc::readlink(file.as_ptr(), found.bytes.as_mut_ptr().cast(), HEAD) };
    if let Ok(length) = u16::try_from(length) {
        (found.kind, found.length) = (Kind::Link, length);
    }
    found
}

fn kind(data: &FileStat) -> Kind {
    match SFlag::from_bits_truncate(data.st_mode) & SFlag::S_IFMT {
        SFlag::S_IFDIR => Kind::Directory,
        SFlag::S_IFREG => Kind::File,
        _ => Kind::Special,
    }
}

/// The path may lead to something else by now: opening a FIFO does not wait, and nothing but a regular file is read.
fn read_head(file: &CStr, found: &mut Found) {
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    let Ok(file) = nix::fcntl::open(file, flags, Mode::empty()) else { return };
    if fstat(&file).is_ok_and(|data| kind(&data) == Kind::File) {
        let length = nix::unistd::read(&file, &mut found.bytes).unwrap_or(0);
        found.length = u16::try_from(length).unwrap_or(0);
    }
}

fn interpreter_is_executable(found: &Found) -> bool {
    let mut path = [0; HEAD];
    path.iter_mut().zip(found.shebang().unwrap_or_default()).for_each(|(to, from)| *to = *from);
    // The first line begins with #!, so that there is room for the NUL.
    CStr::from_bytes_until_nul(&path)
        .is_ok_and(|path| stat(path).is_ok_and(|data| kind(&data) == Kind::File && data.st_mode & 0o111 != 0))
}
