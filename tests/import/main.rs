//! `init import`: golden files, what real files become, and the same set-up run by the real supervisord and by init.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test, with real processes"
)]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/harness.rs"]
mod harness;

mod behaviour;
mod cli;
mod golden;

use php_init::config::plan::Plan;
use php_init::config::{Options, load};
use std::ffi::OsString;
use std::io::Write as _;
use std::path::Path;

/// Runs `init import` in this process: code, stdout, stderr.
fn import(arguments: &[&str], env: &dyn Fn(&str) -> Option<String>) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = php_init::cli::import::run(arguments.iter().map(OsString::from), env, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

/// What init makes of the configuration.
fn plan(toml: &str, env: &dyn Fn(&str) -> Option<String>) -> Plan {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(toml.as_bytes()).unwrap();
    let options = Options { config: Some(file.path().to_owned()), ..Options::default() };
    let loaded = load(&options, env).unwrap_or_else(|errors| {
        let lines: Vec<String> = errors.iter().map(ToString::to_string).collect();
        panic!("{}\n{toml}", lines.join("\n"))
    });
    loaded.plan
}

fn here(path: &str) -> String {
    Path::new("tests/import").join(path).to_str().unwrap().to_owned()
}
