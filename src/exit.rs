//! Every exit code of `init`, in one table. README's table is checked against [`TABLE`] by a test.
//!
//! Codes 64 to 78 are those of `sysexits.h` with the meaning it gives them; 124 is `timeout(1)`'s, 126 and
//! 127 are the shell's. A one-off's, the migration's, a boot step's or an essential service's own code is passed
//! through as it is, with 128+n for a death by signal n.

/// Stopped when asked, in order; or the migration or one-off succeeded.
pub const OK: u8 = 0;
/// A service ended for good although it said success each time, so there is no code of its own to pass on.
pub const FAILED: u8 = 1;
/// `init status`: something that should run does not. supervisorctl's.
pub const NOT_RUNNING: u8 = 3;
/// The command line is wrong.
pub const USAGE: u8 = 64;
/// A fetched file is invalid: `.env` does not parse, or it is larger than allowed.
pub const DATA: u8 = 65;
/// The source of a file is missing or forbidden.
pub const NO_INPUT: u8 = 66;
/// The source could not be reached before its deadline; the running init could not be reached.
pub const UNAVAILABLE: u8 = 69;
/// A fault in init itself.
pub const SOFTWARE: u8 = 70;
/// The system refused a fork, memory or a descriptor during boot.
pub const OS: u8 = 71;
/// A path that must be written cannot be.
pub const CANT_CREATE: u8 = 73;
/// The migration lock was not obtained before its deadline, or another init supervises this container already.
pub const LOCKED: u8 = 75;
/// A boot step said success but its result is not there.
pub const UNVERIFIED: u8 = 76;
/// The configuration is invalid.
pub const CONFIG: u8 = 78;
/// A boot step or the migration ran out of time.
pub const TIMEOUT: u8 = 124;
/// The program was found but may not be executed.
pub const NOT_EXECUTABLE: u8 = 126;
/// The program was not found.
pub const NOT_FOUND: u8 = 127;

/// The code of a process ended by `signal`: 128+n.
pub fn of_signal(signal: i32) -> u8 {
    u8::try_from(signal.saturating_add(128).clamp(129, 255)).unwrap_or(u8::MAX)
}

/// One row per code: the number as the user sees it, and what it means.
pub const TABLE: &[(&str, &str)] = &[
    (
        "0",
        "stopped when asked, in order (even if something had to be killed: that is logged); migration or one-off succeeded",
    ),
    (
        "1–255",
        "the one-off's, the migration's, the failed boot step's or the essential service's own code; 128+n when signal n ended it; 1 for an essential service that gave up although it exited 0 each time",
    ),
    ("3", "`init status` only: something that should run does not"),
    ("64", "command line wrong"),
    (
        "65",
        "a fetched file is invalid (`.env` does not parse, a required key is missing, larger than `max-size`)",
    ),
    ("66", "the source is missing or forbidden"),
    (
        "69",
        "the source could not be reached before its deadline; for `init status` and the like: no running init answers",
    ),
    ("70", "a fault in init itself"),
    ("71", "the system refused (fork, memory, descriptors) during boot"),
    ("73", "a path that must be written cannot be"),
    (
        "75",
        "the migration lock was not obtained before its deadline, or another init supervises this container already",
    ),
    ("76", "a boot step said success but its result is not there (`optimize` printed FAIL or left no cache)"),
    ("78", "configuration invalid"),
    ("124", "a boot step or the migration ran out of time"),
    ("126", "a program was found but may not be executed"),
    ("127", "a program was not found"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_128_plus_n_and_never_wraps() {
        assert_eq!(of_signal(15), 143);
        assert_eq!(of_signal(9), 137);
        assert_eq!(of_signal(64), 192);
        assert_eq!(of_signal(i32::MAX), 255);
        assert_eq!(of_signal(-5), 129);
    }
}
