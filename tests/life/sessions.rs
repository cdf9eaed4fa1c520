//! Descendants in sessions of their own, whose parents are gone: they end with their instance, found by the variable INIT_INSTANCE.

use crate::container::{Container, NEEDS, PATIENCE, Place, kill};
use crate::procs;
use crate::support::{eventually, init, need};
use std::process::Command;

/// As Docker's containers are: root may not look into the processes of other users.
const WITHOUT_PTRACE: &[&str] = &["setpriv", "--bounding-set=-sys_ptrace", "--inh-caps=-sys_ptrace"];

/// Leaves a daemon that has lost its parent, says its pid, and stays.
const STARTER: &str = "#!/bin/sh\n(setsid sh -c 'echo daemon $$; exec sleep 1001' &)\nexec sleep 1002\n";

fn starter(more: &str) -> Container {
    let config = format!(
        r#"
        stop-timeout = "4s"
        [service.starter]
        command = ["@DIR/starter"]
        start-grace = "1ms"
        {more}
        "#
    );
    Container::new(&config).script("starter", STARTER)
}

/// Kills the main process and waits for the next one: the daemon of the former and that of the latter.
fn crash(container: &Container) -> (i32, i32) {
    let (main, daemon) = (container.one("sleep 1002"), container.one("sleep 1001"));
    kill(main, "KILL");
    let next = eventually("its successor has a daemon too", PATIENCE, || {
        let running = container.running("sleep 1001");
        running.into_iter().find(|pid| *pid != daemon)
    });
    (daemon, next)
}

/// `init ARGUMENTS` beside the running one.
fn typed(container: &Container, arguments: &[&str]) {
    eventually("the socket is there", PATIENCE, || container.file("state/init.sock").exists().then_some(()));
    let mut command = Command::new(init());
    command.args(arguments).env_clear().env("INIT_CONFIG", container.file("init.toml"));
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_daemon_does_not_outlive_the_crash_of_its_service() {
    if !need(&[NEEDS, &["setpriv"]].concat()) {
        return;
    }
    for place in [Place::Pid1, Place::Subreaper] {
        for (wrapper, user) in [(&[][..], "root"), (&[], "www-data"), (WITHOUT_PTRACE, "www-data")] {
            let mut container = starter(&format!("user = \"{user}\"")).place(place).wrapped(wrapper).start();
            for _ in 0..3 {
                let (former, next) = crash(&container);
                assert_eq!(procs::read(former), None, "{place:?} {user} {wrapper:?}\n{}", container.log());
                assert_eq!(container.one("sleep 1001"), next);
            }
            assert_eq!(container.stop(PATIENCE).0, 0);
            assert_eq!(container.survivors(), [""; 0]);
        }
    }
}

#[test]
fn a_daemon_gets_term_when_its_service_is_stopped_and_kill_when_it_is_deaf() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        stop-timeout = "20s"
        [service.polite]
        command = ["sh", "-c", "(setsid @DIR/polite &) ; exec sleep 1000"]
        restart = "never"
        [service.deaf]
        command = ["sh", "-c", "(setsid @DIR/deaf &) ; exec sleep 1000"]
        stop-timeout = "1s"
        restart = "never"
        "#,
    )
    .script(
        "polite",
        "#!/usr/bin/perl\n$SIG{TERM} = sub { open(F, '>', '@DIR/clean'); exit 0 };\n\
         open(F, '>', '@DIR/polite.up'); close(F); sleep 1000 while 1",
    )
    .script(
        "deaf",
        "#!/usr/bin/perl\n$SIG{TERM} = q(IGNORE);\nopen(F, '>', '@DIR/deaf.up'); close(F); sleep 1000 while 1",
    )
    .start();
    for name in ["polite", "deaf"] {
        eventually("the daemon is up", PATIENCE, || {
            container.file(&format!("{name}.up")).exists().then_some(())
        });
        typed(&container, &["stop", name]);
        eventually("the daemon is gone", PATIENCE, || {
            container.running(&format!("/{name}")).is_empty().then_some(())
        });
    }
    assert!(container.file("clean").exists(), "it was killed\n{}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn with_kill_mode_group_daemons_live_until_the_stop() {
    if !need(NEEDS) {
        return;
    }
    let mut container = starter("kill-mode = \"group\"").start();
    let (former, next) = crash(&container);
    let mut daemons = container.running("sleep 1001");
    daemons.sort_unstable();
    let mut both = [former, next];
    both.sort_unstable();
    assert_eq!(daemons, both, "{}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn what_a_cron_run_leaves_behind_lives_on_unless_the_run_was_stopped() {
    if !need(NEEDS) {
        return;
    }
    let mut container = starter(
        r#"
        [cron.leaves]
        schedule = "0 0 1 1 *"
        command = ["sh", "-c", "(setsid sleep 1003 &); sleep 1004 & echo left"]
        [cron.hangs]
        schedule = "0 0 1 1 *"
        command = ["sh", "-c", "(setsid sleep 1005 &); echo hangs; sleep 1006"]
        timeout = "300ms"
        "#,
    )
    .start();
    typed(&container, &["run", "--no-wait", "leaves"]);
    container.says("left\n", 1);
    let kept = [container.one("sleep 1003"), container.one("sleep 1004")];
    typed(&container, &["run", "--no-wait", "hangs"]);
    container.says("hangs: stopped", 1);
    eventually("what the stopped run left is gone", PATIENCE, || {
        container.running("sleep 1005").is_empty().then_some(())
    });
    let (former, _) = crash(&container);
    assert_eq!(procs::read(former), None);
    assert_eq!([container.one("sleep 1003"), container.one("sleep 1004")], kept, "{}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

/// The mark is not believed against what the kernel says of a process.
#[test]
fn a_forged_mark_ends_neither_another_service_nor_a_process_of_roots() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        stop-timeout = "4s"
        [service.starter]
        command = ["@DIR/starter"]
        user = "www-data"
        start-grace = "1ms"
        [service.forges]
        command = ["@DIR/forges"]
        user = "www-data"
        [service.root]
        command = ["@DIR/root"]
        user = "root"
        "#,
    )
    .script(
        "starter",
        &STARTER
            .replace("(setsid", "echo $INIT_INSTANCE > @DIR/mark.new; mv @DIR/mark.new @DIR/mark\n(setsid"),
    )
    // The main process of a living service, its child in a session of its own, and a daemon of root's.
    .script(
        "forges",
        "#!/bin/sh\nuntil INIT_INSTANCE=$(cat @DIR/mark 2>/dev/null); do sleep 0.05; done\n\
         export INIT_INSTANCE\nsetsid sleep 1003 &\nexec sleep 1004\n",
    )
    .script(
        "root",
        "#!/bin/sh\nuntil INIT_INSTANCE=$(cat @DIR/mark 2>/dev/null); do sleep 0.05; done\n\
         export INIT_INSTANCE\n(setsid sleep 1005 &)\nexec sleep 1006\n",
    )
    .start();
    let texts = ["sleep 1003", "sleep 1004", "sleep 1005", "sleep 1006"];
    let before = texts.map(|text| container.one(text));
    let (former, _) = crash(&container);
    assert_eq!(procs::read(former), None, "{}", container.log());
    assert_eq!(texts.map(|text| container.one(text)), before, "{}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn what_a_probes_program_leaves_behind_is_killed() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sleep", "1000"]
        ready = { command = ["sh", "-c", "(setsid sleep 1001 &); echo probed >> @DIR/probes; exit 1"], interval = "50ms" }
        "#,
    )
    .start();
    eventually("it was probed often", PATIENCE, || {
        (container.text("probes").lines().count() >= 20).then_some(())
    });
    // One of the probe under way and one that is about to be found.
    eventually("few are left", PATIENCE, || (container.running("sleep 1001").len() <= 2).then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn an_init_below_another_has_marks_of_its_own() {
    if !need(NEEDS) {
        return;
    }
    let mut container = starter("").env("INIT_INSTANCE", "of-another-init").start();
    let daemon = container.one("sleep 1001");
    let environment = std::fs::read(format!("/proc/{daemon}/environ")).unwrap();
    let marks: Vec<&[u8]> =
        environment.split(|byte| *byte == 0).filter(|line| line.starts_with(b"INIT_INSTANCE=")).collect();
    assert!(marks.len() == 1 && marks[0] != b"INIT_INSTANCE=of-another-init", "{marks:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}
