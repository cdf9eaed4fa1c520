//! The boot as a picture that stands alone: no script, no font, no style sheet from elsewhere.

use super::{Bar, bars, kind, took};
use crate::control::protocol::{SpanKind, Timeline};
use std::fmt::Write as _;

/// Pixels of the scale.
const SCALE: u64 = 900;
/// Pixels on the left of it.
const LEFT: u64 = 24;
/// Pixels on the right of it.
const RIGHT: u64 = 40;
/// Pixels of a letter, rather too many.
const LETTER: u64 = 8;
/// Pixels above the first bar.
const TOP: u64 = 84;
const ROW: u64 = 24;
const BAR: u64 = 16;

/// Draws it.
pub fn draw(timeline: &Timeline, version: &str) -> String {
    let bars = bars(timeline);
    let count = u64::try_from(bars.len()).unwrap_or(0);
    let total = bars.iter().map(|bar| bar.end_ms).max().unwrap_or(0).max(timeline.total_ms).max(1);
    let bottom = TOP.saturating_add(count.saturating_mul(ROW));
    let (width, height) = (LEFT.saturating_add(SCALE).saturating_add(RIGHT), bottom.saturating_add(56));
    let title = escaped(&super::title(timeline, version));
    let mut out = String::new();
    // Writing to a string cannot fail, here and below.
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"DejaVu Sans, Helvetica, Arial, sans-serif\" font-size=\"12\">\n\
         <title>{title}</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"32\" font-size=\"18\" font-weight=\"bold\" fill=\"#1f2933\">{title}</text>\n"
    );
    axis(&mut out, total, bottom);
    for (bar, row) in bars.iter().zip(0_u64..) {
        draw_bar(&mut out, bar, TOP.saturating_add(row.saturating_mul(ROW)), total);
    }
    legend(&mut out, bottom.saturating_add(28), bars.iter().any(|bar| !bar.span.ok));
    out.push_str("</svg>\n");
    out
}

fn x(ms: u64, total: u64) -> u64 {
    let pixels = u128::from(ms).saturating_mul(u128::from(SCALE)) / u128::from(total.max(1));
    LEFT.saturating_add(u64::try_from(pixels).unwrap_or(SCALE))
}

fn axis(out: &mut String, total: u64, bottom: u64) {
    let step = super::step(total, 10);
    for at in super::marks(total, step) {
        let (x, y) = (x(at, total), TOP.saturating_sub(14));
        let text = super::moment(at);
        let _ = write!(
            out,
            "<line x1=\"{x}\" y1=\"{}\" x2=\"{x}\" y2=\"{bottom}\" stroke=\"#d9dee4\"/>\n\
             <text x=\"{x}\" y=\"{y}\" text-anchor=\"middle\" fill=\"#66727f\">{text}</text>\n",
            y.saturating_add(6)
        );
    }
}

fn draw_bar(out: &mut String, bar: &Bar<'_>, top: u64, total: u64) {
    let span = bar.span;
    let (from, to) = (x(span.start_ms, total), x(bar.end_ms, total));
    let width = to.saturating_sub(from).max(2);
    let colour = if span.ok { colour(span.kind) } else { FAILED };
    // What goes on has an open end.
    let dash = if span.end_ms.is_none() { " stroke-dasharray=\"4 3\" fill-opacity=\"0.5\"" } else { "" };
    let note = match (span.ok, span.end_ms) {
        (false, _) => " failed",
        (true, None) => " goes on",
        (true, Some(_)) => "",
    };
    let length = took(bar.end_ms.saturating_sub(span.start_ms));
    let name = escaped(&span.name);
    let middle = top.saturating_add(BAR.saturating_sub(4));
    let _ = write!(
        out,
        "<g><title>{name}: {}, {} to {}{note}</title>\
         <rect x=\"{from}\" y=\"{top}\" width=\"{width}\" height=\"{BAR}\" rx=\"2\" fill=\"{colour}\" stroke=\"{colour}\"{dash}/>",
        kind(span.kind),
        took(span.start_ms),
        took(bar.end_ms),
    );
    // The text stands beside the bar, on the side where there is room, or in it.
    let letters = u64::try_from(span.name.chars().count()).unwrap_or(0).saturating_add(18);
    let text = letters.saturating_mul(LETTER);
    let right = to.max(from.saturating_add(2)).saturating_add(6);
    let (at, anchor, fill) = if right.saturating_add(text) <= LEFT.saturating_add(SCALE).saturating_add(RIGHT)
    {
        (right, "start", "#1f2933")
    } else if from > text {
        (from.saturating_sub(6), "end", "#1f2933")
    } else {
        (from.saturating_add(8), "start", "#ffffff")
    };
    let weight = if span.ok { "" } else { " font-weight=\"bold\"" };
    let _ = writeln!(
        out,
        "<text x=\"{at}\" y=\"{middle}\" text-anchor=\"{anchor}\" fill=\"{fill}\"{weight}>{name} ({length}){note}</text></g>"
    );
}

const FAILED: &str = "#c8372d";

fn colour(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Init => "#6b7785",
        SpanKind::Fetch => "#2f7ebc",
        SpanKind::Step => "#8a5cb8",
        SpanKind::Service => "#3a9152",
    }
}

fn legend(out: &mut String, y: u64, failed: bool) {
    let kinds = [SpanKind::Init, SpanKind::Fetch, SpanKind::Step, SpanKind::Service];
    let mut entries: Vec<(&str, &str)> = kinds.iter().map(|one| (colour(*one), kind(*one))).collect();
    if failed {
        entries.push((FAILED, "failed"));
    }
    let mut x = LEFT;
    for (colour, text) in entries {
        let letters = u64::try_from(text.len()).unwrap_or(0);
        let _ = writeln!(
            out,
            "<rect x=\"{x}\" y=\"{}\" width=\"12\" height=\"12\" rx=\"2\" fill=\"{colour}\"/><text x=\"{}\" y=\"{y}\" fill=\"#66727f\">{text}</text>",
            y.saturating_sub(10),
            x.saturating_add(18)
        );
        x = x.saturating_add(48).saturating_add(letters.saturating_mul(7));
    }
}

/// As XML text. Control characters are not allowed in XML at all.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for c in crate::cli::look::harmless(text).chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}
