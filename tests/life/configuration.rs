//! Files that say what init does, with a FIFO or a link of another user's in their place.

use crate::container::{Container, NEEDS, PATIENCE};
use crate::support::{eventually, need};
use nix::sys::stat::Mode;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};

/// `php-fpm` here is a script that finds its configuration right and reads none of it.
const CONFIG: &str = r#"
    crontabs = ["@DIR/crontab"]
    stop-timeout = "1s"
    [service.web]
    command = ["@DIR/php-fpm", "-F"]
    [service.web.fpm]
    config = "@DIR/php-fpm.conf"
"#;
const FPM: &str = "#!/bin/sh\ncase \"$*\" in *-t*) exit 0 ;; esac\nexec sleep 1000\n";

fn container() -> Container {
    let container = Container::new(CONFIG).script("php-fpm", FPM);
    fs::write(container.file("crontab"), "@daily true\n").unwrap();
    let include = format!("[www]\nlisten = 9000\ninclude={}/pools/*.conf\n", container.dir());
    fs::write(container.file("php-fpm.conf"), include).unwrap();
    fs::create_dir(container.file("pools")).unwrap();
    fs::write(container.file("pools/b.conf"), "[second]\nlisten = 9001\n").unwrap();
    container
}

/// Puts a FIFO in the place of a file, whose text is returned.
fn fifo(container: &Container, name: &str) -> String {
    let text = container.text(name);
    let _ = fs::remove_file(container.file(name));
    nix::unistd::mkfifo(&container.file(name), Mode::S_IRWXU).unwrap();
    text
}

fn drop_in(container: &Container) -> String {
    let all = fs::read_dir(container.file("state")).into_iter().flatten().flatten();
    let texts = all.filter(|entry| entry.file_type().unwrap().is_file()).map(|entry| fs::read(entry.path()));
    texts.map(|text| String::from_utf8_lossy(&text.unwrap()).into_owned()).collect()
}

#[test]
fn a_fifo_in_place_of_the_configuration_or_a_crontab_ends_the_boot() {
    if !need(NEEDS) {
        return;
    }
    for name in ["init.toml", "crontab"] {
        let container = container();
        fifo(&container, name);
        let mut container = container.start();
        assert_eq!(container.wait(PATIENCE), 78);
        let log = container.errors();
        assert!(log.contains("cannot read") && log.contains("it is a FIFO, not a regular file"), "{log}");
    }
}

#[test]
fn a_fifo_in_place_of_an_fpm_configuration_holds_neither_the_boot_nor_a_reload() {
    if !need(NEEDS) {
        return;
    }
    let container = container();
    fifo(&container, "pools/a.conf");
    let mut container = container.start();
    container.says("booted in", 1);
    container.one("sleep 1000");
    assert!(drop_in(&container).contains("[second]"), "the other pools are found: {}", drop_in(&container));
    container.signal("HUP");
    container.says("reloaded in", 1);
    fifo(&container, "php-fpm.conf");
    container.signal("HUP");
    container.says("reloaded in", 2);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_reload_refuses_a_fifo_and_a_later_one_works() {
    if !need(NEEDS) {
        return;
    }
    let mut container = container().start();
    container.says("booted in", 1);
    for (round, name) in ["init.toml", "crontab"].into_iter().enumerate() {
        let text = fifo(&container, name);
        container.signal("HUP");
        container.says("it is a FIFO, not a regular file", round + 1);
        eventually("the reload is over", PATIENCE, || {
            (container.errors().matches("reload").count() > round).then_some(())
        });
        fs::remove_file(container.file(name)).unwrap();
        fs::write(container.file(name), text).unwrap();
        container.signal("HUP");
        container.says("reloaded in", round + 1);
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_link_of_another_user_is_followed_with_that_users_rights() {
    if !need(NEEDS) {
        return;
    }
    let container = container();
    fs::create_dir(container.file("release")).unwrap();
    fs::rename(container.file("init.toml"), container.file("release/init.toml")).unwrap();
    symlink("release/init.toml", container.file("init.toml")).unwrap();
    lchown(container.file("init.toml"), Some(33), Some(33)).unwrap();
    let mut container = container.start();
    container.says("booted in", 1);
    // The link leads to a file of root's now: nothing of it is shown.
    fs::write(container.file("release/init.toml"), "S3CR3T of root's\n").unwrap();
    fs::set_permissions(container.file("release/init.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    container.signal("HUP");
    container.says("belongs to uid 33", 1);
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(!container.errors().contains("S3CR3T"), "{}", container.errors());
}
