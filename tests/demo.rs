//! The demo of the README, in each of its variants: a container's life from `.env` in S3 to a clean stop.
//!
//! Each test waits for the next full minute, to see the schedule run.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real processes")]

#[path = "support/mod.rs"]
mod support;

use std::process::Command;
use support::{init, need, repository};

fn demo(arguments: &[&str]) {
    let output =
        Command::new(repository("docker/demo")).args(arguments).arg("--binary").arg(init()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{complained}", output.status);
    assert!(said.contains("All done"), "{said}");
    // Where Docker goes missing the demo falls back to a namespace: that is not what these tests are for.
    assert!(!said.contains("going on in a PID namespace"), "{said}");
}

const DOCKER: &[&str] = &["root", "docker", "s3", "curl", "jq", "cgi-fcgi", "ip", "nsenter", "mmdebstrap"];

#[test]
fn a_container_as_root() {
    if need(DOCKER) {
        demo(&[]);
    }
}

#[test]
fn a_container_as_another_user() {
    if need(DOCKER) {
        demo(&["--user", "1000:1000"]);
    }
}

#[test]
fn a_container_with_tini_as_pid_1() {
    if need(DOCKER) {
        demo(&["--init"]);
    }
}

#[test]
fn a_container_in_the_pid_namespace_of_another() {
    if need(DOCKER) {
        demo(&["--pid-sidecar"]);
    }
}

#[test]
fn a_pid_namespace_without_docker() {
    if need(&["root", "s3", "php-fpm", "laravel", "curl", "jq", "cgi-fcgi", "ip", "nsenter"]) {
        demo(&["--no-docker"]);
    }
}
