//! `reference.toml`: every key with its meaning, its default and a value, in the order of the structs.

use super::{Section, sections};
use serde_json::Value;

const HEAD: &str = "\
# Every key of init's configuration, with its meaning and its default. Generated from the source; do not edit.
#
# This file is a valid configuration, but no sensible one: it sets everything. Take from it what you need.
#:schema ./schema.json
#
";

const WIDTH: usize = 116;

pub fn reference(schema: &Value) -> String {
    let mut out = HEAD.to_owned();
    comment(&mut out, text(schema, "description"));
    for section in sections() {
        let definition = definition(schema, &section);
        if !section.header.is_empty() {
            out.push_str(&format!("\n# {}\n", "-".repeat(WIDTH - 2)));
            comment(&mut out, text(field_of_parent(schema, &section), "description"));
            // Tables within a service may be written in its own lines too, and their structs say more.
            if let Some((_, key)) = section.header.trim_matches(['[', ']']).rsplit_once("php-fpm.") {
                comment(&mut out, text(definition, "description"));
                let in_a_line: Vec<String> =
                    section.fields.iter().take(2).map(|key| format!("{key} = …")).collect();
                comment(&mut out, &format!("In one line: `{key} = {{ {}, … }}`.", in_a_line.join(", ")));
            }
            out.push_str(&format!("{}\n", section.header));
        }
        for key in section.fields {
            let field = definition.get("properties").and_then(|all| all.get(key)).unwrap();
            if !is_section(field) {
                self::field(&mut out, key, field);
            }
        }
    }
    out
}

/// The definition of the section's struct.
pub fn definition<'a>(schema: &'a Value, section: &Section) -> &'a Value {
    match section.name {
        "Config" => schema,
        name => schema.get("$defs").and_then(|all| all.get(name)).unwrap(),
    }
}

/// The key of the struct above that leads to this section: it may say more than the section itself.
fn field_of_parent<'a>(schema: &'a Value, section: &Section) -> &'a Value {
    let reference = format!("#/$defs/{}", section.name);
    sections()
        .iter()
        .filter_map(|parent| definition(schema, parent).get("properties")?.as_object())
        .flat_map(|fields| fields.values())
        .find(|field| field.to_string().contains(&format!("\"{reference}\"")))
        .unwrap_or(&Value::Null)
}

/// Whether the key leads to a table with a section of its own.
pub fn is_section(field: &Value) -> bool {
    field.to_string().contains("\"$ref\"")
}

fn text<'a>(schema: &'a Value, key: &str) -> &'a str {
    schema.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn field(out: &mut String, key: &str, field: &Value) {
    out.push('\n');
    comment(out, text(field, "description"));
    for choice in field.get("anyOf").and_then(Value::as_array).into_iter().flatten() {
        if let Some(word) = choice.get("const").filter(|_| choice.get("description").is_some()) {
            out.push_str(&format!("#   {:<20} {}\n", literal(word), text(choice, "description")));
        }
    }
    if let Some(default) = field.get("default") {
        out.push_str(&format!("# Default: {}\n", literal(default)));
    }
    let example = field.get("examples").and_then(|examples| examples.get(0));
    let value =
        example.or(field.get("default")).unwrap_or_else(|| panic!("{key} has no default and no example"));
    let live = field.get("x-live") != Some(&Value::Bool(false));
    out.push_str(&format!("{}{key} = {}\n", if live { "" } else { "# " }, literal(value)));
}

fn comment(out: &mut String, text: &str) {
    for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.is_empty()) {
        let mut line = String::from("#");
        for word in paragraph.split_whitespace() {
            if line.chars().count() + word.chars().count() + 1 > WIDTH {
                out.push_str(&line);
                out.push('\n');
                line = String::from("#");
            }
            line.push(' ');
            line.push_str(word);
        }
        out.push_str(&line);
        out.push('\n');
    }
}

/// A JSON value as TOML.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let pairs: Vec<String> =
                map.iter().map(|(key, value)| format!("{key} = {}", literal(value))).collect();
            format!("{{ {} }}", pairs.join(", "))
        }
        other => other.to_string(),
    }
}
