//! The boot as a picture: text bars for a terminal, SVG for a browser, as `systemd-analyze plot` draws it.

mod svg;
#[cfg(test)]
mod tests;
mod text;

use super::control::unwritable;
use super::remote::{Done, Failed, Io, Remote};
use super::{say, status};
use crate::control::protocol::{Span, SpanKind, Timeline};
use crate::exit;
use std::io::{self, Write as _};
use std::path::Path;

/// One bar.
struct Bar<'a> {
    span: &'a Span,
    /// How many spans of init's own it lies in.
    depth: usize,
    end_ms: u64,
}

/// `init status --timeline`, as text, as JSON, or into a file.
pub fn run(remote: &Remote, io: &mut Io<'_>) -> Done {
    let (timeline, status) = status::fetch_timeline(remote, io)?;
    let text = if let Some(file) = remote.line.value("svg") {
        let picture = svg::draw(&timeline, &status.version);
        if file != "-" {
            return match save(Path::new(file), &picture) {
                Ok(()) => Ok(exit::OK),
                Err(error) => {
                    let why = crate::sys::words(&error);
                    say(io.err, format_args!("init status: cannot write {file:?}: {why}"));
                    Err(Failed(exit::CANT_CREATE))
                }
            };
        }
        picture
    } else if remote.line.has("json") {
        serde_json::to_string(&timeline).map(|text| text + "\n").unwrap_or_default()
    } else {
        text::draw(&timeline, &status.version, &io.look)
    };
    match io.out.write_all(text.as_bytes()).and_then(|()| io.out.flush()) {
        Ok(()) => Ok(exit::OK),
        Err(error) => unwritable(&error),
    }
}

/// Whole or not at all, where the directory can be written; a device or a pipe is written as it is.
#[expect(clippy::disallowed_methods, reason = "an operator names the file, and has the rights that are used")]
fn save(path: &Path, text: &str) -> io::Result<()> {
    let special = crate::files::metadata(path).is_ok_and(|file| !file.is_file());
    if special {
        return std::fs::write(path, text);
    }
    let mut name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_owned();
    name.push(format!(".{}.new", crate::sys::Pid::current()));
    let beside = path.with_file_name(name);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).open(&beside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What is half written is of no use; the error that matters is the first.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The spans in the order of their beginnings, those of init itself before what they hold.
fn bars(timeline: &Timeline) -> Vec<Bar<'_>> {
    let end = |span: &Span| span.end_ms.unwrap_or(timeline.total_ms).max(span.start_ms);
    let mut spans: Vec<&Span> = timeline.spans.iter().collect();
    spans.sort_by_key(|span| (span.start_ms, std::cmp::Reverse(end(span)), span.kind != SpanKind::Init));
    let mut bars: Vec<Bar<'_>> = Vec::new();
    for span in spans {
        let end_ms = end(span);
        let holds = |bar: &&Bar<'_>| bar.span.kind == SpanKind::Init && bar.end_ms >= end_ms;
        let depth = bars.iter().filter(holds).count();
        bars.push(Bar { span, depth, end_ms });
    }
    bars
}

/// `0.4ms` is nothing to say; `84ms`, `1.84s`, `2m05s` are.
fn took(ms: u64) -> String {
    match ms {
        0..=999 => format!("{ms}ms"),
        1000..=59_999 => format!("{}.{:02}s", ms / 1000, ms % 1000 / 10),
        _ => format!("{}m{:02}s", ms / 60_000, ms / 1000 % 60),
    }
}

/// As [`took`], of a round moment: `1s`, `1.5s`.
fn moment(ms: u64) -> String {
    let text = took(ms);
    match text.strip_suffix('s') {
        _ if ms == 0 => "0".to_owned(),
        Some(number) if number.contains('.') => {
            format!("{}s", number.trim_end_matches('0').trim_end_matches('.'))
        }
        _ => text,
    }
}

/// A step of the axis: 1, 2 or 5 times a power of ten, at most `count` of them in `total`.
fn step(total: u64, count: u64) -> u64 {
    let mut power: u64 = 1;
    loop {
        for digit in [1, 2, 5] {
            let step = power.saturating_mul(digit);
            if step.saturating_mul(count.max(1)) >= total || power > u64::MAX / 100 {
                return step;
            }
        }
        power = power.saturating_mul(10);
    }
}

/// The moments of the axis up to `total`. So few that times that no clock gives end too.
fn marks(total: u64, step: u64) -> impl Iterator<Item = u64> {
    (0..32_u64).map_while(move |nth| nth.checked_mul(step)).take_while(move |at| *at <= total)
}

/// What the picture is called.
fn title(timeline: &Timeline, version: &str) -> String {
    let going_on = timeline.spans.iter().any(|span| span.end_ms.is_none());
    let how = if going_on { "so far" } else { "in all" };
    format!("Boot of init {version}: {} {how}", took(timeline.total_ms))
}

fn kind(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Init => "init",
        SpanKind::Fetch => "fetch",
        SpanKind::Step => "boot step",
        SpanKind::Service => "service until ready",
    }
}
