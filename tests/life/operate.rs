//! The commands as a person types them, against a real init: codes, what they show, and health in each phase.

use crate::client;
use crate::container::{Container, NEEDS, PATIENCE};
use crate::support::{eventually, init, need};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

/// Ends when the file is there.
const UNTIL_GO: &str = r#"["sh", "-c", "until [ -e @DIR/go ]; do sleep 0.01; done"]"#;

const SERVICES: &str = r#"
    [service.web]
    command = ["sleep", "1000"]
    essential = true
    start-grace = "1ms"
    [service.queue]
    command = ["perl", "-e", "$SIG{USR1} = sub { syswrite STDOUT, \"signalled\n\" }; syswrite STDOUT, \"up\n\"; open my $fd, '>&=3'; syswrite $fd, \"\n\"; sleep 1 while 1"]
    instances = 2
    ready = { notify-fd = 3 }
    stagger = "0s"
    [cron.job]
    schedule = "0 0 1 1 *"
    command = ["sh", "-c", "echo did it; exit 7"]
"#;

/// `init ARGUMENTS` beside the running one, which its configuration leads to.
fn command(container: &Container, arguments: &[&str]) -> Command {
    let mut command = Command::new(init());
    command.args(arguments).env_clear().env("INIT_CONFIG", container.file("init.toml")).stdin(Stdio::null());
    command
}

/// Its code, standard output, standard error.
fn typed(container: &Container, arguments: &[&str]) -> (i32, String, String) {
    let output = command(container, arguments).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Fails unless the code is `code` and each of `shown` stands in what was written, wherever.
fn expect(container: &Container, arguments: &[&str], code: i32, shown: &[&str]) -> String {
    let (found, out, err) = typed(container, arguments);
    let all = format!("{out}{err}");
    assert_eq!(found, code, "{arguments:?}: {all}");
    for text in shown {
        assert!(all.contains(text), "{arguments:?}: no {text:?} in {all}");
    }
    all
}

/// Waits until `init ARGUMENTS` exits with `code`, and returns what it wrote.
fn comes_to(container: &Container, arguments: &[&str], code: i32) -> String {
    eventually(&format!("init {arguments:?} exits {code}"), PATIENCE, || {
        let (found, out, err) = typed(container, arguments);
        (found == code).then(|| format!("{out}{err}"))
    })
}

fn up(config: &str) -> Container {
    let container = Container::new(config).start();
    comes_to(&container, &["status"], 0);
    container
}

#[test]
fn status_tells_what_runs_and_what_does_not() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(SERVICES);
    let page =
        expect(&container, &["status"], 0, &["running, ready", "preset none", "queue:1", "job", "cron"]);
    let web = page.lines().find(|line| line.starts_with("web ")).unwrap();
    assert!(web.contains("RUNNING") && web.contains("pid ") && web.contains("uptime "), "{web}");
    let (_, json, _) = typed(&container, &["status", "--json", "web"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&json["v"], &json["phase"], &json["ready"]), (&1.into(), &"running".into(), &true.into()));
    assert_eq!(
        (json["services"].as_array().unwrap().len(), &json["services"][0]["name"]),
        (1, &"web".into())
    );
    expect(&container, &["status", "wbe"], 64, &["cannot find", "did you mean \"web\"?"]);
    expect(&container, &["status", "--jsn"], 64, &["--jsn", "init status --help"]);

    expect(&container, &["status", "--timeline"], 0, &["Boot of init", "web", "queue:0"]);
    let picture = container.file("boot.svg");
    expect(&container, &["status", "--svg", picture.to_str().unwrap()], 0, &[]);
    let picture = fs::read_to_string(picture).unwrap();
    assert!(picture.contains("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");

    expect(&container, &["stop", "web"], 0, &["web: stopped"]);
    // As was asked for, which is no failure; but the container is not ready.
    expect(&container, &["status"], 0, &["running, not ready", "STOPPED"]);
    expect(&container, &["health"], 1, &["unhealthy: web is STOPPED, as was asked for"]);
    expect(&container, &["health", "--level", "alive"], 0, &["healthy: alive"]);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_service_that_fails_is_seen_in_the_status_and_its_code() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        "[service.broken]\ncommand = [\"sh\", \"-c\", \"exit 3\"]\n[service.web]\ncommand = [\"sleep\", \"1000\"]\n",
    )
    .start();
    container.says("broken: exited 3", 1);
    let page = comes_to(&container, &["status", "broken"], 3);
    assert!(page.contains("last exited 3"), "{page}");
    comes_to(&container, &["status", "web"], 0);
    expect(&container, &["start", "broken"], 1, &["broken: is ", "exited 3"]);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn services_are_steered_by_name() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(SERVICES);
    let pid = |name: &str| {
        client::status(&client::socket(&container))
            .services
            .into_iter()
            .find(|one| one.name == name)
            .unwrap()
            .pid
    };
    let before = (pid("queue:0"), pid("queue:1"));
    expect(&container, &["restart", "queue:1"], 0, &["queue:1: restarted, pid"]);
    assert_eq!(pid("queue:0"), before.0);
    assert_ne!(pid("queue:1"), before.1);
    expect(&container, &["stop", "queue"], 0, &["queue:0: stopped", "queue:1: stopped"]);
    assert_eq!((pid("queue:0"), pid("queue:1")), (None, None));
    expect(&container, &["signal", "USR1", "queue:0"], 1, &["it has no process"]);
    expect(&container, &["start", "all"], 0, &["queue:0: started", "web: is RUNNING already"]);
    expect(&container, &["signal", "sigusr1", "queue:0"], 0, &["queue:0: sent SIGUSR1 to pid"]);
    container.says("signalled", 1);
    for (arguments, shown) in [
        (&["stop", "quee"][..], "did you mean \"queue\"?"),
        (&["stop"], "NAME:N, or all"),
        (&["start", "queue:2"], "has 2 of them"),
        (&["start", "job"], "init run job"),
        (&["signal", "FOO", "web"], "is no signal"),
        (&["restart", "--timeout", "0s", "web"], "no time at all"),
    ] {
        expect(&container, arguments, 64, &[shown]);
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_cron_entry_runs_and_its_code_is_the_commands() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(SERVICES);
    expect(&container, &["run", "job"], 7, &["job: exited 7"]);
    expect(&container, &["run", "--no-wait", "job"], 0, &["job: started"]);
    container.says("did it", 2);
    expect(&container, &["run", "jbo"], 64, &["did you mean \"job\"?"]);
    // Not "did you mean" the very same.
    let refusal = expect(&container, &["run", "queue"], 64, &["that is no cron entry", "init restart queue"]);
    assert!(!refusal.contains("did you mean"), "{refusal}");
    expect(&container, &["logs", "job"], 0, &["job | did it"]);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn lines_and_events_are_shown_and_followed_until_their_reader_goes() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(SERVICES);
    container.says("up\n", 2);
    expect(&container, &["logs", "-n", "10", "queue"], 0, &["queue:0 | up", "queue:1 | up"]);
    expect(&container, &["logs", "queue:7"], 64, &["queue:7", "did you mean"]);
    expect(&container, &["logs", "-n", "many"], 64, &["\"many\" is not a number of lines"]);
    expect(&container, &["events"], 0, &["web: started, pid"]);
    for line in expect(&container, &["events", "--json", "-n", "3"], 0, &[]).lines() {
        let event: serde_json::Value = serde_json::from_str(line).unwrap();
        assert!(event["text"].is_string() && event["at_ms"].is_i64(), "{line}");
    }
    let mut follower =
        command(&container, &["logs", "-f", "-n", "0", "queue:0"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(follower.stdout.take().unwrap());
    // Until the follower is there nothing that comes is its.
    eventually("the follower shows a line", PATIENCE, || {
        expect(&container, &["signal", "USR1", "queue:0"], 0, &[]);
        let mut ready =
            [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(lines.get_ref()), nix::poll::PollFlags::POLLIN)];
        (nix::poll::poll(&mut ready, 100_u16).unwrap() > 0).then_some(())
    });
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    assert_eq!(line, "queue:0 | signalled\n");
    drop(lines);
    // Its reader has gone, and no line comes that would tell it.
    assert_eq!(follower.wait().unwrap().code(), Some(0));
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_pager_may_take_longer_than_the_time_limit() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(
        "[service.talk]\ncommand = [\"perl\", \"-e\", \"print 'x' x 500, chr 10 for 1 .. 400; $| = 1; print qq{last\\\\n}; sleep 1000\"]\n",
    );
    container.says("last\n", 1);
    let mut logs = command(&container, &["logs", "-n", "1000", "--timeout", "200ms"]);
    let mut logs = logs.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // More than a pipe holds: it waits for its reader, and goes on waiting when its own limit is long over. That has to pass.
    let began = std::time::Instant::now();
    eventually("the limit is over", PATIENCE, || (began.elapsed().as_millis() > 500).then_some(()));
    assert_eq!(logs.try_wait().unwrap(), None, "it waits");
    let output = logs.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!((output.status.code(), &*err), (Some(0), ""), "{}", out.len());
    assert!(out.contains("talk | last\n"), "{}", out.len());
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn pausing_and_completing_and_reloading() {
    if !need(NEEDS) {
        return;
    }
    let mut container = up(SERVICES);
    expect(&container, &["pause"], 0, &["paused"]);
    expect(&container, &["pause"], 0, &["is paused already"]);
    expect(&container, &["status"], 0, &[", paused"]);
    expect(&container, &["resume"], 0, &["resumed"]);
    expect(&container, &["resume"], 0, &["is not paused"]);
    let (code, names, _) = typed(&container, &["completions", "names"]);
    let mut names: Vec<&str> = names.lines().collect();
    names.sort_unstable();
    assert_eq!((code, names), (0, vec!["job", "queue", "queue:0", "queue:1", "web"]));
    expect(&container, &["reload"], 0, &["reload"]);
    comes_to(&container, &["health"], 0);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn health_is_right_during_the_boot_while_running_and_while_stopping() {
    if !need(NEEDS) {
        return;
    }
    let trap = r#"["sh", "-c", "trap : TERM; until [ -e @DIR/end ]; do sleep 0.01; done"]"#;
    let mut container = Container::new(&format!(
        "[[boot]]\nname = \"wait\"\ncommand = {UNTIL_GO}\n[service.web]\ncommand = {trap}\nessential = true\nstart-grace = \"1ms\"\n"
    ))
    .start();
    eventually("the boot says what it is at", PATIENCE, || {
        typed(&container, &["health"]).1.contains("boot step \"wait\"").then_some(())
    });
    expect(&container, &["health"], 1, &["unhealthy: boot step \"wait\" has been going on for"]);
    expect(&container, &["health", "--level", "alive"], 0, &["healthy: alive; boot step"]);
    expect(&container, &["status"], 3, &["booting"]);
    expect(&container, &["stop", "web"], 69, &["cannot do that yet: the container boots"]);
    fs::write(container.file("go"), "").unwrap();
    assert_eq!(comes_to(&container, &["health"], 0), "healthy: ready, running\n");
    assert_eq!(expect(&container, &["health", "--quiet"], 0, &[]), "");

    container.signal("TERM");
    assert!(comes_to(&container, &["health"], 1).contains("the container is stopping"));
    expect(&container, &["health", "--level", "alive"], 0, &["stopping"]);
    expect(&container, &["restart", "web"], 69, &["stopping"]);
    fs::write(container.file("end"), "").unwrap();
    assert_eq!(container.wait(PATIENCE), 0);
    expect(&container, &["health"], 1, &["there is no such socket"]);
    expect(&container, &["status"], 69, &["there is no such socket", "is init running?"]);
}

#[test]
fn a_container_that_migrates_is_healthy() {
    if !need(NEEDS) {
        return;
    }
    let mut container =
        Container::new(&format!("[migrate]\ncommand = {UNTIL_GO}\n")).arguments(&["--migrate"]).start();
    eventually("it migrates", PATIENCE, || typed(&container, &["health"]).1.contains("migrat").then_some(()));
    for level in ["ready", "alive"] {
        expect(&container, &["health", "--level", level], 0, &["healthy: ", "the container migrates"]);
    }
    expect(&container, &["run", "job"], 69, &["this container migrates"]);
    fs::write(container.file("go"), "").unwrap();
    assert_eq!(container.wait(PATIENCE), 0);
}

#[test]
fn an_init_that_hangs_is_unhealthy_within_the_limit() {
    if !need(NEEDS) {
        return;
    }
    let container = up(SERVICES);
    expect(&container, &["health"], 0, &["healthy"]);
    container.signal("STOP");
    eventually("init is stopped", PATIENCE, || {
        let stat = fs::read_to_string(format!("/proc/{}/stat", container.pid())).unwrap();
        stat.rsplit_once(") ").unwrap().1.starts_with('T').then_some(())
    });
    for level in ["ready", "alive"] {
        let arguments = ["health", "--level", level, "--timeout", "300ms"];
        expect(&container, &arguments, 1, &["unhealthy: ", "none within 300ms; init hangs"]);
    }
    expect(&container, &["status", "--timeout", "300ms"], 69, &["init hangs"]);
    container.signal("CONT");
    comes_to(&container, &["health"], 0);
    // One that was killed leaves its socket, and nobody behind it.
    container.signal("KILL");
    eventually("nobody listens", PATIENCE, || {
        typed(&container, &["health"]).1.contains("nobody listens").then_some(())
    });
    expect(&container, &["status"], 69, &["init has ended"]);
}
