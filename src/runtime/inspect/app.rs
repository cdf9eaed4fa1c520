//! The application: Laravel's configuration, its `.env` files.

use super::super::shell::Shell;
use super::ask::{Question, ask};
use super::php_of;
use crate::config::plan::{FileFormat, Plan};
use crate::doctor::facts::{EnvFile, Laravel, LaravelConfig, Told};
use crate::doctor::{self, read};
use crate::files::{self, Owner};
use crate::sys::users::Identity;
use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Loading a framework from a cold EFS takes long.
const PATIENCE: Duration = Duration::from_secs(20);
/// phpdotenv's files are a few kilobytes.
const MOST: u64 = 1 << 20;

/// Without a PHP that answers, the configuration is not asked for.
pub async fn look(shell: &mut Shell, php: bool) -> Laravel {
    let plan = shell.plan.clone();
    if !files::is_file(&plan.work_dir.join("artisan")) {
        let why = "there is no artisan in the work-dir".to_owned();
        return Laravel { config: Told::NotAsked(why), ..Laravel::default() };
    }
    let app = shell.identity(None).ok().flatten();
    let bootstrap = plan.work_dir.join("bootstrap/app.php");
    let hook = files::as_user(app.as_ref(), || files::read_text(&bootstrap, Owner::Anyone, MOST));
    let hook = hook.flatten().unwrap_or_default();
    let storage = shell.environment.get("LARAVEL_STORAGE_PATH").map(PathBuf::from);
    let storage = storage.unwrap_or_else(|| plan.work_dir.join("storage"));
    Laravel {
        present: true,
        config: match php {
            true => config(shell, &plan).await,
            false => Told::NotAsked("PHP did not answer".to_owned()),
        },
        env_path_hook: ["useEnvironmentPath", "loadEnvironmentFrom"]
            .iter()
            .any(|name| read::calls(&hook, name)),
        env_files: env_files(&plan, app.as_ref()),
        down: files::exists(&storage.join("framework/down")),
    }
}

async fn config(shell: &mut Shell, plan: &Plan) -> Told<LaravelConfig> {
    let missing = plan.files.iter().find(|file| {
        file.format == FileFormat::Dotenv
            && !files::exists(&file.path)
            && !files::exists(&plan.work_dir.join(".env"))
    });
    if let Some(file) = missing {
        return Told::NotAsked(format!(
            "{} is fetched at the boot, and without it the configuration is another: ask again with docker exec",
            file.path.display()
        ));
    }
    let program = php_of(plan);
    let argv = [program.as_str(), "-d", "display_errors=0", "-r", read::LARAVEL_SCRIPT];
    match ask(shell, &Question::new(&argv, PATIENCE)).await {
        // What PHP says of its failure may hold a value of .env.
        Ok(answer) => match read::laravel(&answer.stdout) {
            Some(config) => Told::Told(config),
            None => Told::Failed(format!(
                "bootstrap/app.php and config/*.php could not be loaded: {}",
                answer.ending
            )),
        },
        Err(why) => Told::Failed(why),
    }
}

/// Every `.env` that Laravel could read: those that init places, and `.env` or `.env.x` beside artisan or them.
fn env_files(plan: &Plan, app: Option<&Identity>) -> Vec<EnvFile> {
    let placed: BTreeSet<&Path> = plan
        .files
        .iter()
        .filter(|file| file.format == FileFormat::Dotenv)
        .map(|file| file.path.as_path())
        .collect();
    let directories: BTreeSet<&Path> =
        placed.iter().filter_map(|path| path.parent()).chain([plan.work_dir.as_path()]).collect();
    let mut paths: BTreeSet<PathBuf> = placed.iter().map(|path| path.to_path_buf()).collect();
    for dir in directories {
        let names = files::list(dir).unwrap_or_default().into_iter();
        paths.extend(names.filter(|name| name.to_str().is_some_and(is_env)).map(|name| dir.join(name)));
    }
    paths.iter().filter_map(|path| one(path, placed.contains(path.as_path()), app)).collect()
}

fn is_env(name: &str) -> bool {
    let Some(rest) = name.strip_prefix(".env") else { return false };
    (rest.is_empty() || rest.starts_with('.'))
        && !["example", "dist", "sample", "template", "encrypted", "testing"]
            .iter()
            .any(|word| rest.contains(word))
}

fn one(path: &Path, placed: bool, app: Option<&Identity>) -> Option<EnvFile> {
    let data = files::metadata(path).ok().filter(|data| data.is_file() && data.len() <= MOST)?;
    let as_app = files::as_user(app, || files::read(path, Owner::Anyone, MOST)).flatten();
    let readable = as_app.is_ok();
    let bytes = as_app.or_else(|_| files::read(path, Owner::Anyone, MOST)).unwrap_or_default();
    let (keys, problems, warnings) = doctor::read_env(&bytes);
    let mode = data.permissions().mode() & 0o7777;
    Some(EnvFile { path: path.to_owned(), mode, readable, placed, keys, problems, warnings })
}
