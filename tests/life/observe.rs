//! Health and metrics over HTTP, and scale-in protection: a real listener, PHP-FPM, Laravel's worker.

use crate::container::{self, Container, PATIENCE};
use crate::support::sandbox::{self, Sandbox};
use crate::support::{eventually, need};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

/// An answer's status, its head and its body.
type Answer = (u16, String, String);

fn exchange(mut stream: impl Read + Write, request: &str) -> Option<Answer> {
    stream.write_all(request.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, head.to_owned(), body.to_owned()))
}

fn get(socket: &Path, path: &str) -> Option<Answer> {
    exchange(UnixStream::connect(socket).ok()?, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

/// Waits until `path` is answered with `status`: the body.
pub fn gets(socket: &Path, path: &str, status: u16) -> String {
    eventually(&format!("{path} is answered with {status}"), PATIENCE, || {
        get(socket, path).filter(|answer| answer.0 == status).map(|answer| answer.2)
    })
}

/// One sample of the metrics.
fn sample(socket: &Path, name: &str) -> Option<f64> {
    let (_, _, body) = get(socket, "/metrics")?;
    body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

/// The families that the reference implementation's parser finds.
fn parsed(text: &str) -> Vec<String> {
    let script = "import sys\n\
        from prometheus_client.openmetrics.parser import text_string_to_metric_families as read\n\
        print('\\n'.join(f'{f.name} {f.type} {len(f.samples)}' for f in read(sys.stdin.read())))";
    // Debian's own, whatever else is first on the PATH.
    let mut python = Command::new("/usr/bin/python3");
    let mut python = python
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    python.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = python.wait_with_output().unwrap();
    assert!(output.status.success(), "{}\n{text}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

const SERVICES: &str = r#"
    [health]
    listen = "@DIR/health.sock"
    [service.web]
    command = ["sleep", "4321"]
    essential = true
    ready = { unix = "@DIR/web.sock" }
    [service.web.backoff]
    initial = "10ms"
    [cron.never]
    schedule = "0 0 1 1 *"
    command = ["true"]
"#;

#[test]
fn health_and_metrics_tell_of_a_start_a_crash_and_a_stop() {
    if !need(container::NEEDS) || !need(&["openmetrics"]) {
        return;
    }
    let mut container = Container::new(SERVICES).start();
    let socket = container.file("health.sock");
    assert!(gets(&socket, "/livez", 200).starts_with("ok\n"), "it is alive while it starts");
    let body = eventually("the boot is over", PATIENCE, || {
        let body = gets(&socket, "/readyz?verbose", 503);
        (!body.contains("preflight")).then_some(body)
    });
    assert!(body.starts_with("not ready\nweb is STARTING\nweb  ") && body.contains(" STARTING"), "{body}");
    let starting =
        "php_init_service_state{service=\"web\",instance=\"0\",php_init_service_state=\"STARTING\"}";
    assert_eq!(sample(&socket, starting), Some(1.0));

    let _listener = std::os::unix::net::UnixListener::bind(container.file("web.sock")).unwrap();
    gets(&socket, "/readyz", 200);
    let (_, head, body) = get(&socket, "/metrics").unwrap();
    assert!(
        head.contains("\r\nContent-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"),
        "{head}"
    );
    let families = parsed(&body);
    for family in [
        "php_init_build info 1",
        "php_init_phase stateset 6",
        "php_init_service_state stateset 7",
        "php_init_service_restarts counter 1",
        "php_init_cron_next_run_timestamp_seconds gauge 1",
        "php_init_log_lines counter 1",
        "php_init_orphans_reaped counter 1",
        "process_resident_memory_bytes gauge 1",
    ] {
        assert!(families.iter().any(|found| found == family), "{family} in {families:#?}");
    }

    container::kill(container.one("sleep 4321"), "KILL");
    let restarted = eventually("the crash is counted", PATIENCE, || {
        let (_, _, body) = get(&socket, "/metrics")?;
        body.lines()
            .any(|line| {
                line.starts_with("php_init_service_restarts_total{service=\"web\"") && line.ends_with(" 1")
            })
            .then_some(body)
    });
    parsed(&restarted);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn only_get_and_head_of_what_there_is_are_answered() {
    if !need(container::NEEDS) {
        return;
    }
    let mut container = Container::new(
        "[health]\nlisten = \"@DIR/health.sock\"\n[service.a]\ncommand = [\"sleep\", \"1000\"]\n",
    )
    .start();
    let socket = container.file("health.sock");
    gets(&socket, "/readyz", 200);
    let ask = |request: &str| exchange(UnixStream::connect(&socket).unwrap(), request);
    let (status, _, body) = ask("GET /nothing HTTP/1.1\r\n\r\n").unwrap();
    assert!(status == 404 && body.contains("/livez"), "{status} {body}");
    let (status, head, body) = ask("HEAD /livez HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!((status, body.as_str()), (200, ""));
    assert!(head.contains("Content-Length: 3"), "{head}");
    assert_eq!(ask("POST /livez HTTP/1.1\r\nContent-Length: 0\r\n\r\n").unwrap().0, 405);
    assert_eq!(ask("\x16\x03\x01\x02\r\n\r\n").unwrap().0, 400);
    // Hostile: half a head, for ever, by more than are taken in. Another one gets a place at once, not when theirs run out:
    // one that came before it may still say the rest.
    let half = || {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(b"GET /livez HT").unwrap();
        stream
    };
    eventually("a place among many that say nothing", PATIENCE, || {
        let mut crowd: Vec<UnixStream> = (0..40).map(|_| half()).collect();
        let answered = get(&socket, "/livez")?.0;
        let (before, _, _) = exchange(crowd.swap_remove(30), "TP/1.1\r\n\r\n")?;
        (answered == 200 && before == 200).then_some(())
    });
    let mut long = UnixStream::connect(&socket).unwrap();
    // It may have hung up by the end.
    let _ = long.write_all(format!("GET /livez HTTP/1.1\r\nX: {}", "x".repeat(100_000)).as_bytes());
    gets(&socket, "/livez", 200);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn it_listens_on_tcp_and_a_port_that_is_taken_is_told_and_survived() {
    if !need(container::NEEDS) {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let config = format!("[health]\nlisten = \"{address}\"\n[service.a]\ncommand = [\"sleep\", \"1000\"]\n");
    let mut container = Container::new(&config).start();
    container.says("a: started", 1);
    assert!(container.errors().contains(&format!("cannot listen on {address}")), "{}", container.errors());
    assert_eq!(container.stop(PATIENCE).0, 0);
    drop(taken);
    let mut container = Container::new(&config).start();
    container.says(&format!("health and metrics are answered on {address}"), 1);
    let answer = exchange(TcpStream::connect(address).unwrap(), "GET /livez HTTP/1.1\r\n\r\n").unwrap();
    assert_eq!(answer.0, 200);
    assert_eq!(container.stop(PATIENCE).0, 0);
}

/// PHP-FPM with two workers.
fn fpm(options: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(&format!(
        r#"
        preset = "laravel"
        [health]
        listen = "/opt/php/health.sock"
        [[file]]
        name = "env"
        source = "/opt/php/source.env"
        [[boot]]
        name = "optimize"
        enabled = false
        [service.queue]
        enabled = false
        [cron.schedule]
        enabled = false
        [service.php-fpm]
        command = ["php-fpm", "-F", "-y", "/opt/php/pool.conf"]
        [service.php-fpm.fpm]
        {options}
        "#
    ));
    let pool = "[www]\nuser = www-data\nlisten = 127.0.0.1:9000\npm = static\npm.max_children = 2\n";
    std::fs::write(sandbox.volume("php/pool.conf"), pool).unwrap();
    sandbox.start(&[]);
    sandbox.ready("/slow/0");
    sandbox
}

/// A sample of the pool.
fn pool(name: &str, labels: &str) -> String {
    format!("php_init_fpm_{name}{{service=\"php-fpm\",pool=\"www\"{labels}}}")
}

#[test]
fn php_fpms_own_status_is_in_the_metrics_and_a_saturated_pool_gives_none() {
    if !need(sandbox::NEEDS) || !need(&["openmetrics"]) {
        return;
    }
    let mut sandbox = fpm("");
    let socket = sandbox.volume("php/health.sock");
    eventually("one worker answers and the other one is idle", PATIENCE, || {
        (sample(&socket, &pool("processes", ",state=\"idle\"")) == Some(1.0)).then_some(())
    });
    assert!(sample(&socket, &pool("accepted_connections_total", "")) >= Some(2.0));
    parsed(&get(&socket, "/metrics").unwrap().2);
    thread::scope(|scope| {
        let requests = [0, 1].map(|_| scope.spawn(|| sandbox.request("GET", "/slow/4")));
        eventually("the pool is saturated", PATIENCE, || {
            (sample(&socket, &pool("up", "")) == Some(0.0)).then_some(())
        });
        // A saturated pool does not make the container a dead one.
        assert_eq!(get(&socket, "/livez").unwrap().0, 200);
        for request in requests {
            assert_eq!(request.join().unwrap().unwrap().status, 200);
        }
    });
    eventually("the pool answers again", PATIENCE, || {
        (sample(&socket, &pool("up", "")) == Some(1.0)).then_some(())
    });
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

#[test]
fn with_a_status_socket_a_saturated_pool_tells_how_busy_it_is() {
    if !need(sandbox::NEEDS) {
        return;
    }
    let mut sandbox = fpm("status-socket = true");
    let socket = sandbox.volume("php/health.sock");
    assert_eq!(sample(&socket, &pool("up", "")), Some(1.0), "{}", sandbox.log());
    thread::scope(|scope| {
        let requests = [0, 1].map(|_| scope.spawn(|| sandbox.request("GET", "/slow/4")));
        eventually("both workers are told to be busy", PATIENCE, || {
            (sample(&socket, &pool("processes", ",state=\"active\"")) == Some(2.0)).then_some(())
        });
        for request in requests {
            assert_eq!(request.join().unwrap().unwrap().status, 200);
        }
    });
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

/// The agent of ECS in the container's network: writes what it is asked to a file, a line each.
const AGENT: &str = r#"
import http.server, json, sys

class Agent(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def answer(self, status, body):
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_PUT(self):
        body = self.rfile.read(int(self.headers['Content-Length'])).decode()
        with open(sys.argv[1], 'a') as log:
            log.write(self.path + ' ' + body + '\n')
        enabled = json.loads(body)['ProtectionEnabled']
        self.answer(200, {'protection': {'ProtectionEnabled': enabled, 'TaskArn': 'arn:x'}})

http.server.HTTPServer(('127.0.0.1', 51678), Agent).serve_forever()
"#;

struct Agent(Child);

impl Agent {
    /// In the network of the container, but not one of its processes.
    fn start(sandbox: &Sandbox, log: &Path) -> Self {
        // Its loopback is up by then.
        eventually("init boots", PATIENCE, || sandbox.log().contains(" boots: ").then_some(()));
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{}/ns/net", sandbox.pid())).args(["python3", "-c", AGENT]).arg(log);
        Self(command.spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const PROTECT: &str =
    "/api/abc/task-protection/v1/state {\"ProtectionEnabled\":true,\"ExpiresInMinutes\":15}";
const RELEASE: &str = "/api/abc/task-protection/v1/state {\"ProtectionEnabled\":false}";

#[test]
fn laravels_worker_protects_its_task_while_it_has_a_job_and_no_longer() {
    if !need(sandbox::NEEDS) || !need(&["python3"]) {
        return;
    }
    let mut sandbox = Sandbox::new(
        r#"
        preset = "laravel"
        [ecs]
        scale-in-protection = ["queue"]
        release-after = "500ms"
        [[file]]
        name = "env"
        source = "/opt/php/source.env"
        [[boot]]
        name = "optimize"
        enabled = false
        [[boot]]
        name = "tables"
        command = ["php", "artisan", "migrate", "--force", "--no-ansi"]
        [[boot]]
        name = "job-1"
        command = ["php", "artisan", "demo:dispatch", "first", "--seconds=4"]
        [[boot]]
        name = "job-2"
        command = ["php", "artisan", "demo:dispatch", "quick"]
        [cron.job-3]
        schedule = "* * * * * *"
        overlap = "skip"
        command = ["sh", "-c", "test ! -e /tmp/more || { rm /tmp/more; php artisan demo:dispatch last --seconds=4; }"]
        "#,
    )
    .env("ECS_AGENT_URI", "http://127.0.0.1:51678/api/abc");
    sandbox.start(&["--role", "worker"]);
    let log = sandbox.volume("tmp/agent.log");
    let _agent = Agent::start(&sandbox, &log);
    let asked = |count: usize| -> Vec<String> {
        eventually(&format!("the agent was asked {count} times"), PATIENCE, || {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<String> = text.lines().map(str::to_owned).collect();
            (lines.len() >= count).then_some(lines)
        })
    };
    assert_eq!(asked(1), [PROTECT]);
    assert!(!sandbox.log().contains("job-done first"), "while it goes on: {}", sandbox.log());
    assert_eq!(asked(2), [PROTECT, RELEASE]);
    assert!(sandbox.log().contains("job-done quick"), "{}", sandbox.log());
    // A stop with a job in flight: released when it is done, not before.
    std::fs::write(sandbox.volume("tmp/more"), "").unwrap();
    assert_eq!(asked(3), [PROTECT, RELEASE, PROTECT]);
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert_eq!(asked(4), [PROTECT, RELEASE, PROTECT, RELEASE]);
    assert!(sandbox.log().contains("job-done last"), "{}", sandbox.log());
}
