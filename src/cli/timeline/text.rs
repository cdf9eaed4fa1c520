//! The boot as bars of text.

use super::{Bar, bars, took};
use crate::cli::look::{Ink, Look, harmless};
use crate::control::protocol::{SpanKind, Timeline};

/// Without a terminal's width.
const WIDTH: usize = 80;
/// Names are cut off beyond.
const WIDEST_NAME: usize = 28;
/// Eighths of a cell, from the left.
const EIGHTHS: [&str; 8] = ["▏", "▎", "▍", "▌", "▋", "▊", "▉", "█"];

/// Draws it.
pub fn draw(timeline: &Timeline, version: &str, look: &Look) -> String {
    let title = harmless(&super::title(timeline, version)).into_owned();
    let mut out = look.paint(Ink::Title, &title);
    out.push('\n');
    let bars = bars(timeline);
    if bars.is_empty() {
        return out;
    }
    out.push('\n');
    let names: Vec<String> = bars.iter().map(name).collect();
    let margin = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // Two spaces on each side of the bars, and `1m05s failed` after them.
    let width = look.width.unwrap_or(WIDTH).min(160);
    let room = width.saturating_sub(margin.saturating_add(18)).max(10);
    let total = bars.iter().map(|bar| bar.end_ms).max().unwrap_or(0).max(timeline.total_ms).max(1);
    axis(&mut out, look, margin, room, total);
    for (bar, name) in bars.iter().zip(&names) {
        let (before, body) = cells(bar, room, total, look.unicode);
        let blank = room.saturating_sub(before.saturating_add(body.chars().count()));
        let took = format!("{:>6}", took(bar.end_ms.saturating_sub(bar.span.start_ms)));
        let (note, mark) = match (bar.span.ok, bar.span.end_ms) {
            (false, _) => (" failed", Some(Ink::Bad)),
            (true, None) => (" goes on", Some(Ink::Busy)),
            (true, Some(_)) => ("", None),
        };
        out.push_str(&format!("{name:<margin$}  {}", " ".repeat(before)));
        out.push_str(&look.paint(mark.unwrap_or_else(|| ink(bar.span.kind)), &body));
        out.push_str(&" ".repeat(blank.saturating_add(2)));
        out.push_str(&took);
        out.push_str(&mark.map_or_else(String::new, |mark| look.paint(mark, note)));
        out.push('\n');
    }
    out
}

fn name(bar: &Bar<'_>) -> String {
    let shown = harmless(&bar.span.name);
    let text = format!("{}{shown}", "  ".repeat(bar.depth.min(4)));
    if text.chars().count() <= WIDEST_NAME {
        return text;
    }
    text.chars().take(WIDEST_NAME.saturating_sub(1)).chain(['~']).collect()
}

fn ink(kind: SpanKind) -> Ink {
    match kind {
        SpanKind::Init => Ink::Faint,
        SpanKind::Fetch => Ink::Accent,
        SpanKind::Step => Ink::Work,
        SpanKind::Service => Ink::Good,
    }
}

/// The times above the bars.
fn axis(out: &mut String, look: &Look, margin: usize, room: usize, total: u64) {
    let labels = u64::try_from(room / 9).unwrap_or(1).max(1);
    let step = super::step(total, labels);
    let mut line = String::new();
    for at in super::marks(total.saturating_sub(1), step) {
        let column = scaled(at, room, total);
        let taken = line.chars().count();
        if line.is_empty() || taken < column {
            line.push_str(&" ".repeat(column.saturating_sub(taken)));
            line.push_str(if look.unicode { "╷" } else { "|" });
            line.push_str(&super::moment(at));
        }
    }
    out.push_str(&" ".repeat(margin.saturating_add(2)));
    out.push_str(&look.paint(Ink::Faint, line.trim_end()));
    out.push('\n');
}

fn scaled(ms: u64, room: usize, total: u64) -> usize {
    let room = u64::try_from(room).unwrap_or(u64::MAX);
    usize::try_from(u128::from(ms).saturating_mul(room.into()) / u128::from(total.max(1))).unwrap_or(0)
}

/// Empty cells, then the bar: at least a sliver of one.
fn cells(bar: &Bar<'_>, room: usize, total: u64, unicode: bool) -> (usize, String) {
    let eighths = |ms: u64| scaled(ms, room.saturating_mul(8), total);
    let before = (eighths(bar.span.start_ms) / 8).min(room.saturating_sub(1));
    let end = eighths(bar.end_ms).min(room.saturating_mul(8));
    let length = end.saturating_sub(before.saturating_mul(8)).max(1);
    let (full, rest) = (length / 8, length % 8);
    if !unicode {
        return (before, if full == 0 { "|".to_owned() } else { "#".repeat(full) });
    }
    let part = rest.checked_sub(1).and_then(|index| EIGHTHS.get(index)).copied().unwrap_or_default();
    (before, format!("{}{part}", "█".repeat(full)))
}
