//! `decrypt` of a `[[file]]`.

use super::build::Builder;
use super::check;
use crate::config::plan::{Cipher, DecryptFormat, DecryptPlan, Derivation, Digest, KeySource, Secret};
use crate::config::schema::Decrypt;
use crate::config::tree::Loc;
use crate::config::values::{At, Maybe, show_word};

/// Laravel's own name of it, from artisan env:decrypt.
const LARAVEL_KEY: &str = "LARAVEL_ENV_ENCRYPTION_KEY";
/// What `openssl enc -pbkdf2` does without `-iter`.
const ITERATIONS: u32 = 10_000;

/// The plan of `given`.
pub fn decrypt(builder: &mut Builder<'_>, given: Option<At<Maybe<Decrypt>>>) -> Option<DecryptPlan> {
    let At { loc, value: Maybe(Some(given)) } = given? else { return None };
    let Some(format) = given.format.as_ref().map(|at| at.value.0) else {
        builder.missing(loc, "decrypt has no format: \"laravel\" or \"openssl\"".into());
        return None;
    };
    let cipher = cipher(builder, loc, format, given.cipher.as_ref());
    let key = source(builder, "key", given.key_env.as_ref(), given.key_file.as_ref());
    let passphrase =
        source(builder, "passphrase", given.passphrase_env.as_ref(), given.passphrase_file.as_ref());
    let iv = given.iv_env.as_ref().map(|name| {
        builder.check(name.loc, check::variable(&name.value));
        KeySource::Env(name.value.clone())
    });
    let laravel = format != DecryptFormat::Openssl;
    if laravel && (iv.is_some() || passphrase.is_some() || given.base64.is_some()) {
        builder.error(
            loc,
            "a Laravel file has its own vector and no passphrase: key-env or key-file is all it takes",
        );
    }
    let secret = match (key, passphrase) {
        (Some(_), Some(_)) => {
            builder.error(loc, "decrypt takes a key or a passphrase, not both");
            return None;
        }
        (None, Some(from)) => {
            let iterations = given.iterations.as_ref();
            if let Some(at) = iterations.filter(|at| at.value == 0) {
                builder.error(at.loc, "iterations is 1 or more");
            }
            let count = iterations.map_or(ITERATIONS, |at| at.value);
            let derivation = match given.pbkdf2 {
                Some(false) => Derivation::OneRound,
                None | Some(true) => Derivation::Pbkdf2 { iterations: count },
            };
            let digest = given.digest.map_or(Digest::Sha256, |word| word.0);
            Secret::Passphrase { from, digest, derivation }
        }
        (Some(key), None) => Secret::Key { key, iv },
        (None, None) if laravel => Secret::Key { key: KeySource::Env(LARAVEL_KEY.to_owned()), iv: None },
        (None, None) => {
            builder.missing(
                loc,
                "decrypt has neither a key nor a passphrase: name key-env or passphrase-env".into(),
            );
            return None;
        }
    };
    Some(DecryptPlan { format, cipher, secret, base64: given.base64.unwrap_or(false) })
}

fn cipher(
    builder: &mut Builder<'_>,
    loc: Loc,
    format: DecryptFormat,
    given: Option<&At<crate::config::values::Word<Cipher>>>,
) -> Cipher {
    let Some(At { loc, value }) = given else {
        if format == DecryptFormat::Openssl {
            builder.missing(
                loc,
                "decrypt has no cipher: say which one openssl enc was given, such as \"aes-256-cbc\"".into(),
            );
        }
        return Cipher::Aes256Cbc;
    };
    let cipher = value.0;
    let fits = match format {
        DecryptFormat::Openssl => !cipher.is_aead(),
        DecryptFormat::Laravel | DecryptFormat::LaravelIfEncrypted => cipher != Cipher::Des3,
    };
    if !fits {
        let name = show_word(format);
        builder.error(*loc, format!("format {name:?} knows no {}", show_word(cipher)));
    }
    cipher
}

/// A secret in a variable or in a file.
fn source(
    builder: &mut Builder<'_>,
    what: &str,
    env: Option<&At<String>>,
    file: Option<&At<String>>,
) -> Option<KeySource> {
    match (env, file) {
        (Some(_), Some(file)) => {
            builder.error(file.loc, format!("give {what}-env or {what}-file, not both"));
            None
        }
        (Some(name), None) => {
            builder.check(name.loc, check::variable(&name.value));
            Some(KeySource::Env(name.value.clone()))
        }
        (None, Some(file)) => {
            let work_dir = builder.paths.work_dir.clone();
            Some(KeySource::File(builder.path(file, &work_dir)))
        }
        (None, None) => None,
    }
}
