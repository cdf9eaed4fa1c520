//! Reloads under load: the sample application behind real nginx and PHP-FPM, with a queue worker.

use crate::container::PATIENCE;
use crate::procs;
use crate::queue::number;
use crate::support::sandbox::{NEEDS, Sandbox};
use crate::support::{eventually, need};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const CONFIG: &str = r#"
    preset = "laravel"
    [[file]]
    name = "env"
    source = "/opt/php/source.env"
    [[boot]]
    name = "tables"
    command = ["php", "artisan", "migrate", "--force", "--no-ansi"]
    [service.nginx]
    command = ["nginx", "-c", "/opt/php/nginx.conf"]
    user = "root"
    after = ["php-fpm"]
    stop-signal = "QUIT"
    reload-signal = "HUP"
    [service.queue]
    command = ["php", "artisan", "queue:work", "--no-ansi", "--sleep=1"]
    [cron.schedule]
    enabled = false
"#;

const NGINX: &str = r#"
daemon off;
user www-data;
worker_processes 2;
pid /tmp/nginx.pid;
error_log stderr notice;
events {}
http {
    access_log off;
    client_body_temp_path /tmp/nginx-body;
    fastcgi_temp_path /tmp/nginx-fastcgi;
    proxy_temp_path /tmp/nginx-proxy;
    uwsgi_temp_path /tmp/nginx-uwsgi;
    scgi_temp_path /tmp/nginx-scgi;
    server {
        listen unix:/tmp/web.sock;
        location / {
            include /etc/nginx/fastcgi_params;
            fastcgi_param SCRIPT_FILENAME /var/www/html/public/index.php;
            fastcgi_pass 127.0.0.1:9000;
        }
    }
}
"#;

const CLIENTS: usize = 6;

fn start(more: &str) -> Sandbox {
    let mut sandbox = Sandbox::new(&format!("{CONFIG}{more}"));
    fs::write(sandbox.volume("php/nginx.conf"), NGINX).unwrap();
    greet(&sandbox, "one");
    sandbox.start(&[]);
    let socket = socket(&sandbox);
    eventually("nginx and PHP-FPM answer", Duration::from_secs(30), || {
        get(&socket, "/status").ok().filter(|(status, _)| status == "200")
    });
    sandbox
}

fn socket(sandbox: &Sandbox) -> PathBuf {
    sandbox.volume("tmp/web.sock")
}

/// The example of a `.env` with another greeting.
fn greet(sandbox: &Sandbox, greeting: &str) {
    let example = fs::read_to_string(crate::support::repository("docker/app/.env.example")).unwrap();
    let lines = example.lines().filter(|line| !line.starts_with("DEMO_GREETING"));
    let text: String = lines.map(|line| format!("{line}\n")).collect();
    fs::write(sandbox.volume("php/source.env"), format!("{text}DEMO_GREETING={greeting}\n")).unwrap();
}

/// One request on a connection of its own: status and body, or why there is none.
fn get(socket: &PathBuf, uri: &str) -> Result<(String, String), String> {
    let said = |what: &str| {
        let what = what.to_owned();
        move |error: std::io::Error| format!("{what}: {error}")
    };
    let mut stream = UnixStream::connect(socket).map_err(said("connect"))?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "GET {uri} HTTP/1.0\r\nHost: localhost\r\n\r\n").map_err(said("write"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(said("read"))?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(|| format!("cut: {answer:?}"))?;
    Ok((head.split(' ').nth(1).unwrap_or("").to_owned(), body.to_owned()))
}

fn greeting(socket: &PathBuf) -> String {
    let (_, body) = get(socket, "/status").unwrap();
    let status: serde_json::Value =
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    status["greeting"].as_str().unwrap().to_owned()
}

/// Answers by status, or what else became of a request.
type Tally = BTreeMap<String, usize>;

/// The end of the load, whatever becomes of the test.
#[derive(Default)]
struct Over(AtomicBool);

struct Guard<'a>(&'a AtomicBool);

impl Over {
    fn guard(&self) -> Guard<'_> {
        Guard(&self.0)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Clients without keep-alive, one request after the other, until `over`.
fn load(socket: &PathBuf, over: &AtomicBool) -> Tally {
    let mut tally = Tally::new();
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut mine = Tally::new();
                    let uris = ["/status", "/slow/0.05", "/", "/slow/0.3"];
                    for turn in client.. {
                        if over.load(Ordering::Relaxed) {
                            break;
                        }
                        let became = match get(socket, uris[turn % uris.len()]) {
                            Ok((status, _)) if status == "200" => status,
                            Ok((status, body)) => format!("{status} {}", &body[..body.len().min(300)]),
                            Err(error) => error,
                        };
                        *mine.entry(became).or_default() += 1;
                    }
                    mine
                })
            })
            .collect();
        for client in clients {
            for (became, count) in client.join().unwrap() {
                *tally.entry(became).or_default() += count;
            }
        }
    });
    tally
}

fn says(sandbox: &Sandbox, text: &str, times: usize) -> String {
    eventually(&format!("the log says {text:?} {times} times"), Duration::from_secs(60), || {
        Some(sandbox.log()).filter(|log| log.matches(text).count() >= times)
    })
}

fn pids(sandbox: &Sandbox, command: &str) -> Vec<i32> {
    let below = procs::descendants(sandbox.pid());
    below.into_iter().map(|one| one.pid).filter(|pid| procs::command(*pid).contains(command)).collect()
}

fn generations(sandbox: &Sandbox) -> Vec<String> {
    let entries = fs::read_dir(sandbox.volume("php/.generations")).into_iter().flatten().flatten();
    entries.map(|entry| entry.file_name().into_string().unwrap()).collect()
}

#[test]
fn three_reloads_under_load_lose_no_request_and_each_serves_the_new_value() {
    if !need(NEEDS) || !need(&["nginx"]) {
        return;
    }
    let mut sandbox = start("");
    let socket = socket(&sandbox);
    assert_eq!(greeting(&socket), "one");
    let master = pids(&sandbox, "php-fpm: master");
    let over = Over::default();
    let tally = std::thread::scope(|scope| {
        let tally = scope.spawn(|| load(&socket, &over.0));
        // Also when a check below fails.
        let stop = over.guard();
        for (round, greeting) in (1..).zip(["two", "three", "four"]) {
            greet(&sandbox, greeting);
            sandbox.signal("HUP");
            says(&sandbox, "reloaded in", round);
            eventually("the new value is served", PATIENCE, || {
                (self::greeting(&socket) == greeting).then_some(())
            });
            // And by every worker: 20 answers of 3 workers.
            let began = Instant::now();
            let mut in_a_row = 0;
            while in_a_row < 20 {
                in_a_row = if self::greeting(&socket) == greeting { in_a_row + 1 } else { 0 };
                assert!(began.elapsed() < PATIENCE, "an old worker still answers");
            }
        }
        drop(stop);
        tally.join().unwrap()
    });
    println!("{tally:?}");
    assert_eq!(tally.keys().collect::<Vec<_>>(), ["200"], "{tally:?}");
    assert!(tally["200"] > 100, "{tally:?}");
    assert_eq!(pids(&sandbox, "php-fpm: master"), master, "the master replaces itself");
    // What www-data wrote, others cannot read.
    use std::os::unix::fs::MetadataExt as _;
    let generation = sandbox.volume("php/.generations/3");
    let (meta, cache) =
        (fs::metadata(&generation).unwrap(), fs::metadata(generation.join("config.php")).unwrap());
    assert_eq!((meta.uid(), meta.mode() & 0o777, cache.mode() & 0o007), (33, 0o750, 0));
    assert!(generation.join("views").read_dir().unwrap().count() > 0, "Blade's views are compiled there");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

#[test]
fn a_reload_that_fails_changes_nothing_for_laravel() {
    if !need(NEEDS) || !need(&["nginx"]) {
        return;
    }
    let mut sandbox = start("");
    let socket = socket(&sandbox);
    let stands = || {
        let mut all = pids(&sandbox, "php-fpm");
        all.extend(pids(&sandbox, "queue:work"));
        all.extend(pids(&sandbox, "nginx"));
        (
            all,
            fs::read(sandbox.volume("php/.env")).unwrap(),
            fs::read(sandbox.volume("cache/config.php")).unwrap(),
        )
    };
    eventually("the queue works", PATIENCE, || (!pids(&sandbox, "queue:work").is_empty()).then_some(()));
    let before = stands();
    let fails = |round: usize, words: &str| {
        sandbox.signal("HUP");
        let log = says(&sandbox, "everything stays as it was", round);
        assert!(log.contains(words), "{log}");
        assert!(stands() == before, "{words}: something changed");
        assert_eq!(greeting(&socket), "one");
        eventually("its caches are removed", PATIENCE, || generations(&sandbox).is_empty().then_some(()));
    };
    greet(&sandbox, "two words");
    fails(1, "line 10, key DEMO_GREETING");
    greet(&sandbox, "two\nDEMO_OPTIMIZE=fail");
    fails(2, "its task \"config\" printed FAIL");
    greet(&sandbox, "two\nDEMO_OPTIMIZE=throw");
    fails(3, "reload failed: boot step \"optimize\" failed: exit code 1");
    assert!(!sandbox.log().contains("reloaded in"));
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
}

#[test]
fn a_job_in_flight_ends_before_its_worker_is_replaced() {
    if !need(NEEDS) || !need(&["nginx"]) {
        return;
    }
    let job = "\n[[boot]]\nname = \"job\"\ncommand = [\"sh\", \"-c\", \"[ -e /tmp/once ] || php artisan demo:dispatch first --seconds=6; touch /tmp/once\"]\n";
    let mut sandbox = start(job);
    says(&sandbox, "job-started first", 1);
    let worker = pids(&sandbox, "queue:work");
    greet(&sandbox, "two");
    sandbox.signal("HUP");
    says(&sandbox, "reloaded in", 1);
    assert_eq!(number(&sandbox, "select count(*) from events where kind = 'job-done'"), 0, "it still works");
    says(&sandbox, "job-done first", 1);
    let new = eventually("there is a new worker", PATIENCE, || {
        let now = pids(&sandbox, "queue:work");
        (now.len() == 1 && now != worker).then(|| now[0])
    });
    let environment = fs::read_to_string(format!("/proc/{new}/environ")).unwrap();
    assert!(environment.contains("APP_CONFIG_CACHE=/opt/php/.generations/1/config.php"), "{environment:?}");
    sandbox.signal("TERM");
    assert_eq!(sandbox.wait(PATIENCE), 0);
    assert!(!sandbox.log().contains("SIGKILL"), "{}", sandbox.log());
}
