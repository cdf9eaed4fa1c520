//! stdin, stdout and stderr of the container, in every state that they can be in: what init is for goes on.

use crate::client::{socket, status};
use crate::container::{Container, NEEDS, Output, PATIENCE, kill, writable};
use crate::processes::{PLACES, no_zombie};
use crate::procs;
use crate::support::{eventually, need};
use nix::fcntl::{FcntlArg, FdFlag, fcntl};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::termios::{FlowArg, tcflow};
use nix::unistd::ttyname;
use std::any::Any;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
    stop-timeout = "10s"
    [service.web]
    command = ["sleep", "1001"]
    start-grace = "1ms"
    backoff = { initial = "10ms", jitter = 0.0 }
    give-up = "none"
    [service.loud]
    command = ["@DIR/loud"]
    start-grace = "1ms"
    backoff = { initial = "10ms", jitter = 0.0 }
    give-up = "none"
    [cron.task]
    schedule = "* * * * * *"
    command = ["sh", "-c", "echo task; date +%s >> @DIR/runs"]
"#;

/// Writes more than any pipe holds to both streams, each time that it starts.
const LOUD: &str = "#!/usr/bin/perl\n$SIG{CHLD} = 'IGNORE';\nfork or exec 'seq', '50000';\n\
    fork or do { open(STDOUT, '>&', STDERR); exec 'seq', '50000' };\nsleep 1000 while 1";

fn container(config: &str) -> Container {
    Container::new(config).script("loud", LOUD)
}

const SERVICES: [&str; 2] = ["sleep 1001", "/loud"];

fn are_restarted(container: &Container, what: &str) {
    for text in SERVICES {
        let old = container.one(text);
        kill(old, "KILL");
        eventually(&format!("{text} is restarted ({what})"), PATIENCE, || {
            container.running(text).iter().any(|pid| *pid != old).then_some(())
        });
    }
}

/// Both services are restarted when they are killed, runs come, init answers, and the stop is in order.
fn supervises(mut container: Container, what: &str) {
    are_restarted(&container, what);
    let runs = || container.text("runs").lines().count();
    let before = runs();
    eventually(&format!("the next run ({what})"), PATIENCE, || (runs() > before).then_some(()));
    assert!(status(&socket(&container)).services.iter().all(|one| one.wanted), "{what}");
    no_zombie(&container);
    container.signal("TERM");
    assert_eq!(container.wait(PATIENCE), 0, "{what}");
    assert_eq!(container.survivors(), [""; 0], "{what}");
}

#[test]
fn with_any_of_its_streams_closed_init_supervises_and_stops() {
    if !need(NEEDS) {
        return;
    }
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        for place in PLACES {
            let script = format!("exec \"$@\" {closed}");
            let container = container(CONFIG).wrapped(&["sh", "-c", &script, "sh"]).place(place).start();
            // No file that init opened has come to stand in place of what was closed.
            let kept = |fd: &str| std::fs::read_link(format!("/proc/{}/fd/{fd}", container.pid()));
            for (fd, redirection) in [("0", "<&-"), ("1", " >&-"), ("2", "2>&-")] {
                if format!(" {closed}").contains(redirection) {
                    eventually("it leads to nothing", PATIENCE, || {
                        kept(fd).is_ok_and(|file| file.as_os_str() == "/dev/null").then_some(())
                    });
                }
            }
            supervises(container, &format!("{closed} {place:?}"));
        }
    }
}

/// What stdout and stderr lead to, and what must live meanwhile.
fn outputs() -> Vec<(&'static str, OwnedFd, Box<dyn Any>)> {
    let pipe = || std::io::pipe().unwrap();
    let socket = || std::os::unix::net::UnixStream::pair().unwrap();
    let (full, gone, unread, left) = (pipe(), pipe(), socket(), socket());
    let terminal = terminal();
    let (directory, hung_up) = (tempfile::tempdir().unwrap(), self::terminal());
    let file = writable(&directory.path().join("log"));
    let held = self::terminal();
    tcflow(&held.slave, FlowArg::TCOOFF).unwrap();
    drop((gone.0, left.0, hung_up.master));
    let nothing = || Box::new(());
    vec![
        ("a pipe that is never read", full.1.into(), Box::new(full.0)),
        ("a pipe whose reader is gone", gone.1.into(), nothing()),
        ("a socket that is never read", unread.0.into(), Box::new(unread.1)),
        ("a socket whose peer is gone", left.1.into(), nothing()),
        ("a terminal that nobody looks at", terminal.slave, Box::new(terminal.master)),
        ("a terminal whose output is held", held.slave, Box::new(held.master)),
        ("a terminal that is hung up", hung_up.slave, nothing()),
        ("a file", file, Box::new(directory)),
        ("/dev/full", writable("/dev/full".as_ref()), nothing()),
        ("/dev/null", writable("/dev/null".as_ref()), nothing()),
        ("a directory", std::fs::File::open("/").unwrap().into(), nothing()),
    ]
}

#[test]
fn whatever_its_output_leads_to_init_supervises_and_stops() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        for (what, output, _kept) in outputs() {
            let container = container(CONFIG).place(place).output(Output::To(output)).start();
            supervises(container, &format!("{what} {place:?}"));
        }
    }
}

#[test]
fn a_log_file_that_may_not_grow_ends_nobody() {
    if !need(&[NEEDS, &["prlimit"]].concat()) {
        return;
    }
    // The kernel sends XFSZ, which ends whoever does not expect it.
    for place in PLACES {
        let container = container(CONFIG).wrapped(&["prlimit", "--fsize=8192:8192"]).place(place);
        let log = container.file("log");
        let container = container.output(Output::To(writable(&log))).start();
        eventually("it is full", PATIENCE, || (log.metadata().unwrap().len() == 8192).then_some(()));
        supervises(container, &format!("{place:?}"));
    }
}

/// A terminal whose other end nobody inherits.
fn terminal() -> OpenptyResult {
    let terminal = openpty(None, None).unwrap();
    fcntl(&terminal.master, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)).unwrap();
    terminal
}

/// As `docker run -t` makes it: init leads a session with this terminal.
fn at_a_terminal(container: Container) -> (Container, OwnedFd, String) {
    let terminal = terminal();
    let name = ttyname(&terminal.slave).unwrap().to_string_lossy().into_owned();
    let wrapper = ["sh", "-c", "exec setsid --ctty \"$@\" <&1", "sh"];
    let container = container.wrapped(&wrapper).output(Output::To(terminal.slave)).start();
    (container, terminal.master, name)
}

#[test]
fn a_terminal_that_hangs_up_under_init_ends_nobody_and_wakes_nobody() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let config = CONFIG.split("[cron.task]").next().unwrap();
        let (mut container, master, name) = at_a_terminal(container(config).place(place));
        let pids = SERVICES.map(|text| container.one(text));
        let leads = || std::fs::read_link(format!("/proc/{}/fd/1", container.pid())).unwrap();
        assert_eq!(leads().to_str().unwrap(), name);
        // The kernel sends HUP to init: which is to reload, and not to end.
        drop(master);
        for (text, pid) in SERVICES.iter().zip(pids) {
            eventually("it was reloaded", PATIENCE, || {
                container.running(text).iter().any(|new| *new != pid).then_some(())
            });
        }
        are_restarted(&container, "hung up");
        // An output that is always at its end must not keep init busy.
        let mut last = (procs::switches(container.pid()), Instant::now());
        eventually("init is quiet", PATIENCE, || {
            let now = procs::switches(container.pid());
            if now != last.0 {
                last = (now, Instant::now());
            }
            (last.1.elapsed() > Duration::from_secs(2)).then_some(())
        });
        no_zombie(&container);
        container.signal("TERM");
        assert_eq!(container.wait(PATIENCE), 0);
        assert_eq!(container.survivors(), [""; 0]);
    }
}

#[test]
fn a_command_is_told_once_that_its_terminal_hung_up() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let script = "trap 'echo told >> @DIR/told; [ -e @DIR/again ] && exit 7; touch @DIR/again' HUP\n\
            touch @DIR/up; while :; do sleep 0.02; done";
        let container = Container::new("").script("command", &format!("#!/bin/sh\n{script}\n")).place(place);
        let command = container.file("command").to_str().unwrap().to_owned();
        let (mut container, master, _) = at_a_terminal(container.arguments(&["--", &command]));
        eventually("it listens", PATIENCE, || container.file("up").exists().then_some(()));
        drop(master);
        eventually("it is told", PATIENCE, || container.file("again").exists().then_some(()));
        // A second HUP is the second one that it sees, so the first came once.
        container.signal("HUP");
        assert_eq!(container.wait(PATIENCE), 7);
        assert_eq!(container.text("told"), "told\ntold\n");
        assert_eq!(container.survivors(), [""; 0]);
    }
}
