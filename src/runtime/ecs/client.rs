//! One HTTP request to the agent of ECS: plain, to an address, answered with a little JSON.
//!
//! No names are resolved, no redirect is followed, no connection is kept. The caller sets the time limit.

use std::fmt::Write as _;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The metadata of a task with ten containers has some 20 kB.
const MOST_ANSWER: usize = 256 * 1024;
const PIECE: usize = 4096;

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Vec<u8>,
}

/// Sends `method url`, with `body` as JSON where there is one. The error says why there is no answer.
///
/// # Errors
/// The URL is none of ours, the connection failed, or what came back is not HTTP.
pub async fn request(method: &str, url: &str, body: Option<&str>) -> Result<Answer, String> {
    let (address, host, path) = parts(url).ok_or_else(|| format!("{url} is no http://ADDRESS/PATH"))?;
    let failed = |error: std::io::Error| format!("{host}: {}", crate::sys::words(&error));
    let mut stream = TcpStream::connect(address).await.map_err(failed)?;
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nHost: {host}\r\nAccept: application/json\r\nConnection: close\r\n"
    );
    if let Some(body) = body {
        // Writing to a String cannot fail.
        let _ = write!(text, "Content-Type: application/json\r\nContent-Length: {}\r\n", body.len());
    }
    text.push_str("\r\n");
    text.push_str(body.unwrap_or_default());
    stream.write_all(text.as_bytes()).await.map_err(failed)?;
    let mut received = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let length = stream.read(&mut piece).await.map_err(failed)?;
        received.extend_from_slice(piece.get(..length).unwrap_or_default());
        if let Some(answer) = parse(&received, length == 0).map_err(|why| format!("{host} {why}"))? {
            return Ok(answer);
        }
        if received.len() > MOST_ANSWER {
            return Err(format!("{host} answers with more than {MOST_ANSWER} bytes"));
        }
    }
}

/// Address, host and path of `http://169.254.170.2/v4/abc`.
fn parts(url: &str) -> Option<(SocketAddr, &str, &str)> {
    let rest = url.strip_prefix("http://")?;
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let path = if path.is_empty() { "/" } else { path };
    let clean = path.bytes().all(|byte| byte.is_ascii_graphic());
    let address = host.parse().ok().or_else(|| {
        let ip = host.trim_matches(['[', ']']).parse().ok()?;
        Some(SocketAddr::new(ip, 80))
    })?;
    clean.then_some((address, host, path))
}

/// The answer in `bytes`; `None` while it is not complete. `end`: nothing follows.
fn parse(bytes: &[u8], end: bool) -> Result<Option<Answer>, &'static str> {
    let Some(head_end) = memchr::memmem::find(bytes, b"\r\n\r\n") else {
        return if end { Err("closed the connection without an answer") } else { Ok(None) };
    };
    let (head, rest) = bytes.split_at(head_end);
    let head = String::from_utf8_lossy(head);
    let body = rest.get(4..).unwrap_or_default();
    let mut lines = head.lines();
    let status = lines
        .next()
        .filter(|line| line.starts_with("HTTP/1."))
        .and_then(|line| line.split(' ').nth(1)?.parse().ok())
        .ok_or("does not speak HTTP")?;
    let header = |name: &str| {
        let found = head.lines().filter_map(|line| line.split_once(':'));
        found.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let whole = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        unchunk(body)?
    } else {
        match header("content-length").and_then(|value| value.parse::<usize>().ok()) {
            Some(length) => body.get(..length).map(<[u8]>::to_vec),
            None => end.then(|| body.to_vec()),
        }
    };
    match whole {
        Some(body) => Ok(Some(Answer { status, body })),
        None if end => Err("closed the connection in the middle of its answer"),
        None => Ok(None),
    }
}

/// What Go's server sends when it does not know the length: RFC 9112, section 7.1. `None` while it is not complete.
fn unchunk(mut bytes: &[u8]) -> Result<Option<Vec<u8>>, &'static str> {
    let mut body = Vec::new();
    loop {
        let Some(line_end) = memchr::memmem::find(bytes, b"\r\n") else { return Ok(None) };
        let (line, rest) = bytes.split_at(line_end);
        let size = std::str::from_utf8(line)
            .ok()
            .and_then(|line| {
                usize::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16).ok()
            })
            .ok_or("garbles its chunks")?;
        if size == 0 {
            return Ok(Some(body));
        }
        let rest = rest.get(2..).unwrap_or_default();
        let (Some(chunk), Some(after)) = (rest.get(..size), rest.get(size.saturating_add(2)..)) else {
            return Ok(None);
        };
        body.extend_from_slice(chunk);
        bytes = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_an_address() {
        let of = |url| parts(url).map(|(address, _, path)| (address.to_string(), path));
        assert_eq!(of("http://169.254.170.2/v4/a-1"), Some(("169.254.170.2:80".into(), "/v4/a-1")));
        assert_eq!(of("http://127.0.0.1:51678"), Some(("127.0.0.1:51678".into(), "/")));
        assert_eq!(of("http://[fd00:ec2::23]/x"), Some(("[fd00:ec2::23]:80".into(), "/x")));
        for bad in
            ["https://169.254.170.2/", "http://agent/", "http://1.2.3.4/a b", "http://1.2.3.4/\r\nX: y", ""]
        {
            assert_eq!(of(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn answers_by_length_by_chunks_and_by_the_end() {
        let ok = |body: &str| Some(Answer { status: 200, body: body.into() });
        let by_length = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
        let by_chunks =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{\"\r\n3;x=y\r\na\"}\r\n0\r\n\r\n";
        assert_eq!(parse(by_length, false), Ok(ok("{}")));
        assert_eq!(parse(by_chunks, false), Ok(ok("{\"a\"}")));
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\n\r\nx", true), Ok(ok("x")));
        for all in [&by_length[..], by_chunks] {
            for cut in 0..all.len() - 6 {
                let piece = &all[..cut];
                assert!(!matches!(parse(piece, true), Ok(Some(_))), "{cut}");
                assert!(parse(piece, false).is_ok(), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_answer_is_told() {
        assert_eq!(parse(b"SSH-2.0-x\r\n\r\n", false), Err("does not speak HTTP"));
        assert_eq!(
            parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", false),
            Err("garbles its chunks")
        );
        assert!(parse(b"", true).is_err());
    }
}
