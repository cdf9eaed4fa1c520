//! Layers in, plan out. Pure: files were read and directories looked at by [`mod@super::load`].
//!
//! `merge` makes one tree, `de` reads it into the schema, `build` fills in defaults and checks. Each
//! reports all it finds; a later step that would only repeat an earlier one's complaint keeps quiet.

mod build;
mod check;
mod decrypt;
mod entries;
mod graph;
mod merge;
mod observe;
mod pairs;
mod probe;
mod service;

use super::error::ConfigError;
use super::plan::Plan;
use super::schema::Config;
use super::secret::hide_value;
use super::suggest;
use super::tree::{self, Node, Source};
use super::{de, expand, expand::Lookup};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What is resolved: the texts, parsed, and what was found out about the directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Layers {
    /// Name of the preset that is the lowest layer, or `none`.
    pub preset: String,
    /// Nobody named the preset: it was chosen by what is in `work_dir`.
    pub detected: bool,
    /// `work-dir` where no layer names one.
    pub work_dir: PathBuf,
    /// By the number that places have of their layer.
    sources: Vec<Source>,
    /// What the sources say, lowest first.
    trees: Vec<Node>,
}

impl Layers {
    /// Parses `sources`, lowest first, without a preset.
    pub fn parse(sources: Vec<Source>, work_dir: PathBuf) -> Result<Self, Vec<ConfigError>> {
        let mut trees = Vec::with_capacity(sources.len());
        let mut errors = Vec::new();
        for layer in 0..sources.len() {
            match tree::parse(&sources, layer) {
                Ok(tree) => trees.push(tree),
                Err(found) => errors.extend(found),
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        Ok(Self { preset: "none".to_owned(), detected: false, work_dir, sources, trees })
    }

    /// Puts the preset called `name` below all others.
    pub fn put_below(&mut self, name: &str, preset: Source) -> Result<(), Vec<ConfigError>> {
        // Last of the sources: the places of those that are parsed already stay what they are.
        self.sources.push(preset);
        self.trees.insert(0, tree::parse(&self.sources, self.sources.len() - 1)?);
        name.clone_into(&mut self.preset);
        Ok(())
    }

    /// Why the preset is the one that it is, where nobody named it.
    fn why_preset(&self) -> Option<String> {
        let dir = self.work_dir.display();
        self.detected.then(|| match self.preset.as_str() {
            "laravel" => format!("there is an artisan in {dir}"),
            "wordpress" => format!("there is a WordPress in {dir}"),
            _ => format!("there is neither artisan nor wp-config.php in {dir}"),
        })
    }

    /// The highest layer as it is written, if there is any.
    pub fn top(&self) -> Option<&Node> {
        self.trees.last()
    }

    /// The variables that the layers refer to, with their values. Those of an option that is not chosen are not among them.
    fn variables(&self, env: Lookup<'_>) -> BTreeMap<String, String> {
        let found = RefCell::new(BTreeMap::new());
        let record = |name: &str| {
            let value = env(name)?;
            found.borrow_mut().insert(name.to_owned(), value.clone());
            Some(value)
        };
        let mut rest: Vec<&Node> = self.trees.iter().collect();
        while let Some(node) = rest.pop() {
            match &node.value {
                // What is wrong in it has been reported.
                tree::Value::Str(text) => drop(expand::expand(text, &record)),
                tree::Value::Array(items) => rest.extend(items),
                tree::Value::Table(table) => rest.extend(table.0.iter().map(|entry| &entry.node)),
                _ => {}
            }
        }
        found.into_inner()
    }

    /// A message of somebody who has only seen the plan, with no value of a variable in it.
    pub fn hide(&self, message: &str, env: Lookup<'_>) -> String {
        let variables = self.variables(env);
        variables.iter().fold(message.to_owned(), |message, (name, value)| {
            hide_value(&message, value, &format!("${{{name}}}"))
        })
    }

    /// Where `message` is told that something at `node` is wrong.
    pub fn error_at(&self, node: &Node, message: String) -> ConfigError {
        tree::error_at(&self.sources, node.loc, message)
    }
}

/// The plan of `layers`, or everything that is wrong with them.
///
/// `role` is one role or several with commas; `None` or empty runs everything.
pub fn resolve(layers: &Layers, env: Lookup<'_>, role: Option<&str>) -> Result<Plan, Vec<ConfigError>> {
    resolve_with(layers, env, role, false)
}

/// The plan of `layers` to be printed: every text in it is one to be expanded, in which `${VAR}` stands where the plan of
/// [`resolve`] has the value of VAR. Numbers, durations and words are as they are there. Relative paths that begin with a
/// variable stay as they are, and a URL with a variable in it is the whole address of its probe.
///
/// What is wrong is for [`resolve`] to say.
pub fn as_written(layers: &Layers, env: Lookup<'_>, role: Option<&str>) -> Result<Plan, Vec<ConfigError>> {
    resolve_with(layers, env, role, true)
}

fn resolve_with(
    layers: &Layers,
    env: Lookup<'_>,
    role: Option<&str>,
    as_written: bool,
) -> Result<Plan, Vec<ConfigError>> {
    let wanted = split_roles(role.unwrap_or_default());
    let mut errors = Vec::new();
    let mut merged = merge::merge(layers, env, &wanted, as_written, &mut errors);
    let config: Config = de::read(&mut merged.root, &layers.sources, &mut errors);
    for role in &wanted {
        if !merged.roles.contains_key(*role) {
            errors.push(unknown_role(role, &merged));
        }
    }
    if as_written && errors.is_empty() {
        return Ok(build::printed(layers, config, &merged, &wanted));
    }
    let plan = build::build(layers, config, &merged, &wanted, &mut errors);
    if errors.is_empty() {
        return Ok(plan);
    }
    // In the order of the files, as an editor walks through them.
    errors.sort_by(|a, b| place(a).cmp(&place(b)));
    Err(errors)
}

fn place(error: &ConfigError) -> Option<(&str, usize, usize)> {
    error.place.as_ref().map(|place| (place.file.as_str(), place.line, place.column))
}

fn split_roles(role: &str) -> Vec<&str> {
    role.split(',').map(str::trim).filter(|role| !role.is_empty()).collect()
}

fn unknown_role(role: &str, merged: &merge::Merged) -> ConfigError {
    let roles: Vec<&str> = merged.roles.values().map(String::as_str).collect();
    let near =
        suggest::nearest(role, &roles).map_or(String::new(), |near| format!(" did you mean \"{near}\"?"));
    let known = match roles.as_slice() {
        [] => "no entry lists any role".to_owned(),
        _ => format!("the roles are {}", roles.join(", ")),
    };
    ConfigError::anywhere(format!("no service and no cron entry has the role \"{role}\":{near} {known}"))
}

/// Whether an entry that lists `roles` runs where `wanted` are asked for.
fn runs_in<S: AsRef<str>>(roles: &[S], wanted: &[&str]) -> bool {
    wanted.is_empty() || roles.is_empty() || roles.iter().any(|role| wanted.contains(&role.as_ref()))
}
