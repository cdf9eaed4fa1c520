//! A second application, which was not written with init in mind, under the preset "laravel".
//!
//! `PHP_INIT_TESTBED` names a folder with `laravel-app/`: a Laravel application on Debian's framework, with an
//! `.env.example` that has the line `DEMO_GREETING=`, and routes that tell what happened. The check is optional: without the
//! variable it is listed as skipped, also with `CI=true`.

#![allow(clippy::disallowed_methods, clippy::unwrap_used, reason = "tests start real processes")]

#[path = "support/mod.rs"]
mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use support::sandbox::{NEEDS, Sandbox};
use support::{eventually, need, skip};

const PATIENCE: Duration = Duration::from_secs(30);

/// The application's `migrate --isolated` takes no code, and without one init refuses it.
const CONFIG: &str = r#"
preset = "laravel"
[migrate]
command = ["php", "artisan", "migrate", "--no-interaction", "--force"]
"#;

fn application() -> Option<PathBuf> {
    let Some(folder) = std::env::var_os("PHP_INIT_TESTBED").filter(|folder| !folder.is_empty()) else {
        skip("PHP_INIT_TESTBED names no folder with a second application");
        return None;
    };
    if !need(NEEDS) {
        return None;
    }
    let application = Path::new(&folder).join("laravel-app");
    assert!(application.join("artisan").is_file(), "PHP_INIT_TESTBED: no {}", application.display());
    Some(application)
}

/// The rest of the names of events that begin so, in order.
fn events(sandbox: &Sandbox, start: &str) -> Vec<String> {
    let status = sandbox.ready("/api/status").json();
    let names = status["events"].as_array().unwrap().iter().filter_map(|event| event["name"].as_str());
    names.filter_map(|name| name.strip_prefix(start)).map(str::to_owned).collect()
}

/// As [`events`], from the database: also when nothing serves any more.
fn events_kept(database: &Path, start: &str) -> Vec<String> {
    let script = r#"foreach ((new PDO("sqlite:$argv[1]"))->query("select name from events order by id") as $row) {
        echo $row[0], PHP_EOL;
    }"#;
    let output = Command::new("php").args(["-r", script]).arg(database).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().filter_map(|name| name.strip_prefix(start)).map(str::to_owned).collect()
}

#[test]
fn another_application_migrates_serves_works_and_stops() {
    let Some(application) = application() else { return };
    let mut sandbox =
        Sandbox::new(CONFIG).app(&application).env("INIT_ENV_SOURCE", "file:///opt/php/source.env");
    let source = sandbox.volume("php/source.env");
    let example = fs::read_to_string(&source).unwrap();
    let lines = example.lines().map(|line| match line.split_once('=') {
        Some(("DEMO_GREETING", _)) => "DEMO_GREETING=\"told by the test\"\n".to_owned(),
        _ => format!("{line}\n"),
    });
    fs::write(&source, lines.collect::<String>()).unwrap();
    // Laravel 8 does not make the file of a SQLite database.
    let database = sandbox.volume("storage/app/database.sqlite");
    fs::create_dir_all(database.parent().unwrap()).unwrap();
    fs::write(&database, "").unwrap();
    let owned =
        Command::new("chown").args(["-R", "www-data:www-data"]).arg(sandbox.volume("storage")).status();
    assert!(owned.unwrap().success());

    assert_eq!(sandbox.run(&["--migrate"]), 0);
    sandbox.start(&[]);
    let status = sandbox.ready("/api/status").json();
    assert_eq!(status["greeting"], "told by the test");
    assert_eq!(status["cached"], true, "artisan optimize has run");
    assert!(sandbox.ready("/").body.contains("told by the test"), "a page with a session and a view");

    assert_eq!(sandbox.request("POST", "/api/jobs?name=first").unwrap().status, 200);
    eventually("the worker does the job", PATIENCE, || {
        (events(&sandbox, "job first ") == ["start, attempt 1", "end"]).then_some(())
    });

    assert_eq!(sandbox.request("POST", "/api/jobs?name=second&seconds=2").unwrap().status, 200);
    eventually("the worker has a job in hand", PATIENCE, || {
        (events(&sandbox, "job second ") == ["start, attempt 1"]).then_some(())
    });
    sandbox.signal("QUIT");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(events_kept(&database, "job second "), ["start, attempt 1", "end"], "it was finished first");
}
