//! The sample application does what the other tests take for granted of it, without init.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real processes")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use support::{need, repository};
use tempfile::TempDir;

/// The application with volumes of its own.
struct Application {
    volumes: TempDir,
}

impl Application {
    fn new() -> Self {
        let volumes = TempDir::new().unwrap();
        for directory in
            ["app", "framework/cache/data", "framework/sessions", "framework/views", "logs", "cache"]
        {
            fs::create_dir_all(volumes.path().join(directory)).unwrap();
        }
        fs::copy(repository("docker/app/.env.example"), volumes.path().join(".env")).unwrap();
        Self { volumes }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.volumes.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("php");
        command.arg(repository("docker/app/artisan")).args(arguments);
        command.env("APP_ENV_PATH", self.volumes.path()).env("LARAVEL_STORAGE_PATH", self.volumes.path());
        for (name, file) in [
            ("CONFIG", "config"),
            ("ROUTES", "routes"),
            ("EVENTS", "events"),
            ("SERVICES", "services"),
            ("PACKAGES", "packages"),
        ] {
            command.env(format!("APP_{name}_CACHE"), self.file(&format!("cache/{file}.php")));
        }
        command
    }

    fn artisan(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    fn optimize(&self, how: &str) -> (i32, String, bool) {
        let output = self.command(&["optimize"]).env("DEMO_OPTIMIZE", how).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap(), said, self.file("cache/config.php").exists())
    }
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

#[test]
fn optimize_works_or_fails_in_each_of_laravels_ways() {
    if !need(&["laravel"]) {
        return;
    }
    let (code, said, cached) = Application::new().optimize("");
    assert!(code == 0 && cached && !said.contains("FAIL"), "{code} {said}");
    let (code, said, cached) = Application::new().optimize("fail");
    assert!(code == 0 && !cached && said.contains("FAIL"), "{code} {said}");
    let (code, said, cached) = Application::new().optimize("nothing");
    assert!(code == 0 && !cached && said.contains("successfully"), "{code} {said}");
    let (code, said, cached) = Application::new().optimize("throw");
    assert!(code == 1 && !cached, "{code} {said}");
}

#[test]
fn an_isolated_migration_gives_the_code_asked_for_while_another_holds_the_lock() {
    if !need(&["laravel"]) {
        return;
    }
    let application = Application::new();
    assert_eq!(code(&application.artisan(&["migrate", "--force"])), 0);
    let mut holder =
        application.command(&["demo:hold-lock", "--seconds=60"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert_eq!(said, "locked\n");

    let isolated = ["migrate", "--force", "--isolated=75"];
    assert_eq!(code(&application.artisan(&isolated)), 75);
    assert_eq!(code(&application.artisan(&["migrate", "--force", "--isolated"])), 0);
    assert_eq!(code(&application.artisan(&["migrate", "--force"])), 0);
    holder.kill().unwrap();
    holder.wait().unwrap();
    // Killed, so it never gave the lock back.
    assert_eq!(code(&application.artisan(&isolated)), 75);
}

#[test]
fn an_isolated_migration_of_an_empty_database_fails_when_the_lock_is_kept_there() {
    if !need(&["laravel"]) {
        return;
    }
    let application = Application::new();
    let migrate = |arguments: &[&str]| {
        let output = application.command(arguments).env("CACHE_DRIVER", "database").output().unwrap();
        (
            code(&output),
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr),
        )
    };
    let (code, said) = migrate(&["migrate", "--force", "--isolated=75"]);
    assert!(code == 1 && said.contains("cache_locks"), "{code} {said}");
    assert_eq!(migrate(&["migrate", "--force"]).0, 0);
    assert_eq!(migrate(&["migrate", "--force", "--isolated=75"]).0, 0);
}

#[test]
fn a_queue_worker_ends_as_laravels_does() {
    if !need(&["laravel"]) {
        return;
    }
    let application = Application::new();
    assert_eq!(code(&application.artisan(&["migrate", "--force"])), 0);
    for end in ["ok", "exit"] {
        assert_eq!(code(&application.artisan(&["demo:dispatch", "job", "--end", end])), 0);
    }
    assert_eq!(code(&application.artisan(&["queue:work", "--once"])), 0);
    assert_eq!(code(&application.artisan(&["queue:work", "--once"])), 3, "a job that calls exit");
    assert_eq!(code(&application.artisan(&["queue:work", "--memory=1"])), 12, "the memory limit");

    assert_eq!(code(&application.artisan(&["demo:dispatch", "job", "--seconds=60"])), 0);
    let timed_out = application.artisan(&["queue:work", "--stop-when-empty", "--timeout=1"]);
    assert_eq!(timed_out.status.code(), None, "a job timeout is a KILL by the worker itself");
}
