//! A container at a terminal, as `docker run -t` starts it.

use crate::init::Init;
use crate::support::need;
use nix::pty::openpty;
use nix::unistd::ttyname;
use std::fs;
use std::process::{Command, Stdio};

const NEEDS: &[&str] = &["root", "setsid", "stty"];

/// Changes the size of the window, of which the kernel tells whoever is in the foreground.
fn resize(terminal: &str) {
    let status = Command::new("stty").args(["-F", terminal, "rows", "40", "cols", "132"]).status().unwrap();
    assert!(status.success());
}

#[test]
fn a_window_that_changes_its_size_stops_no_service() {
    if !need(NEEDS) {
        return;
    }
    let terminal = openpty(None, None).unwrap();
    let name = ttyname(&terminal.slave).unwrap().to_string_lossy().into_owned();
    let mut init = Init::new("[service.web]\ncommand = [\"sleep\", \"1000\"]\n");
    init.start(&["setsid", "--ctty"], &[], Stdio::from(terminal.slave));
    init.says("started, pid");
    resize(&name);
    init.signal("USR1");
    init.says("orphans reaped");
    init.signal("TERM");
    assert_eq!(init.wait(), 0);
    assert!(!init.log().contains("WINCH"), "{}", init.log());
}

#[test]
fn a_window_that_changes_its_size_ends_no_boot() {
    if !need(NEEDS) {
        return;
    }
    let terminal = openpty(None, None).unwrap();
    let name = ttyname(&terminal.slave).unwrap().to_string_lossy().into_owned();
    let mut init = Init::new(
        "[[boot]]\nname = \"wait\"\ncommand = [\"sh\", \"-c\", \"echo waits; until [ -e go ]; do sleep 0.02; done\"]\n",
    );
    init.start(&["setsid", "--ctty"], &["--", "sh", "-c", "exit 7"], Stdio::from(terminal.slave));
    init.says("waits");
    resize(&name);
    fs::write(init.file("go"), "").unwrap();
    assert_eq!(init.wait(), 7);
}
