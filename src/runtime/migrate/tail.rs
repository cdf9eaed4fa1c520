//! The end of a migration's output, and what it says of a lock that could not be had.

/// How much of it is kept.
const MOST: usize = 64 * 1024;
/// The longest name with what follows it, in bytes: names of tables have 64 characters at most, paths of SQLite files more. The
/// application writes what it likes, and to look for the end of a name each time in all that follows would take seconds.
const MOST_NAME: usize = 1024;

/// What the lock lies in, and is not there yet: on a first deploy with the cache in the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// The table of locks, by its name without the database's.
    Table(String),
    /// The whole database. `artisan migrate --force` makes it, after the lock has been asked for.
    Database,
}

/// The end of an output.
#[derive(Default)]
pub(super) struct Tail {
    bytes: Vec<u8>,
}

/// What stands around the name of a table that is not there: SQLite, MySQL and MariaDB, PostgreSQL, SQL Server.
const TABLES: &[(&str, &str)] = &[
    ("no such table: ", ""),
    ("table '", "' doesn't exist"),
    ("relation \"", "\" does not exist"),
    ("invalid object name '", "'"),
];

/// What stands around the name of a database that is not there and that Laravel makes: MySQL and MariaDB (error 1049),
/// PostgreSQL, SQLite (Illuminate\Database\Connectors\SQLiteConnector, today and until Laravel 8).
const DATABASES: &[(&str, &str)] = &[
    ("unknown database '", "'"),
    ("database \"", "\" does not exist"),
    ("database file at path [", "] does not exist"),
    ("database (", ") does not exist"),
];

/// What Laravel says when it has the lock, or does without: today, and until Laravel 9.20.
const BEGUN: &[&str] = &["preparing database", "running migrations", "migrating:"];

impl Tail {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > MOST * 2 {
            let surplus = self.bytes.len() - MOST;
            self.bytes.drain(..surplus);
        }
    }

    /// The database said before the first migration that what the lock lies in is not there.
    pub(super) fn missing(&self) -> Option<Missing> {
        let text = String::from_utf8_lossy(&self.bytes).to_ascii_lowercase();
        let words: Vec<&str> = text.split_whitespace().collect();
        // Symfony wraps a long message at the width of the terminal, within a word where that is longer than what is left of
        // the line. Without white space nothing is torn apart, and with it the end of a bare name is seen.
        [words.join(" "), words.concat()].iter().find_map(|text| missing(text, !text.contains(' ')))
    }
}

fn missing(text: &str, dense: bool) -> Option<Missing> {
    let written = |words: &str| if dense { words.replace(' ', "") } else { words.to_owned() };
    if BEGUN.iter().any(|words| text.contains(&written(words))) {
        return None;
    }
    // It is `cache_locks` unless renamed, and then still named for its locks.
    let table = TABLES.iter().find_map(|(before, after)| {
        named(text, &written(before), &written(after), &[' ', '\'', '"', '(', ','])
            .map(|name| name.rsplit('.').next().unwrap_or_default())
            .find(|table| *table == "locks" || table.ends_with("_locks"))
    });
    let database = || {
        DATABASES.iter().any(|(before, after)| {
            named(text, &written(before), &written(after), &['\'', '"', ']', ')']).next().is_some()
        })
    };
    table.map(|table| Missing::Table(table.to_owned())).or_else(|| database().then_some(Missing::Database))
}

/// What stands between `before` and `after` and has none of `ends` in it.
fn named<'a>(
    text: &'a str,
    before: &str,
    after: &str,
    ends: &'static [char],
) -> impl Iterator<Item = &'a str> {
    let (before, after) = (before.to_owned(), after.to_owned());
    text.match_indices(&before).map(|(at, _)| at).collect::<Vec<_>>().into_iter().filter_map(move |at| {
        let rest = text.get(at.saturating_add(before.len())..)?;
        let rest = rest.get(..rest.floor_char_boundary(MOST_NAME))?;
        let name = rest.split(ends).next().unwrap_or_default();
        rest.strip_prefix(name)?.starts_with(&after).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing(text: &str) -> Option<Missing> {
        let mut tail = Tail::default();
        tail.push(text.as_bytes());
        tail.missing()
    }

    fn table(name: &str) -> Option<Missing> {
        Some(Missing::Table(name.to_owned()))
    }

    #[test]
    fn a_missing_lock_table_is_told_from_other_failures() {
        let locks = table("cache_locks");
        for text in [
            "SQLSTATE[HY000]: General error: 1 no such table: cache_locks (SQL: insert into \"cache_locks\"",
            "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'app.cache_locks' doesn't exist",
            "SQLSTATE[42P01]: Undefined table: 7 ERROR:  relation \"cache_locks\" does not exist",
            "[SQL Server]Invalid object name 'cache_locks'.",
            "General error: 1 no such table: cache_locks",
        ] {
            assert_eq!(missing(text), locks, "{text}");
        }
        assert_eq!(
            missing("General error: 1 no such\n  table: laravel_locks (Connection: sqlite"),
            table("laravel_locks")
        );
        for text in [
            "SQLSTATE[42S02]: Base table or view not found: 1146 Table 'app.users' doesn't exist",
            "SQLSTATE[HY000] [2002] Connection refused",
            // The migration's own fault, and it must not run again without the lock for it.
            "General error: 1 no such table: blocks (Connection: sqlite, SQL: alter table \"blocks\"",
            "General error: 1 no such table: bl\n  ocks (Connection: sqlite, SQL: alter table \"blocks\"",
            "Table 'app.users' doesn't exist in CacheCommandMutex->lock()",
            "General error: 1 no such table: users (SQL: select * from cache_locks)",
            "   INFO  Running migrations.\n\n  2024_a ... FAIL\n  Table 'app.cache_locks' doesn't exist",
            "Migrating: 2024_a\n  Unknown database 'reports'",
        ] {
            assert_eq!(missing(text), None, "{text}");
        }
    }

    /// As Laravel 12.39 wrote it on MySQL 8 with LOG_CHANNEL=stack, 75 columns wide.
    #[test]
    fn a_message_is_understood_however_it_is_wrapped() {
        let wrapped = "\n   Illuminate\\Database\\QueryException \n\n  SQLSTATE[42S02]: Base table or view not found: 1146 \
                       Table 'x.cache_lo\n  cks' doesn't exist (Connection: mysql, Host: 127.0.0.1, Port: 3306, Database:\n  \
                       x, SQL: insert into `cache_locks`";
        assert_eq!(missing(wrapped), table("cache_locks"));
        for at in 1..wrapped.len() {
            if wrapped.is_char_boundary(at) && at > 110 && at < 140 {
                let (before, after) = wrapped.split_at(at);
                assert_eq!(missing(&format!("{before}\n  {after}")), table("cache_locks"), "at {at}");
            }
        }
    }

    #[test]
    fn a_missing_database_is_told_too() {
        for text in [
            "SQLSTATE[HY000] [1049] Unknown database 'shop' (Connection: mysql, SQL: insert into `cache_locks`",
            "SQLSTATE[08006] [7] connection to server failed: FATAL:  database \"shop\" does not exist",
            "Database file at path [/var/www/html/database/data\n  base.sqlite] does not exist. Ensure this is an absolute path",
            "Database (/data/app.sqlite) does not exist. (SQL: select",
        ] {
            assert_eq!(missing(text), Some(Missing::Database), "{text}");
        }
        // Laravel does not make that of SQL Server, and a file that is no database is not one.
        for text in
            ["Cannot open database \"shop\" requested by the login", "File at path [/x] does not exist"]
        {
            assert_eq!(missing(text), None, "{text}");
        }
    }

    #[test]
    fn a_name_without_an_end_is_none() {
        let endless = format!("database ({}", "x".repeat(2 * MOST_NAME));
        assert_eq!(missing(&format!("{endless}) does not exist")), None);
        assert_eq!(missing(&format!("{endless}) Unknown database 'shop'")), Some(Missing::Database));
    }

    #[test]
    fn the_tail_is_bounded() {
        let mut tail = Tail::default();
        for _ in 0..100 {
            tail.push(&[b'x'; 8192]);
        }
        assert!(tail.bytes.len() <= MOST * 2);
    }
}
