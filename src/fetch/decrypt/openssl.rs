//! `openssl enc`: CBC with PKCS#7 padding, and no check of its own. With a wrong key one file in 256 seems to decrypt; a
//! dotenv file is then refused by its grammar, a raw one cannot be told.

use super::{Failure, block};
use crate::config::plan::{Cipher, Derivation, Digest};
use crate::fetch::secret::Content;
use hmac::{EagerHash, Hmac, KeyInit};
use md5::Md5;
use sha2::{Sha256, Sha512};

/// What precedes the salt in a file that was encrypted with a passphrase.
const MAGIC: &[u8] = b"Salted__";
const SALT: usize = 8;

/// Decrypts what `-K` and `-iv` encrypted.
pub fn with_key(bytes: &[u8], cipher: Cipher, key: &[u8], iv: &[u8]) -> Result<Content, Failure> {
    if bytes.is_empty() || !bytes.len().is_multiple_of(block_len(cipher)) {
        return Err(Failure::NotEncrypted);
    }
    block::decrypt(cipher, key, iv, bytes)
}

/// Decrypts what a passphrase encrypted.
pub fn with_passphrase(
    bytes: &[u8],
    cipher: Cipher,
    passphrase: &[u8],
    digest: Digest,
    derivation: Derivation,
) -> Result<Content, Failure> {
    let salted = bytes.strip_prefix(MAGIC).and_then(|rest| rest.split_at_checked(SALT));
    let (salt, body) = salted.ok_or(Failure::NotEncrypted)?;
    let mut both = vec![0; cipher.key_len().saturating_add(cipher.iv_len())];
    match digest {
        Digest::Md5 => derive::<Md5>(passphrase, salt, derivation, &mut both)?,
        Digest::Sha256 => derive::<Sha256>(passphrase, salt, derivation, &mut both)?,
        Digest::Sha512 => derive::<Sha512>(passphrase, salt, derivation, &mut both)?,
    }
    let both = Content::new(both);
    let (key, iv) = both.as_slice().split_at_checked(cipher.key_len()).ok_or(Failure::Wrong)?;
    with_key(body, cipher, key, iv)
}

const fn block_len(cipher: Cipher) -> usize {
    match cipher {
        Cipher::Des3 => 8,
        Cipher::Aes128Cbc | Cipher::Aes256Cbc | Cipher::Aes128Gcm | Cipher::Aes256Gcm => 16,
    }
}

/// Fills `out` with key and vector.
fn derive<D>(passphrase: &[u8], salt: &[u8], derivation: Derivation, out: &mut [u8]) -> Result<(), Failure>
where
    D: EagerHash + sha2::Digest,
    Hmac<D>: KeyInit + hmac::Mac + Clone + Sync,
{
    match derivation {
        Derivation::Pbkdf2 { iterations } => {
            pbkdf2::pbkdf2::<Hmac<D>>(passphrase, salt, iterations, out).map_err(|_| Failure::Wrong)
        }
        Derivation::OneRound => {
            one_round::<D>(passphrase, salt, out);
            Ok(())
        }
    }
}

/// EVP_BytesToKey(3) with a count of one: each block hashes the one before, the passphrase and the salt.
fn one_round<D: sha2::Digest>(passphrase: &[u8], salt: &[u8], out: &mut [u8]) {
    let mut block = Content::new(Vec::new());
    let mut filled = 0;
    while filled < out.len() {
        let hash =
            D::new().chain_update(block.as_slice()).chain_update(passphrase).chain_update(salt).finalize();
        block = Content::new(hash.to_vec());
        for (byte, value) in out.iter_mut().skip(filled).zip(block.as_slice()) {
            *byte = *value;
        }
        filled = filled.saturating_add(block.len());
    }
}
