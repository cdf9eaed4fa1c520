//! One `init` (or another init program) with pipes around it: as PID 1 of a PID namespace, or as an ordinary child.
//!
//! A test crate includes it beside `support` with `#[path = "../support/harness.rs"] mod harness;`. Nothing but PATH is
//! in its environment, and the configuration starts from the preset "none" unless it names another.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "test support: real time, real processes, and each test crate uses a part of it"
)]

use super::support::sandbox::children;
use super::support::{eventually, init};
use php_init::config::plan::Signal;
use php_init::sys::{Pid, group};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longer than anything here takes, so that a hang fails and nothing else does.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Where init runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// PID 1 of a PID namespace with its own /proc, as in a container. Needs root.
    Pid1,
    /// A child of this test: `initProcessEnabled`, `pidMode: task`, or by hand.
    Child,
}

/// Both places.
pub const PLACES: [Place; 2] = [Place::Pid1, Place::Child];

/// What [`need`](super::support::need) must grant for [`Place::Pid1`].
pub const NEEDS: &[&str] = &["root", "unshare"];

/// A directory, a configuration in it, and how init is to be started.
pub struct Setup {
    place: Place,
    dir: TempDir,
    program: PathBuf,
    before: String,
    wrapper: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
}

impl Setup {
    /// `config` is `init.toml`; `DIR` in it is this set-up's own directory, which any user may enter.
    pub fn new(place: Place, config: &str) -> Self {
        let dir = TempDir::with_prefix("php-init-").unwrap();
        fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let preset = if config.contains("preset") { "" } else { "preset = \"none\"\n" };
        let state = if config.contains("state-dir") { "" } else { "state-dir = \"DIR/state\"\n" };
        let text = format!("{preset}{state}{config}").replace("DIR", dir.path().to_str().unwrap());
        fs::write(dir.path().join("init.toml"), text).unwrap();
        let setup = Self {
            place,
            program: init(),
            before: String::new(),
            wrapper: Vec::new(),
            env: vec![("PATH".into(), std::env::var_os("PATH").unwrap())],
            dir,
        };
        let config = setup.path("init.toml");
        setup.env("INIT_CONFIG", config.to_str().unwrap())
    }

    /// Adds a variable.
    #[must_use]
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Shell commands that run just before, in a mount namespace of init's own, such as mounts, `umask` and redirections.
    #[must_use]
    pub fn before(mut self, script: &str) -> Self {
        self.before = script.replace("DIR", self.dir.path().to_str().unwrap());
        self
    }

    /// A program that executes init in its own place: `env --block-signal=…`, `setpriv …`.
    #[must_use]
    pub fn through(mut self, words: &[&str]) -> Self {
        self.wrapper = words.iter().map(Into::into).collect();
        self
    }

    /// Another program in init's place.
    #[must_use]
    pub fn program(mut self, program: impl Into<PathBuf>) -> Self {
        self.program = program.into();
        self
    }

    /// A path in the set-up's directory.
    pub fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join(path)
    }

    /// Writes a file into the set-up's directory.
    pub fn file(&self, path: &str, text: impl AsRef<[u8]>, mode: u32) -> PathBuf {
        let path = self.path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// Every file below the set-up's directory, as text, by path.
    pub fn files(&self) -> Vec<(PathBuf, String)> {
        fn walk(dir: &Path, found: &mut Vec<(PathBuf, String)>) {
            for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
                let kind = entry.file_type().unwrap();
                if kind.is_dir() {
                    walk(&entry.path(), found);
                } else if kind.is_file() {
                    let bytes = fs::read(entry.path()).unwrap_or_default();
                    found.push((entry.path(), String::from_utf8_lossy(&bytes).into_owned()));
                }
            }
        }
        let mut found = Vec::new();
        walk(self.dir.path(), &mut found);
        found
    }

    /// The command line that starts init with `arguments`.
    pub fn command<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Command {
        let mut words: Vec<OsString> = Vec::new();
        let mut push = |more: &[&str]| words.extend(more.iter().map(OsString::from));
        match self.place {
            Place::Pid1 => push(&["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]),
            Place::Child if self.before.contains("mount") => push(&["unshare", "--mount"]),
            Place::Child => {}
        }
        if !self.before.is_empty() {
            push(&["sh", "-ec", &format!("{}\nexec \"$@\"", self.before), "sh"]);
        }
        words.extend(self.wrapper.iter().cloned());
        words.push(self.program.clone().into());
        words.extend(arguments.iter().map(|word| word.as_ref().to_owned()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.env.iter().cloned()).current_dir(self.dir.path());
        command
    }

    /// Starts init.
    pub fn start<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Running {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null());
        Running::new(self.place, command)
    }

    /// Starts init with a pipe as its stdin.
    pub fn start_with_stdin<S: AsRef<OsStr>>(&self, arguments: &[S]) -> (Running, ChildStdin) {
        Running::with_stdin(self.place, self.command(arguments))
    }

    /// Runs init to its end.
    pub fn run<S: AsRef<OsStr>>(&self, arguments: &[S]) -> Done {
        self.start(arguments).finish()
    }

    /// Runs `init -- sh -c SCRIPT` to its end.
    pub fn sh(&self, script: &str) -> Done {
        self.run(&["--", "sh", "-c", script])
    }
}

/// How init ended and what it and its children wrote.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Done {
    /// Both outputs.
    pub fn all(&self) -> String {
        format!("{}{}", self.stdout, self.stderr)
    }

    /// Fails the test, showing the outputs, unless the code is this.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        self
    }

    /// Fails the test unless stderr has each of these.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for wanted in words {
            assert!(self.stderr.contains(wanted), "{wanted:?} is not in\n{}", self.stderr);
        }
        self
    }
}

type Shared = Arc<Mutex<Vec<u8>>>;

/// An init that runs. Killed when it is dropped.
pub struct Running {
    place: Place,
    child: Child,
    stdout: (Shared, JoinHandle<()>),
    stderr: (Shared, JoinHandle<()>),
}

impl Running {
    /// Starts `command`, whose stdin is set already.
    pub fn new(place: Place, mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let stdout = collect(child.stdout.take().unwrap());
        let stderr = collect(child.stderr.take().unwrap());
        Self { place, child, stdout, stderr }
    }

    /// Starts `command` with a pipe as its stdin.
    pub fn with_stdin(place: Place, mut command: Command) -> (Self, ChildStdin) {
        command.stdin(Stdio::piped());
        let mut running = Self::new(place, command);
        let stdin = running.child.stdin.take().unwrap();
        (running, stdin)
    }

    /// The pid of init as this machine sees it.
    pub fn pid(&self) -> i32 {
        let pid = self.child.id() as i32;
        match self.place {
            Place::Child => pid,
            Place::Pid1 => eventually("PID 1 is there", PATIENCE, || children(pid).first().copied()),
        }
    }

    /// The pid of init once its signal handlers stand: before, the kernel drops what is sent to PID 1.
    pub fn listening(&self) -> i32 {
        eventually("init catches signals", PATIENCE, || {
            let pid = self.pid();
            mask(pid, "SigCgt")
                .is_some_and(|caught| caught & (1 << 14) != 0 && caught & (1 << 16) != 0)
                .then_some(pid)
        })
    }

    /// Signals init, by number.
    pub fn signal(&self, number: i32) {
        signal(self.listening(), number);
    }

    /// stdout so far.
    pub fn stdout(&self) -> String {
        text(&self.stdout.0)
    }

    /// stderr so far.
    pub fn stderr(&self) -> String {
        text(&self.stderr.0)
    }

    /// Waits until stdout has `wanted`.
    #[track_caller]
    pub fn wait_for(&self, wanted: &str) {
        let seen = self.poll(|| self.stdout().contains(wanted));
        assert!(seen, "{wanted:?} is not on stdout:\n{}\n--- stderr:\n{}", self.stdout(), self.stderr());
    }

    /// Waits until stderr has `wanted`.
    #[track_caller]
    pub fn wait_for_log(&self, wanted: &str) {
        let seen = self.poll(|| self.stderr().contains(wanted));
        assert!(seen, "{wanted:?} is not on stderr:\n{}\n--- stdout:\n{}", self.stderr(), self.stdout());
    }

    fn poll(&self, mut done: impl FnMut() -> bool) -> bool {
        let deadline = Instant::now() + PATIENCE;
        while !done() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        true
    }

    /// It ends within this time.
    pub fn ends_within(&mut self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while self.child.try_wait().unwrap().is_none() {
            if Instant::now() > deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Waits for the end of init, and of everything that holds its output open.
    #[track_caller]
    pub fn finish(self) -> Done {
        self.finish_within(PATIENCE)
    }

    /// As [`finish`](Self::finish), sooner.
    #[track_caller]
    pub fn finish_within(mut self, within: Duration) -> Done {
        let deadline = Instant::now() + within;
        let status = loop {
            match self.child.try_wait().unwrap() {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    panic!(
                        "init did not end within {within:?}\n{}\n--- stderr:\n{}",
                        self.stdout(),
                        self.stderr()
                    )
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        };
        let closed = self.poll(|| self.stdout.1.is_finished() && self.stderr.1.is_finished());
        let (stdout, stderr) = (self.stdout(), self.stderr());
        assert!(closed, "something outlived init and holds its output:\n{stdout}\n--- stderr:\n{stderr}");
        Done { code: code(status), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            // unshare takes its namespace with it; init as a child leaves what it started, so that goes first.
            for pid in descendants(self.child.id() as i32) {
                signal(pid, 9);
            }
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// The children of a process.
pub fn children_of(pid: i32) -> Vec<i32> {
    children(pid)
}

/// All that descends from `pid`, by generation.
pub fn descendants(pid: i32) -> Vec<i32> {
    let mut all = children(pid);
    let mut at = 0;
    while let Some(pid) = all.get(at) {
        all.extend(children(*pid));
        at += 1;
    }
    all
}

/// A signal mask of /proc/PID/status, such as `SigIgn`; bit 0 is signal 1.
pub fn mask(pid: i32, name: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(name))?;
    u64::from_str_radix(line.trim_start_matches(':').trim(), 16).ok()
}

/// Signals a process; one that is gone is no error.
pub fn signal(pid: i32, number: i32) {
    let signal = Signal::from_number(number).unwrap();
    let _ = group::signal(Pid::new(pid).unwrap(), signal).unwrap();
}

/// There is such a process and it is no zombie.
pub fn is_alive(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| {
        !matches!(stat.rsplit(") ").next().and_then(|rest| rest.chars().next()), Some('Z' | 'X'))
    })
}

/// 128+n for a death by signal n.
pub fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// Runs `work` for each of `items`, a few at a time.
pub fn in_parallel<T: Sync>(items: &[T], work: impl Fn(&T) + Sync) {
    let next = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed)) {
                    work(item);
                }
            });
        }
    });
}

/// Writes all of it, then closes.
pub fn feed(mut to: ChildStdin, bytes: Vec<u8>) -> JoinHandle<()> {
    std::thread::spawn(move || to.write_all(&bytes).unwrap())
}

fn collect(mut from: impl Read + Send + 'static) -> (Shared, JoinHandle<()>) {
    let shared = Shared::default();
    let into = Arc::clone(&shared);
    let thread = std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..count]);
        }
    });
    (shared, thread)
}

fn text(shared: &Shared) -> String {
    String::from_utf8_lossy(&shared.lock().unwrap()).into_owned()
}
