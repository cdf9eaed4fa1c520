//! Which of root's powers init really has.
//!
//! `docker run --cap-drop ALL` leaves a root that may neither become another user nor signal one. Without this the
//! first is noticed in the middle of a boot, the second only when a stop reaches nobody.

use super::kernel;

/// What starting and stopping processes of other users takes, with the bits of linux/capability.h.
/// CHOWN is not among them: without it less works, but something does.
const NEEDED: [(u32, &str); 3] = [(5, "KILL"), (6, "SETGID"), (7, "SETUID")];

/// The capabilities that root needs to run processes as other users, and does not have. None for any other user, and
/// where /proc does not tell.
pub fn missing() -> Vec<&'static str> {
    if !nix::unistd::geteuid().is_root() {
        return Vec::new();
    }
    let status = kernel::read("/proc/self/status").unwrap_or_default();
    lacking(&status)
}

fn lacking(status: &str) -> Vec<&'static str> {
    let hexadecimal = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = hexadecimal.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()) else {
        return Vec::new();
    };
    NEEDED.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_named() {
        // As of `docker run`, of `--cap-drop ALL`, of `--cap-drop KILL`, and no /proc.
        assert!(lacking("Name:\tinit\nCapEff:\t00000000a80425fb\n").is_empty());
        assert_eq!(lacking("CapEff:\t0000000000000000\n"), ["KILL", "SETGID", "SETUID"]);
        assert_eq!(lacking("CapInh:\t0000000000000000\nCapEff:\t00000000a80425db\n"), ["KILL"]);
        assert!(lacking("").is_empty() && lacking("CapEff:\tx\n").is_empty());
    }
}
