//! init's own memory, descriptors and time, from /proc/self: proc(5).

use crate::runtime::journal;
use crate::sys::kernel;

/// What is read there. Missing where there is no /proc.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Own {
    /// Milliseconds since 1970.
    pub now_ms: i64,
    pub resident_bytes: Option<u64>,
    pub open_files: Option<u64>,
    pub cpu_seconds: Option<f64>,
}

/// The clock ticks of a second in /proc: USER_HZ of time(7), 100 on every architecture that Linux has today.
const TICKS: f64 = 100.0;

/// Reads it.
pub fn read() -> Own {
    let status = kernel::read("/proc/self/status").unwrap_or_default();
    let stat = kernel::read("/proc/self/stat").unwrap_or_default();
    Own {
        now_ms: journal::unix_ms(),
        resident_bytes: resident(&status),
        // The listing itself takes one.
        open_files: kernel::list("/proc/self/fd")
            .ok()
            .and_then(|files| u64::try_from(files.len()).ok()?.checked_sub(1)),
        cpu_seconds: cpu(&stat),
    }
}

/// `VmRSS:     2048 kB`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// utime and stime, fields 14 and 15; the second, the program's name, may hold anything in its brackets.
fn cpu(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<f64>().ok();
    Some((ticks()? + ticks()?) / TICKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_all_of_it() {
        let own = read();
        assert!(own.resident_bytes.is_some_and(|bytes| bytes > 100_000), "{own:?}");
        assert!(own.open_files.is_some_and(|files| files >= 3), "{own:?}");
        assert!(own.cpu_seconds.is_some() && own.now_ms > 1_700_000_000_000, "{own:?}");
    }

    #[test]
    fn a_programs_name_does_not_move_the_fields() {
        let stat = "1 (a) b) S 0 1 1 0 -1 4194560 1 2 3 4 150 50 7 8 20 0 1 0 100";
        assert_eq!(cpu(stat), Some(2.0));
    }
}
