//! Whom the kernel ends first for want of memory: init's children, and not init.
//!
//! The kernel ends the largest process, and counts a program's mapped file as well: beside many small ones init is the
//! largest, and with it the whole container ends. init cannot put itself last, which needs CAP_SYS_RESOURCE; but anybody may
//! put a process first, and take that back: proc_pid_oom_score_adj(5).
//!
//! Done by init once the child has executed its program: before, the two share their memory, and the kernel would give init
//! the child's score (fs/proc/base.c, `__set_oom_adj`).

use super::Pid;
use super::files::as_user;
use super::proc;
use super::users::Identity;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt as _;

/// How much sooner than init itself, in thousandths of all memory.
const SOONER: i32 = 100;

/// The children's oom_score_adj.
#[derive(Debug)]
pub struct OomScore(String);

impl OomScore {
    /// `None`: there is no /proc to read init's own from.
    pub fn of_children() -> Option<Self> {
        let own = fs::read_to_string("/proc/self/oom_score_adj").ok()?;
        Some(Self(sooner(own.trim().parse().ok()?)))
    }

    /// Gives it to a child, and so to what that starts from now on, and to what it has started already. What cannot be
    /// written is no reason not to run.
    pub fn give(&self, child: Pid) {
        self.put(child);
        for early in proc::children(child) {
            self.give(early);
        }
    }

    fn put(&self, child: Pid) {
        let file = format!("/proc/{child}/oom_score_adj");
        // Root without DAC_OVERRIDE may not write what is another user's, but that user may.
        if fs::write(&file, &self.0).is_err_and(|error| error.kind() == io::ErrorKind::PermissionDenied)
            && let Ok(data) = fs::metadata(&file)
        {
            let (uid, gid) = (data.uid(), data.gid());
            let owner = Identity { uid, gid, groups: vec![gid], name: None, home: None, shell: None };
            let _ = as_user(Some(&owner), || fs::write(&file, &self.0));
        }
    }
}

fn sooner(own: i32) -> String {
    own.saturating_add(SOONER).min(1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::sooner;

    #[test]
    fn children_go_first_as_far_as_there_is_room() {
        assert_eq!([0, -998, 950, 1000].map(sooner), ["100", "-898", "1000", "1000"]);
    }
}
