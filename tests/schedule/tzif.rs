//! The system's zone files (RFC 9636), read by hand: only the list of changes.

/// A zone: the offset before all changes, and each change with the offset after it.
pub struct Zone {
    first: i64,
    changes: Vec<(i64, i64)>,
}

impl Zone {
    /// Fails the test where the files are missing or do not list the changes up to 2036 one by one.
    pub fn load(name: &str) -> Self {
        let path = format!("/usr/share/zoneinfo/{name}");
        let file = std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}; install tzdata"));
        Self::read(&file)
            .unwrap_or_else(|| panic!("{path} is not a zone file of version 2 with every change listed"))
    }

    fn read(file: &[u8]) -> Option<Self> {
        let (counts, body) = header(file)?;
        // The first block has times of four bytes and is there for old readers.
        let skipped = counts.size(4);
        let (counts, body) = header(body.get(skipped..)?)?;
        let times = body.get(..counts.times * 8)?;
        let indexes = body.get(counts.times * 8..counts.times * 9)?;
        let types = body.get(counts.times * 9..counts.times * 9 + counts.types * 6)?;
        let offset = |index: usize| -> Option<i64> {
            Some(i32::from_be_bytes(types.get(index * 6..index * 6 + 4)?.try_into().ok()?).into())
        };
        let changes = times
            .chunks_exact(8)
            .zip(indexes)
            .map(|(time, index)| {
                Some((i64::from_be_bytes(time.try_into().ok()?), offset(usize::from(*index))?))
            })
            .collect::<Option<Vec<_>>>()?;
        let footer = std::str::from_utf8(body.get(counts.size(8)..)?).ok()?.trim_matches('\n');
        // With a rule in the footer the list may stop short.
        let complete = !footer.contains(',') || changes.last().is_some_and(|(at, _)| *at > 2_082_758_400);
        complete.then_some(Self { first: offset(0)?, changes })
    }

    /// The offset at `now`, and when it ends.
    pub fn piece(&self, now: i64) -> (i64, i64) {
        let passed = self.changes.partition_point(|(at, _)| *at <= now);
        let offset = passed.checked_sub(1).map_or(self.first, |last| self.changes[last].1);
        (offset, self.changes.get(passed).map_or(i64::MAX, |(at, _)| *at))
    }

    pub fn offset(&self, now: i64) -> i64 {
        self.piece(now).0
    }

    /// When the offset changes.
    pub fn changes(&self) -> impl Iterator<Item = i64> {
        self.changes.iter().map(|(at, _)| *at).filter(|at| self.offset(*at) != self.offset(*at - 1))
    }

    /// The first change after `now`, or the last of all.
    pub fn change_near(&self, now: i64) -> Option<i64> {
        let since_1990 = || self.changes().filter(|at| *at > 631_152_000);
        since_1990().find(|at| *at > now).or_else(|| since_1990().last())
    }
}

struct Counts {
    utc_marks: usize,
    wall_marks: usize,
    leaps: usize,
    times: usize,
    types: usize,
    letters: usize,
}

impl Counts {
    /// Of the whole data block, where a time has `width` bytes.
    fn size(&self, width: usize) -> usize {
        self.times * (width + 1)
            + self.types * 6
            + self.letters
            + self.leaps * (width + 4)
            + self.wall_marks
            + self.utc_marks
    }
}

fn header(file: &[u8]) -> Option<(Counts, &[u8])> {
    let (head, body) = file.split_at_checked(44)?;
    if !head.starts_with(b"TZif") || head[4] < b'2' {
        return None;
    }
    let mut numbers = head[20..]
        .chunks_exact(4)
        .map(|four| u32::from_be_bytes(four.try_into().unwrap_or_default()) as usize);
    let mut next = || numbers.next();
    let counts = Counts {
        utc_marks: next()?,
        wall_marks: next()?,
        leaps: next()?,
        times: next()?,
        types: next()?,
        letters: next()?,
    };
    Some((counts, body))
}
