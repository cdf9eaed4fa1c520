//! The six fields of an expression: their ranges and names, and the sets of numbers they hold.

/// What a field may hold.
pub(super) struct Field {
    /// As users call it: `minute`.
    pub name: &'static str,
    pub low: u8,
    pub high: u8,
    /// Names of the numbers from `low` on; only whole names of three letters, in either case.
    pub names: &'static [&'static str],
}

pub(super) const SECOND: Field = Field { name: "second", low: 0, high: 59, names: &[] };
pub(super) const MINUTE: Field = Field { name: "minute", low: 0, high: 59, names: &[] };
pub(super) const HOUR: Field = Field { name: "hour", low: 0, high: 23, names: &[] };
pub(super) const DAY: Field = Field { name: "day of month", low: 1, high: 31, names: &[] };
pub(super) const MONTH: Field = Field {
    name: "month",
    low: 1,
    high: 12,
    names: &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
};
pub(super) const WEEKDAY: Field =
    Field { name: "day of week", low: 0, high: 7, names: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"] };

impl Field {
    /// `0 to 59`, `1 to 12 or jan to dec`, `0 to 7 (0 and 7 are Sunday) or sun to sat`.
    pub(super) fn allowed(&self) -> String {
        let sunday = if self.high == 7 { " (0 and 7 are Sunday)" } else { "" };
        match (self.names.first(), self.names.last()) {
            (Some(first), Some(last)) => {
                format!("{} to {}{sunday} or {first} to {last}", self.low, self.high)
            }
            _ => format!("{} to {}", self.low, self.high),
        }
    }
}

/// Numbers from 0 to 63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Set(u64);

impl Set {
    pub(super) fn insert(&mut self, number: u8) {
        self.0 |= 1_u64.checked_shl(number.into()).unwrap_or(0);
    }

    pub(super) fn contains(self, number: u8) -> bool {
        self.0 & 1_u64.checked_shl(number.into()).unwrap_or(0) != 0
    }

    /// The single number.
    pub(super) fn only(number: u8) -> Self {
        let mut set = Self::default();
        set.insert(number);
        set
    }

    /// `*` for the whole of `low..=high`, otherwise `1,5,9`, each number raised by `raise`.
    fn list(self, low: u8, high: u8, raise: u8) -> String {
        let numbers: Vec<u8> = (low..=high).filter(|number| self.contains(*number)).collect();
        if numbers.len() == usize::from(high.abs_diff(low)).saturating_add(1) {
            return "*".to_owned();
        }
        numbers.iter().map(|number| number.saturating_add(raise).to_string()).collect::<Vec<_>>().join(",")
    }
}

/// An expression as sets of numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sets {
    pub seconds: Set,
    pub minutes: Set,
    pub hours: Set,
    pub days: Set,
    pub months: Set,
    /// 0 is Sunday. 7 is never in it.
    pub weekdays: Set,
    /// A day fits when its day of month *or* its day of week does: cron's rule where neither field starts with `*`.
    pub either_day: bool,
    /// Minute or hour starts with `*`.
    pub wildcard: bool,
}

impl Sets {
    /// For the `cron` crate: six lists of numbers, where Sunday is 1. A day field that does not count is `*`.
    pub(super) fn render(&self, by_day: bool, by_weekday: bool) -> String {
        let days = if by_day { self.days.list(1, 31, 0) } else { "*".to_owned() };
        let weekdays = if by_weekday { self.weekdays.list(0, 6, 1) } else { "*".to_owned() };
        format!(
            "{} {} {} {days} {} {weekdays}",
            self.seconds.list(0, 59, 0),
            self.minutes.list(0, 59, 0),
            self.hours.list(0, 23, 0),
            self.months.list(1, 12, 0),
        )
    }
}
