//! Reads a [`tree`] into the schema, with every error at its place.
//!
//! A serde `Deserializer` over the merged layers. Numbers and switches may be written as strings, since that is
//! what `${VAR}` gives. [`read`] goes on after an error: what was wrong is taken out and the rest is read again.

mod expected;

use super::error::ConfigError;
use super::secret::hide_value;
use super::suggest;
use super::tree::{self, Loc, Node, Source, Table, Value};
use super::values::{AT, MAYBE, read_switch};
use expected::{expected, mismatch};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected,
    Visitor, value::U32Deserializer,
};
use serde::forward_to_deserialize_any;
use std::fmt;

/// More errors than anyone reads at once.
const MAX_ERRORS: usize = 100;

/// Reads `root`; what is wrong is taken out of it and reported in `errors`.
pub fn read<T: for<'de> Deserialize<'de> + Default>(
    root: &mut Node,
    sources: &[Source],
    errors: &mut Vec<ConfigError>,
) -> T {
    let mut found = Vec::new();
    loop {
        let path = Path { parent: None, step: Step::Root };
        match T::deserialize(De { node: root, path: &path }) {
            Ok(value) => {
                found.sort_by_key(|(loc, _)| *loc);
                errors.extend(found.into_iter().map(|(_, error)| error));
                return value;
            }
            Err(error) => {
                let loc = error.loc.unwrap_or(root.loc);
                found.push((loc, tree::error_at(sources, loc, error.to_string())));
                if !tree::remove(root, loc) || found.len() >= MAX_ERRORS {
                    errors.extend(found.into_iter().map(|(_, error)| error));
                    return T::default();
                }
            }
        }
    }
}

/// Where the table at hand is, for messages: `in [service.queue]`, `in [[boot]]`.
struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

enum Step<'a> {
    Root,
    Key(&'a str),
    Element,
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Vec::new();
        let mut element = false;
        let mut at = Some(self);
        while let Some(path) = at {
            match path.step {
                Step::Root => {}
                Step::Key(name) => names.push(name),
                Step::Element => element = true,
            }
            at = path.parent;
        }
        names.reverse();
        match (names.is_empty(), element) {
            (true, _) => f.write_str("at the top level"),
            (false, false) => write!(f, "in [{}]", names.join(".")),
            (false, true) => write!(f, "in [[{}]]", names.join(".")),
        }
    }
}

/// A message, and the place of the innermost value it is about.
#[derive(Debug)]
pub struct DeError {
    loc: Option<Loc>,
    message: String,
    /// The names that are valid, when the message is about a name that is not.
    valid: Option<&'static [&'static str]>,
}

impl DeError {
    fn new(message: impl Into<String>) -> Self {
        Self { loc: None, message: message.into(), valid: None }
    }

    /// Gives the error the place of `node`, unless it has one, and hides what a `${VAR}` there expanded to.
    fn at(mut self, node: &Node) -> Self {
        if self.loc.is_none() {
            self.loc = Some(node.loc);
            if let (Some(written), Some(value)) = (&node.written, node.str()) {
                self.message = hide_value(&self.message, value, written);
            }
        }
        self
    }
}

impl fmt::Display for DeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for DeError {}

impl de::Error for DeError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(unexpected: Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        Self::new(mismatch(unexpected, exp))
    }

    fn invalid_value(unexpected: Unexpected<'_>, exp: &dyn de::Expected) -> Self {
        Self::invalid_type(unexpected, exp)
    }

    fn unknown_field(field: &str, valid: &'static [&'static str]) -> Self {
        Self { loc: None, message: field.to_owned(), valid: Some(valid) }
    }
}

#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    path: &'a Path<'a>,
}

impl<'a> De<'a> {
    fn unexpected(&self) -> Unexpected<'a> {
        match &self.node.value {
            Value::Str(text) => Unexpected::Str(text),
            Value::Int(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Bool(flag) => Unexpected::Bool(*flag),
            Value::Date(_) => Unexpected::Other("a date"),
            Value::Array(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
        }
    }

    fn refuse(&self, exp: &dyn de::Expected) -> DeError {
        <DeError as de::Error>::invalid_type(self.unexpected(), exp)
    }

    fn any<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Str(text) => visitor.visit_str(text),
            Value::Int(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Bool(flag) => visitor.visit_bool(*flag),
            Value::Date(_) => Err(self.refuse(&visitor)),
            Value::Array(items) => visitor.visit_seq(Items { items: items.iter(), path: self.path }),
            Value::Table(table) => visitor.visit_map(Entries::new(table, self.path)),
        }
    }

    /// A number, or a string that holds one.
    fn number<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Int(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Str(text) => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
                (Ok(number), _) => visitor.visit_i64(number),
                (_, Ok(number)) => visitor.visit_f64(number),
                _ => {
                    let wanted = expected(&visitor);
                    Err(DeError::new(format!("{text:?} is not a number: write {wanted}")))
                }
            },
            _ => Err(self.refuse(&visitor)),
        }
    }
}

macro_rules! numbers {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
            self.number(visitor).map_err(|error| error.at(self.node))
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = DeError;

    numbers! {
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_u8 deserialize_u16
        deserialize_u32 deserialize_u64 deserialize_f32 deserialize_f64
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        self.any(visitor).map_err(|error| error.at(self.node))
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        let flag = match &self.node.value {
            Value::Bool(flag) => Some(*flag),
            Value::Str(text) => read_switch(text),
            _ => None,
        };
        match flag {
            Some(flag) => visitor.visit_bool(flag),
            None => Err(self.refuse(&visitor)),
        }
        .map_err(|error| error.at(self.node))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match name {
            AT => visitor.visit_seq(Placed { loc: self.node.loc, given: 0, inner: Some(self) }),
            MAYBE if self.node.str() == Some("none") => visitor.visit_none(),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match &self.node.value {
            Value::Table(table) => visitor.visit_map(Entries::new(table, self.path)),
            Value::Array(items) if !items.is_empty() && items.iter().all(|item| item.table().is_some()) => {
                Err(DeError::new("there is one of it, not a list: write it in single brackets"))
            }
            _ => Err(self.refuse(&"a table")),
        }
        .map_err(|error| error.at(self.node))
    }

    /// Free text. What has a grammar of its own (durations, sizes, words…) asks for `any` or `str`, and gets the value.
    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        match &self.node.printed {
            Some(text) => visitor.visit_str(text),
            None => self.any(visitor),
        }
        .map_err(|error| error.at(self.node))
    }

    forward_to_deserialize_any! {
        i128 u128 char str bytes byte_buf unit unit_struct seq tuple tuple_struct map enum identifier ignored_any
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    path: &'a Path<'a>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let Some(node) = self.items.next() else { return Ok(None) };
        let path = Path { parent: Some(self.path), step: Step::Element };
        seed.deserialize(De { node, path: &path }).map(Some).map_err(|error| error.at(node))
    }
}

struct Entries<'a> {
    entries: std::slice::Iter<'a, tree::Entry>,
    value: Option<&'a tree::Entry>,
    path: &'a Path<'a>,
}

impl<'a> Entries<'a> {
    fn new(table: &'a Table, path: &'a Path<'a>) -> Self {
        Self { entries: table.0.iter(), value: None, path }
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = DeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, DeError> {
        self.value = self.entries.next();
        let Some(entry) = self.value else { return Ok(None) };
        seed.deserialize(Key { key: &entry.key, loc: entry.key_loc }).map(Some).map_err(|mut error| {
            if let Some(valid) = error.valid.take() {
                let hint = suggest::hint(&error.message, valid, "keys there");
                error.message = format!("unknown key \"{}\" {}: {hint}", error.message, self.path);
            }
            error.loc.get_or_insert(entry.key_loc);
            error
        })
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, DeError> {
        let Some(entry) = self.value.take() else {
            return Err(DeError::new("a value was asked for before its key"));
        };
        let path = Path { parent: Some(self.path), step: Step::Key(&entry.key) };
        seed.deserialize(De { node: &entry.node, path: &path }).map_err(|mut error| {
            if error.loc.is_none() {
                error = error.at(&entry.node);
            }
            error
        })
    }
}

#[derive(Clone, Copy)]
struct Key<'a> {
    key: &'a str,
    loc: Loc,
}

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = DeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, DeError> {
        visitor.visit_str(self.key)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, DeError> {
        match name {
            AT => visitor.visit_seq(Placed { loc: self.loc, given: 0, inner: Some(self) }),
            _ => visitor.visit_newtype_struct(self),
        }
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit
        unit_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// What [`super::values::At`] reads: the three numbers of the place, then the value.
struct Placed<D> {
    loc: Loc,
    given: u8,
    inner: Option<D>,
}

impl<'de, D: Deserializer<'de, Error = DeError>> SeqAccess<'de> for Placed<D> {
    type Error = DeError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, DeError> {
        let number = match self.given {
            0 => self.loc.layer,
            1 => self.loc.start,
            2 => self.loc.end,
            _ => return self.inner.take().map(|inner| seed.deserialize(inner)).transpose(),
        };
        self.given = self.given.saturating_add(1);
        let number: U32Deserializer<DeError> = number.into_deserializer();
        seed.deserialize(number).map(Some)
    }
}
