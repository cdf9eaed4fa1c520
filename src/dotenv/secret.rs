//! Text that must not be shown: the values of a `.env` file.

use std::fmt;

/// A value of a `.env` file. `Debug` prints `…`, there is no `Display`, and the bytes are overwritten on drop.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Hides `text` from now on.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Never put it in an error, a log line or a `Debug` output.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        // Without this the compiler may drop the writes, since nobody reads them.
        std::hint::black_box(&bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_nothing_not_even_the_length() {
        assert_eq!(format!("{:?}", Secret::new("hunter2".into())), "…");
        assert_eq!(format!("{:?}", Some(Secret::new(String::new()))), "Some(…)");
    }
}
