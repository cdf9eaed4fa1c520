//! From text to sets of numbers, as Vixie cron's `entry.c` reads it (Debian's, which refuses ranges beyond a field's
//! limits and steps on a single number).
//!
//! Two things that cron lets pass are refused here, since nobody who wrote them meant what cron makes of them: text
//! behind a complete element, up to the next blank (it reads `*5` as `*`, `5#2` as 5, `1-5/2/2` as `1-5/2`), and
//! ranges that run backwards (`fri-sun` never happens there).

use super::fields::{DAY, Field, HOUR, MINUTE, MONTH, SECOND, Set, Sets, WEEKDAY};
use crate::schedule::ScheduleError;
use std::ops::Range;

/// What [`parse`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub sets: Sets,
    /// Where the day of month stands; all of the text for `@daily` and the like.
    pub days_at: Range<usize>,
}

/// A word of the text and where it starts, in bytes.
#[derive(Clone, Copy)]
struct Word<'a> {
    text: &'a str,
    start: usize,
}

impl<'a> Word<'a> {
    fn span(self) -> Range<usize> {
        self.start..self.start.saturating_add(self.text.len())
    }

    /// The parts between `separator`s.
    fn split(self, separator: char) -> impl Iterator<Item = Word<'a>> {
        let mut start = self.start;
        self.text.split(separator).map(move |text| {
            let word = Word { text, start };
            start = start.saturating_add(text.len()).saturating_add(separator.len_utf8());
            word
        })
    }

    /// The parts before and after the first `separator`.
    fn split_once(self, separator: char) -> (Word<'a>, Option<Word<'a>>) {
        match self.text.split_once(separator) {
            Some((before, after)) => {
                let start = self.start.saturating_add(before.len()).saturating_add(separator.len_utf8());
                (Word { text: before, start: self.start }, Some(Word { text: after, start }))
            }
            None => (self, None),
        }
    }
}

/// What is wrong and where; becomes a [`ScheduleError`] once the whole text is at hand.
struct Problem {
    at: Range<usize>,
    text: String,
}

impl Problem {
    fn new(at: Range<usize>, text: impl Into<String>) -> Self {
        Self { at, text: text.into() }
    }
}

/// Reads an expression. Words are separated by blanks and tabs, as many as there are.
pub(super) fn parse(text: &str) -> Result<Parsed, ScheduleError> {
    let words: Vec<Word<'_>> = Word { text, start: 0 }.split_blanks().collect();
    read(text, &words).map_err(|problem| ScheduleError::Syntax {
        expression: text.to_owned(),
        at: problem.at,
        problem: problem.text,
    })
}

impl<'a> Word<'a> {
    fn split_blanks(self) -> impl Iterator<Item = Word<'a>> {
        let mut start = self.start;
        self.text.split([' ', '\t']).filter_map(move |text| {
            let word = Word { text, start };
            start = start.saturating_add(text.len()).saturating_add(1);
            (!text.is_empty()).then_some(word)
        })
    }
}

fn read(text: &str, words: &[Word<'_>]) -> Result<Parsed, Problem> {
    match *words {
        [] => Err(Problem::new(
            text.len()..text.len(),
            "it is empty: write five fields (minute, hour, day of month, month, day of week) such as \"*/5 * * * *\"",
        )),
        [first, ref rest @ ..] if first.text.starts_with('@') => read_macro(first, rest),
        [minute, hour, day, month, weekday] => read_fields(None, [minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] => {
            read_fields(Some(second), [minute, hour, day, month, weekday])
        }
        [_, _, _, _, _, _, seventh, ..] => Err(Problem::new(
            seventh.span(),
            format!(
                "it has {} fields; cron has five (minute, hour, day of month, month, day of week), six with seconds in \
                 front, and none for the year",
                words.len()
            ),
        )),
        _ => {
            let end = text.trim_end_matches([' ', '\t']).len();
            let missing: Vec<&str> = [MINUTE, HOUR, DAY, MONTH, WEEKDAY]
                .iter()
                .skip(words.len())
                .map(|field| field.name)
                .collect();
            Err(Problem::new(
                end..end,
                format!("it has {} of five fields: {} missing", words.len(), and(&missing)),
            ))
        }
    }
}

/// `month and day of week are`.
fn and(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!("{one} is"),
        [all @ .., last] => format!("{} and {last} are", all.join(", ")),
    }
}

fn read_fields(second: Option<Word<'_>>, words: [Word<'_>; 5]) -> Result<Parsed, Problem> {
    let [minute, hour, day, month, weekday] = words;
    let star = |word: Word<'_>| word.text.starts_with('*');
    let mut weekdays = list(&WEEKDAY, weekday)?;
    if weekdays.contains(7) {
        weekdays.insert(0);
    }
    let sets = Sets {
        seconds: second.map_or(Ok(Set::only(0)), |word| list(&SECOND, word))?,
        minutes: list(&MINUTE, minute)?,
        hours: list(&HOUR, hour)?,
        days: list(&DAY, day)?,
        months: list(&MONTH, month)?,
        weekdays,
        either_day: !star(day) && !star(weekday),
        wildcard: star(minute) || star(hour),
    };
    Ok(Parsed { sets, days_at: day.span() })
}

/// `@daily` and its like. Cron compares them as they are, in lower case.
fn read_macro(word: Word<'_>, rest: &[Word<'_>]) -> Result<Parsed, Problem> {
    let expression = match word.text {
        "@yearly" | "@annually" => "0 0 1 1 *",
        "@monthly" => "0 0 1 * *",
        "@weekly" => "0 0 * * 0",
        "@daily" | "@midnight" => "0 0 * * *",
        "@hourly" => "0 * * * *",
        _ => return Err(unknown_macro(word, rest)),
    };
    if let Some(extra) = rest.first() {
        return Err(Problem::new(extra.span(), format!("{} stands alone", word.text)));
    }
    let words: Vec<Word<'_>> = Word { text: expression, start: 0 }.split_blanks().collect();
    read(expression, &words).map(|parsed| Parsed { days_at: word.span(), ..parsed })
}

fn unknown_macro(word: Word<'_>, rest: &[Word<'_>]) -> Problem {
    const KNOWN: &str = "@yearly, @annually, @monthly, @weekly, @daily, @midnight and @hourly";
    let lower = word.text.to_ascii_lowercase();
    let text = match lower.as_str() {
        "@reboot" => "@reboot is not a time: what runs once at every start is a boot step, [[boot]]".to_owned(),
        "@every" => match rest.first().and_then(|interval| every(interval.text)) {
            Some(instead) => format!("@every is not cron's: write {instead:?}"),
            None => "@every is not cron's, which knows only intervals that divide the hour or the day: \"*/5 * * * *\" \
                     is every five minutes, \"0 */2 * * *\" every two hours"
                .to_owned(),
        },
        "@minutely" | "@every_minute" => format!("{} is not known: write \"* * * * *\"", word.text),
        "@yearly" | "@annually" | "@monthly" | "@weekly" | "@daily" | "@midnight" | "@hourly" => {
            format!("{} is not known: write it in lower case, {lower}", word.text)
        }
        _ => format!("{} is not known: there are {KNOWN}", word.text),
    };
    let end =
        rest.first().filter(|_| lower == "@every").map_or(word.span().end, |interval| interval.span().end);
    Problem::new(word.start..end, text)
}

/// `5m` → `*/5 * * * *`; `None` where cron cannot say it.
fn every(interval: &str) -> Option<String> {
    let digits = interval.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = interval.split_at_checked(digits)?;
    let number: u32 = number.parse().ok()?;
    let fits = |whole: u32| number > 0 && whole.checked_rem(number) == Some(0);
    Some(match unit {
        "s" if number == 60 => "* * * * *".to_owned(),
        "s" if fits(60) => format!("*/{number} * * * * *"),
        "m" if number == 1 => "* * * * *".to_owned(),
        "m" if number == 60 => "0 * * * *".to_owned(),
        "m" if fits(60) => format!("*/{number} * * * *"),
        "h" if number == 1 => "0 * * * *".to_owned(),
        "h" if number == 24 => "0 0 * * *".to_owned(),
        "h" if fits(24) => format!("0 */{number} * * *"),
        "d" if number == 1 => "0 0 * * *".to_owned(),
        _ => return None,
    })
}

/// `list = range {"," range}`.
fn list(field: &Field, word: Word<'_>) -> Result<Set, Problem> {
    let mut set = Set::default();
    for element in word.split(',') {
        if element.text.is_empty() {
            return Err(Problem::new(
                element.span(),
                format!("{} {:?} lacks a number beside a comma: {}", field.name, word.text, field.allowed()),
            ));
        }
        range(field, element, &mut set)?;
    }
    Ok(set)
}

/// `range = "*" ["/" step] | number | number "-" number ["/" step]`.
fn range(field: &Field, element: Word<'_>, set: &mut Set) -> Result<(), Problem> {
    foreign(field, element)?;
    let (span, step) = element.split_once('/');
    let (from, to) = if span.text == "*" {
        (field.low, field.high)
    } else if span.text.starts_with('*') {
        return Err(Problem::new(
            element.span(),
            format!("{} {:?} has more than a step after its *: write * or */2", field.name, element.text),
        ));
    } else {
        let (first, last) = span.split_once('-');
        let from = number(field, first)?;
        match last {
            Some(last) => (from, number(field, last)?),
            None if step.is_some() => return Err(step_alone(field, element, from, step)),
            None => (from, from),
        }
    };
    if from > to {
        return Err(backwards(field, element, from, to, step.is_some()));
    }
    let step = step.map_or(Ok(1), |step| step_size(field, step))?;
    (from..=to).step_by(step).for_each(|number| set.insert(number));
    Ok(())
}

/// What other schedulers know and cron does not.
fn foreign(field: &Field, element: Word<'_>) -> Result<(), Problem> {
    let upper = element.text.to_ascii_uppercase();
    let days = field.name == DAY.name;
    let instead = if element.text == "?" {
        "cron has no \"?\": write *"
    } else if element.text.contains('#') {
        "cron has no \"#\" for the nth weekday of a month: run on that weekday and test the date in the command"
    } else if element.text.contains('~') || upper == "H" || upper.starts_with("H/") || upper.starts_with("H(")
    {
        "cron has no random times: write a number (jitter is a setting of its own)"
    } else if upper == "L" || (upper.ends_with('L') && upper.trim_end_matches('L').parse::<u8>().is_ok()) {
        "cron has no \"L\" for the last day: run on 28-31 and test the date in the command"
    } else if days && (upper == "LW" || upper.ends_with('W')) {
        "cron has no \"W\" for the nearest weekday: run on several days and test the date in the command"
    } else {
        return Ok(());
    };
    Err(Problem::new(element.span(), format!("{} {:?}: {instead}", field.name, element.text)))
}

/// A number of the field, or a name of three letters.
fn number(field: &Field, word: Word<'_>) -> Result<u8, Problem> {
    let named = field.names.iter().position(|name| name.eq_ignore_ascii_case(word.text));
    if let Some(index) = named {
        return Ok(field.low.saturating_add(u8::try_from(index).unwrap_or(u8::MAX)));
    }
    let problem = |text: String| Problem::new(word.span(), text);
    if word.text.is_empty() {
        return Err(problem(format!("{} lacks a number here: {}", field.name, field.allowed())));
    }
    if !word.text.bytes().all(|byte| byte.is_ascii_digit()) {
        let nearest = field
            .names
            .iter()
            .find(|name| word.text.get(..name.len()).is_some_and(|head| head.eq_ignore_ascii_case(name)));
        return Err(problem(match nearest {
            Some(name) => format!("{} {:?} is not known: write {name}", field.name, word.text),
            None => format!("{} {:?} is not known: {}", field.name, word.text, field.allowed()),
        }));
    }
    match word.text.parse::<u8>() {
        Ok(number) if (field.low..=field.high).contains(&number) => Ok(number),
        Ok(24) if field.high == 23 => {
            Err(problem("hour 24 is out of range: midnight is 0, the last hour 23".into()))
        }
        Ok(60) if field.high == 59 => Err(problem(format!("{} 60 is out of range: 0 to 59", field.name))),
        _ => Err(problem(format!("{} {} is out of range: {}", field.name, word.text, field.allowed()))),
    }
}

fn step_size(field: &Field, word: Word<'_>) -> Result<usize, Problem> {
    let digits = !word.text.is_empty() && word.text.bytes().all(|byte| byte.is_ascii_digit());
    match word.text.parse::<usize>() {
        // Beyond the field is allowed: `*/90` in minutes is minute 0.
        Ok(step) if digits && step > 0 => Ok(step),
        Err(_) if digits => Ok(usize::MAX),
        _ => Err(Problem::new(
            word.span(),
            format!("{}: {:?} is not a step: write a number from 1 on", field.name, word.text),
        )),
    }
}

fn step_alone(field: &Field, element: Word<'_>, from: u8, step: Option<Word<'_>>) -> Problem {
    let step = step.map_or("", |step| step.text);
    Problem::new(
        element.span(),
        format!(
            "{} {:?} steps from a single number: write {from}-{}/{step}",
            field.name, element.text, field.high
        ),
    )
}

fn backwards(field: &Field, element: Word<'_>, from: u8, to: u8, stepped: bool) -> Problem {
    let instead = if stepped {
        "a range runs upwards".to_owned()
    } else if field.high == 7 && to == 0 {
        format!("a range runs upwards: write {from}-7")
    } else {
        format!(
            "a range runs upwards: write {},{}",
            span(from, field.high.min(field.top())),
            span(field.low, to)
        )
    };
    Problem::new(element.span(), format!("{} {:?} runs backwards; {instead}", field.name, element.text))
}

/// `5-6`, or `5` when both are.
fn span(from: u8, to: u8) -> String {
    if from == to { from.to_string() } else { format!("{from}-{to}") }
}

impl Field {
    /// The greatest number that means something of its own: 6 for the day of week, where 7 is 0 again.
    fn top(&self) -> u8 {
        if self.high == 7 { 6 } else { self.high }
    }
}
