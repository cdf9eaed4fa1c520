//! Statuses of HTTP.

use super::Text;
use std::ops::RangeInclusive;

/// Statuses of HTTP: one, a range, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Codes(pub Vec<RangeInclusive<u16>>);

/// More than anyone writes, and a bound.
const MOST: usize = 32;

impl Text for Codes {
    const EXPECTED: &'static str = "HTTP statuses such as \"200\", \"200-399\" or \"200,204\"";

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || format!("\"{text}\" are no HTTP statuses: write \"200\", \"200-399\" or \"200,204\"");
        let code = |text: &str| {
            let code = text.trim().parse::<u16>().ok()?;
            (100..=599).contains(&code).then_some(code)
        };
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (code(from)?, code(to)?);
            (from <= to).then_some(from..=to)
        };
        let ranges: Option<Vec<_>> = text.split(',').map(range).collect();
        ranges.filter(|ranges| ranges.len() <= MOST).map(Self).ok_or_else(wrong)
    }

    fn read_integer(number: i64) -> Option<Result<Self, String>> {
        Some(Self::read(&number.to_string()))
    }
}

/// `200-399`, `200,204`.
pub fn show_codes(ranges: &[RangeInclusive<u16>]) -> String {
    let parts: Vec<String> = ranges
        .iter()
        .map(|range| match (range.start(), range.end()) {
            (from, to) if from == to => from.to_string(),
            (from, to) => format!("{from}-{to}"),
        })
        .collect();
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_read_back() {
        for text in ["200", "200-399", "200,204,301-302"] {
            assert_eq!(show_codes(&Codes::read(text).unwrap().0), text);
        }
        assert_eq!(Codes::read(" 200 , 204 ").unwrap().0, [200..=200, 204..=204]);
        for text in ["", "2xx", "99", "600", "399-200", "200-", "200,", "-200", "200-300-400"] {
            assert!(Codes::read(text).is_err(), "{text:?}");
        }
    }
}
