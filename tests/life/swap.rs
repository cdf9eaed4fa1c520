//! A process of the application's user that replaces what init places in its state directory, at every moment of a boot
//! and of reloads: PHP-FPM's master is root and reads its drop-in there.

use crate::container::PATIENCE;
use crate::support::sandbox::{NEEDS, Sandbox};
use crate::support::{eventually, need};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

/// Each round it puts its own drop-in in the place of init's and of one that waits, and directories of its own in the
/// place of init's. With that drop-in the master would open a log of the attacker's choice, as root.
const ATTACK: &str = r#"#!/bin/sh
n=0
while :; do
    for dir in /opt/php /opt/php/.init-reload-*; do
        cp /tmp/evil.conf "$dir/.evil" && mv -f "$dir/.evil" "$dir/php-fpm.fpm.conf"
    done
    for dir in /opt/php/.init-reload-* /opt/php/.generations; do
        mv "$dir" "/opt/php/gone-$n" && mkdir "$dir" && cp /tmp/evil.conf "$dir/php-fpm.fpm.conf"
    done
    n=$((n + 1))
    echo $n >/tmp/rounds.new && mv /tmp/rounds.new /tmp/rounds
done 2>/dev/null
"#;

const EVIL: &str = "[global]\ndaemonize = no\nerror_log = /var/www/html/storage/roots.log\n\
    [www]\nuser = root\naccess.log = /var/www/html/storage/access.log\n[global]\ninclude = /usr/local/etc/php-fpm.conf\n";

const CONFIG: &str = r#"
    preset = "laravel"
    [[file]]
    name = "env"
    source = "/opt/php/source.env"
    [[boot]]
    name = "optimize"
    command = ["true"]
    verify = "none"
    [service.queue]
    command = ["/tmp/attack"]
    [cron.schedule]
    enabled = false
"#;

fn rounds(sandbox: &Sandbox) -> u64 {
    let text = fs::read_to_string(sandbox.volume("tmp/rounds")).unwrap_or_default();
    text.trim().parse().unwrap_or_default()
}

fn written(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

#[test]
fn no_drop_in_of_the_application_reaches_the_master_whenever_it_is_swapped() {
    if !need(NEEDS) {
        return;
    }
    let mut sandbox = Sandbox::new(CONFIG);
    fs::create_dir(sandbox.volume("tmp")).unwrap();
    fs::set_permissions(sandbox.volume("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
    written(&sandbox.volume("tmp/attack"), ATTACK, 0o755);
    written(&sandbox.volume("tmp/evil.conf"), EVIL, 0o644);
    sandbox.start(&[]);
    sandbox.ready("/slow/0");
    let example = fs::read_to_string(sandbox.volume("php/source.env")).unwrap();
    for round in 1..=4 {
        let before = rounds(&sandbox);
        eventually("the attacker is at it", PATIENCE, || (rounds(&sandbox) > before + 5).then_some(()));
        fs::write(sandbox.volume("php/source.env"), format!("{example}ROUND={round}\n")).unwrap();
        sandbox.signal("HUP");
        eventually("it has reloaded, or failed to", PATIENCE, || {
            let log = sandbox.log();
            let ends = log.matches("reloaded in").count() + log.matches("reload failed").count();
            (ends >= round).then_some(())
        });
        sandbox.ready("/slow/0");
    }
    for name in ["roots.log", "access.log"] {
        assert!(!sandbox.volume("storage").join(name).exists(), "root's master wrote {name}");
    }
    assert_eq!(sandbox.log().matches("reloaded in").count(), 4, "nor does it keep a reload from working");
    let drop_in = sandbox.volume("php/php-fpm.fpm.conf");
    assert!(fs::read_to_string(&drop_in).unwrap().starts_with("; Written by init"));
    assert_eq!(fs::metadata(&drop_in).unwrap().uid(), 0);
    let left = fs::read_dir(sandbox.volume("php")).unwrap().map(|entry| entry.unwrap().file_name());
    let left: Vec<_> = left.filter(|name| name.to_string_lossy().starts_with("gone-")).collect();
    assert!(left.is_empty(), "{left:?}");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}
