//! Which names look like they hold a secret, and hiding what is assigned to them.
//!
//! A guess by name, for text that is shown to people: it errs on the side of hiding.

use std::path::{Path, PathBuf};

/// A name that holds one of these holds a secret, as far as anything printed is concerned.
const WORDS: &[&str] =
    &["KEY", "SECRET", "TOKEN", "PASSWORD", "PASSWD", "PASSPHRASE", "CREDENTIAL", "_DSN", "PRIVATE"];

/// Keys of the configuration that sound like secrets and are none.
const PUBLIC: &[&str] = &["require-keys"];

/// Whether a variable of this name is taken to hold a secret: `DB_PASSWORD`, `APP_KEY`, `api-token`…
pub fn looks_secret(name: &str) -> bool {
    if PUBLIC.contains(&name.trim()) {
        return false;
    }
    let upper = name.to_ascii_uppercase();
    WORDS.iter().any(|word| upper.contains(word)) || upper.ends_with("_PASS") || upper == "PASS"
}

/// A message about `value`, to which `written` was expanded, with nothing in it of the value: where the value is quoted,
/// `written` stands for it, and so it does for each word that is a part of the value.
pub fn hide_value(message: &str, value: &str, written: &str) -> String {
    let instead = format!("the value of \"{written}\"");
    let mut shown = message.to_owned();
    for quoted in [format!("{value:?}"), format!("\"{value}\"")] {
        shown = shown.replace(&quoted, &instead);
    }
    // A path is shown without its doubled and trailing slashes.
    let tidy = Path::new(value).components().collect::<PathBuf>().display().to_string();
    for whole in [value.trim(), tidy.as_str()] {
        if whole.len() >= SHORTEST && shown.contains(whole) {
            shown = shown.replace(whole, written);
        }
    }
    let lower = value.to_lowercase();
    // How a source begins is no secret, and "file" is a word of many messages.
    let lower = SCHEMES.iter().find_map(|scheme| lower.strip_prefix(scheme)).unwrap_or(&lower);
    let ends = |c: char| c.is_whitespace() || "\"',;()".contains(c);
    let words: Vec<&str> = message.split(ends).collect();
    for word in words {
        let word = word.trim_end_matches([':', '.', '?']);
        if word.len() >= SHORTEST && lower.contains(&word.to_lowercase()) && shown.contains(word) {
            shown = shown.replace(word, written);
        }
    }
    shown
}

const SCHEMES: [&str; 4] = ["file://", "s3://", "http://", "https://"];

/// Less than so many bytes are no secret worth the name.
const SHORTEST: usize = 4;

/// `line` of a configuration with what may be a secret replaced by as many `*`, so that columns stay true: values
/// behind names that look secret, quoted or (in a `.env` that was taken for a configuration) bare, and what stands
/// before the `@` of a URL.
pub fn hide_in_line(line: &str) -> String {
    hide_in_urls(&hide_values(line))
}

/// Where in a line [`hide_values`] is.
#[derive(Clone, Copy, PartialEq)]
enum At {
    Name,
    /// Behind the `=`, before the value.
    Value,
    Bare,
    Quoted(char),
}

fn hide_values(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut at = At::Name;
    let mut name = String::new();
    let mut secret = false;
    let mut escaped = false;
    for c in line.chars() {
        let mut hidden = false;
        match at {
            At::Quoted(open) if c == open && !escaped => at = At::Name,
            At::Quoted(open) => {
                escaped = open == '"' && c == '\\' && !escaped;
                hidden = secret;
                name.push(c);
            }
            // To the end of the line: in a .env a comma or a bracket may be part of it.
            At::Bare if secret => hidden = !c.is_whitespace(),
            At::Name | At::Value if matches!(c, '"' | '\'') => at = At::Quoted(c),
            At::Name if c == '=' => {
                secret = looks_secret(&name);
                name.clear();
                at = At::Value;
            }
            _ if matches!(c, ',' | '{' | '}' | '[' | ']') => {
                name.clear();
                // The elements of a list share its name.
                secret &= matches!(c, '[' | ',');
                at = if c == '[' { At::Value } else { At::Name };
            }
            At::Name => name.push(c),
            At::Value | At::Bare if c.is_whitespace() => {}
            At::Value | At::Bare => {
                at = At::Bare;
                hidden = secret;
            }
        }
        out.push(if hidden { '*' } else { c });
    }
    out
}

fn hide_in_urls(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut rest = line;
    while let Some((before, after)) = rest.split_once("://") {
        out.push_str(before);
        out.push_str("://");
        let end = after.find(|c: char| c.is_whitespace() || "\"'/,".contains(c)).unwrap_or(after.len());
        let (authority, tail) = after.split_at(end);
        match authority.rsplit_once('@') {
            Some((user, host)) => {
                out.extend(user.chars().map(|_| '*'));
                out.push('@');
                out.push_str(host);
            }
            None => out.push_str(authority),
        }
        rest = tail;
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets_are_known() {
        for name in
            ["APP_KEY", "DB_PASSWORD", "AWS_SECRET_ACCESS_KEY", "api-token", "REDIS_PASS", "SENTRY_DSN"]
        {
            assert!(looks_secret(name), "{name}");
        }
        for name in ["APP_ENV", "PATH", "QUEUE_WORKERS", "COMPASS", "PASSENGERS"] {
            assert!(!looks_secret(name), "{name}");
        }
    }

    #[test]
    fn only_values_of_secrets_are_hidden_and_columns_stay() {
        let line = r#"env = { APP_ENV = "prod", DB_PASSWORD = "hun\"ter", TZ = 'UTC' } # x"#;
        let hidden = hide_in_line(line);
        assert_eq!(hidden, r#"env = { APP_ENV = "prod", DB_PASSWORD = "********", TZ = 'UTC' } # x"#);
        assert_eq!(hidden.chars().count(), line.chars().count());
        assert_eq!(hide_in_line(r#""API_KEY" = 'abc'"#), r#""API_KEY" = '***'"#);
        assert_eq!(hide_in_line(r#"require-keys = ["A"]"#), r#"require-keys = ["A"]"#);
        assert_eq!(hide_in_line(r#"A_KEY = ["a", 'b'], B = "c""#), r#"A_KEY = ["*", '*'], B = "c""#);
    }

    #[test]
    fn no_part_of_a_value_is_in_a_message() {
        for (message, value, shown) in [
            ("\"hunter2\" is no size", "hunter2", "the value of \"${X}\" is no size"),
            ("\"hunter2\" is no address", "hunter2:99", "\"${X}\" is no address"),
            ("there is no HUNTER2: the words are a, b", " hunter2 ", "there is no ${X}: the words are a, b"),
            ("10.0.0.7 is reached from outside", "10.0.0.7:80", "${X} is reached from outside"),
            ("cannot read /a/http:/b/c: no", "http://b//c", "cannot read /a/${X}: no"),
            ("there is no such file", "file:///run/env", "there is no such file"),
            ("minute \"99\" is too much", "99 * * * *", "minute \"99\" is too much"),
        ] {
            assert_eq!(hide_value(message, value, "${X}"), shown);
        }
    }

    #[test]
    fn a_dotenv_file_taken_for_a_configuration_is_not_shown() {
        assert_eq!(hide_in_line("APP_KEY=base64:ab+/= # x"), "APP_KEY=************ * *");
        assert_eq!(hide_in_line("export DB_PASSWORD=a,b"), "export DB_PASSWORD=***");
        assert_eq!(hide_in_line("URL=pgsql://me:pw@db/x y://h"), "URL=pgsql://*****@db/x y://h");
        assert_eq!(hide_in_line("URL = \"redis://:p@ss@h:1\""), "URL = \"redis://*****@h:1\"");
    }
}
