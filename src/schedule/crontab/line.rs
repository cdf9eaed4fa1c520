//! One line of a crontab after another: comment, assignment or entry.

use super::{Crontab, CrontabEntry, CrontabError, CrontabNote, Dialect};
use crate::config::plan::Env;
use crate::schedule::{Schedule, ScheduleError};

const BLANKS: [char; 2] = [' ', '\t'];

/// Reads lines in order; assignments hold for the lines below them.
pub(super) struct Reader {
    dialect: Dialect,
    line: usize,
    env: Env,
    /// `TZ` names a zone of the database.
    zone_of_tz: bool,
    crontab: Crontab,
    errors: Vec<CrontabError>,
}

/// Where in the line, in bytes, and what.
type Fault = (usize, String);

impl Reader {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            line: 0,
            env: Env::new(),
            zone_of_tz: false,
            crontab: Crontab::default(),
            errors: Vec::new(),
        }
    }

    pub(super) fn finish(self) -> Result<Crontab, Vec<CrontabError>> {
        if self.errors.is_empty() { Ok(self.crontab) } else { Err(self.errors) }
    }

    pub(super) fn read(&mut self, line: &str) {
        self.line = self.line.saturating_add(1);
        let start = line.trim_start_matches(BLANKS);
        if start.is_empty() || start.starts_with('#') {
            return;
        }
        let done = match assignment(start) {
            Some((name, value)) => self.assign(name, value),
            None => self.entry(line),
        };
        if let Err((offset, text)) = done {
            self.errors.push(CrontabError { line: self.line, column: offset.saturating_add(1), text });
        }
    }

    fn note(&mut self, text: impl Into<String>) {
        self.crontab.notes.push(CrontabNote { line: self.line, text: text.into() });
    }

    fn assign(&mut self, name: String, value: String) -> Result<(), Fault> {
        if value.contains('\0') || name.contains('\0') {
            return Err((0, "an environment variable cannot hold a zero byte".to_owned()));
        }
        match name.as_str() {
            "MAILTO" | "MAILFROM" => {
                self.note(format!("{name} is ignored: output goes to the container's log, no mail is sent"));
                return Ok(());
            }
            // cron(8): the user of an entry is not a matter of its environment.
            "LOGNAME" | "USER" => {
                self.note(format!(
                    "{name} is ignored, as cron does: it is always the user that the command runs as"
                ));
                return Ok(());
            }
            "CRON_TZ" => {
                if let Err(error) = Schedule::parse("* * * * *", Some(&value)) {
                    return Err((0, format!("CRON_TZ: {}", error.problem())));
                }
            }
            "TZ" => self.assign_tz(&value),
            _ => {}
        }
        self.env.insert(name, value);
        Ok(())
    }

    /// In Vixie cron `TZ` reaches the command alone and the schedule follows the system's zone. A container's system
    /// zone is UTC unless something says otherwise, and this line does.
    fn assign_tz(&mut self, value: &str) {
        let zone = value.strip_prefix(':').unwrap_or(value);
        self.zone_of_tz = Schedule::parse("* * * * *", Some(zone)).is_ok();
        self.note(if self.zone_of_tz {
            format!("TZ: the schedules below it follow the clocks of {zone}, too (CRON_TZ overrules it)")
        } else {
            format!(
                "TZ: {zone:?} is not in the time zone database: commands get it, schedules stay as they were"
            )
        });
    }

    fn zone(&self) -> Option<String> {
        match (self.env.get("CRON_TZ"), self.env.get("TZ")) {
            (Some(zone), _) => Some(zone.clone()),
            (None, Some(tz)) if self.zone_of_tz => Some(tz.strip_prefix(':').unwrap_or(tz).to_owned()),
            _ => None,
        }
    }

    fn entry(&mut self, line: &str) -> Result<(), Fault> {
        let mut cursor = Cursor { line, at: 0 };
        let zone = self.zone();
        let (start, schedule) = cursor.schedule();
        check(schedule, zone.as_deref()).map_err(|(offset, text)| (start.saturating_add(offset), text))?;
        let user = match self.dialect {
            Dialect::System => Some(cursor.word().ok_or_else(|| {
                (
                    line.len(),
                    "the user is missing: in this file it stands between schedule and command".to_owned(),
                )
            })?),
            Dialect::User | Dialect::Busybox => None,
        };
        let (start, rest) = cursor.rest();
        if rest.is_empty() {
            return Err((line.len(), "the command is missing".to_owned()));
        }
        if let Some(zero) = rest.find('\0') {
            return Err((start.saturating_add(zero), "a command cannot hold a zero byte".to_owned()));
        }
        let (command, stdin) = match self.dialect {
            Dialect::Busybox => (rest.to_owned(), None),
            Dialect::System | Dialect::User => split_percent(rest),
        };
        if command.trim_matches(BLANKS).is_empty() {
            return Err((start, "the command is missing: everything here is input, after a %".to_owned()));
        }
        if self.dialect == Dialect::Busybox && starry_day(schedule) {
            self.note(
                "busybox runs this when the day of month or the day of week fits; here, as in Vixie cron, both must, \
                 because one of them starts with *",
            );
        }
        self.crontab.entries.push(CrontabEntry {
            line: self.line,
            schedule: schedule.split(BLANKS).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "),
            zone,
            user: user.map(str::to_owned),
            shell: self
                .env
                .get("SHELL")
                .filter(|shell| !shell.is_empty())
                .map_or("/bin/sh", |shell| shell)
                .to_owned(),
            command,
            stdin,
            env: self.env.clone(),
        });
        Ok(())
    }
}

/// A crontab has five fields: a sixth is the command.
fn check(schedule: &str, zone: Option<&str>) -> Result<(), Fault> {
    if schedule.eq_ignore_ascii_case("@reboot") {
        return Err((
            0,
            "@reboot is not supported: make the command a boot step, [[boot]], or a service".to_owned(),
        ));
    }
    match Schedule::parse(schedule, zone) {
        Ok(_) => Ok(()),
        Err(ScheduleError::Never { .. }) => {
            Err((0, format!("{schedule:?} never happens: no month has that day")))
        }
        Err(error) => {
            let offset = error.column().map_or(0, |column| column.saturating_sub(1));
            Err((offset, error.problem()))
        }
    }
}

/// `*/2` in one of the day fields, numbers in the other.
fn starry_day(schedule: &str) -> bool {
    let fields: Vec<&str> = schedule.split(BLANKS).filter(|word| !word.is_empty()).collect();
    let [_, _, day, _, weekday] = fields[..] else { return false };
    let stepped = |field: &str| field.starts_with('*') && field != "*" && field != "*/1";
    (stepped(day) && weekday != "*") || (stepped(weekday) && day != "*")
}

/// Words of a line, from left to right.
struct Cursor<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Cursor<'a> {
    fn word(&mut self) -> Option<&'a str> {
        let (start, rest) = self.rest();
        let word = rest.split(BLANKS).next().filter(|word| !word.is_empty())?;
        self.at = start.saturating_add(word.len());
        Some(word)
    }

    /// `@daily`, or up to five fields, as they stand, and where they start.
    fn schedule(&mut self) -> (usize, &'a str) {
        let (start, rest) = self.rest();
        let words = if rest.starts_with('@') { 1 } else { 5 };
        (0..words).for_each(|_| {
            self.word();
        });
        (start, self.line.get(start..self.at).unwrap_or_default())
    }

    /// What is left without the blanks before it, and where it starts.
    fn rest(&self) -> (usize, &'a str) {
        let rest = self.line.get(self.at..).unwrap_or_default().trim_start_matches(BLANKS);
        (self.line.len().saturating_sub(rest.len()), rest)
    }
}

/// `NAME = value`, with quotes around either taken off; `None` when the line is not of that form (it is an entry
/// then). As cron's `env.c` reads it: nothing is expanded, and an unquoted value ends at the last non-blank.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, rest) = match line.chars().next()? {
        quote @ ('"' | '\'') => line.get(1..)?.split_once(quote)?,
        _ => line.split_at_checked(line.find(|c: char| c == '=' || c.is_ascii_whitespace())?)?,
    };
    if name.is_empty() || name.contains('=') {
        return None;
    }
    let value = rest.trim_start().strip_prefix('=')?.trim();
    let value = match value.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let (inside, after) = value.get(1..)?.split_once(quote)?;
            // cron refuses text behind the closing quote; so the line is no assignment.
            if !after.is_empty() {
                return None;
            }
            inside
        }
        _ => value,
    };
    Some((name.to_owned(), value.to_owned()))
}

/// Command and input: the first `%` parts them, each further one is a newline, `\%` is a `%`. Other backslashes stay.
fn split_percent(text: &str) -> (String, Option<String>) {
    let mut command = String::new();
    let mut stdin: Option<String> = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let (c, special) = match c {
            '\\' if chars.peek() == Some(&'%') => (chars.next().unwrap_or('%'), false),
            c => (c, c == '%'),
        };
        match (&mut stdin, special) {
            (None, true) => stdin = Some(String::new()),
            (Some(input), true) => input.push('\n'),
            (Some(input), false) => input.push(c),
            (None, false) => command.push(c),
        }
    }
    if let Some(input) = &mut stdin
        && !input.is_empty()
        && !input.ends_with('\n')
    {
        input.push('\n');
    }
    (command, stdin)
}
