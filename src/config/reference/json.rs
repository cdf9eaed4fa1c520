//! The JSON Schema: how the value types are described, and what is mended in what schemars makes of the structs.

use crate::config::schema::Config;
use crate::config::values::{
    At, Codes, Command, Count, Dur, Maybe, Mode, Named, OnChange, Plain, Sig, Size, Word, Words,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};
use std::borrow::Cow;

/// A string that is replaced before it is read, so that any value may be given so.
const REFERENCE: &str = r"\$\{";

macro_rules! described {
    ([$($generics:tt)*] $type:ty, $generator:ident => $schema:expr) => {
        impl<$($generics)*> JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> Cow<'static, str> {
                stringify!($type).into()
            }
            fn json_schema($generator: &mut SchemaGenerator) -> Schema {
                $schema
            }
        }
    };
}

described!([T: JsonSchema] At<T>, generator => generator.subschema_for::<T>());
described!([T: JsonSchema] Named<T>, generator => {
    let entry = generator.subschema_for::<T>();
    json_schema!({ "type": "object", "additionalProperties": entry })
});
described!([T: JsonSchema] Maybe<T>, generator => {
    let inner = generator.subschema_for::<T>();
    json_schema!({ "anyOf": [inner, { "const": "none" }] })
});
described!([T: Words] Word<T>, _generator => {
    let mut choices: Vec<Value> =
        T::WORDS.iter().map(|(word, _, meaning)| json!({ "const": word, "description": meaning })).collect();
    choices.push(json!({ "type": "string", "pattern": REFERENCE }));
    json_schema!({ "anyOf": choices })
});
described!([] Dur, _generator => json_schema!({
    "type": "string",
    "pattern": format!("^([0-9]+(d|h|m|s|ms))+$|{REFERENCE}"),
}));
described!([] Size, _generator => json_schema!({
    "type": ["string", "integer"],
    "pattern": format!("^[0-9]+ ?(B|KiB|MiB|GiB)?$|{REFERENCE}"),
    "minimum": 0,
}));
described!([] Mode, _generator => json_schema!({
    "type": "string",
    "pattern": format!("^(0o)?0*[0-7]{{1,3}}$|{REFERENCE}"),
}));
described!([] Sig, _generator => json_schema!({ "type": ["string", "integer"], "minimum": 1, "maximum": 64 }));
described!([] Codes, _generator => json_schema!({
    "type": ["string", "integer"],
    "pattern": format!("^ *[1-5][0-9]{{2}}(-[1-5][0-9]{{2}})?( *, *[1-5][0-9]{{2}}(-[1-5][0-9]{{2}})?)* *$|{REFERENCE}"),
    "minimum": 100,
    "maximum": 599,
}));
described!([const LEAST: u16, const MOST: u16] Count<LEAST, MOST>, _generator => json_schema!({
    "type": "integer",
    "minimum": LEAST,
    "maximum": MOST,
}));
described!([] Plain, _generator => json_schema!({ "type": ["string", "integer"] }));
described!([] OnChange, generator => {
    let signal = generator.subschema_for::<Sig>();
    json_schema!({ "anyOf": [
        { "const": "reload" },
        { "const": "none" },
        {
            "type": "object",
            "properties": { "signal": signal, "service": { "type": "string" } },
            "required": ["signal", "service"],
            "additionalProperties": false,
        },
    ] })
});
described!([] Command, _generator => json_schema!({
    "type": "array",
    "items": { "type": ["string", "integer"] },
    "minItems": 1,
}));

/// The schema with what only the generators read (`x-…`).
pub fn annotated() -> Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    mend(&mut schema);
    schema
}

/// The schema as it is published.
pub fn published() -> String {
    let mut schema = annotated();
    strip(&mut schema);
    format!("{:#}\n", schema)
}

/// Says what schemars cannot know: TOML has no null, and numbers and switches may be strings.
fn mend(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(mend),
        Value::Object(map) => {
            map.values_mut().for_each(mend);
            if let Some(Value::Array(types)) = map.get_mut("type") {
                types.retain(|one| one != "null");
                if let [one] = types.as_slice() {
                    let one = one.clone();
                    map.insert("type".into(), one);
                }
            }
            if let Some(Value::Array(choices)) = map.get_mut("anyOf") {
                choices.retain(|choice| choice != &json!({ "type": "null" }));
                if let [one] = choices.as_slice() {
                    let one = one.clone();
                    map.remove("anyOf");
                    map.extend(one.as_object().cloned().unwrap_or_default());
                }
            }
            let kind = map.get("type").and_then(Value::as_str).map(str::to_owned);
            if let Some(kind @ ("integer" | "number" | "boolean")) = kind.as_deref() {
                map.remove("format");
                map.insert("type".into(), json!([kind, "string"]));
                map.insert("pattern".into(), json!(REFERENCE));
            }
        }
        _ => {}
    }
}

fn strip(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(strip),
        Value::Object(map) => {
            map.retain(|key, _| !key.starts_with("x-"));
            map.values_mut().for_each(strip);
        }
        _ => {}
    }
}
