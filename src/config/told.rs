//! Places of a configuration in words: the key that a message is about, and what is there twice.

use super::error::ConfigError;
use super::tree::{Loc, Node, Value};

/// The key at `loc` and the table it is in, in words: `stop-timeout in [service.a]`, `timeout in [[boot]] "seed"`.
pub fn subject(root: &Node, loc: Loc) -> Option<String> {
    let mut names = Vec::new();
    if !trail(root, loc, &mut names) {
        return None;
    }
    let key = names.pop()?;
    match names.as_slice() {
        [] => Some(key),
        [table, name, rest @ ..] if name.starts_with('"') => {
            let rest: String = rest.iter().map(|part| format!(".{part}")).collect();
            Some(format!("{key} in [[{table}{rest}]] {name}"))
        }
        tables => Some(format!("{key} in [{}]", tables.join("."))),
    }
}

/// The keys that lead to `loc`; an element of a list of tables is known by its name or its place in the list.
fn trail(node: &Node, loc: Loc, names: &mut Vec<String>) -> bool {
    match &node.value {
        Value::Table(table) => table.0.iter().any(|entry| {
            names.push(entry.key.clone());
            let found = entry.node.loc == loc || entry.key_loc == loc || trail(&entry.node, loc, names);
            if !found {
                names.pop();
            }
            found
        }),
        Value::Array(items) => items.iter().enumerate().any(|(index, item)| {
            let Some(table) = item.table() else { return item.loc == loc };
            let name = table.get("name").and_then(|name| name.written.as_deref().or(name.str()));
            names.push(
                name.map_or_else(|| format!("\"{}\"", index.saturating_add(1)), |name| format!("\"{name}\"")),
            );
            let found = trail(item, loc, names);
            if !found {
                names.pop();
            }
            found
        }),
        _ => false,
    }
}

/// What the parser calls a "duplicate key", with its name. Of a table that is there twice, its keys are no news.
pub fn duplicate(error: ConfigError, text: &str) -> Option<ConfigError> {
    let Some(place) = error.place.as_ref().filter(|_| error.message == "duplicate key") else {
        return Some(error);
    };
    let lines: Vec<&str> = text.lines().take(place.line).map(str::trim).collect();
    let is_header = |line: &&&str| line.starts_with('[');
    let (line, above) = lines.split_last()?;
    if is_header(&line) {
        let message = format!("{line} is there already: write its keys into the first one");
        return Some(ConfigError { message, ..error });
    }
    let header = above.iter().rev().find(is_header);
    let twice =
        |header: &&str| !header.starts_with("[[") && above.iter().filter(|line| *line == header).count() > 1;
    if header.is_some_and(twice) {
        return None;
    }
    let from = place.column.saturating_sub(1);
    let key: String = place.text.chars().skip(from).take(place.width).collect();
    Some(ConfigError {
        message: format!("{key} is there already, in the same table: keep one of them"),
        ..error
    })
}
