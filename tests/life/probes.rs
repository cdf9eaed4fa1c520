//! Probes that ask, against the real thing: PHP-FPM, nginx, socat, programs.

use crate::client;
use crate::container::{Container, NEEDS, PATIENCE, in_order, kill};
use crate::procs;
use crate::support::{eventually, need, php_fpm};
use std::fs;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

/// A service that starts when the other is ready, and not before.
pub const AFTER: &str = "\n[service.next]\ncommand = [\"sleep\", \"2000\"]\nafter = [\"it\"]\n";

/// As fast as a test wants it: a failure a tenth of a second, and a restart at once.
const FAST: &str = "interval = \"100ms\", timeout = \"2s\", failures = 2";
pub const BACKOFF: &str = "backoff = { initial = \"10ms\", max = \"10ms\" }\nstop-timeout = \"1s\"\n";

pub fn has(things: &[&str]) -> bool {
    need(NEEDS) && need(things)
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).unwrap().port()
}

/// The service is ready before the one that waits for it starts.
pub fn ready_then_next(container: &Container) {
    let log = container.says("next: started", 1);
    in_order(&log, &["it: started", "it: ready after", "next: started"]);
}

/// A stop in order.
pub fn ends_well(mut container: Container) {
    let stopped = container.stop(PATIENCE);
    assert_eq!(stopped.0, 0, "{}", container.log());
    assert_eq!(container.survivors(), [""; 0]);
}

const NGINX: &str = "daemon off;\npid @DIR/nginx.pid;\nerror_log stderr;\nevents {}\nhttp {\n access_log off;\n\
    client_body_temp_path @DIR/t1; proxy_temp_path @DIR/t2; fastcgi_temp_path @DIR/t3; uwsgi_temp_path @DIR/t4;\n\
    scgi_temp_path @DIR/t5;\n\
    server { listen 127.0.0.1:@PORT; listen unix:@DIR/nginx.sock; server_name a.example;\n\
    location = /health { if (-f @DIR/sick) { return 503; } return 204; } }\n\
    server { listen 127.0.0.1:@PORT default_server; listen unix:@DIR/nginx.sock default_server; return 421; } }\n";

fn nginx(probe: &str) -> Container {
    let port = free_port().to_string();
    let config = format!(
        r#"
        [service.it]
        command = ["nginx", "-c", "@DIR/nginx.conf"]
        stop-signal = "QUIT"
        stop-scope = "main"
        {BACKOFF}
        ready = {{ {probe}, status = 204, host = "a.example" }}
        live = {{ {probe}, status = "204", host = "a.example", {FAST} }}
        {AFTER}"#
    );
    let container = Container::new(&config.replace("@PORT", &port));
    let conf = NGINX.replace("@DIR", &container.dir()).replace("@PORT", &port);
    fs::write(container.file("nginx.conf"), conf).unwrap();
    container.start()
}

#[test]
fn nginx_is_ready_and_restarted_when_its_answer_is_wrong_often_enough() {
    if !has(&["nginx"]) {
        return;
    }
    for probe in [
        "http = \"http://localhost:@PORT/health\"",
        "http = \"http://unix:@DIR/nginx.sock:/health?token=S3CRET\"",
    ] {
        let container = nginx(probe);
        ready_then_next(&container);
        let master = container.one("master process");
        fs::write(container.file("sick"), "").unwrap();
        let log = container.says("answers 503 to /health", 1);
        assert!(!log.contains("S3CRET"), "{log}");
        eventually("the master is gone", PATIENCE, || procs::read(master).is_none().then_some(()));
        fs::remove_file(container.file("sick")).unwrap();
        container.says("it: ready after", 2);
        ends_well(container);
    }
}

#[test]
fn a_unix_server_is_ready_when_it_listens_and_dead_when_it_does_not() {
    if !has(&["socat"]) {
        return;
    }
    let container = Container::new(&format!(
        r#"
        [service.it]
        command = ["sh", "@DIR/serve"]
        {BACKOFF}
        ready = {{ unix = "@DIR/it.sock", successes = 3, interval = "10ms" }}
        live = {{ unix = "@DIR/it.sock", {FAST} }}
        {AFTER}"#
    ))
    .script("serve", "socat UNIX-LISTEN:@DIR/it.sock,unlink-early,fork - &\nsleep 1000\n")
    .start();
    ready_then_next(&container);
    // The main process lives on.
    for pid in container.running("socat UNIX-LISTEN") {
        kill(pid, "KILL");
    }
    container.says("cannot connect to", 1);
    container.says("it: ready after", 2);
    ends_well(container);
}

#[test]
fn a_program_decides_as_the_services_user_and_tells_why() {
    if !has(&["setsid"]) {
        return;
    }
    let container = Container::new(&format!(
        r#"
        user = "www-data"
        [service.it]
        command = ["sleep", "1000"]
        env = {{ OF_THE_SERVICE = "yes" }}
        ready = {{ command = ["sh", "-c", "test -e @DIR/go || {{ echo first >&2; echo no database yet >&2; exit 3; }}; echo $OF_THE_SERVICE $(id -un) $(pwd) >@DIR/seen"], interval = "20ms", deadline = "3s" }}
        {AFTER}"#
    ))
    .start();
    container.says("its probe exited 3: no database yet", 1);
    fs::write(container.file("go"), "").unwrap();
    ready_then_next(&container);
    assert_eq!(container.text("seen"), format!("yes www-data {}\n", container.dir()));
    assert!(!container.log().contains("orphan"), "{}", container.log());
    ends_well(container);
}

#[test]
fn a_program_that_hangs_is_killed_with_all_that_it_started() {
    if !has(&["setsid"]) {
        return;
    }
    let container = Container::new(
        r#"
        [service.it]
        command = ["sleep", "1000"]
        ready = { command = ["sh", "-c", "yes >&2 & sleep 3000 & echo $$ >>@DIR/tries; exec sleep 4000"], timeout = "200ms", interval = "10ms", deadline = "2s" }
        "#,
    )
    .start();
    container.says("did not end within 200ms and was killed", 1);
    // One after the other, never two at a time.
    eventually("it was tried again", PATIENCE, || {
        (container.text("tries").lines().count() >= 4).then_some(())
    });
    assert!(container.running("sleep 4000").len() <= 1);
    assert!(container.running("sleep 3000").len() <= 1);
    ends_well(container);
}

#[test]
fn a_program_of_a_probe_that_is_not_there_is_told_before_anything_starts() {
    if !has(&["setsid"]) {
        return;
    }
    let mut container = Container::new(
        "[service.it]\ncommand = [\"sleep\", \"1000\"]\nlive = { command = [\"no-such-program\"] }\n",
    )
    .start();
    assert_eq!(container.wait(PATIENCE), 127);
    let log = container.log();
    assert!(log.contains("the liveness probe of service \"it\"") && !log.contains("it: started"), "{log}");
}

#[test]
fn liveness_that_fails_restarts_by_policy_and_gives_up_by_policy() {
    if !has(&["setsid"]) {
        return;
    }
    let mut container = Container::new(&format!(
        r#"
        [service.it]
        command = ["sleep", "1000"]
        start-grace = "50ms"
        essential = true
        {BACKOFF}
        give-up = {{ restarts = 2, within = "1m" }}
        live = {{ command = ["sh", "-c", "echo the queue is stuck >&2; exit 1"], {FAST} }}
        "#
    ))
    .start();
    assert_ne!(container.wait(PATIENCE), 0);
    let log = container.log();
    assert_eq!(log.matches("it: started").count(), 3, "{log}");
    assert!(log.contains("the queue is stuck"), "{log}");
    assert_eq!(container.survivors(), [""; 0]);
}

/// Puts the configuration of a pool into the container; its script sleeps until there is `@DIR/go`.
pub fn pool(container: Container, listen: &str, children: &str) -> Container {
    let dir = container.dir();
    let listen =
        if listen == "unix" { format!("{dir}/fpm.sock\nlisten.mode = 0666") } else { listen.to_owned() };
    let conf = format!(
        "[global]\nerror_log = {dir}/fpm.log\n[www]\nuser = www-data\nlisten = {listen}\nlisten.backlog = 4\npm = static\n\
         {children}\nping.path = /-/fpm-ping\n"
    );
    fs::write(container.file("fpm.conf"), conf).unwrap();
    let slow = format!(
        "<?php touch('{dir}/busy'); while (!file_exists('{dir}/go')) {{ usleep(10000); clearstatcache(); }} echo 'done';"
    );
    fs::write(container.file("slow.php"), slow).unwrap();
    container
}

fn fpm(address: &str, listen: &str) -> Container {
    let config = format!(
        r#"
        log.level = "debug"
        [service.it]
        command = ["@FPM", "-n", "-F", "-y", "@DIR/fpm.conf"]
        stop-signal = "QUIT"
        stop-scope = "main"
        {BACKOFF}
        ready = {{ fastcgi = "{address}" }}
        live = {{ fastcgi = "{address}", interval = "100ms", timeout = "300ms", failures = 2 }}
        {AFTER}"#
    );
    let container = Container::new(&config.replace("@FPM", php_fpm().unwrap().to_str().unwrap()));
    pool(container, listen, "pm.max_children = 1").start()
}

/// A request that keeps the only worker busy.
fn slow_request(container: &Container, address: &str) -> Child {
    let request = Command::new("cgi-fcgi")
        .args(["-bind", "-connect", &address.replace("@DIR", &container.dir())])
        .env("REQUEST_METHOD", "GET")
        .env("SCRIPT_FILENAME", container.file("slow.php"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    eventually("the worker is busy", PATIENCE, || container.file("busy").exists().then_some(()));
    request
}

#[test]
fn a_saturated_pool_is_degraded_and_not_restarted() {
    if !has(&["php-fpm", "cgi-fcgi"]) {
        return;
    }
    let tcp = format!("127.0.0.1:{}", free_port());
    for (address, listen) in [("@DIR/fpm.sock", "unix"), (tcp.as_str(), tcp.as_str())] {
        let container = fpm(address, listen);
        ready_then_next(&container);
        let master = container.one("master process");
        let request = slow_request(&container, address);
        container.says("it: degraded: ", 1);
        let socket = client::socket(&container);
        let health = client::health(&socket, "ready");
        assert!(health.healthy && health.reasons.len() == 1, "{health:?}");
        let degraded = || client::status(&socket).services[0].degraded.clone();
        assert!(degraded().is_some());
        // More attempts than would restart it, and than its queue holds.
        container.says("still degraded", 8);
        fs::write(container.file("go"), "").unwrap();
        let log = container.says("it: no longer degraded, after", 1);
        assert_eq!(log.matches("it: degraded: ").count(), 1, "{log}");
        assert_eq!(degraded(), None);
        let answer = request.wait_with_output().unwrap();
        assert!(String::from_utf8_lossy(&answer.stdout).ends_with("done"), "{answer:?}");
        assert_eq!(container.one("master process"), master);
        assert_eq!(container.log().matches("it: started").count(), 1);
        ends_well(container);
    }
}

#[test]
fn a_pool_whose_processes_are_stopped_or_whose_socket_is_gone_is_restarted() {
    if !has(&["php-fpm", "cgi-fcgi"]) {
        return;
    }
    let container = fpm("@DIR/fpm.sock", "unix");
    ready_then_next(&container);
    // The workers alone: their master does not care.
    let workers: Vec<i32> = container.running("pool www");
    assert_eq!(workers.len(), 1);
    kill(workers[0], "STOP");
    container.says("its processes are stopped (SIGSTOP)", 1);
    container.says("it: ready after", 2);
    // All of it.
    let master = container.one("master process");
    for pid in [master, container.one("pool www")] {
        kill(pid, "STOP");
    }
    container.says("its processes are stopped (SIGSTOP)", 2);
    container.says("it: ready after", 3);
    assert_ne!(container.one("master process"), master);
    fs::remove_file(container.file("fpm.sock")).unwrap();
    container.says("cannot connect to", 1);
    container.says("it: ready after", 4);
    ends_well(container);
}
