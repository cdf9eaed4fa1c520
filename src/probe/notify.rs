//! What a service tells of itself: the grammar of sd_notify(3).
//!
//! Lines of `NAME=value` in one datagram. What init has no use for (descriptors to keep, a longer start) is passed over, as
//! the protocol wants it.

/// The longest datagram that is read; systemd's own bound.
pub const LONGEST: usize = 4096;

/// So much of a status is kept, in characters.
const MOST_STATUS: usize = 200;

/// One line that means something here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Told {
    /// `READY=1`: also when a reload is over.
    Ready,
    /// `RELOADING=1`.
    Reloading,
    /// `STOPPING=1`.
    Stopping,
    /// `WATCHDOG=1`.
    Watchdog,
    /// `WATCHDOG=trigger`: it asks for what follows a missed one.
    Trigger,
    /// `STATUS=`, for people. Empty: there is nothing to say any more.
    Status(String),
    /// `MAINPID=`.
    MainPid,
}

/// The lines of a datagram that mean something.
pub fn parse(datagram: &[u8]) -> Vec<Told> {
    datagram.split(|byte| *byte == b'\n').filter_map(line).collect()
}

fn line(line: &[u8]) -> Option<Told> {
    let at = memchr::memchr(b'=', line)?;
    let (name, value) = (line.get(..at)?, line.get(at.checked_add(1)?..)?);
    match (name, value) {
        (b"READY", b"1") => Some(Told::Ready),
        (b"RELOADING", b"1") => Some(Told::Reloading),
        (b"STOPPING", b"1") => Some(Told::Stopping),
        (b"WATCHDOG", b"1") => Some(Told::Watchdog),
        (b"WATCHDOG", b"trigger") => Some(Told::Trigger),
        (b"STATUS", text) => Some(Told::Status(clean(text, MOST_STATUS))),
        (b"MAINPID", _) => Some(Told::MainPid),
        _ => None,
    }
}

/// Text of others as a part of one line: no control characters, so no escape sequences, and a bound.
pub fn clean(text: &[u8], most: usize) -> String {
    let text = String::from_utf8_lossy(text);
    let shown: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    shown.trim().chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_systemd_reads_them() {
        assert_eq!(
            parse(b"READY=1\nSTATUS=Processes active: 0\nWATCHDOG=1\nMAINPID=7\nFDSTORE=1"),
            [Told::Ready, Told::Status("Processes active: 0".into()), Told::Watchdog, Told::MainPid]
        );
        assert_eq!(
            parse(b"RELOADING=1\nSTOPPING=1\nWATCHDOG=trigger\n"),
            [Told::Reloading, Told::Stopping, Told::Trigger]
        );
        for nothing in [&b""[..], b"READY", b"READY=0", b"READY=1 ", b"ready=1", b"\n\n", b"=1", b"\xff\xfe"]
        {
            assert_eq!(parse(nothing), [], "{}", nothing.escape_ascii());
        }
    }

    #[test]
    fn a_status_is_one_short_line_without_escape_sequences() {
        assert_eq!(parse(b"STATUS=\x1b[31mred\x07\ttab"), [Told::Status("[31mred  tab".into())]);
        let long = [&b"STATUS="[..], &b"x".repeat(LONGEST)].concat();
        assert_eq!(parse(&long), [Told::Status("x".repeat(MOST_STATUS))]);
        assert_eq!(parse(b"STATUS="), [Told::Status(String::new())]);
    }
}
