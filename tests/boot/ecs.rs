//! What ECS tells of the task, in the lines of the log; and an agent that answers badly or not at all.

use crate::harness::{Place, Running, Setup};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

const TASK: &str = r#"{"Cluster":"arn:aws:ecs:eu-west-1:111122223333:cluster/shop",
    "TaskARN":"arn:aws:ecs:eu-west-1:111122223333:task/shop/e9028f8d5d8e4f258373e7b93ce9a3c3",
    "Family":"web","Revision":"17","AvailabilityZone":"eu-west-1b","LaunchType":"FARGATE","Containers":[]}"#;

/// The metadata endpoint: what it answers to the request of this number and path. `None`: nothing, for ever.
fn agent(answer: impl Fn(usize, &str) -> Option<String> + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for (number, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = stream;
            let mut head = [0; 4096];
            let length = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..length]).into_owned();
            match answer(number, head.split(' ').nth(1).unwrap_or_default()) {
                Some(text) => drop(stream.write_all(text.as_bytes())),
                None => held.push(stream),
            }
        }
    });
    format!("http://{address}/v4/abc")
}

fn ok(body: &str) -> Option<String> {
    // As Go's server does with what does not fit into its first buffer.
    let (first, second) = body.split_at(body.len() / 2);
    let chunk = |part: &str| format!("{:x}\r\n{part}\r\n", part.len());
    Some(format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}{}0\r\n\r\n",
        chunk(first),
        chunk(second)
    ))
}

const TELLS: &str = r#"
    [log]
    format = "json"
    [service.tells]
    command = ["sh", "-c", "while :; do echo hello; echo '{\"a\":1}'; sleep 0.05; done"]
"#;

fn start(uri: &str) -> (Setup, Running) {
    let setup = Setup::new(Place::Child, TELLS).env("ECS_CONTAINER_METADATA_URI_V4", uri);
    let running = setup.start::<&str>(&[]);
    (setup, running)
}

/// The first complete line with `text`, as JSON.
fn line(log: &str, text: &str) -> serde_json::Value {
    let found = log.lines().find(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text} in {log}"));
    serde_json::from_str(found).unwrap_or_else(|error| panic!("{error}: {found}"))
}

#[test]
fn each_json_line_tells_the_task_its_version_and_its_place() {
    let uri = agent(|number, path| match (number, path) {
        // It is not up yet.
        (0, _) => Some("HTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n".to_owned()),
        (_, "/v4/abc/task") => ok(TASK),
        (_, "/v4/abc") => ok(r#"{"Name":"php","DockerId":"x"}"#),
        _ => None,
    });
    let (_setup, running) = start(&uri);
    running.wait_for("\"ecs\":{");
    running.wait_for_log("ECS task e9028f8d5d8e4f258373e7b93ce9a3c3 of web:17 in eu-west-1b");
    let task = serde_json::json!({
        "task": "e9028f8d5d8e4f258373e7b93ce9a3c3", "family": "web", "revision": "17", "zone": "eu-west-1b",
    });
    running.wait_for("\"zone\":\"eu-west-1b\"},\"record\":{\"a\":1}}");
    let relayed = line(&running.stdout(), "\"zone\":\"eu-west-1b\"},\"message\":\"hello\"}");
    assert_eq!((&relayed["service"], &relayed["ecs"]), (&"tells".into(), &task));
    assert_eq!(line(&running.stderr(), "ECS task")["ecs"], task, "init's own lines too");
    running.signal(15);
    running.finish().expect(0);
}

#[test]
fn an_agent_that_hangs_or_talks_nonsense_delays_nothing_and_is_not_worth_a_line() {
    for answer in [
        None,
        Some("SSH-2.0-OpenSSH\r\n\r\n"),
        Some("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[1]"),
        Some(""),
    ] {
        let uri = agent(move |_, _| answer.map(str::to_owned));
        let began = Instant::now();
        let (_setup, running) = start(&uri);
        running.wait_for("hello");
        running.signal(15);
        let done = running.finish().expect(0);
        assert!(began.elapsed() < Duration::from_secs(15), "{answer:?}");
        assert!(!done.stderr.contains("metadata") && !done.stderr.contains("ECS"), "{}", done.stderr);
        assert!(!done.stdout.contains("\"ecs\""), "{}", done.stdout);
    }
}

#[test]
fn without_an_agent_there_is_no_protection_and_one_line_says_so() {
    let config = "[ecs]\nscale-in-protection = [\"a\"]\n[service.a]\ncommand = [\"sleep\", \"1000\"]\n";
    let setup = Setup::new(Place::Child, config);
    let running = setup.start::<&str>(&[]);
    running.wait_for_log("a: started");
    running.signal(15);
    let log = running.finish().expect(0).stderr;
    assert_eq!(log.matches("no scale-in protection: ECS_AGENT_URI is not set").count(), 1, "{log}");
}

#[test]
fn an_agent_that_refuses_is_told_once_in_words_and_does_not_hold_up_the_stop() {
    let uri = agent(|_, _| {
        let body = r#"{"requestID":"1","error":{"Code":"AccessDeniedException","Message":"not authorized"}}"#;
        Some(format!("HTTP/1.1 400 Bad Request\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    });
    // As a worker of Laravel 11 tells of its job.
    let config = "[ecs]\nscale-in-protection = [\"queue\"]\n[service.queue]\n\
        command = [\"sh\", \"-c\", \"echo '  2026-11-22 02:00:00 App\\\\Jobs\\\\A ........ RUNNING'; sleep 1000\"]\n";
    let setup = Setup::new(Place::Child, config).env("ECS_AGENT_URI", uri);
    let running = setup.start::<&str>(&[]);
    running.wait_for_log("allow ecs:UpdateTaskProtection in the task role; trying again");
    running.signal(15);
    let done = running.finish_within(Duration::from_secs(10)).expect(0);
    assert_eq!(done.stderr.matches("scale-in").count(), 1, "{}", done.stderr);
}
