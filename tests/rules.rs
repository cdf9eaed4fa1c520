//! The layer rule of `src/lib.rs`, kept by reading the sources.
//!
//! Plain text is enough: a crate or module that is used is named somewhere. Comments are left out first.

#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![allow(clippy::unwrap_used, reason = "a test may")]

use std::fs;
use std::path::{Path, PathBuf};

/// Every source file below `src`, with its text free of comments and of test modules.
fn sources() -> Vec<(PathBuf, String)> {
    fn walk(dir: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|ext| ext == "rs") {
                found.push(path);
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths
        .into_iter()
        .filter(|path| !is_test(path))
        .map(|path| {
            let text = product_code(&fs::read_to_string(&path).unwrap());
            (path.strip_prefix(&root).unwrap().to_owned(), text)
        })
        .collect()
}

fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .is_some_and(|stem| stem == "tests" || stem.ends_with("_tests"))
}

/// The text up to the test module, without comments.
fn product_code(text: &str) -> String {
    let product = text.split("\n#[cfg(test)]\nmod ").next().unwrap_or_default();
    product.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n")
}

fn names_crate(text: &str, name: &str) -> bool {
    let uses = |before: &str| {
        text.match_indices(&format!("{before}{name}")).any(|(at, found)| {
            let after = text[at + found.len()..].chars().next();
            let ahead = text[..at].chars().next_back();
            !after.is_some_and(|char| char.is_alphanumeric() || char == '_')
                && (!before.is_empty()
                    || !ahead.is_some_and(|char| char.is_alphanumeric() || "_:.\"".contains(char)))
        })
    };
    uses("use ")
        || text.match_indices(&format!("{name}::")).any(|(at, _)| {
            !text[..at]
                .chars()
                .next_back()
                .is_some_and(|char| char.is_alphanumeric() || "_:\"".contains(char))
        })
}

#[test]
fn crates_are_reached_from_their_own_rooms_alone() {
    let allowed: &[(&str, &[&str])] = &[
        ("tokio", &["runtime", "probe", "control", "fetch", "cli/fetch.rs"]),
        ("nix", &["files", "sys"]),
        ("libc", &["files", "sys"]),
        ("aws_config", &["fetch"]),
        ("aws_sdk_s3", &["fetch"]),
        ("aws_smithy_http_client", &["fetch"]),
        ("aws_credential_types", &["fetch"]),
        ("signal_hook", &["runtime", "sys"]),
        ("signal_hook_tokio", &["runtime"]),
        ("cron", &["schedule"]),
        ("jiff", &["schedule", "runtime", "cli", "logs"]),
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        for (name, rooms) in allowed {
            if *name == "cron"
                && !text.contains("use ::cron")
                && !text.contains("cron::Schedule")
                && !text.contains("use cron::")
            {
                continue;
            }
            if names_crate(&text, name) && !rooms.iter().any(|room| path.starts_with(room)) {
                broken.push(format!("{} names {name}: allowed in {rooms:?} alone", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn pure_modules_have_no_clock_no_io_and_no_dice() {
    let impure = [
        "std::fs",
        "std::net",
        "std::process",
        "std::thread",
        "std::env",
        "std::os::fd",
        "Instant::now",
        "SystemTime",
        "File::open",
        "thread_rng",
        "rand::",
        "Timestamp::now",
        "Zoned::now",
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let pure = ["supervisor", "schedule", "doctor", "dotenv", "logs", "import"]
            .iter()
            .any(|room| path.starts_with(room));
        for word in impure.iter().filter(|word| pure && text.contains(**word)) {
            broken.push(format!("{} names {word}, but it is pure", path.display()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn imports_go_down_only() {
    let below: &[(&str, &[&str])] = &[
        ("supervisor", &["config", "exit"]),
        ("schedule", &["config", "exit"]),
        ("doctor", &["config", "dotenv"]),
        ("dotenv", &[]),
        ("import", &["config", "schedule"]),
        ("logs", &["config"]),
        ("sys", &["config", "exit"]),
        ("files", &["sys"]),
        ("probe", &["config", "files", "sys"]),
        ("control", &["config", "exit", "files", "logs", "supervisor", "sys"]),
        ("fetch", &["config", "exit", "dotenv", "files", "sys"]),
        ("config", &["exit", "schedule", "fetch", "files", "sys"]),
        (
            "runtime",
            &[
                "config",
                "control",
                "doctor",
                "exit",
                "fetch",
                "files",
                "logs",
                "probe",
                "schedule",
                "supervisor",
                "sys",
            ],
        ),
    ];
    let mut broken = Vec::new();
    for (path, text) in sources() {
        let Some((room, may)) = below.iter().find(|(room, _)| path.starts_with(room)) else { continue };
        for (at, _) in text.match_indices("crate::") {
            let rest = &text[at + "crate::".len()..];
            let module: String =
                rest.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            let modules = if module.is_empty() {
                rest.trim_start_matches('{')
                    .split(['}', ';'])
                    .next()
                    .unwrap_or_default()
                    .split(',')
                    .map(|part| part.trim().split("::").next().unwrap_or_default().to_owned())
                    .collect()
            } else {
                vec![module]
            };
            for module in modules {
                let known = below.iter().any(|(name, _)| *name == module) || module == "cli";
                if known && module != *room && !may.contains(&module.as_str()) {
                    broken.push(format!("{} imports {module}: {room} may import {may:?}", path.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn unsafe_code_lives_in_sys_alone_and_gives_its_reason() {
    for (path, text) in sources() {
        if !path.starts_with("sys") {
            assert!(!text.contains("unsafe {") && !text.contains("unsafe fn"), "{}", path.display());
        }
    }
}

#[test]
fn top_level_folders_are_the_agreed_ones() {
    let ignored = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(".gitignore")).unwrap();
    let ignored: Vec<&str> = ignored.lines().map(|line| line.trim_matches('/')).collect();
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().is_dir() && !name.starts_with('.') && !ignored.contains(&name.as_str()) {
            assert!(["src", "config", "docker", "tests", "benches"].contains(&name.as_str()), "{name}");
        }
    }
}

/// README's table of faults and SECURITY.md name tests as `crate::test`.
#[test]
fn every_test_that_is_named_as_proof_exists() {
    fn text_below(dir: &Path) -> String {
        let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
        entries
            .map(
                |path| {
                    if path.is_dir() {
                        text_below(&path)
                    } else {
                        fs::read_to_string(path).unwrap_or_default()
                    }
                },
            )
            .collect()
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let table = readme.split("<!-- faults -->").nth(1).unwrap().split("<!-- /faults -->").next().unwrap();
    let security = fs::read_to_string(root.join("SECURITY.md")).unwrap();
    let mut named = 0;
    for (tests, test) in [table, &security]
        .into_iter()
        .flat_map(|text| text.split('`'))
        .filter_map(|word| word.split_once("::"))
    {
        assert!(
            text_below(&root.join("tests").join(tests)).contains(&format!("fn {test}() {{")),
            "{tests}::{test}"
        );
        named += 1;
    }
    assert!(named > 50, "{named}");
}
