//! A container in which all is well, and one in which little is.

use crate::doctor::facts::*;
use std::collections::{BTreeMap, BTreeSet};

pub fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

pub fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

pub fn ini() -> Ini {
    Ini {
        version: "8.3.1".into(),
        file: Some("/usr/local/etc/php/php.ini".into()),
        extensions: set(&["pcntl", "posix", "zend opcache", "redis", "pdo_mysql"]),
        values: map(&[
            ("memory_limit", "128M"),
            ("display_errors", "Off"),
            ("expose_php", "Off"),
            ("opcache.enable", "On"),
            ("opcache.validate_timestamps", "Off"),
            ("opcache.memory_consumption", "192"),
            ("opcache.max_accelerated_files", "20000"),
            ("opcache.jit", "disable"),
        ]),
    }
}

pub fn pool() -> Pool {
    Pool {
        name: "www".into(),
        values: map(&[
            ("ping.path", "/-/fpm-ping"),
            ("clear_env", "no"),
            ("catch_workers_output", "yes"),
            ("decorate_workers_output", "no"),
            ("listen", "127.0.0.1:9000"),
            ("pm.max_children", "5"),
            ("user", "www-data"),
        ]),
        ..Pool::default()
    }
}

pub fn path(path: &str, purpose: Purpose) -> PathFacts {
    PathFacts {
        path: path.into(),
        purpose,
        file_system: "tmpfs".into(),
        mount: path.into(),
        space: Some(Space { bytes: 1 << 30, bytes_free: 1 << 29, inodes: 1000, inodes_free: 900 }),
        ..PathFacts::default()
    }
}

pub fn config() -> LaravelConfig {
    let connection = |driver: &str, retry_after| Connection { driver: driver.into(), retry_after };
    LaravelConfig {
        version: "13.1.0".into(),
        env: "production".into(),
        key: true,
        env_file: "/opt/php/.env".into(),
        cache_store: "redis".into(),
        cache_driver: "redis".into(),
        session_driver: "redis".into(),
        queue: "redis".into(),
        connections: [("redis", connection("redis", Some(90))), ("sync", connection("sync", None))]
            .into_iter()
            .map(|(name, one)| (name.to_owned(), one))
            .collect(),
        log_drivers: vec!["monolog".into()],
        database_driver: "mysql".into(),
        redis_client: "phpredis".into(),
        ..LaravelConfig::default()
    }
}

/// A container in which all is well.
pub fn good() -> Facts {
    Facts {
        php: Told::Told(ini()),
        fpm_php: Told::Told(ini()),
        fpm: Told::Told(FpmConf {
            global: map(&[("process_control_timeout", "20s"), ("log_limit", "8192")]),
            pools: vec![pool()],
            ..FpmConf::default()
        }),
        laravel: Laravel {
            present: true,
            config: Told::Told(config()),
            env_path_hook: true,
            env_files: vec![EnvFile {
                path: "/opt/php/.env".into(),
                mode: 0o440,
                readable: true,
                placed: true,
                keys: set(&["APP_KEY"]),
                ..EnvFile::default()
            }],
            down: false,
        },
        paths: vec![path("/opt/php", Purpose::State), path("/var/www/html/storage", Purpose::Writable)],
        system: System {
            app: "www-data".into(),
            state_dir: StateDir::RootsAlone,
            suid_dumpable: Some(2),
            core_pattern: "core".into(),
            proc_mounted: true,
            capabilities: Some(0xa804_25fb),
            open_files: Some(1024),
            pids_max: Some(1000),
            memory: Some(2 << 30),
            root_read_only: Some(true),
            env: set(&[
                "PATH",
                "APP_ENV_PATH",
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                "ECS_CONTAINER_METADATA_URI_V4",
            ]),
            ..System::default()
        },
        processes: Processes {
            pid1: Some("init".into()),
            pid1_catches: Some(u64::MAX),
            init: Some(1),
            fpm_masters: 1,
            ..Processes::default()
        },
    }
}

/// Everything that can be told is bad.
pub fn broken() -> Facts {
    let mut facts = good();
    facts.php = Told::Told(Ini::default());
    facts.fpm_php = Told::Told(Ini::default());
    facts.laravel.config = Told::Failed("it throws".into());
    facts.processes.pid1 = Some("sh".into());
    facts.processes.init = Some(7);
    facts
}
