//! init's own lines: one event, one line.
//!
//! As text: `2026-11-21T23:28:00.123Z init WARN  php-fpm: exited 78 attempt=3`. As JSON:
//! `{"time":"…","service":"init","pid":1,"level":"warn","message":"…","fields":{"attempt":"3"}}`. Control characters are
//! escaped, so neither a newline nor a terminal sequence in a file name or an error text gets through.

use super::json;
use super::stamp::Stamp;
use crate::config::plan::LogLevel;

/// The fact that names the service or cron entry that an event is about.
const SERVICE: &str = "service";

/// What stands between the time and the level.
const INIT: &[u8] = b" init ";

/// One event.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    pub at: Stamp,
    pub level: LogLevel,
    pub message: &'a str,
    /// Further facts, in order.
    pub fields: &'a [(&'a str, String)],
}

impl Entry<'_> {
    /// Appends the event as text, with its newline.
    pub fn text(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.at.as_bytes());
        out.extend_from_slice(INIT);
        let level = match self.level {
            LogLevel::Error => "ERROR ",
            LogLevel::Warn => "WARN  ",
            LogLevel::Info => "INFO  ",
            LogLevel::Debug => "DEBUG ",
            LogLevel::Trace => "TRACE ",
        };
        out.extend_from_slice(level.as_bytes());
        // What it is about goes first: `php-fpm: exited 78`.
        if let Some((_, service)) = self.fields.iter().find(|(name, _)| *name == SERVICE) {
            visible(out, service, false);
            out.extend_from_slice(b": ");
        }
        visible(out, self.message, false);
        for (name, value) in self.fields.iter().filter(|(name, _)| *name != SERVICE) {
            out.push(b' ');
            out.extend_from_slice(name.as_bytes());
            out.push(b'=');
            let quote =
                value.is_empty() || value.contains([' ', '"', '=', '\\']) || value.contains(char::is_control);
            if quote {
                out.push(b'"');
            }
            visible(out, value, quote);
            if quote {
                out.push(b'"');
            }
        }
        out.push(b'\n');
    }

    /// How many bytes of [`Entry::text`] stand before the level.
    pub fn head(&self) -> usize {
        self.at.as_bytes().len().saturating_add(INIT.len())
    }

    /// Appends the event as a JSON object of process `pid`, with its newline. `context` is a piece of JSON that ends
    /// with a comma, or nothing.
    pub fn json(&self, out: &mut Vec<u8>, pid: u32, context: &[u8]) {
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(self.at.as_bytes());
        let level = match self.level {
            LogLevel::Error => "error",
            LogLevel::Warn => "warn",
            LogLevel::Info => "info",
            LogLevel::Debug => "debug",
            LogLevel::Trace => "trace",
        };
        let head = format!("\",\"service\":\"init\",\"pid\":{pid},\"level\":\"{level}\",");
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(context);
        out.extend_from_slice(b"\"message\":");
        json::string(out, self.message.as_bytes());
        for (at, (name, value)) in self.fields.iter().enumerate() {
            out.extend_from_slice(if at == 0 { b",\"fields\":{" } else { b"," });
            json::string(out, name.as_bytes());
            out.push(b':');
            json::string(out, value.as_bytes());
        }
        out.extend_from_slice(if self.fields.is_empty() { b"}\n" } else { b"}}\n" });
    }
}

fn visible(out: &mut Vec<u8>, text: &str, quoted: bool) {
    let mut rest = text;
    while let Some((at, c)) =
        rest.char_indices().find(|(_, c)| c.is_control() || quoted && matches!(c, '"' | '\\'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain.as_bytes());
        match c {
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            c => out.extend_from_slice(format!("\\x{:02x}", u32::from(c)).as_bytes()),
        }
        rest = special.split_at(c.len_utf8()).1;
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry<'a>(message: &'a str, fields: &'a [(&'a str, String)]) -> Entry<'a> {
        Entry { at: Stamp::new(1_795_303_680_123), level: LogLevel::Warn, message, fields }
    }

    fn text(message: &str, fields: &[(&str, String)]) -> String {
        let mut out = Vec::new();
        entry(message, fields).text(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn text_reads_well() {
        assert_eq!(
            text("php-fpm: exited 78", &[("attempt", "3".into()), ("why", "no such user".into())]),
            "2026-11-21T23:28:00.123Z init WARN  php-fpm: exited 78 attempt=3 why=\"no such user\"\n"
        );
    }

    #[test]
    fn one_event_is_one_line() {
        assert_eq!(
            text("a\nb\r\tc\u{1b}[31mé", &[("k", "x\ny".into()), ("e", String::new())]),
            "2026-11-21T23:28:00.123Z init WARN  a\\nb\\r\\tc\\x1b[31mé k=\"x\\ny\" e=\"\"\n"
        );
    }

    #[test]
    fn json_parses_with_and_without_fields() {
        for fields in [vec![], vec![("a", "1".to_owned()), ("b", "two \"2\"\n".to_owned())]] {
            let mut out = Vec::new();
            entry("line\n\"x\"", &fields).json(&mut out, 7, br#""ecs":{"task":"t"},"#);
            assert_eq!(out.iter().filter(|&&b| b == b'\n').count(), 1);
            let value: serde_json::Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(value["message"], "line\n\"x\"");
            assert_eq!(value["level"], "warn");
            assert_eq!(value["ecs"]["task"], "t");
            assert_eq!(value["pid"], 7);
            assert_eq!(value["time"], "2026-11-21T23:28:00.123Z");
            let second = value["fields"]["b"].as_str();
            assert_eq!(second, (!fields.is_empty()).then_some("two \"2\"\n"));
        }
    }
}
