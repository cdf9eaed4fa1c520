//! The configuration as its users meet it: files in `bad/` and what is said about them, presets, layers, printing.
//!
//! `bad/NAME.toml` is loaded, and what is said must be `bad/NAME.err`. Leading comments set the scene:
//! `# env: A=b`, `# role: web`. `PHP_INIT_BLESS=1` writes the `.err` files anew.
#![allow(clippy::disallowed_methods, reason = "tests make and read files of their own")]
#![allow(clippy::panic, clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod canary;
mod fuzz;
mod layers;
mod print;
mod support;

use php_init::config::resolve;
use std::collections::BTreeMap;
use std::path::Path;
use support::{layers_of, show};

#[test]
fn what_is_wrong_is_told_with_its_place() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/bad");
    let mut names: Vec<_> = std::fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    names.sort();
    assert!(names.len() >= 10);
    let mut wrong = Vec::new();
    for path in names {
        let text = std::fs::read_to_string(&path).unwrap();
        let said = said_about(&text);
        let golden = path.with_extension("err");
        if std::env::var_os("PHP_INIT_BLESS").is_some() {
            std::fs::write(&golden, &said).unwrap();
        }
        if std::fs::read_to_string(&golden).unwrap_or_default() != said {
            wrong.push(format!("== {}\n{said}", path.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn said_about(text: &str) -> String {
    let mut env = BTreeMap::new();
    let mut role = None;
    for line in text.lines() {
        if let Some((name, value)) = line.strip_prefix("# env: ").and_then(|pair| pair.split_once('=')) {
            env.insert(name.to_owned(), value.to_owned());
        }
        role = line.strip_prefix("# role: ").or(role);
    }
    let lookup = |name: &str| env.get(name).cloned();
    match layers_of(text, &lookup) {
        Err(errors) => show(&errors),
        Ok(layers) => match resolve(&layers, &lookup, role) {
            Err(errors) => show(&errors),
            Ok(_) => panic!("nothing is wrong with:\n{text}"),
        },
    }
}
