//! PURE: bytes of a client to a request, or to the reason why they are none.

use super::protocol::{Envelope, MAX_REQUEST, Reply, VERSION};
use crate::exit;
use serde::Deserialize;
use std::fmt;

/// What is said instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What the client exits with.
    pub code: u8,
    pub message: String,
}

impl Refusal {
    /// The client asked for something that there is not.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { code: exit::USAGE, message: message.into() }
    }

    /// It cannot be had now, or not by this client.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self { code: exit::UNAVAILABLE, message: message.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Self {
        Self::Error { code: refusal.code, message: refusal.message }
    }
}

/// The version alone, which any later protocol still says in this manner.
#[derive(Deserialize)]
struct Versioned {
    v: u32,
}

/// Reads one line, with or without its line feed.
///
/// # Errors
/// [`Refusal`] says what is wrong with it, and repeats nothing of it: it may be anything.
pub fn parse_request(line: &[u8]) -> Result<Envelope, Refusal> {
    if line.len() > MAX_REQUEST {
        return Err(too_long());
    }
    let version: Versioned = serde_json::from_slice(line).map_err(|error| {
        Refusal::usage(format!(
            "cannot read the request: it is no JSON object with a version ({}, column {})",
            category(&error),
            error.column()
        ))
    })?;
    if version.v != VERSION {
        return Err(Refusal::usage(format!(
            "cannot answer version {} of the protocol: this init ({}) speaks version {VERSION}; use the client of the same image",
            version.v,
            env!("CARGO_PKG_VERSION"),
        )));
    }
    serde_json::from_slice(line).map_err(|error| {
        Refusal::usage(format!(
            "cannot read the request: this init ({}) knows no such request, or a field is missing or wrong ({})",
            env!("CARGO_PKG_VERSION"),
            category(&error)
        ))
    })
}

/// The line did not end in time.
pub fn too_long() -> Refusal {
    Refusal::usage(format!("cannot read the request: it is longer than {MAX_REQUEST} bytes"))
}

fn category(error: &serde_json::Error) -> &'static str {
    match error.classify() {
        serde_json::error::Category::Io => "it cannot be read",
        serde_json::error::Category::Syntax => "its syntax is wrong",
        serde_json::error::Category::Data => "its content is wrong",
        serde_json::error::Category::Eof => "its end is missing",
    }
}

#[cfg(test)]
mod tests {
    use super::super::protocol::{Level, Request};
    use super::*;
    use proptest::prelude::*;

    fn refusal(line: &[u8]) -> String {
        parse_request(line).unwrap_err().message
    }

    #[test]
    fn requests_are_read_and_written() {
        let names = || vec!["queue:1".to_owned()];
        for request in [
            Request::Status,
            Request::Health { level: Level::Ready },
            Request::Restart { names: names() },
            Request::Signal { names: names(), signal: "USR1".to_owned() },
            Request::Logs { names: names(), lines: 10, follow: true },
            Request::Run { name: "schedule".to_owned(), wait: true },
        ] {
            let envelope = Envelope { v: VERSION, request };
            let mut line = serde_json::to_vec(&envelope).unwrap();
            line.push(b'\n');
            assert_eq!(parse_request(&line).unwrap(), envelope);
        }
        let later = br#"{"v":1,"request":"status","since":"1.1"}"#;
        assert_eq!(parse_request(later).unwrap().request, Request::Status, "a field of a later version");
    }

    #[test]
    fn what_is_no_request_is_named_and_not_repeated() {
        assert!(refusal(br#"{"v":9,"request":"conquer","secret":"S3CR3T"}"#).contains("version 9"));
        assert!(refusal(br#"{"v":1,"request":"S3CR3T"}"#).contains("no such request"));
        assert!(refusal(br#"{"v":1,"request":"health"}"#).contains("missing"));
        assert!(refusal(b"").contains("no JSON object"));
        assert!(refusal(b"GET /S3CR3T HTTP/1.1\r\n").contains("column 1"));
        assert!(refusal(b"\0\0\0").contains("no JSON object"));
        assert!(refusal(&[b'{'; MAX_REQUEST + 1]).contains("longer than 4096"));
        for line in [&b"{\"v\":1,\"request\":\"S3CR3T\"}"[..], b"S3CR3T", b"{\"v\":\"S3CR3T\"}"] {
            assert!(!refusal(line).contains("S3CR3T"));
        }
    }

    #[test]
    fn deep_nesting_is_refused_and_not_followed() {
        for depth in [100, 127, 128, 129, 1000, 2000] {
            let line =
                format!(r#"{{"v":1,"x":{}{},"request":"status"}}"#, "[".repeat(depth), "]".repeat(depth));
            let _ = parse_request(line.as_bytes());
        }
        assert!(parse_request("[".repeat(4000).as_bytes()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(line in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse_request(&line);
        }

        #[test]
        fn any_bytes_in_a_request_are_answered(
            at in 0_usize..60, junk in proptest::collection::vec(any::<u8>(), 0..9),
        ) {
            let mut line = br#"{"v":1,"request":"logs","names":["a"],"lines":5,"follow":false}"#.to_vec();
            line.splice(at..at.saturating_add(junk.len()).min(line.len()), junk);
            if let Ok(envelope) = parse_request(&line) {
                prop_assert_eq!(envelope.v, VERSION);
            }
        }
    }
}
