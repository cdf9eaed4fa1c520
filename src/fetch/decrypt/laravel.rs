//! What `artisan env:encrypt` writes (laravel/framework, Encryption/Encrypter.php and
//! Foundation/Console/EnvironmentDecryptCommand.php).
//!
//! A payload is base64 of `{"iv", "value", "mac", "tag"}`. The whole file is one payload, of a string that PHP serialised; with
//! `--readable` each line is `NAME=payload`, of the bare value.

use super::{Failure, block, from_base64};
use crate::config::plan::Cipher;
use crate::fetch::secret::Content;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

/// One encrypted value. Cipher text and what belongs to it: no secret.
#[derive(Deserialize)]
struct Payload {
    iv: String,
    value: String,
    mac: String,
    #[serde(default)]
    tag: Option<String>,
}

impl Payload {
    fn read(text: &[u8]) -> Option<Self> {
        let json = from_base64(text)?;
        serde_json::from_slice(json.as_slice()).ok()
    }

    fn decrypt(&self, cipher: Cipher, key: &[u8]) -> Result<Content, Failure> {
        let part = |text: &str| from_base64(text.as_bytes()).ok_or(Failure::NotEncrypted);
        let (iv, value) = (part(&self.iv)?, part(&self.value)?);
        let tag = part(self.tag.as_deref().unwrap_or_default())?;
        if iv.len() != cipher.iv_len()
            || cipher.is_aead() != (tag.len() == 16)
            || (!cipher.is_aead() && !tag.is_empty())
        {
            return Err(Failure::Wrong);
        }
        if cipher.is_aead() {
            let mut both = Content::with_capacity(value.len().saturating_add(tag.len()));
            both.extend(value.as_slice());
            both.extend(tag.as_slice());
            return block::decrypt(cipher, key, iv.as_slice(), both.as_slice());
        }
        // Before anything is decrypted, and in constant time.
        let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Failure::Wrong)?;
        mac.update(self.iv.as_bytes());
        mac.update(self.value.as_bytes());
        mac.verify_slice(&unhex(&self.mac).ok_or(Failure::Wrong)?).map_err(|_| Failure::Wrong)?;
        block::decrypt(cipher, key, iv.as_slice(), value.as_slice())
    }
}

/// The key that `text` is: raw, or after `base64:`.
pub fn key(text: &[u8]) -> Option<Content> {
    match text.strip_prefix(b"base64:") {
        Some(encoded) => from_base64(encoded),
        None => Some(Content::new(text.to_vec())),
    }
}

/// It is one payload, or lines of which the first with a value is one.
pub fn looks_encrypted(bytes: &[u8]) -> bool {
    Payload::read(bytes).is_some()
        || lines(bytes).next().is_some_and(|(_, payload)| Payload::read(payload).is_some())
}

/// The file that was encrypted.
pub fn decrypt(bytes: &[u8], cipher: Cipher, key: &[u8]) -> Result<Content, Failure> {
    if let Some(payload) = Payload::read(bytes) {
        let serialised = payload.decrypt(cipher, key)?;
        return unserialise(serialised.as_slice()).ok_or(Failure::NotEncrypted);
    }
    let mut plain = Content::with_capacity(bytes.len());
    for (name, payload) in lines(bytes) {
        let value = Payload::read(payload).ok_or(Failure::NotEncrypted)?.decrypt(cipher, key)?;
        plain.extend(name);
        plain.extend(b"=");
        plain.extend(value.as_slice());
        plain.extend(b"\n");
    }
    if plain.is_empty() { Err(Failure::NotEncrypted) } else { Ok(plain) }
}

/// Names and payloads of the readable form. Comments and lines without `=` mean nothing there.
fn lines(bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    bytes.split(|byte| matches!(byte, b'\n' | b'\r')).map(<[u8]>::trim_ascii).filter_map(|line| {
        let at = line.iter().position(|byte| *byte == b'=').filter(|_| !line.starts_with(b"#"))?;
        Some((line.get(..at)?, line.get(at.saturating_add(1)..)?))
    })
}

/// The string in PHP's `s:LENGTH:"…";`.
fn unserialise(bytes: &[u8]) -> Option<Content> {
    let rest = bytes.strip_prefix(b"s:")?;
    let colon = rest.iter().position(|byte| *byte == b':')?;
    let length: usize = std::str::from_utf8(rest.get(..colon)?).ok()?.parse().ok()?;
    let quoted = rest.get(colon.saturating_add(1)..)?.strip_prefix(b"\"")?.strip_suffix(b"\";")?;
    (quoted.len() == length).then(|| Content::new(quoted.to_vec()))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = text.chars().map(|digit| digit.to_digit(16)).collect();
    let pair = |pair: &[u32]| u8::try_from(pair.first()? << 4 | pair.get(1)?).ok();
    digits?.chunks(2).map(pair).collect()
}
