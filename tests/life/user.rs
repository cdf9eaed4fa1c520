//! Any user, and any or no directory to write.

use crate::container::{Container, NEEDS, PATIENCE};
use crate::procs;
use crate::support::need;
use std::os::unix::fs::MetadataExt as _;

const AS_1000: &[&str] = &["setpriv", "--reuid", "1000", "--regid", "1000", "--clear-groups"];

fn uid(pid: i32) -> u32 {
    std::fs::metadata(format!("/proc/{pid}")).unwrap().uid()
}

#[test]
fn uid_1000_supervises_with_a_state_directory_of_its_own() {
    if !need(&[NEEDS, &["setpriv"]].concat()) {
        return;
    }
    let mut container = Container::new(
        r#"
        user = "www-data"
        writable = ["@DIR"]
        directories = ["@DIR/made"]
        [[file]]
        source = "@DIR/source.env"
        path = "@DIR/state/.env"
        format = "dotenv"
        [service.web]
        command = ["sh", "-c", "echo to stderr > /dev/stderr; echo kill -9 $$$$ > @DIR/up; exec sleep 1000"]
        start-grace = "1ms"
        "#,
    )
    .script("source.env", "A=1\n")
    .wrapped(AS_1000)
    .start();
    container.says("to stderr", 1);
    let first = container.one("sleep 1000");
    assert_eq!(uid(first), 1000);
    let placed = std::fs::metadata(container.file("state/.env")).unwrap();
    assert_eq!((placed.uid(), placed.mode() & 0o777), (1000, 0o440));
    assert!(container.file("made").is_dir());
    crate::container::kill(first, "KILL");
    container.says("web: started", 2);
    assert_ne!(container.one("sleep 1000"), first);
    let log = container.log();
    assert!(log.contains("uid 1000") && log.contains("user \"www-data\" is ignored"), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn without_any_directory_to_write_it_says_so_and_supervises() {
    if !need(&[NEEDS, &["setpriv"]].concat()) {
        return;
    }
    // Every mount becomes read-only, but for those that the kernel itself makes.
    let script = "for mount in $(cut -d ' ' -f 2 /proc/self/mounts); do mount -o remount,bind,ro $mount; done 2>/dev/null\n\
        exec setpriv --reuid 1000 --regid 1000 --clear-groups \"$@\"";
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sh", "-c", "for place in @DIR /tmp /var/tmp /dev/shm /run; do touch $$place/probe && echo wrote to $$place; done; echo up; exec sleep 1000"]
        start-grace = "1ms"
        fpm = {}
        "#,
    )
    .wrapped(&["unshare", "--mount", "sh", "-c", script, "sh"])
    .start();
    container.says("up\n", 1);
    let first = container.one("sleep 1000");
    crate::container::kill(first, "KILL");
    container.says("web: started", 2);
    assert_ne!(container.one("sleep 1000"), first);
    let log = container.log();
    assert!(!log.contains("wrote to"), "{log}");
    assert!(log.contains("going on without"), "{log}");
    assert!(procs::read(container.pid()).is_some());
    assert_eq!(container.stop(PATIENCE).0, 0);
}
