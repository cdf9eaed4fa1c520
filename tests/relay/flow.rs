//! Lines on their way while the log is read.

use crate::support::{LIMITS, child, finished, info, joined, on_loop, reads, relays, writes};
use nix::fcntl::{FcntlArg, fcntl};
use php_init::config::plan::{LogFormat, OnStall};
use php_init::logs::format::Stream;
use php_init::runtime::output::Output;
use php_init::runtime::relay::Relays;
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd as _;
use std::time::Duration;

#[test]
fn two_writers_of_long_lines_never_tear() {
    const LINES: usize = 60;
    for format in [LogFormat::Plain, LogFormat::Prefix, LogFormat::Json] {
        let (mut log, container) = pipe().unwrap();
        // Odd sizes, so that the container's pipe takes odd parts of lines.
        let reader = std::thread::spawn(move || {
            let (mut all, mut buffer) = (Vec::new(), vec![0; 3001]);
            loop {
                match log.read(&mut buffer).unwrap() {
                    0 => return all,
                    n => all.extend_from_slice(&buffer[..n]),
                }
            }
        });
        on_loop(async {
            let relays = relays(&container);
            drop(container);
            let mut parts = Vec::new();
            for (letter, stream) in [("a", Stream::Stdout), ("b", Stream::Stderr), ("c", Stream::Stdout)] {
                let (writer, relay) = child(
                    &relays,
                    php_init::runtime::relay::SourceInfo { stream, ..info(letter, format, OnStall::Block) },
                );
                let line = letter.repeat(100_000) + "\n";
                parts.push((writes(writer, line.repeat(LINES).into_bytes()), relay));
            }
            for (writer, relay) in parts {
                joined(writer).await;
                finished(&relay).await;
            }
            assert_eq!(relays.drain(Duration::from_secs(30)).await.lines, 0);
        });
        let all = reader.join().unwrap();
        let text = std::str::from_utf8(&all).unwrap();
        for letter in ["a", "b", "c"] {
            let whole = letter.repeat(100_000);
            let lines = text.lines().filter(|line| match format {
                LogFormat::Json => line.contains(&format!("\"message\":\"{whole}\"}}")),
                LogFormat::Prefix => *line == format!("[{letter}:0] {whole}"),
                _ => *line == whole,
            });
            assert_eq!(lines.count(), LINES, "{format:?} {letter}");
        }
        assert_eq!(text.lines().count(), 3 * LINES);
    }
}

#[test]
fn every_byte_arrives_in_plain() {
    let bytes: Vec<u8> = (0u32..300_000).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let (writer, relay) = child(&relays, info("noise", LogFormat::Plain, OnStall::Block));
        joined(writes(writer, [&bytes[..], b"\n"].concat())).await;
        finished(&relay).await;
        relays.drain(Duration::from_secs(30)).await;
    });
    assert!(reader.join().unwrap() == [&bytes[..], b"\n"].concat());
}

#[test]
fn a_pipe_keeps_its_size_however_much_is_written() {
    let size = |pipe: &std::io::PipeWriter| fcntl(pipe, FcntlArg::F_GETPIPE_SZ).unwrap();
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let (mut writer, relay) = child(&relays, info("flood", LogFormat::Plain, OnStall::Block));
        let (kept, before) = (writer.try_clone().unwrap(), size(&writer));
        let flood = std::thread::spawn(move || {
            for _ in 0..20_000 {
                writer.write_all(&[[b'x'; 119].as_slice(), b"\n"].concat()).unwrap();
            }
        });
        joined(flood).await;
        // Memory for pipes is limited for all processes of a user together, here root of the whole host.
        assert_eq!(size(&kept), before);
        drop(kept);
        finished(&relay).await;
        relays.drain(Duration::from_secs(30)).await;
    });
    assert_eq!(reader.join().unwrap().len(), 20_000 * 120);
}

#[test]
fn a_partial_line_does_not_wait_for_its_end() {
    let (mut log, container) = pipe().unwrap();
    let mut buffer = [0; 100];
    on_loop(async {
        let relays = relays(&container);
        let (mut migrate, _) = child(&relays, info("migrate", LogFormat::Prefix, OnStall::Block));
        let (mut queue, _) = child(&relays, info("queue", LogFormat::Prefix, OnStall::Block));
        let mut expect = async |text: &str| {
            let mut got = Vec::new();
            while got.len() < text.len() {
                // The data is there or comes in a moment; the loop must turn for that.
                let ready = || {
                    let mut fds = [nix::poll::PollFd::new(log.as_fd(), nix::poll::PollFlags::POLLIN)];
                    nix::poll::poll(&mut fds, nix::poll::PollTimeout::ZERO).unwrap() > 0
                };
                crate::support::until(ready).await;
                let n = log.read(&mut buffer).unwrap();
                got.extend_from_slice(&buffer[..n]);
            }
            assert_eq!(String::from_utf8(got).unwrap(), text);
        };
        migrate.write_all(b"create_users_table ....").unwrap();
        expect("[migrate:0] create_users_table ....").await;
        migrate.write_all(b" 12ms DONE\n").unwrap();
        expect(" 12ms DONE\n").await;
        // Another program's line comes in between: the first one is closed and starts anew.
        migrate.write_all(b"create_jobs_table ....").unwrap();
        expect("[migrate:0] create_jobs_table ....").await;
        queue.write_all(b"job\n").unwrap();
        expect("\n[queue:0] job\n").await;
        migrate.write_all(b" DONE\n").unwrap();
        expect("[migrate:0]  DONE\n").await;
        // The end of the stream ends the line.
        migrate.write_all(b"PHP Fatal error").unwrap();
        drop(migrate);
        expect("[migrate:0] PHP Fatal error\n").await;
    });
}

#[test]
fn stdout_and_stderr_stay_apart_where_they_are() {
    let ((out_log, out), (err_log, err)) = (pipe().unwrap(), pipe().unwrap());
    let readers = (reads(out_log), reads(err_log));
    on_loop(async {
        let relays = Relays::new(Output::over(out.as_fd(), err.as_fd(), LIMITS), 1000);
        drop((out, err));
        for (text, stream) in [("to out\n", Stream::Stdout), ("to err\n", Stream::Stderr)] {
            let info = info("web", LogFormat::Plain, OnStall::Block);
            let (writer, relay) = child(&relays, php_init::runtime::relay::SourceInfo { stream, ..info });
            joined(writes(writer, text.into())).await;
            finished(&relay).await;
        }
    });
    assert_eq!(readers.0.join().unwrap(), b"to out\n");
    assert_eq!(readers.1.join().unwrap(), b"to err\n");
}

#[test]
fn settle_orders_a_childs_last_words_before_inits() {
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        // A grandchild keeps the pipe open all the while.
        let (mut writer, relay) = child(&relays, info("fpm", LogFormat::Plain, OnStall::Block));
        writer.write_all(b"one\nlast words").unwrap();
        relay.settle().await;
        assert!(relays.output().own_line(b"init: fpm exited 78\n"));
        assert!(!relay.is_finished());
        assert_eq!(relays.live(), 1);
        writer.write_all(b"from the grandchild\n").unwrap();
        relay.settle().await;
        drop(writer);
        finished(&relay).await;
        assert_eq!(relays.live(), 0);
    });
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    assert_eq!(text, "one\nlast words\ninit: fpm exited 78\nfrom the grandchild\n");
}

#[test]
fn an_orphan_that_holds_the_pipe_does_not_hold_the_exit() {
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    let mut orphans = Vec::new();
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        for n in 0..5 {
            let (mut writer, _) = child(&relays, info("orphan", LogFormat::Plain, OnStall::Block));
            writer.write_all(format!("first {n}\nlast {n}").as_bytes()).unwrap();
            orphans.push(writer);
        }
        let left = relays.drain(Duration::from_secs(30)).await;
        assert_eq!((left.lines, relays.live()), (0, 0));
    });
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "first 0", "first 1", "first 2", "first 3", "first 4", "last 0", "last 1", "last 2", "last 3",
            "last 4"
        ]
    );
    assert!(text.ends_with('\n'));
}
