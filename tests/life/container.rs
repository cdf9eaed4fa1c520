//! One `init` with a configuration and directory of its own.

use crate::procs;
use crate::support::{eventually, init};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What [`need`](crate::support::need) must grant before a [`Container`] is made.
pub const NEEDS: &[&str] = &["root", "unshare", "setsid", "perl"];

/// Longer than what is waited for takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Who PID 1 is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// init, of a PID namespace of its own.
    Pid1,
    /// Somebody else: init is one process of the machine among others, a subreaper.
    Subreaper,
}

/// Where stdout and stderr of the container lead.
pub enum Output {
    /// Both to one pipe, read to the end by a thread.
    Pipe,
    /// Each to a pipe of its own.
    Pipes,
    /// Both to whatever this is; nothing is collected.
    To(OwnedFd),
    /// stdout to this, stderr to a pipe that is read.
    StdoutTo(OwnedFd),
}

pub struct Container {
    directory: TempDir,
    place: Place,
    program: PathBuf,
    wrapper: Vec<String>,
    arguments: Vec<String>,
    env: Vec<(String, String)>,
    output: Output,
    child: Option<Child>,
    collectors: Vec<JoinHandle<()>>,
    init: i32,
    out: Arc<Mutex<Vec<u8>>>,
    err: Arc<Mutex<Vec<u8>>>,
}

impl Container {
    /// `config` is layered over nothing. `@DIR` in it is a directory that everybody may enter and write.
    pub fn new(config: &str) -> Self {
        let directory = TempDir::with_prefix("php-init-").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o1777)).unwrap();
        let container = Self {
            directory,
            place: Place::Pid1,
            program: init(),
            wrapper: Vec::new(),
            arguments: Vec::new(),
            env: Vec::new(),
            output: Output::Pipe,
            child: None,
            collectors: Vec::new(),
            init: 0,
            out: Arc::default(),
            err: Arc::default(),
        };
        container.configure(config);
        container
    }

    /// Writes the configuration, also of a container that runs.
    pub fn configure(&self, config: &str) {
        let whole = format!("preset = \"none\"\nstate-dir = \"@DIR/state\"\nwork-dir = \"@DIR\"\n{config}");
        fs::write(self.file("init.toml"), whole.replace("@DIR", &self.dir())).unwrap();
    }

    #[must_use]
    pub fn place(mut self, place: Place) -> Self {
        self.place = place;
        self
    }

    /// A program that starts `init`, with its arguments; `init` and its own arguments follow. It must exec.
    #[must_use]
    pub fn wrapped(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(|word| word.replace("@DIR", &self.dir())).collect();
        self
    }

    /// A copy of `init` in the directory that belongs to root and has this mode.
    #[must_use]
    pub fn binary(mut self, mode: u32) -> Self {
        self.program = self.file("init");
        fs::copy(init(), &self.program).unwrap();
        fs::set_permissions(&self.program, fs::Permissions::from_mode(mode)).unwrap();
        self
    }

    #[must_use]
    pub fn arguments(mut self, arguments: &[&str]) -> Self {
        self.arguments = arguments.iter().map(ToString::to_string).collect();
        self
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    #[must_use]
    pub fn output(mut self, output: Output) -> Self {
        self.output = output;
        self
    }

    /// The program that is started as init.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// What `@DIR` is.
    pub fn dir(&self) -> String {
        self.directory.path().to_str().unwrap().to_owned()
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the directory as text; nothing while it is not there.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap_or_default()
    }

    /// Puts an executable script into the directory.
    #[must_use]
    pub fn script(self, name: &str, text: &str) -> Self {
        fs::write(self.file(name), text.replace("@DIR", &self.dir())).unwrap();
        fs::set_permissions(self.file(name), fs::Permissions::from_mode(0o755)).unwrap();
        self
    }

    fn mark(&self) -> String {
        format!("LIFE_MARK={}", self.dir())
    }

    #[must_use]
    pub fn start(mut self) -> Self {
        let mut words: Vec<String> = match self.place {
            Place::Pid1 => {
                ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"].map(String::from).into()
            }
            Place::Subreaper => Vec::new(),
        };
        words.extend(self.wrapper.iter().cloned());
        words.extend([
            self.program.to_str().unwrap().into(),
            "--config".into(),
            format!("{}/init.toml", self.dir()),
        ]);
        words.extend(self.arguments.iter().cloned());
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().stdin(Stdio::null());
        command.env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.env("LIFE_MARK", self.dir()).envs(self.env.iter().cloned());
        let mut collectors = Vec::new();
        let mut collected = |into: &Arc<Mutex<Vec<u8>>>| {
            let (reader, writer) = std::io::pipe().unwrap();
            collectors.push(collect(reader, Arc::clone(into)));
            writer
        };
        match std::mem::replace(&mut self.output, Output::Pipe) {
            Output::Pipe => {
                let writer = collected(&self.out);
                self.err = Arc::clone(&self.out);
                command.stdout(writer.try_clone().unwrap()).stderr(writer);
            }
            Output::Pipes => {
                command.stdout(collected(&self.out)).stderr(collected(&self.err));
            }
            Output::To(fd) => {
                command.stdout(fd.try_clone().unwrap()).stderr(fd);
            }
            Output::StdoutTo(fd) => {
                command.stdout(fd).stderr(collected(&self.err));
            }
        }
        self.collectors = collectors;
        let mut child = command.spawn().unwrap();
        let outer = i32::try_from(child.id()).unwrap();
        self.init = match self.place {
            Place::Subreaper => outer,
            // One that has ended already is nobody to be signalled.
            Place::Pid1 => eventually("PID 1 is there", PATIENCE, || {
                let first = procs::descendants(outer).first().map(|process| process.pid);
                first.or_else(|| child.try_wait().unwrap().map(|_| 0))
            }),
        };
        self.child = Some(child);
        self
    }

    /// The pid of init as the machine sees it.
    pub fn pid(&self) -> i32 {
        self.init
    }

    /// Pids below init whose command line contains `text`.
    pub fn running(&self, text: &str) -> Vec<i32> {
        procs::running(self.init, text)
    }

    /// The one process below init whose command line contains `text`, once there is one.
    pub fn one(&self, text: &str) -> i32 {
        eventually(&format!("one process has {text:?}"), PATIENCE, || match self.running(text)[..] {
            [pid] => Some(pid),
            _ => None,
        })
    }

    /// Signals init.
    pub fn signal(&self, signal: &str) {
        kill(self.init, signal);
    }

    /// Waits for init to end: the code that a container runtime would see.
    pub fn wait(&mut self, within: Duration) -> i32 {
        let child = self.child.as_mut().expect("not started, or waited for");
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                self.child = None;
                // What was written last may still be on its way to the log. What outlives init may hold the pipe for ever.
                let read = || self.collectors.iter().all(JoinHandle::is_finished);
                while !read() && Instant::now() < deadline && self.survivors().is_empty() {
                    std::thread::sleep(Duration::from_millis(2));
                }
                return status.code().unwrap_or_else(|| 128 + status.signal().unwrap());
            }
            assert!(Instant::now() < deadline, "init did not end within {within:?}");
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    /// Asks for a stop by TERM and waits for the end: the code, and how long it took.
    ///
    /// In a namespace that is until init's last line: the kernel then takes the namespace and its mounts down, which
    /// lasts seconds when other tests do the same.
    pub fn stop(&mut self, within: Duration) -> (i32, Duration) {
        let began = Instant::now();
        self.signal("TERM");
        let over = |log: String| log.lines().last().is_some_and(|line| line.contains(", exit code "));
        let last_line = eventually("init stops", within, || {
            let ended = self.child.as_mut().unwrap().try_wait().unwrap().is_some();
            (ended || self.place == Place::Pid1 && over(self.errors())).then(|| began.elapsed())
        });
        (self.wait(PATIENCE), last_line)
    }

    /// Everything on stdout so far, with stderr where both are one pipe.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.out.lock().unwrap()).into_owned()
    }

    /// Everything on stdout so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.out.lock().unwrap().clone()
    }

    /// Everything on stderr so far.
    pub fn errors(&self) -> String {
        String::from_utf8_lossy(&self.err.lock().unwrap()).into_owned()
    }

    /// Waits until the log has `text` at least `times` times.
    pub fn says(&self, text: &str, times: usize) -> String {
        eventually(&format!("the log says {text:?} {times} times"), PATIENCE, || {
            Some(self.errors()).filter(|log| log.matches(text).count() >= times)
        })
    }

    /// Processes of this container that live, wherever they are.
    pub fn survivors(&self) -> Vec<String> {
        procs::marked(&self.mark()).into_iter().map(|pid| format!("{pid} {}", procs::command(pid))).collect()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // PID 1 first, and with it everything in its namespace.
            kill(self.init, "KILL");
            let _ = child.kill();
            let _ = child.wait();
        }
        for pid in procs::marked(&self.mark()) {
            kill(pid, "KILL");
        }
        if std::thread::panicking() {
            let log = self.errors();
            let tail: Vec<&str> = log.lines().rev().take(200).collect();
            eprintln!("--- the container's log ---");
            tail.iter().rev().for_each(|line| eprintln!("{}", line.chars().take(300).collect::<String>()));
        }
    }
}

/// Signals one process; one that is gone is no error.
pub fn kill(pid: i32, signal: &str) {
    // 0 would be this test's own group.
    if pid <= 1 {
        return;
    }
    let quiet = Command::new("kill").args(["-s", signal, &pid.to_string()]).stderr(Stdio::null()).status();
    quiet.unwrap();
}

fn collect(mut reader: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(n @ 1..) = reader.read(&mut buffer) {
            into.lock().unwrap().extend_from_slice(&buffer[..n]);
        }
    })
}

/// A file for output, opened as a shell's `>` does.
pub fn writable(path: &std::path::Path) -> OwnedFd {
    File::create(path).unwrap().into()
}

/// Where in the log each of the texts first stands; all must be there.
pub fn positions(log: &str, texts: &[&str]) -> Vec<usize> {
    texts.iter().map(|text| log.find(text).unwrap_or_else(|| panic!("no {text:?} in\n{log}"))).collect()
}

/// The texts stand in the log in this order.
pub fn in_order(log: &str, texts: &[&str]) {
    assert!(positions(log, texts).is_sorted(), "not in the order {texts:?}:\n{log}");
}
