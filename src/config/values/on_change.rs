//! `on-change` of a file: a word, or a signal to a service.

use super::{At, Sig};
use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer};
use std::fmt;

/// What a changed file leads to.
#[derive(Clone, Debug, PartialEq)]
pub enum OnChange {
    Reload,
    Nothing,
    Signal(Notify),
}

/// Who is told of a changed file, and how.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Notify {
    pub signal: At<Sig>,
    pub service: At<String>,
}

impl<'de> Deserialize<'de> for OnChange {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = OnChange;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"reload\", \"none\" or { signal = \"HUP\", service = \"NAME\" }")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<OnChange, E> {
                match text {
                    "reload" => Ok(OnChange::Reload),
                    "none" => Ok(OnChange::Nothing),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<OnChange, A::Error> {
                Notify::deserialize(MapAccessDeserializer::new(map)).map(OnChange::Signal)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
