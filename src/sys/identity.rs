//! The file-system identity of the calling thread.
//!
//! setfsuid(2) and setfsgid(2) change what the kernel checks for files and nothing else: the process keeps
//! the right to come back, cannot be signalled by the user meanwhile, and other threads keep theirs. A fork
//! would do as well, at 20 times the price. The groups are changed by the bare call: libc's would tell all
//! threads.
//!
//! A change of the file-system identity sets the process's dumpable flag to fs.suid_dumpable (kernel/cred.c, commit_creds),
//! so each change clears it again: nobody may trace init or dump its memory.
#![expect(unsafe_code, reason = "setfsuid(2), setfsgid(2) and setgroups(2) of one thread")]

use super::check;
use super::users::Identity;
use nix::sys::prctl::set_dumpable;
use std::io;
use std::marker::PhantomData;

/// Runs `work` with the file rights of `identity`: owner of new files, access checks, no CAP_DAC_OVERRIDE.
/// `None`, or init's own ids: as it is. `work` must only touch files, on this thread.
///
/// `EPERM` when init is not root and the identity is another's.
pub fn as_user<T>(identity: Option<&Identity>, work: impl FnOnce() -> T) -> io::Result<T> {
    let Some(identity) = identity.filter(|identity| !is_own(identity)) else {
        return Ok(work());
    };
    let _back = Borrowed::take(identity)?;
    Ok(work())
}

fn is_own(identity: &Identity) -> bool {
    let groups = nix::unistd::getgroups().unwrap_or_default();
    let own = Identity {
        uid: nix::unistd::geteuid().as_raw(),
        gid: nix::unistd::getegid().as_raw(),
        groups: groups.into_iter().map(nix::unistd::Gid::as_raw).collect(),
        name: None,
        home: None,
        shell: None,
    };
    // Root has all rights whatever its groups.
    identity.same_ids(&own) || (identity.uid == 0 && own.uid == 0)
}

/// What is put back when it goes out of scope, also by a panic.
struct Borrowed {
    groups: Vec<libc::gid_t>,
    uid: libc::uid_t,
    gid: libc::gid_t,
    /// It belongs to the thread.
    _not_send: PhantomData<*const ()>,
}

impl Borrowed {
    fn take(identity: &Identity) -> io::Result<Self> {
        let groups = nix::unistd::getgroups()?.into_iter().map(nix::unistd::Gid::as_raw).collect();
        set_groups(&identity.groups)?;
        let back = Self {
            groups,
            uid: nix::unistd::geteuid().as_raw(),
            gid: nix::unistd::getegid().as_raw(),
            _not_send: PhantomData,
        };
        // The group first: without fsuid 0 it could not be changed any more.
        if set_fs_gid(identity.gid) && set_fs_uid(identity.uid) {
            Ok(back)
        } else {
            Err(io::Error::from_raw_os_error(libc::EPERM))
        }
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        // All three go back to what the process is allowed anyway, so they cannot fail.
        set_fs_uid(self.uid);
        set_fs_gid(self.gid);
        let _ = set_groups(&self.groups);
    }
}

fn set_groups(groups: &[libc::gid_t]) -> io::Result<()> {
    // SAFETY: the list is valid for its length. The bare call changes this thread alone.
    let result = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    check(i32::try_from(result).unwrap_or(-1)).map(drop)
}

/// The uid that files which this thread makes belong to.
pub fn file_uid() -> u32 {
    // SAFETY: a number that is no id: nothing changes, and the id in force is returned. setfsuid(2).
    let uid = unsafe { libc::syscall(libc::SYS_setfsuid, u32::MAX) };
    // A kernel without the call: nobody can have changed it either.
    u32::try_from(uid).unwrap_or_else(|_| nix::unistd::geteuid().as_raw())
}

/// Both calls return the former id and no error; what came of it shows when asked again with an id that is
/// none.
fn set_fs_uid(uid: libc::uid_t) -> bool {
    // SAFETY: numbers; setfsuid(2) is of the calling thread.
    let result = unsafe {
        libc::syscall(libc::SYS_setfsuid, uid);
        libc::syscall(libc::SYS_setfsuid, u32::MAX)
    };
    let _ = set_dumpable(false);
    result == libc::c_long::from(uid)
}

fn set_fs_gid(gid: libc::gid_t) -> bool {
    // SAFETY: numbers; setfsgid(2) is of the calling thread.
    let result = unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsgid, u32::MAX)
    };
    let _ = set_dumpable(false);
    result == libc::c_long::from(gid)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    fn www_data() -> Identity {
        crate::sys::users::Users::parse("", "").find("33:33").unwrap()
    }

    fn file_ids() -> String {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().filter(|line| line.starts_with(['U', 'G'])).collect::<Vec<_>>().join("\n")
    }

    /// Root alone can be another; who runs the tests otherwise sees the refusal.
    #[test]
    fn files_are_the_users_and_rights_come_back() {
        let root = tempfile::tempdir().unwrap();
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let before = file_ids();
        let result = as_user(Some(&www_data()), || {
            fs::write(root.path().join("file"), "x").unwrap();
            fs::read("/proc/1/environ").is_ok()
        });
        assert_eq!(file_ids(), before);
        if nix::unistd::geteuid().is_root() {
            assert!(!result.unwrap(), "root's rights are gone meanwhile");
            let data = fs::metadata(root.path().join("file")).unwrap();
            assert_eq!((data.uid(), data.gid()), (33, 33));
        } else {
            assert_eq!(result.unwrap_err().raw_os_error(), Some(libc::EPERM));
        }
    }

    #[test]
    fn a_panic_does_not_keep_the_identity() {
        let before = file_ids();
        let _ = std::panic::catch_unwind(|| as_user(Some(&www_data()), || panic!("on purpose")));
        assert_eq!(file_ids(), before);
    }

    #[test]
    fn ones_own_identity_needs_no_right() {
        let (uid, gid) = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let groups = nix::unistd::getgroups().unwrap().into_iter().map(nix::unistd::Gid::as_raw).collect();
        let own = crate::sys::users::Users::default().of_ids(uid, gid, groups);
        assert_eq!(as_user(Some(&own), || 5).unwrap(), 5);
        assert_eq!(as_user(None, || 6).unwrap(), 6);
    }
}
