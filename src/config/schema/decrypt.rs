//! `decrypt` of a `[[file]]`.

use crate::config::plan::{Cipher, DecryptFormat, Digest};
use crate::config::values::{At, Word};
use serde::Deserialize;

/// How an encrypted file is decrypted: in memory, before it is checked and put in its place.
///
/// The variables that are named here are withheld from every process, unless `pass-env` names them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Decrypt {
    /// What encrypted it.
    #[cfg_attr(test, schemars(extend("examples" = ["laravel"])))]
    pub format: Option<At<Word<DecryptFormat>>>,
    /// The cipher. For `openssl` it must be given.
    #[cfg_attr(test, schemars(extend("default" = "aes-256-cbc")))]
    pub cipher: Option<At<Word<Cipher>>>,
    /// The variable that holds the key: of Laravel as `env:encrypt` printed it, of openssl as `-K` takes it. Not
    /// given, it is `LARAVEL_ENV_ENCRYPTION_KEY` for Laravel.
    #[cfg_attr(test, schemars(extend("examples" = ["LARAVEL_ENV_ENCRYPTION_KEY"])))]
    pub key_env: Option<At<String>>,
    /// The file that holds the key, instead of a variable.
    #[cfg_attr(test, schemars(extend("examples" = ["/run/secrets/env-key"], "x-live" = false)))]
    pub key_file: Option<At<String>>,
    /// For openssl: the variable that holds what `-iv` takes.
    #[cfg_attr(test, schemars(extend("examples" = ["CREDENTIALS_IV"], "x-live" = false)))]
    pub iv_env: Option<At<String>>,
    /// For openssl, instead of a key: the variable that holds the passphrase.
    #[cfg_attr(test, schemars(extend("examples" = ["ENV_PASSPHRASE"], "x-live" = false)))]
    pub passphrase_env: Option<At<String>>,
    /// The file that holds the passphrase, instead of a variable.
    #[cfg_attr(test, schemars(extend("examples" = ["/run/secrets/env-passphrase"], "x-live" = false)))]
    pub passphrase_file: Option<At<String>>,
    /// For a passphrase: it was encrypted with `-pbkdf2` or `-iter`. What was not is guessed quickly.
    #[cfg_attr(test, schemars(extend("default" = true, "x-live" = false)))]
    pub pbkdf2: Option<bool>,
    /// For a passphrase: what `-iter` said.
    #[cfg_attr(test, schemars(extend("default" = 10000, "x-live" = false)))]
    pub iterations: Option<At<u32>>,
    /// For a passphrase: what `-md` said.
    #[cfg_attr(test, schemars(extend("default" = "sha256", "x-live" = false)))]
    pub digest: Option<Word<Digest>>,
    /// For openssl: the file is base64, as `-a` writes it.
    #[cfg_attr(test, schemars(extend("default" = false, "x-live" = false)))]
    pub base64: Option<bool>,
}
