//! What PHP-FPM's configuration says, read by FPM's own rules (php-src sapi/fpm/fpm/fpm_conf.c).
//!
//! - A relative `include`, and a relative path of a socket, is below the prefix: that of `-p`, or the one that FPM was
//!   compiled with (fpm_evaluate_full_path). The official images say `include=etc/php-fpm.d/*.conf`.
//! - `${NAME}` is a variable of FPM's environment, empty where it is not set; `${NAME:-text}` since PHP 8.3.
//! - `$pool` is the name of the pool (fpm_conf_expand_pool_name).
//! - A section may be opened again, and the last value counts.

use super::super::env::Variables;
use crate::files;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// How deep `include` may nest; FPM refuses more (fpm_conf_load_ini_file).
const INCLUDE_DEPTH: u8 = 5;
/// Far above the size of any such file, in bytes.
const MAX: u64 = 1 << 20;
/// Whoever can write one of the files could have more read than there is memory, or time: so many files, bytes and pools.
const MOST_FILES: usize = 1000;
const MOST_BYTES: usize = 4 << 20;
const MOST_POOLS: usize = 500;
/// What PHP is compiled with unless it says otherwise, as in the official images.
const PREFIX: &str = "/usr/local";

/// What a scan of FPM's configuration found.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// Names of the pools, sorted.
    pub pools: BTreeSet<String>,
    /// `listen` of each pool.
    pub listens: BTreeMap<String, String>,
    /// The same as it is written: the values of variables are not for the log.
    pub written: BTreeMap<String, String>,
    /// `pm.status_path` of each pool that sets one, and `pm.status_listen`.
    pub status_paths: BTreeMap<String, String>,
    pub status_listens: BTreeMap<String, String>,
    /// `process_control_timeout` as the image sets it, and as it is written.
    pub process_control_timeout: Option<(String, String)>,
    /// `error_log` as it is written.
    pub error_log: Option<String>,
    /// All that was read, and the directories that all files of a name are included from.
    pub sources: BTreeSet<PathBuf>,
}

/// Reads `main` and everything it includes, as the FPM of `command` with this environment would. Files that cannot be read
/// are left out: FPM will name them itself.
pub fn scan(main: &Path, command: &[String], env: &Variables) -> Scan {
    let variable = |name: &str| env.get(OsStr::new(name)).map(|value| value.to_string_lossy().into_owned());
    let mut reader = Reader {
        prefix: prefix(command, variable("PATH").as_deref()),
        variable: &variable,
        section: String::new(),
        prefixes: BTreeMap::new(),
        files: 0,
        bytes: 0,
        found: Scan::default(),
    };
    reader.file(main, INCLUDE_DEPTH);
    reader.found
}

/// FPM's prefix. The compiled one is where its program is, as `make install` puts it at PREFIX/sbin/php-fpm: Debian, Alpine
/// and the official images do as well.
fn prefix(command: &[String], path: Option<&str>) -> PathBuf {
    let given = command.iter().position(|word| word == "-p" || word == "--prefix");
    if let Some(given) = given.and_then(|flag| command.get(flag.saturating_add(1))) {
        return PathBuf::from(given);
    }
    let program = command.first().map(String::as_str).unwrap_or_default();
    let found = match program.contains('/') {
        true => Some(PathBuf::from(program)),
        false => {
            let mut places = path.unwrap_or_default().split(':').filter(|place| place.starts_with('/'));
            places.find_map(|place| Some(Path::new(place).join(program)).filter(|file| files::is_file(file)))
        }
    };
    let real = found.map(|mut file| {
        // `php-fpm` may be a link to `php-fpm8.4` elsewhere. A circle of links has no program.
        for _ in 0..8 {
            let Ok(target) = std::fs::read_link(&file) else { break };
            file = file.parent().unwrap_or(Path::new("/")).join(target);
        }
        file
    });
    let above = real.as_deref().and_then(Path::parent).and_then(Path::parent);
    above.filter(|dir| dir.is_absolute()).map_or_else(|| PathBuf::from(PREFIX), Path::to_owned)
}

struct Reader<'a> {
    prefix: PathBuf,
    variable: &'a dyn Fn(&str) -> Option<String>,
    section: String,
    /// `prefix` of each pool that has one.
    prefixes: BTreeMap<String, String>,
    files: usize,
    bytes: usize,
    found: Scan,
}

impl Reader<'_> {
    /// Goes on in the section that the including file is in, as FPM does.
    fn file(&mut self, path: &Path, depth: u8) {
        self.files = self.files.saturating_add(1);
        if self.files > MOST_FILES || self.bytes > MOST_BYTES {
            return;
        }
        let Ok(text) = files::read_configuration(path, MAX) else { return };
        self.bytes = self.bytes.saturating_add(text.len());
        self.found.sources.insert(path.to_owned());
        for line in text.lines().map(str::trim) {
            if let Some((name, _)) = line.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                name.clone_into(&mut self.section);
                if name != "global" && self.found.pools.len() < MOST_POOLS {
                    self.found.pools.insert(name.to_owned());
                }
            } else if let Some((key, value)) = line.split_once('=') {
                let value = value.split(';').next().unwrap_or_default().trim().trim_matches(['"', '\'']);
                self.entry(key.trim(), value, depth);
            }
        }
    }

    fn entry(&mut self, key: &str, written: &str, depth: u8) {
        let pool = self.section.clone();
        let value = expand(written, self.variable);
        match key {
            "include" => {
                let pattern = self.prefix.join(value);
                let several = pattern.to_string_lossy().contains('*');
                self.found.sources.extend(pattern.parent().filter(|_| several).map(Path::to_owned));
                for included in glob(&pattern).into_iter().filter(|_| depth > 0) {
                    self.file(&included, depth.saturating_sub(1));
                }
            }
            "process_control_timeout" => {
                self.found.process_control_timeout = Some((value, written.to_owned()));
            }
            "error_log" => self.found.error_log = Some(written.to_owned()),
            _ if value.is_empty() || !self.found.pools.contains(&pool) => {}
            "prefix" => {
                self.prefixes.insert(pool, value);
            }
            "listen" => {
                let address = self.address(&pool, &value);
                self.found.written.insert(pool.clone(), written.to_owned());
                self.found.listens.insert(pool, address);
            }
            "pm.status_listen" => {
                let address = self.address(&pool, &value);
                self.found.status_listens.insert(pool, address);
            }
            "pm.status_path" => {
                let path = value.replace("$pool", &pool);
                self.found.status_paths.insert(pool, path);
            }
            _ => {}
        }
    }

    /// What has a colon or is a number is TCP, and anything else a socket's path (fpm_sockets_domain_from_address).
    fn address(&self, pool: &str, value: &str) -> String {
        let value = value.replace("$pool", pool);
        if value.contains(':') || value.bytes().all(|byte| byte.is_ascii_digit()) {
            return value;
        }
        let prefix =
            self.prefixes.get(pool).map_or(PathBuf::new(), |prefix| prefix.replace("$pool", pool).into());
        self.prefix.join(prefix).join(value).to_string_lossy().into_owned()
    }
}

/// `${NAME}` and `${NAME:-text}` by their values. What is not closed is left as it is.
fn expand(text: &str, variable: &dyn Fn(&str) -> Option<String>) -> String {
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, (inside, after))) =
        rest.split_once("${").and_then(|(before, tail)| Some((before, tail.split_once('}')?)))
    {
        let (name, otherwise) = inside.split_once(":-").unwrap_or((inside, ""));
        let value = variable(name).filter(|value| !value.is_empty());
        expanded.push_str(before);
        expanded.push_str(value.as_deref().unwrap_or(otherwise));
        rest = after;
    }
    expanded + rest
}

/// The files that an `include` names; `*` may stand in the last component, where every image has it.
fn glob(path: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name().and_then(|name| name.to_str())) else {
        return Vec::new();
    };
    let Some((head, tail)) = name.split_once('*') else { return vec![path.to_owned()] };
    let mut files: Vec<PathBuf> = list(dir)
        .into_iter()
        .filter(|file| {
            let name = file.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.len() >= head.len().saturating_add(tail.len())
                && name.starts_with(head)
                && name.ends_with(tail)
        })
        .collect();
    files.sort();
    files
}

/// What is in a directory; nothing where it cannot be listed.
pub(super) fn list(dir: &Path) -> Vec<PathBuf> {
    files::list(dir).unwrap_or_default().into_iter().map(|name| dir.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn command(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    fn env(pairs: &[(&str, &str)]) -> Variables {
        pairs.iter().map(|(name, value)| (name.into(), value.into())).collect()
    }

    /// The layout of the official images, before and since 2026-01, below a prefix of the test's own.
    #[test]
    fn a_relative_include_is_below_the_prefix() {
        for (docker, zz) in [
            ("[www]\nclear_env = no\n", "[global]\ndaemonize = no\n[www]\nlisten = 9000\n"),
            ("[www]\nlisten = 9000\nclear_env = no\n", "[global]\ndaemonize = no\n"),
        ] {
            let root = tempfile::tempdir().unwrap();
            for dir in ["sbin", "bin", "etc/php-fpm.d"] {
                fs::create_dir_all(root.path().join(dir)).unwrap();
            }
            let put = |name: &str, text: &str| fs::write(root.path().join(name), text).unwrap();
            put("etc/php-fpm.conf", "[global]\ninclude=etc/php-fpm.d/*.conf\n");
            put("etc/php-fpm.d/www.conf", "[www]\nuser = www-data\n;listen = 127.0.0.1:9001\n");
            put("etc/php-fpm.d/docker.conf", docker);
            put("etc/php-fpm.d/zz-docker.conf", zz);
            put("sbin/php-fpm8.4", "");
            std::os::unix::fs::symlink("../sbin/php-fpm8.4", root.path().join("bin/php-fpm")).unwrap();
            let main = root.path().join("etc/php-fpm.conf");
            let path = root.path().join("bin").display().to_string();
            let at = |name: &str| format!("{} -F", root.path().join(name).display());
            for (words, path) in [
                ("php-fpm -F".to_owned(), path.as_str()),
                (at("sbin/php-fpm8.4"), ""),
                (at("bin/php-fpm"), ""),
                (format!("/elsewhere/bin/php-fpm -p {}", root.path().display()), ""),
            ] {
                let found = scan(&main, &command(&words), &env(&[("PATH", path)]));
                assert_eq!(found.listens.get("www").map(String::as_str), Some("9000"), "{words}");
            }
            let elsewhere = scan(&main, &command("/elsewhere/bin/php-fpm"), &env(&[]));
            assert!(elsewhere.pools.is_empty(), "FPM would find nothing either");
        }
    }

    #[test]
    fn variables_and_the_name_of_the_pool_are_put_in() {
        let dir = tempfile::tempdir().unwrap();
        let main = dir.path().join("main.conf");
        let text = "[www]\nlisten = /run/php-$pool.sock\n[api]\nlisten = ${FPM_LISTEN}\npm.status_path = /s/$pool\n\
                    [admin]\nlisten = \"127.0.0.1:${PORT:-9002}\"\n[lost]\nlisten = ${UNSET}\n\
                    [deep]\nprefix = pools/$pool\nlisten = fpm.sock\n";
        fs::write(&main, text).unwrap();
        let found = scan(&main, &command("php-fpm -p /srv"), &env(&[("FPM_LISTEN", "9001")]));
        let listens: Vec<(&str, &str)> =
            found.listens.iter().map(|(pool, listen)| (pool.as_str(), listen.as_str())).collect();
        assert_eq!(
            listens,
            [
                ("admin", "127.0.0.1:9002"),
                ("api", "9001"),
                ("deep", "/srv/pools/deep/fpm.sock"),
                ("www", "/run/php-www.sock")
            ]
        );
        assert_eq!(found.status_paths.get("api").map(String::as_str), Some("/s/api"));
        assert!(found.pools.contains("lost"));
    }

    /// Each of eight files includes all of them, and FPM gives up at the fifth.
    #[test]
    fn files_that_include_each_other_end_soon() {
        let dir = tempfile::tempdir().unwrap();
        let all = format!("include={}/*.conf\n", dir.path().display());
        for name in 0..8 {
            let pools: String = (0..100).map(|pool| format!("[p{name}-{pool}]\n")).collect();
            fs::write(dir.path().join(format!("{name}.conf")), format!("{pools}{all}")).unwrap();
        }
        let found = scan(&dir.path().join("0.conf"), &[], &Variables::new());
        assert_eq!((found.pools.len(), found.sources.len()), (MOST_POOLS, 9));
    }

    #[test]
    fn what_is_no_variable_stays() {
        let none = |_: &str| None;
        for text in ["", "plain", "a$b", "${open", "$pool"] {
            assert_eq!(expand(text, &none), text);
        }
        assert_eq!(expand("<${A}|${B:-c}>", &|name| (name == "A").then(|| "1".to_owned())), "<1|c>");
    }
}
