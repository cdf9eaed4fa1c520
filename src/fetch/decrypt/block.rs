//! The ciphers themselves.

use super::Failure;
use crate::config::plan::Cipher;
use crate::fetch::secret::Content;
use aes::{Aes128, Aes256};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, Aes256Gcm};
use cbc::Decryptor;
use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyIvInit};
use des::TdesEde3;

/// The plain text of `bytes`, whose last part is the tag when the cipher is an AEAD.
pub fn decrypt(cipher: Cipher, key: &[u8], iv: &[u8], bytes: &[u8]) -> Result<Content, Failure> {
    match cipher {
        Cipher::Aes128Cbc => cbc::<Decryptor<Aes128>>(key, iv, bytes),
        Cipher::Aes256Cbc => cbc::<Decryptor<Aes256>>(key, iv, bytes),
        Cipher::Des3 => cbc::<Decryptor<TdesEde3>>(key, iv, bytes),
        Cipher::Aes128Gcm => gcm::<Aes128Gcm>(key, iv, bytes),
        Cipher::Aes256Gcm => gcm::<Aes256Gcm>(key, iv, bytes),
    }
}

fn cbc<D: KeyIvInit + BlockModeDecrypt>(key: &[u8], iv: &[u8], bytes: &[u8]) -> Result<Content, Failure> {
    let decryptor = D::new_from_slices(key, iv).map_err(|_| Failure::Wrong)?;
    decryptor.decrypt_padded_vec::<Pkcs7>(bytes).map(Content::new).map_err(|_| Failure::Wrong)
}

fn gcm<A: Aead + aes_gcm::KeyInit>(key: &[u8], iv: &[u8], bytes: &[u8]) -> Result<Content, Failure> {
    let cipher = A::new_from_slice(key).map_err(|_| Failure::Wrong)?;
    let nonce = iv.try_into().map_err(|_| Failure::Wrong)?;
    let payload = Payload { msg: bytes, aad: &[] };
    cipher.decrypt(nonce, payload).map(Content::new).map_err(|_| Failure::Wrong)
}
