//! No value of a variable is ever shown: every key of the schema is given one, valid and invalid, and all that
//! `init check` says of it is searched.
//!
//! The keys are those of `config/schema.json`, so that a new one is covered. A new table has to be added to [`BASES`].

use crate::support::{layers_of, plan_for, show};
use php_init::config::plan::Plan;
use php_init::config::{print, resolve};
use serde_json::Value;
use std::collections::BTreeSet;
use std::ffi::OsString;

/// Tables of the schema, each with configurations that a key of it can be added to.
const BASES: &[(&str, &[&str])] = &[
    ("", &["[service.z]\ncommand = ['true']\n"]),
    ("Log", &["[log]\n"]),
    ("Control", &["[control]\n"]),
    ("Health", &["[health]\n", "[health]\nexpose = true\n"]),
    ("Ecs", &["[ecs]\n"]),
    (
        "File",
        &[
            "[[file]]\nsource = '/a'\npath = '/b'\n",
            "[[file]]\nsource = '/a'\npath = 'b'\nformat = 'dotenv'\n",
        ],
    ),
    (
        "Decrypt",
        &[
            "[[file]]\nsource = '/a'\npath = '/b'\n[file.decrypt]\nformat = 'laravel'\n",
            "[[file]]\nsource = '/a'\npath = '/b'\n[file.decrypt]\nformat = 'openssl'\ncipher = 'des3'\nkey-env = 'K'\n",
            "[[file]]\nsource = '/a'\npath = '/b'\n[file.decrypt]\nformat = 'openssl'\ncipher = 'des3'\n",
        ],
    ),
    ("Boot", &["[[boot]]\nname = 'a'\ncommand = ['b']\n"]),
    ("Reload", &["[reload]\n"]),
    ("Migrate", &["[migrate]\ncommand = ['a']\n"]),
    ("Service", &["[service.a]\ncommand = ['b']\n"]),
    ("Backoff", &["[service.a]\ncommand = ['b']\n[service.a.backoff]\n"]),
    ("GiveUp", &["[service.a]\ncommand = ['b']\n[service.a.give-up]\n"]),
    (
        "Ready",
        &[
            "[service.a]\ncommand = ['b']\n[service.a.ready]\nfastcgi = 'a:1'\n",
            "[service.a]\ncommand = ['b']\n[service.a.ready]\nhttp = 'http://127.0.0.1/'\n",
            "[service.a]\ncommand = ['b']\n[service.a.ready]\n",
        ],
    ),
    (
        "Live",
        &[
            "[service.a]\ncommand = ['b']\n[service.a.live]\nfastcgi = 'a:1'\n",
            "[service.a]\ncommand = ['b']\n[service.a.live]\nhttp = 'http://127.0.0.1/'\n",
            "[service.a]\ncommand = ['b']\n[service.a.live]\n",
        ],
    ),
    (
        "WarmUp",
        &["[service.a]\ncommand = ['b']\nready = { fastcgi = 'a:1' }\n[service.a.warm-up]\npaths = ['c']\n"],
    ),
    ("Fpm", &["[service.a]\ncommand = ['b']\n[service.a.fpm]\n"]),
    ("Cron", &["[cron.a]\nschedule = '* * * * *'\ncommand = ['b']\n"]),
];

/// What the variable holds: nothing that any key takes, and what some keys take.
const VALUES: &[&str] = &[
    "canary7",
    "/canary7/x",
    "canary7:99",
    "127.0.0.1:canary7",
    "http://127.0.0.1:99/canary7",
    "http://canary7.example/",
    "s3://canary7/k",
    "Canary7/Zone",
    "*/5 * * * canary7",
];

/// How the variable stands in a value.
const FORMS: &[&str] = &[
    "\"${CANARY}\"",
    "\"/a/${CANARY}\"",
    "[\"${CANARY}\"]",
    "[\"true\", \"x=${CANARY}\"]",
    "{ X = \"${CANARY}\" }",
];

/// `init check` with these arguments; the code, and all that was printed.
fn check(arguments: &[&str], value: &str) -> (u8, String) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let env = |name: &str| (name == "CANARY").then(|| value.to_owned());
    let code = php_init::cli::check::run(arguments.iter().map(OsString::from), &env, &mut out, &mut err);
    (code, String::from_utf8([out, err].concat()).unwrap())
}

fn keys(schema: &Value, table: &str) -> Vec<String> {
    let table = if table.is_empty() { schema } else { &schema["$defs"][table] };
    table["properties"].as_object().unwrap().keys().cloned().collect()
}

/// The configuration with `key = value` in its last table, instead of what it says there of this key.
fn with(base: &str, key: &str, value: &str) -> String {
    let own = format!("{key} = ");
    let lines: String =
        base.lines().filter(|line| !line.starts_with(&own)).map(|line| format!("{line}\n")).collect();
    if base.starts_with("[service.z]") {
        return format!("preset = 'none'\n{key} = {value}\n{lines}")
            .replace("preset = 'none'\npreset", "preset");
    }
    format!("preset = 'none'\n{lines}{key} = {value}\n")
}

#[test]
fn no_value_of_a_variable_is_shown_whatever_key_it_is_given_to() {
    let schema: Value = serde_json::from_str(include_str!("../../config/schema.json")).unwrap();
    let tables: BTreeSet<&str> = schema["$defs"].as_object().unwrap().keys().map(String::as_str).collect();
    let covered: BTreeSet<&str> =
        BASES.iter().map(|(table, _)| *table).filter(|table| !table.is_empty()).collect();
    assert_eq!(tables, covered, "every table of the schema has a base");
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("init.toml");
    let (mut valid, mut invalid) = (0, 0);
    let mut cases: Vec<String> = Vec::new();
    for (table, bases) in BASES {
        for key in keys(&schema, table) {
            cases.extend(bases.iter().flat_map(|base| FORMS.iter().map(|form| with(base, &key, form))));
        }
    }
    cases.push(with(BASES[5].1[0], "on-change", "{ signal = \"${CANARY}\", service = \"z\" }"));
    cases.push(with(BASES[5].1[0], "on-change", "{ signal = \"HUP\", service = \"${CANARY}\" }"));
    cases.push(
        "preset = 'none'\nstate-dir = \"${CANARY:?not ${CANARY}}\"\nuser = \"${NO:?but ${CANARY}}\"\n".into(),
    );
    for text in &cases {
        std::fs::write(&file, text).unwrap();
        let alone = text.contains("= \"${CANARY}\"");
        for value in VALUES.iter().take(if alone { VALUES.len() } else { 2 }) {
            let mut codes = Vec::new();
            for mode in [&[][..], &["--print-config"]] {
                let arguments: Vec<&str> =
                    ["--config", file.to_str().unwrap()].iter().chain(mode).copied().collect();
                let (code, said) = check(&arguments, value);
                assert!(
                    !said.to_lowercase().contains("canary7"),
                    "{value} is shown of\n{text}\n{mode:?}:\n{said}"
                );
                codes.push(code);
            }
            if codes[1] == 0 {
                valid += 1;
                loads_back(text, value);
            } else {
                invalid += 1;
            }
        }
    }
    assert!(valid > 300 && invalid > 300, "{valid} were valid and {invalid} were not");
}

/// What is printed gives the same plan in the same environment.
fn loads_back(text: &str, value: &str) {
    let env = |name: &str| (name == "CANARY").then(|| value.to_owned());
    let layers = layers_of(text, &env).unwrap();
    let plan = resolve(&layers, &env, None).unwrap_or_else(|errors| panic!("{text}\n{}", show(&errors)));
    let printed = print::print(&resolve::as_written(&layers, &env, None).unwrap(), &plan);
    let again = plan_for(&printed, &env, None);
    assert_eq!(again, Plan { preset: "none".into(), role: None, ..plan }, "{text}\n{value}\n{printed}");
}
