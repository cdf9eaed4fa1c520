//! Finds the configuration: the one place of [`super`] that looks at files.

use super::error::ConfigError;
use super::expand::{self, Lookup};
use super::plan::Plan;
use super::resolve::{self, Layers};
use super::suggest;
use super::tree::{Node, Source};
use crate::files;
use std::io;
use std::path::{Path, PathBuf};

/// The file that is read when neither `--config` nor `INIT_CONFIG` names one, if it exists.
pub const DEFAULT_FILE: &str = "/etc/init.toml";
/// Far above any configuration's size, in bytes.
pub(super) const MAX: u64 = 16 << 20;
/// Where PHP images keep the application.
const USUAL_WORK_DIR: &str = "/var/www/html";

/// The presets by name, with their texts.
pub const PRESETS: &[(&str, &str)] = &[
    ("laravel", include_str!("../../config/laravel.toml")),
    ("wordpress", include_str!("../../config/wordpress.toml")),
    ("php", include_str!("../../config/php.toml")),
    ("nginx", include_str!("../../config/nginx.toml")),
];

/// The JSON Schema of the configuration, for editors.
pub const JSON_SCHEMA: &str = include_str!("../../config/schema.json");

/// What the command line says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `--config`; else INIT_CONFIG, else [`DEFAULT_FILE`].
    pub config: Option<PathBuf>,
    /// `--preset`; else the file's, else by the directory.
    pub preset: Option<String>,
    /// `--role`; else INIT_ROLE.
    pub role: Option<String>,
}

/// What was found and what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    pub plan: Plan,
    pub layers: Layers,
    /// The user's file, if there is one.
    pub file: Option<PathBuf>,
}

/// Reads the configuration and resolves it. `env` looks a variable up.
pub fn load(options: &Options, env: Lookup<'_>) -> Result<Loaded, Vec<ConfigError>> {
    load_from(options, env, std::env::current_dir().ok().as_deref(), &|_| ())
}

/// As [`load()`], with a directory in the place of the current one. `at` is told every path before it is looked at.
pub fn load_from(
    options: &Options,
    env: Lookup<'_>,
    current_dir: Option<&Path>,
    at: &dyn Fn(&Path),
) -> Result<Loaded, Vec<ConfigError>> {
    let file = match find(options, env) {
        Some((path, explicit)) => {
            let whole = current_dir.map_or_else(|| path.clone(), |dir| dir.join(&path));
            at(&whole);
            read(&whole, explicit).map_err(|error| vec![error])?.map(|text| (path, text))
        }
        None => None,
    };
    let source =
        file.as_ref().map(|(path, text)| Source { name: path.display().to_string(), text: text.clone() });
    let exists = |path: &Path| {
        at(path);
        files::exists(path)
    };
    let layers = layers(source, options.preset.as_deref(), env, &exists, current_dir)?;
    let role = role(options, env);
    let mut plan = resolve::resolve(&layers, env, role.as_deref())?;
    let whole = |path: &PathBuf| current_dir.map_or_else(|| path.clone(), |dir| dir.join(path));
    plan.config_file = file.as_ref().map(|(path, _)| whole(path));
    Ok(Loaded { plan, layers, file: file.map(|(path, _)| path) })
}

/// The role asked for: the option's, else that of INIT_ROLE.
pub fn role(options: &Options, env: Lookup<'_>) -> Option<String> {
    options.role.clone().or_else(|| env("INIT_ROLE")).filter(|role| !role.trim().is_empty())
}

/// The path, and whether someone named it.
pub(super) fn find(options: &Options, env: Lookup<'_>) -> Option<(PathBuf, bool)> {
    let named = options
        .config
        .clone()
        .or_else(|| env("INIT_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from));
    Some(named.map_or_else(|| (PathBuf::from(DEFAULT_FILE), false), |path| (path, true)))
}

fn read(path: &Path, explicit: bool) -> Result<Option<String>, ConfigError> {
    match files::read_given(path, MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !explicit => Ok(None),
        Err(error) => {
            let remedy = match error.kind() {
                io::ErrorKind::NotFound => "; name another file with --config or INIT_CONFIG",
                io::ErrorKind::InvalidData => ", which TOML files are",
                io::ErrorKind::PermissionDenied => "; make it readable for the user that init runs as",
                // Docker's -v makes a directory of a file that is not there: the usual way to get one.
                io::ErrorKind::IsADirectory => {
                    "; Docker makes one where the file to mount is not on the host"
                }
                _ => "",
            };
            let error = error.to_string();
            let why = error.split(" (os error").next().unwrap_or(&error);
            Err(ConfigError::anywhere(format!("cannot read {}: {why}{remedy}", path.display())))
        }
    }
}

/// Chooses the preset and the working directory for `file`. `exists` looks at the file system.
pub fn layers(
    file: Option<Source>,
    preset: Option<&str>,
    env: Lookup<'_>,
    exists: &dyn Fn(&Path) -> bool,
    current_dir: Option<&Path>,
) -> Result<Layers, Vec<ConfigError>> {
    let mut layers = Layers::parse(file.into_iter().collect(), PathBuf::new())?;
    let text = |key: &str| {
        let node = layers.top()?.table()?.get(key)?;
        let expanded = expand::expand(node.str()?, env).ok()?.text;
        Some((node, expanded)).filter(|(_, text)| !text.is_empty())
    };
    let work_dir = text("work-dir").map(|(_, dir)| PathBuf::from(dir));
    let (found, found_dir) = detect(work_dir.as_deref(), exists, current_dir);
    let given = text("preset");
    let detected = preset.is_none() && given.is_none();
    let (name, node) = match (preset, &given) {
        (Some(name), _) => (name, None),
        (None, Some((node, name))) => (name.as_str(), Some(*node)),
        (None, None) => (found, None),
    };
    if name != "none" {
        let Some((name, text)) = PRESETS.iter().find(|(known, _)| *known == name) else {
            return Err(vec![unknown_preset(name, node, &layers)]);
        };
        layers.put_below(name, Source { name: format!("{name}.toml (preset)"), text: (*text).to_owned() })?;
    }
    layers.detected = detected;
    layers.work_dir = found_dir;
    Ok(layers)
}

fn unknown_preset(name: &str, node: Option<&Node>, layers: &Layers) -> ConfigError {
    let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).chain(["none"]).collect();
    let shown = node.and_then(Node::str).unwrap_or(name);
    let message = format!("unknown preset \"{shown}\": {}", suggest::hint(name, &names, "presets"));
    match node {
        Some(node) => layers.error_at(node, message),
        None => ConfigError::anywhere(message),
    }
}

/// The preset that fits, and the directory it fits. Images differ in whether the application's directory is the
/// current one (`WORKDIR`), so both usual places are looked at.
fn detect(
    work_dir: Option<&Path>,
    exists: &dyn Fn(&Path) -> bool,
    current_dir: Option<&Path>,
) -> (&'static str, PathBuf) {
    let usual = Path::new(USUAL_WORK_DIR);
    let places: Vec<&Path> = match work_dir {
        Some(dir) => vec![dir],
        None => current_dir.into_iter().chain([usual]).collect(),
    };
    for place in &places {
        if exists(&place.join("artisan")) {
            return ("laravel", place.to_path_buf());
        }
        if exists(&place.join("wp-config.php")) || exists(&place.join("wp-load.php")) {
            return ("wordpress", place.to_path_buf());
        }
    }
    // A container without WORKDIR starts in /, where nobody keeps an application; any other directory was chosen.
    let fallback = match (work_dir, current_dir) {
        (Some(dir), _) => dir,
        (None, Some(current)) if current != Path::new("/") || !exists(usual) => current,
        _ => usual,
    };
    ("php", fallback.to_path_buf())
}
