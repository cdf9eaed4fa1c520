//! Durations, sizes, permission bits and signals.

use super::Text;
use crate::config::plan::Signal;
use crate::config::suggest;
use std::time::Duration;

/// A duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dur(pub Duration);

/// Units of durations with their length in milliseconds, longest first.
const TIME_UNITS: &[(&str, u64)] =
    &[("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
/// Far beyond any use, and far from any overflow.
const LONGEST: u64 = 3650 * 86_400_000;

impl Text for Dur {
    const EXPECTED: &'static str = "a duration such as \"500ms\", \"25s\", \"5m\" or \"1h30m\"";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no duration: write \"500ms\", \"25s\", \"5m\" or \"1h30m\"");
        let mut rest = text.trim();
        if !rest.is_empty() && rest.chars().all(|c| c.is_ascii_digit()) {
            return Err(format!("\"{text}\" is no duration: add the unit, \"{rest}s\" or \"{rest}ms\""));
        }
        if rest.is_empty() {
            return Err(wrong());
        }
        let mut total: u64 = 0;
        let mut units = TIME_UNITS.iter();
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
            let (number, tail) = rest.split_at(digits);
            let number: u64 = number.parse().map_err(|_| wrong())?;
            let unit = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
            let (unit, tail) = tail.split_at(unit);
            let (_, length) = units.find(|(name, _)| *name == unit).ok_or_else(wrong)?;
            total = total.saturating_add(number.saturating_mul(*length));
            rest = tail;
        }
        if total > LONGEST {
            return Err(format!("\"{text}\" is longer than ten years"));
        }
        Ok(Self(Duration::from_millis(total)))
    }

    fn read_integer(number: i64) -> Option<Result<Self, String>> {
        Some(Err(format!("{number} is no duration: add the unit, \"{number}s\" or \"{number}ms\"")))
    }
}

/// `1h30m`, `25s`, `500ms`; reads back as the same duration, of which less than a millisecond is dropped.
pub fn show_duration(duration: Duration) -> String {
    let mut rest = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    for (unit, length) in TIME_UNITS {
        let count = rest.checked_div(*length).unwrap_or(0);
        if count > 0 {
            out.push_str(&format!("{count}{unit}"));
            rest = rest.saturating_sub(count.saturating_mul(*length));
        }
    }
    out
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

const SIZE_UNITS: &[(&str, u64)] = &[("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

impl Text for Size {
    const EXPECTED: &'static str = "a size such as \"64KiB\" or \"1MiB\"";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" is no size: write \"512B\", \"64KiB\", \"1MiB\" or \"2GiB\"");
        let trimmed = text.trim();
        let digits = trimmed.find(|c: char| !c.is_ascii_digit()).unwrap_or(trimmed.len());
        let (number, unit) = trimmed.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = unit.trim();
        let (_, factor) = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit) || (unit.is_empty() && *name == "B"))
            .ok_or_else(wrong)?;
        number.checked_mul(*factor).map(Self).ok_or_else(wrong)
    }

    fn read_integer(number: i64) -> Option<Result<Self, String>> {
        Some(u64::try_from(number).map(Self).map_err(|_| format!("{number} is no size: it is below zero")))
    }
}

/// `64KiB`, `1MiB`, `1000B`; reads back as the same number.
pub fn show_size(bytes: u64) -> String {
    let fits = |length: u64| bytes > 0 && bytes.checked_rem(length) == Some(0);
    let (unit, length) = SIZE_UNITS.iter().find(|(_, length)| fits(*length)).copied().unwrap_or(("B", 1));
    format!("{}{unit}", bytes.checked_div(length).unwrap_or(0))
}

/// Permission bits, in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mode(pub u32);

impl Text for Mode {
    const EXPECTED: &'static str = "permission bits in octal and in quotes, such as \"0440\"";

    fn read(text: &str) -> Result<Self, String> {
        let digits = text.trim();
        let digits = digits.strip_prefix("0o").unwrap_or(digits);
        match u32::from_str_radix(digits, 8) {
            Ok(bits) if bits <= 0o777 && !digits.starts_with('+') => Ok(Self(bits)),
            _ => Err(format!(
                "\"{text}\" is not permission bits: write them in octal, such as \"0440\" or \"0027\""
            )),
        }
    }

    fn read_integer(_: i64) -> Option<Result<Self, String>> {
        Some(Err("permission bits are written in octal and in quotes, such as \"0440\" or \"0027\"".into()))
    }
}

/// `0440`.
pub fn show_mode(bits: u32) -> String {
    format!("{bits:04o}")
}

/// A signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sig(pub Signal);

/// What is suggested for a signal that does not exist.
const COMMON_SIGNALS: &[&str] =
    &["TERM", "QUIT", "INT", "HUP", "USR1", "USR2", "WINCH", "KILL", "CONT", "STOP", "ALRM", "PWR"];

impl Text for Sig {
    const EXPECTED: &'static str = "a signal such as \"TERM\" or \"RTMIN+3\"";

    fn read(text: &str) -> Result<Self, String> {
        let name = text.trim().to_ascii_uppercase();
        let name = name.strip_prefix("SIG").unwrap_or(&name);
        Signal::parse(text).map(Self).ok_or_else(|| {
            format!("\"{text}\" is no signal: {}", suggest::hint(name, COMMON_SIGNALS, "usual ones"))
        })
    }

    fn read_integer(number: i64) -> Option<Result<Self, String>> {
        let signal = i32::try_from(number).ok().and_then(Signal::from_number);
        Some(signal.map(Self).ok_or_else(|| format!("{number} is no signal: they are 1 to 64")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back() {
        for text in ["0s", "500ms", "25s", "5m", "1h", "1h30m", "1d2h3m4s5ms"] {
            let Dur(duration) = Dur::read(text).unwrap();
            assert_eq!(show_duration(duration), text);
        }
        assert_eq!(Dur::read("90s").unwrap().0, Duration::from_secs(90));
        for text in ["", "s", "5", "5 s", "1.5s", "5x", "1s1h", "-5s", "99999999999999999999s", "9999d"] {
            assert!(Dur::read(text).is_err(), "{text:?}");
        }
        assert!(Dur::read("25").unwrap_err().contains("\"25s\""));
    }

    #[test]
    fn sizes_read_back() {
        for (text, bytes) in
            [("0B", 0), ("1000B", 1000), ("64KiB", 65536), ("1MiB", 1 << 20), ("3GiB", 3 << 30)]
        {
            assert_eq!(Size::read(text), Ok(Size(bytes)), "{text}");
            assert_eq!(show_size(bytes), text);
        }
        assert_eq!(Size::read("1 mib"), Ok(Size(1 << 20)));
        for text in ["", "MiB", "1MB", "1.5MiB", "99999999999GiB", "-1B"] {
            assert!(Size::read(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn modes_are_octal() {
        assert_eq!(Mode::read("0440"), Ok(Mode(0o440)));
        assert_eq!(Mode::read("0o27"), Ok(Mode(0o027)));
        for text in ["", "9", "1777", "rw", "-1", "+7"] {
            assert!(Mode::read(text).is_err(), "{text:?}");
        }
        assert_eq!(show_mode(0o27), "0027");
    }
}
