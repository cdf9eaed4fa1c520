//! An HTTP/1.1 client for one GET: the status is the answer.
//!
//! What it is not: a client for anything else. No TLS, no redirects, no names; of the answer it reads the heads, bounded,
//! and of the body only so much that the server can finish what it says.

use super::client::{Stream, connect};
use super::{Address, Outcome};
use std::fmt;
use std::io;
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// All heads of an answer; nginx itself takes 8 KiB of a head from what it proxies.
const MOST_HEAD: usize = 16 * 1024;
/// A server that is cut off in the middle of its answer logs an error for each probe, so it may finish a short one.
const MOST_BODY: usize = 64 * 1024;
const BODY: Duration = Duration::from_millis(250);
const PIECE: usize = 4096;

/// Asks `address` for `path`; a status of one of the ranges is ready.
pub(super) async fn get(
    address: &Address,
    path: &str,
    host: &str,
    wanted: &[RangeInclusive<u16>],
) -> Outcome {
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: php-init/{}\r\nAccept: */*\r\nConnection: close\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let status = match connect(address).await {
        Ok(Stream::Tcp(stream)) => exchange(stream, request.as_bytes()).await,
        Ok(Stream::Unix(stream)) => exchange(stream, request.as_bytes()).await,
        Err(refusal) => return refusal.into(),
    };
    // A query may hold a token.
    let shown = path.split('?').next().unwrap_or_default();
    match status {
        Ok(status) if wanted.iter().any(|range| range.contains(&status)) => Outcome::Ready,
        Ok(status) => Outcome::NotReady(format!("{address} answers {status} to {shown}")),
        Err(error) => Outcome::NotReady(format!("{address} gives no HTTP answer to {shown}: {error}")),
    }
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> Result<u16, HttpError> {
    stream.write_all(request).await.map_err(HttpError::Io)?;
    let mut head = Head::default();
    let mut piece = vec![0; PIECE];
    let status = loop {
        let length = stream.read(&mut piece).await.map_err(HttpError::Io)?;
        if length == 0 {
            return Err(HttpError::CutShort);
        }
        if let Some(status) = head.feed(piece.get(..length).unwrap_or_default())? {
            break status;
        }
    };
    let _ = tokio::time::timeout(BODY, rest(&mut stream, &mut piece)).await;
    Ok(status)
}

async fn rest<S: AsyncRead + Unpin>(stream: &mut S, piece: &mut [u8]) {
    let mut taken = 0;
    while taken < MOST_BODY {
        match stream.read(piece).await {
            Ok(length @ 1..) => taken = taken.saturating_add(length),
            _ => return,
        }
    }
}

/// What comes back is not an answer.
#[derive(Debug)]
enum HttpError {
    Io(io::Error),
    CutShort,
    /// It begins otherwise than HTTP does.
    NotHttp,
    /// The heads do not end.
    TooLarge,
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::CutShort => f.write_str("it closed the connection before the end of its headers"),
            Self::NotHttp => f.write_str("it does not speak HTTP/1"),
            Self::TooLarge => write!(f, "its headers have more than {MOST_HEAD} bytes"),
        }
    }
}

/// Takes the heads of an answer in pieces: RFC 9112, sections 2 to 5. Holds at most its limit.
#[derive(Default)]
struct Head {
    /// Of the head that is not complete.
    pending: Vec<u8>,
    taken: usize,
}

impl Head {
    /// Takes the next piece. `Some` is the status when its head has ended; heads of interim answers (100, 103) are passed
    /// over.
    fn feed(&mut self, piece: &[u8]) -> Result<Option<u16>, HttpError> {
        self.taken = self.taken.saturating_add(piece.len());
        let fits = self.taken <= MOST_HEAD;
        // A piece is at most four kilobytes, so what is held stays near the limit.
        self.pending.extend_from_slice(piece);
        loop {
            let begins = b"HTTP/1.";
            let known = self.pending.len().min(begins.len());
            if self.pending.get(..known) != begins.get(..known) {
                return Err(HttpError::NotHttp);
            }
            let Some(end) = head_end(&self.pending) else { break };
            let status = status(&self.pending).ok_or(HttpError::NotHttp)?;
            if !(100..200).contains(&status) {
                return Ok(Some(status));
            }
            // 101 would be another protocol from now on, and nobody asked for one.
            if status == 101 {
                return Err(HttpError::NotHttp);
            }
            self.pending.drain(..end);
        }
        if fits { Ok(None) } else { Err(HttpError::TooLarge) }
    }
}

/// Where the empty line ends. A lone line feed ends a line too: RFC 9112, section 2.2.
fn head_end(bytes: &[u8]) -> Option<usize> {
    let mut start = 0;
    for end in memchr::memchr_iter(b'\n', bytes) {
        if matches!(bytes.get(start..end), Some([] | [b'\r'])) {
            return end.checked_add(1);
        }
        start = end.saturating_add(1);
    }
    None
}

/// The three digits after the version.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.get(..memchr::memchr(b'\n', head)?)?.trim_ascii_end();
    let [_, b' ', code @ ..] = line.strip_prefix(b"HTTP/1.")? else { return None };
    let (digits, reason) = code.split_at_checked(3)?;
    let ends = reason.first().is_none_or(|byte| *byte == b' ');
    let digits =
        std::str::from_utf8(digits).ok().filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))?;
    digits.parse().ok().filter(|status| ends && (100..=599).contains(status))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
