//! Bytes in, whole lines out.
//!
//! A line of up to the limit comes out whole however it arrived, with the terminator it came with. A longer one
//! is cut into pieces at the limit, at a UTF-8 boundary where there is one, and every piece carries its number.
//! Bytes are never changed, NUL and invalid UTF-8 included. What is held is bounded by the limit; in steady
//! state nothing is allocated, since a line that lies whole in the input is handed out from there.

use memchr::{memchr, memrchr};

/// Smallest limit that is honoured, in bytes.
pub const MIN_LINE: usize = 64;
/// A buffer larger than this is given back once its line has gone.
const KEEP_CAPACITY: usize = 4096;

/// What ended a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The line's own newline, which is the last byte of the piece.
    Newline,
    /// The limit; the line goes on in the next piece.
    Cut,
    /// Nothing more came for a while; the line may go on later.
    Idle,
    /// The stream ended without a newline.
    Eof,
}

/// A whole line or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// The bytes as they came; the newline included when [`End::Newline`].
    pub bytes: &'a [u8],
    pub end: End,
    /// 0 for a line that was not cut, else 1, 2, 3… within the line.
    pub part: u32,
}

impl<'a> Piece<'a> {
    /// The bytes without their terminator, and the terminator: `\n`, `\r\n` or nothing.
    pub fn split(&self) -> (&'a [u8], &'a [u8]) {
        let content = match (self.end, self.bytes) {
            (End::Newline, [.., b'\r', b'\n']) => self.bytes.len().saturating_sub(2),
            (End::Newline, [.., b'\n']) => self.bytes.len().saturating_sub(1),
            _ => self.bytes.len(),
        };
        self.bytes.split_at(content)
    }
}

/// Makes lines of one stream. One for each pipe.
#[derive(Debug)]
pub struct Framer {
    max: usize,
    carry: Vec<u8>,
    /// Leading bytes of `carry` that the last piece handed out.
    served: usize,
    /// Pieces of the current line that were cut off so far.
    parts: u32,
}

impl Framer {
    /// `max`: bytes of a line, its terminator not counted, that are kept whole; at least [`MIN_LINE`].
    pub fn new(max: usize) -> Self {
        Self { max: max.max(MIN_LINE), carry: Vec::new(), served: 0, parts: 0 }
    }

    /// The limit.
    pub fn max(&self) -> usize {
        self.max
    }

    /// Bytes of an unfinished line that wait for the rest of it.
    pub fn held(&self) -> usize {
        self.carry.len().saturating_sub(self.served)
    }

    /// The next byte belongs to a line that has begun: some of it is held, or was cut off before.
    pub fn mid_line(&self) -> bool {
        self.held() > 0 || self.parts > 0
    }

    /// Takes bytes from the front of `input` until a piece is complete. `None`: all was taken and the rest is held.
    pub fn next<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8]) -> Option<Piece<'s>> {
        self.clear_served();
        let budget = self.max.saturating_sub(self.carry.len());
        let window = input.get(..=budget).unwrap_or(input);
        if let Some(at) = memchr(b'\n', window) {
            let line = take(input, at.saturating_add(1));
            return Some(self.finish_line(line));
        }
        if input.len() <= budget {
            self.carry.extend_from_slice(input);
            *input = &[];
            return None;
        }
        Some(self.cut(input, budget))
    }

    /// What is held, as a piece of its own, because nothing came for a while. `None` when nothing is held.
    pub fn flush(&mut self) -> Option<Piece<'_>> {
        self.rest(End::Idle)
    }

    /// What is held, as the end of the stream. Also tells the end of a line whose last part was cut off exactly at
    /// the limit (then with no bytes). `None` when the stream ended with a whole line.
    pub fn finish(&mut self) -> Option<Piece<'_>> {
        self.rest(End::Eof)
    }

    fn rest(&mut self, end: End) -> Option<Piece<'_>> {
        self.clear_served();
        if self.carry.is_empty() && (end == End::Idle || self.parts == 0) {
            return None;
        }
        let part = self.close_part(end);
        self.served = self.carry.len();
        Some(Piece { bytes: &self.carry, end, part })
    }

    fn finish_line<'a>(&'a mut self, line: &'a [u8]) -> Piece<'a> {
        let part = self.close_part(End::Newline);
        if self.carry.is_empty() {
            return Piece { bytes: line, end: End::Newline, part };
        }
        self.carry.extend_from_slice(line);
        self.served = self.carry.len();
        Piece { bytes: &self.carry, end: End::Newline, part }
    }

    fn cut<'s, 'i: 's>(&'s mut self, input: &mut &'i [u8], budget: usize) -> Piece<'s> {
        let part = self.close_part(End::Cut);
        if self.carry.is_empty() {
            let whole = input.get(..budget).unwrap_or(input);
            let bytes = take(input, boundary(whole));
            return Piece { bytes, end: End::Cut, part };
        }
        self.carry.extend_from_slice(take(input, budget));
        self.served = boundary(&self.carry);
        Piece { bytes: self.carry.get(..self.served).unwrap_or(&self.carry), end: End::Cut, part }
    }

    /// The number of the piece that ends in this way, and the state after it.
    fn close_part(&mut self, end: End) -> u32 {
        match end {
            End::Cut => {
                self.parts = self.parts.saturating_add(1);
                self.parts
            }
            End::Idle => match self.parts {
                0 => 0,
                _ => {
                    self.parts = self.parts.saturating_add(1);
                    self.parts
                }
            },
            End::Newline | End::Eof => match std::mem::take(&mut self.parts) {
                0 => 0,
                parts => parts.saturating_add(1),
            },
        }
    }

    fn clear_served(&mut self) {
        let served = std::mem::take(&mut self.served);
        if served == 0 {
            return;
        }
        if served >= self.carry.len() {
            self.carry.clear();
        } else {
            self.carry.drain(..served);
        }
        if self.carry.capacity() > KEEP_CAPACITY && self.carry.len() <= KEEP_CAPACITY {
            self.carry.shrink_to(KEEP_CAPACITY);
        }
    }
}

/// Takes the longest run of whole lines, each of at most `max` bytes, from the front of `input`; at most `limit`
/// bytes. Only right where a line begins ([`Framer::mid_line`] is false). Empty when there is none.
pub fn whole_lines<'a>(input: &mut &'a [u8], max: usize, limit: usize) -> &'a [u8] {
    let window = input.get(..limit).unwrap_or(input);
    let Some(last) = memrchr(b'\n', window) else { return &[] };
    if last <= max {
        return take(input, last.saturating_add(1));
    }
    let mut end: usize = 0;
    while let Some(at) = window.get(end..).and_then(|rest| memchr(b'\n', rest)) {
        if at > max {
            break;
        }
        end = end.saturating_add(at).saturating_add(1);
    }
    take(input, end)
}

/// How many lines `bytes` hold; an unterminated last one counts.
pub fn count_lines(bytes: &[u8]) -> u64 {
    let ends = memchr::memchr_iter(b'\n', bytes).count();
    let open = usize::from(bytes.last().is_some_and(|&last| last != b'\n'));
    u64::try_from(ends.saturating_add(open)).unwrap_or(u64::MAX)
}

fn take<'a>(input: &mut &'a [u8], n: usize) -> &'a [u8] {
    let (front, rest) = input.split_at_checked(n).unwrap_or((input, &[]));
    *input = rest;
    front
}

/// Where to cut so that no UTF-8 sequence is torn: the length, or up to three bytes less.
fn boundary(bytes: &[u8]) -> usize {
    let len = bytes.len();
    for (back, &byte) in bytes.iter().rev().take(4).enumerate() {
        let width = match byte {
            0x80..=0xBF => continue,
            0xC2..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF4 => 4,
            _ => 1,
        };
        let have = back.saturating_add(1);
        return if width > have && len > have { len.saturating_sub(have) } else { len };
    }
    len
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
