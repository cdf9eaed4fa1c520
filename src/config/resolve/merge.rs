//! From layers to one tree: parsed, laid over each other, without what is switched off, `${VAR}` replaced.

use super::Layers;
use crate::config::error::ConfigError;
use crate::config::expand::{self, Lookup};
use crate::config::tree::{self, Entry, Loc, Node, Source, Table, Value, error_at};
use crate::config::values::read_switch;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What [`merge`] makes.
pub struct Merged {
    pub root: Node,
    /// Services that are declared, whether they are in `root` or not: another may be after them.
    pub services: Vec<String>,
    /// Roles that any service or cron entry lists, each as it was written.
    pub roles: BTreeMap<String, String>,
    /// The three paths that references and relative paths rest on; where a plan is made to be printed, as they are printed.
    pub paths: Paths,
    /// Texts with values of variables in them.
    pub expanded: Vec<Expansion>,
}

/// A text that variables were put into.
pub struct Expansion {
    pub loc: Loc,
    pub value: String,
    pub written: String,
}

/// `${work-dir}`, `${state-dir}`, `${dotenv-dir}`.
#[derive(Clone, Debug, Default)]
pub struct Paths {
    pub work_dir: PathBuf,
    pub state_dir: PathBuf,
    pub dotenv_dir: Option<PathBuf>,
}

/// Where init writes unless it is told otherwise: the volume that such images declare for it.
const STATE_DIR: &str = "/opt/php";

/// Makes one tree of `layers` for `roles` (none: all). With `as_written`, each text is given what is printed of it as well:
/// as much of it expanded as shows no variable's value.
pub fn merge(
    layers: &Layers,
    env: Lookup<'_>,
    roles: &[&str],
    as_written: bool,
    errors: &mut Vec<ConfigError>,
) -> Merged {
    let mut merger = Merger {
        sources: &layers.sources,
        env,
        paths: Paths::default(),
        hidden: Vec::new(),
        as_written,
        expanded: Vec::new(),
        errors,
    };
    merger.run(overlaid(&layers.trees), &layers.work_dir, roles)
}

fn overlaid(trees: &[Node]) -> Node {
    let mut trees = trees.iter().cloned();
    // The preset "none" without a file has no text at all.
    let mut root = trees.next().unwrap_or_default();
    for tree in trees {
        if let (Some(below), Value::Table(upper)) = (root.table_mut(), tree.value) {
            tree::overlay(below, upper);
        }
    }
    root
}

struct Merger<'a> {
    sources: &'a [Source],
    env: Lookup<'a>,
    paths: Paths,
    /// Those of the three paths that variables are a part of.
    hidden: Vec<&'static str>,
    as_written: bool,
    expanded: Vec<Expansion>,
    errors: &'a mut Vec<ConfigError>,
}

impl Merger<'_> {
    fn run(&mut self, mut root: Node, work_dir: &Path, roles: &[&str]) -> Merged {
        let mut printed = Paths::default();
        (self.paths.work_dir, printed.work_dir) = self.own_path(&root, "work-dir", work_dir);
        (self.paths.state_dir, printed.state_dir) = self.own_path(&root, "state-dir", Path::new(STATE_DIR));
        self.unite(&mut root);
        let mut merged = Merged {
            services: Vec::new(),
            roles: BTreeMap::new(),
            paths: Paths::default(),
            expanded: Vec::new(),
            root,
        };
        if let Some(table) = merged.root.table_mut() {
            for key in ["file", "boot"] {
                if let Some(items) = table.get_mut(key).and_then(Node::array_mut) {
                    items.retain(|item| item.table().is_none_or(|table| self.is_wanted(table)));
                }
            }
            table.0.retain(|entry| {
                entry.key != "migrate" || entry.node.table().is_none_or(|table| self.is_enabled(table))
            });
            self.paths.dotenv_dir = self.dotenv_dir(table);
            for key in ["service", "cron"] {
                if let Some(entries) = table.get_mut(key).and_then(Node::table_mut) {
                    if key == "service" {
                        merged.services = entries.0.iter().map(|entry| entry.key.clone()).collect();
                    }
                    self.choose(entries, roles, &mut merged.roles);
                }
            }
            for entry in &mut table.0 {
                self.top_level(entry);
            }
            table.0.retain(|entry| entry.node.value != dropped());
        }
        merged.paths = if self.as_written { printed } else { self.paths.clone() };
        merged.expanded = std::mem::take(&mut self.expanded);
        merged
    }

    /// The path that a key gives, and what is printed of it.
    fn own_path(&mut self, root: &Node, key: &'static str, default: &Path) -> (PathBuf, PathBuf) {
        let text = root.table().and_then(|table| table.get(key)?.str().map(str::to_owned));
        let given = root.table().and_then(|table| self.quiet(table, key));
        let printed = text.filter(|_| given.is_some()).and_then(|text| self.printed(&text));
        if printed.as_deref().is_some_and(expand::has_reference) {
            self.hidden.push(key);
        }
        let escaped = || expand::escape(&default.display().to_string());
        (given.map_or_else(|| default.to_owned(), PathBuf::from), printed.unwrap_or_else(escaped).into())
    }

    /// What is printed of a text: expanded, with `${VAR}` wherever the value of a variable would stand.
    fn printed(&self, text: &str) -> Option<String> {
        let lookup = |name: &str| {
            let value = self.lookup(name).filter(|value| !value.is_empty());
            match value {
                None => self.lookup(name),
                Some(path) if self.is_shown(name) => Some(expand::escape(&path)),
                Some(_) => Some(format!("${{{name}}}")),
            }
        };
        expand::expand_once(text, &lookup).ok()
    }

    /// Whether a name stands for a path of the configuration itself, without a variable in it.
    fn is_shown(&self, name: &str) -> bool {
        is_built_in(name) && !self.hidden.contains(&name)
    }

    fn lookup(&self, name: &str) -> Option<String> {
        let shown = |path: &Path| Some(path.display().to_string());
        match name {
            "work-dir" => shown(&self.paths.work_dir),
            "state-dir" => shown(&self.paths.state_dir),
            // Without such a file this is nothing rather than an error, so that a preset can refer to it.
            "dotenv-dir" => self.paths.dotenv_dir.as_deref().map_or(Some(String::new()), shown),
            _ => (self.env)(name),
        }
    }

    /// The text of a key, expanded; errors are told when the whole tree is expanded.
    fn quiet(&self, table: &Table, key: &str) -> Option<String> {
        let text = table.get(key)?.str()?;
        let expanded = expand::expand(text, &|name| self.lookup(name)).ok()?.text;
        Some(expanded).filter(|text| !text.is_empty())
    }

    fn unite(&self, root: &mut Node) {
        let Some(table) = root.table_mut() else { return };
        let id = |table: &Table| -> Vec<String> {
            let name = self.quiet(table, "name").map(|name| format!("name {name}"));
            let path = self
                .quiet(table, "path")
                .map(|path| format!("path {}", tidy(&self.paths.state_dir.join(path)).display()));
            name.into_iter().chain(path).collect()
        };
        for key in ["file", "boot"] {
            if let Some(node) = table.get_mut(key) {
                tree::unite(node, &id);
            }
        }
    }

    fn is_enabled(&self, table: &Table) -> bool {
        match table.get("enabled").map(|node| &node.value) {
            Some(Value::Bool(flag)) => *flag,
            Some(Value::Str(_)) => {
                self.quiet(table, "enabled").and_then(|text| read_switch(&text)).unwrap_or(true)
            }
            _ => true,
        }
    }

    /// Whether a `[[file]]` or `[[boot]]` is enabled, and its source, if it has one, does not expand to nothing.
    fn is_wanted(&self, table: &Table) -> bool {
        let nothing = table.get("source").and_then(Node::str).is_some_and(|text| {
            expand::expand(text, &|name| self.lookup(name))
                .is_ok_and(|expanded| expanded.text.is_empty() && expanded.only_references)
        });
        self.is_enabled(table) && !nothing
    }

    fn dotenv_dir(&mut self, table: &Table) -> Option<PathBuf> {
        let files = table.get("file")?.array()?;
        let first = files
            .iter()
            .filter_map(Node::table)
            .find(|file| self.quiet(file, "format").as_deref() == Some("dotenv"))?;
        let text = first.get("path")?.str()?;
        let hides = |printed: String| !printed.starts_with('/') && self.hidden.contains(&"state-dir");
        if self.printed(text).is_some_and(|printed| expand::has_reference(&printed) || hides(printed)) {
            self.hidden.push("dotenv-dir");
        }
        let path = tidy(&self.paths.state_dir.join(self.quiet(first, "path")?));
        path.parent().map(Path::to_owned)
    }

    /// Drops the entries that are switched off, and those of other roles whose variables are not set here: a worker
    /// need not know what only the web role is given.
    fn choose(&mut self, entries: &mut Table, wanted: &[&str], all: &mut BTreeMap<String, String>) {
        entries.0.retain_mut(|entry| {
            let Some(table) = entry.node.table() else { return true };
            if !self.is_enabled(table) {
                return false;
            }
            let roles: Vec<(String, String)> = table
                .get("roles")
                .and_then(Node::array)
                .unwrap_or_default()
                .iter()
                .filter_map(Node::str)
                .filter_map(|text| {
                    let expanded = expand::expand(text, &|name| self.lookup(name)).ok()?;
                    Some((expanded.text, text.to_owned()))
                })
                .collect();
            let names: Vec<&str> = roles.iter().map(|(role, _)| role.as_str()).collect();
            let runs = super::runs_in(&names, wanted);
            all.extend(roles);
            // What is printed has been checked already.
            if runs || self.as_written {
                return runs;
            }
            let before = self.errors.len();
            let mut copy = entry.node.clone();
            self.entry(&mut copy);
            let complete = self.errors.len() == before;
            self.errors.truncate(before);
            complete
        });
    }

    fn top_level(&mut self, entry: &mut Entry) {
        match entry.key.as_str() {
            "service" | "cron" => {
                if let Some(entries) = entry.node.table_mut() {
                    for named in &mut entries.0 {
                        self.entry(&mut named.node);
                    }
                }
            }
            "file" | "boot" => {
                for item in entry.node.array_mut().into_iter().flatten() {
                    self.entry(item);
                }
            }
            "migrate" => self.entry(&mut entry.node),
            _ => {
                if !self.keeps(&mut entry.node) {
                    entry.node.value = dropped();
                }
            }
        }
    }

    /// One service, cron entry, file, boot step or the migration.
    fn entry(&mut self, node: &mut Node) {
        let Some(table) = node.table_mut() else { return };
        table.0.retain_mut(|entry| self.keeps(&mut entry.node));
    }

    /// Expands `node`; `false` when it expands to nothing or is wrong, so that its key counts as not written.
    fn keeps(&mut self, node: &mut Node) -> bool {
        match &mut node.value {
            Value::Table(table) => {
                table.0.retain_mut(|entry| self.keeps(&mut entry.node));
                true
            }
            Value::Array(items) => {
                items.retain_mut(|item| self.keeps(item));
                true
            }
            Value::Str(_) => self.keeps_text(node),
            _ => true,
        }
    }

    fn keeps_text(&mut self, node: &mut Node) -> bool {
        let Value::Str(text) = &mut node.value else { return true };
        let from_env = Cell::new(false);
        let expanded = expand::expand(text, &|name| {
            from_env.set(from_env.get() || !self.is_shown(name));
            self.lookup(name)
        });
        match expanded {
            Err(error) => {
                let loc = self.narrow(node.loc, text, error.start, error.end);
                self.errors.push(error_at(self.sources, loc, error.message));
                false
            }
            Ok(expanded) if expanded.text.contains('\0') => {
                let message = "a NUL character cannot be in a path, a variable or an argument";
                self.errors.push(error_at(self.sources, node.loc, message));
                false
            }
            Ok(expanded) if expanded.text.is_empty() && expanded.only_references => false,
            Ok(expanded) => {
                if self.as_written {
                    node.printed = self.printed(text);
                }
                if expanded.changed {
                    let written = std::mem::replace(text, expanded.text);
                    if from_env.get() {
                        let (value, written) = (text.clone(), written.clone());
                        self.expanded.push(Expansion { loc: node.loc, value, written });
                    }
                    node.written = Some(written);
                }
                true
            }
        }
    }

    fn narrow(&self, loc: Loc, text: &str, start: usize, end: usize) -> Loc {
        narrow(self.sources, loc, text, start, end)
    }
}

/// The path without doubled and trailing slashes, so that equal paths are equal texts.
pub fn tidy(path: &Path) -> PathBuf {
    path.components().collect()
}

/// References that stand for paths of the configuration itself; no environment variable has such a name.
fn is_built_in(name: &str) -> bool {
    matches!(name, "work-dir" | "state-dir" | "dotenv-dir")
}

/// Marks a top-level key that counts as not written; nothing that is read has this value.
fn dropped() -> Value {
    Value::Date(String::new())
}

/// The place of bytes `start..end` of `text`, the decoded string at `loc`. In a string with escapes they are searched
/// for; failing that, the whole string is the place.
pub fn narrow(sources: &[Source], loc: Loc, text: &str, start: usize, end: usize) -> Loc {
    let raw = raw(sources, loc);
    let Some(part) = text.get(start..end).filter(|part| !part.is_empty()) else { return loc };
    let earlier = text.get(..start).unwrap_or_default().matches(part).count();
    let Some((at, _)) = raw.match_indices(part).nth(earlier) else { return loc };
    let from = loc.start.saturating_add(u32::try_from(at).unwrap_or(0));
    Loc { start: from, end: from.saturating_add(u32::try_from(part.len()).unwrap_or(0)), ..loc }
}

/// The text of the file at `loc`, quotes included.
pub fn raw(sources: &[Source], loc: Loc) -> &str {
    let wide = |at: u32| usize::try_from(at).unwrap_or(usize::MAX);
    sources
        .get(wide(loc.layer))
        .and_then(|source| source.text.get(wide(loc.start)..wide(loc.end)))
        .unwrap_or_default()
}
