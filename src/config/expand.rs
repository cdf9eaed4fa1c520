//! `${VAR}` in strings: the forms of the shell that have one meaning, and no others.
//!
//! | form | gives |
//! |---|---|
//! | `${VAR}` | its value; an error when it is not set |
//! | `${VAR:-text}` | its value, or `text` when it is not set or empty |
//! | `${VAR:+text}` | `text` when it is set and not empty, else nothing |
//! | `${VAR:?message}` | its value, or the error `message` when it is not set or empty |
//! | `$$` | `$` |
//!
//! `text` may hold references itself. A `$` before anything else is itself, so `["sh", "-c", "echo $HOME"]` reaches
//! the shell as it is.

/// The text with its references replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expanded {
    pub text: String,
    /// There was a reference or a `$$`.
    pub changed: bool,
    /// It consists of references alone: if `text` is empty, then as good as not written at all.
    pub only_references: bool,
}

/// What is wrong, at bytes `start..end` of the text. Names variables, never shows a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpandError {
    pub start: usize,
    pub end: usize,
    pub message: String,
}

/// Looks a variable up; `None` is "not set".
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Nested defaults deeper than this are refused: no one writes them, and the stack is finite.
const MAX_DEPTH: usize = 16;

/// Replaces the references in `text`.
pub fn expand(text: &str, lookup: Lookup<'_>) -> Result<Expanded, ExpandError> {
    expand_with(text, lookup, false)
}

/// As [`expand`], but what is looked up is text to be expanded once more, and so is the result: a `$` in it is a `$$`. With a
/// lookup that gives `${VAR}` for VAR, the result shows where values stand and none of them.
pub fn expand_once(text: &str, lookup: Lookup<'_>) -> Result<String, ExpandError> {
    expand_with(text, lookup, true).map(|expanded| expanded.text)
}

/// `text` as something in which nothing is left to expand.
pub fn escape(text: &str) -> String {
    text.replace('$', "$$")
}

/// Whether a text that is still to be expanded refers to a variable.
pub fn has_reference(text: &str) -> bool {
    text.replace("$$", "").contains("${")
}

fn expand_with(text: &str, lookup: Lookup<'_>, escaped: bool) -> Result<Expanded, ExpandError> {
    let mut reader = Reader { text, at: 0, lookup, changed: false, literal: false, escaped };
    let expanded = reader.until_end(0, true)?;
    Ok(Expanded {
        text: expanded,
        changed: reader.changed,
        only_references: reader.changed && !reader.literal,
    })
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
    lookup: Lookup<'a>,
    changed: bool,
    /// Text stood outside of references, at the top.
    literal: bool,
    /// A `$` is written as `$$`.
    escaped: bool,
}

impl Reader<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn skip(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(bytes);
    }

    fn error<T>(&self, start: usize, message: String) -> Result<T, ExpandError> {
        Err(ExpandError { start, end: self.at.max(start.saturating_add(1)).min(self.text.len()), message })
    }

    /// Reads to the end, or to the `}` that closes the reference around it. Nothing is looked up unless `live`.
    fn until_end(&mut self, depth: usize, live: bool) -> Result<String, ExpandError> {
        let mut out = String::new();
        while let Some(c) = self.rest().chars().next() {
            if self.rest().starts_with("$$") {
                self.skip(2);
                self.changed = true;
                self.literal |= depth == 0;
                out.push_str(if self.escaped { "$$" } else { "$" });
            } else if self.rest().starts_with("${") {
                self.changed = true;
                out.push_str(&self.reference(depth, live)?);
            } else if c == '}' && depth > 0 {
                break;
            } else {
                self.skip(c.len_utf8());
                self.literal |= depth == 0;
                out.push(c);
                if c == '$' && self.escaped {
                    out.push('$');
                }
            }
        }
        Ok(out)
    }

    fn reference(&mut self, depth: usize, live: bool) -> Result<String, ExpandError> {
        let start = self.at;
        self.skip(2);
        if depth >= MAX_DEPTH {
            return self.error(start, "the references are nested too deeply".into());
        }
        let length = self.rest().find(|c: char| !is_name(c)).unwrap_or(self.rest().len());
        let name = self.rest().get(..length).unwrap_or_default().to_owned();
        self.skip(length);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            let what = "\"${\" wants the name of a variable after it; \"$${\" stands for the two characters";
            return self.error(start, what.into());
        }
        let is_live = live;
        let value = if live { (self.lookup)(&name) } else { None };
        let set = value.clone().filter(|value| !value.is_empty());
        let known = [":-", ":+", ":?"].into_iter().find(|form| self.rest().starts_with(form));
        let form = match (known, self.rest().chars().next()) {
            (Some(form), _) => form,
            (None, Some('}')) => "",
            (None, None) => return self.error(start, format!("\"${{{name}\" is not closed by \"}}\"")),
            (None, Some(other)) => {
                let forms = "the forms are ${VAR}, ${VAR:-default}, ${VAR:+text} and ${VAR:?message}";
                self.skip(other.len_utf8());
                return self.error(start, format!("\"${{{name}…\" is of no known form: {forms}"));
            }
        };
        self.skip(form.len());
        let wanted = match form {
            ":-" | ":?" => live && set.is_none(),
            ":+" => live && set.is_some(),
            _ => false,
        };
        let from = self.at;
        // The message of ":?" is shown, so that no value may stand in it.
        let live = wanted && form != ":?";
        let text =
            if form.is_empty() { String::new() } else { self.until_end(depth.saturating_add(1), live)? };
        let message = self.text.get(from..self.at).unwrap_or_default();
        if !self.rest().starts_with('}') {
            return self.error(start, format!("\"${{{name}\" is not closed by \"}}\""));
        }
        self.skip(1);
        match form {
            ":-" => Ok(set.unwrap_or(text)),
            ":+" => Ok(if set.is_some() { text } else { String::new() }),
            ":?" if wanted && message.is_empty() => {
                self.error(start, format!("{name} is not set, and must be"))
            }
            ":?" if wanted => self.error(start, format!("{name} is not set: {message}")),
            ":?" => Ok(set.unwrap_or_default()),
            _ if is_live && value.is_none() => {
                self.error(start, format!("{name} is not set; write ${{{name}:-}} where it may be missing"))
            }
            _ => Ok(value.unwrap_or_default()),
        }
    }
}

/// Letters, digits, `_`; and `-` for `${state-dir}` and its like.
fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == '-'
}

/// Whether the text is made of plain references without a text of its own: `${DB_PASSWORD}`, `${A:?needed}`.
/// Such a text can be shown: it holds no part of a secret.
pub fn is_plain_reference(text: &str) -> bool {
    let Some(inner) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) else {
        return false;
    };
    let name = inner.split_once(":?").map_or(inner, |(name, _)| name);
    !name.is_empty() && name.chars().all(is_name) && !inner.contains("${")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "A" => Some("a".into()),
            "EMPTY" => Some(String::new()),
            "DOLLAR" => Some("${A}".into()),
            _ => None,
        }
    }

    fn ok(text: &str) -> String {
        expand(text, &env).unwrap().text
    }

    fn bad(text: &str) -> (usize, usize, String) {
        let error = expand(text, &env).unwrap_err();
        (error.start, error.end, error.message)
    }

    #[test]
    fn forms() {
        assert_eq!(ok("x${A}y"), "xay");
        assert_eq!(ok("${EMPTY}"), "");
        assert_eq!(ok("${EMPTY:-d}${NO:-d}${A:-d}"), "dda");
        assert_eq!(ok("${EMPTY:+t}${NO:+t}${A:+t}"), "t");
        assert_eq!(ok("${A:?needed}"), "a");
        assert_eq!(ok("${NO:-${NO2:-${A}}}!"), "a!");
        assert_eq!(ok("${A:+s3://${A}/${NO:-p}/.env}"), "s3://a/p/.env");
        assert_eq!(ok("a}b"), "a}b");
    }

    #[test]
    fn a_dollar_that_is_not_ours_stays() {
        assert_eq!(ok("$A $HOME $(id) 5$"), "$A $HOME $(id) 5$");
        assert_eq!(ok("$${A} $$"), "${A} $");
        assert_eq!(ok("$$${A}"), "$a");
    }

    #[test]
    fn values_are_not_expanded_again() {
        assert_eq!(ok("${DOLLAR}"), "${A}");
        assert_eq!(ok("${NO:-${DOLLAR}}"), "${A}");
    }

    #[test]
    fn values_can_stay_where_they_are_referred_to() {
        let named =
            |name: &str| env(name).map(|value| if value.is_empty() { value } else { format!("${{{name}}}") });
        for (text, once) in [
            ("x${A}y", "x${A}y"),
            ("${A:+s3://${A}/${NO:-p}/.env}", "s3://${A}/p/.env"),
            ("${EMPTY:-d}${A:-d}${A:?m}", "d${A}${A}"),
            ("$$ $x ${NO:-$y$$}", "$$$$ $$x $$y$$$$"),
        ] {
            // Written as it is read: both `$$` and a lone `$` are one `$`.
            let once = once.replace("$$$$", "$$");
            assert_eq!(expand_once(text, &named).unwrap(), once, "{text}");
            assert_eq!(expand(&once, &env).unwrap().text, ok(text), "{text}");
        }
        assert!(has_reference("a${A}") && has_reference("$$${A}"));
        assert!(!has_reference("$${A}") && !has_reference("$A") && !has_reference(&escape("${A}")));
    }

    #[test]
    fn the_message_of_a_missing_variable_shows_no_value() {
        assert_eq!(bad("${NO:?not ${A} but ${DOLLAR}}").2, "NO is not set: not ${A} but ${DOLLAR}");
    }

    #[test]
    fn what_is_not_chosen_is_not_looked_up() {
        assert_eq!(ok("${A:-${NO:?never}}"), "a");
        assert_eq!(ok("${NO:+${NO}}"), "");
    }

    #[test]
    fn errors_tell_where_and_why() {
        assert_eq!(bad("xx${NO}"), (2, 7, "NO is not set; write ${NO:-} where it may be missing".into()));
        assert_eq!(bad("${NO:?name the bucket}").2, "NO is not set: name the bucket");
        assert_eq!(bad("${EMPTY:?}").2, "EMPTY is not set, and must be");
        assert_eq!(bad("${A").2, "\"${A\" is not closed by \"}\"");
        assert_eq!(bad("${A:-x").2, "\"${A\" is not closed by \"}\"");
        assert!(bad("${}").2.contains("wants the name"));
        assert!(bad("${1}").2.contains("wants the name"));
        assert!(bad("${A%.env}").2.contains("no known form"));
        assert_eq!(bad("${Aé}").1, "${Aé".len());
        assert!(bad(&format!("{}x{}", "${NO:-".repeat(40), "}".repeat(40))).2.contains("too deeply"));
    }

    #[test]
    fn a_text_of_references_alone_is_known() {
        let only = |text: &str| expand(text, &env).unwrap().only_references;
        assert!(only("${NO:-}") && only("${NO:-x}${A}"));
        assert!(!only("x${A}") && !only("") && !only("x") && !only("$$"));
        assert!(is_plain_reference("${A}") && is_plain_reference("${A:?why}"));
        assert!(
            !is_plain_reference("${A:-secret}") && !is_plain_reference("x${A}") && !is_plain_reference("x")
        );
    }
}
