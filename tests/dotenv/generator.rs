//! Files that are full of what the grammar treats specially, from a seed.

use crate::oracle::Case;
use std::collections::BTreeMap;

const NAMES: &[&str] = &[
    "A",
    "B",
    "C",
    "AB",
    "DB_PASSWORD",
    "a.b",
    "1",
    "0",
    "export",
    "exportA",
    "É",
    "ß_x",
    "漢",
    "A-B",
    "A B",
    "",
    "_",
];

const PIECES: &[&str] = &[
    "x", "y z", "n", "t", "fr", "q", "=", "=\"", "\"", "\"\"", "'", "''", "\\", "\\\\", "\\\"", "\\n", "\\t",
    "\\v", "\\r", "\\f", "\\$", "\\q", "#", " #", "# ", "$", "$$", "${", "}", "${A}", "${B}", "${AB}",
    "${É}", "${1}", "${a.b}", "${REAL}", "${NOPE}", "$A", " ", "  ", "\t", "\x0B", "\x0C", "\0", "\n",
    "\r\n", "\r", "(", ")", "é", "€", "🔑", "\u{a0}", "\u{85}", "\u{2028}", "\u{feff}", ";", ",", ":", "`",
    "|", "\u{1}", "\u{7f}", "export ", "A=", "B=\"",
];

const ESCAPES: &[&str] = &["\\n", "\\r", "\\t", "\\f", "\\v", "\\$", "\\\"", "\\\\", "\\nx", "\\${A}"];

const ENDS: &[&str] = &["\n", "\n", "\n", "\r\n", "\r", "\n\n"];

/// splitmix64: small, good enough, and the same everywhere.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).expect("small");
        usize::try_from(self.next() % end).expect("small")
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.below(from.len())]
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pieces(&mut self, most: usize) -> String {
        (0..self.below(most + 1)).map(|_| self.pick(PIECES)).collect()
    }

    /// For the inside of double quotes: escapes that are known, and anything else without quotes and backslashes.
    fn escaped(&mut self, most: usize) -> String {
        let mut text = String::new();
        for _ in 0..self.below(most + 1) {
            let piece = if self.one_in(2) {
                self.pick(ESCAPES).to_owned()
            } else {
                self.pick(PIECES).replace(['"', '\\'], "")
            };
            text.push_str(&piece);
        }
        text
    }

    /// Mostly sound, so that many entries of a file are reached.
    fn value(&mut self) -> String {
        match self.below(9) {
            0 => String::new(),
            1 => self
                .pick(&["x", "${A}", "a${B}b${A}", "$A", "${${A}}", "ab#cd", "x # c", "foo\"bar\"", "\\n"])
                .to_owned(),
            2 => format!("'{}'", self.pieces(3).replace(['\'', '\n', '\r'], "")),
            3 | 4 => format!("\"{}\"", self.escaped(4)),
            5 => format!("\"{}\n{}\"", self.escaped(2), self.escaped(2)),
            6 => self.pick(&["A", "B", "AB"]).to_owned(),
            _ => self.pieces(4),
        }
    }

    fn line(&mut self) -> String {
        let export = if self.one_in(8) {
            self.pick(&["export ", "export\t", "export  ", "export", "export\x0C", "export\0"])
        } else {
            ""
        };
        let quote = if self.one_in(12) { self.pick(&["\"", "'"]) } else { "" };
        let name = if self.one_in(10) { self.pick(NAMES) } else { self.pick(&NAMES[..8]) };
        let (before, after) = if self.one_in(6) {
            (self.pick(&["", " ", "\t", "\0"]), self.pick(&["", " ", "\x0B", "\x0C"]))
        } else {
            ("", "")
        };
        match self.below(16) {
            0 => String::new(),
            1 => format!("# {}", self.pieces(3)),
            2 => name.to_owned(),
            3 if self.one_in(2) => self.pieces(6),
            4 if self.one_in(20) => {
                let long =
                    self.pick(&["\x0C", " ", "x", "é", "\\\\", "\t", "()"]).repeat(900 + self.below(300));
                format!(
                    "{name}={}{long}{}",
                    self.pick(&["", "\"", "x", "\x0C"]),
                    self.pick(&["", "\"", "\\n", "y"])
                )
            }
            _ => {
                let value = self.value();
                format!(
                    "{export}{quote}{name}{quote}{before}={after}{value}{}",
                    self.pick(&["", "", "", "", " ", " # c", "#"])
                )
            }
        }
    }

    fn text(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..self.below(7) {
            text.push_str(&self.line());
            let end = self.pick(ENDS);
            text.push_str(end);
        }
        if self.one_in(2) {
            text.push_str(&self.line());
        }
        text
    }

    fn real(&mut self) -> BTreeMap<String, String> {
        let mut real = BTreeMap::new();
        if self.one_in(3) {
            real.insert("REAL".to_owned(), self.pick(&["r", "", "${A}", "é"]).to_owned());
        }
        if self.one_in(6) {
            real.insert(self.pick(&["A", "B"]).to_owned(), "real".to_owned());
        }
        real
    }

    pub fn text_case(&mut self) -> Case {
        Case { bytes: self.text().into_bytes(), file: false, real: self.real() }
    }

    /// A file with, often, a byte order mark or bytes that are not UTF-8.
    pub fn file_case(&mut self) -> Case {
        let mut bytes = if self.one_in(3) { b"\xef\xbb\xbf".to_vec() } else { Vec::new() };
        bytes.extend(self.text().into_bytes());
        for _ in 0..self.below(4) {
            let at = self.below(bytes.len() + 1);
            let byte = u8::try_from(128 + self.below(128)).expect("a byte");
            if self.one_in(2) {
                bytes.insert(at, byte);
            } else if let Some(old) = bytes.get_mut(at) {
                *old = byte;
            }
        }
        Case { bytes, file: true, real: self.real() }
    }
}
