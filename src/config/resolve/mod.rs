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
mod probe;
mod service;

use super::error::ConfigError;
use super::plan::Plan;
use super::schema::Config;
use super::suggest;
use super::tree::Source;
use super::{de, expand::Lookup};
use std::path::PathBuf;

/// What is resolved: the texts, lowest first, and what was found out about the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layers {
    /// Name of the preset that is the lowest of `sources`, or `none`.
    pub preset: String,
    pub sources: Vec<Source>,
    /// `work-dir` where no layer names one.
    pub work_dir: PathBuf,
}

/// The plan of `layers`, or everything that is wrong with them.
///
/// `role` is one role or several with commas; `None` or empty runs everything.
pub fn resolve(layers: &Layers, env: Lookup<'_>, role: Option<&str>) -> Result<Plan, Vec<ConfigError>> {
    resolve_with(layers, env, role, false)
}

/// As [`resolve`], but `env`, `command` and `endpoint` keep their `${VAR}`, for printing.
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
    let Some(mut merged) = merge::merge(layers, env, &wanted, as_written, &mut errors) else {
        return Err(errors);
    };
    let config: Config = de::read(&mut merged.root, &layers.sources, &mut errors);
    for role in &wanted {
        if !merged.roles.contains(*role) {
            errors.push(unknown_role(role, &merged));
        }
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
    let roles: Vec<&str> = merged.roles.iter().map(String::as_str).collect();
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
