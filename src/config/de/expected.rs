//! What a key takes and what it was given instead, in words of a configuration.

use serde::de::{self, Unexpected};

/// What serde calls a type, in words of a configuration.
pub fn expected(exp: &dyn de::Expected) -> String {
    let text = exp.to_string();
    match text.as_str() {
        "u8" => "a whole number from 0 to 255".into(),
        "u16" => "a whole number from 0 to 65535".into(),
        "u32" | "u64" => "a whole number, 0 or more".into(),
        "f64" => "a number".into(),
        "a boolean" => "true or false".into(),
        "a sequence" => "a list".into(),
        _ if text.starts_with("struct ") => "a table".into(),
        _ => text,
    }
}

/// `expected a list, found "x"`.
pub fn mismatch(unexpected: Unexpected<'_>, exp: &dyn de::Expected) -> String {
    let found = match unexpected {
        Unexpected::Map => "a table".to_owned(),
        Unexpected::Seq => "a list".to_owned(),
        Unexpected::Bool(flag) => flag.to_string(),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) => format!("{text:?}"),
        other => other.to_string(),
    };
    let expected = expected(exp);
    // What people write for a variable, and TOML takes for something else.
    let quotes = matches!(unexpected, Unexpected::Bool(_) | Unexpected::Signed(_) | Unexpected::Float(_));
    let bare = found.strip_prefix("the number ").unwrap_or(&found);
    let remedy = if quotes && expected == "a string" { format!(": write \"{bare}\"") } else { String::new() };
    format!("expected {expected}, found {found}{remedy}")
}
