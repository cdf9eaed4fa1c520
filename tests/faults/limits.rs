//! No more processes, no more memory, no more descriptors: in a control group of the test's own, or by a limit of init's user.

use crate::client;
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::support::cgroup::Cgroup;
use crate::support::{eventually, init, need};
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

fn can(more: &[&str]) -> bool {
    need(&[NEEDS, &["cgroup"], more].concat())
}

/// init, and nothing else but what it starts, in the group.
pub fn inside(group: &Cgroup, container: Container) -> Container {
    let words = group.enter();
    container.wrapped(&words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// A service that forks without end, also where it is told that there is no room. Each child waits in a session of its own,
/// deaf to TERM.
const BOMB: &str = r#"
use POSIX;
$SIG{TERM} = "IGNORE";
for (;;) {
    my $pid = fork;
    select undef, undef, undef, 0.001 unless defined $pid;
    if (defined $pid && $pid == 0) { POSIX::setsid(); sleep 1000 while 1 }
}
"#;

#[test]
fn beside_a_fork_bomb_init_answers_and_what_failed_comes_back_when_there_is_room() {
    if !can(&[]) {
        return;
    }
    let group = Cgroup::new().unwrap();
    group.limit_processes(60);
    let container = Container::new(
        r#"
        [service.bomb]
        command = ["perl", "@DIR/bomb"]
        stop-timeout = "1s"
        after = ["web"]
        [service.web]
        command = ["sleep", "1000"]
        backoff = { initial = "20ms", max = "100ms" }
        start-grace = "1ms"
        [service.watched]
        command = ["sleep", "2000"]
        start-grace = "1ms"
        live = { command = ["true"], interval = "20ms", failures = 1 }
        "#,
    )
    .script("bomb", BOMB);
    let mut container = inside(&group, container).start();
    let (web, watched) = (container.one("sleep 1000"), container.one("sleep 2000"));
    eventually("the group is full", PATIENCE, || (group.processes() >= 60).then_some(()));
    // Not even with what the end of web frees.
    group.limit_processes(50);
    kill(web, "KILL");
    container.says("web: cannot start \"sleep\": cannot fork", 3);
    let log = container.says("no room for its probe", 1);
    assert!(log.contains("the limit of processes is reached"), "{log}");
    let socket = client::socket(&container);
    let state = |name: &str| {
        let status = client::status(&socket);
        status.services.into_iter().find(|service| service.name == name).unwrap()
    };
    assert_eq!(state("web").pid, None);
    // What cannot be probed is not what has failed.
    assert!(state("watched").degraded.is_some());
    assert_eq!(container.one("sleep 2000"), watched);
    let stopped = client::outcomes(&socket, r#""request":"stop","names":["bomb"]"#);
    assert!(stopped.iter().all(|outcome| outcome.ok), "{stopped:?}");
    eventually("web is there again", PATIENCE, || state("web").pid);
    eventually("it can be probed again", PATIENCE, || state("watched").degraded.is_none().then_some(()));
    assert_eq!(container.one("sleep 2000"), watched);
    assert_eq!(state("watched").restarts, 0);
    assert_eq!(container.stop(PATIENCE).0, 0);
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_stop_ends_a_fork_bomb_within_its_budget() {
    if !can(&[]) {
        return;
    }
    let group = Cgroup::new().unwrap();
    group.limit_processes(100);
    let container = Container::new(
        "stop-timeout = \"3s\"\n[service.bomb]\ncommand = [\"perl\", \"@DIR/bomb\"]\n[service.web]\ncommand = [\"sleep\", \"1000\"]\n",
    )
    .script("bomb", BOMB);
    let mut container = inside(&group, container).start();
    eventually("the group is full", PATIENCE, || (group.processes() >= 100).then_some(()));
    let (code, took) = container.stop(PATIENCE);
    assert_eq!(code, 0, "{}", container.log());
    // The margin is a busy machine's.
    assert!(took < Duration::from_secs(6), "{took:?}: {}", container.log());
    assert_eq!(container.survivors(), [""; 0]);
    assert_eq!(group.processes(), 0);
}

#[test]
fn a_user_at_its_limit_of_processes_is_told_and_gets_the_rest_when_it_is_raised() {
    if !need(&[NEEDS, &["prlimit"]].concat()) {
        return;
    }
    // A user of this test alone: the kernel counts the processes of the whole machine. init is root, whom no limit binds.
    let uid = 200_000 + std::process::id();
    let mut container = Container::new(&format!(
        r#"
        user = "{uid}"
        [service.many]
        command = ["sleep", "1000"]
        instances = 6
        stagger = "1ms"
        start-grace = "1ms"
        backoff = {{ initial = "50ms", max = "200ms" }}
        "#
    ))
    .wrapped(&["prlimit", "--nproc=4:1000"])
    .start();
    let log = container.says("that user has too many processes", 2);
    assert!(log.contains(&format!("as {uid}")), "{log}");
    assert!(container.running("sleep 1000").len() < 6, "{log}");
    let raised =
        Command::new("prlimit").args(["--pid", &container.pid().to_string(), "--nproc=1000:1000"]).status();
    assert!(raised.unwrap().success());
    eventually("all of them run", PATIENCE, || (container.running("sleep 1000").len() == 6).then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_service_beyond_the_memory_limit_is_named_and_the_others_go_on() {
    if !can(&[]) {
        return;
    }
    let group = Cgroup::new().unwrap();
    group.limit_memory(200 << 20);
    let container = Container::new(
        r#"
        [service.eater]
        command = ["perl", "-e", "select undef, undef, undef, 0.1; $x = 'x' x (300 << 20); sleep 1000"]
        backoff = { initial = "20ms", max = "50ms" }
        start-grace = "1ms"
        [service.web]
        command = ["sleep", "2000"]
        [cron.eats]
        schedule = "0 0 1 1 *"
        command = ["perl", "-e", "$x = 'x' x (300 << 20)"]
        "#,
    );
    let mut container = inside(&group, container).start();
    let web = container.one("sleep 2000");
    let log = container.says("eater: killed by SIGKILL", 2);
    assert!(log.contains("out of memory: the kernel's OOM killer struck"), "{log}");
    let socket = client::socket(&container);
    eventually("it is counted", PATIENCE, || {
        let services = client::status(&socket).services;
        let eater = services.iter().find(|service| service.name == "eater").unwrap();
        (eater.restarts_by_cause.get("oom").copied() >= Some(1)).then_some(())
    });
    let run = client::outcomes(&socket, r#""request":"run","name":"eats","wait":true"#);
    assert!(run[0].code == 137 && run[0].text.contains("out of memory"), "{run:?}");
    assert_eq!(container.one("sleep 2000"), web);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

/// Reads what init, a shell and `sleep` are made of, which then is in memory at this test's cost. What the group reads is pushed
/// out at its limit and read again, megabytes around each page where the disk's `read_ahead_kb` says so: then all of them do
/// nothing else, in D, and nobody is ended.
fn read_programs() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libraries = maps.lines().filter_map(|line| Some(PathBuf::from(line.get(line.find('/')?..)?)));
    let programs = [init(), "/bin/sh".into(), "/bin/sleep".into()];
    for file in libraries.chain(programs).filter_map(|path| File::open(path).ok()) {
        io::copy(&mut &file, &mut io::sink()).unwrap();
    }
}

#[test]
fn a_crowd_of_small_processes_at_the_memory_limit_never_costs_init() {
    if !can(&[]) {
        return;
    }
    read_programs();
    let group = Cgroup::new().unwrap();
    // Nearly all of it is nobody's: a file in memory. What is left goes to processes that are each smaller than init.
    group.limit_memory(512 << 20);
    let container = Container::new(
        r#"
        [service.crowd]
        command = ["sh", "-c", "while :; do sleep 1000 & done"]
        backoff = { initial = "20ms", max = "50ms" }
        start-grace = "1ms"
        stop-timeout = "1s"
        "#,
    );
    let mounted = "mount --make-rprivate /; mount -t tmpfs none /mnt; head -c 480M /dev/zero > /mnt/ballast; exec \"$@\"";
    let words = [&group.enter()[..], &["sh", "-ec", mounted, "sh"].map(String::from)].concat();
    let mut container = container.wrapped(&words.iter().map(String::as_str).collect::<Vec<_>>()).start();
    // Before it ends anybody the kernel may spend a long time on taking programs' pages away, which come back at once.
    eventually("the kernel ends one after the other", PATIENCE * 5, || (group.kills() >= 2).then_some(()));
    assert!(client::verdicts(&client::socket(&container)).0);
    assert_eq!(container.stop(PATIENCE).0, 0, "{}", container.log());
}

#[test]
fn whoever_a_service_runs_as_the_kernel_ends_it_before_init() {
    if !need(&[NEEDS, &["setpriv"]].concat()) {
        return;
    }
    for dropped in ["-sys_resource", "-all,+setuid,+setgid,+kill"] {
        let mut container = Container::new(
            "[service.web]\ncommand = [\"sleep\", \"1000\"]\nuser = \"www-data\"\n[service.own]\ncommand = [\"sleep\", \"2000\"]\n",
        )
        .wrapped(&["setpriv", "--bounding-set", dropped, "--inh-caps", "-all"])
        .start();
        let score = |pid: i32| -> i32 {
            std::fs::read_to_string(format!("/proc/{pid}/oom_score_adj")).unwrap().trim().parse().unwrap()
        };
        for program in ["sleep 1000", "sleep 2000"] {
            let pid = container.one(program);
            eventually("it goes first", PATIENCE, || (score(pid) > score(container.pid())).then_some(()));
        }
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn a_boot_step_beyond_the_memory_limit_ends_the_boot_with_the_reason() {
    if !can(&[]) {
        return;
    }
    let group = Cgroup::new().unwrap();
    group.limit_memory(200 << 20);
    let container = Container::new(
        r#"
        [[boot]]
        name = "optimize"
        command = ["perl", "-e", "$x = 'x' x (300 << 20)"]
        [service.web]
        command = ["sleep", "1000"]
        "#,
    );
    let mut container = inside(&group, container).start();
    let code = container.wait(PATIENCE);
    let log = container.log();
    assert!(log.contains("optimize") && log.contains("out of memory: the kernel killed it"), "{log}");
    assert!(code != 0 && !log.contains("web: started"), "{code}: {log}");
}

#[test]
fn a_fetch_beyond_the_memory_limit_ends_the_boot_with_the_reason_and_places_nothing() {
    if !can(&[]) {
        return;
    }
    let group = Cgroup::new().unwrap();
    group.limit_memory(16 << 20);
    let container = Container::new(
        r#"
        [[file]]
        source = "@DIR/source"
        path = "@DIR/state/large"
        max-size = "100MiB"
        timeout = "1m"
        [service.web]
        command = ["sleep", "1000"]
        "#,
    );
    File::create(container.file("source")).unwrap().set_len(24 << 20).unwrap();
    let mut container = inside(&group, container).start();
    let code = container.wait(PATIENCE);
    let log = container.log();
    assert!(log.contains("the fetch child failed: out of memory: the kernel killed it"), "{log}");
    assert!(code != 0 && !log.contains("web: started"), "{code}: {log}");
    assert_eq!(std::fs::read_dir(container.file("state")).unwrap().count(), 0);
}

#[test]
fn without_descriptors_of_its_own_init_takes_no_healthy_service_for_dead() {
    if !need(&[NEEDS, &["prlimit"]].concat()) {
        return;
    }
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(drop));
    let mut container = Container::new(&format!(
        r#"
        [service.asked]
        command = ["sleep", "1000"]
        start-grace = "1ms"
        live = {{ tcp = "{address}", interval = "20ms", failures = 1 }}
        [service.told]
        command = ["sleep", "2000"]
        start-grace = "1ms"
        live = {{ command = ["true"], interval = "20ms", failures = 1 }}
        [service.web]
        command = ["sleep", "3000"]
        backoff = {{ initial = "20ms", max = "100ms" }}
        "#
    ))
    .start();
    let (asked, told, web) =
        (container.one("sleep 1000"), container.one("sleep 2000"), container.one("sleep 3000"));
    let socket = client::socket(&container);
    let degraded = |name: &str| {
        let status = client::status(&socket);
        status.services.into_iter().find(|service| service.name == name).unwrap().degraded
    };
    let limit = |limits: &str| {
        let set =
            Command::new("prlimit").args(["--pid", &container.pid().to_string(), limits]).status().unwrap();
        assert!(set.success());
    };
    assert!(client::verdicts(&socket).0);
    // What it has open stays, and nothing new comes.
    limit("--nofile=3:4096");
    container.says("degraded: ", 2);
    kill(web, "KILL");
    container.says("web: cannot start \"sleep\": cannot make a pipe", 2);
    limit("--nofile=4096:4096");
    for name in ["asked", "told"] {
        eventually("it can be asked again", PATIENCE, || degraded(name).is_none().then_some(()));
    }
    eventually("web is there again", PATIENCE, || container.running("sleep 3000").first().copied());
    assert_eq!((container.one("sleep 1000"), container.one("sleep 2000")), (asked, told));
    assert_eq!(container.stop(PATIENCE).0, 0);
}
