//! The codec against a peer written apart from it, byte by byte from the specification.

use super::*;
use proptest::prelude::*;

const LIMIT: usize = 64 * 1024;

fn raw(kind: u8, id: u16, content: &[u8], padding: u8) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let [id_high, id_low] = id.to_be_bytes();
    let mut out = vec![1, kind, id_high, id_low, high, low, padding, 0];
    out.extend_from_slice(content);
    out.extend(vec![0xAA; usize::from(padding)]);
    out
}

fn end(app: u32, protocol: u8) -> Vec<u8> {
    let mut content = app.to_be_bytes().to_vec();
    content.extend([protocol, 0, 0, 0]);
    raw(END_REQUEST, 1, &content, 0)
}

/// The streams of a request, read as a server would.
fn streams(bytes: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let (mut params, mut stdin, mut rest) = (Vec::new(), Vec::new(), bytes);
    let mut ended = Vec::new();
    while let Some((Record { kind, request, content }, tail)) = split_record(rest).unwrap() {
        assert_eq!(request, 1);
        match kind {
            BEGIN_REQUEST => assert_eq!(content, [0, 1, 0, 0, 0, 0, 0, 0]),
            kind if content.is_empty() => ended.push(kind),
            PARAMS => params.extend_from_slice(content),
            STDIN => stdin.extend_from_slice(content),
            kind => panic!("record {kind}"),
        }
        rest = tail;
    }
    assert_eq!((rest, ended.as_slice()), ([].as_slice(), [PARAMS, STDIN].as_slice()));
    (params, stdin)
}

fn pairs(mut bytes: &[u8]) -> Vec<(String, String)> {
    fn length(bytes: &mut &[u8]) -> usize {
        let take = |bytes: &mut &[u8], n: usize| {
            let (head, tail) = bytes.split_at(n);
            *bytes = tail;
            head.to_vec()
        };
        if bytes[0] < 0x80 {
            return usize::from(take(bytes, 1)[0]);
        }
        let long: [u8; 4] = take(bytes, 4).try_into().unwrap();
        usize::try_from(u32::from_be_bytes(long) & 0x7FFF_FFFF).unwrap()
    }
    let mut pairs = Vec::new();
    while !bytes.is_empty() {
        let (name, value) = (length(&mut bytes), length(&mut bytes));
        let text = |part: &[u8]| String::from_utf8(part.to_vec()).unwrap();
        pairs.push((text(&bytes[..name]), text(&bytes[name..name + value])));
        bytes = &bytes[name + value..];
    }
    pairs
}

fn answer(stdout: &str) -> Answer {
    Answer { stdout: stdout.into(), ..Answer::default() }
}

#[test]
fn a_request_is_what_the_specification_shows() {
    let bytes = request(&[("A", "b")], &[]);
    let expected = [
        [1, 1, 0, 1, 0, 8, 0, 0].as_slice(),
        &[0, 1, 0, 0, 0, 0, 0, 0],
        &[1, 4, 0, 1, 0, 4, 0, 0],
        &[1, 1, b'A', b'b'],
        &[1, 4, 0, 1, 0, 0, 0, 0],
        &[1, 5, 0, 1, 0, 0, 0, 0],
    ];
    assert_eq!(bytes, expected.concat());
}

#[test]
fn the_status_is_that_of_the_header_or_200() {
    assert_eq!(answer("Content-type: text/plain\r\n\r\npong").status(), Some(200));
    assert_eq!(answer("X: 1\r\nStatus: 404 Not Found\r\n\r\n").status(), Some(404));
    assert_eq!(answer("status:503\n\nStatus: 200\n\n").status(), Some(503));
    assert_eq!(answer("\r\n").status(), Some(200));
    assert_eq!(answer("").status(), None);
    assert_eq!(answer("Content-type: x\r\n").status(), None);
    assert_eq!(answer("Status: \u{20ac}\r\n\r\n").status(), None);
    assert_eq!(answer("Status: 99999\r\n\r\n").status(), Some(999));
}

#[test]
fn what_is_no_answer_is_refused() {
    let error = |bytes: &[u8]| Parser::new(LIMIT).feed(bytes).unwrap_err();
    assert_eq!(error(b"HTTP/1.1 400"), FastCgiError::Version(b'H'));
    assert_eq!(error(b"2"), FastCgiError::Version(b'2'));
    assert_eq!(error(&raw(STDOUT, 2, b"x", 0)), FastCgiError::Record { kind: STDOUT, request: 2 });
    assert_eq!(error(&raw(STDIN, 1, b"x", 0)), FastCgiError::Record { kind: STDIN, request: 1 });
    assert_eq!(error(&raw(END_REQUEST, 1, b"123", 0)), FastCgiError::ShortEnd);
    assert_eq!(Parser::new(LIMIT).feed(&raw(11, 0, b"12345678", 3)), Ok(None));
}

#[test]
fn an_answer_has_a_bound() {
    let mut parser = Parser::new(LIMIT);
    let flood = raw(STDOUT, 1, &[b'x'; 8000], 0);
    let error = (0..100).find_map(|_| parser.feed(&flood).err());
    assert_eq!(error, Some(FastCgiError::TooLarge { limit: LIMIT }));
    assert_eq!(Parser::new(4).feed(&flood), Err(FastCgiError::TooLarge { limit: 4 }));
}

proptest! {
    // Few, since each builds and compares some hundred kilobytes.
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn parameters_of_any_length_come_back(
        params in prop::collection::vec(("[A-Z_]{1,200}", "[a-zé/]{0,300}"), 0..20),
        longest in 0usize..200_000,
        stdin in prop::collection::vec(any::<u8>(), 0..70_000),
    ) {
        let long = "x".repeat(longest);
        let mut given: Vec<(&str, &str)> = params.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        given.push(("LONG", &long));
        let (params, body) = streams(&request(&given, &stdin));
        let read = pairs(&params);
        prop_assert_eq!(read.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect::<Vec<_>>(), given);
        prop_assert_eq!(body, stdin);
    }
}

proptest! {
    #[test]
    fn random_bytes_never_panic(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..60), 0..20)) {
        let mut parser = Parser::new(400);
        for piece in &pieces {
            if !matches!(parser.feed(piece), Ok(None)) {
                break;
            }
        }
    }

    #[test]
    fn nearly_right_bytes_never_panic(
        records in prop::collection::vec((1u8..12, 0u16..3, prop::collection::vec(any::<u8>(), 0..20), any::<u8>()), 0..20),
        cut in any::<prop::sample::Index>(),
    ) {
        let bytes: Vec<u8> = records.iter().flat_map(|(kind, id, content, pad)| raw(*kind, *id, content, *pad)).collect();
        let at = cut.index(bytes.len() + 1);
        let _ = Parser::new(LIMIT).feed(&bytes[..at]);
    }

    #[test]
    fn it_does_not_matter_how_an_answer_is_cut(
        records in prop::collection::vec((any::<bool>(), prop::collection::vec(any::<u8>(), 0..300), any::<u8>()), 0..12),
        app in any::<u32>(),
        protocol in any::<u8>(),
        cuts in prop::collection::vec(1usize..50, 1..20),
    ) {
        let (mut bytes, mut stdout, mut stderr) = (Vec::new(), Vec::new(), Vec::new());
        for (error, content, padding) in &records {
            bytes.extend(raw(if *error { STDERR } else { STDOUT }, 1, content, *padding));
            if *error { &mut stderr } else { &mut stdout }.extend_from_slice(content);
        }
        bytes.extend(end(app, protocol));
        let expected = Answer { app_status: app, protocol_status: protocol, stdout, stderr };

        let (mut parser, mut rest, mut sizes) = (Parser::new(LIMIT), bytes.as_slice(), cuts.iter().cycle());
        let mut got = None;
        while !rest.is_empty() && got.is_none() {
            let (piece, tail) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            got = parser.feed(piece).unwrap();
            rest = tail;
        }
        prop_assert_eq!(got, Some(expected));
        prop_assert!(rest.is_empty());
    }
}
