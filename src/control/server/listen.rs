//! The socket itself: made, found in use, replaced, removed.

use crate::files::socket::{self, Address, Claim, Identity};
use crate::sys::words;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};

/// How long another init may take to accept a connection. The kernel does so itself, unless its queue is full.
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

/// How long another init may look and make its socket, and how often it is looked whether it has.
const CLAIM_WITHIN: Duration = Duration::from_secs(2);
const CLAIM_EVERY: Duration = Duration::from_millis(10);

/// Who has the socket's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    Nobody,
    /// An init that was killed.
    Stale,
    /// A process of this PID namespace.
    Here(i32),
    /// A process that this PID namespace does not know: another container with the same volume.
    Elsewhere,
}

/// Why there is no socket.
#[derive(Debug)]
pub struct ListenError {
    path: PathBuf,
    source: io::Error,
}

impl fmt::Display for ListenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot make the control socket {}: {}", self.path.display(), words(&self.source))
    }
}

impl std::error::Error for ListenError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.source)
    }
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> ListenError + use<'_> {
    |source| ListenError { path: path.to_owned(), source }
}

/// Looks for another init behind the socket at `path`.
///
/// # Errors
/// Something else is there, or somebody else's socket.
pub async fn look(path: &Path) -> Result<Found, ListenError> {
    if socket::identity(path).map_err(failed(path))?.is_none() {
        return Ok(Found::Nobody);
    }
    let address = Address::of(path).map_err(failed(path))?;
    match tokio::time::timeout(CONNECT_WITHIN, UnixStream::connect(address.path())).await {
        Ok(Ok(stream)) => {
            // 0: no process of this namespace (unix(7), pid_namespaces(7)).
            let pid = stream.peer_cred().ok().and_then(|peer| peer.pid()).unwrap_or_default();
            Ok(if pid > 0 { Found::Here(pid) } else { Found::Elsewhere })
        }
        Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(Found::Stale),
        Ok(Err(error)) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Nobody),
        Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(Found::Elsewhere),
        Ok(Err(error)) => Err(failed(path)(error)),
        Err(_) => Ok(Found::Elsewhere),
    }
}

/// Waits for others that look for a socket in the same directory. Without it two that start at the same moment would both take
/// a stale socket away, the second one that of the first, and both would supervise. Where there is no such claim (NFS), or
/// somebody keeps it for ever, it goes on without.
async fn claim(path: &Path) -> Option<Claim> {
    let directory = path.parent()?;
    let waiting = async {
        loop {
            match socket::claim(directory) {
                Ok(None) => tokio::time::sleep(CLAIM_EVERY).await,
                Ok(claim) => return claim,
                Err(error) => {
                    tracing::debug!("cannot claim {}: {}", directory.display(), words(&error));
                    return None;
                }
            }
        }
    };
    tokio::time::timeout(CLAIM_WITHIN, waiting).await.ok().flatten()
}

/// What came of an attempt to listen.
#[derive(Debug)]
pub enum Opened {
    Listens(Listening, UnixListener),
    /// By another init.
    Taken(Found),
}

/// A socket that listens.
#[derive(Debug)]
pub struct Listening {
    path: PathBuf,
    identity: Option<Identity>,
}

impl Listening {
    /// Listens at `path`, in the place of a stale socket, unless another init does.
    ///
    /// # Errors
    /// As [`look`]; the directory cannot be written, or the file system has no sockets.
    pub async fn open(path: &Path) -> Result<Opened, ListenError> {
        let _claim = claim(path).await;
        match look(path).await? {
            Found::Nobody => {}
            Found::Stale => std::fs::remove_file(path).map_err(failed(path))?,
            found => return Ok(Opened::Taken(found)),
        }
        Self::anew(path).map(|(listening, listener)| Opened::Listens(listening, listener))
    }

    /// Listens at `path` where there is nothing: at once, and in nobody's place.
    ///
    /// # Errors
    /// Something is there, the directory cannot be written, or the file system has no sockets.
    pub fn anew(path: &Path) -> Result<(Self, UnixListener), ListenError> {
        let listener = socket::listen(path).and_then(UnixListener::from_std).map_err(failed(path))?;
        let identity = socket::identity(path).ok().flatten();
        Ok((Self { path: path.to_owned(), identity }, listener))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Takes the socket away, unless another one has its name by now.
    pub fn remove(&self) {
        let now = socket::identity(&self.path).ok().flatten();
        if now.is_some() && now == self.identity {
            // Whoever finds it later sees that nobody listens.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}
