//! `init cron 'EXPR'`: when would this run? Prints the next runs, or what is wrong with the expression.

use crate::exit;
use crate::schedule::{Schedule, ScheduleError};
use jiff::{Timestamp, civil};
use lexopt::{Arg, Parser, ValueExt};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};

const HELP: &str = "\
Usage: init cron 'EXPRESSION' [-n COUNT] [--tz ZONE] [--from TIME]

Prints the next runs of a cron expression, one RFC 3339 instant a line.

The expression has five fields, as in a crontab (minute, hour, day of month,
month, day of week), or six with seconds in front, or is one of @hourly,
@daily, @midnight, @weekly, @monthly, @yearly and @annually. Quote it.

Options:
  -n, --count COUNT  how many runs (10); fewer when there are no more
  --tz ZONE          time zone whose clocks it follows, such as Europe/Paris
                     (UTC)
  --from TIME        print runs later than this, RFC 3339 (now); without an
                     offset it is local time of the zone
  -h, --help         print this help

Exits 64 when the expression or the zone is wrong, and shows where.

Example:
  $ init cron '30 1 * * sun' -n 2 --tz Europe/London --from 2026-03-22T12:00:00Z
  2026-03-29T02:00:00+01:00
  2026-04-05T01:30:00+01:00
";

/// Why nothing was printed.
#[derive(Debug)]
enum CronError {
    /// The command line is wrong.
    Usage(String),
    /// The expression or the zone is.
    Schedule(ScheduleError),
    /// The output could not be written.
    Write(io::Error),
}

impl fmt::Display for CronError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => write!(f, "cannot read the command line: {text}; see init cron --help"),
            Self::Schedule(error) => write!(f, "{error}"),
            Self::Write(error) => write!(f, "cannot write the result: {error}"),
        }
    }
}

impl From<lexopt::Error> for CronError {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<ScheduleError> for CronError {
    fn from(error: ScheduleError) -> Self {
        Self::Schedule(error)
    }
}

impl From<io::Error> for CronError {
    fn from(error: io::Error) -> Self {
        Self::Write(error)
    }
}

/// What the user asked for.
enum Request {
    Help,
    Runs { schedule: Schedule, count: u32, from: Timestamp },
}

/// Runs `init cron` with the arguments after that word. Results go to `out`, errors to `err`; `now` is where it
/// starts without `--from`. Returns the exit code: 64 for a bad command line, expression or zone.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    out: &mut dyn Write,
    err: &mut dyn Write,
    now: Timestamp,
) -> u8 {
    match read(args, now).and_then(|request| Ok(print(&request, out)?)) {
        Ok(()) => exit::OK,
        // `init cron … | head -1`: the reader has what it wanted.
        Err(CronError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => {
            let mut text = format!("init: {error}\n");
            if let CronError::Schedule(error) = &error
                && let Some(caret) = error.caret()
            {
                text.push_str(&caret);
                text.push('\n');
            }
            // Where errors cannot be written, the exit code has to do.
            let _unwritable = err.write_all(text.as_bytes());
            if matches!(error, CronError::Write(_)) { exit::OS } else { exit::USAGE }
        }
    }
}

fn read(args: impl IntoIterator<Item = OsString>, now: Timestamp) -> Result<Request, CronError> {
    let mut expression: Option<String> = None;
    let mut zone: Option<String> = None;
    let mut from: Option<String> = None;
    let mut count = 10;
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(Request::Help),
            Arg::Short('n') | Arg::Long("count") => count = parser.value()?.parse()?,
            Arg::Long("tz") => zone = Some(parser.value()?.string()?),
            Arg::Long("from") => from = Some(parser.value()?.string()?),
            Arg::Value(value) if expression.is_none() => expression = Some(value.string()?),
            Arg::Value(_) => {
                return Err(CronError::Usage(
                    "there is more than one expression: put quotes around it, or the shell splits it and expands *"
                        .to_owned(),
                ));
            }
            other => return Err(other.unexpected().into()),
        }
    }
    let expression = expression
        .ok_or_else(|| CronError::Usage("the expression is missing, such as '*/5 * * * *'".to_owned()))?;
    let schedule = Schedule::parse(&expression, zone.as_deref())?;
    let from = from.map_or(Ok(now), |text| instant(&text, &schedule))?;
    Ok(Request::Runs { schedule, count, from })
}

/// An instant, or a local time of the schedule's zone.
fn instant(text: &str, schedule: &Schedule) -> Result<Timestamp, CronError> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant);
    }
    text.parse::<civil::DateTime>()
        .ok()
        .and_then(|local| schedule.zone().to_timestamp(local).ok())
        .ok_or_else(|| {
            CronError::Usage(format!(
                "--from {text:?} is not an RFC 3339 instant such as 2026-03-29T00:00:00Z"
            ))
        })
}

fn print(request: &Request, out: &mut dyn Write) -> io::Result<()> {
    match request {
        Request::Help => out.write_all(HELP.as_bytes())?,
        Request::Runs { schedule, count, from } => {
            let mut at = *from;
            for _ in 0..*count {
                let Some(next) = schedule.next_after(at) else { break };
                at = next;
                let local = at.to_zoned(schedule.zone().clone());
                writeln!(out, "{}", local.strftime("%Y-%m-%dT%H:%M:%S%:z"))?;
            }
        }
    }
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-21T23:34:56.7Z";

    fn init_cron(args: &[&str]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let code = run(args.iter().map(OsString::from), &mut out, &mut err, NOW.parse().unwrap());
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    #[test]
    fn ten_runs_in_utc_without_options() {
        let (code, out, err) = init_cron(&["* * * * *"]);
        assert_eq!((code, err.as_str()), (0, ""));
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines.len(), 10);
        assert_eq!(lines[0], "2026-11-21T23:35:00+00:00");
        assert_eq!(lines[9], "2026-11-21T23:44:00+00:00");
    }

    #[test]
    fn the_example_of_the_help_is_true() {
        let (code, out, _) = init_cron(&[
            "30 1 * * sun",
            "-n",
            "2",
            "--tz",
            "Europe/London",
            "--from",
            "2026-03-22T12:00:00Z",
        ]);
        assert_eq!(code, 0);
        let (_, help, _) = init_cron(&["--help"]);
        for line in out.lines() {
            assert!(help.contains(line), "{line}");
        }
        assert_eq!(out.lines().count(), 2);
    }

    #[test]
    fn options_are_taken_in_any_order_and_form() {
        let (code, out, _) = init_cron(&["--from=2026-07-01T00:00", "-n1", "--tz=Asia/Kathmandu", "@daily"]);
        assert_eq!((code, out.as_str()), (0, "2026-07-02T00:00:00+05:45\n"));
    }

    #[test]
    fn a_schedule_that_ends_prints_what_there_is() {
        let (code, out, _) = init_cron(&["0 0 29 2 *", "--from", "2092-01-01T00:00:00Z"]);
        assert_eq!((code, out.as_str()), (0, "2092-02-29T00:00:00+00:00\n2096-02-29T00:00:00+00:00\n"));
    }

    #[test]
    fn the_caret_stands_under_what_is_wrong() {
        let (code, out, err) = init_cron(&["0 5/15 * * *"]);
        assert_eq!((code, out.as_str()), (64, ""));
        let lines: Vec<&str> = err.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("5-23/15"), "{err}");
        assert_eq!(&lines[1..], ["  0 5/15 * * *", "    ^^^^"]);
    }

    #[test]
    fn a_wrong_command_line_is_64_and_says_why() {
        for (args, word) in [
            (&[][..], "missing"),
            (&["*", "*", "*", "*", "*"], "quotes"),
            (&["* * * * *", "-n", "many"], "many"),
            (&["* * * * *", "-n", "-1"], "-1"),
            (&["* * * * *", "--from", "yesterday"], "RFC 3339"),
            (&["* * * * *", "--tz", "Europe/Lodnon"], "Europe/London"),
            (&["* * * * *", "--bogus"], "--bogus"),
        ] {
            let (code, out, err) = init_cron(args);
            assert_eq!((code, out.as_str()), (64, ""), "{args:?}");
            assert!(err.contains(word), "{args:?}: {err}");
        }
    }

    /// Fails as a closed pipe, or a full disk, does.
    struct Broken(io::ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_closed_pipe_is_no_error_and_a_full_disk_is() {
        for (kind, expected) in
            [(io::ErrorKind::BrokenPipe, exit::OK), (io::ErrorKind::StorageFull, exit::OS)]
        {
            let mut err = Vec::new();
            let args = [OsString::from("@hourly")];
            assert_eq!(run(args, &mut Broken(kind), &mut err, NOW.parse().unwrap()), expected);
            assert_eq!(err.is_empty(), expected == exit::OK);
        }
    }
}
