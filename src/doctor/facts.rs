//! What was seen in the container. Names, numbers and paths: values that may be secret are never kept.

use serde::Deserialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// The answer to a question that may go without one.
#[derive(Clone, Debug, PartialEq)]
pub enum Told<T> {
    Told(T),
    /// Why it was not asked.
    NotAsked(String),
    /// It was asked, and what went wrong.
    Failed(String),
}

impl<T> Default for Told<T> {
    fn default() -> Self {
        Self::NotAsked("nobody asked".to_owned())
    }
}

impl<T> Told<T> {
    pub fn told(&self) -> Option<&T> {
        match self {
            Self::Told(told) => Some(told),
            Self::NotAsked(_) | Self::Failed(_) => None,
        }
    }

    /// Why there is no answer.
    pub fn why_not(&self) -> &str {
        match self {
            Self::Told(_) => "",
            Self::NotAsked(why) | Self::Failed(why) => why,
        }
    }
}

/// Everything that the checks look at.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Facts {
    /// The command line's PHP, which workers, the scheduler and boot steps are.
    pub php: Told<Ini>,
    /// PHP-FPM's PHP; Debian gives it a php.ini of its own.
    pub fpm_php: Told<Ini>,
    /// PHP-FPM's configuration as it will be in effect, init's defaults included.
    pub fpm: Told<FpmConf>,
    pub laravel: Laravel,
    pub paths: Vec<PathFacts>,
    pub system: System,
    pub processes: Processes,
}

/// What one PHP is like.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
pub struct Ini {
    pub version: String,
    pub file: Option<String>,
    /// In lower case.
    pub extensions: BTreeSet<String>,
    /// The settings that are looked at, as `ini_get` gives them.
    pub values: BTreeMap<String, String>,
}

impl Ini {
    pub fn has(&self, extension: &str) -> bool {
        self.extensions.contains(extension)
    }

    /// A setting; the empty string where it is not known.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", |value| value.trim())
    }

    /// `1`, `On`, `yes`, `true`.
    pub fn is_on(&self, name: &str) -> bool {
        matches!(
            self.get(name).to_ascii_lowercase().as_str(),
            "1" | "on" | "yes" | "true" | "stdout" | "stderr"
        )
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct FpmConf {
    pub global: BTreeMap<String, String>,
    pub pools: Vec<Pool>,
    /// `error_log` as the image writes it; init's own default is stderr.
    pub error_log: Option<String>,
    /// PHP-FPM says so when it is not root.
    pub user_ignored: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pool {
    pub name: String,
    pub values: BTreeMap<String, String>,
    /// Names in `env[…]`, with the variable that each refers to; `None` for text that is written out.
    pub env: BTreeMap<String, Option<String>>,
    /// `php_value`, `php_admin_value` and their like.
    pub ini: BTreeMap<String, String>,
}

impl Pool {
    /// A directive; the empty string where it is `undefined`.
    pub fn get(&self, name: &str) -> &str {
        self.values.get(name).map_or("", String::as_str)
    }

    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.get(name), "yes" | "1" | "on" | "true")
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Laravel {
    /// There is an `artisan`.
    pub present: bool,
    pub config: Told<LaravelConfig>,
    /// `bootstrap/app.php` says where `.env` is.
    pub env_path_hook: bool,
    pub env_files: Vec<EnvFile>,
    /// `storage/framework/down` exists.
    pub down: bool,
}

/// What Laravel's configuration comes to, the few keys that are looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct LaravelConfig {
    pub version: String,
    pub env: String,
    pub debug: bool,
    /// There is an `app.key`.
    pub key: bool,
    pub cached: bool,
    pub env_file: String,
    pub cache_store: String,
    pub cache_driver: String,
    pub session_driver: String,
    pub queue: String,
    pub connections: BTreeMap<String, Connection>,
    /// Drivers of the default log channel and, of a stack, its parts.
    pub log_drivers: Vec<String>,
    pub database_driver: String,
    pub redis_client: String,
}

#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Connection {
    pub driver: String,
    pub retry_after: Option<u64>,
}

/// One `.env`, without any of its values.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvFile {
    pub path: PathBuf,
    pub mode: u32,
    /// The application's user can read it.
    pub readable: bool,
    /// init puts it there.
    pub placed: bool,
    pub keys: BTreeSet<String>,
    /// phpdotenv would refuse it: line and key.
    pub problems: Vec<String>,
    pub warnings: Vec<String>,
}

/// What a path is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Purpose {
    #[default]
    Writable,
    /// init's own directory.
    State,
    /// Where a pool makes its socket.
    Socket,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct PathFacts {
    pub path: PathBuf,
    pub purpose: Purpose,
    /// Why it cannot be written, with the remedy.
    pub refused: Option<String>,
    /// It cannot yet, and the boot will mend it: makes it, or hands it over.
    pub mended: bool,
    /// Of the mount that it is on.
    pub file_system: String,
    pub options: BTreeSet<String>,
    pub mount: PathBuf,
    pub space: Option<Space>,
}

/// Room on a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub bytes: u64,
    pub bytes_free: u64,
    /// 0 where the file system does not count them.
    pub inodes: u64,
    pub inodes_free: u64,
}

/// Whether root alone may change init's state directory; why not, in words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StateDir {
    /// init is not root: it and its children are one user.
    #[default]
    OneUser,
    RootsAlone,
    /// It is another user's, or others may write it. The boot takes it over.
    Foreign(String),
    /// Another user may replace it.
    Replaceable(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct System {
    pub uid: u32,
    pub state_dir: StateDir,
    /// What processes of root's read and the application may change, with the remedy.
    pub exposed: Vec<String>,
    /// init's own program, if the application may read it.
    pub readable_binary: Option<PathBuf>,
    /// fs.suid_dumpable and kernel.core_pattern.
    pub suid_dumpable: Option<u64>,
    pub core_pattern: String,
    /// Who the application runs as.
    pub app: String,
    pub app_is_root: bool,
    pub proc_mounted: bool,
    /// Effective capabilities.
    pub capabilities: Option<u64>,
    pub open_files: Option<u64>,
    pub max_processes: Option<u64>,
    pub pids_max: Option<u64>,
    /// The least of cgroup and machine, in bytes.
    pub memory: Option<u64>,
    pub root_read_only: Option<bool>,
    /// Names of the container's variables.
    pub env: BTreeSet<String>,
    /// Names of those that init keeps from its children.
    pub withheld: Vec<String>,
    /// APP_ENV of the real environment.
    pub app_env: Option<String>,
    pub tz: Option<String>,
    /// There is a file for TZ in /usr/share/zoneinfo.
    pub tz_file: bool,
    /// Crontab files of the image with at least one entry.
    pub crontabs: Vec<PathBuf>,
    /// ECS_CONTAINER_STOP_TIMEOUT, where someone passes the agent's setting on.
    pub agent_stop_timeout: Option<String>,
    /// ECS Exec's directories that cannot be written.
    pub exec_refused: Vec<PathBuf>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Processes {
    /// The doctor itself is PID 1: nothing else runs here.
    pub alone: bool,
    /// The name of PID 1.
    pub pid1: Option<String>,
    /// Signals that PID 1 catches, bit 0 is signal 1.
    pub pid1_catches: Option<u64>,
    /// PID of a running init.
    pub init: Option<i32>,
    /// Such as `php-fpm (12)`: PHP that does not descend from the running init.
    pub strays: Vec<String>,
    /// supervisord, crond and their like.
    pub supervisors: Vec<String>,
    /// php-fpm processes whose parent is init.
    pub fpm_masters: usize,
}
