//! What another process was started with: its users and its environment, as proc(5) shows them.
//!
//! [`variable`] is not for the event loop. The kernel takes the lock of the other process's memory for it, which a process
//! holds for as long as its mmap(2) of a file on a dead NFS takes. The wait ends when the waiting thread is killed.
//!
//! Whether it may be read is ptrace(2)'s PTRACE_MODE_READ_FSCREDS. Root has no CAP_SYS_PTRACE in a container of Docker's or
//! Fargate's, and so may not read another user's process as root. With the file-system ids of that user it may,
//! unless the process has capabilities that init lacks or is not dumpable (it changed its user and did not execute a
//! program since, as PHP-FPM's workers do).

use super::Pid;
use super::identity::as_user;
use super::kernel;
use super::users::Users;
use nix::poll::{PollTimeout, poll};
use std::fs::File;
use std::io::{self, Read as _};

/// So much of an environment is looked at. Linux allows a quarter of the stack limit, 2 MiB by default.
const MAX_ENVIRON: usize = 256 << 10;
/// How often a process is looked at, a millisecond apart, that seems to have no variable at all.
const LOOKS: u32 = 8;

/// The ids of a process: real, effective and saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    uid: [u32; 3],
    gid: [u32; 3],
}

impl Ids {
    /// Those of a process.
    ///
    /// # Errors
    /// It is gone, or /proc does not show it.
    pub fn of(pid: Pid) -> io::Result<Self> {
        Self::parse(&kernel::read(format!("/proc/{pid}/status"))?)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no ids in its status"))
    }

    /// `Uid:` and `Gid:` with real, effective, saved and file-system id. The name of the process, on the first line, has its
    /// line ends escaped.
    fn parse(status: &str) -> Option<Self> {
        let ids = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key))?;
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let mut next = || numbers.next()?.ok();
            Some([next()?, next()?, next()?])
        };
        Some(Self { uid: ids("Uid:")?, gid: ids("Gid:")? })
    }

    /// A process of user `uid` without capabilities may signal this one (kill(2)).
    pub fn may_be_signalled_by(&self, uid: u32) -> bool {
        let [real, _, saved] = self.uid;
        real == uid || saved == uid
    }
}

/// The value of a variable in the environment that the process was started with, or that it has put in its place:
/// the memory is its own. `None`: it is not there, or not within the first 256 KiB.
///
/// # Errors
/// The process is gone, or may not be looked into.
pub fn variable(pid: Pid, ids: &Ids, name: &str) -> io::Result<Option<Vec<u8>>> {
    // What is opened before an execve(2) and read after it is the memory that is gone, and within one the new memory has no
    // environment yet (fs/proc/base.c, environ_read; fs/binfmt_elf.c, create_elf_tables): nothing is read, and no error comes.
    let mut environment = vec![0; MAX_ENVIRON];
    for _ in 0..LOOKS {
        // In one call: between two of them it may execute something else.
        let length = open(pid, ids)?.read(&mut environment)?;
        if length > 0 {
            return Ok(find(environment.get(..length).unwrap_or_default(), name).map(<[u8]>::to_vec));
        }
        // Nothing tells when it is over. Few processes have an environment without any variable.
        let _ = poll(&mut [], PollTimeout::from(1_u8));
    }
    Ok(None)
}

fn open(pid: Pid, ids: &Ids) -> io::Result<File> {
    let path = format!("/proc/{pid}/environ");
    let refused = match kernel::open(&path) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => error,
        result => return result,
    };
    // The kernel compares with all three.
    let ([uid, ..], [gid, ..]) = (ids.uid, ids.gid);
    if ids.uid != [uid; 3] || ids.gid != [gid; 3] {
        return Err(refused);
    }
    let identity = Users::default().of_ids(uid, gid, vec![gid]);
    as_user(Some(&identity), || kernel::open(&path)).flatten()
}

fn find<'a>(environment: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut variables = environment.split(|byte| *byte == 0);
    variables.find_map(|variable| variable.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name() {
        let environment = b"XA=1\0A\0AB=2\0A=3=4\0A=5\0";
        assert_eq!(find(environment, "A"), Some(&b"3=4"[..]));
        assert_eq!(find(environment, "B"), None);
        assert_eq!(find(b"", "A"), None);
        assert_eq!(find(b"A=cut", "A"), Some(&b"cut"[..]));
    }

    #[test]
    fn ids_are_read_from_the_status_alone() {
        let status = "Name:\tx\\nUid:\t0\nUmask:\t0022\nUid:\t33\t33\t0\t33\nGid:\t33\t34\t35\t36\n";
        let ids = Ids::parse(status).unwrap();
        assert_eq!((ids.uid, ids.gid), ([33, 33, 0], [33, 34, 35]));
        assert!(ids.may_be_signalled_by(33) && ids.may_be_signalled_by(0) && !ids.may_be_signalled_by(34));
        assert_eq!(Ids::parse("Uid:\t1\t2\n"), None);
    }

    /// A search that met a daemon within its execve took it for nobody's.
    #[test]
    fn a_variable_is_seen_also_while_its_process_executes_programs() {
        const AGAIN: &str = r#"[ "$1" = 0 ] || exec sh -c "$2" sh $(($1 - 1)) "$2""#;
        let mut child = std::process::Command::new("sh")
            .args(["-c", AGAIN, "sh", "1000", AGAIN])
            .env_clear()
            .env("MARK", "x")
            .env("PATH", "/usr/bin:/bin")
            .spawn()
            .unwrap();
        let pid = Pid::new(child.id().try_into().unwrap()).unwrap();
        let ids = Ids::of(pid).unwrap();
        let mut unseen = 0;
        while child.try_wait().unwrap().is_none() {
            match variable(pid, &ids, "MARK") {
                Ok(Some(found)) => assert_eq!(found, b"x"),
                Ok(None) => unseen += 1,
                Err(_) => {}
            }
        }
        // Once it has ended, until it is waited for.
        assert!(unseen <= 1, "{unseen}");
    }

    #[test]
    fn this_process_has_its_own_environment() {
        let own = Pid::current();
        let ids = Ids::of(own).unwrap();
        let path = variable(own, &ids, "PATH").unwrap();
        assert_eq!(path, std::env::var_os("PATH").map(|path| path.into_encoded_bytes()));
    }
}
