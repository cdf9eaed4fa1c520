//! How an encrypted file is decrypted. Names of keys, never a key.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `decrypt` of a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct DecryptPlan {
    pub format: DecryptFormat,
    pub cipher: Cipher,
    pub secret: Secret,
    /// The file is base64 (`openssl enc -a`). Laravel's always is, and says nothing of it.
    pub base64: bool,
}

/// Which program encrypted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DecryptFormat {
    /// `artisan env:encrypt`, the whole file or `--readable`.
    Laravel,
    /// As `Laravel` where the file is so encrypted; any other is taken as it is.
    LaravelIfEncrypted,
    /// `openssl enc`.
    Openssl,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Cipher {
    Aes128Cbc,
    Aes256Cbc,
    Aes128Gcm,
    Aes256Gcm,
    Des3,
}

impl Cipher {
    /// The length of its key in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes128Gcm => 16,
            Self::Des3 => 24,
            Self::Aes256Cbc | Self::Aes256Gcm => 32,
        }
    }

    /// The length of its initialisation vector in bytes.
    pub const fn iv_len(self) -> usize {
        match self {
            Self::Aes128Cbc | Self::Aes256Cbc => 16,
            Self::Aes128Gcm | Self::Aes256Gcm => 12,
            Self::Des3 => 8,
        }
    }

    /// It tells by itself whether what it decrypted is what was encrypted.
    pub const fn is_aead(self) -> bool {
        matches!(self, Self::Aes128Gcm | Self::Aes256Gcm)
    }
}

/// What unlocks it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Secret {
    /// Laravel: the key as `env:encrypt` printed it. openssl: `-K`, in hexadecimal, with `-iv`.
    Key { key: KeySource, iv: Option<KeySource> },
    /// openssl: `-pass`; key and vector are derived from it and the salt in the file.
    Passphrase { from: KeySource, digest: Digest, derivation: Derivation },
}

impl Secret {
    /// Names of the environment variables that hold it: no child but the fetch child gets these.
    pub fn variables(&self) -> Vec<&str> {
        let places = match self {
            Self::Key { key, iv } => [Some(key), iv.as_ref()],
            Self::Passphrase { from, .. } => [Some(from), None],
        };
        places.into_iter().flatten().filter_map(KeySource::variable).collect()
    }
}

/// Where a secret stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeySource {
    /// In this variable of init's own environment.
    Env(String),
    /// In this file; surrounding white space does not count.
    File(PathBuf),
}

impl KeySource {
    fn variable(&self) -> Option<&str> {
        match self {
            Self::Env(name) => Some(name),
            Self::File(_) => None,
        }
    }
}

/// The hash of `openssl enc -md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Digest {
    Md5,
    Sha256,
    Sha512,
}

/// How `openssl enc` makes a key of a passphrase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Derivation {
    /// `-pbkdf2 -iter N`.
    Pbkdf2 { iterations: u32 },
    /// Neither of them: one round of the hash, which a guesser does billions of times a second.
    OneRound,
}
