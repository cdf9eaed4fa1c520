//! The server: takes clients in, reads one request of each, writes the answer.
//!
//! What the answer is, is the business of a [`Desk`]. A client costs a task and a few kilobytes, and there are at most
//! [`CLIENTS`]: who comes when all places are taken gets that of the oldest log reader, or else of the oldest that has not said
//! what it wants, or else of the oldest that waits. So neither many clients nor slow ones keep a health check out, and none of
//! them is ever waited for.

mod client;
mod listen;

pub use listen::{Found, ListenError, Listening, Opened, look};

use super::protocol::{Reply, Request};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

/// The most clients at the same time.
pub const CLIENTS: usize = 32;

/// Replies that wait for one client.
const REPLIES: usize = 16;

/// How long nobody is taken in after the system refused a descriptor or memory: the client waits in the kernel's queue, which
/// would wake init again and again.
const PAUSE: Duration = Duration::from_secs(1);

/// A client that takes another one's place comes no sooner than this after the last one.
const CROWDED: Duration = Duration::from_millis(1);

/// Who knows the answers.
pub trait Desk {
    /// Takes in a request. It never waits; the answer may come later.
    fn take(&self, request: Request, to: Replies);
}

/// The way back to one client. Dropped without a last reply, it tells the client that init did not answer.
#[derive(Debug)]
pub struct Replies(mpsc::Sender<Reply>);

impl Replies {
    /// The way back, and what comes out of it at the other end.
    pub fn pair() -> (Self, mpsc::Receiver<Reply>) {
        let (sender, receiver) = mpsc::channel(REPLIES);
        (Self(sender), receiver)
    }

    /// Ends the answer.
    pub fn last(self, reply: Reply) {
        // There is room: `progress` leaves the last place free. A client that is gone needs no answer.
        let _ = self.0.try_send(reply);
    }

    /// Tells what goes on, unless the client is slow to read.
    pub fn progress(&self, text: String) {
        if self.0.capacity() > 1 {
            let _ = self.0.try_send(Reply::Progress { text });
        }
    }

    /// Sends one of many lines, waiting for the client to read. False: it is gone.
    pub async fn send(&self, reply: Reply) -> bool {
        self.0.send(reply).await.is_ok()
    }

    /// Returns when the client is gone.
    pub async fn gone(&self) {
        self.0.closed().await;
    }

    /// The client is gone.
    pub fn is_gone(&self) -> bool {
        self.0.is_closed()
    }
}

/// What a client is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    /// Reads lines, at a pager's pace or for as long as there are any. The first to go.
    Reads,
    /// Has not said what it wants.
    Asks,
    /// Waits for its answer; what it asked for goes on without it.
    Waits,
}

struct Client {
    stage: Rc<Cell<Stage>>,
    task: AbortHandle,
}

/// Takes clients in for ever. Call it within a `LocalSet`. `own_uid` is whom it serves besides root.
pub async fn serve(listener: UnixListener, own_uid: u32, desk: Rc<dyn Desk>) {
    let clients: RefCell<Vec<Client>> = RefCell::default();
    let mut refused = false;
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                refused = false;
                if admit(&clients, stream, own_uid, &desk) {
                    tokio::time::sleep(CROWDED).await;
                }
            }
            Err(error) => {
                if !std::mem::replace(&mut refused, true) {
                    tracing::warn!(
                        "cannot take in a client of the control socket: {}: trying again every {}s",
                        crate::sys::words(&error),
                        PAUSE.as_secs()
                    );
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
        // A thousand clients at once: supervision has its turn after each.
        tokio::task::yield_now().await;
    }
}

/// True: another one had to go for it.
fn admit(clients: &RefCell<Vec<Client>>, stream: UnixStream, own_uid: u32, desk: &Rc<dyn Desk>) -> bool {
    let mut clients = clients.borrow_mut();
    clients.retain(|client| !client.task.is_finished());
    let crowded = clients.len() >= CLIENTS;
    if crowded {
        let oldest = clients.iter().enumerate().min_by_key(|(age, client)| (client.stage.get(), *age));
        if let Some(index) = oldest.map(|(index, _)| index) {
            clients.remove(index).task.abort();
        }
    }
    let stage = Rc::new(Cell::new(Stage::Asks));
    let task = client::live(stream, own_uid, Rc::clone(desk), Rc::clone(&stage));
    let task = tokio::task::spawn_local(task).abort_handle();
    clients.push(Client { stage, task });
    crowded
}

#[cfg(test)]
mod tests;
