//! The same limits as a real engine sets them, with the rights and the /proc of its containers.
//!
//! The image is made of a few of this machine's own programs: no registry, no package manager.

use crate::support::{eventually, init, need};
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const NEEDS: &[&str] = &["docker", "ldd", "tar", "sh", "sleep", "tail", "setsid"];

/// A container and its image. Gone when it is dropped.
struct Engine {
    name: String,
}

fn docker(arguments: &[&str]) -> (bool, String) {
    let done = Command::new("docker").args(arguments).output().unwrap();
    let said = [done.stdout, done.stderr].concat();
    (done.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// The file that a program is, and the libraries that it loads.
fn with_libraries(program: &PathBuf) -> Vec<PathBuf> {
    let said = Command::new("ldd").arg(program).output().unwrap().stdout;
    let said = String::from_utf8_lossy(&said).into_owned();
    let libraries = said.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from);
    libraries.chain([program.clone()]).collect()
}

impl Engine {
    /// Runs `config` with these options of `docker run`.
    fn run(test: &str, config: &str, options: &[&str]) -> Self {
        let engine = Self { name: format!("php-init-faults-{test}-{}", std::process::id()) };
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        fs::copy(init(), file("init")).unwrap();
        fs::write(file("init.toml"), format!("preset = \"none\"\nstop-timeout = \"5s\"\n{config}")).unwrap();
        let programs = ["sh", "sleep", "tail", "setsid"].map(|name| PathBuf::from("/bin").join(name));
        let mut files: Vec<PathBuf> = programs
            .iter()
            .chain([&file("init")])
            .flat_map(with_libraries)
            .filter(|path| *path != file("init"))
            .collect();
        files.sort();
        files.dedup();
        let mut tar = Command::new("tar");
        tar.args(["--create", "--dereference", "--file"])
            .arg(file("image.tar"))
            .arg("-C")
            .arg(directory.path());
        tar.args(["init", "init.toml", "-C", "/"])
            .args(files.iter().map(|path| path.strip_prefix("/").unwrap()));
        assert!(tar.status().unwrap().success());
        let (made, said) = docker(&["import", file("image.tar").to_str().unwrap(), &engine.name]);
        assert!(made, "{said}");
        let run = [
            "run",
            "--detach",
            "--name",
            &engine.name,
            "--network=none",
            "--tmpfs=/var/lib",
            "--tmpfs=/opt/php",
        ];
        let command = [engine.name.as_str(), "/init", "--config", "/init.toml"];
        let (runs, said) = docker(&[&run[..], options, &command[..]].concat());
        assert!(runs, "{said}");
        engine
    }

    fn log(&self) -> String {
        docker(&["logs", &self.name]).1
    }

    fn says(&self, text: &str, times: usize) -> String {
        eventually(&format!("the log says {text:?} {times} times"), PATIENCE, || {
            Some(self.log()).filter(|log| log.matches(text).count() >= times)
        })
    }

    /// Stops it: the code of init.
    fn stop(&self) -> String {
        docker(&["stop", "--time=30", &self.name]);
        docker(&["inspect", "--format={{.State.ExitCode}}", &self.name]).1.trim().to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- the container's log ---\n{}", self.log());
        }
        docker(&["rm", "--force", &self.name]);
        docker(&["rmi", "--force", &self.name]);
    }
}

#[test]
fn a_fork_bomb_under_pids_limit_costs_no_other_service() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [service.web]
        command = ["sleep", "2000"]
        [service.bomb]
        command = ["sh", "-c", "while :; do sleep 1000 & done"]
        after = ["web"]
        backoff = { initial = "20ms", max = "50ms" }
    "#;
    let engine = Engine::run("pids", config, &["--pids-limit=40"]);
    let log = engine.says("bomb: started", 4);
    assert_eq!(log.matches("web: started").count(), 1, "{log}");
    assert_eq!(engine.stop(), "0", "{}", engine.log());
}

#[test]
fn a_service_beyond_the_memory_of_its_container_is_named() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [service.web]
        command = ["sh", "-c", "until read -r score < /proc/self/oom_score_adj; [ $$score != 50 ]; do sleep 0.05; done; echo score $$score; exec sleep 2000"]
        [service.eater]
        command = ["tail", "/dev/zero"]
        after = ["web"]
        backoff = { initial = "20ms", max = "50ms" }
    "#;
    // As the engine's containers have it: no right to lower its own.
    let engine = Engine::run("memory", config, &["--memory=96m", "--memory-swap=96m", "--oom-score-adj=50"]);
    engine.says("score 150", 1);
    let log = engine.says("out of memory: the kernel's OOM killer struck", 2);
    assert!(log.matches("web: started").count() == 1, "{log}");
    assert_eq!(engine.stop(), "0", "{}", engine.log());
}

#[test]
fn docker_pause_restarts_nothing_that_is_well() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [service.web]
        command = ["sleep", "2000"]
        start-grace = "1ms"
        live = { command = ["sh", "-c", "sleep 0.5"], interval = "20ms", timeout = "3s", failures = 1 }
        [service.asked]
        command = ["sh", "-c", "while :; do sleep 0.5; echo tick; done"]
    "#;
    let engine = Engine::run("pause", config, &[]);
    engine.says("tick", 2);
    assert!(docker(&["pause", &engine.name]).0);
    let began = Instant::now();
    eventually("it was paused for long enough", PATIENCE, || {
        (began.elapsed() > Duration::from_secs(5)).then_some(())
    });
    let ticks = engine.log().matches("tick").count();
    assert!(docker(&["unpause", &engine.name]).0);
    let log = engine.says("tick", ticks + 6);
    assert_eq!(log.matches("web: started").count(), 1, "{log}");
    assert_eq!(engine.stop(), "0", "{}", engine.log());
}

/// Root has no CAP_SYS_PTRACE there, and may not look into the processes of other users as root.
#[test]
fn a_daemon_does_not_outlive_the_crash_of_its_service() {
    if !need(NEEDS) {
        return;
    }
    let config = r#"
        [service.starter]
        command = ["sh", "-c", "(setsid sleep 1001 &) ; echo up; sleep 1; exit 1"]
        user = "33:33"
        backoff = { initial = "50ms", max = "50ms" }
    "#;
    let engine = Engine::run("sessions", config, &[]);
    engine.says("starter: started", 4);
    let (_, running) = docker(&["top", &engine.name, "-eo", "pid,uid,args"]);
    // The shell that starts it has the words in its own arguments.
    let daemons = running.lines().filter(|line| line.trim_end().ends_with(" sleep 1001"));
    assert!(daemons.count() <= 1, "{running}");
    assert!(engine.log().matches("to what was left behind: sleep[").count() >= 3, "{}", engine.log());
    assert_eq!(engine.stop(), "0", "{}", engine.log());
}
