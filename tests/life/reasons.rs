//! Endings in words, and programs that cannot be started.

use crate::container::{Container, NEEDS, PATIENCE};
use crate::support::need;

#[test]
fn a_script_whose_interpreter_is_missing_is_told_by_name_and_gives_127() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["@DIR/script"]
        essential = true
        backoff = { initial = "10ms" }
        give-up = { restarts = 1, within = "1m" }
        "#,
    )
    .script("script", "#!/opt/no/such/interpreter -x\n")
    .start();
    assert_eq!(container.wait(PATIENCE), 127);
    let log = container.log();
    assert!(log.contains("/opt/no/such/interpreter") && log.contains("web: cannot execute"), "{log}");
}

#[test]
fn a_file_that_nobody_may_execute_and_one_without_a_first_line_give_126() {
    if !need(NEEDS) {
        return;
    }
    for (name, words) in [("init.toml", "no execute permission"), ("bare", "#!")] {
        let mut container = Container::new(&format!(
            r#"
            [service.web]
            command = ["@DIR/{name}"]
            essential = true
            backoff = {{ initial = "10ms" }}
            give-up = {{ restarts = 0, within = "1m" }}
            "#
        ))
        .script("bare", "echo no interpreter\n")
        .start();
        assert_eq!(container.wait(PATIENCE), 126, "{name}");
        let log = container.log();
        assert!(log.contains(name) && log.contains(words), "{log}");
    }
}

#[test]
fn a_program_that_is_nowhere_is_found_out_before_anything_starts() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        "[service.web]\ncommand = [\"no-such-program\"]\n[service.other]\ncommand = [\"sleep\", \"1000\"]\n",
    )
    .start();
    assert_eq!(container.wait(PATIENCE), 127);
    let log = container.log();
    assert!(log.contains("no-such-program") && !log.contains("other: started"), "{log}");
}

#[test]
fn a_death_by_a_signal_that_init_did_not_send_is_told() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new("[service.web]\ncommand = [\"sleep\", \"1000\"]\n").start();
    crate::container::kill(container.one("sleep 1000"), "KILL");
    let log = container.says("web: killed by SIGKILL", 1);
    assert!(log.contains("something outside"), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn the_last_words_of_a_crash_come_before_its_reason() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sh", "-c", "echo the reason; printf 'and half a line' >&2; exit 9"]
        essential = true
        give-up = { restarts = 0, within = "1m" }
        "#,
    )
    .start();
    assert_eq!(container.wait(PATIENCE), 9);
    crate::container::in_order(&container.log(), &["the reason\n", "and half a line\n", "web: exited 9"]);
}
