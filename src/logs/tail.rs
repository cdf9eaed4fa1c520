//! The last lines of everything, for those who ask for them: one budget of bytes, shared fairly.
//!
//! Each name (`queue:1`, `schedule`, `init`) has bytes of its own. When the budget is spent, the oldest lines of the name that holds
//! most go, so that a service that floods its log takes nothing from one that is quiet. Lines are kept as they come, many in
//! one piece; what takes them in copies bytes and counts line feeds, and nothing is made of them until somebody reads.

use super::line::count_lines;
use memchr::{memchr, memchr_iter};
use std::borrow::Cow;
use std::collections::VecDeque;

/// What a piece costs beside its bytes.
const PIECE: usize = std::mem::size_of::<Piece>();

/// Pieces that come at the same moment are joined up to this.
const JOINED: usize = 4096;

/// The most names. Beyond them lines are counted, and not kept.
const NAMES: usize = 1024;

/// Buffers of a name that emptied are given back down to this.
const KEEP: usize = 256;

/// Lines of one name that came together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Piece {
    /// The place of its first line among the lines of all names.
    first: u64,
    at_ms: i64,
    lines: u32,
    bytes: u32,
    error: bool,
}

#[derive(Clone, Debug, Default)]
struct Name {
    name: String,
    /// What `pieces` tell of, one after the other; each line ends with a line feed.
    bytes: VecDeque<u8>,
    pieces: VecDeque<Piece>,
    /// Lines that came, and of these the ones that are not held any more.
    came: u64,
    gone: u64,
}

impl Name {
    fn weight(&self) -> usize {
        self.bytes.len().saturating_add(self.pieces.len().saturating_mul(PIECE))
    }

    /// Adds a piece, to the last one where they came together. `most`: what `bytes` never outgrows.
    fn append(&mut self, piece: Piece, lines: &[u8], most: usize) {
        let follows = |last: &&mut Piece| {
            (last.at_ms, last.error) == (piece.at_ms, piece.error)
                && last.first.saturating_add(u64::from(last.lines)) == piece.first
                && (last.bytes.saturating_add(piece.bytes) as usize) < JOINED
        };
        match self.pieces.back_mut().filter(follows) {
            Some(last) => {
                last.lines = last.lines.saturating_add(piece.lines);
                last.bytes = last.bytes.saturating_add(piece.bytes);
            }
            None => self.pieces.push_back(piece),
        }
        let needed = self.bytes.len().saturating_add(piece.bytes as usize);
        if needed > self.bytes.capacity() {
            // As a queue grows by itself, but for the bound.
            let wanted = needed.max(self.bytes.capacity().saturating_mul(2)).min(most).max(needed);
            self.bytes.reserve_exact(wanted.saturating_sub(self.bytes.len()));
        }
        self.bytes.extend(lines);
        if piece.bytes as usize > lines.len() {
            self.bytes.push_back(b'\n');
        }
    }

    /// Lets go of the oldest lines until `wanted` bytes are free, or nothing is left.
    fn let_go(&mut self, wanted: usize) {
        let aim = self.weight().saturating_sub(wanted);
        while self.weight() > aim {
            let over = self.weight().saturating_sub(aim);
            let Some(piece) = self.pieces.front_mut() else { return };
            let whole = piece.bytes as usize;
            if piece.lines <= 1 || over >= whole {
                self.gone = self.gone.saturating_add(u64::from(piece.lines));
                self.bytes.drain(..whole.min(self.bytes.len()));
                self.pieces.pop_front();
                continue;
            }
            let (cut, lines) = cut(&self.bytes, over, whole);
            self.bytes.drain(..cut);
            piece.bytes = piece.bytes.saturating_sub(u32::try_from(cut).unwrap_or(u32::MAX));
            piece.lines = piece.lines.saturating_sub(lines);
            piece.first = piece.first.saturating_add(u64::from(lines));
            self.gone = self.gone.saturating_add(u64::from(lines));
        }
        if self.bytes.capacity() / 4 > self.bytes.len().max(KEEP) {
            self.bytes.shrink_to(self.bytes.len().saturating_mul(2));
        }
        if self.pieces.capacity() / 4 > self.pieces.len().max(KEEP / PIECE) {
            self.pieces.shrink_to(self.pieces.len().saturating_mul(2));
        }
    }
}

/// Where the first line ends that makes at least `over` of the first `whole` bytes, and how many lines that are.
fn cut(bytes: &VecDeque<u8>, over: usize, whole: usize) -> (usize, u32) {
    let (front, back) = bytes.as_slices();
    let from = over.saturating_sub(1);
    let end = match memchr(b'\n', front.get(from..).unwrap_or_default()) {
        Some(at) => from.saturating_add(at),
        None => {
            let from = from.saturating_sub(front.len());
            let at = memchr(b'\n', back.get(from..).unwrap_or_default()).unwrap_or(back.len());
            front.len().saturating_add(from).saturating_add(at)
        }
    };
    let end = end.saturating_add(1).min(whole);
    let count = |part: &[u8], length: usize| memchr_iter(b'\n', part.get(..length).unwrap_or(part)).count();
    let lines = count(front, end).saturating_add(count(back, end.saturating_sub(front.len())));
    (end, u32::try_from(lines).unwrap_or(u32::MAX))
}

/// One line, as a reader gets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub at_ms: i64,
    pub name: String,
    /// It came from stderr.
    pub error: bool,
    /// Without its line feed.
    pub bytes: Vec<u8>,
}

/// How far a reader has read, name by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cursor(Vec<u64>);

impl Cursor {
    fn get(&self, name: usize) -> u64 {
        self.0.get(name).copied().unwrap_or_default()
    }

    fn set(&mut self, name: usize, line: u64) {
        if self.0.len() <= name {
            self.0.resize(name.saturating_add(1), 0);
        }
        if let Some(at) = self.0.get_mut(name) {
            *at = line;
        }
    }
}

/// What a reader got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub lines: Vec<Line>,
    /// Lines that had gone before this reader came to them.
    pub missed: u64,
}

/// The last lines of all names.
#[derive(Clone, Debug)]
pub struct Tail {
    budget: usize,
    names: Vec<Name>,
    held: usize,
    lines: u64,
    bytes: u64,
}

impl Tail {
    /// `budget`: bytes that are held of all names, some 40 for each piece included; 0 only counts.
    pub fn new(budget: usize) -> Self {
        Self { budget, names: Vec::new(), held: 0, lines: 0, bytes: 0 }
    }

    /// Lines and bytes that came.
    pub fn counted(&self) -> (u64, u64) {
        (self.lines, self.bytes)
    }

    /// Bytes that are held, with what they cost.
    pub fn held(&self) -> usize {
        self.held
    }

    /// The names that lines came under.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| name.name.as_str())
    }

    /// The number to add lines of `name` under. `None`: there are too many, or nothing is kept at all.
    pub fn register(&mut self, name: &str) -> Option<usize> {
        if let Some(known) = self.names.iter().position(|known| known.name == name) {
            return Some(known);
        }
        if self.budget == 0 || self.names.len() >= NAMES {
            return None;
        }
        self.names.push(Name { name: name.to_owned(), ..Name::default() });
        self.names.len().checked_sub(1)
    }

    /// Takes in whole lines; a last one without a line feed gets one.
    pub fn add(&mut self, name: Option<usize>, at_ms: i64, error: bool, lines: &[u8]) {
        if lines.is_empty() {
            return;
        }
        let count = count_lines(lines);
        let first = self.lines;
        self.lines = self.lines.saturating_add(count);
        self.bytes = self.bytes.saturating_add(u64::try_from(lines.len()).unwrap_or(u64::MAX));
        let Some(index) = name.filter(|index| *index < self.names.len()) else { return };
        let (kept, kept_lines) = newest(lines, count, self.budget.saturating_sub(PIECE.saturating_add(1)));
        let open = u32::from(kept.last().is_some_and(|byte| *byte != b'\n'));
        let bytes = u32::try_from(kept.len()).unwrap_or(u32::MAX).saturating_add(open);
        if kept_lines == count {
            self.make_room(index, PIECE.saturating_add(bytes as usize));
        }
        let budget = self.budget;
        let Some(name) = self.names.get_mut(index) else { return };
        let before = name.weight();
        name.came = name.came.saturating_add(count);
        if kept_lines < count {
            // Nothing older may stay where these are missing.
            name.bytes.clear();
            name.pieces.clear();
            name.gone = name.came.saturating_sub(kept_lines);
        }
        if kept_lines > 0 {
            let first = first.saturating_add(count.saturating_sub(kept_lines));
            let lines = u32::try_from(kept_lines).unwrap_or(u32::MAX);
            name.append(Piece { first, at_ms, lines, bytes, error }, kept, budget);
        }
        self.held = self.held.saturating_sub(before).saturating_add(name.weight());
        // What one name has cleared may not be enough.
        self.make_room(index, 0);
    }

    /// Lets go of lines until `more` fits. `latest` is who grows, and most likely who holds most.
    fn make_room(&mut self, latest: usize, more: usize) {
        while let Some(over) =
            self.held.saturating_add(more).checked_sub(self.budget).filter(|over| *over > 0)
        {
            let half = self.budget / 2;
            let largest = match self.names.get(latest) {
                Some(name) if name.weight() > half => latest,
                _ => {
                    let all = self.names.iter().enumerate().max_by_key(|(_, name)| name.weight());
                    all.map_or(latest, |(index, _)| index)
                }
            };
            let Some(name) = self.names.get_mut(largest) else { return };
            let before = name.weight();
            name.let_go(over);
            let freed = before.saturating_sub(name.weight());
            if freed == 0 {
                return;
            }
            self.held = self.held.saturating_sub(freed);
        }
    }

    /// A reader that begins with the last `lines` lines of the names that `wanted` takes.
    pub fn from_last(&self, lines: u64, wanted: impl Fn(&str) -> bool) -> Cursor {
        let mut cursor = Cursor::default();
        let mut pieces = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            cursor.set(index, name.came);
            if wanted(&name.name) {
                pieces.extend(name.pieces.iter().map(|piece| (piece.first, piece.lines, index)));
            }
        }
        pieces.sort_unstable();
        let mut left = lines;
        for (_, count, index) in pieces.into_iter().rev() {
            let taken = u64::from(count).min(left);
            left = left.saturating_sub(taken);
            cursor.set(index, cursor.get(index).saturating_sub(taken));
        }
        cursor
    }

    /// Lines that `cursor` has not read, in the order in which they came, of at most some `most` bytes.
    pub fn read(&self, cursor: &mut Cursor, most: usize, wanted: impl Fn(&str) -> bool) -> Batch {
        let mut missed = 0_u64;
        let mut pieces = Vec::new();
        for (index, name) in self.names.iter().enumerate() {
            if !wanted(&name.name) {
                continue;
            }
            missed = missed.saturating_add(name.gone.saturating_sub(cursor.get(index)));
            cursor.set(index, cursor.get(index).max(name.gone));
            let mut at = name.gone;
            let mut start = 0_usize;
            for piece in &name.pieces {
                let end = at.saturating_add(u64::from(piece.lines));
                let read = cursor.get(index).saturating_sub(at);
                if end > cursor.get(index) {
                    pieces.push((piece.first, index, start, read, *piece));
                }
                at = end;
                start = start.saturating_add(piece.bytes as usize);
            }
        }
        pieces.sort_unstable_by_key(|(first, ..)| *first);
        let mut lines = Vec::new();
        let mut taken = 0_usize;
        for (_, index, start, read, piece) in pieces {
            let Some(name) = self.names.get(index) else { continue };
            let bytes = slice(&name.bytes, start, piece.bytes as usize);
            let all = bytes.split(|byte| *byte == b'\n').take(piece.lines as usize);
            for line in all.skip(usize::try_from(read).unwrap_or(usize::MAX)) {
                if taken >= most {
                    return Batch { lines, missed };
                }
                taken = taken.saturating_add(line.len()).saturating_add(PIECE);
                let (name, bytes) = (name.name.clone(), line.to_vec());
                lines.push(Line { at_ms: piece.at_ms, name, error: piece.error, bytes });
                cursor.set(index, cursor.get(index).saturating_add(1));
            }
        }
        Batch { lines, missed }
    }
}

/// The newest of `count` lines that fit into `most` bytes, and how many they are.
fn newest(lines: &[u8], count: u64, most: usize) -> (&[u8], u64) {
    let Some(from) = lines.len().checked_sub(most).filter(|over| *over > 0) else { return (lines, count) };
    let rest = lines.get(from..).unwrap_or_default();
    // A line that begins before does not fit whole.
    let kept = memchr(b'\n', rest).and_then(|at| rest.get(at.saturating_add(1)..)).unwrap_or_default();
    (kept, count_lines(kept))
}

/// Some of a queue's bytes in one piece.
fn slice(bytes: &VecDeque<u8>, start: usize, length: usize) -> Cow<'_, [u8]> {
    let (front, back) = bytes.as_slices();
    let end = start.saturating_add(length);
    if let Some(part) = front.get(start..end) {
        return Cow::Borrowed(part);
    }
    let (from, to) = (start.saturating_sub(front.len()), end.saturating_sub(front.len()));
    let rest = back.get(from..to).unwrap_or_default();
    match front.get(start..) {
        Some(part) if !part.is_empty() => Cow::Owned([part, rest].concat()),
        _ => Cow::Borrowed(rest),
    }
}

#[cfg(test)]
#[path = "tail_tests.rs"]
mod tests;
