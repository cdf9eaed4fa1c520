//! JSON as the logs need it: strings written fast, and a check whether a line is one JSON object.
//!
//! Not a parser: a line that a program wrote as JSON is embedded as it is, so it is only validated (RFC 8259, and
//! stricter where log pipelines are: no unpaired surrogates, at most [`MAX_DEPTH`] levels).

/// Deepest nesting that is embedded; serde_json and others refuse more than 128.
pub const MAX_DEPTH: u32 = 64;

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `bytes` as a JSON string with its quotes. Invalid UTF-8 becomes U+FFFD, one for each broken sequence.
pub fn string(out: &mut Vec<u8>, bytes: &[u8]) {
    out.push(b'"');
    if std::str::from_utf8(bytes).is_ok() {
        escape(out, bytes);
    } else {
        for chunk in bytes.utf8_chunks() {
            escape(out, chunk.valid().as_bytes());
            if !chunk.invalid().is_empty() {
                out.extend_from_slice("\u{FFFD}".as_bytes());
            }
        }
    }
    out.push(b'"');
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether any of eight bytes needs an escape: the classic "has a zero byte" and "has a byte less than n" on a
/// word, which stay fast in a build that is optimised for size.
fn any_needs_escape(eight: [u8; 8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let word = u64::from_le_bytes(eight);
    let zero_byte = |word: u64| word.wrapping_sub(ONES) & !word;
    let control = word.wrapping_sub(ONES.wrapping_mul(0x20)) & !word;
    let quote = zero_byte(word ^ ONES.wrapping_mul(0x22));
    let backslash = zero_byte(word ^ ONES.wrapping_mul(0x5C));
    (control | quote | backslash) & HIGH != 0
}

/// Escapes valid UTF-8. Words without anything to escape are found quickly and copied in one go.
fn escape(out: &mut Vec<u8>, text: &[u8]) {
    let (words, tail) = text.as_chunks::<8>();
    let mut clean = 0..0;
    for word in words {
        if any_needs_escape(*word) {
            out.extend_from_slice(text.get(clean.clone()).unwrap_or_default());
            escape_each(out, word);
            clean = clean.end.saturating_add(8)..clean.end.saturating_add(8);
        } else {
            clean.end = clean.end.saturating_add(8);
        }
    }
    out.extend_from_slice(text.get(clean).unwrap_or_default());
    escape_each(out, tail);
}

fn escape_each(out: &mut Vec<u8>, text: &[u8]) {
    for &byte in text {
        if needs_escape(byte) {
            escape_byte(out, byte);
        } else {
            out.push(byte);
        }
    }
}

fn escape_byte(out: &mut Vec<u8>, byte: u8) {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        8 => b'b',
        12 => b'f',
        _ => {
            let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// The object that `line` is, without the white space around it; `None` when the line is anything else.
pub fn object(line: &[u8]) -> Option<&[u8]> {
    let text = line.trim_ascii();
    if text.first() != Some(&b'{') || text.last() != Some(&b'}') || std::str::from_utf8(text).is_err() {
        return None;
    }
    let mut scan = Scan { rest: text };
    scan.document()?;
    scan.rest.is_empty().then_some(text)
}

struct Scan<'a> {
    rest: &'a [u8],
}

/// Every step returns `None` where the text is not JSON.
impl Scan<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(first)
    }

    fn expect(&mut self, wanted: u8) -> Option<()> {
        (self.byte()? == wanted).then_some(())
    }

    fn space(&mut self) {
        while let [b' ' | b'\t' | b'\r' | b'\n', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    /// One value. `nesting` remembers for each open level whether it is an object (bit 1) or an array (bit 0).
    fn document(&mut self) -> Option<()> {
        let mut nesting: u64 = 0;
        let mut depth: u32 = 0;
        loop {
            self.space();
            let opened = match *self.rest.first()? {
                open @ (b'{' | b'[') => {
                    self.byte();
                    if depth == MAX_DEPTH {
                        return None;
                    }
                    depth = depth.saturating_add(1);
                    nesting = (nesting << 1) | u64::from(open == b'{');
                    true
                }
                _ => {
                    self.scalar()?;
                    false
                }
            };
            if !self.close(&mut nesting, &mut depth, opened)? {
                return Some(());
            }
        }
    }

    /// After a value or an opening bracket: closes what closes, and stands before the next value. False at the end.
    fn close(&mut self, nesting: &mut u64, depth: &mut u32, mut opened: bool) -> Option<bool> {
        while *depth > 0 {
            self.space();
            let in_object = *nesting & 1 == 1;
            let closer = if in_object { b'}' } else { b']' };
            if *self.rest.first()? == closer {
                self.byte();
                *nesting >>= 1;
                *depth = depth.saturating_sub(1);
                opened = false;
                continue;
            }
            if !opened {
                self.expect(b',')?;
                self.space();
            }
            if in_object {
                self.string()?;
                self.space();
                self.expect(b':')?;
            }
            return Some(true);
        }
        Some(false)
    }

    fn scalar(&mut self) -> Option<()> {
        match *self.rest.first()? {
            b'"' => self.string(),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8]) -> Option<()> {
        self.rest = self.rest.strip_prefix(word)?;
        Some(())
    }

    fn string(&mut self) -> Option<()> {
        self.expect(b'"')?;
        loop {
            let plain = self.rest.iter().position(|&b| b < 0x20 || b == b'"' || b == b'\\')?;
            self.rest = self.rest.get(plain..)?;
            match self.byte()? {
                b'"' => return Some(()),
                b'\\' => self.escaped()?,
                _ => return None,
            }
        }
    }

    fn escaped(&mut self) -> Option<()> {
        match self.byte()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Some(()),
            b'u' => match self.hex4()? {
                0xD800..=0xDBFF => {
                    self.word(b"\\u")?;
                    matches!(self.hex4()?, 0xDC00..=0xDFFF).then_some(())
                }
                0xDC00..=0xDFFF => None,
                _ => Some(()),
            },
            _ => None,
        }
    }

    fn hex4(&mut self) -> Option<u32> {
        let mut code: u32 = 0;
        for _ in 0..4 {
            code = (code << 4) | char::from(self.byte()?).to_digit(16)?;
        }
        Some(code)
    }

    fn digits(&mut self) -> Option<usize> {
        let n = self.rest.iter().take_while(|b| b.is_ascii_digit()).count();
        self.rest = self.rest.get(n..)?;
        (n > 0).then_some(n)
    }

    fn number(&mut self) -> Option<()> {
        if let Some(rest) = self.rest.strip_prefix(b"-") {
            self.rest = rest;
        }
        let leading_zero = self.rest.first() == Some(&b'0');
        if self.digits()? > 1 && leading_zero {
            return None;
        }
        if let Some(rest) = self.rest.strip_prefix(b".") {
            self.rest = rest;
            self.digits()?;
        }
        if let [b'e' | b'E', rest @ ..] = self.rest {
            self.rest = rest.strip_prefix(b"+").or_else(|| rest.strip_prefix(b"-")).unwrap_or(rest);
            self.digits()?;
        }
        Some(())
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
