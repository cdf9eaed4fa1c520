//! Health and metrics over HTTP: `/livez`, `/readyz`, `/metrics`.
//!
//! For whoever cannot run `init health`: a load balancer's agent, Prometheus, a sidecar. It answers what the control
//! socket answers and changes nothing. A client gets one answer, within bounds of size, time and number; nothing runs
//! between two of them.
//!
//! | file | what |
//! |---|---|
//! | [`request`] | PURE: the head of a request |
//! | [`answer`] | what is answered |
//! | [`metrics`] | PURE: status and timeline as OpenMetrics |
//! | [`exposition`] | PURE: OpenMetrics' notation |
//! | [`fpm_status`] | PHP-FPM's own status, asked when somebody asks |
//! | [`own`] | init's own memory and descriptors |

pub mod answer;
pub mod exposition;
pub mod fpm_status;
pub mod metrics;
pub mod own;
pub mod request;

use super::Mode;
use super::shell::Shell;
use crate::files::socket;
use crate::files::{Dir, Kind};
use crate::probe::Address;
use crate::sys::words;
use answer::Source;
use request::{MOST_HEAD, Request};
use std::collections::VecDeque;
use std::ffi::OsStr;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio::task::AbortHandle;

/// The most clients at a time. Who comes when all places are taken gets that of the oldest: clients that say nothing must
/// not keep a health check out.
const CLIENTS: usize = 16;
/// A client that takes another one's place comes no sooner than this after the last one.
const CROWDED: Duration = Duration::from_millis(1);
/// The head of a request must have come within this.
const HEAD_WITHIN: Duration = Duration::from_secs(2);
/// The answer must have been taken within this.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// How long nobody is taken in after the system refused a descriptor.
const PAUSE: Duration = Duration::from_secs(1);
/// Everyone in the container may ask: no secret is in any answer.
const MODE: u32 = 0o666;

enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// Listens where the plan says and answers from now on. Where it cannot listen the container runs all the same, and
/// says so.
pub async fn open(shell: &Shell, mode: &Mode) {
    let plan = &shell.plan.health;
    let (Some(listen), false, Some(desk)) = (&plan.listen, mode.is_one_off(), shell.control.desk()) else {
        return;
    };
    match self::listen(listen).await {
        Ok(listener) => {
            tracing::info!("health and metrics are answered on {listen}");
            let source = Rc::new(Source { board: Rc::clone(&shell.board), desk });
            tokio::task::spawn_local(serve(listener, source));
        }
        Err(why) => tracing::error!(
            "cannot listen on {listen} for health and metrics: {why}; going on without, so whoever asks there will take this \
             container for dead"
        ),
    }
}

async fn listen(text: &str) -> Result<Listener, String> {
    let failed = |error: io::Error| words(&error);
    match Address::parse(text).map_err(|error| error.to_string())? {
        Address::Unix(path) => {
            let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
                return Err("it is not the path of a socket".to_owned());
            };
            // Whoever may write there could change what the path leads to at any moment.
            let directory = Dir::open(parent).map_err(|error| error.to_string())?;
            clear(&directory, name, &path).await?;
            let listener = socket::listen_in(&directory, name, MODE).and_then(UnixListener::from_std);
            listener.map(Listener::Unix).map_err(failed)
        }
        Address::Tcp(addresses) => {
            let first = addresses.first().copied().unwrap_or(SocketAddr::from(([127, 0, 0, 1], 0)));
            TcpListener::bind(first).await.map(Listener::Tcp).map_err(failed)
        }
    }
}

/// Takes away the socket of an init that was killed.
async fn clear(directory: &Dir, name: &OsStr, path: &Path) -> Result<(), String> {
    if !directory.look(name).is_ok_and(|found| found.kind == Kind::Socket) {
        return Ok(());
    }
    match tokio::time::timeout(HEAD_WITHIN, UnixStream::connect(path)).await {
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {
            directory.remove_file(name).map_err(|error| words(&error))
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => Err("another process listens there".to_owned()),
    }
}

/// Takes clients in for ever.
async fn serve(listener: Listener, source: Rc<Source>) {
    let mut clients: VecDeque<AbortHandle> = VecDeque::with_capacity(CLIENTS);
    let mut refused = false;
    loop {
        let accepted = match &listener {
            Listener::Tcp(listener) => listener.accept().await.map(|(stream, _)| Client::Tcp(stream)),
            Listener::Unix(listener) => listener.accept().await.map(|(stream, _)| Client::Unix(stream)),
        };
        match accepted {
            Ok(client) => {
                refused = false;
                clients.retain(|client| !client.is_finished());
                let crowded = clients.len() >= CLIENTS;
                if crowded && let Some(oldest) = clients.pop_front() {
                    oldest.abort();
                }
                let source = Rc::clone(&source);
                let task = tokio::task::spawn_local(async move {
                    match client {
                        Client::Tcp(stream) => answer_one(stream, &source).await,
                        Client::Unix(stream) => answer_one(stream, &source).await,
                    }
                });
                clients.push_back(task.abort_handle());
                if crowded {
                    tokio::time::sleep(CROWDED).await;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!("cannot take in a client of the health listener: {}", words(&error));
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        // Many at once: supervision has its turn after each.
        tokio::task::yield_now().await;
    }
}

enum Client {
    Tcp(TcpStream),
    Unix(UnixStream),
}

/// Reads one request and answers it. A client that is gone, or slow, is nobody's loss.
async fn answer_one<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, source: &Source) {
    let Ok(Ok(head)) = tokio::time::timeout(HEAD_WITHIN, read_head(&mut stream)).await else { return };
    let answer = match Request::parse(&head) {
        Ok(request) => source.answer(&request).await,
        Err(status) => answer::Answer::plain(status, String::new()),
    };
    let bytes = answer.bytes(!head.starts_with(b"HEAD "));
    let written = async {
        stream.write_all(&bytes).await?;
        stream.shutdown().await
    };
    let _ = tokio::time::timeout(TAKEN_WITHIN, written).await;
}

/// Up to the empty line, or as much as is taken of a head that is too long.
async fn read_head<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(512);
    while !request::is_complete(&head) && head.len() <= MOST_HEAD {
        let mut piece = [0; 1024];
        match stream.read(&mut piece).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => head.extend_from_slice(piece.get(..length).unwrap_or_default()),
        }
    }
    Ok(head)
}
