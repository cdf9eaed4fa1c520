//! What the test crates share: what the machine must have, waiting with a deadline, and a container's life.
//!
//! A test crate includes it with `#[path = "../support/mod.rs"] mod support;` (or `mod support;` from `tests/*.rs`).
//! Nothing here sleeps a fixed time: [`eventually`] polls a condition under a deadline.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: real time, real processes, and each test crate uses a part of it"
)]

pub mod cgroup;
pub mod sandbox;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// True when the machine has all of `things`; otherwise this test is skipped, loudly.
///
/// `root`, `docker` (an engine that answers), `laravel` (Debian's framework on PHP's include path), `s3` (this build has
/// the feature), `phpdotenv` (see [`phpdotenv`]), `openmetrics` (the reference parser), `cgroup` (see [`cgroup`]), or the name of a program on the PATH; `php-fpm` is found under Debian's
/// versioned names too. With `CI=true` a missing thing fails the test instead.
#[must_use]
pub fn need(things: &[&str]) -> bool {
    let Some(reason) = things.iter().find_map(|thing| lacks(thing)) else { return true };
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{reason}, and CI skips nothing");
    skip(&reason);
    false
}

/// Records that this test is skipped: a line `test: reason` in the file `$PHP_INIT_SKIPS`, which `tests/run` lists at
/// its end. The test then returns.
pub fn skip(reason: &str) {
    let line = format!("{}::{}: {reason}\n", env!("CARGO_CRATE_NAME"), test_name());
    eprint!("skipped {line}");
    if let Some(path) = std::env::var_os("PHP_INIT_SKIPS") {
        // One write of one line with O_APPEND: tests in many processes share the file.
        let mut file = std::fs::File::options().append(true).create(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

fn lacks(thing: &str) -> Option<String> {
    let there = match thing {
        "root" => is_root(),
        "docker" => succeeds("docker", &["info"]),
        "s3" => cfg!(feature = "s3"),
        "php-fpm" => php_fpm().is_some(),
        "phpdotenv" => phpdotenv().is_file(),
        "cgroup" => cgroup::Cgroup::new().is_ok(),
        "openmetrics" => succeeds("/usr/bin/python3", &["-c", "import prometheus_client.openmetrics.parser"]),
        "laravel" => {
            let check = "exit((int) !(stream_resolve_include_path('Illuminate/autoload.php') && extension_loaded('pdo_sqlite')));";
            succeeds("php", &["-r", check])
        }
        program => on_path(program).is_some(),
    };
    (!there).then(|| match thing {
        "root" => "needs root".into(),
        "docker" => "no Docker engine answers".into(),
        "s3" => "built without the feature s3".into(),
        "laravel" => "php-laravel-framework or php-sqlite3 is not installed".into(),
        "openmetrics" => "python3-prometheus-client is not installed".into(),
        "cgroup" => "no control group with pids, memory and freezer can be made".into(),
        "phpdotenv" => format!("there is no {}", phpdotenv().display()),
        program => format!("{program} is not installed"),
    })
}

/// The name that the test runner knows this test by.
fn test_name() -> String {
    match std::thread::current().name() {
        Some(name) if name != "main" => name.to_owned(),
        // One test a process, as nextest runs them: libtest stays on the main thread, and the name is an argument.
        _ => std::env::args()
            .skip_while(|argument| argument != "--exact")
            .nth(1)
            .or_else(first_argument)
            .unwrap_or_default(),
    }
}

fn first_argument() -> Option<String> {
    std::env::args().skip(1).find(|argument| !argument.starts_with('-'))
}

fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout == b"0\n")
}

fn succeeds(program: &str, arguments: &[&str]) -> bool {
    let quiet = Command::new(program).args(arguments).stdout(Stdio::null()).stderr(Stdio::null()).status();
    quiet.is_ok_and(|status| status.success())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(|file| file.is_file())
}

/// PHP-FPM under the official image's name or, newest first, Debian's.
pub fn php_fpm() -> Option<PathBuf> {
    on_path("php-fpm").or_else(|| (0..10).rev().find_map(|minor| on_path(&format!("php-fpm8.{minor}"))))
}

/// The autoloader of the real phpdotenv: Debian's, which comes with its Laravel, or what `DOTENV_AUTOLOAD` names.
pub fn phpdotenv() -> PathBuf {
    std::env::var_os("DOTENV_AUTOLOAD").unwrap_or_else(|| "/usr/share/php/Dotenv/autoload.php".into()).into()
}

/// The `init` of this build, or the one that `INIT_BINARY` names (such as the static release build).
pub fn init() -> PathBuf {
    std::env::var_os("INIT_BINARY").unwrap_or_else(|| env!("CARGO_BIN_EXE_init").into()).into()
}

/// A file of the repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Polls until `probe` has an answer, and fails the test, saying `what`, after `within`.
pub fn eventually<T>(what: &str, within: Duration, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(answer) = probe() {
            return answer;
        }
        assert!(Instant::now() < deadline, "not within {within:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
