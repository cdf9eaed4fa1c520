//! Reloads: what was fetched and made anew gets into its place when all of it worked, and not at all otherwise.

use crate::container::{Container, NEEDS, PATIENCE, in_order};
use crate::procs;
use crate::support::{eventually, need};
use std::fs;

/// A fetched file, a step that makes a cache of it, and a service that shows which cache it was started with.
const APP: &str = r#"
    env = { CONFIG = "@DIR/state" }
    [[file]]
    source = "@DIR/source"
    path = "app.env"
    format = "dotenv"
    [[boot]]
    name = "cache"
    command = ["@DIR/cache"]
    timeout = "2s"
    [reload.caches]
    CACHE = "of/app"
    VIEWS = "views/"
    [service.app]
    command = ["sh", "-c", "cp ${CACHE} @DIR/seen; exec sleep 1000"]
"#;

/// `FAIL=…` in the file makes it fail, `HANG=…` hang.
const STEP: &str = r#"#!/bin/sh
. "$CONFIG/app.env"
[ -z "$VIEWS" ] || touch "$VIEWS/one"
cat "$CONFIG/app.env" > "${CACHE:-@DIR/first}" || exit 9
echo "$CONFIG" >> @DIR/steps
[ -z "$HANG" ] || exec sleep 1001
[ -z "$FAIL" ] || exit 7
"#;

/// A container that runs with `VALUE=1`.
fn running(more: &str) -> Container {
    running_with(&config(more))
}

fn running_with(config: &str) -> Container {
    let container = Container::new(config).script("cache", STEP);
    fs::write(container.file("source"), "VALUE=1\n").unwrap();
    let container = container.start();
    eventually("the service has its cache", PATIENCE, || {
        (container.text("seen") == "VALUE=1\n").then_some(())
    });
    container
}

fn config(more: &str) -> String {
    APP.replace("${CACHE}", "$${CACHE:-@DIR/first}") + more
}

fn source(container: &Container, text: &str) {
    // In one step: what refreshes must not see half of it.
    fs::write(container.file("source.new"), text).unwrap();
    fs::rename(container.file("source.new"), container.file("source")).unwrap();
}

/// Everything of a reload that is there: staged files and generations.
fn made(container: &Container) -> Vec<String> {
    let names = |dir: &str| {
        let entries = fs::read_dir(container.file(dir)).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let mut all = names("state/.generations");
    all.extend(names("state").into_iter().filter(|name| name.starts_with(".init-reload")));
    all.sort();
    all
}

#[test]
fn a_reload_brings_a_new_file_into_a_new_generation_of_caches() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running("stop-timeout = '1s'\n");
    let first = container.one("sleep 1000");
    for round in 2..=4 {
        source(&container, &format!("VALUE={round}\n"));
        container.signal(if round == 3 { "USR2" } else { "HUP" });
        eventually("the service has the new cache", PATIENCE, || {
            (container.text("seen") == format!("VALUE={round}\n")).then_some(())
        });
        assert_eq!(container.text("state/app.env"), format!("VALUE={round}\n"));
        let log = container.says("reloaded in", round - 1);
        assert!(log.contains("app.env changed, 1 boot step, app reloads"), "{log}");
    }
    assert_ne!(container.one("sleep 1000"), first);
    // The step saw the new file before it was in its place; boot and the caches that it wrote are as they were.
    let steps = container.text("steps");
    let steps: Vec<&str> = steps.lines().collect();
    assert!(steps.len() == 4 && steps[0].ends_with("/state"), "{steps:?}");
    assert!(steps[1..].iter().all(|step| step.contains("/state/.init-reload-")), "{steps:?}");
    assert_eq!(container.text("first"), "VALUE=1\n");
    eventually("what no process uses is gone", PATIENCE, || (made(&container) == ["3"]).then_some(()));
    assert!(container.file("state/.generations/3/views/one").exists());
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(made(&container).is_empty(), "nobody uses it any more");
}

/// The application may move directories of root's that it cannot empty, and with them could have root remove anything.
#[test]
fn what_is_not_the_applications_stays_where_it_moved_it_and_is_told_at_once() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running_with(&format!("user = 'www-data'\n{}", config("stop-timeout = '1s'\n")));
    source(&container, "VALUE=2\nHANG=1\n");
    container.signal("HUP");
    let roots = container.file("state/.generations/1/roots");
    eventually("the step has made its caches", PATIENCE, || {
        container.file("state/.generations/1/views/one").exists().then_some(())
    });
    fs::create_dir(&roots).unwrap();
    fs::write(roots.join("file"), "x").unwrap();
    container.says("everything stays as it was", 1);
    let log = container.says("cannot remove", 1);
    assert!(log.contains(".generations/1: permission denied for its owner"), "{log}");
    assert!(roots.join("file").exists() && !container.file("state/.generations/1/views").exists());
    source(&container, "VALUE=2\n");
    container.signal("HUP");
    container.says("reloaded in", 1);
    assert!(container.file("state/.generations/2/views/one").exists());
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(made(&container), ["1"]);
}

/// The key is in init's own environment for as long as init lives, whatever the plan says by then.
#[test]
fn the_key_of_a_file_that_a_reload_drops_is_withheld_still() {
    if !need(NEEDS) {
        return;
    }
    let file = "[[file]]\nsource = \"@DIR/none\"\npath = \"key.env\"\nrequired = false\n\
                decrypt = { format = \"laravel\", key-env = \"FILE_KEY\" }\n";
    let service = "[service.app]\ncommand = [\"sh\", \"-c\", \"env > @DIR/new; mv @DIR/new @DIR/seen; exec sleep 1000\"]\n";
    let mut container =
        Container::new(&format!("{file}{service}")).env("FILE_KEY", "secret").env("OTHER", "x").start();
    for round in 0..3 {
        if round > 0 {
            container.configure(&format!("{service}env = {{ ROUND = \"{round}\" }}\n"));
            container.signal("HUP");
            container.says("reloaded in", round);
        }
        let seen = eventually("the service shows its environment", PATIENCE, || {
            let seen = container.text("seen");
            (seen.contains("OTHER=x") && (round == 0 || seen.contains(&format!("ROUND={round}"))))
                .then_some(seen)
        });
        assert!(!seen.contains("FILE_KEY"), "{round}: {seen}");
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_failure_of_any_kind_leaves_everything_as_it_was() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running("stop-timeout = '1s'\n");
    let pid = container.one("sleep 1000");
    let good = fs::read_to_string(container.file("init.toml")).unwrap();
    let mut rounds = 0;
    let mut fails = |container: &Container, words: &str| {
        rounds += 1;
        container.signal("HUP");
        let log = container.says("everything stays as it was", rounds);
        assert!(log.contains(words), "{words:?} is not in {log}");
        assert_eq!(container.one("sleep 1000"), pid, "{words}");
        assert_eq!(container.text("state/app.env"), "VALUE=1\n", "{words}");
        assert_eq!(container.text("seen"), "VALUE=1\n", "{words}");
        eventually("nothing of it is left", PATIENCE, || made(container).is_empty().then_some(()));
    };
    source(&container, "VALUE=1 2\n");
    fails(&container, "reload failed: cannot accept");
    source(&container, "VALUE=2\nFAIL=1\n");
    fails(&container, "reload failed: boot step \"cache\" failed: exit code 7");
    source(&container, "VALUE=2\nHANG=1\n");
    fails(&container, "reload failed: boot step \"cache\" did not end within 2s");
    fs::remove_file(container.file("source")).unwrap();
    fails(&container, "No such file or directory");
    source(&container, "VALUE=2\n");
    fs::write(container.file("init.toml"), good.replace("[service.app]", "[service.app]\ncomand = 1"))
        .unwrap();
    fails(&container, "init.toml:18:1: unknown key \"comand\"");
    fs::write(container.file("init.toml"), good.replace("/state\"\nwork", "/other\"\nwork")).unwrap();
    fails(&container, "state-dir cannot become");
    fs::write(
        container.file("init.toml"),
        good.replace("[\"@DIR", "[\"/nowhere").replace("/cache\"]", "/no\"]"),
    )
    .unwrap();
    fails(&container, "this configuration cannot run here");
    fs::write(container.file("init.toml"), &good).unwrap();
    // And then it works.
    container.signal("HUP");
    container.says("reloaded in", 1);
    eventually("the new value", PATIENCE, || (container.text("seen") == "VALUE=2\n").then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn requests_during_a_reload_become_one_and_everything_else_goes_on() {
    if !need(NEEDS) {
        return;
    }
    let crashing = "\n[service.crashing]\ncommand = [\"sh\", \"-c\", \"echo crashed; sleep 0.05\"]\n\
                    backoff = { initial = \"10ms\", factor = 1.0 }\n";
    let mut container = running(crashing);
    source(&container, "VALUE=2\nHANG=1\n");
    container.signal("HUP");
    eventually("the step hangs", PATIENCE, || (container.running("sleep 1001").len() == 1).then_some(()));
    let crashes = container.log().matches("crashed").count();
    container.says("crashed", crashes + 3);
    for n in 1..=3 {
        container.signal("HUP");
        container.says("another one follows", n);
    }
    source(&container, "VALUE=3\n");
    let log = container.says("reloaded in", 1);
    assert_eq!(log.matches("reload failed").count(), 1, "{log}");
    assert_eq!(log.matches(": reloading\n").count(), 2, "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_stop_ends_a_reload_at_once() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running("");
    source(&container, "VALUE=2\nHANG=1\n");
    container.signal("HUP");
    eventually("the step hangs", PATIENCE, || (container.running("sleep 1001").len() == 1).then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
    let log = container.log();
    assert!(log.contains("the reload ends here") && !log.contains("left behind"), "{log}");
    assert_eq!(container.text("state/app.env"), "VALUE=1\n");
    assert_eq!(made(&container), Vec::<String>::new());
    assert_eq!(container.survivors(), Vec::<String>::new());
}

#[test]
fn a_boot_removes_what_a_killed_init_left_also_with_a_fifo_in_it() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running("");
    assert_eq!(container.stop(PATIENCE).0, 0);
    for left in ["state/.generations/7", "state/.init-reload-3"] {
        fs::create_dir_all(container.file(left)).unwrap();
        fs::write(container.file(left).join("app.env"), "VALUE=0\n").unwrap();
        // Whoever could write there put a FIFO in place of the lock, or of any other file.
        nix::unistd::mkfifo(&container.file(left).join(".lock"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    }
    let container = container.start();
    container.says("booted in", 2);
    assert_eq!(made(&container), Vec::<String>::new());
}

#[test]
fn a_file_is_looked_at_by_itself() {
    if !need(NEEDS) {
        return;
    }
    let mut container = running("").script("never", "");
    let mut refreshed = config("");
    refreshed = refreshed.replace("format = \"dotenv\"", "format = \"dotenv\"\n    refresh = \"300ms\"");
    container.configure(&refreshed);
    container.signal("HUP");
    container.says("reloaded in", 1);
    container.says("app: started", 2);
    let pid = container.one("sleep 1000");
    // Nothing has changed, and nothing is said.
    let log = container.log();
    source(&container, "VALUE=1 2\n");
    container.says("cannot refresh: cannot accept", 1);
    assert_eq!(container.one("sleep 1000"), pid);
    source(&container, "VALUE=2\n");
    let after = container.says("reloaded in", 2);
    assert!(after.contains("app.env changed: reloading"), "{after}");
    assert_eq!(after.matches("cannot refresh").count(), 1, "told once: {after}");
    assert_eq!(log.matches("reloaded in").count(), 1);
    eventually("the new value", PATIENCE, || (container.text("seen") == "VALUE=2\n").then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_changed_certificate_signals_its_service_and_nobody_else() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [[file]]
        source = "@DIR/source"
        path = "cert.pem"
        refresh = "200ms"
        on-change = { signal = "HUP", service = "web" }
        [[file]]
        source = "@DIR/quiet-source"
        path = "quiet"
        refresh = "200ms"
        on-change = "none"
        [service.web]
        command = ["sh", "-c", "trap 'echo told; cat @DIR/state/cert.pem' HUP; echo up; while :; do sleep 0.02; done"]
        [service.other]
        command = ["sleep", "1000"]
        "#,
    );
    source(&container, "one\n");
    fs::write(container.file("quiet-source"), "one\n").unwrap();
    container = container.start();
    container.says("up\n", 1);
    let other = container.one("sleep 1000");
    source(&container, "two\n");
    let log = container.says("two\n", 1);
    in_order(&log, &["cert.pem changed: placed", "sending SIGHUP: a file has changed", "told", "two\n"]);
    fs::write(container.file("quiet-source"), "two\n").unwrap();
    eventually("it is placed", PATIENCE, || (container.text("state/quiet") == "two\n").then_some(()));
    let log = container.log();
    assert_eq!(log.matches("told\n").count(), 1, "{log}");
    assert!(!log.contains("reloaded in"), "{log}");
    assert_eq!(container.one("sleep 1000"), other);
    assert_eq!(procs::descendants(container.pid()).iter().filter(|one| one.state == 'Z').count(), 0);
    assert_eq!(container.stop(PATIENCE).0, 0);
}
