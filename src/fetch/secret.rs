//! Bytes and words that must not outlive their use or get out.

use std::hint::black_box;

/// A file's content. Overwritten when dropped; shown by nothing.
pub struct Content(Vec<u8>);

impl Content {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// Room for `capacity` bytes, so that growing leaves no copies behind.
    pub fn with_capacity(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    pub fn extend(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn as_slice(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Content {
    fn drop(&mut self) {
        self.0.fill(0);
        // The optimiser may not drop the fill as a dead store.
        black_box(&self.0);
    }
}

/// Words that may appear in no message: keys, tokens. The last line of defence against a server that echoes what it was
/// sent; the messages are written without them in the first place.
#[derive(Default)]
pub struct Redact(Vec<String>);

impl Redact {
    /// Anything shorter would blot out innocent text.
    const SHORTEST: usize = 8;

    pub fn add(&mut self, secret: &str) {
        if secret.len() >= Self::SHORTEST && !self.0.iter().any(|known| known == secret) {
            self.0.push(secret.to_owned());
        }
    }

    pub fn apply(&self, text: &mut String) {
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                *text = text.replace(secret.as_str(), "***");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_secrets_are_blotted_out() {
        let mut redact = Redact::default();
        redact.add("SECRETKEY/1+2");
        redact.add("short");
        let mut text = "a short SECRETKEY/1+2, SECRETKEY/1+2".to_owned();
        redact.apply(&mut text);
        assert_eq!(text, "a short ***, ***");
    }
}
