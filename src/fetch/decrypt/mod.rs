//! Decrypts what was fetched, in memory: the plain text is checked and placed, and stands on no disk before that.
//!
//! What is wrong with a key and what is wrong with a file cannot be told apart by more than a guess, and telling how far
//! decryption got would help whoever tries files: so there is one error for both.

mod block;
mod laravel;
mod openssl;
#[cfg(test)]
mod tests;

use super::error::{FetchError, Kind};
use super::file;
use super::job::Job;
use super::secret::{Content, Redact};
use super::vars::Vars;
use crate::config::plan::{DecryptFormat, DecryptPlan, KeySource, Secret};
use crate::config::values::show_word;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The largest file with a key in bytes.
const MAX_KEY_FILE: u64 = 4096;

/// Why something could not be decrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// It does not look as its format does.
    NotEncrypted,
    /// The key, the cipher or the file is not the one that belongs to the others.
    Wrong,
}

/// The plain text of `content`, when `job` says that it is encrypted.
///
/// # Errors
/// [`Kind::Setting`] without a usable key, [`Kind::Invalid`] when it cannot be decrypted with it.
pub fn decrypt(content: Content, job: &Job, vars: &Vars, redact: &mut Redact) -> Result<Content, FetchError> {
    let Some(plan) = &job.decrypt else { return Ok(content) };
    if plan.format == DecryptFormat::LaravelIfEncrypted && !laravel::looks_encrypted(content.as_slice()) {
        return Ok(content);
    }
    let plain = match (&plan.secret, plan.format) {
        (Secret::Passphrase { from, digest, derivation }, _) => {
            let passphrase = read(from, job, vars, redact)?;
            let body = body(&content, plan).map_err(|failure| explain(failure, plan, job))?;
            openssl::with_passphrase(
                body.as_slice(),
                plan.cipher,
                passphrase.as_slice(),
                *digest,
                *derivation,
            )
        }
        (Secret::Key { key, iv }, DecryptFormat::Openssl) => {
            let key = hex(&read(key, job, vars, redact)?, plan.cipher.key_len(), key, "-K", job)?;
            let iv = match iv {
                Some(iv) => hex(&read(iv, job, vars, redact)?, plan.cipher.iv_len(), iv, "-iv", job)?,
                None => Content::new(vec![0; plan.cipher.iv_len()]),
            };
            let body = body(&content, plan).map_err(|failure| explain(failure, plan, job))?;
            openssl::with_key(body.as_slice(), plan.cipher, key.as_slice(), iv.as_slice())
        }
        (Secret::Key { key: place, .. }, DecryptFormat::Laravel | DecryptFormat::LaravelIfEncrypted) => {
            let text = read(place, job, vars, redact)?;
            let key = laravel::key(text.as_slice()).filter(|key| key.len() == plan.cipher.key_len());
            let key = key.ok_or_else(|| {
                let why = format!(
                    "{} holds no key of {} bytes, raw or after \"base64:\", as cipher {} needs",
                    name(place),
                    plan.cipher.key_len(),
                    show_word(plan.cipher)
                );
                setting(job, why).hint("artisan env:encrypt printed the key when it encrypted the file")
            })?;
            laravel::decrypt(content.as_slice(), plan.cipher, key.as_slice())
        }
    };
    plain.map_err(|failure| explain(failure, plan, job))
}

/// The bytes that were encrypted, without `openssl enc -a`.
fn body(content: &Content, plan: &DecryptPlan) -> Result<Content, Failure> {
    if !plan.base64 {
        return Ok(Content::new(content.as_slice().to_vec()));
    }
    from_base64(content.as_slice()).ok_or(Failure::NotEncrypted)
}

/// The bytes that base64, in lines or not, stands for.
pub fn from_base64(text: &[u8]) -> Option<Content> {
    let packed = Content::new(text.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect());
    STANDARD.decode(packed.as_slice()).ok().map(Content::new)
}

/// The secret at `place`. From now on no message may show it.
fn read(place: &KeySource, job: &Job, vars: &Vars, redact: &mut Redact) -> Result<Content, FetchError> {
    let bytes = match place {
        KeySource::Env(name) => vars.get(name).map(|value| Content::new(value.as_bytes().to_vec())),
        KeySource::File(path) => {
            let whole = file::read(path, MAX_KEY_FILE)
                .map(Content::new)
                .map_err(|error| setting(job, error.message))?;
            Some(Content::new(whole.as_slice().trim_ascii().to_vec())).filter(|key| !key.is_empty())
        }
    };
    let bytes = bytes.ok_or_else(|| {
        let empty = matches!(place, KeySource::File(_));
        let why = format!("{} {}", name(place), if empty { "is empty" } else { "is not set" });
        setting(job, why)
            .hint("give the key to the container, as a secret of the task definition for instance")
    })?;
    if let Ok(text) = std::str::from_utf8(bytes.as_slice()) {
        redact.add(text);
    }
    Ok(bytes)
}

/// The bytes of a hexadecimal number of at most `len` bytes; openssl fills a shorter one with zeros.
fn hex(
    text: &Content,
    len: usize,
    place: &KeySource,
    option: &str,
    job: &Job,
) -> Result<Content, FetchError> {
    let digits: Option<Vec<u8>> = text
        .as_slice()
        .iter()
        .map(|byte| char::from(*byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let digits = digits.map(Content::new).filter(|digits| digits.len() <= len.saturating_mul(2));
    let digits = digits.ok_or_else(|| {
        let why = format!(
            "{} is not a hexadecimal number of {} digits, as {option} takes it",
            name(place),
            len.saturating_mul(2)
        );
        setting(job, why)
    })?;
    let mut bytes = vec![0; len];
    for (byte, pair) in bytes.iter_mut().zip(digits.as_slice().chunks(2)) {
        let low = pair.get(1).copied().unwrap_or_default();
        *byte = pair.first().copied().unwrap_or_default() << 4 | low;
    }
    Ok(Content::new(bytes))
}

fn name(place: &KeySource) -> String {
    match place {
        KeySource::Env(name) => format!("the variable {name}"),
        KeySource::File(path) => format!("the file {}", path.display()),
    }
}

fn setting(job: &Job, why: String) -> FetchError {
    FetchError::new(Kind::Setting, format!("cannot decrypt {}: {why}", job.source))
}

fn explain(failure: Failure, plan: &DecryptPlan, job: &Job) -> FetchError {
    let what = match plan.format {
        DecryptFormat::Openssl => "openssl enc",
        DecryptFormat::Laravel | DecryptFormat::LaravelIfEncrypted => "artisan env:encrypt",
    };
    let cipher = show_word(plan.cipher);
    let (why, hint) = match failure {
        Failure::NotEncrypted => (
            format!("it does not look like the output of {what}"),
            "is it the encrypted file, and whole? A file that is not encrypted needs no decrypt",
        ),
        Failure::Wrong => (
            format!(
                "with this key and {cipher} it does not decrypt: the key or the cipher is another one, or the file was changed"
            ),
            "compare key and cipher with those of the command that encrypted it",
        ),
    };
    FetchError::new(Kind::Invalid, format!("cannot decrypt {}: {why}", job.source))
        .hint(hint)
        .hint(format!("nothing was written: an earlier {} is as it was", job.path.display()))
}
