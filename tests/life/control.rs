//! The control socket of a real init: where it is, who may ask, and what is answered in each phase.

use crate::client::{ask, health, next, outcomes, raw, reaches, refused, send, socket, status, verdicts};
use crate::container::{Container, NEEDS, PATIENCE};
use crate::support::{eventually, init, need};
use php_init::control::protocol::{Phase, Reply, SpanKind};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::process::{Command, Output, Stdio};

const WEB: &str = r#"
    [service.web]
    command = ["sleep", "1000"]
    essential = true
    start-grace = "1ms"
"#;

#[test]
fn the_socket_is_there_before_the_boot_steps_and_gone_at_the_end() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(&format!(
        "{WEB}\n[[boot]]\nname = \"wait\"\ncommand = [\"sh\", \"-c\", \"until [ -e @DIR/go ]; do sleep 0.01; done\"]\n"
    ))
    .start();
    let path = socket(&container);
    let booting = status(&path);
    assert_eq!((booting.phase, booting.services.len()), (Phase::Booting, 0));
    let found = fs::metadata(&path).unwrap();
    assert!(found.file_type().is_socket());
    assert_eq!((found.permissions().mode() & 0o777, found.uid()), (0o600, 0));
    eventually("the boot tells what it is at", PATIENCE, || {
        health(&path, "ready").reasons.iter().any(|why| why.starts_with("boot step \"wait\"")).then_some(())
    });
    assert_eq!(verdicts(&path), (true, false));
    assert_eq!(refused(&path, r#""request":"restart","names":["web"]"#).0, 69);
    fs::write(container.file("go"), "").unwrap();
    eventually("the container is ready", PATIENCE, || health(&path, "ready").healthy.then_some(()));
    let running = status(&path);
    assert_eq!((running.phase, running.services[0].state.as_str()), (Phase::Running, "RUNNING"));
    let Reply::Timeline(timeline) = ask(&path, r#""request":"timeline""#) else { panic!("no timeline") };
    let kinds: Vec<_> = timeline.spans.iter().map(|span| (span.kind, span.name.as_str(), span.ok)).collect();
    assert!(
        kinds.contains(&(SpanKind::Step, "wait", true)) && kinds.contains(&(SpanKind::Service, "web", true))
    );
    assert!(timeline.spans.iter().all(|span| span.end_ms.is_some_and(|end| end >= span.start_ms)));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(!path.exists());
}

#[test]
fn a_migration_is_healthy_and_a_stop_is_alive_but_not_ready() {
    if !need(NEEDS) {
        return;
    }
    let waits = r#"["sh", "-c", "until [ -e @DIR/go ]; do sleep 0.01; done"]"#;
    let mut container =
        Container::new(&format!("[migrate]\ncommand = {waits}\n")).arguments(&["--migrate"]).start();
    let path = socket(&container);
    reaches(&path, Phase::Migrating);
    assert_eq!(verdicts(&path), (true, true));
    assert!(refused(&path, r#""request":"stop","names":["all"]"#).1.contains("migrates"));
    fs::write(container.file("go"), "").unwrap();
    assert_eq!(container.wait(PATIENCE), 0);

    let mut container = Container::new(
        "[service.web]\ncommand = [\"sh\", \"-c\", \"trap : TERM; : >@DIR/deaf; until [ -e @DIR/go ]; do sleep 0.01; done\"]\n",
    )
    .start();
    let path = socket(&container);
    eventually("the service is deaf", PATIENCE, || container.file("deaf").exists().then_some(()));
    reaches(&path, Phase::Running);
    container.signal("TERM");
    reaches(&path, Phase::Stopping);
    assert_eq!(verdicts(&path), (true, false));
    assert_eq!(refused(&path, r#""request":"start","names":["web"]"#).0, 69);
    fs::write(container.file("go"), "").unwrap();
    container.wait(PATIENCE);
}

/// `docker exec C init …`: the same namespaces.
fn exec(container: &Container, arguments: &[&str]) -> Output {
    let namespaces = |kind: &str| format!("--{kind}=/proc/{}/ns/{}", container.pid(), &kind[..3]);
    let mut command = Command::new("nsenter");
    command.arg(namespaces("pid")).arg(format!("--mount=/proc/{}/ns/mnt", container.pid()));
    command.arg(init()).arg("--config").arg(container.file("init.toml")).args(arguments);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
fn a_second_init_in_the_container_supervises_nothing_and_steals_nothing() {
    if !need(&[NEEDS, &["nsenter"]].concat()) {
        return;
    }
    let step = "[[boot]]\nname = \"step\"\ncommand = [\"sh\", \"-c\", \"echo x >>@DIR/boots\"]\n";
    let mut container = Container::new(&format!("{WEB}\n[migrate]\ncommand = [\"true\"]\n{step}")).start();
    let path = socket(&container);
    container.says("web: started", 1);
    let before = status(&path);
    let second = exec(&container, &[]);
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert_eq!(second.status.code(), Some(75), "{said}");
    assert!(said.contains("another init runs here already") && said.contains("init -- CMD"), "{said}");
    let command = exec(&container, &["--", "sh", "-c", "echo hello; exit 3"]);
    assert_eq!((command.status.code(), command.stdout.as_slice()), (Some(3), &b"hello\n"[..]));
    assert_eq!(container.text("boots"), "x\n", "the services live with what the boot made");
    assert_eq!(exec(&container, &["--boot", "--", "true"]).status.code(), Some(0));
    assert_eq!(container.text("boots"), "x\nx\n");
    assert_eq!(exec(&container, &["--migrate"]).status.code(), Some(0));
    let after = status(&path);
    assert_eq!((after.pid, after.services[0].pid), (before.pid, before.services[0].pid));
    assert_eq!(container.log().matches("web: started").count(), 1);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn the_socket_of_a_killed_init_is_replaced_and_another_containers_is_left_alone() {
    if !need(NEEDS) {
        return;
    }
    let container = Container::new(WEB).start();
    let path = socket(&container);
    container.says("web: started", 1);
    // Another container with the same volume: it runs, without a socket.
    fs::write(
        container.file("other.toml"),
        format!(
            "preset = \"none\"\nstate-dir = \"{0}/state\"\nwork-dir = \"{0}\"\n[service.once]\ncommand = [\"true\"]\nrestart = \"never\"\n",
            container.dir()
        ),
    )
    .unwrap();
    let mut other = Command::new("unshare");
    other.args(["--pid", "--fork", "--mount-proc", "--kill-child"]).arg(init()).arg("--config");
    let other = other.arg(container.file("other.toml")).stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.success() && said.contains("another container's init listens"), "{said}");
    assert!(said.contains("without a control socket"), "{said}");
    assert_eq!(status(&path).services.len(), 1);

    container.signal("KILL");
    eventually("nobody listens", PATIENCE, || std::os::unix::net::UnixStream::connect(&path).err());
    assert!(path.exists(), "a killed init cleans up nothing");
    let mut again = Command::new(init());
    let again =
        again.arg("--config").arg(container.file("other.toml")).stdin(Stdio::null()).output().unwrap();
    assert!(again.status.success(), "{}", String::from_utf8_lossy(&again.stderr));
    assert!(!path.exists(), "it made the socket its own, and took it away");
}

#[test]
fn without_a_writable_directory_or_by_configuration_there_is_no_socket() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(&format!("{WEB}\n[control]\nsocket = \"@DIR/file/init.sock\"\n"));
    fs::write(container.file("file"), "no directory").unwrap();
    container = container.start();
    let log = container.says("without a control socket", 1);
    assert!(log.contains("init.sock") || log.contains("file"), "{log}");
    container.says("web: started", 1);
    assert_eq!(container.stop(PATIENCE).0, 0);

    let mut container = Container::new(&format!("{WEB}\n[control]\nsocket = \"none\"\n")).start();
    let log = container.says("web: started", 1);
    assert!(!log.contains("socket") && !socket(&container).exists(), "{log}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_long_path_is_no_obstacle() {
    if !need(NEEDS) {
        return;
    }
    let long = "d".repeat(150);
    let mut container =
        Container::new(&format!("{WEB}\n[control]\nsocket = \"@DIR/{long}/init.sock\"\n")).start();
    container.says("web: started", 1);
    let path = container.file(&format!("{long}/init.sock"));
    let health = Command::new(init()).arg("health").arg("--socket").arg(&path).output().unwrap();
    assert_eq!(health.status.code(), Some(0), "{}", String::from_utf8_lossy(&health.stdout));
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert!(!path.exists());
}

#[test]
fn only_root_and_inits_own_user_are_answered() {
    if !need(&[NEEDS, &["setpriv"]].concat()) {
        return;
    }
    let mut container = Container::new(WEB).start();
    let path = socket(&container);
    container.says("web: started", 1);
    // Even where somebody has opened the socket to all.
    fs::set_permissions(container.file("state"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o666)).unwrap();
    let stranger = |request: &str| {
        let script = "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new($ARGV[0]) or die; \
                      print $s $ARGV[1]; $s->flush; print <$s>;";
        let mut command = Command::new("setpriv");
        command.args(["--reuid", "65534", "--regid", "65534", "--clear-groups", "perl", "-e", script]);
        let output = command.arg(&path).arg(request).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let answer = stranger("{\"v\":1,\"request\":\"stop\",\"names\":[\"all\"]}\n");
    assert!(answer.contains("root alone") && answer.contains("uid 65534"), "{answer}");
    assert!(answer.contains("\"code\":69"), "{answer}");
    assert!(
        raw(&path, b"{\"v\":1,\"request\":\"status\"}").contains("\"RUNNING\""),
        "root, without a line feed"
    );
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn instances_are_stopped_started_and_restarted_by_name() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(&format!(
        "{WEB}
        [service.queue]
        command = [\"sleep\", \"2000\"]
        instances = 2
        start-grace = \"1ms\"
        stagger = \"0s\"
        [service.broken]
        command = [\"sh\", \"-c\", \"exit 3\"]
        give-up = {{ restarts = 0, within = \"1m\", then = \"stay\" }}
        "
    ))
    .start();
    let path = socket(&container);
    let state = |name: &str| {
        let services = status(&path).services;
        services
            .into_iter()
            .find(|service| service.name == name)
            .map(|service| (service.state, service.pid))
            .unwrap()
    };
    eventually("all are up", PATIENCE, || {
        (state("queue:1").0 == "RUNNING" && state("broken").0 == "FATAL").then_some(())
    });
    let verb = |verb: &str, name: &str| outcomes(&path, &format!(r#""request":"{verb}","names":["{name}"]"#));
    let stopped = verb("stop", "queue:1");
    assert_eq!((stopped.len(), stopped[0].ok, stopped[0].name.as_str()), (1, true, "queue:1"));
    assert_eq!((state("queue:1"), state("queue:0").0), (("STOPPED".to_owned(), None), "RUNNING".to_owned()));
    let started = verb("start", "queue");
    assert!(started.len() == 2 && started.iter().all(|one| one.ok), "{started:?}");
    assert!(started[0].text.starts_with("is RUNNING already") && started[1].text.starts_with("started, pid"));
    let before = state("web").1;
    let restarted = verb("restart", "web");
    assert!(restarted[0].ok && restarted[0].text.starts_with("restarted, pid"), "{restarted:?}");
    assert_ne!(state("web").1, before);
    let failed = verb("start", "broken");
    assert!(!failed[0].ok && failed[0].code == 1 && failed[0].text.contains("exited 3"), "{failed:?}");
    let signalled = outcomes(&path, r#""request":"signal","names":["queue:0"],"signal":"sigcont""#);
    assert!(signalled[0].ok && signalled[0].text.contains("SIGCONT to pid"), "{signalled:?}");
    assert!(refused(&path, r#""request":"start","names":["quue"]"#).1.contains("did you mean \"queue\""));
    assert!(refused(&path, r#""request":"start","names":["queue:7"]"#).1.contains("has 2 of them"));
    assert_eq!(refused(&path, r#""request":"signal","names":["web"],"signal":"NOPE""#).0, 64);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_start_that_waits_for_its_turn_is_waited_for() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        "[service.queue]
        command = [\"sleep\", \"2000\"]
        instances = 2
        start-grace = \"1ms\"
        stagger = \"3s\"
        ",
    )
    .start();
    let path = socket(&container);
    let is = |name: &str, state: &str| {
        eventually(&format!("{name} is {state}"), PATIENCE, || {
            let services = status(&path).services;
            services.into_iter().find(|one| one.name == name && one.state == state).map(drop)
        });
    };
    let ask = |request: &str| outcomes(&path, request).remove(0);
    is("queue:1", "RUNNING");
    // Each time the other one has just been started.
    for (verb, name) in [("restart", "queue:0"), ("start", "queue:1")] {
        assert!(ask(&format!(r#""request":"signal","names":["{name}"],"signal":"KILL""#)).ok);
        is(name, "BACKOFF");
        let done = ask(&format!(r#""request":"{verb}","names":["{name}"]"#));
        assert!(done.ok && done.text.contains("started, pid"), "{done:?}");
    }
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_cron_entry_runs_when_asked_and_its_code_comes_back() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        "
        [cron.job]
        schedule = \"0 0 1 1 *\"
        command = [\"sh\", \"-c\", \"echo did it; exit 7\"]
        [cron.missing]
        schedule = \"0 0 1 1 *\"
        command = [\"@DIR/gone\"]
        ",
    )
    .script("gone", "#!/no/such/interpreter\n")
    .start();
    let path = socket(&container);
    reaches(&path, Phase::Running);
    let ran = outcomes(&path, r#""request":"run","name":"job","wait":true"#);
    assert!(!ran[0].ok && ran[0].code == 7 && ran[0].text.contains("exited 7"), "{ran:?}");
    container.says("did it", 1);
    let started = outcomes(&path, r#""request":"run","name":"job","wait":false"#);
    assert!(started[0].ok && started[0].text.starts_with("started"), "{started:?}");
    let missing = outcomes(&path, r#""request":"run","name":"missing","wait":true"#);
    assert_eq!((missing[0].ok, missing[0].code), (false, 127), "{missing:?}");
    assert!(refused(&path, r#""request":"run","name":"jb","wait":true"#).1.contains("did you mean \"job\""));
    assert!(refused(&path, r#""request":"start","names":["job"]"#).1.contains("init run job"));
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn lines_and_events_are_shown_and_followed() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(&format!(
        "{WEB}
        [service.talk]
        command = [\"sh\", \"-c\", \"echo one; echo two >&2; until [ -e @DIR/go ]; do sleep 0.01; done; echo three; exec sleep 1000\"]
        "
    ))
    .start();
    let path = socket(&container);
    container.says("two", 1);
    let mut follower = send(&path, r#""request":"logs","names":["talk"],"lines":10,"follow":true"#);
    let mut line = || match next(&mut follower) {
        Some(Reply::Log(line)) => (line.stream, line.text),
        other => panic!("{other:?}"),
    };
    let mut both = [line(), line()];
    both.sort();
    let pair = |stream: &str, text: &str| (stream.to_owned(), text.to_owned());
    assert_eq!(both, [pair("stderr", "two"), pair("stdout", "one")]);
    fs::write(container.file("go"), "").unwrap();
    assert_eq!(line(), pair("stdout", "three"));
    assert_eq!(ask(&path, r#""request":"logs","names":[],"lines":5,"follow":false"#), Reply::End);
    let mut events = send(&path, r#""request":"events","lines":100,"follow":false"#);
    let told: Vec<Reply> = std::iter::from_fn(|| next(&mut events)).collect();
    let started = told.iter().any(|reply| {
        matches!(reply, Reply::Event(event) if event.name.as_deref() == Some("web") && event.text.starts_with("started"))
    });
    assert!(started && told.last() == Some(&Reply::End), "{told:?}");
    assert!(
        refused(&path, r#""request":"logs","names":["takl"],"lines":1,"follow":false"#)
            .1
            .contains("\"talk\"")
    );
    let counted = status(&path).log;
    assert_eq!((counted.lines, counted.bytes, counted.dropped_lines), (3, 14, 0));
    assert_eq!(container.stop(PATIENCE).0, 0);
}
