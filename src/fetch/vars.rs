//! The environment that init was started with, as the fetch child gets it: in its job.
//!
//! It holds secrets, so its `Debug` shows no value.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Variables that are set to something; blank ones count as unset, as every AWS tool takes them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vars(BTreeMap<String, String>);

impl fmt::Debug for Vars {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Vars {
    /// The process's own environment. What is not UTF-8 is left out: no variable that is looked at here may hold it.
    pub fn from_env() -> Self {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// All variables with their values as they are.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value without surrounding white space (a line feed at the end of an injected secret is a common accident).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The value as it is.
    pub fn raw(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The first of `names` that is set.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// `true` in any case, as AWS's own tools read their switches.
    pub fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }
}

impl FromIterator<(String, String)> for Vars {
    fn from_iter<T: IntoIterator<Item = (String, String)>>(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
impl Vars {
    pub(crate) fn of(pairs: &[(&str, &str)]) -> Self {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_names_and_no_value() {
        let shown = format!("{:?}", Vars::of(&[("AWS_SECRET_ACCESS_KEY", "S3CR3T")]));
        assert!(shown.contains("AWS_SECRET_ACCESS_KEY") && !shown.contains("S3CR3T"), "{shown}");
    }

    #[test]
    fn blank_is_unset_and_white_space_is_cut() {
        let vars = Vars::of(&[("A", " "), ("B", "x\n"), ("T", "True")]);
        assert_eq!(
            (vars.get("A"), vars.get("B"), vars.first(&["A", "C", "B"])),
            (None, Some("x"), Some("x"))
        );
        assert!(vars.flag("T") && !vars.flag("B") && !vars.has("A"));
    }
}
