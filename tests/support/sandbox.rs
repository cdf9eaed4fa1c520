//! A container without Docker: `docker/sandbox` around the `init` of this build and the sample application.
//!
//! PID 1 of its own PID namespace, a read-only root, a loopback that nobody else sees, the machine's own PHP. Needs
//! `root`, `php-fpm`, `laravel`, `cgi-fcgi`, `nsenter` and `ip`: see [`NEEDS`].

use super::{eventually, init, repository};
use php_init::config::plan::Signal;
use php_init::sys::{Pid, group};
use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// What [`need`](super::need) must grant before a [`Sandbox`] is made.
pub const NEEDS: &[&str] = &["root", "php-fpm", "laravel", "cgi-fcgi", "nsenter", "ip"];

/// One container: volumes, configuration and environment, and what was started in it.
pub struct Sandbox {
    directory: TempDir,
    app: PathBuf,
    env: Vec<(String, String)>,
    user: Option<String>,
    child: Option<Child>,
}

/// The answer to a FastCGI request.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error} in {self:?}"))
    }
}

impl Sandbox {
    /// Empty volumes, but for the sample's `.env` at `/opt/php/source.env`, from where `config` may fetch it. A volume
    /// that the test makes itself keeps its owner and mode. `/opt/php` is the application's, as images for any user have
    /// it: a root init takes it over.
    pub fn new(config: &str) -> Self {
        let directory = TempDir::with_prefix("php-init-").unwrap();
        let state = directory.path().join("volumes/php");
        fs::create_dir_all(&state).unwrap();
        let owned = Command::new("chown").arg("www-data:www-data").arg(&state).status().unwrap();
        assert!(owned.success());
        let sandbox =
            Self { directory, app: repository("docker/app"), env: Vec::new(), user: None, child: None };
        fs::write(sandbox.path("init.toml"), config).unwrap();
        fs::copy(repository("docker/app/.env.example"), sandbox.volume("php/source.env")).unwrap();
        sandbox
    }

    /// A copy of the application in `source` instead of the sample, and its example of a `.env`.
    #[must_use]
    pub fn app(mut self, source: &Path) -> Self {
        self.app = self.path("app");
        // The source may be read-only; a copy with its modes could not be cleaned away by a user.
        let mut copy = Command::new("cp");
        copy.args(["-r", "--no-preserve=mode,ownership"]).arg(source).arg(&self.app);
        assert!(copy.status().unwrap().success(), "cannot copy {}", source.display());
        fs::copy(self.app.join(".env.example"), self.volume("php/source.env")).unwrap();
        self
    }

    /// Adds a variable of the container's environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Runs as `uid:gid` instead of root; the volumes become theirs.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        let owned = Command::new("chown").args(["-R", user]).arg(self.path("volumes")).status().unwrap();
        assert!(owned.success());
        self.user = Some(user.into());
        self
    }

    /// A file in a volume: `php/…`, `storage/…`, `cache/…` or `tmp/…`.
    pub fn volume(&self, path: &str) -> PathBuf {
        self.path("volumes").join(path)
    }

    fn path(&self, path: &str) -> PathBuf {
        self.directory.path().join(path)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let environment: String = self.env.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        fs::write(self.path("environment"), environment).unwrap();
        let mut command = Command::new(repository("docker/sandbox"));
        command.arg("--init").arg(init()).arg("--app").arg(&self.app);
        command.arg("--volumes").arg(self.path("volumes")).args(["--net", "own"]);
        command.arg("--config").arg(self.path("init.toml")).arg("--env-file").arg(self.path("environment"));
        if let Some(user) = &self.user {
            command.args(["--user", user]);
        }
        let log = File::options().append(true).create(true).open(self.path("log")).unwrap();
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        command
    }

    /// Runs `init ARGUMENTS` to its end; the code that a container's runtime would see.
    pub fn run(&self, arguments: &[&str]) -> i32 {
        code(self.command(arguments).status().unwrap())
    }

    /// Starts `init ARGUMENTS`.
    pub fn start(&mut self, arguments: &[&str]) {
        assert!(self.child.is_none(), "started already");
        self.child = Some(self.command(arguments).spawn().unwrap());
    }

    /// As [`start`](Self::start), with standard output and error at `output`: the log stays empty.
    pub fn start_to(&mut self, arguments: &[&str], output: OwnedFd) {
        assert!(self.child.is_none(), "started already");
        let mut command = self.command(arguments);
        command.stdout(output.try_clone().unwrap()).stderr(output);
        self.child = Some(command.spawn().unwrap());
    }

    /// The pid of PID 1 as the machine sees it.
    pub fn pid(&self) -> i32 {
        let outer = self.child.as_ref().expect("not started").id();
        // Before it there are those that prepare the container.
        let first = || children(outer as i32).into_iter().find(|pid| is_first_of_its_namespace(*pid));
        eventually("PID 1 is there", Duration::from_secs(10), first)
    }

    /// Signals PID 1.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args(["-s", signal, &self.pid().to_string()]).status().unwrap();
        assert!(sent.success(), "cannot send {signal}");
    }

    /// The code of an init that has ended, or the negative number of the signal that ended it.
    pub fn ended(&mut self) -> Option<i32> {
        let status = self.child.as_mut().expect("not started").try_wait().unwrap()?;
        self.child = None;
        // unshare(1) ends by the signal that its child ended by.
        Some(status.code().unwrap_or_else(|| -status.signal().unwrap_or(0)))
    }

    /// Waits for init to end: its code.
    pub fn wait(&mut self, within: Duration) -> i32 {
        let mut child = self.child.take().expect("not started");
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return code(status);
            }
            if Instant::now() > deadline {
                self.child = Some(child);
                panic!("init did not end within {within:?}; its log:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// All that init and its children wrote so far, standard output and error together.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("log")).unwrap_or_default()).into_owned()
    }

    /// Runs a program of the machine in the container's network; its standard output.
    pub fn inside(&self, program: &[&str], env: &[(&str, &str)]) -> String {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", self.pid())).args(program);
        let path = std::env::var("PATH").unwrap();
        command.env_clear().env("PATH", path).envs(env.iter().copied()).stdin(Stdio::null());
        String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
    }

    /// One request as a web server beside the container would send it; `None` while nothing answers.
    pub fn request(&self, method: &str, uri: &str) -> Option<Answer> {
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        let parameters = [
            ("REQUEST_METHOD", method),
            ("REQUEST_URI", uri),
            ("QUERY_STRING", query),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("HTTP_HOST", "localhost"),
            ("SCRIPT_NAME", "/index.php"),
            ("SCRIPT_FILENAME", "/var/www/html/public/index.php"),
        ];
        let raw = self.inside(&["cgi-fcgi", "-bind", "-connect", "127.0.0.1:9000"], &parameters);
        let (head, body) = raw.split_once("\r\n\r\n")?;
        let status = head.lines().find_map(|line| line.strip_prefix("Status: ")).unwrap_or("200");
        Some(Answer { status: status.get(..3)?.parse().ok()?, body: body.to_owned() })
    }

    /// Waits until the application answers `GET uri` with 200, and returns that answer.
    pub fn ready(&self, uri: &str) -> Answer {
        eventually(&format!("GET {uri} is answered"), Duration::from_secs(20), || {
            self.request("GET", uri).filter(|answer| answer.status == 200)
        })
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // PID 1 first, and with it the whole namespace: the death signal of `unshare --kill-child` may be lost on the way
            // through chroot.
            for pid in children(child.id() as i32) {
                let _ = group::signal(Pid::new(pid).unwrap(), Signal::KILL);
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            eprintln!("--- the container's log ---\n{}", self.log());
        }
    }
}

/// The children of a process, by pid.
pub fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

fn is_first_of_its_namespace(pid: i32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let pids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    pids.split_whitespace().nth(1).is_some() && pids.split_whitespace().next_back() == Some("1")
}

fn code(status: std::process::ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}
