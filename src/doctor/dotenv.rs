//! The `.env` of the application: where it is, who can read it, what it says twice.

use super::facts::{EnvFile, Facts, Told};
use super::words::list;
use super::{Check, Finding};
use crate::config::plan::{FileFormat, FilePlan, Plan};
use crate::dotenv;
use std::collections::BTreeSet;
use std::path::Path;

static PLACE: Check = Check {
    id: "env-path",
    what: "Laravel reads the `.env` that init puts in place",
    why: "a missing .env is no error to Laravel: it starts with defaults",
    fix: "bootstrap/app.php: `$app->useEnvironmentPath(getenv('APP_ENV_PATH') ?: '');`",
};
static OTHER: Check = Check {
    id: "env-file-choice",
    what: "`APP_ENV` in the real environment chooses no other file",
    why: "with APP_ENV=x in the environment Laravel reads .env.x, where there is one, instead of .env",
    fix: "Dockerfile: leave .env.x out of the image (.dockerignore)",
};
static BAKED: Check = Check {
    id: "env-baked",
    what: "no `.env` is part of the image",
    why: "whoever can pull the image has the secrets, and layers keep what a later one deletes",
    fix: ".dockerignore: `.env*`",
};
static MODE: Check = Check {
    id: "env-mode",
    what: "the application alone can read `.env`",
    why: "every process in the container could read it; or the application cannot, and starts without",
    fix: "init.toml, [[file]]: `mode = \"0440\"`",
};
static PARSE: Check = Check {
    id: "env-parse",
    what: "phpdotenv accepts `.env`",
    why: "Laravel answers 500 to everything, or silently drops the rest of the file; its own message shows the value",
    fix: "the line that is named",
};
static LINT: Check = Check {
    id: "env-lint",
    what: "`.env` says what its author meant",
    why: "phpdotenv accepts it, and makes something else of it",
    fix: "the line that is named",
};
static SHADOWED: Check = Check {
    id: "env-shadowed",
    what: "no key is both in `.env` and in the real environment",
    why: "the real environment wins: what `.env` says there never counts, nor does a change of it",
    fix: "task definition, `environment`: take the keys out; or take them out of .env",
};
static EARLY: Check = Check {
    id: "env-early",
    what: "paths that are read before `.env` are not set in it",
    why: "Laravel looks for its caches before it reads .env, so they have no effect there",
    fix: "init.toml: `env = { NAME = \"…\" }`, which CLI and PHP-FPM both get",
};

pub const CHECKS: &[&Check] = &[&PLACE, &OTHER, &BAKED, &MODE, &PARSE, &LINT, &SHADOWED, &EARLY];

/// Read before phpdotenv runs (Illuminate\Foundation\Application).
const TOO_EARLY: &[&str] = &[
    "APP_CONFIG_CACHE",
    "APP_ROUTES_CACHE",
    "APP_EVENTS_CACHE",
    "APP_SERVICES_CACHE",
    "APP_PACKAGES_CACHE",
    "APP_ENV_PATH",
    "APP_BASE_PATH",
    "LARAVEL_STORAGE_PATH",
];

/// What phpdotenv makes of a file: its keys, what it refuses, what it takes otherwise than meant. No value is kept.
pub fn read(bytes: &[u8]) -> (BTreeSet<String>, Vec<String>, Vec<String>) {
    match dotenv::validate(bytes, &[]) {
        Err(problems) => (BTreeSet::new(), problems.iter().map(ToString::to_string).collect(), Vec::new()),
        Ok(report) => {
            let keys = dotenv::parse(bytes).map(|document| document.entries).unwrap_or_default();
            let keys = keys.into_iter().filter(|entry| entry.value.is_some()).map(|entry| entry.key);
            (keys.collect(), Vec::new(), report.warnings.iter().map(ToString::to_string).collect())
        }
    }
}

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    if !facts.laravel.present {
        return found;
    }
    if let Some(file) = plan.files.iter().find(|file| file.format == FileFormat::Dotenv) {
        found.push(place(facts, plan, file));
    }
    let others: Vec<&EnvFile> = facts.laravel.env_files.iter().filter(|file| !file.placed).collect();
    choice(facts, &mut found);
    found.push(match others.first() {
        Some(file) => {
            BAKED.hurts(format!("{} is there, and init does not put it there", file.path.display()))
        }
        None => BAKED.ok("none"),
    });
    let used = facts.laravel.env_files.iter().find(|file| file.placed).or(others.first().copied());
    match used {
        Some(file) => of_file(facts, file, &mut found),
        None => {
            let why = "there is none yet: it is fetched at the boot, so ask again with docker exec";
            found.extend([&MODE, &PARSE, &LINT, &SHADOWED, &EARLY].map(|check| check.unchecked(why)));
        }
    }
    found
}

fn place(facts: &Facts, plan: &Plan, file: &FilePlan) -> Finding {
    let shown = file.path.display();
    if let Told::Told(config) = &facts.laravel.config
        && !config.env_file.is_empty()
    {
        return match Path::new(&config.env_file) == file.path {
            true => PLACE.ok(config.env_file.as_str()),
            false => PLACE.breaks(format!("Laravel reads {}, init puts it at {shown}", config.env_file)),
        };
    }
    match file.path.parent() == Some(&plan.work_dir) || facts.laravel.env_path_hook {
        true => PLACE.ok(shown.to_string()),
        false => PLACE.breaks(format!(
            "init puts it at {shown}, and bootstrap/app.php never calls useEnvironmentPath()"
        )),
    }
}

/// Only where another file is there beside the one that init places.
fn choice(facts: &Facts, found: &mut Vec<Finding>) {
    let placed = facts.laravel.env_files.iter().find(|file| file.placed && file.path.ends_with(".env"));
    let other = placed.and_then(|placed| {
        let mut files = facts.laravel.env_files.iter();
        let name = format!(".env.{}", facts.system.app_env.as_deref()?);
        files.find(|file| file.path.parent() == placed.path.parent() && file.path.ends_with(&name))
    });
    found.push(match other {
        Some(file) => OTHER.breaks(format!("APP_ENV is set, and {} is there", file.path.display())),
        None => OTHER.ok("none"),
    });
}

fn of_file(facts: &Facts, file: &EnvFile, found: &mut Vec<Finding>) {
    let path = file.path.display();
    found.push(match (file.readable, file.mode & 0o007) {
        (false, _) => MODE
            .breaks(format!("{} cannot read {path} (mode {:04o})", facts.system.app, file.mode))
            .with_fix(format!(
                "`chown {}` it, mode 0440, and let its directory be entered (0750)",
                facts.system.app
            )),
        (true, 0) => MODE.ok(format!("{:04o}", file.mode)),
        (true, _) => MODE.hurts(format!("{path} has mode {:04o}", file.mode)),
    });
    found.push(match file.problems.is_empty() {
        true => PARSE.ok(format!("{} keys", file.keys.len())),
        false => PARSE.breaks(format!("{path}: {}", list(&file.problems))),
    });
    found.push(match file.warnings.is_empty() {
        true => LINT.ok("nothing odd"),
        false => LINT.note(format!("{path}: {}", list(&file.warnings))),
    });
    let both: Vec<&String> = file.keys.iter().filter(|key| facts.system.env.contains(*key)).collect();
    found.push(match both.is_empty() {
        true => SHADOWED.ok("none"),
        false => SHADOWED.note(format!("in both: {}", list(&both))),
    });
    let early: Vec<&str> = TOO_EARLY.iter().copied().filter(|key| file.keys.contains(*key)).collect();
    found.push(match early.is_empty() {
        true => EARLY.ok("none"),
        false => EARLY.hurts(format!("{path} sets {}", list(&early))),
    });
}
