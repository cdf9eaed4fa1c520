use super::super::line::Framer;
use super::*;
use proptest::prelude::*;
use serde_json::Value;

const NOON: i64 = 1_795_303_680_123;

fn queue(instances: u16) -> Label {
    Label::Service { name: "queue".to_owned(), instance: 1, instances }
}

fn write(formatter: &Formatter, bytes: &[u8], end: End, part: u32) -> String {
    let mut out = Vec::new();
    formatter.write(&mut out, &Piece { bytes, end, part }, &Stamp::new(NOON), false);
    String::from_utf8(out).unwrap()
}

#[test]
fn plain_is_the_line_as_it_came() {
    let plain = Formatter::new(LogFormat::Plain, &queue(2), 12, Stream::Stderr);
    assert!(plain.is_plain());
    assert_eq!(write(&plain, b"a\0\r\n", End::Newline, 0), "a\0\r\n");
    assert_eq!(write(&plain, b"dots...", End::Idle, 0), "dots...");
    assert_eq!(write(&plain, b"last words", End::Eof, 0), "last words\n");
    assert_eq!(write(&plain, b"xx", End::Cut, 1), "xx …[part 1, continues]\n");
    assert_eq!(write(&plain, b"yy\r\n", End::Newline, 2), "yy …[part 2, end]\r\n");
}

#[test]
fn prefix_names_the_instance_only_among_several() {
    let line = |label: &Label| {
        write(&Formatter::new(LogFormat::Prefix, label, 12, Stream::Stdout), b"line\n", End::Newline, 0)
    };
    assert_eq!(line(&queue(2)), "[queue:1] line\n");
    assert_eq!(line(&queue(1)), "[queue] line\n");
    assert_eq!(line(&Label::Cron { name: "schedule".to_owned() }), "[schedule] line\n");
    assert_eq!(line(&Label::Step { name: "optimize".to_owned() }), "[optimize] line\n");
}

#[test]
fn a_continued_line_has_one_prefix() {
    let prefix = Formatter::new(LogFormat::Prefix, &queue(1), 12, Stream::Stdout);
    let mut out = Vec::new();
    prefix.write(&mut out, &Piece { bytes: b"a...", end: End::Idle, part: 0 }, &Stamp::new(0), false);
    prefix.write(&mut out, &Piece { bytes: b" b\n", end: End::Newline, part: 0 }, &Stamp::new(0), true);
    assert_eq!(out, b"[queue] a... b\n");
}

#[test]
fn json_has_every_fact() {
    let json = Formatter::new(LogFormat::Json, &queue(2), 12, Stream::Stderr);
    assert_eq!(
        write(&json, b"say \"hi\"\r\n", End::Newline, 0),
        "{\"time\":\"2026-11-21T23:28:00.123Z\",\"service\":\"queue\",\"instance\":1,\"pid\":12,\"stream\":\"stderr\",\
         \"message\":\"say \\\"hi\\\"\"}\n"
    );
    let cron = Label::Cron { name: "schedule".to_owned() };
    let cron = Formatter::new(LogFormat::Json, &cron, 13, Stream::Stdout);
    assert_eq!(
        write(&cron, b"x", End::Eof, 0),
        "{\"time\":\"2026-11-21T23:28:00.123Z\",\"cron\":\"schedule\",\"pid\":13,\"stream\":\"stdout\",\"message\":\"x\"}\n"
    );
}

#[test]
fn json_lines_are_embedded_but_not_halves_of_them() {
    let json = Formatter::new(LogFormat::Json, &queue(2), 12, Stream::Stdout);
    let value =
        |bytes, end, part| -> Value { serde_json::from_str(&write(&json, bytes, end, part)).unwrap() };
    let whole = value(b" {\"level\":\"info\",\"n\":[1,2]} \r\n", End::Newline, 0);
    assert_eq!(whole["record"]["n"][1], 2);
    assert_eq!(whole.get("message"), None);
    assert_eq!(value(b"{\"a\":1", End::Newline, 0)["message"], "{\"a\":1");
    let cut = value(b"{\"a\":1}", End::Cut, 1);
    assert_eq!(
        (&cut["message"], &cut["part"], &cut["last"]),
        (&"{\"a\":1}".into(), &1.into(), &false.into())
    );
    assert_eq!(value(b"{}\n", End::Newline, 2)["last"], true);
    let partial = value(b"{}", End::Idle, 0);
    assert_eq!((&partial["message"], &partial["partial"]), (&"{}".into(), &true.into()));
}

proptest! {
    #[test]
    fn every_json_line_parses_and_says_what_came(
        name in ".{1,12}",
        lines in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..150), 0..6),
        pid in 1i32..,
    ) {
        let bytes = lines.join(&b'\n');
        let label = Label::Service { name: name.clone(), instance: 3, instances: 9 };
        let formatter = Formatter::new(LogFormat::Json, &label, pid, Stream::Stdout);
        let mut framer = Framer::new(64);
        let (mut out, mut wanted) = (Vec::new(), Vec::new());
        let mut input = bytes.as_slice();
        while let Some(piece) = framer.next(&mut input) {
            wanted.push(String::from_utf8_lossy(piece.split().0).into_owned());
            formatter.write(&mut out, &piece, &Stamp::new(NOON), false);
        }
        if let Some(piece) = framer.finish() {
            wanted.push(String::from_utf8_lossy(piece.bytes).into_owned());
            formatter.write(&mut out, &piece, &Stamp::new(NOON), false);
        }
        prop_assert!(out.is_empty() || out.ends_with(b"\n"));
        let records: Vec<Value> = out.split_inclusive(|&b| b == b'\n').map(|line| serde_json::from_slice(line).unwrap()).collect();
        prop_assert_eq!(records.len(), wanted.len());
        for (record, wanted) in records.iter().zip(wanted) {
            prop_assert_eq!(record["service"].as_str(), Some(name.as_str()));
            prop_assert_eq!(record["pid"].as_i64(), Some(pid.into()));
            match record.get("record") {
                Some(object) => prop_assert_eq!(object, &serde_json::from_str::<Value>(&wanted).unwrap()),
                None => prop_assert_eq!(record["message"].as_str(), Some(wanted.as_str())),
            }
        }
    }
}
