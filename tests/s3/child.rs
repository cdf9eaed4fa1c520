//! The real binary, run as PID 1 runs it: a job on standard input, with what a test gives it as init's environment.

use crate::server::{KEY, SECRET, s3};
use php_init::fetch::job::Format;
use php_init::fetch::vars::Vars;
use php_init::fetch::{Job, Outcome, Report};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const BUCKET: &str = "config";
pub const TOKEN: &str = "IQoJb3JpZ2luX2VjEXAMPLESESSIONTOKEN//////////wEaCXVz";
pub const AUTH: &str = "Bearer-EXAMPLE-AUTHORIZATION-TOKEN";
pub const PASSWORD: &str = "correct-horse-battery";
pub const APP_KEY: &str = "base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// The values that no output may show.
const SECRETS: [&str; 6] = [SECRET, TOKEN, AUTH, PASSWORD, APP_KEY, "not-the-right-secret-key"];

pub fn dotenv() -> String {
    format!("APP_NAME=Shop\nAPP_KEY={APP_KEY}\nDB_PASSWORD=\"{PASSWORD}\"\n")
}

/// A bucket, a target directory, and the environment of the init that starts the child.
pub struct Bed {
    pub root: TempDir,
    pub target: TempDir,
    pub s3: SocketAddr,
    pub env: Vec<(String, String)>,
    pub job: Job,
}

impl Bed {
    /// With `.env` in the bucket, static keys in the environment and the S3 server as endpoint.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join(BUCKET)).unwrap();
        let s3 = s3(root.path());
        let target = tempfile::tempdir().unwrap();
        let job = Job {
            source: format!("s3://{BUCKET}/app/.env"),
            path: target.path().join(".env"),
            format: Format::Dotenv,
            mode: 0o440,
            uid: None,
            gid: None,
            required: true,
            timeout_ms: 10_000,
            max_size: 1 << 20,
            require_keys: Vec::new(),
            staged_source: None,
            certificate: None,
            env_keys: Vec::new(),
            planned_keys: Vec::new(),
            decrypt: None,
            endpoint: Some(format!("http://{s3}")),
            region: None,
            path_style: None,
            directory: None,
            known: None,
            vars: Vars::default(),
        };
        let bed = Self { root, target, s3, env: Vec::new(), job };
        bed.put("app/.env", dotenv().as_bytes());
        bed.env("AWS_ACCESS_KEY_ID", KEY).env("AWS_SECRET_ACCESS_KEY", SECRET)
    }

    pub fn put(&self, key: &str, bytes: &[u8]) {
        let path = self.root.path().join(BUCKET).join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.retain(|(known, _)| known != name);
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn without(mut self, names: &[&str]) -> Self {
        self.env.retain(|(known, _)| !names.contains(&known.as_str()));
        self
    }

    /// Without the static keys.
    pub fn no_keys(self) -> Self {
        self.without(&["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"])
    }

    pub fn job(mut self, change: impl FnOnce(&mut Job)) -> Self {
        change(&mut self.job);
        self
    }

    /// To `address` instead of the S3 server itself.
    pub fn through(self, address: SocketAddr) -> Self {
        self.job(|job| job.endpoint = Some(format!("http://{address}")))
    }

    pub fn names(&self) -> Vec<String> {
        names(self.target.path())
    }

    pub fn placed(&self) -> PathBuf {
        self.target.path().join(".env")
    }

    pub fn run(&self) -> Run {
        let mut child = Command::new(env!("CARGO_BIN_EXE_init"));
        child.arg("fetch").env_clear();
        run(child, &self.message(), self.job.timeout() + Duration::from_secs(5))
    }

    /// The job as PID 1 sends it.
    pub fn message(&self) -> Vec<u8> {
        let job = Job { vars: self.env.iter().cloned().collect(), ..self.job.clone() };
        serde_json::to_vec(&job).unwrap()
    }

    /// Runs, and checks that it failed with `code`, left nothing behind and said how it starts.
    pub fn fails(&self, code: u8) -> Run {
        let run = self.run();
        assert_eq!(
            (run.code, run.report.code, run.report.outcome),
            (code, code, Outcome::Failed),
            "{:#?}",
            run.report
        );
        assert_eq!(self.names(), Vec::<String>::new(), "left behind");
        let message = &run.report.message;
        assert!(message.starts_with("cannot ") && !message.ends_with('.'), "{message}");
        run
    }

    /// Runs, and checks that the file came whole into its place.
    pub fn succeeds(&self) -> Run {
        let run = self.run();
        assert_eq!((run.code, run.report.outcome), (0, Outcome::Placed), "{:#?}", run.report);
        assert_eq!(std::fs::read(self.placed()).unwrap(), dotenv().as_bytes());
        assert_eq!(self.names(), [".env"]);
        run
    }
}

pub fn names(dir: &Path) -> Vec<String> {
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

pub struct Run {
    pub code: u8,
    pub report: Report,
    pub elapsed: Duration,
}

impl Run {
    pub fn says(&self, words: &[&str]) -> &Self {
        let all = format!("{} {}", self.report.message, self.report.hints.join(" "));
        for word in words {
            assert!(all.contains(word), "{word:?} is not in {:#?}", self.report);
        }
        self
    }
}

/// Runs a child to its end, kills it when it overstays `limit`, and searches all that it said for secrets.
pub fn run(mut command: Command, stdin: &[u8], limit: Duration) -> Run {
    let start = Instant::now();
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let (done, ended) = mpsc::channel();
    let (mut out, mut err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
    std::thread::spawn(move || {
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        out.read_to_end(&mut stdout).unwrap();
        err.read_to_end(&mut stderr).unwrap();
        done.send((stdout, stderr))
    });
    let Ok((stdout, stderr)) = ended.recv_timeout(limit) else {
        child.kill().unwrap();
        panic!("still running after {limit:?}");
    };
    let code = child.wait().unwrap().code().and_then(|code| u8::try_from(code).ok()).unwrap();
    let elapsed = start.elapsed();
    let said = String::from_utf8([stdout.clone(), stderr.clone()].concat()).unwrap();
    for secret in SECRETS {
        assert!(!said.contains(secret), "{secret} in {said}");
    }
    assert_eq!(String::from_utf8(stderr).unwrap(), "");
    assert_eq!(stdout.iter().filter(|byte| **byte == b'\n').count(), 1, "{said}");
    Run { code, report: Report::from_line(&stdout).unwrap(), elapsed }
}
