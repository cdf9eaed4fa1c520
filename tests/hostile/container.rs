//! The container: its plan, how it is started, asked and looked at.

use crate::luck::Luck;
use crate::procs;
use crate::support::repository;
use crate::support::sandbox::{Sandbox, children};
use crate::tail::Tail;
use crate::tenant::{OF, PROGRAM, ROLE, Role, SEED};
use crate::volumes::{Secrets, TENANT, Volumes};
use php_init::config::plan::Signal;
use php_init::control::client::{ClientError, Connection};
use php_init::control::protocol::{Reply, Request, Status};
use php_init::sys::{Pid, group};
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

/// The plan's, and what a busy machine may add to it.
pub const STOP: Duration = Duration::from_secs(3);
/// init has not hung: it answers within this however busy the machine is.
pub const ANSWER: Duration = Duration::from_secs(30);

/// `@TENANT` is the tenant's command line.
const CONFIG: &str = r#"
    preset = "laravel"
    stop-timeout = "3s"
    crontabs = ["/var/www/html/storage/app/www-data"]
    [log]
    format = "prefix"
    [health]
    listen = "/var/www/html/storage/app/health.sock"
    [[file]]
    name = "env"
    source = "/tmp/root/env.source"
    timeout = "5s"
    refresh = "1s"
    on-change = "none"
    [[file]]
    name = "account"
    source = "/tmp/root/account.source"
    path = "/var/www/html/storage/app/account.json"
    mode = "0440"
    timeout = "5s"
    refresh = "1s"
    on-change = "none"
    [[boot]]
    name = "optimize"
    timeout = "20s"
    [[boot]]
    name = "leftover"
    command = @TENANT
    env = { TENANT_ROLE = "leftover" }
    timeout = "10s"
    [migrate]
    command = @TENANT
    env = { TENANT_ROLE = "command" }

    [service.php-fpm]
    essential = false
    give-up = "none"
    backoff = { initial = "100ms", max = "500ms" }
    warm-up = { paths = ["app"], budget = "2s" }
    [service.queue]
    enabled = false
    [service.tenant]
    command = ["sh", "-c", "case $(cat /tmp/phase) in *deaf*) trap '' TERM;; esac; exec \"$$@\"", "sh", @WORDS]
    env = { TENANT_ROLE = "application" }
    ready = { notify = "socket", deadline = "5s" }
    give-up = "none"
    backoff = { initial = "50ms", max = "300ms" }
    [service.stranger]
    command = @TENANT
    user = "games"
    env = { TENANT_ROLE = "stranger" }
    give-up = "none"
    backoff = { initial = "50ms", max = "300ms" }
    [service.tool]
    command = ["/var/www/html/storage/app/tool"]
    give-up = "none"
    backoff = { initial = "50ms", max = "300ms" }
    [service.keeper]
    command = ["sh", "-c", "trap 'echo term >>/tmp/keeper/log; exit 0' TERM; while :; do sleep 1 & wait; done"]
    give-up = "none"
    backoff = { initial = "50ms", max = "300ms" }
    [cron.schedule]
    enabled = false
    [cron.second]
    schedule = "* * * * * *"
    command = ["true"]
    overlap = "skip"
"#;

/// A file of root's that root alone may read, in a directory of init's.
const ROOTS_FILE: &str = r#"
    [[file]]
    name = "tls"
    source = "/tmp/root/tls.source"
    path = "tls/key.pem"
    owner = "root"
    mode = "0400"
    timeout = "5s"
"#;

/// Who init runs as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum As {
    Root,
    Tenant,
}

pub struct Container {
    // Before the sandbox, whose directory has them.
    pub volumes: Volumes,
    sandbox: Sandbox,
    pub secrets: Secrets,
    pub tail: Tail,
    reader: Option<JoinHandle<()>>,
    neighbour: Option<Child>,
    test: &'static str,
    seed: u64,
    pub init: i32,
}

/// Runs this program, as the test that it is now.
fn words(test: &str) -> Vec<String> {
    [PROGRAM, test, "--exact", "--nocapture", "--test-threads=1"].map(str::to_owned).into()
}

impl Container {
    /// Fresh volumes and secrets.
    pub fn new(test: &'static str, who: As, seed: u64) -> Self {
        let secrets = Secrets::new(&mut Luck::of(seed, [1, 0, 0, 0]));
        let listed: String = words(test).iter().map(|word| format!("{word:?}, ")).collect();
        let roots = if who == As::Root { ROOTS_FILE } else { "" };
        let config = CONFIG.replace(
            "[[boot]]\n    name = \"optimize\"",
            &format!("{roots}[[boot]]\n    name = \"optimize\""),
        );
        let config = config.replace("@TENANT", &format!("[{listed}]")).replace("@WORDS", &listed);
        let mut sandbox = Sandbox::new(&config)
            .env("AWS_SECRET_ACCESS_KEY", secrets.get("aws"))
            .env("AWS_SESSION_TOKEN", secrets.get("token"))
            .env("LARAVEL_ENV_ENCRYPTION_KEY", secrets.get("laravel"))
            .env("APP_DECOY", secrets.get("decoy"))
            .env(SEED, &seed.to_string())
            // A warning of the test library about a directory that nobody can write is none of a tenant's.
            .env("TMPDIR", "/tmp");
        if who == As::Tenant {
            sandbox = sandbox.user(&format!("{TENANT}:{TENANT}"));
        }
        let volumes = Volumes::new(&sandbox.volume(""), &secrets, who);
        let (tail, init) = (Tail::default(), 0);
        Self { volumes, sandbox, secrets, tail, reader: None, neighbour: None, test, seed, init }
    }

    /// What tenants are to do from now on.
    pub fn ask_tenants(&self, life: u64, words: &[&str]) {
        let path = self.volumes.path("tmp/phase");
        let new = self.volumes.path("tmp/root.phase");
        fs::write(&new, format!("{life} {}", words.join(" "))).unwrap();
        // Never half of it.
        fs::rename(new, path).unwrap();
    }

    /// Starts init in the way of a life that ends by itself, or of one that must be stopped.
    pub fn start(&mut self, arguments: &[&str]) {
        let (reader, writer) = std::io::pipe().unwrap();
        self.reader = Some(self.tail.read(reader));
        self.sandbox.start_to(arguments, writer.into());
        self.init = self.sandbox.pid();
    }

    /// The one-off that is a tenant.
    pub fn one_off(&self) -> Vec<String> {
        let role = format!("{ROLE}={}", Role::Command.name());
        [vec!["--".into(), "env".into(), role], words(self.test)].concat()
    }

    pub fn signal(&self, signal: &str) {
        let _ = group::signal(Pid::new(self.init).unwrap(), Signal::parse(signal).unwrap());
    }

    /// Its exit code, or the negative number of the signal that ended init itself, if it has ended by now.
    pub fn ended(&mut self) -> Option<i32> {
        let code = self.sandbox.ended()?;
        // What is still open is nobody's: everything of the namespace is gone.
        self.reader.take().unwrap().join().unwrap();
        Some(code)
    }

    /// Starts another container on the same volumes, with nothing in it but a tenant.
    pub fn start_neighbour(&mut self) {
        let environment = self.volumes.path("neighbour.env");
        fs::write(&environment, format!("{ROLE}={}\n{SEED}={}\n", Role::Neighbour.name(), self.seed))
            .unwrap();
        let mut command = Command::new(repository("docker/sandbox"));
        command.arg("--init").arg(self.volumes.path("tmp/root/tenant"));
        command.arg("--app").arg(repository("docker/app")).arg("--volumes").arg(self.volumes.path(""));
        command
            .args(["--net", "own", "--user", &format!("{TENANT}:{TENANT}"), "--env-file"])
            .arg(environment);
        command.args(&words(self.test)[1..]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        self.neighbour = Some(command.spawn().unwrap());
    }

    pub fn stop_neighbour(&mut self) {
        let Some(mut child) = self.neighbour.take() else { return };
        let outer = i32::try_from(child.id()).unwrap();
        // PID 1 of it, and with it everything in its namespace.
        for pid in children(outer) {
            let _ = group::signal(Pid::new(pid).unwrap(), Signal::KILL);
        }
        let _ = child.kill();
        child.wait().unwrap();
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.stop_neighbour();
    }
}

/// Asking.
impl Container {
    pub fn socket(&self) -> PathBuf {
        self.volumes.path("php/init.sock")
    }

    /// The last reply. One that was pushed out by the crowd at the socket asks again.
    pub fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let once = || {
            let mut connection = Connection::ask(&self.socket(), request, ANSWER)?;
            loop {
                let reply = connection.reply()?;
                if reply.is_last() {
                    return Ok(reply);
                }
            }
        };
        match once() {
            Err(ClientError::Closed(_)) => once(),
            reply => reply,
        }
    }

    pub fn status(&self) -> Result<Status, ClientError> {
        match self.ask(&Request::Status)? {
            Reply::Status(status) => Ok(*status),
            other => Err(ClientError::Garbled(self.socket(), format!("{other:?}"))),
        }
    }

    /// Where init is in the kernel, for whoever wonders why it does not answer.
    pub fn whereabouts(&self) -> String {
        let read = |name: &str| fs::read_to_string(format!("/proc/{}/{name}", self.init)).unwrap_or_default();
        let state = procs::read(self.init).map_or('-', |one| one.state);
        let open: Vec<String> = open(self.init).into_iter().filter(|path| path.starts_with('/')).collect();
        let (wchan, syscall) = (read("wchan"), read("syscall"));
        format!("init is {state} in {wchan}, system call {}; it has open {open:?}", syscall.trim())
    }
}

/// What a process has open.
pub fn open(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// In kB.
pub fn anonymous(pid: i32) -> usize {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// Descendants of earlier processes of a service, which did not hide what they are: they should have ended with it.
pub fn left_behind(init: i32, role: Role, latest: u64) -> Vec<String> {
    let mark = format!("{OF}={}:", role.name());
    let of = |pid: i32| -> Option<u64> {
        let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
        let mut variables = environment.split(|byte| *byte == 0);
        let text = variables.find_map(|one| one.strip_prefix(mark.as_bytes()))?;
        std::str::from_utf8(text).ok()?.parse().ok()
    };
    let all = procs::descendants(init).into_iter().filter(|one| one.state != 'Z');
    let old = all.filter(|one| of(one.pid).is_some_and(|number| number < latest));
    old.map(|one| format!("{} {}", one.pid, procs::command(one.pid))).collect()
}

/// Processes of the container that are root's but run neither init's own program (as `init fetch` does) nor PHP-FPM.
pub fn roots_processes(init: i32) -> Vec<String> {
    let exe = |pid: i32| fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
    let mut found = Vec::new();
    for one in procs::descendants(init) {
        let status = fs::read_to_string(format!("/proc/{}/status", one.pid)).unwrap_or_default();
        let ids = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or_default();
        let program = exe(one.pid).display().to_string();
        let known =
            program.is_empty() || program == exe(init).display().to_string() || program.contains("php-fpm");
        if !known && ids.split_whitespace().any(|id| id == "0") {
            found.push(format!("{} {program} {}: uids {}", one.pid, procs::command(one.pid), ids.trim()));
        }
    }
    found
}
