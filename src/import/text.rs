//! Values with references in them: what `%(…)s` stands for, and the same in our notation.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A piece of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Atom {
    Char(char),
    /// A variable of init's own environment. Unset, it is an error, here as there.
    Var(String),
}

/// A value whose variables are not known yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Text(pub Vec<Atom>);

impl Text {
    pub fn literal(text: &str) -> Self {
        Self(text.chars().map(Atom::Char).collect())
    }

    /// The text, when there is no variable in it.
    pub fn plain(&self) -> Option<String> {
        self.0
            .iter()
            .map(|atom| match atom {
                Atom::Char(char) => Some(*char),
                Atom::Var(_) => None,
            })
            .collect()
    }

    /// In our notation: `${VAR}`, and `$$` for a `$` that would be read as the start of one.
    pub fn ours(&self) -> String {
        let mut out = String::new();
        let mut atoms = self.0.iter().peekable();
        while let Some(atom) = atoms.next() {
            match atom {
                Atom::Var(name) => {
                    let _ = write!(out, "${{{name}}}");
                }
                Atom::Char('$') => {
                    let read = matches!(atoms.peek(), Some(Atom::Var(_) | Atom::Char('$' | '{')));
                    out.push_str(if read { "$$" } else { "$" });
                }
                Atom::Char(char) => out.push(*char),
            }
        }
        out
    }

    /// As a TOML string.
    pub fn toml(&self) -> String {
        quote(&self.ours())
    }

    pub fn trim(mut self) -> Self {
        let white = |atom: &Atom| matches!(atom, Atom::Char(char) if char.is_whitespace());
        while self.0.last().is_some_and(white) {
            self.0.pop();
        }
        let start = self.0.iter().take_while(|atom| white(atom)).count();
        Self(self.0.split_off(start))
    }
}

/// A TOML basic string.
pub(super) fn quote(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            char if char.is_control() => {
                let _ = write!(out, "\\u{:04X}", u32::from(char));
            }
            char => out.push(char),
        }
    }
    out.push('"');
    out
}

/// What the names in `%(…)s` stand for.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// `here`, `program_name`, `group_name`.
    pub words: Vec<(&'static str, String)>,
    /// `process_num`, `numprocs`, where they are known.
    pub numbers: Vec<(&'static str, i64)>,
    /// `ENV_X` where the file itself sets `X`.
    pub env: BTreeMap<String, Text>,
}

/// A value with its references resolved.
#[derive(Clone, Debug)]
pub(super) struct Expanded {
    pub text: Text,
    /// It names `process_num`, so each instance has its own.
    pub numbered: bool,
}

/// Replaces `%(name)s` as Python's `%` operator does; the error says what is wrong.
pub(super) fn expand(raw: &str, scope: &Scope) -> Result<Expanded, String> {
    let mut out = Expanded { text: Text::default(), numbered: false };
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        let (before, after) = rest.split_at(at);
        out.text.0.extend(before.chars().map(Atom::Char));
        if let Some(after) = after.strip_prefix("%%") {
            out.text.0.push(Atom::Char('%'));
            rest = after;
            continue;
        }
        let (name, format, after) = reference(after).ok_or_else(|| {
            "a lone \"%\", at which supervisord stops: it is written \"%%\", a reference \"%(name)s\""
                .to_owned()
        })?;
        out.numbered |= name == "process_num";
        out.text.0.extend(resolve(name, format, scope)?.0);
        rest = after;
    }
    out.text.0.extend(rest.chars().map(Atom::Char));
    Ok(out)
}

/// Name, format and what follows of `%(name)02d…`.
fn reference(text: &str) -> Option<(&str, &str, &str)> {
    let (name, after) = text.strip_prefix("%(")?.split_once(')')?;
    let end = after.find(|char: char| !char.is_ascii_digit() && !"-+ #.".contains(char))?;
    let end = end.saturating_add(1);
    let (format, rest) = (after.get(..end)?, after.get(end..)?);
    format.ends_with(['s', 'd', 'i', 'u']).then_some((name, format, rest))
}

fn resolve(name: &str, format: &str, scope: &Scope) -> Result<Text, String> {
    if let Some((_, number)) = scope.numbers.iter().find(|(known, _)| *known == name) {
        return pad(&number.to_string(), format).map(|text| Text::literal(&text));
    }
    if !format.ends_with('s') {
        return Err(format!("%({name}){format} asks for a number, and {name} is none"));
    }
    if let Some((_, word)) = scope.words.iter().find(|(known, _)| *known == name) {
        return pad(word, format).map(|text| Text::literal(&text));
    }
    let var = match name.strip_prefix("ENV_") {
        Some(var) => var,
        None if name == "host_node_name" => "HOSTNAME",
        None => return Err(format!("%({name}){format} is not known here")),
    };
    if let Some(text) = scope.env.get(var) {
        return match text.plain() {
            Some(plain) => pad(&plain, format).map(|text| Text::literal(&text)),
            None if format == "s" => Ok(text.clone()),
            None => Err(padded(name, format)),
        };
    }
    let posix = var.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
        && var.starts_with(|char: char| !char.is_ascii_digit());
    match (posix, format) {
        (true, "s") => Ok(Text(vec![Atom::Var(var.to_owned())])),
        (true, _) => Err(padded(name, format)),
        (false, _) => Err(format!(
            "%({name}){format} names a variable that no ${{…}} can: letters, digits and \"_\" make a name"
        )),
    }
}

fn padded(name: &str, format: &str) -> String {
    format!("%({name}){format} pads a variable, which cannot be carried over: write %({name})s")
}

/// Python's flags and width; no precision.
fn pad(text: &str, format: &str) -> Result<String, String> {
    let (flags, conversion) = format.split_at(format.len().saturating_sub(1));
    let width = flags.trim_start_matches(['-', '+', ' ', '#', '0']);
    let flags = flags.get(..flags.len().saturating_sub(width.len())).unwrap_or_default();
    let width: usize = match width {
        "" => 0,
        digits => digits
            .parse()
            .ok()
            .filter(|width| *width <= 64)
            .ok_or_else(|| format!("\"%{format}\" is no format that can be carried over"))?,
    };
    let zeros = flags.contains('0') && conversion != "s" && !flags.contains('-');
    Ok(match (flags.contains('-'), zeros) {
        (true, _) => format!("{text:<width$}"),
        (false, true) => format!("{text:0>width$}"),
        (false, false) => format!("{text:>width$}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope {
            words: vec![("program_name", "web".into())],
            numbers: vec![("process_num", 7)],
            env: BTreeMap::from([("SET".to_owned(), Text::literal("$in"))]),
        }
    }

    fn ours(raw: &str) -> Result<String, String> {
        expand(raw, &scope()).map(|expanded| expanded.text.ours())
    }

    #[test]
    fn references_become_ours_and_dollars_stay_dollars() {
        for (raw, expected) in [
            ("%(ENV_A)s/%(program_name)s_%(process_num)02d", "${A}/web_07"),
            ("%(process_num)s%(process_num)d %(process_num)-3d|%(process_num)3d", "77 7  |  7"),
            ("100%% %(host_node_name)s", "100% ${HOSTNAME}"),
            ("$HOME ${X} $$ $%(ENV_A)s $", "$HOME $${X} $$$ $$${A} $"),
            ("%(ENV_SET)s", "$in"),
        ] {
            assert_eq!(ours(raw).unwrap(), expected, "{raw}");
        }
        for raw in ["$", "$$", "$$$", "${A}", "$${A}", "a$", "$$a{", "${", "$$$$${"] {
            let text = Text::literal(raw).ours();
            assert_eq!(crate::config::expand::expand(&text, &|_| None).unwrap().text, raw, "{text}");
        }
    }

    #[test]
    fn what_supervisord_refuses_is_refused() {
        for raw in [
            "%",
            "50% off",
            "%(ENV_A)",
            "%(x)s",
            "%(ENV_A)d",
            "%(ENV_A)9s",
            "%(ENV_a.b)s",
            "%(ENV_1)s",
            "%s",
            "%(process_num)999999d",
            "%(numprocs)d",
            "%(",
        ] {
            assert!(ours(raw).is_err(), "{raw}");
        }
    }
}
