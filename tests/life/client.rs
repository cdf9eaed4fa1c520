//! A client of the control socket, as plain as can be: bytes out, lines in.

use crate::container::{Container, PATIENCE};
use crate::support::eventually;
use php_init::control::protocol::{Health, Outcome, Phase, Reply, Status};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

pub fn socket(container: &Container) -> PathBuf {
    container.file("state/init.sock")
}

/// Connects, once somebody listens.
pub fn connect(path: &Path) -> UnixStream {
    let stream = eventually("the control socket answers", PATIENCE, || UnixStream::connect(path).ok());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// `request` is what stands behind the version.
pub fn send(path: &Path, request: &str) -> BufReader<UnixStream> {
    let mut stream = connect(path);
    stream.write_all(format!("{{\"v\":1,{request}}}\n").as_bytes()).unwrap();
    BufReader::new(stream)
}

/// The next line of an answer; `None` at its end.
pub fn next(from: &mut BufReader<UnixStream>) -> Option<Reply> {
    let mut line = String::new();
    match from.read_line(&mut line) {
        Ok(0) => None,
        // What init leaves unread of a client resets the connection, after the answer.
        Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
        Ok(_) => Some(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}"))),
        Err(error) => panic!("no answer: {error}"),
    }
}

/// The last line of the answer.
pub fn ask(path: &Path, request: &str) -> Reply {
    let mut from = send(path, request);
    loop {
        let reply = next(&mut from).expect("the answer has an end");
        if reply.is_last() {
            assert_eq!(next(&mut from), None, "nothing follows");
            return reply;
        }
    }
}

/// Sends these bytes and no more, whatever becomes of them, and reads all that comes back.
pub fn raw(path: &Path, bytes: &[u8]) -> String {
    let mut stream = connect(path);
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut text = Vec::new();
    let _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

pub fn status(path: &Path) -> Status {
    match ask(path, r#""request":"status""#) {
        Reply::Status(status) => *status,
        other => panic!("{other:?}"),
    }
}

pub fn health(path: &Path, level: &str) -> Health {
    match ask(path, &format!(r#""request":"health","level":"{level}""#)) {
        Reply::Health(health) => health,
        other => panic!("{other:?}"),
    }
}

/// Alive, ready.
pub fn verdicts(path: &Path) -> (bool, bool) {
    (health(path, "alive").healthy, health(path, "ready").healthy)
}

pub fn reaches(path: &Path, phase: Phase) {
    eventually(&format!("{phase:?}"), PATIENCE, || (status(path).phase == phase).then_some(()));
}

/// What became of a verb: name, ok, code, text.
pub fn outcomes(path: &Path, request: &str) -> Vec<Outcome> {
    match ask(path, request) {
        Reply::Done { results } => results,
        other => panic!("{other:?}"),
    }
}

/// The refusal of a request.
pub fn refused(path: &Path, request: &str) -> (u8, String) {
    match ask(path, request) {
        Reply::Error { code, message } => (code, message),
        other => panic!("{other:?}"),
    }
}
