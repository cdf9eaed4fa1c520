//! A TOML document whose every key and value knows which layer it came from and where in it.
//!
//! serde alone loses that when layers are merged, and stops at the first error; so layers are merged as trees and
//! `super::de` reads the result.

use super::error::{ConfigError, Place};
use super::told;
use std::fmt;
use toml::de::{DeTable, DeValue};

/// One TOML text and the name it is told by in errors.
#[derive(Clone, PartialEq, Eq)]
pub struct Source {
    /// The path of the file, or `laravel.toml (preset)`.
    pub name: String,
    pub text: String,
}

/// By its name: a configuration may hold secrets.
impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Source").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Bytes `start..end` of layer number `layer`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, PartialOrd, Ord)]
pub struct Loc {
    pub layer: u32,
    pub start: u32,
    pub end: u32,
}

impl Loc {
    fn new(layer: u32, span: std::ops::Range<usize>) -> Self {
        let narrow = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        Self { layer, start: narrow(span.start), end: narrow(span.end) }
    }
}

/// The error `message` at `loc` of `sources`.
pub fn error_at(sources: &[Source], loc: Loc, message: impl Into<String>) -> ConfigError {
    let wide = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    let place = sources
        .get(wide(loc.layer))
        .map(|source| Place::new(&source.name, &source.text, wide(loc.start), wide(loc.end)));
    ConfigError { place, message: message.into() }
}

#[derive(Clone, PartialEq)]
pub struct Node {
    pub loc: Loc,
    pub value: Value,
    /// The text before `${VAR}` was replaced, when there was one. Shown instead of the value.
    pub written: Option<String>,
    /// What is printed of a string, where a plan is made to be printed: it has no value of a variable in it.
    pub printed: Option<String>,
}

/// An empty table.
impl Default for Node {
    fn default() -> Self {
        Self { loc: Loc::default(), value: Value::Table(Table::default()), written: None, printed: None }
    }
}

/// By its place: the value may be what a variable expanded to.
impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Node").field("loc", &self.loc).finish_non_exhaustive()
    }
}

#[derive(Clone, PartialEq)]
pub enum Value {
    Str(String),
    Int(i64),
    Float(f64),
    Bool(bool),
    /// A date, which no key takes.
    Date(String),
    Array(Vec<Node>),
    Table(Table),
}

/// Entries in the order of the file.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table(pub Vec<Entry>);

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub key: String,
    pub key_loc: Loc,
    pub node: Node,
}

impl Table {
    pub fn get(&self, key: &str) -> Option<&Node> {
        self.0.iter().find(|entry| entry.key == key).map(|entry| &entry.node)
    }

    pub fn get_mut(&mut self, key: &str) -> Option<&mut Node> {
        self.0.iter_mut().find(|entry| entry.key == key).map(|entry| &mut entry.node)
    }
}

impl Node {
    pub fn str(&self) -> Option<&str> {
        match &self.value {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    pub fn table(&self) -> Option<&Table> {
        match &self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn table_mut(&mut self) -> Option<&mut Table> {
        match &mut self.value {
            Value::Table(table) => Some(table),
            _ => None,
        }
    }

    pub fn array(&self) -> Option<&[Node]> {
        match &self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    pub fn array_mut(&mut self) -> Option<&mut Vec<Node>> {
        match &mut self.value {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }
}

/// So many are told at most: recovery guesses, and its guesses grow worse.
const MAX_SYNTAX_ERRORS: usize = 3;

/// Parses layer number `layer`. The first syntax errors at once, one a line.
pub fn parse(sources: &[Source], layer: usize) -> Result<Node, Vec<ConfigError>> {
    let number = u32::try_from(layer).unwrap_or(u32::MAX);
    let text = sources.get(layer).map_or("", |source| source.text.as_str());
    let (document, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        let loc = Loc::new(number, 0..0);
        return Ok(Node {
            loc,
            value: Value::Table(table(document.get_ref(), number)),
            written: None,
            printed: None,
        });
    }
    let mut found: Vec<ConfigError> = errors
        .iter()
        .map(|error| {
            let loc = Loc::new(number, error.span().unwrap_or(0..0));
            error_at(sources, loc, error.message().trim().replace('\n', "; "))
        })
        .filter_map(|error| told::duplicate(error, text))
        .collect();
    // A bracket that is not closed makes an error of each token to the end of the file.
    let line = |error: &ConfigError| error.place.as_ref().map(|place| place.line);
    found.sort_by_key(|error| error.place.as_ref().map(|place| (place.line, place.column)));
    found.dedup_by_key(|error| line(error));
    found.truncate(MAX_SYNTAX_ERRORS);
    Err(found)
}

fn table(table: &DeTable<'_>, layer: u32) -> Table {
    let mut entries: Vec<Entry> = table
        .iter()
        .map(|(key, value)| Entry {
            key: key.get_ref().to_string(),
            key_loc: Loc::new(layer, key.span()),
            node: Node {
                loc: Loc::new(layer, value.span()),
                value: node_value(value.get_ref(), layer),
                written: None,
                printed: None,
            },
        })
        .collect();
    // The parser's map is sorted by name.
    entries.sort_by_key(|entry| entry.key_loc.start);
    Table(entries)
}

fn node_value(value: &DeValue<'_>, layer: u32) -> Value {
    match value {
        DeValue::String(text) => Value::Str(text.to_string()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::Int(number),
            // Beyond 64 bits: kept as a number that no key accepts.
            Err(_) => Value::Float(f64::INFINITY),
        },
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Bool(*flag),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(items) => Value::Array(
            items
                .iter()
                .map(|item| Node {
                    loc: Loc::new(layer, item.span()),
                    value: node_value(item.get_ref(), layer),
                    written: None,
                    printed: None,
                })
                .collect(),
        ),
        DeValue::Table(inner) => Value::Table(table(inner, layer)),
    }
}

/// Keys of `ready` and `live` that choose the kind, each with the keys that belong to it: naming one replaces the kind
/// of the layer below.
const PROBE_KINDS: &[(&str, &[&str])] = &[
    ("fastcgi", &["path"]),
    ("tcp", &[]),
    ("unix", &[]),
    ("http", &["status", "host"]),
    ("command", &[]),
    ("notify", &[]),
    ("notify-fd", &[]),
];

/// In a list, stands for the elements of the list below it.
const BELOW: &str = "...";

/// Lays `upper` over `lower`: tables key by key, `[[file]]` and `[[boot]]` one after the other (they are united by
/// name later, see [`unite`]), anything else replaced.
pub fn overlay(lower: &mut Table, upper: Table) {
    for entry in upper.0 {
        let Some(below) = lower.0.iter_mut().find(|below| below.key == entry.key) else {
            lower.0.push(Entry { node: without_below(entry.node), ..entry });
            continue;
        };
        below.key_loc = entry.key_loc;
        let below = &mut below.node;
        match (&mut below.value, entry.node.value) {
            (Value::Table(below_table), Value::Table(mut upper_table)) => {
                if matches!(entry.key.as_str(), "ready" | "live") {
                    replace_kind(below_table, &upper_table);
                }
                overlay(below_table, std::mem::take(&mut upper_table));
                below.loc = entry.node.loc;
            }
            (Value::Array(below_items), Value::Array(items))
                if items.iter().chain(below_items.iter()).all(|item| item.table().is_some()) =>
            {
                below_items.extend(items);
            }
            (Value::Array(below_items), Value::Array(items)) => {
                let mut united = Vec::new();
                for item in items {
                    if item.str() == Some(BELOW) {
                        united.append(below_items);
                    } else {
                        united.push(item);
                    }
                }
                *below_items = united;
                below.loc = entry.node.loc;
            }
            (_, value) => {
                *below = Node { value, ..entry.node };
            }
        }
    }
}

/// Takes another kind of probe than that of `upper` out of `below`.
fn replace_kind(below: &mut Table, upper: &Table) {
    let (named, others): (Vec<_>, Vec<_>) =
        PROBE_KINDS.iter().partition(|(kind, _)| upper.get(kind).is_some());
    if !named.is_empty() {
        below.0.retain(|entry| {
            let key = entry.key.as_str();
            !others.iter().any(|(kind, own)| *kind == key || own.contains(&key))
        });
    }
}

/// A list with nothing below it: `"..."` stands for nothing.
fn without_below(mut node: Node) -> Node {
    match &mut node.value {
        Value::Array(items) => items.retain(|item| item.str() != Some(BELOW)),
        Value::Table(table) => {
            let entries = std::mem::take(&mut table.0);
            table.0 =
                entries.into_iter().map(|entry| Entry { node: without_below(entry.node), ..entry }).collect();
        }
        _ => {}
    }
    node
}

/// Unites the tables of the array `node` that `id` says are the same entry and that come from different layers: the
/// later one is laid over the earlier one, which keeps its place. Two of one layer stay, for a check to refuse.
pub fn unite(node: &mut Node, id: &dyn Fn(&Table) -> Vec<String>) {
    let Some(items) = node.array_mut() else { return };
    let mut united: Vec<Node> = Vec::new();
    for item in std::mem::take(items) {
        let ids = item.table().map(id).unwrap_or_default();
        let below = united.iter_mut().find(|below| {
            below.loc.layer != item.loc.layer
                && below.table().is_some_and(|table| id(table).iter().any(|one| ids.contains(one)))
        });
        match (below, item.value) {
            (Some(below), Value::Table(upper)) => {
                below.loc = item.loc;
                if let Some(table) = below.table_mut() {
                    overlay(table, upper);
                }
            }
            (_, value) => united.push(Node { value, ..item }),
        }
    }
    *items = united;
}

/// Removes what is at `loc`: the entry with that key or value, or the array element.
pub fn remove(node: &mut Node, loc: Loc) -> bool {
    match &mut node.value {
        Value::Table(table) => {
            let before = table.0.len();
            table.0.retain(|entry| entry.key_loc != loc && entry.node.loc != loc);
            before != table.0.len() || table.0.iter_mut().any(|entry| remove(&mut entry.node, loc))
        }
        Value::Array(items) => {
            let before = items.len();
            items.retain(|item| item.loc != loc);
            before != items.len() || items.iter_mut().any(|item| remove(item, loc))
        }
        _ => false,
    }
}
