//! The keys of one section, by their types (supervisor/datatypes.py).

use super::ini::{Section, Value};
use super::text::{Atom, Expanded, Scope, Text, expand};
use super::{File, Problem};
use crate::config::signal::Signal;
use std::str::FromStr;

/// A value, or what a variable will say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Given<T> {
    Value(T),
    Later(Text),
}

impl<T: Clone> Given<T> {
    pub fn value(&self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value.clone()),
            Self::Later(_) => None,
        }
    }
}

/// Whether it runs again after it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AutoRestart {
    Always,
    Unexpected,
    Never,
}

/// Reads keys and collects what is wrong with them.
pub(super) struct Keys<'a> {
    pub files: &'a [File],
    pub section: &'a Section,
    pub scope: Scope,
    pub problems: &'a mut Vec<Problem>,
}

impl Keys<'_> {
    pub fn problem(&mut self, key: &str, message: impl std::fmt::Display) {
        let place = self.section.get(key).map(|value| (value.file, value.line));
        let (file, line) = place.unwrap_or((self.section.file, self.section.line));
        if let Some(file) = self.files.get(file) {
            self.problems.push(Problem::new(file, line, format!("[{}] {key}: {message}", self.section.name)));
        }
    }

    pub fn has(&self, key: &str) -> bool {
        self.section.get(key).is_some()
    }

    /// The value with its references resolved.
    pub fn expanded(&mut self, key: &str) -> Option<Expanded> {
        let value: &Value = self.section.get(key)?;
        // `here` is the directory of the file that says it, not of the one that includes that.
        let here = self.files.get(value.file).map(|file| file.here.clone()).unwrap_or_default();
        let mut scope = self.scope.clone();
        scope.words.push(("here", here));
        match expand(&value.text, &scope) {
            Ok(expanded) => Some(expanded),
            Err(message) => {
                self.problem(key, message);
                None
            }
        }
    }

    pub fn text(&mut self, key: &str) -> Option<Text> {
        self.expanded(key).map(|expanded| expanded.text)
    }

    /// A value of type `T`; `read` says what is wrong.
    fn typed<T>(&mut self, key: &str, default: T, read: impl FnOnce(&str) -> Result<T, String>) -> Given<T> {
        let Some(text) = self.text(key).map(Text::trim) else { return Given::Value(default) };
        let Some(plain) = text.plain() else {
            if text.0.len() > 1 {
                self.problem(key, "a variable with other text around it, which cannot be carried over");
            }
            return Given::Later(text);
        };
        match read(&plain) {
            Ok(value) => Given::Value(value),
            Err(message) => {
                self.problem(key, message);
                Given::Value(default)
            }
        }
    }

    pub fn number<T: FromStr>(&mut self, key: &str, default: T) -> Given<T> {
        self.typed(key, default, |text| text.parse().map_err(|_| format!("{text:?} is no number for it")))
    }

    pub fn flag(&mut self, key: &str, default: bool) -> Given<bool> {
        self.typed(key, default, |text| {
            boolean(text).ok_or_else(|| format!("{text:?} is neither true nor false"))
        })
    }

    pub fn autorestart(&mut self) -> Given<AutoRestart> {
        self.typed("autorestart", AutoRestart::Unexpected, |text| match boolean(text) {
            Some(true) => Ok(AutoRestart::Always),
            Some(false) => Ok(AutoRestart::Never),
            None if text.eq_ignore_ascii_case("unexpected") => Ok(AutoRestart::Unexpected),
            None => Err(format!("{text:?} is none of true, false and unexpected")),
        })
    }

    pub fn signal(&mut self, key: &str) -> Given<Signal> {
        self.typed(key, Signal::TERM, |text| {
            Signal::parse(text).ok_or_else(|| format!("{text:?} is no signal"))
        })
    }

    pub fn exit_codes(&mut self) -> Given<Vec<u8>> {
        self.typed("exitcodes", vec![0], |text| {
            let codes = text.split(',').filter(|_| !text.is_empty()).map(|code| code.trim().parse());
            codes
                .collect::<Result<_, _>>()
                .map_err(|_| format!("{text:?} is no list of exit codes, 0 to 255"))
        })
    }

    pub fn umask(&mut self, key: &str) -> Option<u32> {
        let mode = self.typed(key, None, |text| {
            let digits = text.strip_prefix("0o").unwrap_or(text);
            let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o777);
            mode.map(Some).ok_or_else(|| format!("{text:?} is no mask in octal, such as 022"))
        });
        match mode {
            Given::Value(mode) => mode,
            Given::Later(_) => {
                self.problem(key, "it comes from a variable, which cannot be carried over: write the mask");
                None
            }
        }
    }

    /// A user that our configuration takes.
    pub fn user(&mut self) -> Option<Text> {
        let user = self.text("user").map(Text::trim)?;
        let wrong = |atom: &Atom| matches!(atom, Atom::Char(char) if !is_user_letter(*char));
        if user.0.is_empty() || user.0.iter().any(wrong) {
            self.problem("user", "not the name or number of a user");
            return None;
        }
        Some(user)
    }
}

/// What stands in the name of a user, as our configuration takes it.
pub(super) fn is_user_letter(char: char) -> bool {
    !char.is_whitespace() && !":/".contains(char)
}

pub(super) fn boolean(text: &str) -> Option<bool> {
    match text.to_lowercase().as_str() {
        "yes" | "true" | "on" | "1" => Some(true),
        "no" | "false" | "off" | "0" => Some(false),
        _ => None,
    }
}
