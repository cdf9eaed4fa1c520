//! CMD on a terminal: its keys, its job control, its size; and who has it afterwards.

use crate::harness::{PATIENCE, Place, Running, Setup, descendants};
use crate::support::{eventually, need};
use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::process::{ChildStdin, Command};

const NEEDS: &[&str] = &["root", "unshare", "script", "setsid", "bash", "stty", "perl", "/usr/bin/python3"];

/// A program on a terminal of its own, whose other side are two pipes.
struct Terminal {
    running: Running,
    keys: ChildStdin,
}

impl Terminal {
    /// Runs the shell script.
    fn new(setup: &Setup, script: &str) -> Self {
        let file = setup.file("on-terminal.sh", script, 0o755);
        let mut command = Command::new("script");
        // TERM: what bash's line editor asks for.
        command.args(["-qefc", &format!("exec sh {}", file.display()), "/dev/null"]).env("TERM", "dumb");
        let (running, keys) = Running::with_stdin(Place::Child, command);
        Self { running, keys }
    }

    /// Runs `init ARGUMENTS`.
    fn init(setup: &Setup, arguments: &[&str]) -> Self {
        Self::new(setup, &format!("exec {}\n", line(setup, arguments)))
    }

    fn press(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).unwrap();
        self.keys.flush().unwrap();
    }

    /// Waits until a program of this name has the terminal.
    fn foreground(&self, name: &str) -> i32 {
        let outer = self.running.pid();
        eventually(&format!("{name} is in the foreground"), PATIENCE, || {
            descendants(outer).into_iter().find(|pid| {
                let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
                let Some((head, tail)) = stat.rsplit_once(") ") else { return false };
                let fields: Vec<&str> = tail.split(' ').collect();
                head.ends_with(&format!("({name}")) && fields[2] == fields[5]
            })
        })
    }
}

/// The command line that starts init, for a shell.
fn line(setup: &Setup, arguments: &[&str]) -> String {
    let command = setup.command(arguments);
    let quote = |word: &OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"));
    let environment = command
        .get_envs()
        .map(|(name, value)| format!("{}={}", name.to_str().unwrap(), quote(value.unwrap())));
    let words = std::iter::once(command.get_program()).chain(command.get_args()).map(quote);
    let words: Vec<String> = ["env".to_owned()].into_iter().chain(environment).chain(words).collect();
    words.join(" ")
}

/// Not PID 1; PID 1 in the caller's session; PID 1 as Docker makes it, leader of a session with a terminal.
fn set_ups(config: &str) -> Vec<(&'static str, Setup)> {
    vec![
        ("child", Setup::new(Place::Child, config)),
        ("pid 1", Setup::new(Place::Pid1, config)),
        ("pid 1 and session leader", Setup::new(Place::Pid1, config).through(&["setsid", "--ctty"])),
    ]
}

#[test]
fn the_command_has_the_terminal() {
    if !need(NEEDS) {
        return;
    }
    for (place, setup) in set_ups("") {
        let script = "test -t 0 && test -t 1 && test -t 2 && tty && echo size $(stty size); exit 3";
        let done = Terminal::init(&setup, &["--", "sh", "-c", script]).running.finish();
        assert!(done.stdout.contains("/dev/pts/") && done.stdout.contains("size "), "{place}: {done:?}");
        assert_eq!(done.code, 3, "{place}");
    }
}

#[test]
fn a_key_reaches_the_command_once() {
    if !need(NEEDS) {
        return;
    }
    // Not a shell: bash takes an INT for its child's when that ends of itself in the same moment, and runs no trap.
    let script = r#"
import signal, sys
keys = {signal.SIGINT, signal.SIGQUIT}
signal.pthread_sigmask(signal.SIG_BLOCK, keys)
print("ready", flush=True)
while signal.sigwait(keys) == signal.SIGINT:
    print("got-INT", flush=True)
sys.exit(5)
"#;
    for (place, setup) in set_ups("") {
        let mut terminal = Terminal::init(&setup, &["--", "/usr/bin/python3", "-c", script]);
        terminal.running.wait_for("ready");
        for times in 1..=3 {
            terminal.press("\x03");
            eventually("INT is caught", PATIENCE, || {
                (terminal.running.stdout().matches("got-INT").count() >= times).then_some(())
            });
        }
        terminal.press("\x1c");
        let done = terminal.running.finish();
        assert_eq!((done.code, done.stdout.matches("got-INT").count()), (5, 3), "{place}: {done:?}");
    }
}

#[test]
fn a_shell_has_job_control() {
    if !need(NEEDS) {
        return;
    }
    for (place, setup) in set_ups("") {
        let mut terminal = Terminal::init(&setup, &["--", "bash", "--norc", "-i"]);
        terminal.press("echo mark$((40+2))\n");
        terminal.running.wait_for("mark42");
        terminal.press("sleep 1000\n");
        terminal.foreground("sleep");
        terminal.press("\x1a");
        terminal.running.wait_for("Stopped");
        terminal.press("echo again$((40+2)); fg\n");
        terminal.running.wait_for("again42");
        terminal.foreground("sleep");
        terminal.press("\x03");
        terminal.foreground("bash");
        terminal.press("exit 7\n");
        let done = terminal.running.finish();
        assert_eq!(done.code, 7, "{place}: {done:?}");
        for complaint in ["terminal process group", "no job control", "ioctl"] {
            assert!(!done.stdout.contains(complaint), "{place}: {}", done.stdout);
        }
    }
}

#[test]
fn a_new_size_is_told_to_the_command_once() {
    if !need(NEEDS) {
        return;
    }
    let script =
        "trap 'echo got-WINCH $(stty size)' WINCH; trap 'exit 5' QUIT; tty; while :; do sleep 0.02; done";
    for (place, setup) in set_ups("") {
        let mut terminal = Terminal::init(&setup, &["--", "bash", "-c", script]);
        let tty = eventually("the terminal's name", PATIENCE, || {
            terminal.running.stdout().lines().find(|line| line.starts_with("/dev/pts/")).map(str::to_owned)
        });
        // TIOCSWINSZ; stty would change rows and columns one after the other.
        let resize = r#"open(T, "+<", shift) or die $!; my $size = pack("S4", 41, 123, 0, 0); ioctl(T, 0x5414, $size) or die $!"#;
        let resized = Command::new("perl").args(["-e", resize, tty.trim()]).status().unwrap();
        assert!(resized.success());
        terminal.running.wait_for("got-WINCH 41 123");
        terminal.press("\x1c");
        let done = terminal.running.finish();
        assert_eq!(done.code, 5, "{place}: {done:?}");
        assert_eq!(done.stdout.matches("got-WINCH").count(), 1, "{place}: {done:?}");
    }
}

#[test]
fn the_terminal_is_given_back() {
    if !need(NEEDS) {
        return;
    }
    for (end, code) in [("true", 0), ("kill -9 $$", 137), ("setsid sleep 1000 & exit 4", 4)] {
        let setup = Setup::new(Place::Child, "");
        let init = line(&setup, &["--", "bash", "-c", end]);
        let mut terminal =
            Terminal::new(&setup, &format!("{init}\necho code $?\nread -r x\necho \"read:$x\"\n"));
        terminal.running.wait_for(&format!("code {code}"));
        terminal.press("hello\n");
        let done = terminal.running.finish();
        assert!(done.stdout.contains("read:hello"), "{end}: {done:?}");
    }
}

#[test]
fn in_the_background_it_leaves_the_terminal_alone() {
    if !need(NEEDS) {
        return;
    }
    let setup = Setup::new(Place::Child, "");
    let init = line(&setup, &["--", "sh", "-c", "echo in-background; exit 3"]);
    setup.file("job", format!("exec {init}\n"), 0o755);
    let mut terminal = Terminal::new(&setup, "exec bash --norc -i\n");
    terminal.press(&format!("sh {} &\n", setup.path("job").display()));
    terminal.press("wait $!; echo code$?\n");
    terminal.running.wait_for("in-background");
    terminal.running.wait_for("code3");
    terminal.press("exit 7\n");
    assert_eq!(terminal.running.finish().code, 7);
}

#[test]
fn ctrl_c_during_boot_ends_it() {
    if !need(NEEDS) {
        return;
    }
    let config = "[[boot]]\nname = \"slow\"\ncommand = [\"sh\", \"-c\", \"echo booting; exec sleep 1000\"]\n";
    for (place, setup) in set_ups(config) {
        let mut terminal = Terminal::init(&setup, &["--", "true"]);
        terminal.running.wait_for("booting");
        terminal.press("\x03");
        let done = terminal.running.finish();
        assert_eq!(done.code, 130, "{place}: {done:?}");
    }
}
