//! Values that are one of a few words, with what each word means.

use crate::config::plan::{
    Cipher, DecryptFormat, Digest, FileFormat, KillMode, LiveNotify, LogFormat, LogLevel, OnStall, Overlap,
    ReadyNotify, Restart, StopScope, Then, Verify,
};
use crate::config::suggest;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// A type that is one of a few words.
pub trait Words: Sized + Copy + PartialEq + 'static {
    /// For "… is no …".
    const WHAT: &'static str;
    /// Each word, its value and what it means.
    const WORDS: &'static [(&'static str, Self, &'static str)];
}

/// One of a few words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Word<T>(pub T);

impl<'de, T: Words> Deserialize<'de> for Word<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T>(PhantomData<T>);
        impl<T: Words> Visitor<'_> for Reader<T> {
            type Value = Word<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let words: Vec<String> = T::WORDS.iter().map(|(word, _, _)| format!("{word:?}")).collect();
                write!(f, "one of {}", words.join(", "))
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Word<T>, E> {
                if let Some((_, value, _)) = T::WORDS.iter().find(|(word, _, _)| *word == text) {
                    return Ok(Word(*value));
                }
                let words: Vec<&str> = T::WORDS.iter().map(|(word, _, _)| *word).collect();
                let hint = suggest::hint(text, &words, "choices");
                Err(E::custom(format!("{text:?} is no {}: {hint}", T::WHAT)))
            }
        }
        deserializer.deserialize_str(Reader(PhantomData))
    }
}

/// The word for `value`.
pub fn show_word<T: Words>(value: T) -> &'static str {
    T::WORDS.iter().find(|(_, known, _)| *known == value).map_or("", |(word, _, _)| *word)
}

macro_rules! words {
    ($type:ty, $what:literal, $(($word:literal, $value:expr, $meaning:literal)),* $(,)?) => {
        impl Words for $type {
            const WHAT: &'static str = $what;
            const WORDS: &'static [(&'static str, Self, &'static str)] = &[$(($word, $value, $meaning)),*];
        }
    };
}

words!(
    LogFormat,
    "log format",
    ("plain", Self::Plain, "the line as it came"),
    ("prefix", Self::Prefix, "`[queue:0] ` in front of each line"),
    ("json", Self::Json, "one JSON object a line"),
    ("inherit", Self::Inherit, "no relay: the process writes to the container's own stdout and stderr"),
);
words!(
    LogLevel,
    "log level",
    ("error", Self::Error, "what ends the container or loses work"),
    ("warn", Self::Warn, "what went wrong and was survived"),
    ("info", Self::Info, "what happens: starts, exits, restarts, stops"),
    ("debug", Self::Debug, "why it happens"),
    ("trace", Self::Trace, "everything"),
);
words!(
    OnStall,
    "way to go on when the output stalls",
    ("block", Self::Block, "the process waits; nothing is lost"),
    ("drop", Self::Drop, "lines are dropped and counted, and the count is logged later"),
);
words!(
    FileFormat,
    "file format",
    ("dotenv", Self::Dotenv, "checked with phpdotenv's own grammar"),
    ("pem", Self::Pem, "certificates and keys: one block or more, each whole"),
    ("raw", Self::Raw, "taken as it is"),
);
words!(
    DecryptFormat,
    "encrypted format",
    ("laravel", Self::Laravel, "`artisan env:encrypt`, with or without `--readable`"),
    (
        "laravel-if-encrypted",
        Self::LaravelIfEncrypted,
        "as `laravel` where the file is so encrypted; any other is taken as it is"
    ),
    ("openssl", Self::Openssl, "`openssl enc`"),
);
words!(
    Cipher,
    "cipher",
    ("aes-128-cbc", Self::Aes128Cbc, "AES, key of 16 bytes"),
    ("aes-256-cbc", Self::Aes256Cbc, "AES, key of 32 bytes"),
    ("aes-128-gcm", Self::Aes128Gcm, "AES with a tag, key of 16 bytes; Laravel only"),
    ("aes-256-gcm", Self::Aes256Gcm, "AES with a tag, key of 32 bytes; Laravel only"),
    ("des3", Self::Des3, "3DES, key of 24 bytes; openssl only"),
);
words!(
    Digest,
    "digest",
    ("md5", Self::Md5, "the default of openssl before 1.1"),
    ("sha256", Self::Sha256, "the default of openssl"),
    ("sha512", Self::Sha512, "`-md sha512`"),
);
words!(
    Verify,
    "check of a boot step",
    (
        "laravel-optimize",
        Self::LaravelOptimize,
        "`artisan optimize` printed no `FAIL` and wrote its configuration cache"
    ),
);
words!(
    ReadyNotify,
    "way to tell of readiness",
    (
        "socket",
        Self::Socket,
        "`READY=1` on the socket that NOTIFY_SOCKET names, as under systemd: sd_notify(3)"
    ),
);
words!(
    LiveNotify,
    "way to tell of life",
    (
        "watchdog",
        Self::Watchdog,
        "`WATCHDOG=1` on the socket that NOTIFY_SOCKET names, as under systemd: sd_notify(3)"
    ),
);
words!(
    Restart,
    "restart policy",
    ("always", Self::Always, "whatever its exit code"),
    ("on-failure", Self::OnFailure, "unless it exited 0"),
    ("never", Self::Never, "it runs once"),
);
words!(
    Then,
    "consequence",
    ("exit", Self::Exit, "the container stops, with the service's own exit code"),
    ("stay", Self::Stay, "the instance stays FATAL and the rest goes on"),
);
words!(
    StopScope,
    "scope of a stop",
    ("main", Self::Main, "the main process, which stops its own children: php-fpm, nginx, horizon"),
    ("group", Self::Group, "every process of its group"),
);
words!(
    KillMode,
    "kill mode",
    ("all", Self::All, "every process that it started, whatever its group or session"),
    ("group", Self::Group, "the processes of its group"),
);
words!(
    Overlap,
    "overlap policy",
    ("allow", Self::Allow, "run side by side, up to `max-running`"),
    ("skip", Self::Skip, "leave this run out"),
    ("queue", Self::Queue, "wait for the earlier run to end; further ones are left out"),
    ("replace", Self::Replace, "stop the earlier run, then start"),
);
