//! `init check` in one process: what it says of files, and its codes.

use super::check::run;
use crate::config::load::PRESETS;
use std::ffi::OsString;

/// The file alone: what the machine of the tests has is another matter.
fn check(args: &[&str], env: &[(&str, &str)]) -> (u8, String, String) {
    check_here(&[&["--no-host"], args].concat(), env)
}

fn check_here(args: &[&str], env: &[(&str, &str)]) -> (u8, String, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    let code = run(args.iter().map(OsString::from), &env, &mut out, &mut err);
    (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (dir, path)
}

#[test]
fn a_valid_file_is_summed_up() {
    let (_dir, path) = file(
        "preset = 'laravel'\nwork-dir = '/app'\nenv = { API_TOKEN = 'hunter2' }\n[service.a]\ncommand = ['x', '--password=hunter2', '--token=${T:-}']\nafter = ['queue']",
    );
    let (code, out, err) = check(
        &["--config", &path],
        &[("CONFIG_BUCKET", "bucket"), ("QUEUE_WORKERS", "3"), ("APP_ENV", "staging")],
    );
    assert_eq!((code, err.as_str()), (0, ""));
    for wanted in [
        "(preset laravel, role all)",
        "s3://${CONFIG_BUCKET}/${APP_ENV}/.env → /opt/php/.env",
        "API_TOKEN=***",
        "queue ×3",
        "essential, ready on fastcgi 127.0.0.1:9000, stops on QUIT",
        "schedule  * * * * * (UTC)",
        "optimize",
    ] {
        assert!(out.contains(wanted), "{wanted} in\n{out}");
    }
    assert!(!out.contains("hunter2"));
    let at = |text: &str| out.find(text).unwrap();
    assert!(at("  php-fpm") < at("queue ×3") || at("service    php-fpm") < at("service    queue"));
    assert!(at("service    queue") < at("service    a"));
}

#[test]
fn an_invalid_file_is_78_with_all_its_problems() {
    let (_dir, path) = file("preset = 'php'\ncolor = 1\n[service.x]\ncomand = ['x']\n");
    let (code, out, err) = check(&["--config", &path], &[]);
    assert_eq!((code, out.as_str()), (78, ""));
    assert!(err.contains(":2:1: unknown key \"color\" at the top level"), "{err}");
    assert!(err.contains(":4:1: unknown key \"comand\" in [service.x]: did you mean \"command\"?"), "{err}");
    assert!(err.contains("2 problems"), "{err}");
}

#[test]
fn a_file_that_is_named_must_exist() {
    let (code, _, err) = check(&["--config", "/nonexistent/init.toml"], &[]);
    assert_eq!(code, 78);
    assert!(err.contains("cannot read /nonexistent/init.toml: No such file"), "{err}");
    let (code, _, err) = check(&[], &[("INIT_CONFIG", "/nonexistent/b.toml")]);
    assert_eq!(code, 78);
    assert!(err.contains("/nonexistent/b.toml"), "{err}");
    assert!(!err.contains("os error"), "{err}");
    // What `docker run -v /typing/error.toml:/etc/init.toml` makes.
    let (code, _, err) = check(&["--config", "/tmp"], &[]);
    assert!(code == 78 && err.contains("Docker makes one where the file to mount is not"), "{err}");
}

#[test]
fn the_command_line_is_checked() {
    for args in
        [&["--colour"][..], &["x", "y"], &["--config", "x", "y"], &["--config"], &["--print-preset", "yii"]]
    {
        let (code, out, err) = check(args, &[]);
        assert_eq!((code, out.as_str()), (64, ""), "{args:?}");
        assert!(err.starts_with("init check: "), "{err}");
    }
    assert_eq!(check(&["--help"], &[]).0, 0);
}

#[test]
fn a_file_needs_no_option() {
    let (_dir, path) = file("preset = 'none'\n[service.x]\ncommand = ['no-such-program']\n");
    let (code, out, err) = check(&[&path], &[]);
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.starts_with(&format!("{path} is valid")), "{out}");
    assert_eq!(check(&[&path, "--print-config"], &[]).0, 0);
}

#[test]
fn presets_and_schema_are_printed() {
    for (name, text) in PRESETS {
        assert_eq!(check(&["--print-preset", name], &[]), (0, (*text).to_owned(), String::new()));
    }
    assert!(check(&["--print-schema"], &[]).1.contains("\"$schema\""));
}

#[test]
fn print_config_shows_no_secret_and_loads_again() {
    let (_dir, path) = file(
        "preset = 'none'\nenv = { A = '${DB_PASSWORD}', B = 'x${API}' }\n[service.a]\ncommand = ['x', '--p=${DB_PASSWORD}']\n",
    );
    let env = [("DB_PASSWORD", "hunter2"), ("API", "s3cr3t")];
    let (code, out, _) = check(&["--config", &path, "--print-config"], &env);
    assert_eq!(code, 0);
    assert!(!out.contains("hunter2") && !out.contains("s3cr3t"), "{out}");
    let (_dir, again) = file(&out);
    let (code, second, err) = check(&["--config", &again, "--print-config"], &env);
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(second.lines().skip(1).collect::<Vec<_>>(), out.lines().skip(1).collect::<Vec<_>>());
}

#[test]
fn an_unknown_role_lists_the_known_ones() {
    let (_dir, path) = file("preset = 'laravel'");
    for (args, env) in [
        (vec!["--config", &path, "--role", "wrk"], vec![]),
        (vec!["--config", &path], vec![("INIT_ROLE", "wrk")]),
    ] {
        let (code, _, err) = check(&args, &env);
        assert_eq!(code, 78);
        assert!(
            err.contains(
                "has the role \"wrk\": did you mean \"worker\"? the roles are scheduler, web, worker"
            ) || err.contains("has the role \"wrk\": the roles are scheduler, web, worker"),
            "{err}"
        );
    }
}

#[test]
fn crontab_files_are_checked_too() {
    let (dir, crontab) = file("* * * * * true\n5/15 * * * * true\n");
    let (_config, path) = file(&format!("preset = 'none'\ncrontabs = ['{crontab}', '/nowhere']\n"));
    let (code, _, err) = check_here(&["--config", &path], &[]);
    assert_eq!(code, 78);
    assert!(err.contains(":2:1: minute \"5/15\" steps"), "{err}");
    assert!(err.contains("cannot read crontab /nowhere: no such file or directory"), "{err}");
    assert!(err.contains("2 problems"), "{err}");
    drop(dir);
    // One that is fetched is not there yet.
    let (_config, path) = file(
        "preset = 'none'\ncrontabs = ['/nowhere']\n[[file]]\nname = 'c'\nsource = '/elsewhere'\npath = '/nowhere'\n",
    );
    assert_eq!(check_here(&["--config", &path], &[]).0, 0);
}
