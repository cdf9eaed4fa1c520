//! Clients of PHP-FPM, without a pause, each request on a connection of its own.

use crate::ledger::How;
use crate::luck::Luck;
use crate::stage::{PATIENCE, Stage};
use php_init::probe::fastcgi::{self, Parser};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// More than PHP-FPM has workers.
pub const CLIENTS: u64 = 7;

/// Some answers are longer than a pipe or a socket holds.
const MOST_ANSWER: usize = 1 << 20;

const INDEX: &str = "/var/www/html/public/index.php";

/// What is asked for, and what its answer must contain.
#[derive(Clone, Debug)]
pub struct Want {
    pub script: &'static str,
    pub method: &'static str,
    pub uri: String,
    pub says: String,
}

impl Want {
    pub fn slow(ms: u64) -> Self {
        let seconds = format!("{}.{:03}", ms / 1000, ms % 1000);
        Self { script: INDEX, method: "GET", uri: format!("/slow/{seconds}"), says: "\"slept\":".into() }
    }

    fn status() -> Self {
        Self { script: INDEX, method: "GET", uri: "/status".into(), says: "\"greeting\":".into() }
    }

    fn variable() -> Self {
        let says = "\"getenv\":\"\\/opt\\/php\"".into();
        Self { script: INDEX, method: "GET", uri: "/env/APP_ENV_PATH".into(), says }
    }

    pub fn burst(mb: u64, ms: u64) -> Self {
        let uri = format!("/burst?mb={mb}&ms={ms}");
        Self { script: "/opt/php/burst.php", method: "GET", uri, says: format!("burst of {mb}") }
    }

    pub fn job(name: &str, seconds: f64) -> Self {
        let uri = format!("/jobs?name={name}&seconds={seconds:.2}");
        Self { script: INDEX, method: "POST", uri, says: "\"queued\":true".into() }
    }

    fn any(luck: &mut Luck) -> Self {
        match luck.below(20) {
            0..=9 => Self::slow(luck.below(200)),
            10..=13 => Self::status(),
            14..=16 => Self::variable(),
            _ => Self::burst(luck.below(4), luck.below(200)),
        }
    }
}

/// Requests that a worker has begun, and those that were answered.
#[derive(Debug, Default)]
pub struct Served {
    begun: AtomicUsize,
    answered: AtomicUsize,
}

impl Served {
    pub fn begun(&self) -> usize {
        self.begun.load(Ordering::Relaxed)
    }

    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// One request. A loss goes into the ledger; true: it was answered.
    pub fn ask(&self, stage: &Stage, want: &Want) -> bool {
        let from = stage.now();
        match self.exchange(stage, want) {
            Ok(()) => {
                self.answered.fetch_add(1, Ordering::Relaxed);
                true
            }
            Err((how, why)) => {
                stage.lose(from, how, format!("{} {}: {why}", want.method, want.uri));
                false
            }
        }
    }

    /// The error says how it was lost, and why in words.
    fn exchange(&self, stage: &Stage, want: &Want) -> Result<(), (How, String)> {
        let refused = |error| (How::Refused, format!("connect: {error}"));
        let mut stream = UnixStream::connect(&stage.web).map_err(refused)?;
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(&records(want)).map_err(|error| (How::Unanswered, format!("write: {error}")))?;
        let mut parser = Parser::new(MOST_ANSWER);
        let (mut received, mut worker) = (Vec::new(), None);
        let mut buffer = [0; 4096];
        loop {
            let read = stream.read(&mut buffer);
            let Ok(count @ 1..) = read else {
                let late = read.as_ref().is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
                let how = if late { How::Wrong } else { worker.map_or(How::Unanswered, How::Cut) };
                return Err((how, format!("{read:?} after {} bytes", received.len())));
            };
            received.extend_from_slice(&buffer[..count]);
            if worker.is_none() {
                worker = begun(&received);
                self.begun.fetch_add(worker.is_some().into(), Ordering::Relaxed);
            }
            match parser.feed(&buffer[..count]) {
                Ok(None) => {}
                Ok(Some(answer)) => {
                    let text = String::from_utf8_lossy(answer.body()).into_owned();
                    let right = text.contains(&want.says) && answer.protocol_status == 0;
                    return if right { Ok(()) } else { Err((How::Wrong, format!("{answer:?}: {text}"))) };
                }
                Err(error) => return Err((How::Wrong, error.to_string())),
            }
        }
    }

    /// A client, until it is over.
    pub fn client(&self, stage: &Stage, mut luck: Luck) {
        while !stage.is_over() {
            if !self.ask(stage, &Want::any(&mut luck)) {
                // As a web server that finds nobody does not try again at once.
                stage.pause(Duration::from_millis(20));
            }
        }
    }
}

/// The records of a request, as a web server beside the container would send them.
fn records(want: &Want) -> Vec<u8> {
    let query = want.uri.split_once('?').map_or("", |(_, query)| query);
    let parameters = [
        ("REQUEST_METHOD", want.method),
        ("REQUEST_URI", &want.uri),
        ("QUERY_STRING", query),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("HTTP_HOST", "localhost"),
        ("SCRIPT_NAME", "/index.php"),
        ("SCRIPT_FILENAME", want.script),
        ("SOAK", "1"),
    ];
    fastcgi::request(&parameters, b"")
}

/// The worker that `begun.php` names.
fn begun(received: &[u8]) -> Option<i32> {
    let text = String::from_utf8_lossy(received);
    let (_, rest) = text.split_once("begun ")?;
    rest.split_once('\n')?.0.parse().ok()
}
