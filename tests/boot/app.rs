//! The sample Laravel application's own boot and migration, in a container without Docker.

use crate::support::need;
use crate::support::sandbox::{NEEDS, Sandbox};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

const CONFIG: &str = "[[file]]\nname = \"env\"\nsource = \"/opt/php/source.env\"\n";

#[test]
fn it_boots_from_empty_volumes_and_its_cache_is_no_ones_business() {
    if !need(NEEDS) {
        return;
    }
    let sandbox = Sandbox::new(CONFIG);
    let code = sandbox.run(&["--", "php", "artisan", "--version"]);
    assert_eq!(code, 0, "{}", sandbox.log());
    assert!(sandbox.log().contains("Laravel Framework"), "{}", sandbox.log());
    let cache = fs::metadata(sandbox.volume("cache/config.php")).unwrap();
    assert_eq!((cache.uid(), cache.gid(), cache.mode() & 0o007), (33, 33, 0), "it holds every secret");
    let env = fs::metadata(sandbox.volume("php/.env")).unwrap();
    assert_eq!((env.uid(), env.gid(), env.mode() & 0o7777), (0, 33, 0o440));
    for directory in ["storage/framework/views", "storage/logs", "cache"] {
        assert_eq!(fs::metadata(sandbox.volume(directory)).unwrap().uid(), 33, "{directory}");
    }
}

#[test]
fn it_boots_as_any_user() {
    if !need(NEEDS) {
        return;
    }
    let sandbox = Sandbox::new(CONFIG).user("1000:1000");
    let code = sandbox.run(&["--", "php", "artisan", "--version"]);
    assert_eq!(code, 0, "{}", sandbox.log());
    let cache = fs::metadata(sandbox.volume("cache/config.php")).unwrap();
    assert_eq!((cache.uid(), cache.mode() & 0o007), (1000, 0));
}

#[test]
fn optimize_goes_wrong_in_four_ways() {
    if !need(NEEDS) {
        return;
    }
    for (how, code, words) in [
        ("throw", 1, "boot step \"optimize\" failed: exit code 1"),
        ("fail", 76, "its task \"config\" printed FAIL"),
        ("nothing", 76, "did not write /var/www/html/bootstrap/cache/config.php"),
        ("hang", 124, "did not end within 1s"),
    ] {
        let config = format!("{CONFIG}[[boot]]\nname = \"optimize\"\ntimeout = \"1s\"\n");
        let config = if how == "hang" { config } else { CONFIG.to_owned() };
        let sandbox = Sandbox::new(&config).env("DEMO_OPTIMIZE", how);
        let ended = sandbox.run(&["--", "echo", "started"]);
        assert_eq!(ended, code, "{how}: {}", sandbox.log());
        assert!(sandbox.log().contains(words), "{how}: {}", sandbox.log());
        assert!(!sandbox.log().contains("started"), "{how}: {}", sandbox.log());
    }
}

#[test]
fn a_first_deploy_with_the_cache_in_the_database_migrates() {
    if !need(NEEDS) {
        return;
    }
    let sandbox = Sandbox::new(CONFIG).env("CACHE_DRIVER", "database");
    let code = sandbox.run(&["--migrate"]);
    assert_eq!(code, 0, "{}", sandbox.log());
    let made = "making it first, with --path=database/migrations/0001_01_01_000001_create_cache_table.php";
    assert_eq!(sandbox.log().matches(made).count(), 1, "{}", sandbox.log());
    // The next one has its table, and nothing to do.
    let code = sandbox.run(&["--migrate"]);
    assert_eq!(code, 0, "{}", sandbox.log());
    assert_eq!(sandbox.log().matches(made).count(), 1, "{}", sandbox.log());
    assert!(!sandbox.log().contains("without the lock"), "{}", sandbox.log());
}

#[test]
fn two_first_deploys_at_once_migrate_one_after_the_other() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIG).env("CACHE_DRIVER", "database").env("DEMO_MIGRATE_SECONDS", "2");
    sandbox.start(&["--migrate"]);
    // Both have the same volumes here, which the first one makes.
    crate::support::eventually("the first has its .env", Duration::from_secs(20), || {
        sandbox.log().contains("placed /opt/php/.env").then_some(())
    });
    let second = sandbox.run(&["--migrate"]);
    let first = sandbox.wait(Duration::from_secs(60));
    let log = sandbox.log();
    assert_eq!((first, second), (0, 0), "{log}");
    assert_eq!(log.matches("Migrating: 2024_01_01_000000_create_demo_tables").count(), 1, "{log}");
    assert_eq!(log.matches("migration done in").count(), 2, "{log}");
    assert!(!log.contains("without the lock"), "{log}");
}

#[test]
fn a_migration_waits_for_the_lock_that_another_task_holds() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIG);
    sandbox.start(&["--", "php", "artisan", "demo:hold-lock", "--seconds=60", "--until=storage/let-go"]);
    crate::support::eventually("the lock is held", Duration::from_secs(20), || {
        sandbox.log().contains("locked").then_some(())
    });
    let code = std::thread::scope(|scope| {
        scope.spawn(|| {
            crate::support::eventually("the migration waits", Duration::from_secs(50), || {
                sandbox.log().contains("another process holds the migration lock").then_some(())
            });
            std::fs::write(sandbox.volume("storage/let-go"), "").unwrap();
        });
        sandbox.run(&["--migrate"])
    });
    assert_eq!(code, 0, "{}", sandbox.log());
    assert_eq!(sandbox.wait(Duration::from_secs(10)), 0);
}
