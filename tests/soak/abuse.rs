//! Clients of the control socket and of the health listener that mean no good, or only a little.

use crate::luck::Luck;
use crate::stage::Stage;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

const FOLLOW: &[u8] = b"{\"v\":1,\"request\":\"logs\",\"names\":[],\"lines\":1000000,\"follow\":true}\n";

/// Connects and says this; init may have had enough of it.
fn say(path: &Path, bytes: &[u8]) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(path).ok()?;
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let _ = stream.write_all(bytes);
    Some(stream)
}

/// One of several things that no client should do, over in a second at most.
pub fn control(stage: &Stage, luck: &mut Luck) {
    let path = stage.volume("php/init.sock");
    let time = Duration::from_millis(luck.below(500));
    let held: Vec<Option<UnixStream>> = match luck.below(5) {
        0 => (0..100).map(|_| say(&path, b"")).collect(),
        1 => (0..40).map(|_| say(&path, b"{\"v\":1,\"request\":")).collect(),
        2 => (0..40).map(|_| say(&path, FOLLOW)).collect(),
        3 => vec![say(&path, &vec![b'x'; 1 << 20])],
        _ => (0..FOLLOW.len()).step_by(5).map(|end| say(&path, &FOLLOW[..end])).collect(),
    };
    stage.pause(time);
    drop(held);
}

/// What a Prometheus would ask for.
pub fn scrape(stage: &Stage, _: &mut Luck) {
    let mut answer = String::new();
    if let Some(mut stream) =
        say(&stage.health, b"GET /metrics HTTP/1.1\r\nHost: soak\r\nConnection: close\r\n\r\n")
    {
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let _ = stream.read_to_string(&mut answer);
    }
    if !answer.starts_with("HTTP/1.1 200") || !answer.ends_with("# EOF\n") {
        stage.trouble(format!("GET /metrics: {answer:?}"));
    }
}
