//! A container's stdout and stderr, children that write to pipes, and the loop between them.

use php_init::config::plan::{LogFormat, OnStall};
use php_init::logs::format::{Label, Stream};
use php_init::runtime::output::{Limits, Output};
use php_init::runtime::relay::{RelayHandle, Relays, SourceInfo};
use std::io::{PipeReader, PipeWriter, Read as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::thread::JoinHandle;
use std::time::Duration;

/// Longer than anything here takes, so that a hang fails and nothing else does.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Small, so that stalls are quick to reach.
pub const LIMITS: Limits = Limits { cap: 32 << 10, reserve: 8 << 10 };

/// Runs the future on a loop like init's; a hang is a failure.
pub fn on_loop<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let local = tokio::task::LocalSet::new();
    local.block_on(&runtime, async { tokio::time::timeout(PATIENCE, future).await.unwrap() })
}

/// Relays into one place that is both stdout and stderr.
pub fn relays(to: impl AsFd) -> Relays {
    Relays::new(Output::over(to.as_fd(), to.as_fd(), LIMITS), 256 << 10)
}

/// A service with two instances, of which this is the first.
pub fn info(name: &str, format: LogFormat, on_stall: OnStall) -> SourceInfo {
    let label = Label::Service { name: name.to_owned(), instance: 0, instances: 2 };
    SourceInfo { label, pid: 42, stream: Stream::Stdout, format, on_stall, tap: None }
}

/// A pipe with a relay behind it.
pub fn child(relays: &Relays, info: SourceInfo) -> (PipeWriter, RelayHandle) {
    let (reader, writer) = pipe().unwrap();
    (writer, relays.spawn(reader.into(), info).unwrap())
}

/// A process that writes all of it and ends.
pub fn writes(mut to: PipeWriter, bytes: Vec<u8>) -> JoinHandle<()> {
    std::thread::spawn(move || to.write_all(&bytes).unwrap())
}

/// Reads until all writers are gone.
pub fn reads(mut from: PipeReader) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        from.read_to_end(&mut all).unwrap();
        all
    })
}

/// Lets the loop turn until the relay has finished.
pub async fn finished(relay: &RelayHandle) {
    while !relay.is_finished() {
        relay.settle().await;
        tokio::task::yield_now().await;
    }
}

/// Lets the loop turn until the condition holds.
pub async fn until(mut condition: impl FnMut() -> bool) {
    while !condition() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Waits for a thread without stopping the loop.
pub async fn joined<T>(thread: JoinHandle<T>) -> T {
    until(|| thread.is_finished()).await;
    thread.join().unwrap()
}
