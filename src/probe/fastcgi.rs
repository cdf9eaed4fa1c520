//! A FastCGI client's half of the protocol, on bytes alone.
//!
//! [`request`] writes the records of one request in the responder role; [`Parser`] takes what comes back, in pieces of
//! any size, until the request has ended. One request a connection, which is all that PHP-FPM serves. No sockets in
//! here, no waiting. Numbers and layout are those of the FastCGI Specification 1.0, sections 3 to 5 and 8.

use std::fmt;

const VERSION: u8 = 1;
const BEGIN_REQUEST: u8 = 1;
const END_REQUEST: u8 = 3;
const PARAMS: u8 = 4;
const STDIN: u8 = 5;
const STDOUT: u8 = 6;
const STDERR: u8 = 7;
const RESPONDER: u8 = 1;
const HEADER: usize = 8;
/// The only request of a connection.
const ID: u16 = 1;
/// Most content of one record: the length has 16 bits.
const MOST_CONTENT: usize = 0xFFFF;

/// The records of one request: its parameters, and `stdin` as its body.
pub fn request(params: &[(&str, &str)], stdin: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    // The flags are 0: the application closes the connection after its answer.
    record(&mut out, BEGIN_REQUEST, &[0, RESPONDER, 0, 0, 0, 0, 0, 0]);
    let mut pairs = Vec::new();
    for (name, value) in params {
        length(&mut pairs, name.len());
        length(&mut pairs, value.len());
        pairs.extend_from_slice(name.as_bytes());
        pairs.extend_from_slice(value.as_bytes());
    }
    stream(&mut out, PARAMS, &pairs);
    stream(&mut out, STDIN, stdin);
    out
}

/// A stream is records with content and then one without.
fn stream(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    for part in content.chunks(MOST_CONTENT) {
        record(out, kind, part);
    }
    record(out, kind, &[]);
}

fn record(out: &mut Vec<u8>, kind: u8, content: &[u8]) {
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes();
    let id = ID.to_be_bytes();
    out.extend_from_slice(&[VERSION, kind, id[0], id[1], length[0], length[1], 0, 0]);
    out.extend_from_slice(content);
}

/// One byte up to 127, four with the highest bit set beyond.
fn length(out: &mut Vec<u8>, length: usize) {
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        _ => {
            let long = u32::try_from(length).unwrap_or(u32::MAX) | 0x8000_0000;
            out.extend_from_slice(&long.to_be_bytes());
        }
    }
}

/// A complete answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The application's exit code; PHP-FPM leaves it at 0.
    pub app_status: u32,
    /// 0 when the request was served, 1 cannot multiplex, 2 overloaded, 3 unknown role.
    pub protocol_status: u8,
    /// CGI headers, an empty line, the body.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Answer {
    /// What follows the headers.
    pub fn body(&self) -> &[u8] {
        let mut rest = self.stdout.as_slice();
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, tail) = rest.split_at(end);
            rest = tail.get(1..).unwrap_or_default();
            if line.trim_ascii().is_empty() {
                return rest;
            }
        }
        &[]
    }

    /// The HTTP status: that of a `Status` header, else 200. `None` when the headers do not end.
    pub fn status(&self) -> Option<u16> {
        let mut rest = self.stdout.as_slice();
        let mut status = 200;
        loop {
            let end = memchr::memchr(b'\n', rest)?;
            let (line, tail) = rest.split_at(end);
            let line = line.trim_ascii();
            if line.is_empty() {
                return Some(status);
            }
            rest = tail.get(1..)?;
            if let Some((name, value)) = line.split_at_checked("Status:".len())
                && name.eq_ignore_ascii_case(b"Status:")
            {
                let code = value.trim_ascii().get(..3).and_then(|code| std::str::from_utf8(code).ok());
                status = code?.parse().ok()?;
            }
        }
    }
}

/// What comes back is not an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FastCgiError {
    /// Not version 1: another protocol.
    Version(u8),
    /// A record that has no place in an answer.
    Record { kind: u8, request: u16 },
    /// The end of the request is too short to tell how it ended.
    ShortEnd,
    /// More bytes than the parser takes.
    TooLarge { limit: usize },
}

impl std::error::Error for FastCgiError {}

impl fmt::Display for FastCgiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version(version) => {
                write!(f, "cannot read the answer as FastCGI: it begins with {version}, not 1")
            }
            Self::Record { kind, request } => {
                write!(f, "cannot use FastCGI record {kind} of request {request} in an answer")
            }
            Self::ShortEnd => f.write_str("cannot read the end of the FastCGI answer: it is cut short"),
            Self::TooLarge { limit } => write!(f, "cannot take a FastCGI answer of more than {limit} bytes"),
        }
    }
}

/// Takes an answer in pieces. Holds at most its limit.
#[derive(Debug)]
pub struct Parser {
    limit: usize,
    received: usize,
    /// Bytes of a record that is not complete.
    pending: Vec<u8>,
    answer: Answer,
}

impl Parser {
    /// A parser that refuses answers of more than `limit` bytes, headers and padding included.
    pub fn new(limit: usize) -> Self {
        Self { limit, received: 0, pending: Vec::new(), answer: Answer::default() }
    }

    /// Takes the next piece. `Some` when the request has ended; nothing is looked at after that.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<Option<Answer>, FastCgiError> {
        self.received = self.received.saturating_add(bytes.len());
        let fits = self.received <= self.limit;
        self.pending.extend_from_slice(bytes.get(..if fits { bytes.len() } else { 0 }).unwrap_or_default());
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while let Some((record, tail)) = split_record(rest)? {
            if self.take(&record)? {
                return Ok(Some(std::mem::take(&mut self.answer)));
            }
            rest = tail;
        }
        if !fits {
            return Err(FastCgiError::TooLarge { limit: self.limit });
        }
        self.pending = rest.to_vec();
        Ok(None)
    }

    /// Uses one record; true when it is the last.
    fn take(&mut self, record: &Record<'_>) -> Result<bool, FastCgiError> {
        match (record.kind, record.request) {
            (STDOUT, ID) => self.answer.stdout.extend_from_slice(record.content),
            (STDERR, ID) => self.answer.stderr.extend_from_slice(record.content),
            (END_REQUEST, ID) => {
                let Some((status, [protocol, ..])) = record.content.split_first_chunk::<4>() else {
                    return Err(FastCgiError::ShortEnd);
                };
                self.answer.app_status = u32::from_be_bytes(*status);
                self.answer.protocol_status = *protocol;
                return Ok(true);
            }
            // Request 0 is management: the connection's own affairs, which may come at any time.
            (_, 0) => {}
            (kind, request) => return Err(FastCgiError::Record { kind, request }),
        }
        Ok(false)
    }
}

struct Record<'a> {
    kind: u8,
    request: u16,
    content: &'a [u8],
}

/// The first record of `bytes` and what follows it; `None` while it is incomplete.
fn split_record(bytes: &[u8]) -> Result<Option<(Record<'_>, &[u8])>, FastCgiError> {
    // Another protocol's greeting may be shorter than a header.
    if let Some(version) = bytes.first().filter(|version| **version != VERSION) {
        return Err(FastCgiError::Version(*version));
    }
    let Some(([_, kind, id @ .., length_high, length_low, padding, _], rest)) =
        bytes.split_first_chunk::<HEADER>()
    else {
        return Ok(None);
    };
    let length = usize::from(u16::from_be_bytes([*length_high, *length_low]));
    let (Some(content), Some(tail)) = (rest.get(..length), rest.get(length + usize::from(*padding)..)) else {
        return Ok(None);
    };
    Ok(Some((Record { kind: *kind, request: u16::from_be_bytes(*id), content }, tail)))
}

#[cfg(test)]
#[path = "fastcgi_tests.rs"]
mod tests;
