//! Random expressions: most are well formed, some have one letter wrong.

/// SplitMix64: small, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub fn within(&mut self, range: std::ops::Range<i64>) -> i64 {
        range.start + self.below(range.end.abs_diff(range.start)) as i64
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len() as u64) as usize]
    }
}

const MONTHS: &[&str] = &["Jan", "feb", "MAR", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: &[&str] = &["sun", "Mon", "tue", "WED", "thu", "fri", "sat"];

pub fn expression(random: &mut Random) -> String {
    if random.below(40) == 0 {
        let words =
            ["@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually", "@Daily", "@x"];
        return random.pick(&words).to_owned();
    }
    let mut fields = Vec::new();
    if random.below(12) == 0 {
        fields.push(field(random, 0, 59, &[], 2));
    }
    // Jobs in the small hours meet the changes of clocks.
    fields.push(field(random, 0, 59, &[], 3));
    fields.push(if random.below(2) == 0 {
        field(random, 0, 4, &[], 3)
    } else {
        field(random, 0, 23, &[], 3)
    });
    fields.push(field(random, 1, 31, &[], 6));
    fields.push(field(random, 1, 12, MONTHS, 8));
    fields.push(field(random, 0, 7, DAYS, 6));
    let blank = random.pick(&[" ", " ", " ", "\t", "  ", " \t "]);
    let mut text = fields.join(blank);
    if random.below(10) == 0 {
        let at = random.below(text.len() as u64 + 1) as usize;
        text.insert_str(
            at,
            random.pick(&["*", "/", "-", ",", "0", "9", "x", " ", "?", "sun", "/2", "-5", "5,"]),
        );
    }
    text
}

/// One field; in `stars` of ten cases it starts with a star.
fn field(random: &mut Random, low: u64, high: u64, names: &[&str], stars: u64) -> String {
    if random.below(10) < stars {
        return match random.below(4) {
            0 => format!("*/{}", 1 + random.below(high + 4)),
            1 if random.below(3) == 0 => format!("*,{}", value(random, low, high, names)),
            _ => "*".to_owned(),
        };
    }
    let elements = 1 + random.below(8).saturating_sub(4);
    (0..elements).map(|_| element(random, low, high, names)).collect::<Vec<_>>().join(",")
}

fn element(random: &mut Random, low: u64, high: u64, names: &[&str]) -> String {
    let first = low + random.below(high - low + 1);
    let last = first + random.below(high - first + 1);
    match random.below(12) {
        0 => "*".to_owned(),
        1..=3 => format!("{first}-{last}"),
        4 | 5 => format!("{first}-{last}/{}", 1 + random.below(high)),
        6 => format!("{}-{}", value(random, low, high, names), value(random, low, high, names)),
        7 => format!("{first:02}"),
        _ => value(random, low, high, names),
    }
}

/// A number or a name, rarely one that is out of range.
fn value(random: &mut Random, low: u64, high: u64, names: &[&str]) -> String {
    if !names.is_empty() && random.below(3) == 0 {
        return random.pick(names).to_owned();
    }
    let beyond = u64::from(random.below(60) == 0);
    (low + random.below(high - low + 1 + beyond)).to_string()
}
