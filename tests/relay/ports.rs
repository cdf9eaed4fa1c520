//! What the container's stdout may be.

use crate::support::{child, finished, info, joined, on_loop, reads, relays, until, writes};
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use php_init::config::plan::{LogFormat, LogLevel, OnStall};
use php_init::logs::format::Stream;
use php_init::runtime::journal;
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Relays two lines and a longer flood into it, and returns what could not be written.
fn relay_into(container: impl AsFd, bytes: &[u8]) -> u64 {
    on_loop(async {
        let relays = relays(&container);
        let (writer, relay) = child(&relays, info("web", LogFormat::Plain, OnStall::Block));
        joined(writes(writer, bytes.to_vec())).await;
        finished(&relay).await;
        assert_eq!(relays.drain(Duration::from_secs(30)).await.lines, 0);
        relays.output().lost(Stream::Stdout).lines
    })
}

fn flood() -> Vec<u8> {
    (0..20_000).flat_map(|n| format!("line {n}\n").into_bytes()).collect()
}

fn is_nonblocking(fd: impl AsFd) -> bool {
    OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL).unwrap()).contains(OFlag::O_NONBLOCK)
}

#[test]
fn a_pipe_keeps_its_flags() {
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    assert_eq!(relay_into(&container, &flood()), 0);
    assert!(!is_nonblocking(&container));
    drop(container);
    assert!(reader.join().unwrap() == flood());
}

#[test]
fn a_socket_keeps_its_flags_and_gets_everything() {
    let (mut log, container) = UnixStream::pair().unwrap();
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        log.read_to_end(&mut all).unwrap();
        all
    });
    assert_eq!(relay_into(&container, &flood()), 0);
    assert!(!is_nonblocking(&container));
    drop(container);
    assert!(reader.join().unwrap() == flood());
}

#[test]
fn a_stalled_socket_does_not_stop_the_loop() {
    let (log, container) = UnixStream::pair().unwrap();
    on_loop(async {
        let relays = relays(&container);
        let (writer, relay) = child(&relays, info("web", LogFormat::Plain, OnStall::Drop));
        joined(writes(writer, flood().repeat(5))).await;
        finished(&relay).await;
        assert!(relays.drain(Duration::from_millis(20)).await.lines > 0);
    });
    drop(log);
}

#[test]
fn a_regular_file_is_shared_with_those_who_inherit_it() {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(b"before\n").unwrap();
    assert_eq!(relay_into(&file, &flood()), 0);
    // The offset is the description's, so this does not overwrite.
    file.write_all(b"after\n").unwrap();
    let mut text = Vec::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut text).unwrap();
    assert!(text == [&b"before\n"[..], &flood(), b"after\n"].concat());
}

#[test]
fn a_terminal_gets_whole_lines_of_both_streams() {
    let pty = nix::pty::openpty(None, None).unwrap();
    let mut log = File::from(pty.master);
    let reader = std::thread::spawn(move || {
        let mut all = String::new();
        let mut buffer = [0; 1000];
        // EIO is how a terminal says that its other side is gone.
        while let Ok(n @ 1..) = log.read(&mut buffer) {
            all.push_str(std::str::from_utf8(&buffer[..n]).unwrap());
        }
        all
    });
    let long = ["o".repeat(5000), "e".repeat(5000)];
    on_loop(async {
        let relays = relays(&pty.slave);
        let streams = [Stream::Stdout, Stream::Stderr];
        let children = streams.iter().zip(&long).map(|(&stream, line)| {
            let info = info("web", LogFormat::Plain, OnStall::Block);
            let (writer, relay) = child(&relays, php_init::runtime::relay::SourceInfo { stream, ..info });
            (writes(writer, format!("{line}\n").repeat(20).into_bytes()), relay)
        });
        for (writer, relay) in children.collect::<Vec<_>>() {
            joined(writer).await;
            finished(&relay).await;
        }
        relays.drain(Duration::from_secs(30)).await;
    });
    assert!(!is_nonblocking(&pty.slave));
    drop(pty.slave);
    let text = reader.join().unwrap();
    assert_eq!(text.lines().count(), 40);
    assert!(text.lines().all(|line| line == long[0] || line == long[1]));
}

#[test]
fn dev_null_takes_everything_and_dev_full_nothing() {
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    assert_eq!(relay_into(&null, &flood()), 0);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    assert_eq!(relay_into(&full, &flood()), 20_000);
}

#[test]
fn a_stdout_that_is_not_writable_is_counted_not_fatal() {
    let read_only = File::open("/proc/self/exe").unwrap();
    assert_eq!(relay_into(&read_only, &flood()), 20_000);
}

#[test]
fn a_reader_that_goes_away_costs_lines_but_no_child() {
    let (log, container) = pipe().unwrap();
    drop(log);
    assert_eq!(relay_into(&container, &flood()), 20_000);
}

#[test]
fn a_reader_that_comes_back_is_told_what_it_missed() {
    journal::install(LogLevel::Info, LogFormat::Plain);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log");
    nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let open_reader =
        || OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(&path).unwrap();
    let first = open_reader();
    let container = OpenOptions::new().write(true).open(&path).unwrap();
    on_loop(async {
        let relays = relays(&container);
        let _attached = journal::attach(relays.output().clone());
        let (mut writer, relay) = child(&relays, info("web", LogFormat::Plain, OnStall::Block));
        drop(first);
        writer.write_all(b"nobody\nhears\n").unwrap();
        relay.settle().await;
        // Both lines, and init's own that tells of it and meets the same fate.
        until(|| relays.output().lost(Stream::Stdout).lines == 3).await;
        let mut second = open_reader();
        writer.write_all(b"hello\n").unwrap();
        let mut text = String::new();
        until(|| {
            let _ = second.read_to_string(&mut text);
            text.matches('\n').count() >= 2
        })
        .await;
        assert!(text.starts_with("hello\n"), "{text}");
        assert!(text.contains("stdout can be written again; 3 lines were discarded"), "{text}");
        // And a stall after that is an ordinary one.
        let thread = writes(writer, flood());
        until(|| relays.output().waiting() > 0).await;
        until(|| {
            let _ = second.read_to_string(&mut text);
            text.ends_with("line 19999\n")
        })
        .await;
        joined(thread).await;
        finished(&relay).await;
        assert!(text.ends_with(std::str::from_utf8(&flood()).unwrap()));
    });
}
