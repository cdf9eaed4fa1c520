//! The client against servers that mean no good.

use super::client::{ClientError, Connection};
use super::protocol::{Health, Level, Phase, Reply, Request};
use crate::exit;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::Duration;
use tempfile::TempDir;

/// Longer than any of it takes.
const PATIENCE: Duration = Duration::from_secs(20);
/// For those that never answer.
const SHORT: Duration = Duration::from_millis(50);

/// Answers each of `clients` connections with `answer`.
fn server(
    clients: usize,
    answer: impl Fn(UnixStream) + Send + 'static,
) -> (TempDir, PathBuf, JoinHandle<()>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.sock");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = std::thread::spawn(move || {
        for _ in 0..clients {
            answer(listener.accept().unwrap().0);
        }
    });
    (dir, path, thread)
}

fn request(stream: &UnixStream) -> String {
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line).unwrap();
    line
}

/// Until the client goes.
fn hold(mut stream: UnixStream) {
    let mut rest = Vec::new();
    let _gone = stream.read_to_end(&mut rest);
}

fn health() -> Request {
    Request::Health { level: Level::Ready }
}

fn ask(path: &std::path::Path, limit: Duration) -> Result<Reply, ClientError> {
    Connection::ask(path, &health(), limit)?.reply()
}

#[test]
fn a_request_is_one_line_with_the_version() {
    let (_dir, path, thread) = server(1, |mut stream| {
        assert_eq!(request(&stream), "{\"v\":1,\"request\":\"health\",\"level\":\"ready\"}\n");
        let answer = b"{\"reply\":\"progress\",\"text\":\"x\",\"later\":1}\n{\"reply\":\"health\",\"healthy\":true,\"phase\":\"running\",\"reasons\":[]}\n";
        // A byte at a time, as the network likes it.
        for byte in answer {
            stream.write_all(&[*byte]).unwrap();
        }
    });
    let mut connection = Connection::ask(&path, &health(), PATIENCE).unwrap();
    assert_eq!(connection.reply().unwrap(), Reply::Progress { text: "x".into() });
    let expected = Health { healthy: true, phase: Phase::Running, reasons: Vec::new() };
    assert_eq!(connection.reply().unwrap(), Reply::Health(expected));
    assert!(matches!(connection.reply(), Err(ClientError::Closed(_))));
    thread.join().unwrap();
}

#[test]
fn a_silent_server_is_left_in_time() {
    let (_dir, path, thread) = server(1, hold);
    let error = ask(&path, SHORT).unwrap_err();
    assert!(matches!(error, ClientError::Silent(..)), "{error}");
    assert_eq!(error.code(), exit::UNAVAILABLE);
    assert!(error.to_string().contains("none within 50ms; init hangs"), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_dripping_server_is_left_in_time_too() {
    let (_dir, path, thread) = server(1, |mut stream| {
        // Each byte is an answer to read(2), none of them one to the client.
        while stream.write_all(b" ").is_ok() {}
    });
    let error = ask(&path, SHORT).unwrap_err();
    // On a fast machine the endless line is what ends it first.
    assert!(matches!(error, ClientError::Silent(..) | ClientError::Garbled(..)), "{error}");
    thread.join().unwrap();
}

#[test]
fn an_endless_line_is_not_taken_in() {
    let (_dir, path, thread) = server(1, |mut stream| {
        let much = vec![b'x'; 1 << 20];
        while stream.write_all(&much).is_ok() {}
    });
    let error = ask(&path, PATIENCE).unwrap_err();
    assert!(error.to_string().contains("longer than 16 MB"), "{error}");
    thread.join().unwrap();
}

#[test]
fn garbage_and_unknown_answers_are_told_as_such() {
    for answer in ["HTTP/1.1 400 Bad Request\r\n\r\n", "{\"reply\":\"sing\"}\n", "\n", "\u{0}\u{1}\n", "[]\n"]
    {
        let (_dir, path, thread) = server(1, move |mut stream| {
            request(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = ask(&path, PATIENCE).unwrap_err();
        assert!(matches!(error, ClientError::Garbled(..)), "{answer:?}: {error}");
        assert!(error.to_string().contains("another version of init"), "{error}");
        thread.join().unwrap();
    }
}

#[test]
fn half_an_answer_and_none_are_a_closed_connection() {
    for answer in ["", "{\"reply\":\"health\",\"heal"] {
        let (_dir, path, thread) = server(1, move |mut stream| {
            request(&stream);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        let error = ask(&path, PATIENCE).unwrap_err();
        assert!(matches!(error, ClientError::Closed(_)), "{answer:?}: {error}");
        thread.join().unwrap();
    }
    // Without reading the request: the kernel says reset.
    let (_dir, path, thread) = server(1, drop);
    let error = ask(&path, PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::Closed(_)), "{error}");
    thread.join().unwrap();
}

#[test]
fn a_refusal_is_inits_own_words_and_code() {
    let (_dir, path, thread) = server(1, |mut stream| {
        request(&stream);
        let line =
            "{\"reply\":\"error\",\"code\":64,\"message\":\"cannot speak version 1: this init speaks 2\"}\n";
        stream.write_all(line.as_bytes()).unwrap();
    });
    let error = ask(&path, PATIENCE).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (64, "cannot speak version 1: this init speaks 2")
    );
    thread.join().unwrap();
}

#[test]
fn patience_begins_when_init_has_shown_that_it_answers() {
    let (_dir, path, thread) = server(2, |mut stream| {
        let answer = match request(&stream).contains("health") {
            true => "{\"reply\":\"health\",\"healthy\":false,\"phase\":\"stopping\",\"reasons\":[]}\n",
            false => "{\"reply\":\"done\",\"results\":[]}\n",
        };
        stream.write_all(answer.as_bytes()).unwrap();
    });
    let mut connection = Connection::ask_patiently(&path, &Request::Reload, PATIENCE).unwrap();
    assert_eq!(connection.reply().unwrap(), Reply::Done { results: Vec::new() });
    thread.join().unwrap();
    let (_dir, path, thread) = server(1, hold);
    let error = Connection::ask_patiently(&path, &Request::Reload, SHORT).unwrap_err();
    assert!(matches!(error, ClientError::Silent(..)), "{error}");
    thread.join().unwrap();
}

#[test]
fn each_way_not_to_be_there_has_its_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("init.sock");
    let error = ask(&path, PATIENCE).unwrap_err();
    assert!(error.to_string().contains("no such socket; is init running?"), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()) && error.is_gone(), "{error}");
    drop(UnixListener::bind(&path).unwrap());
    let error = ask(&path, PATIENCE).unwrap_err();
    assert!(error.to_string().contains("nobody listens there"), "{error}");
    let denied = ClientError::Denied(path.clone(), Some(33)).to_string();
    assert!(denied.contains("run this as root or uid 33"), "{denied}");
    let root = ClientError::Denied(path.clone(), Some(0)).to_string();
    assert!(root.ends_with("run this as root"), "{root}");
    let names = vec!["x".repeat(5000)];
    let error = Connection::ask(&path, &Request::Start { names }, PATIENCE).unwrap_err();
    assert!(matches!(error, ClientError::TooLong(_)) && error.code() == exit::USAGE, "{error}");
}
