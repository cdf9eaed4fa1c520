//! What init adds to PHP-FPM's configuration: a file in the state directory that includes the image's own.
//!
//! Everything here is a *default*: it stands before the `include`, and FPM lets a later directive win (php-src
//! sapi/fpm/fpm/fpm_conf.c re-opens a section of the same name). So an image that sets `process_control_timeout` or
//! `ping.path` itself keeps its values. Written for five reasons:
//!
//! - `process_control_timeout` is 0 unless set, and then even SIGQUIT resets the requests in flight;
//! - without `-F` FPM goes into the background unless `daemonize` says no, and would be started again beside itself;
//! - without `ping.path` there is nothing to probe that does not run PHP;
//! - without `pm.status_path` nobody can tell how many workers are busy;
//! - `clear_env` hides the plan's variables (APP_ENV_PATH…) from workers unless `env[…]` names them. Only variables
//!   that exist are named: `env[X] = $X` with X unset would define it as the empty string.

mod scan;

use super::env::INSTANCE;
use crate::config::plan::FpmPlan;
use crate::files;
use scan::list;
pub use scan::{Scan, scan};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// Variables of the platform that an application under FPM needs to find its task role, its region and its task.
const PLATFORM: &[&str] = &[
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_ROLE_ARN",
    "AWS_ROLE_SESSION_NAME",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "ECS_CONTAINER_METADATA_URI_V4",
    "ECS_AGENT_URI",
    "PATH",
    "TZ",
];

/// The first main configuration that exists of the places where images keep it: the official image, Debian, Alpine,
/// Red Hat.
pub fn find_config() -> Option<PathBuf> {
    let fixed = ["/usr/local/etc/php-fpm.conf", "/etc/php-fpm.conf"].map(PathBuf::from);
    let versioned = |parent: &str, tail: &str| -> Vec<PathBuf> {
        let mut found: Vec<PathBuf> = list(Path::new(parent)).into_iter().map(|dir| dir.join(tail)).collect();
        found.sort();
        found.reverse();
        found
    };
    let mut places = fixed.to_vec();
    places.extend(versioned("/etc/php", "fpm/php-fpm.conf"));
    places.extend(versioned("/etc", "php-fpm.conf"));
    places.into_iter().find(|path| files::is_file(path))
}

/// Where to reach what FPM calls `listen`: `9000` and `0.0.0.0:9000` are everywhere, so here.
pub fn reachable(listen: &str) -> String {
    let (host, port) = listen.rsplit_once(':').unwrap_or(("", listen));
    let everywhere = matches!(host, "" | "0.0.0.0" | "*" | "[::]");
    if !listen.starts_with('/') && everywhere { format!("127.0.0.1:{port}") } else { listen.to_owned() }
}

/// Where a pool tells of its status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusPage {
    pub service: String,
    pub pool: String,
    /// `127.0.0.1:9000` or `/run/php.sock`.
    pub address: String,
    pub path: String,
}

/// The status pages of `service`, whose drop-in with its sockets in `drop_in` is in use, unless it is `None`: then
/// those that the image's own configuration has.
pub fn status_pages(service: &str, plan: &FpmPlan, scan: &Scan, drop_in: Option<&Path>) -> Vec<StatusPage> {
    let page = |pool: &String| {
        let path =
            scan.status_paths.get(pool).cloned().or_else(|| drop_in.map(|_| plan.status_path.clone()))?;
        let socket = || Some(status_socket(drop_in?, plan, service, pool)?.to_string_lossy().into_owned());
        let address = scan.status_listens.get(pool).map(|listen| reachable(listen)).or_else(socket);
        let address = address.or_else(|| scan.listens.get(pool).map(|listen| reachable(listen)))?;
        Some(StatusPage { service: service.to_owned(), pool: pool.clone(), address, path })
    };
    scan.pools.iter().filter_map(page).collect()
}

/// The socket in `dir` that a pool's status is asked for on, where the plan wants one and its path fits unix(7).
fn status_socket(dir: &Path, plan: &FpmPlan, service: &str, pool: &str) -> Option<PathBuf> {
    let path = dir.join(format!("{service}.{pool}.status.sock"));
    (plan.status_socket && path.as_os_str().len() <= 107).then_some(path)
}

/// The text of the drop-in of `service` around `main`, with sockets in `dir`. `has` tells whether FPM's environment will
/// have a variable, `plan_keys` are the names that the plan sets for it. `literal` gives the values that a master that runs
/// already does not have; none of them needs an escape.
pub fn render<'a>(
    (service, dir): (&str, &Path),
    plan: &FpmPlan,
    main: &Path,
    scan: &Scan,
    plan_keys: impl Iterator<Item = &'a str>,
    has: impl Fn(&str) -> bool,
    literal: impl Fn(&str) -> Option<String>,
) -> String {
    let mut text = String::from(
        "; Written by init at every start. Your own configuration is included below and wins over all of this.\n[global]\n",
    );
    let seconds = plan.process_control_timeout.as_secs().max(1);
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "error_log = /proc/self/fd/2\ndaemonize = no\nlog_limit = 8192\nprocess_control_timeout = {seconds}s"
    );
    let names = plan_keys.chain(PLATFORM.iter().copied()).filter(|name| is_plain_name(name) && has(name));
    // The master has it from init, and by it what workers start is found.
    let names: BTreeSet<&str> = names.chain([INSTANCE]).collect();
    for pool in &scan.pools {
        let _ =
            writeln!(text, "[{pool}]\nping.path = {}\npm.status_path = {}", plan.ping_path, plan.status_path);
        if let Some(socket) = status_socket(dir, plan, service, pool) {
            let _ = writeln!(text, "pm.status_listen = {}", socket.display());
        }
        text.push_str("catch_workers_output = yes\ndecorate_workers_output = no\n");
        for name in &names {
            let _ = match literal(name) {
                Some(value) => writeln!(text, "env[{name}] = \"{value}\""),
                None => writeln!(text, "env[{name}] = ${name}"),
            };
        }
    }
    let _ = writeln!(text, "[global]\ninclude = {}", main.display());
    text
}

/// A time of FPM's in seconds: `10`, `10s`, `2m`, `1h`, `1d` (fpm_conf.c, fpm_conf_set_time).
pub fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|char: char| !char.is_ascii_digit()).unwrap_or(text.len()));
    let factor = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// Names that FPM's INI parser takes inside `env[…]`.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// The service's command with FPM pointed at `generated`: the file after `-y` is replaced, or `-y` is added.
pub fn command(command: &[String], generated: &Path) -> Vec<String> {
    let generated = generated.to_string_lossy().into_owned();
    let mut words = command.to_vec();
    match config_position(&words) {
        Some(at) => {
            if let Some(word) = words.get_mut(at) {
                *word = generated;
            }
        }
        None => words.extend(["-y".to_owned(), generated]),
    }
    words
}

/// The main configuration that the command names itself.
pub fn config_of(command: &[String]) -> Option<PathBuf> {
    command.get(config_position(command)?).map(PathBuf::from)
}

fn config_position(command: &[String]) -> Option<usize> {
    let flag = command.iter().position(|word| word == "-y" || word == "--fpm-config")?;
    let value = flag.checked_add(1)?;
    (value < command.len()).then_some(value)
}

#[cfg(test)]
mod tests;
