//! PURE: which lines of a queue worker begin and end a job.
//!
//! Laravel's workers write a line when a job begins and another when it ends, in one of three manners (Illuminate
//! Queue/Console/WorkCommand.php). Colours may be around any part of them.
//!
//! | since | begins | ends |
//! |---|---|---|
//! | 5 | `[2026-11-22 02:00:00][7] Processing: App\Jobs\A` | `… Processed:  App\Jobs\A`, `… Failed:     App\Jobs\A` |
//! | 9.21 | `  2026-11-22 02:00:00 App\Jobs\A ........ RUNNING` | `  2026-… App\Jobs\A .... 3s DONE`, `… FAIL` |
//! | 10, with `--json` | `{…,"job":"App\\Jobs\\A","status":"starting",…}` | `"status"` is anything else |
//!
//! Old workers say nothing when a job failed and is put back; the next job's begin ends it then.

use crate::supervisor::Mono;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// The longest line that is looked at.
const MOST_LINE: usize = 8 * 1024;
/// Horizon's jobs that are known at a time.
const MOST_JOBS: usize = 1024;

/// The jobs that one process, or Horizon's many, are at.
#[derive(Debug)]
pub struct Jobs {
    /// A worker has one job at a time; Horizon has many workers behind one pipe.
    many: bool,
    line: Vec<u8>,
    /// The line is too long, and its rest is not looked at.
    skipping: bool,
    /// When each began, the oldest first. Without numbers in the lines several workers are at a job of the same name.
    running: BTreeMap<String, VecDeque<Mono>>,
}

impl Jobs {
    /// Of a process that was started as `command`.
    pub fn new(command: &[String]) -> Self {
        Self {
            many: command.iter().any(|word| word == "horizon"),
            line: Vec::new(),
            skipping: false,
            running: BTreeMap::new(),
        }
    }

    /// Takes what the process wrote, in pieces of any size. True when a job began or ended.
    pub fn feed(&mut self, bytes: &[u8], now: Mono) -> bool {
        let mut changed = false;
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (content, whole) =
                piece.strip_suffix(b"\n").map_or((piece, false), |content| (content, true));
            if self.line.len().saturating_add(content.len()) > MOST_LINE {
                self.skipping = true;
                self.line = Vec::new();
            }
            if !self.skipping {
                self.line.extend_from_slice(content);
            }
            if whole {
                let line = std::mem::take(&mut self.line);
                changed |= !std::mem::take(&mut self.skipping) && self.take(&line, now);
            }
        }
        changed
    }

    fn take(&mut self, line: &[u8], now: Mono) -> bool {
        match read(line) {
            None => return false,
            Some(Said::Begins(job)) => {
                if !self.many {
                    self.running.clear();
                }
                if self.running.values().map(VecDeque::len).sum::<usize>() < MOST_JOBS {
                    self.running.entry(job).or_default().push_back(now);
                }
            }
            // Which of them has ended is not told; the later ones may last the longest from now on.
            Some(Said::Ends(job)) if self.many => {
                if let Some(same) = self.running.get_mut(&job) {
                    same.pop_front();
                }
                self.running.retain(|_, same| !same.is_empty());
            }
            Some(Said::Ends(_)) => self.running.clear(),
        }
        true
    }

    /// When the oldest job began that has not lasted for `most` yet.
    pub fn since(&self, now: Mono, most: Duration) -> Option<Mono> {
        self.running.values().flatten().copied().filter(|began| now.since(*began) < most).min()
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Said {
    Begins(String),
    Ends(String),
}

fn read(line: &[u8]) -> Option<Said> {
    // Most lines of an application are none of these, and are not to cost anything.
    let first = line.iter().find(|byte| !byte.is_ascii_whitespace())?;
    if !matches!(first, b'[' | b'{' | b'\x1b' | b'0'..=b'9') {
        return None;
    }
    let text = plain(&String::from_utf8_lossy(line));
    let text = text.trim();
    if text.starts_with('{') {
        return read_json(text);
    }
    match text.strip_prefix('[') {
        Some(rest) => read_old(rest),
        None => read_new(text),
    }
}

/// Without colours: ESC, `[`, digits and semicolons, a letter.
fn plain(text: &str) -> String {
    let mut parts = text.split('\x1b');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.strip_prefix('[').and_then(|part| {
            let end = part.find(|char: char| char.is_ascii_alphabetic())?;
            part.get(end.saturating_add(1)..)
        });
        out.push_str(rest.unwrap_or(part));
    }
    out
}

/// `2026-11-22 02:00:00`, and what follows.
fn after_time(text: &str) -> Option<&str> {
    let (time, rest) = text.split_at_checked(19)?;
    let fits = time.bytes().zip(b"0000-00-00 00:00:00").all(|(found, pattern)| match pattern {
        b'0' => found.is_ascii_digit(),
        other => found == *other,
    });
    fits.then_some(rest)
}

fn read_old(text: &str) -> Option<Said> {
    let (id, rest) = after_time(text)?.strip_prefix("][")?.split_once("] ")?;
    let (status, name) = rest.split_once(':')?;
    let job = format!("{} {id}", name.trim());
    match status {
        "Processing" => Some(Said::Begins(job)),
        "Processed" | "Failed" => Some(Said::Ends(job)),
        _ => None,
    }
}

fn read_new(text: &str) -> Option<Said> {
    let (rest, status) = after_time(text)?.strip_prefix(' ')?.rsplit_once(' ')?;
    match status {
        "RUNNING" => Some(Said::Begins(job(rest, false))),
        "DONE" | "FAIL" => Some(Said::Ends(job(rest, true))),
        _ => None,
    }
}

/// `App\Jobs\A 17` of `App\Jobs\A 17 ....... 1m 3s`. A name as wide as the terminal leaves no dots before the time.
fn job(text: &str, timed: bool) -> String {
    let dots = text.find(" ..");
    let name = dots.and_then(|at| text.get(..at)).unwrap_or(text);
    let mut words: Vec<&str> = name.split_whitespace().collect();
    while timed && dots.is_none() && words.len() > 1 && words.last().is_some_and(|word| is_time(word)) {
        words.pop();
    }
    words.join(" ")
}

/// `3s`, `19.74ms`, `1m`.
fn is_time(word: &str) -> bool {
    let unit = word.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    unit.len() < word.len() && matches!(unit, "ms" | "s" | "m" | "h")
}

fn read_json(text: &str) -> Option<Said> {
    #[derive(Deserialize)]
    struct Line {
        // A number with some drivers, a text with others.
        id: Option<serde_json::Value>,
        connection: String,
        job: String,
        status: String,
    }
    if !text.contains("\"status\"") {
        return None;
    }
    let line: Line = serde_json::from_str(text).ok()?;
    let id = line.id.unwrap_or_default();
    let job = format!("{} {} {id}", line.connection, line.job);
    match line.status.as_str() {
        "starting" => Some(Said::Begins(job)),
        _ => Some(Said::Ends(job)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T: &str = "2026-11-22 02:00:00";

    fn begins(job: &str) -> Option<Said> {
        Some(Said::Begins(job.into()))
    }

    fn ends(job: &str) -> Option<Said> {
        Some(Said::Ends(job.into()))
    }

    #[test]
    fn all_manners_of_laravel_are_read() {
        let dots = ".".repeat(40);
        for (line, said) in [
            (format!("[{T}][17] Processing: App\\Jobs\\A"), begins("App\\Jobs\\A 17")),
            (format!("[{T}][17] Processed:  App\\Jobs\\A"), ends("App\\Jobs\\A 17")),
            (format!("[{T}][17] Failed:     App\\Jobs\\A"), ends("App\\Jobs\\A 17")),
            (format!("\x1b[33m[{T}][x-y] Processing:\x1b[39m App\\Jobs\\A"), begins("App\\Jobs\\A x-y")),
            (format!("  {T} App\\Jobs\\A {dots} RUNNING"), begins("App\\Jobs\\A")),
            (format!("  {T} App\\Jobs\\A {dots} 1m 3.5s DONE"), ends("App\\Jobs\\A")),
            (format!("  {T} App\\Jobs\\A 17 redis default {dots} 19.74ms FAIL"), ends("App\\Jobs\\A 17 redis default")),
            (
                format!("  \x1b[90m{T}\x1b[39m A \x1b[90m.\x1b[39m\x1b[90m.\x1b[39m \x1b[33;1mRUNNING\x1b[39;22m\r"),
                begins("A"),
            ),
            // Wider than the terminal.
            (format!("  {T} App\\Jobs\\Long  RUNNING"), begins("App\\Jobs\\Long")),
            (format!("  {T} App\\Jobs\\Long  3s DONE"), ends("App\\Jobs\\Long")),
            (format!("  {T} App\\Jobs\\Long  1m 3s DONE"), ends("App\\Jobs\\Long")),
            (
                r#"{"level":"info","id":7,"connection":"db","queue":"q","job":"A","status":"starting"}"#.into(),
                begins("db A 7"),
            ),
            (
                r#"{"level":"warning","id":7,"connection":"db","job":"A","status":"released_after_exception"}"#.into(),
                ends("db A 7"),
            ),
        ] {
            assert_eq!(read(line.as_bytes()), said, "{line}");
        }
    }

    #[test]
    fn lines_of_the_application_are_none_of_its_jobs() {
        for line in [
            "",
            "   ",
            "RUNNING",
            "the import is RUNNING",
            "[2026-11-22 02:00:00] production.ERROR: Processing: x",
            "[2026-11-22 02:00:00][17] Restarting: App\\Jobs\\A",
            "2026-11-22 02:00:00 RUNNING",
            "  2026-11-22 02:00:00 INFO  Processing jobs from the [default] queue.",
            r#"{"status":"starting"}"#,
            r#"{"status":"#,
            "\x1b[",
            "\x1b",
        ] {
            assert_eq!(read(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(read(b"\xff\xfe[2026"), None);
    }

    fn at(seconds: u64) -> Mono {
        Mono::new(Duration::from_secs(seconds))
    }

    const MOST: Duration = Duration::from_secs(100);

    #[test]
    fn a_worker_has_one_job_in_whatever_pieces_it_is_told() {
        let mut jobs = Jobs::new(&["php".into(), "artisan".into(), "queue:work".into()]);
        let line = format!("  {T} A ..... RUNNING\n");
        for (index, byte) in line.bytes().enumerate() {
            assert_eq!(jobs.feed(&[byte], at(1)), index + 1 == line.len());
        }
        assert_eq!(jobs.since(at(2), MOST), Some(at(1)));
        // It failed and was put back, of which an old worker says nothing.
        jobs.feed(format!("  {T} B ..... RUNNING\n").as_bytes(), at(9));
        assert_eq!(jobs.since(at(9), MOST), Some(at(9)));
        assert_eq!(jobs.since(at(109), MOST), None, "it has lasted too long to count");
        jobs.feed(format!("x\n  {T} B ..... 3s DONE\ny").as_bytes(), at(10));
        assert_eq!(jobs.since(at(10), MOST), None);
    }

    #[test]
    fn horizon_has_many_and_the_oldest_counts() {
        let mut jobs = Jobs::new(&["php".into(), "artisan".into(), "horizon".into()]);
        jobs.feed(format!("[{T}][1] Processing: A\n[{T}][2] Processing: A\n").as_bytes(), at(1));
        jobs.feed(format!("[{T}][3] Processing: A\n").as_bytes(), at(5));
        jobs.feed(format!("[{T}][1] Processed:  A\n[{T}][2] Failed:     A\n").as_bytes(), at(6));
        assert_eq!(jobs.since(at(7), MOST), Some(at(5)));
        jobs.feed(format!("[{T}][3] Processed:  A\n").as_bytes(), at(8));
        assert_eq!(jobs.since(at(8), MOST), None);
    }

    /// Laravel 9.21 and later write no number of the job.
    #[test]
    fn jobs_of_the_same_name_are_counted() {
        let mut jobs = Jobs::new(&["php".into(), "artisan".into(), "horizon".into()]);
        let line = |status: &str| format!("  {T} App\\Jobs\\A ..... {status}\n");
        jobs.feed(line("RUNNING").as_bytes(), at(1));
        jobs.feed(line("RUNNING").as_bytes(), at(5));
        jobs.feed(line("3s DONE").as_bytes(), at(6));
        assert_eq!(jobs.since(at(7), MOST), Some(at(5)), "the other worker's goes on");
        jobs.feed(line("3s FAIL").as_bytes(), at(8));
        assert_eq!(jobs.since(at(8), MOST), None);
        // An end without a beginning, which was before init listened.
        jobs.feed(line("3s DONE").as_bytes(), at(9));
        assert_eq!(jobs.since(at(9), MOST), None);
        for _ in 0..2 * MOST_JOBS {
            jobs.feed(line("RUNNING").as_bytes(), at(10));
        }
        assert_eq!(jobs.running.values().map(VecDeque::len).sum::<usize>(), MOST_JOBS);
    }

    #[test]
    fn a_line_without_an_end_takes_no_memory() {
        let mut jobs = Jobs::new(&[]);
        for _ in 0..1000 {
            jobs.feed(&[b'['; 1000], at(1));
        }
        assert!(jobs.line.capacity() <= 2 * MOST_LINE);
        jobs.feed(format!("[{T}][1] Processing: A\n").as_bytes(), at(1));
        assert_eq!(jobs.since(at(1), MOST), None, "the rest of a long line is no line");
        jobs.feed(format!("[{T}][1] Processing: A\n").as_bytes(), at(1));
        assert!(jobs.since(at(1), MOST).is_some());
    }
}
