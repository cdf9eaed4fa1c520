use super::*;
use crate::control::protocol::Timeline;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream as Client;
use std::path::Path;

/// Answers a timeline at once, follows logs for ever, forgets everything else.
struct Fake(RefCell<Vec<Replies>>);

impl Desk for Fake {
    fn take(&self, request: Request, to: Replies) {
        match request {
            Request::Timeline => to.last(Reply::Timeline(Timeline::default())),
            Request::Pause => drop(to),
            _ => self.0.borrow_mut().push(to),
        }
    }
}

/// Serves at a path while `clients` talk to it on another thread.
fn served(own_uid: u32, clients: impl FnOnce(&Path) + Send + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("init.sock");
        assert_eq!(look(&path).await.unwrap(), Found::Nobody);
        let Opened::Listens(listening, listener) = Listening::open(&path).await.unwrap() else {
            panic!("nobody else listens");
        };
        let pid = i32::try_from(std::process::id()).unwrap();
        assert_eq!(look(&path).await.unwrap(), Found::Here(pid));
        let server = tokio::task::spawn_local(serve(listener, own_uid, Rc::new(Fake(RefCell::default()))));
        let talk = path.clone();
        tokio::task::spawn_blocking(move || clients(&talk)).await.unwrap();
        server.abort();
        assert!(server.await.unwrap_err().is_cancelled());
        assert_eq!(look(&path).await.unwrap(), Found::Stale);
        listening.remove();
        assert!(!path.exists());
    });
}

fn client(path: &Path, bytes: &[u8]) -> Client {
    let mut client = Client::connect(path).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    client.write_all(bytes).unwrap();
    client
}

fn line(client: &Client) -> String {
    let mut line = String::new();
    BufReader::new(client).read_line(&mut line).unwrap();
    line
}

fn own_uid() -> u32 {
    crate::sys::users::own_uid()
}

const TIMELINE: &[u8] = b"{\"v\":1,\"request\":\"timeline\"}\n";
const FOLLOW: &[u8] = b"{\"v\":1,\"request\":\"events\",\"lines\":1,\"follow\":true}\n";

#[test]
fn who_comes_last_finds_a_place() {
    served(own_uid(), |path| {
        let follower = client(path, FOLLOW);
        let mut half_open: Vec<_> = (0..CLIENTS * 2).map(|_| client(path, b"{")).collect();
        let asked = client(path, TIMELINE);
        assert!(line(&asked).starts_with("{\"reply\":\"timeline\""));
        // The reader of events went first, then those that had said nothing, the oldest of them first.
        assert_eq!((&follower).read(&mut [0]).unwrap_or(0), 0);
        assert_eq!(half_open.remove(0).read(&mut [0]).unwrap_or(0), 0);
        let last = half_open.pop().unwrap();
        (&last).write_all(&TIMELINE[1..]).unwrap();
        assert!(line(&last).starts_with("{\"reply\":\"timeline\""));
    });
}

#[test]
fn a_request_that_does_not_end_is_refused_in_time() {
    served(own_uid(), |path| {
        assert!(line(&client(path, b"{\"v\":1")).contains("not complete within 2s"));
    });
}

#[test]
fn a_desk_that_forgets_a_client_does_not_leave_it_waiting() {
    served(own_uid(), |path| {
        assert!(line(&client(path, b"{\"v\":1,\"request\":\"pause\"}\n")).contains("did not answer"));
    });
}

#[test]
fn a_client_that_closes_its_sending_side_is_answered() {
    served(own_uid(), |path| {
        let asked = client(path, TIMELINE.trim_ascii_end());
        asked.shutdown(std::net::Shutdown::Write).unwrap();
        assert!(line(&asked).starts_with("{\"reply\":\"timeline\""));
    });
}

#[test]
fn of_two_that_start_at_once_on_a_stale_socket_one_listens() {
    for _ in 0..200 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("init.sock");
        drop(crate::files::socket::listen(&path).unwrap());
        let start = std::sync::Barrier::new(2);
        let one = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                start.wait();
                let opened = Listening::open(&path).await.unwrap();
                start.wait();
                matches!(opened, Opened::Listens(..))
            })
        };
        let listens = std::thread::scope(|scope| {
            let both = [scope.spawn(one), scope.spawn(one)];
            both.map(|one| one.join().unwrap())
        });
        assert_eq!(listens.iter().filter(|listens| **listens).count(), 1);
    }
}
