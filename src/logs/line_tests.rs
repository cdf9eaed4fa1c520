use super::*;
use proptest::prelude::*;

/// What came out: bytes, end and part of every piece.
type Pieces = Vec<(Vec<u8>, End, u32)>;

fn feed(framer: &mut Framer, chunk: &[u8], pieces: &mut Pieces) {
    let mut input = chunk;
    while let Some(piece) = framer.next(&mut input) {
        pieces.push((piece.bytes.to_vec(), piece.end, piece.part));
    }
    assert!(input.is_empty());
}

fn frame(max: usize, chunks: &[&[u8]]) -> Pieces {
    let mut framer = Framer::new(max);
    let mut pieces = Pieces::new();
    for chunk in chunks {
        feed(&mut framer, chunk, &mut pieces);
    }
    if let Some(piece) = framer.finish() {
        pieces.push((piece.bytes.to_vec(), piece.end, piece.part));
    }
    assert_eq!(framer.next(&mut &b""[..]), None);
    assert!(!framer.mid_line());
    pieces
}

#[test]
fn lines_keep_their_terminators_and_odd_bytes() {
    let pieces = frame(100, &[b"a\r\n\n\0\xff\n", b"progress 1\rprogress 2\n"]);
    let lines: Vec<&[u8]> = pieces.iter().map(|(bytes, ..)| bytes.as_slice()).collect();
    assert_eq!(lines, [&b"a\r\n"[..], b"\n", b"\0\xff\n", b"progress 1\rprogress 2\n"]);
    assert!(pieces.iter().all(|&(_, end, part)| end == End::Newline && part == 0));
}

#[test]
fn a_line_of_exactly_the_limit_is_whole() {
    let line = [vec![b'x'; 64], b"\n".to_vec()].concat();
    assert_eq!(frame(64, &[&line]), [(line.clone(), End::Newline, 0)]);
    assert_eq!(frame(64, &[&line[..64], &line[64..]]), [(line.clone(), End::Newline, 0)]);
    assert_eq!(frame(64, &[&line[..64]]), [(line[..64].to_vec(), End::Eof, 0)]);
}

#[test]
fn one_byte_more_is_cut_and_numbered() {
    let line = [vec![b'x'; 129], b"\n".to_vec()].concat();
    let wanted = [
        (vec![b'x'; 64], End::Cut, 1),
        (vec![b'x'; 64], End::Cut, 2),
        (b"x\n".to_vec(), End::Newline, 3),
        (b"next\n".to_vec(), End::Newline, 0),
    ];
    assert_eq!(frame(64, &[&line, b"next\n"]), wanted);
}

#[test]
fn a_cut_respects_utf8_where_it_can() {
    for sign in ["é", "€", "🐘"] {
        for lead in 0..sign.len() {
            let text = format!("{}{}", "x".repeat(lead), sign.repeat(64));
            let pieces = frame(64, &[text.as_bytes()]);
            assert!(pieces.iter().all(|(bytes, ..)| std::str::from_utf8(bytes).is_ok()), "{sign} {lead}");
            assert!(pieces.iter().all(|(bytes, ..)| bytes.len() <= 64));
        }
    }
    let noise = frame(64, &[&[0x80; 200]]);
    assert!(noise.iter().take(3).all(|(bytes, ..)| bytes.len() == 64));
}

#[test]
fn a_partial_line_is_flushed_and_goes_on() {
    let mut framer = Framer::new(64);
    let mut pieces = Pieces::new();
    feed(&mut framer, b"Migrating ....", &mut pieces);
    assert!(pieces.is_empty() && framer.held() == 14 && framer.mid_line());
    let flushed = framer.flush().unwrap();
    assert_eq!((flushed.bytes, flushed.end, flushed.part), (&b"Migrating ...."[..], End::Idle, 0));
    assert_eq!((framer.held(), framer.mid_line()), (0, false));
    assert_eq!(framer.flush(), None);
    feed(&mut framer, b" DONE\n", &mut pieces);
    assert_eq!(pieces, [(b" DONE\n".to_vec(), End::Newline, 0)]);
    assert_eq!(framer.finish(), None);
}

#[test]
fn a_long_line_gives_its_memory_back() {
    let mut framer = Framer::new(1 << 20);
    let mut pieces = Pieces::new();
    feed(&mut framer, &vec![b'x'; 200_000], &mut pieces);
    feed(&mut framer, b"\n", &mut pieces);
    feed(&mut framer, b"short", &mut pieces);
    assert!(framer.carry.capacity() <= KEEP_CAPACITY);
}

#[test]
fn whole_lines_takes_no_line_over_the_limit() {
    let mut input = &b"ab\ncd\nefghi\nj\nk"[..];
    assert_eq!(whole_lines(&mut input, 3, 100), b"ab\ncd\n");
    assert_eq!(whole_lines(&mut input, 3, 100), b"");
    assert_eq!(whole_lines(&mut input, 5, 8), b"efghi\nj\n");
    assert_eq!(whole_lines(&mut input, 5, 8), b"");
    assert_eq!(input, b"k");
}

#[test]
fn split_tells_content_from_terminator() {
    let split = |bytes, end| Piece { bytes, end, part: 0 }.split();
    assert_eq!(split(b"a\r\n", End::Newline), (&b"a"[..], &b"\r\n"[..]));
    assert_eq!(split(b"\n", End::Newline), (&b""[..], &b"\n"[..]));
    assert_eq!(split(b"a\r", End::Eof), (&b"a\r"[..], &b""[..]));
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(b'x'), 2 => Just(b'\n'), 1 => Just(b'\r'), 2 => any::<u8>()];
    let line = prop_oneof![4 => prop::collection::vec(byte, 0..40), 1 => "[é€🐘a]{0,120}".prop_map(String::into_bytes)];
    prop::collection::vec(line, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn any_split_gives_the_same_pieces(bytes in stream(), cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8)) {
        let mut at: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
        at.extend([0, bytes.len()]);
        at.sort_unstable();
        let chunks: Vec<&[u8]> = at.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(frame(64, &chunks), frame(64, &[&bytes]));
    }

    #[test]
    fn nothing_is_lost_and_pieces_are_bounded(bytes in stream(), step in 1usize..200) {
        let chunks: Vec<&[u8]> = bytes.chunks(step).collect();
        let pieces = frame(64, &chunks);
        let joined: Vec<u8> = pieces.iter().flat_map(|(bytes, ..)| bytes.clone()).collect();
        prop_assert_eq!(joined, bytes);
        for (bytes, end, _) in &pieces {
            prop_assert!(bytes.len() <= 65);
            prop_assert_eq!(*end == End::Newline, bytes.ends_with(b"\n"));
            prop_assert!(!bytes[..bytes.len().saturating_sub(1)].contains(&b'\n'));
        }
    }

    #[test]
    fn runs_and_single_lines_agree(bytes in stream(), limit in 1usize..300) {
        let mut input = bytes.as_slice();
        let mut framer = Framer::new(64);
        let mut joined = Vec::new();
        while !input.is_empty() {
            if !framer.mid_line() {
                let run = whole_lines(&mut input, 64, limit);
                prop_assert!(run.len() <= limit && (run.is_empty() || run.ends_with(b"\n")));
                prop_assert!(run.split(|&b| b == b'\n').all(|line| line.len() <= 64));
                joined.extend_from_slice(run);
            }
            if let Some(piece) = framer.next(&mut input) {
                joined.extend_from_slice(piece.bytes);
            }
        }
        joined.extend(framer.finish().map(|piece| piece.bytes.to_vec()).unwrap_or_default());
        prop_assert_eq!(joined, bytes);
    }
}
