//! The commands that talk to a running init, against one that is played here: exit codes, pipes, hostile answers.

use crate::support::{init, need};
use crate::usage::bare;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const ALIVE: &str = r#"{"reply":"health","healthy":true,"phase":"running","reasons":[]}"#;
const STATUS: &str = r#"{"reply":"status","v":1,"version":"9","pid":1,"phase":"running","uptime_ms":1,"preset":"none","paused":false,"ready":true,"services":[{"name":"web","service":"web","instance":0,"state":"STATE","wanted":true,"essential":true,"since_ms":1,"restarts":0,"restarts_by_cause":{},"failures":0,"paused":false}],"crons":[{"name":"report","schedule":"@daily","running":[],"outcomes":{}}],"orphans_reaped":0,"log":{"lines":0,"bytes":0,"dropped_lines":0}}"#;

/// An init that answers `answer` to all but the question whether it is alive, as often as it is asked.
struct Played {
    _dir: TempDir,
    path: PathBuf,
}

impl Played {
    fn new(answer: impl Fn(&str, UnixStream) + Send + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("init.sock");
        let listener = UnixListener::bind(&path).unwrap();
        // Ends with the process, of which nextest makes one for each test.
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let _unread = BufReader::new(&stream).read_line(&mut line);
                answer(&line, stream);
            }
        });
        Self { _dir: dir, path }
    }

    /// Says these lines, and `alive` when asked.
    fn saying(lines: &'static str) -> Self {
        Self::new(move |request, mut stream| {
            let alive = request.contains(r#""level":"alive""#);
            let _gone = writeln!(stream, "{}", if alive { ALIVE } else { lines });
        })
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(init());
        command.args(arguments).env_clear().env("INIT_SOCKET", &self.path).stdin(Stdio::null());
        command
    }

    fn ask(&self, arguments: &[&str]) -> (i32, String, String) {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
    }
}

fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    line
}

#[test]
fn every_command_has_a_help_with_an_example() {
    let (_, page, _) = bare(&["--help"]);
    let names = [
        "health",
        "status",
        "start",
        "stop",
        "restart",
        "signal",
        "reload",
        "logs",
        "events",
        "run",
        "pause",
        "resume",
        "check",
        "doctor",
        "cron",
        "import",
        "completions",
    ];
    for name in names {
        assert!(page.contains(name), "{name} is not on the main page");
        let (code, out, err) = bare(&[name, "--help"]);
        assert_eq!((code, err.as_str()), (0, ""), "{name}");
        let (_, example) = out.split_once("xample").unwrap_or_else(|| panic!("{name}: no example in\n{out}"));
        assert!(example.contains(&format!("init {name}")) || name == "health", "{name}: {example}");
        assert!(out.to_lowercase().contains("exit"), "{name}: no exit codes in\n{out}");
        // For a terminal of 80 columns; check's is wider.
        let widest = out.lines().map(|line| line.chars().count()).max().unwrap();
        assert!(widest <= 80, "{name}: {widest}");
    }
}

#[test]
fn health_is_0_or_1_and_nothing_else() {
    let healthy = Played::saying(ALIVE);
    let (code, out, err) = healthy.ask(&["health"]);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "healthy: ready, running\n", ""));
    assert_eq!(healthy.ask(&["health", "--quiet"]), (0, String::new(), String::new()));
    let sick = Played::saying(
        r#"{"reply":"health","healthy":false,"phase":"running","reasons":["web is BACKOFF"]}"#,
    );
    assert_eq!(sick.ask(&["health"]), (1, "unhealthy: web is BACKOFF\n".to_owned(), String::new()));
    let silent = Played::new(|_, mut stream| drop(stream.read_to_end(&mut Vec::new())));
    for (arguments, words) in [
        (&["health", "--timeout", "50ms"][..], "none within 50ms; init hangs"),
        (
            &["health", "--socket", "/nonexistent/s"],
            "/nonexistent/s: there is no such socket; is init running?",
        ),
        (&["health", "--colour"], "--colour"),
        (&["health", "--level", "redy"], "did you mean \"ready\"?"),
        (&["health", "now"], "now"),
        (&["health", "--timeout", "soon"], "soon"),
    ] {
        let (code, out, err) = silent.ask(arguments);
        assert_eq!(code, 1, "{arguments:?}");
        assert!(format!("{out}{err}").contains(words), "{arguments:?}: {out}{err}");
    }
    for garbage in ["", "{", "null", "HTTP/1.1 200 OK", STATUS] {
        let (code, out, _) = Played::saying(garbage).ask(&["health"]);
        assert_eq!((code, out.lines().count()), (1, 1), "{garbage}: {out}");
        assert!(out.starts_with("unhealthy: cannot "), "{garbage}: {out}");
    }
}

#[test]
fn a_broken_configuration_does_not_break_a_health_check() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.sock");
    let listener = UnixListener::bind(&path).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let _gone = writeln!(stream, "{ALIVE}");
        }
    });
    let config = dir.path().join("init.toml");
    let text = format!("state-dir = {:?}\nno-such-key = 1\n[service.a]\n", dir.path());
    std::fs::write(&config, text).unwrap();
    let mut command = Command::new(init());
    let output = command.arg("health").env_clear().env("INIT_CONFIG", &config).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    std::fs::write(&config, "state-dir = ").unwrap();
    let mut command = Command::new(init());
    let output = command.arg("status").env_clear().env("INIT_CONFIG", &config).output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(69), "{err}");
    assert!(err.contains("/opt/php/init.sock") && err.contains("is not valid TOML"), "{err}");
}

#[test]
fn exit_codes_are_those_of_the_table() {
    let down = STATUS.replace("STATE", "BACKOFF");
    let up = STATUS.replace("STATE", "RUNNING");
    let (down, up): (&'static str, &'static str) = (down.leak(), up.leak());
    let job = r#"{"reply":"progress","text":"started, pid 42"}
{"reply":"done","results":[{"name":"report","ok":false,"code":7,"text":"exited 7 after 3s"}]}"#;
    let done = r#"{"reply":"done","results":[{"name":"web","ok":true,"code":0,"text":"stopped"}]}"#;
    let refused = r#"{"reply":"error","code":64,"message":"cannot stop \"wbe\": there is no such service"}"#;
    for (says, arguments, code, shown) in [
        (up, &["status"][..], 0, "web"),
        (down, &["status"], 3, "BACKOFF"),
        (down, &["status", "report"], 0, "report"),
        (up, &["status", "wbe"], 64, "did you mean \"web\"?"),
        (job, &["run", "report"], 7, "exited 7 after 3s"),
        (done, &["stop", "web"], 0, "web: stopped"),
        (refused, &["stop", "wbe"], 64, "init stop: cannot stop"),
        (done, &["stop"], 64, "NAME:N, or all"),
        (done, &["signal", "USR9", "web"], 64, "USR9"),
        (done, &["run"], 64, "cron entry"),
        (done, &["logs", "-n", "x"], 64, "number of lines"),
        (up, &["status", "--watch", "--svg", "x"], 64, "do not go together"),
        (done, &["status"], 69, "cannot understand"),
        ("", &["reload"], 69, "cannot understand"),
    ] {
        let (found, out, err) = Played::saying(says).ask(arguments);
        assert_eq!(found, code, "{arguments:?}: {out}{err}");
        assert!(format!("{out}{err}").contains(shown), "{arguments:?}: {out}{err}");
    }
    for name in ["status", "reload", "logs", "events", "pause", "resume"] {
        let (code, out, err) = bare(&[name, "--socket", "/nonexistent/s"]);
        assert_eq!((code, out.as_str()), (69, ""), "{name}");
        assert!(err.starts_with(&format!("init {name}: cannot reach init at /nonexistent/s")), "{err}");
    }
}

#[test]
fn json_is_what_init_says() {
    let up: &'static str = STATUS.replace("STATE", "RUNNING").leak();
    let (code, out, _) = Played::saying(up).ask(&["status", "--json"]);
    let expected = up.replace("\"reply\":\"status\",", "");
    assert_eq!((code, out), (0, format!("{expected}\n")));
}

#[test]
fn a_watch_and_a_follower_end_when_nobody_reads_them() {
    let up: &'static str = STATUS.replace("STATE", "RUNNING").leak();
    let watched = Played::saying(up);
    let mut child =
        watched.command(&["status", "--watch", "--interval", "10m"]).stdout(Stdio::piped()).spawn().unwrap();
    assert!(first_line(&mut child).starts_with("init 9: running"));
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0), "long before the next look");

    let log = r#"{"reply":"log","at_ms":1,"name":"web","stream":"stdout","text":"hello"}"#;
    let followed = Played::new(move |request, mut stream| {
        let alive = request.contains(r#""level":"alive""#);
        let _gone = writeln!(stream, "{}", if alive { ALIVE } else { log });
        // Says nothing more, and stays.
        if !alive {
            let _gone = stream.read_to_end(&mut Vec::new());
        }
    });
    let mut child = followed.command(&["logs", "-f"]).stdout(Stdio::piped()).spawn().unwrap();
    assert_eq!(first_line(&mut child), "web | hello\n");
    drop(child.stdout.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_connect_that_is_never_accepted_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.sock");
    let _listener = UnixListener::bind(&path).unwrap();
    let mut waiting = Vec::new();
    // Until its queue is full; then an init that hangs is one that does not even take the connection.
    let short = Duration::from_millis(20);
    while let Ok(stream) = php_init::files::socket::connect(&path, short) {
        waiting.push(stream);
    }
    let (code, out, _) = bare(&["health", "--timeout", "100ms", "--socket", path.to_str().unwrap()]);
    assert_eq!(code, 1);
    assert!(out.contains("none within 100ms; init hangs"), "{out}");
}

#[test]
fn each_shell_reads_its_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (code, script, err) = bare(&["completions", shell]);
        assert_eq!((code, err.as_str()), (0, ""), "{shell}");
        if !need(&[shell]) {
            continue;
        }
        let mut child = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success(), "{shell}");
    }
}

#[test]
fn bash_offers_commands_options_and_the_names_of_services() {
    if !need(&["bash"]) {
        return;
    }
    let status: &'static str =
        STATUS.replace("\"name\":\"web\"", "\"name\":\"web:1\"").replace("STATE", "RUNNING").leak();
    let played = Played::saying(status);
    let (_, script, _) = bare(&["completions", "bash"]);
    for (line, words) in [
        ("init sta", &["start", "status"][..]),
        ("init health --l", &["--level"]),
        ("init health --level ", &["alive", "ready"]),
        ("init stop w", &["web", "web:1"]),
        ("init stop web:", &["1"]),
        ("init run ", &["report"]),
        ("init completions f", &["fish"]),
        ("init --m", &["--migrate"]),
        ("init check --print-preset ", &["laravel", "nginx", "php", "wordpress"]),
        ("init doctor --preset n", &["nginx", "none"]),
    ] {
        let init = format!("'{}' \"$@\"", init().display());
        let output = Command::new("bash")
            .args(["-c", &bash_completing(&script, line, &init)])
            .env("INIT_SOCKET", &played.path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let mut found: Vec<&str> = text.lines().collect();
        found.sort_unstable();
        found.dedup();
        let offered = if line.ends_with("run ") { found.contains(&"report") } else { found == words };
        assert!(offered, "{line}: {found:?} {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A script that completes `line`, where `init` is a function with this body.
fn bash_completing(script: &str, line: &str, init: &str) -> String {
    format!(
        "init() {{ {init}; }}\n{script}\nCOMP_LINE='{line}' COMP_POINT=${{#COMP_LINE}}\n\
         text=${{COMP_LINE//:/ : }}; read -ra COMP_WORDS <<<\"$text\"\n\
         [[ $COMP_LINE == *[\\ :] ]] && COMP_WORDS+=('')\n\
         COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _init; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
}

/// Names that a shell could take for more than names; CANARY is a path to be made.
const HOSTILE: &str =
    r#"$(touch CANARY) `touch CANARY` ;touch	CANARY a$(touch CANARY) --help'x <(touch CANARY)"#;

#[test]
fn a_name_from_the_socket_is_never_code_in_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let canary = dir.path().join("canary");
    let canary_text = canary.to_str().unwrap();
    // What the client prints of a hostile server's names.
    let name = format!("$(touch${{IFS}}{canary_text})");
    let status: &'static str =
        STATUS.replace("report", &name).replace("\"web\"", &format!("\"{name}\"")).leak();
    let played = Played::saying(status);
    for word in ["names", "services", "jobs"] {
        let (code, out, err) = played.ask(&["completions", word]);
        assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""), "{word}");
    }
    // The scripts take nothing for code either, should such a name come through.
    let names = HOSTILE.replace("CANARY", canary_text);
    let lines = "printf '%s\\n' \"$NAMES\" \"$IFS_NAME\" safe";
    let scripts: &[(&str, &str, String)] = &[
        ("bash", "init run ", bash_completing(&bare(&["completions", "bash"]).1, "init run ", lines)),
        ("bash", "init stop a", bash_completing(&bare(&["completions", "bash"]).1, "init stop a", lines)),
        (
            "zsh",
            "init run ",
            format!(
                "init() {{ {lines} }}; compadd() {{ print -rl -- $@ }}; compdef() {{ }}\n{}\n\
                 words=(init run ''); CURRENT=3; _init",
                bare(&["completions", "zsh"]).1
            ),
        ),
        (
            "fish",
            "init run ",
            format!(
                "function init; printf '%s\\n' $NAMES $IFS_NAME safe; end\n{}\ncomplete -C 'init run '",
                bare(&["completions", "fish"]).1
            ),
        ),
    ];
    for (shell, line, script) in scripts {
        if !need(&[shell]) {
            continue;
        }
        let output = Command::new(shell)
            .args(["-c", script])
            .env("NAMES", &names)
            .env("IFS_NAME", &name)
            .env("HOME", dir.path())
            .output()
            .unwrap();
        let out = String::from_utf8_lossy(&output.stdout).into_owned();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(!canary.exists(), "{shell} ran a name at {line:?}: {out} {err}");
        assert_eq!(line.ends_with("run "), out.contains("safe"), "{shell} {line:?}: {out} {err}");
        assert!(*shell != "bash" || !out.contains('$'), "{out}");
    }
}

#[test]
fn a_file_name_is_no_code_in_bash() {
    if !need(&["bash"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("$(touch canary)"), "").unwrap();
    let (_, script, _) = bare(&["completions", "bash"]);
    for line in ["init import ", "init check --config "] {
        let output = Command::new("bash")
            .args(["-c", &bash_completing(&script, line, "true")])
            .current_dir(dir.path())
            .output()
            .unwrap();
        assert!(!dir.path().join("canary").exists(), "{line}");
        let out = String::from_utf8(output.stdout).unwrap();
        assert!(out.contains("$(touch canary)"), "{line}: {out}");
    }
}

/// Serves the socket at `path` as another user, for as long as it lives.
struct Stranger(Child);

impl Drop for Stranger {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

#[test]
fn nobody_is_asked_who_is_neither_root_nor_the_user() {
    if !need(&["root", "setpriv", "/usr/bin/python3"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let path = dir.path().join("init.sock");
    // Tells what it was asked, and answers that all is well.
    let serve = "import socket,sys\ns=socket.socket(socket.AF_UNIX)\ns.bind(sys.argv[1])\ns.listen()\n\
        print('listens',flush=True)\nwhile 1:\n c=s.accept()[0]\n got=c.recv(9999)\n \
        open(sys.argv[1]+'.asked','ab').write(got)\n \
        try: c.sendall(sys.argv[2].encode()+b'\\n')\n except OSError: pass\n c.close()\n";
    let mut stranger = Stranger(
        Command::new("setpriv")
            .args(["--reuid=65533", "--regid=65533", "--clear-groups", "/usr/bin/python3", "-c", serve])
            .args([path.to_str().unwrap(), ALIVE])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    assert_eq!(first_line(&mut stranger.0), "listens\n");
    let socket = path.to_str().unwrap();
    for (arguments, expected) in [
        (&["health"][..], 1),
        (&["status"], 69),
        (&["logs"], 69),
        (&["stop", "web"], 69),
        (&["reload"], 69),
        (&["completions", "names"], 0),
    ] {
        let mut command = Command::new(init());
        let output = command.args(arguments).env_clear().env("INIT_SOCKET", socket).output().unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code(), Some(expected), "{arguments:?}: {said}");
        let told = said.contains("served by uid 65533, who is neither root");
        assert!(told || arguments == ["completions", "names"] && said.is_empty(), "{arguments:?}: {said}");
    }
    let asked = dir.path().join("init.sock.asked");
    let heard = std::fs::read_to_string(asked).unwrap_or_default();
    assert_eq!(heard, "", "a stranger was asked");
}

#[test]
fn a_socket_is_not_reached_through_a_strangers_link() {
    if !need(&["root"]) {
        return;
    }
    let played = Played::saying(ALIVE);
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("init.sock");
    std::os::unix::fs::symlink(&played.path, &link).unwrap();
    let ask = |path: &std::path::Path| played.ask(&["health", "--socket", path.to_str().unwrap()]);
    assert_eq!(ask(&link).0, 0, "a link of root's own");
    std::os::unix::fs::lchown(&link, Some(65533), Some(65533)).unwrap();
    let (code, out, _) = ask(&link);
    assert_eq!(code, 1);
    assert!(out.contains("a symbolic link that belongs to uid 65533"), "{out}");
}
