//! Connecting and asking.

use super::fastcgi::{self, Answer, FastCgiError, Parser};
use super::{Address, Outcome};
use crate::sys::{is_want, words};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A ping's answer has some 80 bytes, but the path may be answered by an application's error page.
const MOST_ANSWER: usize = 64 * 1024;
const PIECE: usize = 4096;

/// Asks PHP-FPM at `address` for its `ping.path`. Any complete answer means that FPM accepts, has a worker to spare
/// and runs PHP.
pub async fn ping(address: &Address, path: &str) -> Outcome {
    match get(address, path, "").await {
        Ok(answer) => judge(address, path, &answer),
        Err(refusal) => refusal.into(),
    }
}

/// Asks PHP-FPM at `address` for `path?query`, as a web server would. The error says why there is no answer.
pub async fn ask(address: &Address, path: &str, query: &str) -> Result<Answer, String> {
    get(address, path, query).await.map_err(Refusal::into_words)
}

async fn get(address: &Address, path: &str, query: &str) -> Result<Answer, Refusal> {
    // FPM compares SCRIPT_NAME with ping.path and pm.status_path, but answers nothing without SCRIPT_FILENAME (php-src
    // sapi/fpm/fpm/fpm_main.c); REQUEST_URI is what its access log shows.
    let params = [
        ("GATEWAY_INTERFACE", "CGI/1.1"),
        ("SERVER_PROTOCOL", "HTTP/1.1"),
        ("REQUEST_METHOD", "GET"),
        ("REQUEST_URI", path),
        ("SCRIPT_NAME", path),
        ("SCRIPT_FILENAME", path),
        ("QUERY_STRING", query),
    ];
    call(address, &params, &[]).await
}

/// One request with these parameters and this body.
pub(super) async fn call(address: &Address, params: &[(&str, &str)], body: &[u8]) -> Result<Answer, Refusal> {
    let request = fastcgi::request(params, body);
    let answer = match connect(address).await? {
        Stream::Tcp(stream) => exchange(stream, &request).await,
        Stream::Unix(stream) => exchange(stream, &request).await,
    };
    answer.map_err(|error| {
        Refusal::Nobody(match error {
            ExchangeError::Io(error) => format!("{address} broke off its answer: {error}"),
            ExchangeError::Closed => format!(
                "{address} closed the connection without an answer: does listen.allowed_clients of the pool allow it?"
            ),
            ExchangeError::CutShort => format!("{address} closed the connection in the middle of its answer"),
            ExchangeError::Garbled(error) => format!("{address} does not answer as PHP-FPM does: {error}"),
        })
    })
}

/// Whether `address` takes connections.
pub(super) async fn connects(address: &Address) -> Outcome {
    match connect(address).await {
        Ok(_) => Outcome::Ready,
        Err(refusal) => refusal.into(),
    }
}

fn judge(address: &Address, path: &str, answer: &Answer) -> Outcome {
    match answer.protocol_status {
        0 => {}
        2 => return Outcome::Degraded(format!("{address} is overloaded")),
        status => {
            return Outcome::NotReady(format!("{address} refused the request with FastCGI status {status}"));
        }
    }
    let told = match answer.status() {
        Some(200) => return Outcome::Ready,
        Some(status) => format!("status {status}"),
        None => "an answer without headers".to_owned(),
    };
    Outcome::ReadyBut(format!(
        "php-fpm answers, but with {told} to {path}: set `ping.path = {path}` in the pool, or the probe's path to the pool's ping.path"
    ))
}

/// Why there is no answer.
pub(super) enum Refusal {
    /// Somebody listens, and has more to do than it takes.
    Full(String),
    Nobody(String),
}

impl Refusal {
    pub(super) fn into_words(self) -> String {
        match self {
            Self::Full(why) | Self::Nobody(why) => why,
        }
    }
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) => Self::Degraded(why),
            Refusal::Nobody(why) => Self::NotReady(why),
        }
    }
}

pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Connects to the first that answers; the error is that of the first.
pub(super) async fn connect(address: &Address) -> Result<Stream, Refusal> {
    let mut first = None;
    match address {
        Address::Unix(path) => match UnixStream::connect(path).await {
            Ok(stream) => return Ok(Stream::Unix(stream)),
            // unix(7): a non-blocking connect to a full backlog does not wait.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let why = format!("cannot connect to {address}: its queue of connections is full");
                return Err(Refusal::Full(why));
            }
            Err(error) => first = Some(error),
        },
        Address::Tcp(addresses) => {
            for each in addresses {
                match TcpStream::connect(each).await {
                    // A port of the ephemeral range that nobody listens on may be chosen for our own end, and then
                    // TCP connects the socket to itself.
                    Ok(stream) if stream.local_addr().ok() == stream.peer_addr().ok() => {
                        first.get_or_insert_with(|| io::ErrorKind::ConnectionRefused.into());
                    }
                    Ok(stream) => return Ok(Stream::Tcp(stream)),
                    Err(error) => {
                        first.get_or_insert(error);
                    }
                }
            }
        }
    }
    Err(Refusal::Nobody(match first {
        // init's own want, of which nothing follows for whoever was to be asked.
        Some(error) if is_want(&error) => {
            return Err(Refusal::Full(format!("cannot ask {address}: {}", words(&error))));
        }
        Some(error) => format!("cannot connect to {address}: {error}"),
        None => format!("cannot connect to {address}: there is no address"),
    }))
}

enum ExchangeError {
    Io(io::Error),
    Closed,
    CutShort,
    Garbled(FastCgiError),
}

async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    request: &[u8],
) -> Result<Answer, ExchangeError> {
    stream.write_all(request).await.map_err(hung_up)?;
    let mut parser = Parser::new(MOST_ANSWER);
    let mut piece = vec![0; PIECE];
    let mut any = false;
    loop {
        match stream.read(&mut piece).await {
            Ok(0) if any => return Err(ExchangeError::CutShort),
            Ok(0) => return Err(ExchangeError::Closed),
            Err(error) if any => return Err(ExchangeError::Io(error)),
            Err(error) => return Err(hung_up(error)),
            Ok(length) => {
                any = true;
                let received = parser.feed(piece.get(..length).unwrap_or_default());
                if let Some(answer) = received.map_err(ExchangeError::Garbled)? {
                    return Ok(answer);
                }
            }
        }
    }
}

/// PHP-FPM closes the connection of a client that is not allowed without reading its request, which the client sees as
/// a reset over TCP and as a broken pipe over a unix socket.
fn hung_up(error: io::Error) -> ExchangeError {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => ExchangeError::Closed,
        _ => ExchangeError::Io(error),
    }
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
