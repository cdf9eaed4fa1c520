//! What values are written as: durations, sizes, modes, signals, commands and words, each with its grammar and the
//! text it is printed as.

mod codes;
mod on_change;
mod units;
mod words;

pub use codes::{Codes, show_codes};
pub use on_change::OnChange;
pub use units::{Dur, Mode, Sig, Size, show_duration, show_mode, show_size};
pub use words::{Word, Words, show_word};

use super::tree::Loc;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::marker::PhantomData;

/// The name under which `super::de` hands out a value together with its place.
pub const AT: &str = "$php_init::At";
/// The name under which `super::de` takes the word `"none"` for nothing.
pub const MAYBE: &str = "$php_init::Maybe";

/// A value and where it was written.
#[derive(Clone, PartialEq)]
pub struct At<T> {
    pub loc: Loc,
    pub value: T,
}

/// By its place: the value may be what a variable expanded to.
impl<T> fmt::Debug for At<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("At").field("loc", &self.loc).finish_non_exhaustive()
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Parts<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Parts<T> {
            type Value = At<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value with its place")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut parts: A) -> Result<At<T>, A::Error> {
                let mut number = || parts.next_element::<u32>().map(Option::unwrap_or_default);
                let loc = Loc { layer: number()?, start: number()?, end: number()? };
                let value = parts.next_element()?.ok_or_else(|| de::Error::custom("the value is missing"))?;
                Ok(At { loc, value })
            }
        }
        deserializer.deserialize_newtype_struct(AT, Parts(PhantomData))
    }
}

/// A table of named entries, in the order of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Named<T>(pub Vec<(At<String>, At<T>)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = Named<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Named<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Named(entries))
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

/// A value, or the word `"none"` for "not this, although a default or a preset says so".
#[derive(Clone, Debug, PartialEq)]
pub struct Maybe<T>(pub Option<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Maybe<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NoneOr<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for NoneOr<T> {
            type Value = Maybe<T>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or \"none\"")
            }
            fn visit_none<E>(self) -> Result<Maybe<T>, E> {
                Ok(Maybe(None))
            }
            fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Maybe<T>, D::Error> {
                T::deserialize(inner).map(|value| Maybe(Some(value)))
            }
        }
        deserializer.deserialize_newtype_struct(MAYBE, NoneOr(PhantomData))
    }
}

/// A type that is written as one string.
pub trait Text: Sized {
    /// For "expected …".
    const EXPECTED: &'static str;
    /// Reads it; the error completes the sentence after the key.
    fn read(text: &str) -> Result<Self, String>;
    /// Reads an integer, where one is meant.
    fn read_integer(_number: i64) -> Option<Result<Self, String>> {
        None
    }
}

/// How [`Text`] types are deserialized.
pub fn from_text<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(Reader(PhantomData))
}

struct Reader<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for Reader<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::read(text).map_err(de::Error::custom)
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        match T::read_integer(number) {
            Some(read) => read.map_err(de::Error::custom),
            None => Err(de::Error::invalid_type(de::Unexpected::Signed(number), &self)),
        }
    }
}

macro_rules! text_type {
    ($($name:ty),*) => {$(
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                from_text(deserializer)
            }
        }
    )*};
}
text_type!(Codes, Dur, Size, Mode, Sig);

/// As a string: `config::de` gives what is printed of it where a plan is made to be printed.
impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_string(Reader(PhantomData))
    }
}

/// A string that may be written as a whole number too: user ids, values of variables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plain(pub String);

impl Text for Plain {
    const EXPECTED: &'static str = "a string";

    fn read(text: &str) -> Result<Self, String> {
        Ok(Self(text.to_owned()))
    }

    fn read_integer(number: i64) -> Option<Result<Self, String>> {
        Some(Ok(Self(number.to_string())))
    }
}

/// A whole number of which no more than `MOST` is taken. What is less than `LEAST` is for a check to refuse, which can say more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const LEAST: u16, const MOST: u16>(pub u16);

impl<'de, const LEAST: u16, const MOST: u16> Deserialize<'de> for Count<LEAST, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const LEAST: u16, const MOST: u16>;
        impl<const LEAST: u16, const MOST: u16> Visitor<'_> for Number<LEAST, MOST> {
            type Value = u16;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {LEAST} to {MOST}")
            }
            fn visit_i64<E: de::Error>(self, number: i64) -> Result<u16, E> {
                let fits = u16::try_from(number).ok().filter(|number| *number <= MOST);
                fits.ok_or_else(|| E::invalid_value(de::Unexpected::Signed(number), &self))
            }
        }
        deserializer.deserialize_u16(Number::<LEAST, MOST>).map(Self)
    }
}

/// A program and its arguments.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command(pub Vec<String>);

impl<'de> Deserialize<'de> for Command {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Argv;
        impl<'de> Visitor<'de> for Argv {
            type Value = Command;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(
                    "a list of the program and its arguments, such as [\"php\", \"artisan\", \"optimize\"]",
                )
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Command, E> {
                let shell = text.contains(['|', '&', ';', '<', '>', '$', '`', '*', '\'', '"', '\\']);
                let words: Vec<String> = text.split_whitespace().map(|word| format!("{word:?}")).collect();
                Err(E::custom(if shell {
                    "a command is a list, and no shell reads it: write [\"sh\", \"-c\", \"…\"]".to_owned()
                } else {
                    format!("a command is a list, and no shell reads it: write [{}]", words.join(", "))
                }))
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Command, A::Error> {
                let mut argv = Vec::new();
                while let Some(Plain(word)) = items.next_element()? {
                    argv.push(word);
                }
                match argv.first() {
                    None => Err(de::Error::custom("the command is empty")),
                    Some(program) if program.is_empty() => {
                        Err(de::Error::custom("the command has no program: its first element is empty"))
                    }
                    Some(_) => Ok(Command(argv)),
                }
            }
        }
        deserializer.deserialize_any(Argv)
    }
}

/// Reads a switch given as a string, as `${VAR}` gives it.
pub fn read_switch(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}
