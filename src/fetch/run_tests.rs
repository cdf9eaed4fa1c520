use super::*;
use crate::exit;
use crate::fetch::job::Format;
use std::path::Path;

fn job(dir: &Path, source: &str) -> Job {
    Job {
        source: source.to_owned(),
        path: dir.join("placed"),
        directory: None,
        format: Format::Raw,
        mode: 0o440,
        uid: None,
        gid: None,
        required: true,
        timeout_ms: 1000,
        max_size: 100,
        require_keys: Vec::new(),
        staged_source: None,
        certificate: None,
        env_keys: Vec::new(),
        planned_keys: Vec::new(),
        decrypt: None,
        endpoint: None,
        region: None,
        path_style: None,
        known: None,
        vars: Default::default(),
    }
}

#[test]
fn a_file_is_placed_and_told() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("from"), b"content").unwrap();
    let job = job(dir.path(), dir.path().join("from").to_str().unwrap());
    let report = run(&job);
    assert_eq!(
        (report.outcome, report.code, report.changed, report.size),
        (Outcome::Placed, 0, true, Some(7))
    );
    assert_eq!(std::fs::read(&job.path).unwrap(), b"content");
    assert!(!run(&job).changed);
}

#[test]
fn nothing_is_placed_in_another_directory_than_the_job_names() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(other.path().join("from"), b"content").unwrap();
    let mut job = job(dir.path(), other.path().join("from").to_str().unwrap());
    job.directory = Some(crate::files::Dir::open(other.path()).unwrap().id().unwrap());
    let report = run(&job);
    assert_eq!((report.outcome, report.code), (Outcome::Failed, exit::CANT_CREATE), "{}", report.message);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    job.directory = Some(crate::files::Dir::open(dir.path()).unwrap().id().unwrap());
    assert_eq!(run(&job).outcome, Outcome::Placed);
}

#[test]
fn what_the_application_has_already_is_checked_and_not_placed() {
    let dir = tempfile::tempdir().unwrap();
    let (from, known) = (dir.path().join("from"), dir.path().join("known"));
    std::fs::write(&from, b"A=1\n").unwrap();
    let mut job = job(dir.path(), from.to_str().unwrap());
    job.format = Format::Dotenv;
    job.known = Some(super::super::job::Known { path: known.clone(), etag: None });
    assert_eq!(run(&job).outcome, Outcome::Placed, "there is none yet");
    std::fs::remove_file(&job.path).unwrap();
    std::fs::write(&known, b"A=1\n").unwrap();
    let report = run(&job);
    assert_eq!((report.outcome, report.code, report.changed), (Outcome::Unchanged, exit::OK, false));
    assert!(!job.path.exists());
    job.require_keys = vec!["B".into()];
    assert_eq!(run(&job).outcome, Outcome::Failed);
    job.require_keys.clear();
    std::fs::write(&from, b"A=2\n").unwrap();
    let report = run(&job);
    assert_eq!((report.outcome, report.changed), (Outcome::Placed, true));
    assert_eq!(std::fs::read(&known).unwrap(), b"A=1\n", "which is the caller's to replace");
}

#[test]
fn a_missing_source_is_fatal_unless_optional() {
    let dir = tempfile::tempdir().unwrap();
    let mut job = job(dir.path(), "/nonexistent/x");
    let report = run(&job);
    assert_eq!((report.outcome, report.code), (Outcome::Failed, exit::NO_INPUT));
    job.required = false;
    let report = run(&job);
    assert_eq!((report.outcome, report.code), (Outcome::Absent, exit::OK));
    assert!(report.message.contains("No such file") && report.warnings.is_empty(), "{report:?}");
    std::fs::write(&job.path, b"old").unwrap();
    let report = run(&job);
    assert!(report.warnings[0].contains("stays in its place"), "{report:?}");
    assert_eq!(std::fs::read(&job.path).unwrap(), b"old");
}

#[test]
fn a_bad_source_is_a_bad_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let report = run(&job(dir.path(), "https://example.com/.env"));
    assert_eq!((report.outcome, report.code, report.attempts), (Outcome::Failed, exit::CONFIG, 0));
}
