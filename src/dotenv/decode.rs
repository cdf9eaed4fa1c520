//! From bytes to text as phpdotenv's `Util/Str::utf8` does it when it reads a file.

use std::borrow::Cow;

const BOM: &str = "\u{feff}";

/// The text of a file. `mb_convert_encoding` to UTF-8 puts one `?` for each faulty sequence (PHP's
/// `mbstring.substitute_character`), and then one byte order mark is dropped.
pub fn file_content(bytes: &[u8]) -> Cow<'_, str> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        let mut text = String::with_capacity(bytes.len());
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            if !chunk.invalid().is_empty() {
                text.push('?');
            }
        }
        return Cow::Owned(text.strip_prefix(BOM).map(str::to_owned).unwrap_or(text));
    };
    Cow::Borrowed(text.strip_prefix(BOM).unwrap_or(text))
}

/// UTF-16 with a byte order mark, or what can only be UTF-16 (every other byte of the beginning is NUL).
pub(super) fn is_utf16(bytes: &[u8]) -> bool {
    match bytes {
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => true,
        [0, second, 0, fourth, ..] => *second != 0 && *fourth != 0,
        [first, 0, third, 0, ..] => *first != 0 && *third != 0,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faulty_sequences_become_one_question_mark_each() {
        assert_eq!(file_content(b"A=\xffb"), "A=?b");
        assert_eq!(file_content(b"A=\xe2\x82"), "A=?");
        assert_eq!(file_content(b"A=\xed\xa0\x80"), "A=???");
        assert_eq!(file_content(b"\xef\xbb\xbfA=\xe2\x82\xe2\x82\xac"), "A=?€");
    }

    #[test]
    fn one_byte_order_mark_goes() {
        assert_eq!(file_content("\u{feff}\u{feff}A".as_bytes()), "\u{feff}A");
    }

    #[test]
    fn utf16_is_told_from_text() {
        assert!(is_utf16(b"\xff\xfeA\0=\0") && is_utf16(b"\0A\0=") && is_utf16(b"A\0=\0"));
        assert!(!is_utf16(b"A=1") && !is_utf16(b"") && !is_utf16(b"\0\0\0\0"));
    }
}
