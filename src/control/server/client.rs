//! One client: its request, its answer, its end.

use super::super::protocol::{MAX_REQUEST, Reply, Request};
use super::super::request::{Refusal, parse_request, too_long};
use super::{Desk, Replies, Stage};
use crate::files::socket;
use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;

/// The whole request must have come within this.
const REQUEST_WITHIN: Duration = Duration::from_secs(2);

/// A piece of an answer must be taken within this, unless the client reads logs: a pager may hold these up for hours.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// How often a client that has closed its sending side is looked at: nothing else tells when it goes.
const LOOK: Duration = Duration::from_secs(1);

/// Replies that are written at once.
const AT_ONCE: usize = 16;

/// A buffer that has grown beyond this is given back.
const KEEP: usize = 16 << 10;

/// Serves the client to its end.
pub(super) async fn live(mut stream: UnixStream, own_uid: u32, desk: Rc<dyn Desk>, stage: Rc<Cell<Stage>>) {
    let stranger = admitted(&stream, own_uid).err();
    // Read in any case: a client that still writes when the socket is closed would miss why.
    let request = match tokio::time::timeout(REQUEST_WITHIN, request(&stream)).await {
        Ok(Ok(None) | Err(_)) if socket::is_hung_up(&stream) => return,
        Ok(Ok(Some(request))) => Ok(request),
        Ok(Ok(None)) => Err(Refusal::usage("cannot read the request: nothing was sent")),
        Ok(Err(refusal)) => Err(refusal),
        Err(_) => Err(Refusal::usage(format!(
            "cannot read the request: it was not complete within {}s",
            REQUEST_WITHIN.as_secs()
        ))),
    };
    let request = stranger.map_or(request, Err);
    let (to, answer) = Replies::pair();
    match request {
        Ok(request) => {
            let reads = matches!(&request, Request::Logs { .. } | Request::Events { .. });
            stage.set(if reads { Stage::Reads } else { Stage::Waits });
            desk.take(request, to);
        }
        Err(refusal) => to.last(refusal.into()),
    }
    let reads = stage.get() == Stage::Reads;
    write(&mut stream, answer, reads).await;
    // Closing it would not do: a child between its clone and its exec has a copy of each descriptor, and may hang there.
    let _ = stream.shutdown().await;
}

/// Root and init's own user. A user of another user namespace that has no number in this one looks like 65534 (the
/// overflow uid of user_namespaces(7)), and is refused unless init itself runs as that.
fn admitted(stream: &UnixStream, own_uid: u32) -> Result<(), Refusal> {
    let uid = stream.peer_cred().map(|peer| peer.uid()).map_err(|error| {
        Refusal::unavailable(format!("cannot find out who asks: {}", crate::sys::words(&error)))
    })?;
    if uid == 0 || uid == own_uid {
        return Ok(());
    }
    let whom = if own_uid == 0 { "root alone".to_owned() } else { format!("root and uid {own_uid} alone") };
    Err(Refusal::unavailable(format!("init answers {whom}, and this is uid {uid}: run it as that user")))
}

/// Reads up to the first line feed, or the end. `None`: nothing was said.
async fn request(stream: &UnixStream) -> Result<Option<Request>, Refusal> {
    let mut line = Vec::with_capacity(256);
    loop {
        let room = MAX_REQUEST.saturating_add(1).saturating_sub(line.len());
        if room == 0 {
            return Err(too_long());
        }
        let mut piece = [0; 512];
        let room = room.min(piece.len());
        let read = match stream.readable().await {
            Ok(()) => stream.try_read(piece.get_mut(..room).unwrap_or_default()),
            Err(error) => Err(error),
        };
        let read = match read {
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(_) => return Ok(None),
        };
        let piece = piece.get(..read).unwrap_or_default();
        let (piece, ended) = match memchr::memchr(b'\n', piece) {
            Some(at) => (piece.get(..at).unwrap_or_default(), true),
            None => (piece, read == 0),
        };
        line.extend_from_slice(piece);
        if ended {
            return match line.as_slice() {
                [] => Ok(None),
                line => parse_request(line).map(|envelope| Some(envelope.request)),
            };
        }
    }
}

/// Writes what comes, until the last reply or the client's end.
async fn write(stream: &mut UnixStream, mut answer: mpsc::Receiver<Reply>, reads: bool) {
    let mut replies = Vec::with_capacity(AT_ONCE);
    let mut bytes = Vec::new();
    loop {
        tokio::select! {
            biased;
            count = answer.recv_many(&mut replies, AT_ONCE) => if count == 0 {
                let gone = "init did not answer: it is ending, or had a fault that its log tells of";
                replies.push(Refusal::unavailable(gone).into());
            },
            () = hung_up(stream) => return,
        }
        let mut last = false;
        bytes.clear();
        bytes.shrink_to(KEEP);
        for reply in replies.drain(..) {
            last |= reply.is_last();
            // Plain data: it cannot fail.
            if serde_json::to_writer(&mut bytes, &reply).is_ok() {
                bytes.push(b'\n');
            }
        }
        let written = if reads {
            stream.write_all(&bytes).await
        } else {
            let limit = tokio::time::timeout(TAKEN_WITHIN, stream.write_all(&bytes));
            limit.await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        };
        if last || written.is_err() {
            return;
        }
    }
}

/// Returns when the client has closed its socket, or sends more than one request.
async fn hung_up(stream: &UnixStream) {
    let mut more = [0; 64];
    loop {
        if stream.readable().await.is_err() {
            return;
        }
        match stream.try_read(&mut more) {
            // `socat` and `nc -N` close their sending side and still read.
            Ok(0) => {
                while !socket::is_hung_up(stream) {
                    tokio::time::sleep(LOOK).await;
                }
                return;
            }
            // The rest of the line feed, such as a second one.
            Ok(read) if more.get(..read).is_some_and(|bytes| bytes.iter().all(u8::is_ascii_whitespace)) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) | Err(_) => return,
        }
    }
}
