//! Services that tell of themselves: systemd's and s6's own programs, PHP-FPM of Debian.

use crate::client;
use crate::container::{Container, kill};
use crate::probes::{AFTER, BACKOFF, ends_well, has, pool, ready_then_next};
use crate::support::php_fpm;
use std::fs;

#[test]
fn systemds_own_client_makes_a_service_ready() {
    if !has(&["systemd-notify", "setpriv"]) {
        return;
    }
    // It lives for a moment, and sends as www-data: no root, and not the main process.
    let container = Container::new(&format!(
        r#"
        user = "www-data"
        [service.it]
        command = ["sh", "-c", "while [ ! -e @DIR/go ]; do sleep 0.01; done; systemd-notify --ready --status='up and \u001b[31m running'; exec sleep 1000"]
        ready = {{ notify = "socket" }}
        {AFTER}"#
    ))
    .start();
    container.says("it: started", 1);
    assert!(!container.log().contains("it: ready"), "{}", container.log());
    fs::write(container.file("go"), "").unwrap();
    ready_then_next(&container);
    let told = client::status(&client::socket(&container)).services[0].told.clone();
    assert_eq!(told.as_deref(), Some("up and  [31m running"));
    ends_well(container);
}

#[test]
fn a_client_works_without_a_directory_to_write_and_on_a_read_only_root() {
    if !has(&["systemd-notify", "setpriv"]) {
        return;
    }
    // Every mount becomes read-only, but for those that the kernel itself makes.
    let script = "for mount in $(cut -d ' ' -f 2 /proc/self/mounts); do mount -o remount,bind,ro $mount; done 2>/dev/null\n\
        exec setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"";
    let container = Container::new(&format!(
        r#"
        [service.it]
        command = ["sh", "-c", "touch @DIR/x && exit 3; systemd-notify --ready; exec sleep 1000"]
        ready = {{ notify = "socket" }}
        {AFTER}"#
    ))
    .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
    .start();
    ready_then_next(&container);
    ends_well(container);
}

#[test]
fn nobody_else_speaks_for_a_service() {
    if !has(&["systemd-notify", "socat"]) {
        return;
    }
    // The other service has the same user, and lives while its word is looked at.
    let container = Container::new(
        r#"
        user = "www-data"
        [service.it]
        command = ["sh", "-c", "echo $NOTIFY_SOCKET >@DIR/name.new; mv @DIR/name.new @DIR/name; while [ ! -e @DIR/go ]; do sleep 0.01; done; systemd-notify --ready; exec sleep 1000"]
        ready = { notify = "socket" }
        [service.other]
        command = ["sh", "-c", "while [ ! -e @DIR/name ]; do sleep 0.01; done; read -r name <@DIR/name; (printf READY=1; exec sleep 1000) | exec socat -u - ABSTRACT-SENDTO:$${name#@}"]
        "#,
    )
    .start();
    let log = container.says("may not speak for it", 1);
    assert!(log.contains("it: pid ") && !log.contains("it: ready"), "{log}");
    fs::write(container.file("go"), "").unwrap();
    container.says("it: ready after", 1);
    ends_well(container);
}

#[test]
fn php_fpm_of_debian_tells_of_itself_and_its_watchdog_is_missed() {
    if !has(&["php-fpm"]) {
        return;
    }
    let container = Container::new(
        &format!(
            r#"
        [service.it]
        command = ["@FPM", "-n", "-F", "-y", "@DIR/fpm.conf"]
        stop-signal = "QUIT"
        stop-scope = "main"
        {BACKOFF}
        ready = {{ notify = "socket" }}
        live = {{ notify = "watchdog", interval = "2200ms", failures = 1 }}
        {AFTER}"#
        )
        .replace("@FPM", php_fpm().unwrap().to_str().unwrap()),
    );
    let container = pool(container, "unix", "pm.max_children = 1").start();
    ready_then_next(&container);
    let master = container.one("master process");
    kill(master, "STOP");
    container.says("WATCHDOG=1 within 2.2s", 1);
    container.says("it: ready after", 2);
    assert_ne!(container.one("master process"), master);
    ends_well(container);
}

#[test]
fn a_watchdogs_client_that_asks_for_it_is_restarted_at_once() {
    if !has(&["systemd-notify"]) {
        return;
    }
    let container = Container::new(&format!(
        r#"
        [service.it]
        command = ["sh", "-c", "test $WATCHDOG_USEC = 60000000; systemd-notify --ready; while [ ! -e @DIR/go ]; do sleep 0.01; done; rm @DIR/go; systemd-notify WATCHDOG=trigger; exec sleep 1000"]
        {BACKOFF}
        ready = {{ notify = "socket" }}
        live = {{ notify = "watchdog", interval = "1m" }}
        "#
    ))
    .start();
    container.says("it: ready after", 1);
    fs::write(container.file("go"), "").unwrap();
    container.says("WATCHDOG=trigger", 1);
    container.says("it: ready after", 2);
    ends_well(container);
}

#[test]
fn a_line_feed_on_a_descriptor_makes_a_service_ready() {
    if !has(&["setsid"]) {
        return;
    }
    // What is written before the line feed is ignored; what is written after it must not end the service.
    let container = Container::new(&format!(
        r#"
        user = "www-data"
        [service.it]
        command = ["sh", "-c", "printf wait >&7; while [ ! -e @DIR/go ]; do sleep 0.01; done; echo >/dev/fd/7; echo more >&7; exec sleep 1000"]
        ready = {{ notify-fd = 7 }}
        {AFTER}"#
    ))
    .start();
    container.says("it: started", 1);
    assert!(!container.log().contains("it: ready"), "{}", container.log());
    fs::write(container.file("go"), "").unwrap();
    ready_then_next(&container);
    assert_eq!(container.running("sleep 1000").len(), 1);
    ends_well(container);
}

#[test]
fn a_program_of_s6_is_ready_as_it_tells_s6() {
    if !has(&["s6-svscan"]) {
        return;
    }
    let container = Container::new(&format!(
        r#"
        directories = ["@DIR/scan"]
        [service.it]
        command = ["s6-svscan", "-d", "3", "@DIR/scan"]
        ready = {{ notify-fd = 3 }}
        {AFTER}"#
    ))
    .start();
    ready_then_next(&container);
    ends_well(container);
}

#[test]
fn a_service_that_never_tells_is_told_about_and_restarted() {
    if !has(&["setsid"]) {
        return;
    }
    let container = Container::new(&format!(
        r#"
        [service.it]
        command = ["sleep", "1000"]
        {BACKOFF}
        ready = {{ notify = "socket", deadline = "600ms" }}
        [service.closes]
        command = ["sh", "-c", "exec 3>&-; exec sleep 2000"]
        ready = {{ notify-fd = 3 }}
        "#
    ))
    .start();
    container.says("no READY=1 to NOTIFY_SOCKET", 1);
    container.says("closed descriptor 3 without a line feed", 1);
    container.says("it: started", 2);
    ends_well(container);
}
