//! What cron would do, found by walking through time.

use crate::tzif::Zone;

/// An expression as cron keeps it: a row of bits for each field, and which fields began with a star.
pub struct Oracle {
    second: [bool; 60],
    minute: [bool; 60],
    hour: [bool; 24],
    day: [bool; 32],
    month: [bool; 13],
    weekday: [bool; 8],
    day_star: bool,
    weekday_star: bool,
    clock_star: bool,
    seconds: bool,
}

impl Oracle {
    /// `None` for what cron refuses (and for text right behind a `*`, which it would pass over).
    pub fn read(text: &str) -> Option<Self> {
        let text = match text {
            "@yearly" | "@annually" => "0 0 1 1 *",
            "@monthly" => "0 0 1 * *",
            "@weekly" => "0 0 * * 0",
            "@daily" | "@midnight" => "0 0 * * *",
            "@hourly" => "0 * * * *",
            other => other,
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let (second, rest) = match words.len() {
            5 => (None, &words[..]),
            6 => (Some(words[0]), &words[1..]),
            _ => return None,
        };
        let mut oracle = Self {
            second: bits(second.unwrap_or("0"), 0, "")?,
            minute: bits(rest[0], 0, "")?,
            hour: bits(rest[1], 0, "")?,
            day: bits(rest[2], 1, "")?,
            month: bits(rest[3], 1, "janfebmaraprmayjunjulaugsepoctnovdec")?,
            weekday: bits(rest[4], 0, "sunmontuewedthufrisat")?,
            day_star: rest[2].starts_with('*'),
            weekday_star: rest[4].starts_with('*'),
            clock_star: rest[0].starts_with('*') || rest[1].starts_with('*'),
            seconds: second.is_some(),
        };
        if oracle.weekday[0] || oracle.weekday[7] {
            oracle.weekday[0] = true;
            oracle.weekday[7] = true;
        }
        Some(oracle)
    }

    pub fn by_second(&self) -> bool {
        self.seconds
    }

    /// No day fits of 28 years without a century, in which every date meets every weekday.
    pub fn never(&self) -> bool {
        !(0..10_227).any(|day| self.fits_day(day))
    }

    fn fits_day(&self, days: i64) -> bool {
        let (month, day) = civil(days);
        // 1 January 1970 was a Thursday.
        let weekday = (days + 4).rem_euclid(7) as usize;
        let (by_day, by_weekday) = (self.day[day], self.weekday[weekday]);
        let fits =
            if self.day_star || self.weekday_star { by_day && by_weekday } else { by_day || by_weekday };
        fits && self.month[month]
    }

    fn fits(&self, local: i64) -> bool {
        let time = local.rem_euclid(86_400) as usize;
        self.second[time % 60]
            && self.minute[time / 60 % 60]
            && self.hour[time / 3600]
            && self.fits_day(local.div_euclid(86_400))
    }

    /// The first `count` runs in `(after, until]`. Time goes by in ticks; where the local clock leaps forward, fixed
    /// times catch up with what it leapt over, and where it falls back they wait until it is where it was.
    pub fn runs(&self, zone: &Zone, after: i64, until: i64, count: usize) -> Vec<i64> {
        let tick = if self.seconds { 1 } else { 60 };
        // Long enough before, that no fall of the clock is still being waited for.
        let mut now = (after - 30 * 3600).div_euclid(60) * 60;
        let (mut offset, mut end) = zone.piece(now);
        let mut virtual_clock = now + offset - tick;
        let mut runs = Vec::new();
        while now <= until && runs.len() < count {
            if now >= end {
                (offset, end) = zone.piece(now);
            }
            let local = now + offset;
            let due = if self.clock_star {
                self.fits(local)
            } else {
                (virtual_clock + tick..=local).step_by(tick as usize).any(|missed| self.fits(missed))
            };
            if due && now > after {
                runs.push(now);
            }
            virtual_clock = virtual_clock.max(local);
            // An hour or a day of which nothing fits is walked in one stride, if the clocks do not change meanwhile.
            let stride = self.nothing_for(local);
            if stride > tick && now + stride < end && virtual_clock == local {
                now += stride;
                virtual_clock = local + stride - tick;
            } else {
                now += tick;
            }
        }
        runs
    }

    /// As an hour or a day begins: its length, if no moment of it fits.
    fn nothing_for(&self, local: i64) -> i64 {
        if local % 86_400 == 0 && !self.fits_day(local / 86_400) {
            86_400
        } else if local % 3600 == 0 && !self.hour[(local / 3600 % 24) as usize] {
            3600
        } else {
            0
        }
    }
}

/// Month and day of month of a day counted from 1 January 1970.
fn civil(mut days: i64) -> (usize, usize) {
    assert!(days >= 0, "the oracle's calendar starts in 1970");
    let mut year = 1970;
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    loop {
        let length = if leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let lengths = [31, if leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    for (month, length) in lengths.into_iter().enumerate() {
        if days < length {
            return (month + 1, days as usize + 1);
        }
        days -= length;
    }
    unreachable!("a year has no more days")
}

/// A list of ranges, read a letter at a time. `N` is one more than the highest number; `names` in threes.
fn bits<const N: usize>(text: &str, low: usize, names: &str) -> Option<[bool; N]> {
    let mut bits = [false; N];
    let mut rest = text.as_bytes();
    loop {
        let (first, last, ranged);
        if rest.first() == Some(&b'*') {
            (first, last, ranged) = (low, N - 1, true);
            rest = &rest[1..];
        } else {
            let one;
            (one, rest) = value(rest, low, names)?;
            if rest.first() == Some(&b'-') {
                let two;
                (two, rest) = value(&rest[1..], low, names)?;
                (first, last, ranged) = (one, two, true);
            } else {
                (first, last, ranged) = (one, one, false);
            }
        }
        if first < low || last >= N || first > last {
            return None;
        }
        let mut step = 1;
        if rest.first() == Some(&b'/') {
            if !ranged {
                return None;
            }
            (step, rest) = value(&rest[1..], 0, "")?;
            if step == 0 {
                return None;
            }
        }
        let mut number = first;
        while number <= last {
            bits[number] = true;
            number += step;
        }
        match rest {
            [] => return Some(bits),
            [b',', more @ ..] => rest = more,
            _ => return None,
        }
    }
}

/// Letters and digits up to the next of any other kind: a number, or a name that counts from `low`.
fn value<'a>(text: &'a [u8], low: usize, names: &str) -> Option<(usize, &'a [u8])> {
    let length = text.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
    let (word, rest) = text.split_at(length);
    let word = std::str::from_utf8(word).ok()?.to_ascii_lowercase();
    let named = (0..names.len() / 3).find(|index| names[index * 3..index * 3 + 3] == word);
    let number = match named {
        Some(index) => low + index,
        None if !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit()) => word.parse().ok()?,
        None => return None,
    };
    Some((number, rest))
}
