//! One `init` as a child of the test.

use crate::support::{eventually, init};
use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Longer than anything takes on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running or ended `init`; its directory is the work-dir, and goes with it.
pub struct Init {
    directory: TempDir,
    child: Option<Child>,
}

impl Init {
    /// `config` over no preset at all.
    pub fn new(config: &str) -> Self {
        let directory = TempDir::with_prefix("php-init-").unwrap();
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let text = format!(
            "preset = \"none\"\nuser = \"root\"\nwork-dir = \"{0}\"\nstate-dir = \"{0}/state\"\n{config}",
            directory.path().display()
        );
        fs::write(directory.path().join("init.toml"), text).unwrap();
        Self { directory, child: None }
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts `init ARGUMENTS`; `wrapper` is a program that executes it.
    pub fn start(&mut self, wrapper: &[&str], arguments: &[&str], stdin: Stdio) {
        let log = File::options().append(true).create(true).open(self.file("log")).unwrap();
        let program = init();
        let mut words = wrapper.iter().copied().chain([program.to_str().unwrap()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).arg("--config").arg(self.file("init.toml")).args(arguments);
        command.env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command.stdin(stdin).stdout(log.try_clone().unwrap()).stderr(log).current_dir(self.directory.path());
        self.child = Some(command.spawn().unwrap());
    }

    pub fn signal(&self, signal: &str) {
        let pid = self.child.as_ref().unwrap().id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
    }

    /// All that init and its children wrote so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.file("log")).unwrap_or_default()).into_owned()
    }

    /// Waits until the log holds `text`.
    pub fn says(&self, text: &str) {
        eventually(&format!("{text:?} is in the log"), PATIENCE, || self.log().contains(text).then_some(()));
    }

    /// Waits for the end: the code that a shell would see.
    pub fn wait(&mut self) -> i32 {
        let child = self.child.as_mut().unwrap();
        let status = eventually("init ends", PATIENCE, || child.try_wait().unwrap());
        status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
    }
}

impl Drop for Init {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            use std::io::Write as _;
            let _ = writeln!(std::io::stderr(), "--- the log of init ---\n{}", self.log());
        }
    }
}
