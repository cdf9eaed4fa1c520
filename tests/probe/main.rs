//! The FastCGI probe against a real php-fpm, on a unix socket and over TCP.
//!
//! A test that finds no php-fpm is listed as skipped, and fails under `CI=true`.
#![allow(clippy::disallowed_methods, reason = "a test may start the program that it probes")]
#![allow(clippy::expect_used, clippy::panic, reason = "tests fail by panic and tell why")]

#[path = "../support/mod.rs"]
mod support;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use php_init::config::plan::ProbePlan;
use php_init::probe::{Outcome, probe};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use support::{need, php_fpm};

const PING: &str = "/-/fpm-ping";
const DEADLINE: Duration = Duration::from_secs(20);

/// php-fpm in a directory of its own, ended with it.
struct Fpm {
    dir: tempfile::TempDir,
    child: Child,
}

impl Fpm {
    /// `None`: there is no php-fpm, and the test is skipped.
    fn start(listen: &str, pool: &str) -> Option<Self> {
        if !need(&["php-fpm"]) {
            return None;
        }
        let binary = php_fpm()?;
        let dir = tempfile::tempdir().expect("a temporary directory");
        let at = dir.path().display();
        let listen = listen.replace("DIR", &at.to_string());
        // `user` is needed as root, and a mere notice otherwise.
        let config = format!(
            "[global]\nerror_log = {at}/log\n[www]\nuser = nobody\nlisten = {listen}\npm = static\npm.max_children = 1\n{pool}\n"
        );
        std::fs::write(dir.path().join("fpm.conf"), config).expect("a writable directory");
        let child = Command::new(binary)
            .args(["-n", "-F", "-y"])
            .arg(dir.path().join("fpm.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("php-fpm starts");
        Some(Self { dir, child })
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("fpm.sock")
    }

    fn stop(&mut self) {
        // QUIT, so that the master takes its workers with it.
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), Signal::SIGQUIT);
        let _ = self.child.wait();
    }

    /// The first outcome that is not NotReady.
    async fn ready(&self, plan: &ProbePlan) -> Outcome {
        let mut ticks = tokio::time::interval(Duration::from_millis(5));
        let poll = async {
            loop {
                ticks.tick().await;
                match probe(plan).await {
                    Outcome::NotReady(_) => {}
                    outcome => return outcome,
                }
            }
        };
        match tokio::time::timeout(DEADLINE, poll).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let log = std::fs::read_to_string(self.dir.path().join("log")).unwrap_or_default();
                panic!("{plan:?}: not ready in {DEADLINE:?}; the log of php-fpm: {log}");
            }
        }
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        self.stop();
    }
}

fn fastcgi(address: impl Into<String>) -> ProbePlan {
    ProbePlan::FastCgi { address: address.into(), path: PING.to_owned() }
}

#[tokio::test]
async fn a_pool_with_a_ping_path_is_ready_until_it_stops() {
    let pool = format!("ping.path = {PING}\nping.response = served");
    let Some(mut fpm) = Fpm::start("DIR/fpm.sock", &pool) else { return };
    let plan = fastcgi(fpm.socket().to_str().expect("UTF-8"));
    assert_eq!(fpm.ready(&plan).await, Outcome::Ready);
    assert_eq!(probe(&ProbePlan::Unix { path: fpm.socket() }).await, Outcome::Ready);
    // The only worker is free again after each ping.
    for _ in 0..20 {
        assert_eq!(probe(&plan).await, Outcome::Ready);
    }
    fpm.stop();
    assert!(matches!(probe(&plan).await, Outcome::NotReady(_)));
}

#[tokio::test]
async fn a_pool_without_a_ping_path_is_ready_but() {
    let Some(fpm) = Fpm::start("DIR/fpm.sock", "") else { return };
    let plan = fastcgi(fpm.socket().to_str().expect("UTF-8"));
    let outcome = fpm.ready(&plan).await;
    assert!(
        matches!(&outcome, Outcome::ReadyBut(told) if told.contains("ping.path = /-/fpm-ping")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn tcp_works_too_and_a_client_that_is_not_allowed_is_told_why() {
    // A port that was free a moment ago.
    let port =
        std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("loopback").port();
    let listen = format!("127.0.0.1:{port}");
    let pool = format!("ping.path = {PING}");
    let Some(mut fpm) = Fpm::start(&listen, &pool) else { return };
    assert_eq!(fpm.ready(&fastcgi(format!("localhost:{port}"))).await, Outcome::Ready);
    fpm.stop();

    let pool = format!("ping.path = {PING}\nlisten.allowed_clients = 192.0.2.1");
    let Some(fpm) = Fpm::start(&listen, &pool) else { return };
    assert_eq!(fpm.ready(&ProbePlan::Tcp { address: listen.clone() }).await, Outcome::Ready);
    let outcome = probe(&fastcgi(listen)).await;
    assert!(
        matches!(&outcome, Outcome::NotReady(reason) if reason.contains("allowed_clients")),
        "{outcome:?}"
    );
}
