//! `${NAME}` and what the application sees in the end.
//!
//! The twin of phpdotenv's `Loader/` with the immutable repository that Laravel gives it (`Support/Env.php`).

use super::{Document, Entry, Secret, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// The name of a `${NAME}` that `text` starts with.
pub(super) fn reference(mut text: impl Iterator<Item = u8>) -> Option<String> {
    if (text.next()?, text.next()?) != (b'$', b'{') {
        return None;
    }
    let mut name = String::new();
    loop {
        match text.next()? {
            b'}' if !name.is_empty() => return Some(name),
            byte if byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.') => name.push(byte.into()),
            _ => return None,
        }
    }
}

impl Value {
    /// Every `${NAME}` that `lookup` knows replaced by its value, the last one first, so that a replaced one may
    /// complete the name of one before it; unknown ones stay as they are. `None` if it grows over `most` bytes.
    fn resolve<'v>(&self, lookup: impl Fn(&str) -> Option<Cow<'v, str>>, most: usize) -> Option<Secret> {
        let bytes = self.text.expose().as_bytes();
        // What is done so far, its last byte first: pieces are put and taken where a vector is cheap.
        let mut done: Vec<u8> = Vec::with_capacity(bytes.len());
        let mut end = bytes.len();
        for &at in self.vars.iter().rev() {
            done.extend(bytes.get(at..end).unwrap_or_default().iter().rev());
            end = at;
            if let Some(name) = reference(done.iter().rev().copied())
                && let Some(value) = lookup(&name)
            {
                done.truncate(done.len().saturating_sub(name.len() + "${}".len()));
                done.extend(value.bytes().rev());
            }
            if done.len() > most {
                return None;
            }
        }
        done.extend(bytes.get(..end).unwrap_or_default().iter().rev());
        done.reverse();
        // All cuts were made at ASCII characters, so nothing is lost.
        let text = String::from_utf8(done)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        (text.len() <= most).then(|| Secret::new(text))
    }
}

impl Document {
    /// What the file sets, by name, when the real environment is `real`: a name that `real` has is left alone, as
    /// Laravel's immutable repository does, a later entry wins over an earlier one, and a `NAME` without `=` unsets
    /// what the file set before.
    ///
    /// Entries that double each other can grow without bound; [`validate()`](super::validate()) refuses such files.
    pub fn resolve(&self, real: impl Fn(&str) -> Option<String>) -> BTreeMap<String, Secret> {
        self.resolve_within(usize::MAX, real).unwrap_or_default()
    }

    /// As [`Document::resolve`], with at most `most` bytes in all values that are computed; else the entry that went
    /// over it.
    pub(super) fn resolve_within(
        &self,
        mut most: usize,
        real: impl Fn(&str) -> Option<String>,
    ) -> Result<BTreeMap<String, Secret>, &Entry> {
        let mut set: BTreeMap<String, Secret> = BTreeMap::new();
        for entry in &self.entries {
            if real(&entry.key).is_some() {
                continue;
            }
            let Some(value) = &entry.value else {
                set.remove(&entry.key);
                continue;
            };
            let from_file = |name: &str| set.get(name).map(|value| Cow::Borrowed(value.expose()));
            let lookup = |name: &str| real(name).map(Cow::Owned).or_else(|| from_file(name));
            let value = value.resolve(lookup, most).ok_or(entry)?;
            most = most.saturating_sub(value.expose().len());
            set.insert(entry.key.clone(), value);
        }
        Ok(set)
    }
}
