//! Dockerfiles, compose files and workflows, as the tools that read them judge them.

use super::support::{need, repository};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn run(program: &str, arguments: &[&str], files: &[PathBuf]) -> Output {
    Command::new(program)
        .args(arguments)
        .args(files)
        .current_dir(repository(""))
        .env("NO_COLOR", "1")
        .env_remove("CI")
        .output()
        .unwrap()
}

fn passes(program: &str, arguments: &[&str], files: &[PathBuf]) {
    let output = run(program, arguments, files);
    let said = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

/// The files of that name below a directory.
fn named(directory: &str, wanted: impl Fn(&str) -> bool + Copy) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(repository(directory)).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(named(path.to_str().unwrap(), wanted));
        } else if wanted(&name) {
            found.push(path);
        }
    }
    found
}

#[test]
fn hadolint_finds_nothing_in_the_dockerfiles() {
    if !need(&["hadolint"]) {
        return;
    }
    let files = [
        named("docker", |name| name == "Dockerfile"),
        named("tests/containers", |name| name.ends_with("Dockerfile")),
    ];
    let files = files.concat();
    assert!(files.len() >= 6, "{files:?}");
    passes("hadolint", &["--no-color", "--failure-threshold=style"], &files);
}

#[test]
fn docker_compose_understands_the_compose_file() {
    if !need(&["docker-compose"]) {
        return;
    }
    let output = run("docker-compose", &["--file", "docker/laravel/compose.yaml", "config"], &[]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for expected in
        ["init", "health", "condition: service_healthy", "network_mode: service:app", "read_only: true"]
    {
        assert!(said.contains(expected), "no {expected}: {said}");
    }
}

#[test]
fn the_workflows_are_valid_and_safe() {
    if !need(&["zizmor", "check-jsonschema"]) {
        return;
    }
    let files = named(".github/workflows", |name| name.ends_with(".yml"));
    assert_eq!(files.len(), 2, "{files:?}");
    passes("check-jsonschema", &["--builtin-schema=vendor.github-workflows"], &files);
    passes(
        "check-jsonschema",
        &["--builtin-schema=vendor.dependabot"],
        &[repository(".github/dependabot.yml")],
    );
    passes("zizmor", &["--offline", "--no-progress", "--persona=pedantic", "--quiet"], &files);
}
