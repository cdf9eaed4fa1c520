//! Descriptors: pipes, what a child inherits, and what is known of the file behind one. Those of the container's log
//! are [`super::fd_out`]'s.
#![expect(unsafe_code, reason = "close_range(2) has no safe wrapper")]

use super::{check, kernel};
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid};
use std::io;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd, RawFd};
use std::path::Path;

/// A pipe. Reads and writes block.
#[derive(Debug)]
pub struct Pipe {
    pub read: OwnedFd,
    pub write: OwnedFd,
}

/// A pipe that no child inherits by accident.
pub fn pipe_cloexec() -> io::Result<Pipe> {
    let (read, write) = nix::unistd::pipe2(OFlag::O_CLOEXEC)?;
    Ok(Pipe { read, write })
}

/// Makes reads and writes return `WouldBlock`. Only on descriptions that this process made itself.
pub fn set_nonblocking(fd: impl AsFd) -> io::Result<()> {
    let flags = OFlag::from_bits_retain(fcntl(&fd, FcntlArg::F_GETFL)?);
    fcntl(&fd, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// `/dev/null`, for reading and writing.
pub fn dev_null() -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open("/dev/null", OFlag::O_RDWR | OFlag::O_CLOEXEC | OFlag::O_NOCTTY, Mode::empty())?)
}

/// Gives the file behind `fd` to a user, so that a child without root's rights may re-open `/proc/self/fd/2`.
pub fn fchown(fd: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    Ok(nix::unistd::fchown(fd, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Locks the file or directory behind `fd` against other processes (flock(2)), until every copy of the descriptor is
/// closed. `WouldBlock`: another has it.
pub fn try_lock(fd: impl AsFd) -> io::Result<()> {
    // SAFETY: a descriptor that is open for the time of the call, and a number.
    let result = unsafe { libc::flock(fd.as_fd().as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) };
    check(result).map(drop)
}

/// Reads once. `Ok(0)` is the end.
pub fn read(fd: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(nix::unistd::read(fd, buffer)?)
}

/// Writes once, perhaps a part. SIGPIPE is ignored in every Rust program, so a closed pipe is `BrokenPipe`.
pub fn write(fd: impl AsFd, bytes: &[u8]) -> io::Result<usize> {
    Ok(nix::unistd::write(fd, bytes)?)
}

/// A copy with a number of at least `lowest`, closed on exec.
pub fn duplicate_above(fd: impl AsFd, lowest: RawFd) -> io::Result<OwnedFd> {
    let raw = fcntl(&fd, FcntlArg::F_DUPFD_CLOEXEC(lowest))?;
    // SAFETY: the kernel has just made `raw`, so it is open and nobody else owns it.
    Ok(unsafe { std::os::fd::FromRawFd::from_raw_fd(raw) })
}

/// Marks every descriptor from 3 up to be closed on exec, those included that init inherited itself.
pub fn close_all_on_exec() -> io::Result<()> {
    if close_range_cloexec().is_ok() {
        return Ok(());
    }
    // CLOSE_RANGE_CLOEXEC is of Linux 5.11, newer than Fargate's, and seccomp profiles older than the call
    // answer EPERM.
    mark_each()
}

fn mark_each() -> io::Result<()> {
    for name in kernel::list("/proc/self/fd")? {
        let number = name.to_str().and_then(|name| name.parse::<RawFd>().ok());
        if let Some(number) = number.filter(|number| *number > 2) {
            // SAFETY: the descriptor is only borrowed for one fcntl(2), which fails harmlessly if it is
            // closed by then.
            let fd = unsafe { BorrowedFd::borrow_raw(number) };
            let _ = fcntl(fd, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC));
        }
    }
    Ok(())
}

fn close_range_cloexec() -> io::Result<()> {
    // SAFETY: three numbers; descriptors stay open until an exec.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(i32::try_from(result).unwrap_or(-1)).map(drop)
}

/// Name of the file system at `path`: see `file_system_name`.
pub fn file_system(path: &Path) -> io::Result<String> {
    Ok(file_system_name(magic(&nix::sys::statfs::statfs(path)?)))
}

/// The magic number of a file system: statfs(2).
pub(super) fn magic(data: &nix::sys::statfs::Statfs) -> u32 {
    // The type is i64, u64 or u32, depending on the C library; the numbers have 32 bits.
    data.filesystem_type().0 as u32
}

/// Such as `tmpfs` or `overlay`; the magic number in hexadecimal when it has no well-known name.
pub(super) fn file_system_name(magic: u32) -> String {
    let known = FILE_SYSTEMS.iter().find(|(number, _)| *number == magic);
    known.map_or_else(|| format!("{magic:#x}"), |(_, name)| (*name).to_owned())
}

/// Bytes and inodes of the file system at `path`: all bytes, those left to an ordinary user, all inodes, those left.
pub fn space(path: &Path) -> io::Result<(u64, u64, u64, u64)> {
    let data = nix::sys::statvfs::statvfs(path)?;
    #[allow(clippy::unnecessary_cast, reason = "the types depend on the C library")]
    let (block, blocks, free) =
        (data.fragment_size() as u64, data.blocks() as u64, data.blocks_available() as u64);
    #[allow(clippy::unnecessary_cast, reason = "the types depend on the C library")]
    let (inodes, inodes_free) = (data.files() as u64, data.files_available() as u64);
    Ok((blocks.saturating_mul(block), free.saturating_mul(block), inodes, inodes_free))
}

/// The file system at `path` has no inode left: it is full however much room it has.
pub fn is_out_of_inodes(path: &Path) -> bool {
    space(path).is_ok_and(|(_, _, inodes, free)| inodes > 0 && free == 0)
}

/// Magic numbers of statfs(2) and linux/magic.h that containers meet.
const FILE_SYSTEMS: &[(u32, &str)] = &[
    (0x0102_1994, "tmpfs"),
    (0x8584_58f6, "ramfs"),
    (0x794c_7630, "overlay"),
    (0x0000_ef53, "ext4"),
    (0x5846_5342, "xfs"),
    (0x9123_683e, "btrfs"),
    (0x2fc1_2fc1, "zfs"),
    (0x0000_6969, "nfs"),
    (0x0102_1997, "9p"),
    (0x6573_5546, "fuse"),
    (0xff53_4d42, "cifs"),
    (0xfe53_4d42, "smb2"),
    (0x7371_7368, "squashfs"),
    (0xe0f5_e1e2, "erofs"),
    (0x0000_9fa0, "proc"),
    (0x6265_6572, "sysfs"),
    (0x6367_7270, "cgroup2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_an_error_and_not_a_signal() {
        let pipe = pipe_cloexec().unwrap();
        drop(pipe.read);
        assert_eq!(write(&pipe.write, b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn own_descriptors_can_be_made_non_blocking() {
        let pipe = pipe_cloexec().unwrap();
        set_nonblocking(&pipe.read).unwrap();
        assert_eq!(read(&pipe.read, &mut [0]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn file_systems_have_names() {
        assert_eq!(file_system(Path::new("/proc")).unwrap(), "proc");
        assert!(file_system(Path::new("/no/such/path")).is_err());
    }

    #[test]
    fn inherited_descriptors_are_marked_on_old_kernels_too() {
        for mark in [mark_each, close_all_on_exec] {
            let fd = dev_null().unwrap();
            fcntl(&fd, FcntlArg::F_SETFD(FdFlag::empty())).unwrap();
            mark().unwrap();
            assert_eq!(fcntl(&fd, FcntlArg::F_GETFD).unwrap(), libc::FD_CLOEXEC);
        }
    }

    #[test]
    fn a_copy_is_above_its_bound_and_closed_on_exec() {
        let copy = duplicate_above(dev_null().unwrap(), 200).unwrap();
        assert!(copy.as_raw_fd() >= 200);
        let flags = FdFlag::from_bits_retain(fcntl(&copy, FcntlArg::F_GETFD).unwrap());
        assert!(flags.contains(FdFlag::FD_CLOEXEC));
    }
}
