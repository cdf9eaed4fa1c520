//! The migration that makes the table of locks, and the command that runs it alone.
//!
//! On a first deploy with the cache in the database `migrate --isolated` cannot have its lock, and without it two tasks that
//! are deployed at once would migrate at the same time. The table of locks is made by one migration of the application's,
//! which is short: `0001_01_01_000001_create_cache_table.php` of Laravel's skeleton, or what `artisan cache:table` wrote. That
//! one is run alone, and then the whole under the lock.

use super::tail::Missing;
use crate::files::{self, Owner};
use std::path::Path;

/// Where Laravel has them unless told otherwise.
const MIGRATIONS: &str = "database/migrations";
/// A dump of the schema, which stands for all migrations before it: `migrate` loads it before the first one.
const DUMPS: &str = "database/schema";
/// Far above the size of any migration, in bytes.
const MAX: u64 = 1 << 20;

/// `command` for the one migration that makes what is missing. `None`: it is not known, or cannot be run alone. Reads the
/// application's files, so not for the event loop.
pub(super) fn command(command: &[String], work_dir: &Path, missing: &Missing) -> Option<Vec<String>> {
    let own_paths = command.iter().any(|word| word.starts_with("--path") || word.starts_with("--realpath"));
    let migrate = command.iter().position(|word| word == "migrate")?;
    let dumped = files::list(&work_dir.join(DUMPS)).is_ok_and(|names| !names.is_empty());
    if own_paths || dumped {
        return None;
    }
    let file = migration(&work_dir.join(MIGRATIONS), missing)?;
    let (before, options) = command.split_at(migrate.saturating_add(1));
    let options = options.iter().filter(|word| !is_isolated(word) && !word.starts_with("--seed"));
    let mut words: Vec<String> = before.iter().chain(options).cloned().collect();
    words.push(format!("--path={MIGRATIONS}/{file}"));
    Some(words)
}

/// The first migration that names the table. Its name in the database may have a prefix that the migration does not say.
fn migration(dir: &Path, missing: &Missing) -> Option<String> {
    let mut names: Vec<String> =
        files::list(dir).ok()?.into_iter().filter_map(|name| name.into_string().ok()).collect();
    names.retain(|name| {
        let plain = |char: char| char.is_ascii_alphanumeric() || "_-.".contains(char);
        name.ends_with(".php") && name.chars().all(plain)
    });
    names.sort();
    names.into_iter().find(|name| {
        let text = files::read_text(&dir.join(name), Owner::Anyone, MAX).unwrap_or_default();
        // An apostrophe in a comment makes other pieces, but no quoted name goes missing.
        let mut quoted = text.split(['\'', '"']);
        quoted.any(|word| match missing {
            Missing::Table(table) => is_lock_table(word) && table.ends_with(&word.to_ascii_lowercase()),
            Missing::Database => is_lock_table(word),
        })
    })
}

/// The option of `migrate` that asks for the lock.
pub(super) fn is_isolated(word: &str) -> bool {
    word == "--isolated" || word.starts_with("--isolated=")
}

fn is_lock_table(word: &str) -> bool {
    word == "locks" || word.ends_with("_locks")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application(migrations: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let migrations_dir = dir.path().join(MIGRATIONS);
        std::fs::create_dir_all(&migrations_dir).unwrap();
        for (name, text) in migrations {
            std::fs::write(migrations_dir.join(name), text).unwrap();
        }
        dir
    }

    fn made(dir: &Path, words: &str, missing: &Missing) -> Option<String> {
        let words: Vec<String> = words.split(' ').map(str::to_owned).collect();
        command(&words, dir, missing).map(|words| words.join(" "))
    }

    const CACHE: &str = "<?php // it's for the cache\nSchema::create('cache', fn () => 1); Schema::create('cache_locks', fn () => 1);";

    #[test]
    fn the_migration_of_the_table_is_found_and_runs_alone() {
        let app = application(&[
            ("0001_01_01_000000_create_users_table.php", "<?php Schema::create('users'); // it isn't"),
            ("0001_01_01_000001_create_cache_table.php", CACHE),
            ("2024_01_01_000000_more_locks.php", "<?php Schema::table('cache_locks');"),
        ]);
        let command =
            "php artisan migrate --no-interaction --force --isolated=75 --seed --seeder=X --database=pgsql";
        let alone = "php artisan migrate --no-interaction --force --database=pgsql \
                     --path=database/migrations/0001_01_01_000001_create_cache_table.php";
        for missing in [
            Missing::Table("cache_locks".into()),
            Missing::Table("shop_cache_locks".into()),
            Missing::Database,
        ] {
            assert_eq!(made(app.path(), command, &missing).as_deref(), Some(alone), "{missing:?}");
        }
        assert_eq!(made(app.path(), command, &Missing::Table("door_locks".into())), None);
        // Other paths are somebody's decision, and this is no artisan.
        let other = format!("{command} --path=x");
        assert_eq!(made(app.path(), &other, &Missing::Database), None);
        assert_eq!(made(app.path(), "bin/console doctrine:migrations:migrate", &Missing::Database), None);
    }

    #[test]
    fn with_a_dump_of_the_schema_nothing_runs_alone() {
        let app = application(&[("0001_01_01_000001_create_cache_table.php", CACHE)]);
        std::fs::create_dir_all(app.path().join(DUMPS)).unwrap();
        assert!(made(app.path(), "artisan migrate --isolated", &Missing::Database).is_some());
        std::fs::write(app.path().join(DUMPS).join("mysql-schema.sql"), "").unwrap();
        assert_eq!(made(app.path(), "artisan migrate --isolated", &Missing::Database), None);
    }

    #[test]
    fn an_application_without_migrations_has_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(made(dir.path(), "artisan migrate --isolated", &Missing::Database), None);
    }
}
