//! Durations as people say them: `12ms`, `1.2s`, `42s`, `3m05s`, `2h04m`, `3d02h`. And how many: `1 line`, `2 lines`.

use std::fmt;
use std::time::Duration;

/// Shows a duration with two units at most, cut off rather than rounded, so a deadline is never told as passed early.
#[derive(Clone, Copy, Debug)]
pub struct Words(pub Duration);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
        match seconds {
            0 => write!(f, "{}ms", self.0.subsec_millis()),
            1..=9 if self.0.subsec_millis() >= 100 => {
                write!(f, "{seconds}.{}s", self.0.subsec_millis() / 100)
            }
            1..=59 => write!(f, "{seconds}s"),
            60..=3599 => two(f, (minutes, "m"), (seconds % 60, "s")),
            3600..=86_399 => two(f, (hours, "h"), (minutes % 60, "m")),
            _ => two(f, (days, "d"), (hours % 24, "h")),
        }
    }
}

/// `1 process`, `3 processes`.
pub fn counted(count: impl TryInto<u64>, one: &str, many: &str) -> String {
    let count = count.try_into().unwrap_or(u64::MAX);
    format!("{count} {}", if count == 1 { one } else { many })
}

fn two(f: &mut fmt::Formatter<'_>, large: (u64, &str), small: (u64, &str)) -> fmt::Result {
    match small.0 {
        0 => write!(f, "{}{}", large.0, large.1),
        _ => write!(f, "{}{}{:02}{}", large.0, large.1, small.0, small.1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_one() {
        assert_eq!(counted(1_u32, "process", "processes"), "1 process");
        assert_eq!(counted(0_usize, "line", "lines"), "0 lines");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        for (millis, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_000, "1s"),
            (1_250, "1.2s"),
            (9_999, "9.9s"),
            (42_700, "42s"),
            (60_000, "1m"),
            (185_000, "3m05s"),
            (3_600_000, "1h"),
            (7_440_000, "2h04m"),
            (266_400_000, "3d02h"),
        ] {
            assert_eq!(Words(Duration::from_millis(millis)).to_string(), text);
        }
    }
}
