//! The OOM score of init's children: proc_pid_oom_score_adj(5).
//!
//! The kernel's OOM killer ends the largest process, and counts a program's mapped file as well: beside many small processes
//! init is the largest, and with it the whole container ends. init cannot lower its own score, which needs CAP_SYS_RESOURCE;
//! but every process may raise its own, so each child does between fork and exec ([`super::spawn`]), and what it starts inherits it.
//!
//! Without root a child cannot: its /proc files belong to root as long as it is not dumpable, and it must not be while it has a
//! copy of init's memory.

use super::kernel;
use std::ffi::CString;

/// How much sooner than init itself, in thousandths of all memory.
const SOONER: i32 = 100;

/// The children's oom_score_adj. `None`: there is no /proc to read init's own from.
pub(super) fn score_of_children() -> Option<CString> {
    let own = kernel::read("/proc/self/oom_score_adj").ok()?;
    CString::new(sooner(own.trim().parse().ok()?)).ok()
}

fn sooner(own: i32) -> String {
    own.saturating_add(SOONER).min(1000).to_string()
}

#[cfg(test)]
mod tests {
    use super::sooner;

    #[test]
    fn children_are_killed_before_init_as_far_as_the_scale_allows() {
        assert_eq!([0, -998, 950, 1000].map(sooner), ["100", "-898", "1000", "1000"]);
    }
}
