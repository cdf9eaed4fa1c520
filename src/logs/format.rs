//! What a child's line looks like in the container's log.
//!
//! | format | a line of instance 1 of `queue` |
//! |---|---|
//! | plain | `line` |
//! | prefix | `[queue:1] line` (the number only where there are several; `[schedule] line` for a cron run) |
//! | json | `{"time":"…","service":"queue","instance":1,"pid":12,"stream":"stderr","message":"line"}` |
//!
//! A line that is itself a JSON object becomes `"record":{…}` instead of `"message":"…"`. A line over the limit
//! comes as several lines: in plain and prefix each ends with ` …[part 1, continues]`, the last with
//! ` …[part 3, end]`; in JSON they have `"part":1,"last":false`. Joining the texts before the marks (or the
//! messages) gives the line back, byte for byte. A partial line that waited too long for its end is written without
//! a newline, and goes on where it stopped unless another program's line came in between; in JSON it is a record
//! of its own with `"partial":true`. Where the container is a task of ECS, `"ecs":{…}` stands before the message.

use super::json;
use super::line::{End, Piece};
use super::stamp::Stamp;
use crate::config::plan::LogFormat;
use std::fmt;
use std::sync::OnceLock;

/// Which of a child's pipes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// Whose lines they are. Reads `queue`, `queue:1`, `schedule`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Label {
    /// A service; `instance` is shown only when the service has several (`instances` > 1).
    Service { name: String, instance: u16, instances: u16 },
    /// A run of a cron entry.
    Cron { name: String },
    /// A boot step or the migration.
    Step { name: String },
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { name, instance, instances } if *instances > 1 => write!(f, "{name}:{instance}"),
            Self::Service { name, .. } | Self::Cron { name } | Self::Step { name } => f.write_str(name),
        }
    }
}

/// Turns pieces of one stream into bytes of the container's log.
#[derive(Debug)]
pub struct Formatter {
    format: LogFormat,
    /// `[queue:1] `, or what stands between the time and the message in JSON. Empty in plain.
    head: Box<[u8]>,
    /// A piece of JSON that ends with a comma, once it is known.
    context: Option<&'static OnceLock<Box<[u8]>>>,
}

impl Formatter {
    /// For the lines that process `pid` of `label` writes to `stream`. [`LogFormat::Inherit`] is treated as plain.
    pub fn new(format: LogFormat, label: &Label, pid: i32, stream: Stream) -> Self {
        let head = match format {
            LogFormat::Plain | LogFormat::Inherit => Vec::new(),
            LogFormat::Prefix => format!("[{label}] ").into_bytes(),
            LogFormat::Json => json_head(label, pid, stream),
        };
        Self { format, head: head.into_boxed_slice(), context: None }
    }

    /// Adds what `context` holds, by the time of a line, to each line in JSON.
    #[must_use]
    pub fn with_context(self, context: &'static OnceLock<Box<[u8]>>) -> Self {
        Self { context: Some(context), ..self }
    }

    /// A whole line goes out as it came, so nothing needs to be formatted.
    pub fn is_plain(&self) -> bool {
        matches!(self.format, LogFormat::Plain | LogFormat::Inherit)
    }

    /// Appends `piece`. `continues`: the last thing written to the log is an open line of this same stream.
    pub fn write(&self, out: &mut Vec<u8>, piece: &Piece<'_>, at: &Stamp, continues: bool) {
        match self.format {
            LogFormat::Json => self.write_json(out, piece, at),
            LogFormat::Plain | LogFormat::Inherit => write_text(out, piece),
            LogFormat::Prefix => {
                if !continues {
                    out.extend_from_slice(&self.head);
                }
                write_text(out, piece);
            }
        }
    }

    fn write_json(&self, out: &mut Vec<u8>, piece: &Piece<'_>, at: &Stamp) {
        let (content, _) = piece.split();
        out.extend_from_slice(b"{\"time\":\"");
        out.extend_from_slice(at.as_bytes());
        out.extend_from_slice(&self.head);
        out.extend_from_slice(self.context.and_then(OnceLock::get).map(AsRef::as_ref).unwrap_or_default());
        if piece.part > 0 {
            let last = matches!(piece.end, End::Newline | End::Eof);
            out.extend_from_slice(format!("\"part\":{},\"last\":{last},", piece.part).as_bytes());
        }
        if piece.end == End::Idle {
            out.extend_from_slice(b"\"partial\":true,");
        }
        let whole = piece.part == 0 && piece.end != End::Idle;
        match whole.then(|| json::object(content)).flatten() {
            Some(object) => {
                out.extend_from_slice(b"\"record\":");
                out.extend_from_slice(object);
            }
            None => {
                out.extend_from_slice(b"\"message\":");
                json::string(out, content);
            }
        }
        out.extend_from_slice(b"}\n");
    }
}

fn write_text(out: &mut Vec<u8>, piece: &Piece<'_>) {
    let (content, terminator) = piece.split();
    out.extend_from_slice(content);
    match (piece.part, piece.end) {
        (0, _) | (_, End::Idle) => {}
        (part, End::Cut) => out.extend_from_slice(format!(" …[part {part}, continues]").as_bytes()),
        (part, End::Newline | End::Eof) => out.extend_from_slice(format!(" …[part {part}, end]").as_bytes()),
    }
    match piece.end {
        End::Newline => out.extend_from_slice(terminator),
        End::Cut | End::Eof => out.push(b'\n'),
        End::Idle => {}
    }
}

fn json_head(label: &Label, pid: i32, stream: Stream) -> Vec<u8> {
    let mut head = b"\",\"".to_vec();
    let (kind, name) = match label {
        Label::Service { name, .. } => ("service", name),
        Label::Cron { name } => ("cron", name),
        Label::Step { name } => ("step", name),
    };
    head.extend_from_slice(kind.as_bytes());
    head.extend_from_slice(b"\":");
    json::string(&mut head, name.as_bytes());
    if let Label::Service { instance, .. } = label {
        head.extend_from_slice(format!(",\"instance\":{instance}").as_bytes());
    }
    head.extend_from_slice(format!(",\"pid\":{pid},\"stream\":\"{}\",", stream.name()).as_bytes());
    head
}

#[cfg(test)]
#[path = "format_tests.rs"]
mod tests;
