//! Where the control socket is, told even of a configuration that is wrong: whoever asks a running init how it is
//! must not fail because of a file that has been changed since.

use super::expand::{self, Lookup};
use super::load::{self, DEFAULT_FILE, Options};
use super::tree::{self, Table};
use crate::files;
use std::path::{Path, PathBuf};

/// The socket's name in the state directory.
pub const NAME: &str = "init.sock";
/// The state directory of every preset.
const STATE_DIR: &str = "/opt/php";

/// The key, where it says that there is no socket.
const NONE: &str = "none";

/// A path, and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    pub path: PathBuf,
    /// In words, for whoever finds no socket there.
    pub source: String,
}

/// `[control] socket`, else `init.sock` in `state-dir`, of the file that init itself would read. What cannot be
/// read or understood is passed over.
pub fn find(options: &Options, env: Lookup<'_>) -> Found {
    let Some((path, named)) = load::find(options, env) else {
        return default_place("no configuration");
    };
    match files::read_given(&path, load::MAX) {
        Ok(text) => match of_text(&text, env) {
            Ok(Some((_, NONE))) => {
                default_place(&format!("[control] socket of {} says none", path.display()))
            }
            Ok(Some((found, key))) => Found { path: found, source: format!("{key} of {}", path.display()) },
            Ok(None) => default_place(&format!("{} says no other", path.display())),
            Err(()) => default_place(&format!("{} is not valid TOML", path.display())),
        },
        Err(_) if !named => default_place(&format!("there is no {DEFAULT_FILE}")),
        Err(error) => {
            let why = crate::sys::words(&error);
            default_place(&format!("{} cannot be read: {why}", path.display()))
        }
    }
}

fn default_place(why: &str) -> Found {
    Found { path: Path::new(STATE_DIR).join(NAME), source: format!("the default, as {why}") }
}

/// The path, and the key that says so.
fn of_text(text: &str, env: Lookup<'_>) -> Result<Option<(PathBuf, &'static str)>, ()> {
    let source = tree::Source { name: String::new(), text: text.to_owned() };
    let root = tree::parse(&[source], 0).map_err(|_| ())?;
    let Some(table) = root.table() else { return Ok(None) };
    let state_dir = value(table, "state-dir", env);
    let dir = state_dir.clone().unwrap_or_else(|| STATE_DIR.to_owned());
    let with_dir = |name: &str| if name == "state-dir" { Some(dir.clone()) } else { env(name) };
    let control = table.get("control").and_then(tree::Node::table);
    if let Some(socket) = control.and_then(|control| value(control, "socket", &with_dir)) {
        let key = if socket == "none" { NONE } else { "[control] socket" };
        return Ok(Some((Path::new(&dir).join(socket), key)));
    }
    Ok(state_dir.map(|dir| (Path::new(&dir).join(NAME), "state-dir")))
}

fn value(table: &Table, key: &str, env: Lookup<'_>) -> Option<String> {
    let text = expand::expand(table.get(key)?.str()?, env).ok()?.text;
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Found {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let options = Options { config: Some(file.path().to_owned()), ..Options::default() };
        find(&options, &|name| (name == "DIR").then(|| "/run/x".to_owned()))
    }

    #[test]
    fn the_keys_say_where_it_is() {
        for (text, path, key) in [
            ("state-dir = '/run/a'", "/run/a/init.sock", "state-dir of /"),
            ("state-dir = '${DIR}'", "/run/x/init.sock", "state-dir of /"),
            ("[control]\nsocket = 's'", "/opt/php/s", "[control] socket of /"),
            ("state-dir = '/a'\n[control]\nsocket = '/b/s'", "/b/s", "[control] socket of /"),
            ("state-dir = '/a'\ncontrol.socket = '${state-dir}/s'", "/a/s", "[control] socket of /"),
        ] {
            let found = found(text);
            assert_eq!(found.path, Path::new(path), "{text}");
            assert!(found.source.starts_with(key), "{}", found.source);
        }
    }

    #[test]
    fn a_broken_file_leaves_the_default() {
        for (text, why) in [
            ("", "says no other"),
            ("preset = 'laravel'\ncolor = 3", "says no other"),
            ("state-dir = ", "is not valid TOML"),
            ("state-dir = 7", "says no other"),
            ("state-dir = '${UNSET:?no}'", "says no other"),
            ("control = 'x'", "says no other"),
            ("state-dir = '/a'\n[control]\nsocket = 'none'", "says none"),
        ] {
            let found = found(text);
            assert_eq!(found.path, Path::new("/opt/php/init.sock"), "{text}");
            assert!(found.source.contains(why), "{}", found.source);
        }
        let options = Options { config: Some("/nonexistent/x".into()), ..Options::default() };
        assert!(find(&options, &|_| None).source.contains("/nonexistent/x cannot be read: no such file"));
    }
}
