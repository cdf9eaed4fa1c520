//! Helps, versions, usage errors, and the table of exit codes.

use crate::harness::{Place, Setup};
use crate::support::{init, need, repository};
use php_init::exit;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Output, Stdio};

/// Runs init with nothing in its environment.
pub fn bare(arguments: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(init());
    answer(command.args(arguments).env_clear())
}

fn answer(command: &mut Command) -> (i32, String, String) {
    let Output { status, stdout, stderr } = command.stdin(Stdio::null()).output().unwrap();
    (status.code().unwrap(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn every_command_has_a_help_on_stdout() {
    for (arguments, words) in [
        (
            &["--help"][..],
            &["init [OPTIONS] --migrate", "-- CMD", "init check", "init cron", "init health", "--role ROLE"]
                [..],
        ),
        (&["-h"], &["Usage:"]),
        (&["help"], &["Usage:"]),
        (&["--role", "web", "--help"], &["Usage:"]),
        (&["--migrate", "-h"], &["Usage:"]),
        (&["check", "--help"], &["--print-config", "--print-preset NAME", "Exits 0"]),
        (&["check", "-h"], &["--print-config"]),
        (&["cron", "--help"], &["--tz ZONE", "--from TIME"]),
        (&["cron", "-h"], &["--tz ZONE"]),
        (&["doctor", "--help"], &["--json", "--quiet", "docker exec", "Exits 0"]),
        (&["help", "signals"], &["TERM INT QUIT WINCH PWR", "USR1"]),
        (&["help", "exit-codes"], &["124", "configuration invalid", "no running init answers"]),
        (&["help", "health"], &["HEALTHCHECK"]),
        (&["help", "--help"], &["Usage:"]),
    ] {
        let (code, out, err) = bare(arguments);
        assert_eq!((code, err.as_str()), (0, ""), "{arguments:?}");
        for word in words {
            assert!(out.contains(word), "{arguments:?}: {word:?} is not in\n{out}");
        }
        assert!(out.ends_with('\n') && !out.ends_with("\n\n"), "{arguments:?}");
        // For a terminal of 80 columns, but for the table of exit codes, whose sentences are the README's.
        if arguments.last() != Some(&"exit-codes") {
            let widest = out.lines().max_by_key(|line| line.chars().count()).unwrap();
            assert!(widest.chars().count() <= 120, "{arguments:?}: {widest}");
        }
    }
}

#[test]
fn the_version_is_the_crates() {
    for arguments in [["--version"], ["-V"], ["version"]] {
        let expected = format!("init {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(bare(&arguments), (0, expected, String::new()));
    }
}

#[test]
fn a_wrong_command_line_is_64_and_says_what_to_do() {
    for (arguments, words) in [
        (&["--no-such-option"][..], &["--no-such-option", "Try 'init --help'"][..]),
        (&["--role"], &["--role"]),
        (&["--config"], &["--config"]),
        (&["-x"], &["-x"]),
        (&["--migrate=yes"], &["--migrate"]),
        (&["php", "artisan"], &["no such command", "init -- php"]),
        (&["supervise"], &["no such command"]),
        (&["--role", "web", "health"], &["comes first", "init health"]),
        (&["stauts"], &["did you mean \"status\"?"]),
        (&["completions", "tcsh"], &["bash, zsh, fish", "init completions --help"]),
        (&["--"], &["empty command", "after --"]),
        (&["--migrate", "--", "true"], &["not both"]),
        (&["--no-boot"], &["init --no-boot -- CMD"]),
        (&["help", "me"], &["no help on \"me\"", "exit-codes"]),
        (&["check", "--no-such-option"], &["--no-such-option", "see init check --help"]),
        (&["check", "a.toml", "b.toml"], &["b.toml"]),
        (&["check", "--print-preset"], &["--print-preset"]),
        (
            &["check", "--print-preset", "symfony"],
            &["there is no preset \"symfony\"", "laravel, wordpress, php"],
        ),
        (&["doctor", "now"], &["now", "see init doctor --help"]),
        (&["cron"], &["expression is missing", "init cron --help"]),
        (&["cron", "* * * *"], &["* * * *"]),
        (&["cron", "61 * * * *"], &["61", "^^"]),
        (&["cron", "*", "*", "*", "*", "*"], &["quotes"]),
        (&["cron", "* * * * *", "--tz", "Mars/Olympus"], &["Mars/Olympus"]),
        (&["cron", "* * * * *", "-n", "x"], &["x"]),
        (&["cron", "* * * * *", "--from", "soon"], &["RFC 3339"]),
    ] {
        let (code, out, err) = bare(arguments);
        assert_eq!((code, out.as_str()), (64, ""), "{arguments:?}: {err}");
        assert!(err.starts_with("init"), "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: {word:?} is not in\n{err}");
        }
    }
}

#[test]
fn words_that_are_not_utf8_are_an_error_and_no_panic() {
    let odd = OsStr::from_bytes(b"\xff\xfe");
    let words = |before: &[&str]| -> Vec<OsString> {
        before.iter().map(OsString::from).chain([odd.to_owned()]).collect()
    };
    for before in [&[][..], &["--role"], &["--preset"], &["check", "--role"], &["cron"], &["help"]] {
        let (code, _, err) = answer(Command::new(init()).args(words(before)).env_clear());
        // `help` with a word that cannot be a topic shows the main page.
        assert!(code == 64 || before == ["help"], "{before:?}: {code} {err}");
        assert!(!err.contains("panic"), "{err}");
    }
    for before in [&["check", "--config"][..], &["check"]] {
        let (code, _, err) = answer(Command::new(init()).args(words(before)).env_clear());
        assert_eq!(code, 78, "a path may be anything: {err}");
    }
}

#[test]
fn what_follows_the_dashes_is_another_programs() {
    for (arguments, code) in [
        (&["--preset", "none", "--", "--help"][..], 127),
        (&["--preset=none", "--", "sh", "-c", "exit 9", "--version"], 9),
        (&["--preset=none", "--", "check"], 127),
    ] {
        let (found, out, err) = bare(arguments);
        assert_eq!((found, out.as_str()), (code, ""), "{arguments:?}: {err}");
    }
}

#[test]
fn an_output_that_nobody_takes_is_no_panic() {
    if !need(&["bash"]) {
        return;
    }
    for arguments in [
        "--help",
        "--version",
        "help exit-codes",
        "check --no-host --preset php",
        "check --print-schema",
        "cron '* * * * *' -n 100000",
    ] {
        for redirect in [">/dev/full", ">&-", ">&- 2>&-", "| head -c 1"] {
            let script = format!("'{}' {arguments} {redirect}; exit ${{PIPESTATUS[0]}}", init().display());
            let (code, _, err) = answer(Command::new("bash").args(["-c", &script]));
            assert!(matches!(code, 0 | 71), "{arguments} {redirect}: {code} {err}");
            assert!(!err.contains("panic"), "{arguments} {redirect}: {err}");
        }
    }
}

#[test]
fn the_codes_of_help_and_readme_are_those_of_the_table() {
    let (_, out, _) = bare(&["help", "exit-codes"]);
    let shown: Vec<(String, String)> = out
        .lines()
        .map(|line| line.trim().split_once("  ").unwrap())
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    let table: Vec<(String, String)> =
        exit::TABLE.iter().map(|(code, meaning)| ((*code).to_owned(), (*meaning).to_owned())).collect();
    assert_eq!(shown, table);
    let readme = std::fs::read_to_string(repository("README.md")).unwrap();
    let section = readme.split("\n## Exit codes\n").nth(1).expect("README has a section \"Exit codes\"");
    let section = section.split("\n## ").next().unwrap();
    let rows: Vec<(String, String)> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | "))
        .filter(|(code, _)| *code != "code")
        .map(|(code, meaning)| (code.to_owned(), meaning.to_owned()))
        .collect();
    assert_eq!(rows, table);
}

#[test]
fn every_code_of_the_table_is_one_that_a_container_can_end_with() {
    // A name for each, so that nobody adds one to the code and forgets the table.
    let named = [
        exit::OK,
        exit::NOT_RUNNING,
        exit::USAGE,
        exit::DATA,
        exit::NO_INPUT,
        exit::UNAVAILABLE,
        exit::SOFTWARE,
        exit::OS,
        exit::CANT_CREATE,
        exit::LOCKED,
        exit::UNVERIFIED,
        exit::CONFIG,
        exit::TIMEOUT,
        exit::NOT_EXECUTABLE,
        exit::NOT_FOUND,
    ];
    let rows: Vec<u8> = exit::TABLE.iter().filter_map(|(code, _)| code.parse().ok()).collect();
    assert_eq!(rows, named);
}

#[test]
fn the_hidden_fetch_is_no_command_for_people() {
    let (code, out, err) = bare(&["fetch"]);
    assert_eq!((code, err.as_str()), (70, ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert!(report["message"].as_str().unwrap().contains("empty"), "{report}");
    assert!(report["hints"][0].as_str().unwrap().contains("started by init itself"), "{report}");
    assert!(!bare(&["--help"]).1.contains("init fetch"));
}

#[test]
fn a_configuration_that_cannot_be_is_78_in_every_mode() {
    let setup = Setup::new(Place::Child, "color = 1\n[service.a]\ncomand = [\"touch\", \"DIR/started\"]\n");
    for arguments in [&[][..], &["--migrate"], &["--", "touch", "started"], &["check"]] {
        let done = setup.run(arguments).expect(78).says(&[
            "init.toml:3:1: unknown key \"color\"",
            "init.toml:5:1: unknown key \"comand\" in [service.a]: did you mean \"command\"?",
        ]);
        assert_eq!(done.stdout, "");
        assert!(!setup.path("started").exists());
    }
    for (name, value, words) in [
        ("INIT_CONFIG", "/no/such/file.toml", "cannot read /no/such/file.toml"),
        ("INIT_ROLE", "no-such-role", "no-such-role"),
    ] {
        let setup = Setup::new(Place::Child, "[service.a]\ncommand = [\"true\"]\nroles = [\"web\"]\n")
            .env(name, value);
        for arguments in [&[][..], &["check"]] {
            setup.run(arguments).expect(78).says(&[words]);
        }
    }
}

#[test]
fn a_container_with_nothing_to_do_says_so() {
    let done = Setup::new(Place::Child, "").run::<&str>(&[]).expect(78);
    assert!(done.stderr.contains("cannot supervise: the configuration has no service"), "{done:?}");
}
