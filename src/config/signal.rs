//! Signals by name, as users write them: `TERM`, `SIGTERM`, `RTMIN+3`, `15`.

use std::fmt;

/// A Linux signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Signal(i32);

/// Names and numbers of the asm-generic ABI, which x86-64 and arm64 share.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// The first real-time signal a program may use: glibc and musl keep 32 and 33 for their threads.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    pub const HUP: Self = Self(1);
    pub const INT: Self = Self(2);
    pub const QUIT: Self = Self(3);
    pub const KILL: Self = Self(9);
    pub const USR1: Self = Self(10);
    pub const USR2: Self = Self(12);
    pub const TERM: Self = Self(15);
    pub const CHLD: Self = Self(17);
    pub const CONT: Self = Self(18);
    pub const WINCH: Self = Self(28);
    pub const PWR: Self = Self(30);

    /// The signal with this number, if there is one.
    pub fn from_number(number: i32) -> Option<Self> {
        (1..=RTMAX).contains(&number).then_some(Self(number))
    }

    /// Reads `TERM`, `SIGTERM`, `term`, `RTMIN+3`, `RTMAX-1` or a number.
    pub fn parse(text: &str) -> Option<Self> {
        let upper = text.trim().to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Ok(number) = name.parse::<i32>() {
            return Self::from_number(number);
        }
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Some(Self(*number));
        }
        let real_time = match name.split_at_checked(5)? {
            ("RTMIN", "") => RTMIN,
            ("RTMAX", "") => RTMAX,
            ("RTMIN", rest) => RTMIN.checked_add(rest.strip_prefix('+')?.parse::<u8>().ok()?.into())?,
            ("RTMAX", rest) => RTMAX.checked_sub(rest.strip_prefix('-')?.parse::<u8>().ok()?.into())?,
            _ => return None,
        };
        (RTMIN..=RTMAX).contains(&real_time).then_some(Self(real_time))
    }

    /// The number the kernel knows it by.
    pub fn number(self) -> i32 {
        self.0
    }
}

/// The short name (`TERM`, `RTMIN+3`), which [`Signal::parse`] reads back.
impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => f.write_str(name),
            None if self.0 == RTMIN => f.write_str("RTMIN"),
            None if self.0 > RTMIN => write!(f, "RTMIN+{}", self.0.saturating_sub(RTMIN)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SIG{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signal_reads_back_from_its_name() {
        for number in 1..=64 {
            let signal = Signal::from_number(number).unwrap();
            assert_eq!(Signal::parse(&signal.to_string()), Some(signal), "{number}");
        }
    }

    #[test]
    fn users_write_signals_in_many_ways() {
        for text in ["TERM", "SIGTERM", "sigterm", "15", " Term "] {
            assert_eq!(Signal::parse(text), Some(Signal::TERM), "{text:?}");
        }
        assert_eq!(Signal::parse("RTMIN+3").map(Signal::number), Some(37));
        assert_eq!(Signal::parse("RTMAX-1").map(Signal::number), Some(63));
        for text in ["", "0", "65", "TERMS", "RTMIN-1", "RTMIN+31", "RTMAX-99", "SIG", "-9"] {
            assert_eq!(Signal::parse(text), None, "{text:?}");
        }
    }
}
