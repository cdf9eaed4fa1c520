//! The container that is soaked: how it is set up, asked, signalled, and what is known of it so far.

use crate::ledger::{Down, How, Kill, Ledger, Lost};
use crate::lines::Output;
use crate::procs::{self, Proc};
use crate::support::sandbox::Sandbox;
use crate::support::{eventually, repository};
use php_init::config::plan::Signal;
use php_init::control::client::{ClientError, Connection};
use php_init::control::protocol::{Outcome, Reply, Request, Service, Status};
use php_init::sys::{Pid, group};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Longer than anything here takes, so that a hang fails and nothing else does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Services that never rest; they are stopped where rest is measured.
pub const RESTLESS: [&str; 3] = ["chatty", "crashes", "leaves-orphans"];

const CONFIG: &str = r#"
    preset = "laravel"
    stop-timeout = "12s"
    [log]
    format = "prefix"
    [health]
    listen = "/tmp/health.sock"
    [[file]]
    name = "env"
    source = "/opt/php/source.env"
    [[boot]]
    name = "tables"
    command = ["php", "artisan", "migrate", "--force", "--no-ansi"]

    [service.php-fpm]
    command = ["php-fpm", "-F", "-y", "/opt/php/pool.conf"]
    ready = { fastcgi = "/tmp/web.sock" }
    live = { fastcgi = "/tmp/web.sock", interval = "1s", failures = 10 }
    warm-up = { paths = ["app"], budget = "2s" }
    backoff = { initial = "20ms", max = "200ms", reset-after = "1s" }
    give-up = "none"

    # Leaves by itself, too: each worker after 40 jobs.
    [service.queue]
    command = ["php", "artisan", "queue:work", "--no-ansi", "--tries=0", "--sleep=0.2", "--max-jobs=40"]
    instances = 3
    backoff = { initial = "20ms", max = "200ms", reset-after = "1s" }

    [service.chatty]
    command = ["php", "/opt/php/chatty.php"]
    backoff = { initial = "20ms", max = "200ms", reset-after = "1s" }

    [service.crashes]
    command = ["sh", "-c", "sleep 0.3; exit 3"]
    backoff = { initial = "100ms", max = "1s" }

    # One in its group, and one in a session of its own.
    [service.leaves-orphans]
    command = ["sh", "-c", "(sleep 1.2 &); (setsid sleep 1.5 &); sleep 0.4"]
    backoff = { initial = "100ms", max = "1s" }

    [cron.schedule]
    enabled = false
    [cron.second]
    schedule = "* * * * * *"
    command = ["sh", "-c", "exit $(($$$$ % 2))"]
"#;

/// Few workers, so that requests queue; and none of them grows old.
const POOL: &str = r"[global]
error_log = /proc/self/fd/2
[www]
user = www-data
group = www-data
listen = /tmp/web.sock
listen.mode = 0666
pm = static
pm.max_children = 5
pm.max_requests = 200
clear_env = no
php_admin_value[auto_prepend_file] = /opt/php/begun.php
php_admin_value[memory_limit] = 256M
";

pub struct Stage {
    sandbox: Mutex<Sandbox>,
    pub init: i32,
    control: PathBuf,
    pub web: PathBuf,
    pub health: PathBuf,
    pub output: Output,
    began: Instant,
    pub over: AtomicBool,
    pub ledger: Mutex<Ledger>,
    /// Killed workers of the queue and killed chatty processes: pid in the container, and when by the wall clock.
    pub killed: Mutex<Vec<(i32, f64)>>,
    /// How often what was done.
    pub deeds: Mutex<BTreeMap<&'static str, usize>>,
    troubles: Mutex<Vec<String>>,
}

impl Stage {
    /// Starts the container; returns while it boots. The thread reads what it writes.
    pub fn start() -> (Self, JoinHandle<()>) {
        let mut sandbox = Sandbox::new(CONFIG);
        fs::write(sandbox.volume("php/pool.conf"), POOL).unwrap();
        for script in ["begun.php", "burst.php", "chatty.php"] {
            fs::copy(repository("tests/soak").join(script), sandbox.volume("php").join(script)).unwrap();
        }
        let example = fs::read_to_string(repository("docker/app/.env.example")).unwrap();
        // What a killed worker was at is given to another one this much later: more than any job takes.
        let env = format!("{example}QUEUE_RETRY_AFTER=15\n");
        fs::write(sandbox.volume("php/source.env"), env).unwrap();
        let (reader, writer) = std::io::pipe().unwrap();
        let output = Output::default();
        let thread = output.read(reader);
        sandbox.start_to(&[], writer.into());
        let control = sandbox.volume("php/init.sock");
        // Before, the first process may be one that prepares the container.
        eventually("init listens", PATIENCE, || UnixStream::connect(&control).ok());
        let stage = Self {
            init: sandbox.pid(),
            control,
            web: sandbox.volume("tmp/web.sock"),
            health: sandbox.volume("tmp/health.sock"),
            sandbox: Mutex::new(sandbox),
            output,
            began: Instant::now(),
            over: AtomicBool::new(false),
            ledger: Mutex::default(),
            killed: Mutex::default(),
            deeds: Mutex::default(),
            troubles: Mutex::default(),
        };
        (stage, thread)
    }

    /// A file of a volume: `php/…`, `tmp/…`, `storage/…`.
    pub fn volume(&self, path: &str) -> PathBuf {
        self.sandbox.lock().unwrap().volume(path)
    }

    /// Waits for init to end: its code.
    pub fn wait(&self, within: Duration) -> i32 {
        self.sandbox.lock().unwrap().wait(within)
    }

    /// Time since the beginning.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Waits so long, or until it is over: then false.
    pub fn pause(&self, time: Duration) -> bool {
        let until = self.now() + time;
        while !self.is_over() {
            let left = until.saturating_sub(self.now());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(Duration::from_millis(50)));
        }
        false
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// Something is wrong: the run ends, and fails.
    pub fn trouble(&self, what: String) {
        eprintln!("{:.3} s: {what}", self.now().as_secs_f64());
        self.troubles.lock().unwrap().push(what);
        self.over.store(true, Ordering::Relaxed);
    }

    pub fn troubles(&self) -> Vec<String> {
        self.troubles.lock().unwrap().clone()
    }
}

/// Asking.
impl Stage {
    /// The last reply. One that was pushed out by the crowd at the socket asks again.
    pub fn ask(&self, request: &Request) -> Result<Reply, ClientError> {
        let once = || {
            let mut connection = Connection::ask(&self.control, request, PATIENCE)?;
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

    pub fn status(&self) -> Option<Status> {
        match self.ask(&Request::Status) {
            Ok(Reply::Status(status)) => Some(*status),
            _ => None,
        }
    }

    /// Asks for something to be done; that it is not is trouble.
    pub fn order(&self, request: &Request) {
        match self.ask(request) {
            Ok(Reply::Done { results }) => {
                let failed: Vec<&Outcome> = results.iter().filter(|result| !result.ok).collect();
                if !failed.is_empty() {
                    self.trouble(format!("{request:?}: {failed:?}"));
                }
            }
            other => self.trouble(format!("{request:?}: {other:?}")),
        }
    }

    /// The instances of a service, if all of them are RUNNING.
    pub fn is_up(&self, service: &str) -> Option<Vec<Service>> {
        let mut services = self.status()?.services;
        services.retain(|one| one.service == service);
        // None at all: it boots.
        let up = !services.is_empty() && services.iter().all(|one| one.state == "RUNNING");
        up.then_some(services)
    }

    pub fn up(&self, service: &str) {
        eventually(&format!("{service} is up"), PATIENCE, || self.is_up(service));
    }
}

/// Processes.
impl Stage {
    /// init's own children whose command line has this text.
    pub fn children(&self, text: &str) -> Vec<i32> {
        let all = procs::all().into_iter();
        let mine = all.filter(|one| one.parent == self.init && one.state != 'Z');
        mine.map(|one| one.pid).filter(|pid| procs::command(*pid).contains(text)).collect()
    }

    /// The workers of PHP-FPM.
    pub fn workers(&self) -> Vec<i32> {
        let masters = self.children("php-fpm: master");
        let all = procs::all().into_iter();
        let theirs = all.filter(|one| masters.contains(&one.parent) && one.state != 'Z');
        theirs.map(|one| one.pid).filter(|pid| procs::command(*pid).contains("php-fpm: pool")).collect()
    }

    /// Processes that are nobody's: neither of a service or a run, nor a worker of PHP-FPM. Zombies count.
    pub fn strays(&self) -> Vec<Proc> {
        let status = self.status().unwrap();
        let services = status.services.iter().filter_map(|one| one.pid);
        let runs = status.crons.iter().flat_map(|one| &one.running).filter_map(|run| run.pid);
        let known: BTreeSet<i32> = services.chain(runs).collect();
        let workers = self.workers();
        let mut all = procs::descendants(self.init);
        all.retain(|one| {
            !workers.contains(&one.pid) && inner(one.pid).is_none_or(|pid| !known.contains(&pid))
        });
        all
    }

    /// Signals a process of the container, by the machine's pid.
    pub fn signal(&self, pid: i32, signal: &str) {
        let signal = Signal::parse(signal).unwrap();
        let _ = group::signal(Pid::new(pid).unwrap(), signal).unwrap();
    }

    /// Stops a process for a while.
    pub fn freeze(&self, pid: i32, time: Duration) {
        self.signal(pid, "STOP");
        std::thread::sleep(time);
        self.signal(pid, "CONT");
    }

    /// Kills a process and waits until it is gone.
    pub fn kill(&self, pid: i32) {
        self.signal(pid, "KILL");
        eventually("what was killed is gone", PATIENCE, || {
            procs::read(pid).is_none_or(|one| one.state == 'Z' || one.state == 'X').then_some(())
        });
    }
}

/// What explains losses, told before it is done.
impl Stage {
    /// Kills a worker of PHP-FPM.
    pub fn kill_worker(&self, pid: i32) {
        let Some(inner) = inner(pid) else { return };
        let number = {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.kills.push(Kill { pid: inner, from: self.now(), to: None });
            ledger.kills.len() - 1
        };
        self.kill(pid);
        self.ledger.lock().unwrap().kills[number].to = Some(self.now());
    }

    /// Does something that takes PHP-FPM down and waits until it is up again, as another master.
    pub fn down(&self, killed: bool, work: impl FnOnce()) {
        let before = self.children("php-fpm: master");
        let number = {
            let mut ledger = self.ledger.lock().unwrap();
            ledger.downs.push(Down { killed, from: self.now(), to: None });
            ledger.downs.len() - 1
        };
        work();
        eventually("PHP-FPM is up again", PATIENCE, || {
            let up = self.is_up("php-fpm")?;
            let now = self.children("php-fpm: master");
            let new = |one: &Service| now.iter().any(|pid| !before.contains(pid) && inner(*pid) == one.pid);
            up.iter().all(new).then_some(())
        });
        self.ledger.lock().unwrap().downs[number].to = Some(self.now());
    }

    /// Kills a process of another service.
    pub fn kill_known(&self, pid: i32) {
        let Some(inner) = inner(pid) else { return };
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64();
        self.killed.lock().unwrap().push((inner, wall));
        self.kill(pid);
    }

    /// A request was lost.
    pub fn lose(&self, from: Duration, how: How, what: String) {
        let lost = Lost { from, to: self.now(), how, what };
        if lost.how == How::Wrong {
            self.trouble(format!("{lost:?}"));
        }
        self.ledger.lock().unwrap().lost.push(lost);
    }
}

/// The pid that a process has in its own namespace.
pub fn inner(pid: i32) -> Option<i32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    line.split_whitespace().last()?.parse().ok()
}
