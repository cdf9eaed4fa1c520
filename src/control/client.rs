//! The client's side: asks the running init and reads what it answers, blocking, under a time limit.
//!
//! Whatever listens at the socket is not trusted to answer: it may be silent, endless, or no init at all.

use super::protocol::{Envelope, Level, MAX_REQUEST, Reply, Request, VERSION};
use crate::config::values::show_duration;
use crate::exit;
use crate::files::socket;
use crate::sys::clock::monotonic;
use crate::sys::local::{self, Peer};
use crate::sys::users::own_uid;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The longest line that is taken: the status of some ten thousand instances.
const MAX_LINE: usize = 16 << 20;
/// How much is read at once.
const CHUNK: usize = 64 << 10;

/// Why there is no answer.
#[derive(Debug)]
pub enum ClientError {
    /// Nothing is at the path.
    NoSocket(PathBuf),
    /// A socket is there, and nobody listens.
    NobodyListens(PathBuf),
    /// The file system forbids it. The number is the socket's owner.
    Denied(PathBuf, Option<u32>),
    /// Another user serves the socket, with this id.
    Stranger(PathBuf, u32),
    /// It was waited for so long.
    Silent(PathBuf, Duration),
    /// The connection ended before the answer did.
    Closed(PathBuf),
    /// What came is no answer; the words say why.
    Garbled(PathBuf, String),
    /// The request does not fit.
    TooLong(usize),
    /// The system failed.
    Io(PathBuf, io::Error),
    /// init answered that it will not, with the code to exit with.
    Refused(u8, String),
}

impl ClientError {
    /// What a command exits with because of it.
    pub fn code(&self) -> u8 {
        match self {
            Self::Refused(code, _) => *code,
            Self::TooLong(_) => exit::USAGE,
            _ => exit::UNAVAILABLE,
        }
    }

    /// Nobody is there to answer, now or later.
    pub fn is_gone(&self) -> bool {
        matches!(self, Self::NoSocket(_) | Self::NobodyListens(_) | Self::Denied(..) | Self::Stranger(..))
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSocket(path) => {
                write!(
                    f,
                    "cannot reach init at {}: there is no such socket; is init running?",
                    path.display()
                )
            }
            Self::NobodyListens(path) => {
                write!(f, "cannot reach init at {}: nobody listens there, init has ended", path.display())
            }
            Self::Denied(path, owner) => {
                write!(f, "cannot reach init at {}: permission denied; run this as root", path.display())?;
                match owner {
                    Some(uid) if *uid != 0 => write!(f, " or uid {uid}, as whom init runs"),
                    Some(_) => Ok(()),
                    None => f.write_str(" or as the user that init runs as"),
                }
            }
            Self::Stranger(path, uid) => write!(
                f,
                "cannot trust the socket {}: it is served by uid {uid}, who is neither root, nor uid {}, nor PID 1; if \
                 init runs as uid {uid}, run this as that user",
                path.display(),
                own_uid()
            ),
            Self::Silent(path, limit) => write!(
                f,
                "cannot get an answer of init at {}: none within {}; init hangs or the machine is overloaded",
                path.display(),
                show_duration(*limit)
            ),
            Self::Closed(path) => write!(
                f,
                "cannot get an answer of init at {}: it closed the connection before it had answered; is it stopping?",
                path.display()
            ),
            Self::Garbled(path, why) => write!(
                f,
                "cannot understand the answer at {}: {why}; is that another version of init, or another program?",
                path.display()
            ),
            Self::TooLong(bytes) => write!(
                f,
                "cannot ask so much at once: the request has {bytes} bytes of at most {MAX_REQUEST}; name fewer services"
            ),
            Self::Io(path, error) => {
                write!(f, "cannot talk to init at {}: {}", path.display(), crate::sys::words(error))
            }
            Self::Refused(_, message) => f.write_str(message),
        }
    }
}

impl std::error::Error for ClientError {}

/// One request and the answer to it.
#[derive(Debug)]
pub struct Connection {
    stream: UnixStream,
    path: PathBuf,
    limit: Duration,
    /// When the whole answer must be there; `None`: it may take its time.
    deadline: Option<Duration>,
    received: Vec<u8>,
    /// So many bytes hold no line feed.
    searched: usize,
}

impl Connection {
    /// Asks. The answer must be complete within `limit`.
    ///
    /// # Errors
    /// [`ClientError`] says who did not answer, and why.
    pub fn ask(path: &Path, request: &Request, limit: Duration) -> Result<Self, ClientError> {
        let deadline = monotonic().saturating_add(limit);
        let envelope = Envelope { v: VERSION, request: request.clone() };
        let fault = |error| ClientError::Io(path.to_owned(), error);
        let mut line = serde_json::to_vec(&envelope).map_err(|error| fault(error.into()))?;
        line.push(b'\n');
        if line.len() > MAX_REQUEST {
            return Err(ClientError::TooLong(line.len()));
        }
        let stream = socket::connect(path, limit).map_err(|error| unreachable(path, limit, error))?;
        let peer = local::peer(&stream).map_err(fault)?;
        if !is_trusted(peer, own_uid()) {
            return Err(ClientError::Stranger(path.to_owned(), peer.uid));
        }
        let mut connection = Self {
            stream,
            path: path.to_owned(),
            limit,
            deadline: Some(deadline),
            received: Vec::new(),
            searched: 0,
        };
        match connection.stream.write_all(&line) {
            // A server that answers without reading, "too many clients", has its answer read all the same.
            Ok(()) => Ok(connection),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(connection),
            Err(error) => Err(connection.fault(error)),
        }
    }

    /// As [`Connection::ask`], for an answer that takes as long as the work does. That init answers at all
    /// is asked first: it must within `limit`.
    ///
    /// # Errors
    /// As those of [`Connection::ask`].
    pub fn ask_patiently(path: &Path, request: &Request, limit: Duration) -> Result<Self, ClientError> {
        let mut first = Self::ask(path, &Request::Health { level: Level::Alive }, limit)?;
        while !first.reply()?.is_last() {}
        let mut connection = Self::ask(path, request, limit)?;
        connection.deadline = None;
        Ok(connection)
    }

    /// The rest of the answer has the whole limit again.
    pub fn renew(&mut self) {
        if self.deadline.is_some() {
            self.deadline = Some(monotonic().saturating_add(self.limit));
        }
    }

    /// The next line of the answer.
    ///
    /// # Errors
    /// [`ClientError::Closed`] when there is none, [`ClientError::Refused`] when init says no.
    pub fn reply(&mut self) -> Result<Reply, ClientError> {
        loop {
            if let Some(reply) = self.received()? {
                return Ok(reply);
            }
            if !self.fill()? {
                return Err(ClientError::Closed(self.path.clone()));
            }
        }
    }

    /// A line that is here already.
    ///
    /// # Errors
    /// As those of [`Connection::reply`].
    pub fn received(&mut self) -> Result<Option<Reply>, ClientError> {
        let rest = self.received.get(self.searched..).unwrap_or_default();
        let Some(found) = memchr::memchr(b'\n', rest) else {
            self.searched = self.received.len();
            if self.searched > MAX_LINE {
                let why = format!("a line of it is longer than {} MB", MAX_LINE >> 20);
                return Err(ClientError::Garbled(self.path.clone(), why));
            }
            return Ok(None);
        };
        let end = self.searched.saturating_add(found);
        let line = self.received.get(..end).unwrap_or_default();
        let reply = serde_json::from_slice(line);
        self.received.drain(..=end.min(self.received.len().saturating_sub(1)));
        self.searched = 0;
        match reply {
            Ok(Reply::Error { code, message }) => Err(ClientError::Refused(code, message)),
            Ok(reply) => Ok(Some(reply)),
            Err(error) => Err(ClientError::Garbled(self.path.clone(), error.to_string())),
        }
    }

    /// Reads what there is, waiting for it. `false`: the other end has closed.
    ///
    /// # Errors
    /// [`ClientError::Silent`] when nothing comes in time.
    pub fn fill(&mut self) -> Result<bool, ClientError> {
        let left = self.deadline.map(|deadline| deadline.saturating_sub(monotonic()));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(ClientError::Silent(self.path.clone(), self.limit));
        }
        self.stream.set_read_timeout(left).map_err(|error| self.fault(error))?;
        let before = self.received.len();
        self.received.resize(before.saturating_add(CHUNK), 0);
        let read = self.stream.read(self.received.get_mut(before..).unwrap_or_default());
        self.received.truncate(before.saturating_add(*read.as_ref().unwrap_or(&0)));
        match read {
            Ok(bytes) => Ok(bytes > 0),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(true),
            // It hung up with our request unread.
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(false),
            Err(error) => Err(self.fault(error)),
        }
    }

    /// The socket, to be waited for.
    pub fn fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    fn fault(&self, error: io::Error) -> ClientError {
        match error.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                ClientError::Silent(self.path.clone(), self.limit)
            }
            _ => ClientError::Io(self.path.clone(), error),
        }
    }
}

/// Whether what serves a socket may be init: root, a process of the client's own user, or the container's PID 1, which
/// root asks though it runs as another user. Nobody else is asked anything, and nothing that they say is shown.
fn is_trusted(peer: Peer, own_uid: u32) -> bool {
    peer.uid == 0 || peer.uid == own_uid || peer.pid == 1
}

fn unreachable(path: &Path, limit: Duration, error: io::Error) -> ClientError {
    let path = path.to_owned();
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => ClientError::NoSocket(path),
        io::ErrorKind::ConnectionRefused => ClientError::NobodyListens(path),
        io::ErrorKind::PermissionDenied => {
            let owner = crate::files::metadata(&path).ok().map(|file| file.uid());
            ClientError::Denied(path, owner)
        }
        io::ErrorKind::TimedOut => ClientError::Silent(path, limit),
        _ => ClientError::Io(path, error),
    }
}
