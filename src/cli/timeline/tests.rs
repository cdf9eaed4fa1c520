//! What the timeline looks like.

use super::{moment, save, step, svg, text};
use crate::cli::look::Look;
use crate::control::protocol::{Span, SpanKind, Timeline};

fn span(name: &str, kind: SpanKind, start_ms: u64, end_ms: u64) -> Span {
    Span { name: name.into(), kind, start_ms, end_ms: Some(end_ms), ok: true }
}

fn timeline() -> Timeline {
    let spans = vec![
        // Out of order: a service may begin before a fetch is told.
        span("php-fpm", SpanKind::Service, 600, 900),
        span("boot", SpanKind::Init, 10, 600),
        span("configuration", SpanKind::Init, 0, 4),
        span(".env", SpanKind::Fetch, 10, 100),
        Span { ok: false, ..span("optimize", SpanKind::Step, 100, 500) },
        Span { end_ms: None, ..span("queue:0", SpanKind::Service, 910, 0) },
    ];
    Timeline { spans, total_ms: 1000 }
}

#[test]
fn bars_of_blocks() {
    let look = Look { terminal: true, width: Some(80), ..Look::PLAIN };
    let expected = "\
Boot of init 0.2.0: 1.00s so far

               ╷0       ╷200ms    ╷400ms    ╷600ms    ╷800ms
configuration  ▏                                                     4ms
boot           █████████████████████████████▍                      590ms
  .env         ████▉                                                90ms
  optimize         ████████████████████▌                           400ms failed
php-fpm                                     ███████████████        300ms
queue:0                                                    █████    90ms goes on
";
    let drawn = text::draw(&timeline(), "0.2.0", &look);
    assert_eq!(drawn, expected, "\n{drawn}");
}

#[test]
fn bars_of_ascii_without_unicode() {
    let drawn = text::draw(&timeline(), "0.2.0", &Look { unicode: false, ..Look::PLAIN });
    assert!(drawn.is_ascii() && drawn.contains("  optimize         ###"), "\n{drawn}");
}

#[test]
fn every_terminal_has_room() {
    for width in [20, 40, 60, 79, 200] {
        let look = Look { terminal: true, width: Some(width), ..Look::PLAIN };
        let drawn = text::draw(&timeline(), "0.2.0", &look);
        let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= width.max(46), "{width}:\n{drawn}");
    }
    let none = text::draw(&Timeline::default(), "0.2.0", &Look::PLAIN);
    assert_eq!(none, "Boot of init 0.2.0: 0ms in all\n");
}

#[test]
fn a_picture_escapes_its_texts_and_is_whole() {
    let mut timeline = timeline();
    timeline.spans[0].name = "<script>alert(\"1 & 2\")</script>\u{1b}\u{0}\u{ffff}".into();
    let drawn = svg::draw(&timeline, "0.2.0<");
    assert!(drawn.starts_with("<?xml") && drawn.ends_with("</svg>\n"));
    assert!(drawn.contains("&lt;script&gt;alert(&quot;1 &amp; 2&quot;)&lt;/script&gt;\\x1b\\x00"), "{drawn}");
    assert!(!drawn.contains("<script") && !drawn.chars().any(|c| c.is_control() && c != '\n'));
    assert!(drawn.contains("<title>Boot of init 0.2.0&lt;: 1.00s so far</title>"), "{drawn}");
    assert!(drawn.contains("optimize (400ms) failed") && drawn.contains("stroke-dasharray"), "{drawn}");
    // Nothing from elsewhere.
    assert_eq!(drawn.matches("http").count(), 1, "the name space alone");
    assert_eq!(drawn.matches("<g>").count(), 6);
    assert!(svg::draw(&Timeline::default(), "x").ends_with("</svg>\n"));
    // Times that no clock gives are drawn all the same.
    timeline.spans.push(span("x", SpanKind::Init, u64::MAX, 3));
    timeline.total_ms = u64::MAX;
    assert!(svg::draw(&timeline, "x").ends_with("</svg>\n"));
    assert!(text::draw(&timeline, "x", &Look::PLAIN).contains('x'));
}

#[test]
fn the_axis_is_round() {
    for (total, count, expected) in [(1000, 6, 200), (2140, 10, 500), (3, 10, 1), (0, 0, 1)] {
        assert_eq!(step(total, count), expected, "{total}/{count}");
    }
    assert!(step(u64::MAX, 3) > 0);
    let texts = [0, 500, 1000, 1500, 20_000, 120_000].map(moment);
    assert_eq!(texts, ["0", "500ms", "1s", "1.5s", "20s", "2m00s"]);
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("boot.svg");
    for text in ["one", "two"] {
        save(&path, text).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    }
    assert!(save(dir.path(), "x").is_err());
    assert!(save(&dir.path().join("no/such/place.svg"), "x").is_err());
    save(std::path::Path::new("/dev/null"), "x").unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
}
