//! A moment as text: RFC 3339, milliseconds, UTC.

/// `2026-11-21T23:28:00.123Z`, made once and written many times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp([u8; 24]);

impl Stamp {
    /// The moment `unix_ms` milliseconds after 1970. Years beyond 0 to 9999 are shown as 1970.
    pub fn new(unix_ms: i64) -> Self {
        let mut text = *b"1970-01-01T00:00:00.000Z";
        if let Ok(moment) = jiff::Timestamp::from_millisecond(unix_ms) {
            text = format!("{moment:.3}").as_bytes().try_into().unwrap_or(text);
        }
        Self(text)
    }

    /// The text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn milliseconds_are_always_three_digits() {
        assert_eq!(Stamp::new(0).as_str(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Stamp::new(1_795_303_680_123).as_str(), "2026-11-21T23:28:00.123Z");
        assert_eq!(Stamp::new(1_795_303_680_100).as_str(), "2026-11-21T23:28:00.100Z");
        assert_eq!(Stamp::new(951_782_400_007).as_str(), "2000-02-29T00:00:00.007Z");
    }

    #[test]
    fn a_clock_far_off_is_still_a_stamp() {
        for wrong in [i64::MIN, i64::MAX, -62_167_219_200_001, 253_402_300_800_000] {
            assert_eq!(Stamp::new(wrong).as_bytes().len(), 24);
        }
    }
}
