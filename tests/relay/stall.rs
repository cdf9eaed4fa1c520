//! Nobody reads the container's log.

use crate::support::{LIMITS, child, finished, info, joined, on_loop, reads, relays, until, writes};
use php_init::config::plan::{LogFormat, LogLevel, OnStall};
use php_init::logs::format::Stream;
use php_init::logs::loss::REPORT_EVERY;
use php_init::runtime::journal;
use php_init::runtime::output::Output;
use php_init::sys::fd::set_nonblocking;
use std::io::{Read as _, Write as _, pipe};
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

fn numbered(name: &str, lines: usize) -> Vec<u8> {
    (0..lines).flat_map(|n| format!("{name} line {n} {}\n", "x".repeat(n % 90)).into_bytes()).collect()
}

#[test]
fn the_loop_turns_and_nothing_grows_while_floods_wait() {
    let (log, container) = pipe().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let mut floods = Vec::new();
    on_loop(async {
        let relays = relays(&container);
        for on_stall in [OnStall::Block, OnStall::Drop, OnStall::Block] {
            let (mut writer, _) = child(&relays, info("flood", LogFormat::Json, on_stall));
            let stop = Arc::clone(&stop);
            floods.push(std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) && writer.write_all(b"y\ny\ny\ny\n").is_ok() {}
            }));
        }
        until(|| relays.output().waiting() >= LIMITS.cap / 2).await;
        // Each turn looks at the kernel for new events, floods or not.
        for _ in 0..2_000 {
            tokio::task::yield_now().await;
            // The cap, and one batch that began below it.
            assert!(relays.output().waiting() <= LIMITS.cap + 4096 + 200);
        }
        // init's own words still get a place.
        assert!(relays.output().own_line(b"init: still here\n"));
        stop.store(true, Ordering::Relaxed);
        let left = relays.drain(Duration::from_millis(20)).await;
        assert!(left.lines > 0);
    });
    drop(log);
    for flood in floods {
        flood.join().unwrap();
    }
}

#[test]
fn block_loses_nothing() {
    const LINES: usize = 20_000;
    for format in [LogFormat::Plain, LogFormat::Prefix] {
        let (log, container) = pipe().unwrap();
        let mut reader = None;
        on_loop(async {
            let relays = relays(&container);
            drop(container);
            let mut children = Vec::new();
            for name in ["a", "b", "c"] {
                let (writer, relay) = child(&relays, info(name, format, OnStall::Block));
                children.push((writes(writer, numbered(name, LINES)), relay));
            }
            until(|| relays.output().waiting() >= LIMITS.cap / 2).await;
            assert!(children.iter().all(|(writer, _)| !writer.is_finished()));
            reader = Some(reads(log));
            for (writer, relay) in children {
                joined(writer).await;
                finished(&relay).await;
            }
            assert_eq!(relays.drain(Duration::from_secs(30)).await.lines, 0);
        });
        let text = String::from_utf8(reader.unwrap().join().unwrap()).unwrap();
        for name in ["a", "b", "c"] {
            let prefix = if format == LogFormat::Prefix { format!("[{name}:0] ") } else { String::new() };
            let start = format!("{prefix}{name} ");
            let got: Vec<&str> = text.lines().filter(|line| line.starts_with(&start)).collect();
            assert_eq!(got.len(), LINES);
            let wanted = String::from_utf8(numbered(name, LINES)).unwrap();
            assert!(got.iter().zip(wanted.lines()).all(|(got, wanted)| got[prefix.len()..] == *wanted));
        }
    }
}

#[test]
fn drop_never_makes_the_child_wait_and_counts_to_the_line() {
    const LINES: usize = 30_000;
    journal::install(LogLevel::Info, LogFormat::Plain);
    let (log, container) = pipe().unwrap();
    let mut reader = None;
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let attached = journal::attach(relays.output().clone());
        let (writer, relay) = child(&relays, info("queue", LogFormat::Plain, OnStall::Drop));
        // Nobody reads, and yet the child gets to its end.
        joined(writes(writer, numbered("queue", LINES))).await;
        finished(&relay).await;
        reader = Some(reads(log));
        relays.output().flush(Duration::from_secs(30)).await;
        drop(attached);
    });
    let text = String::from_utf8(reader.unwrap().join().unwrap()).unwrap();
    let told: Vec<usize> = text
        .lines()
        .filter(|line| line.contains(" init WARN "))
        .filter_map(|line| line.split("queue:0: ").nth(1)?.split(' ').next()?.parse().ok())
        .collect();
    let arrived: Vec<&str> = text.lines().filter(|line| line.starts_with("queue line ")).collect();
    assert_eq!(arrived.len() + told.iter().sum::<usize>(), LINES, "{told:?}");
    assert!(!told.is_empty());
    // The newest survive.
    assert!(arrived.last().unwrap().starts_with(&format!("queue line {} ", LINES - 1)));
    let wanted = String::from_utf8(numbered("queue", LINES)).unwrap();
    let mut wanted = wanted.lines();
    assert!(arrived.iter().all(|line| wanted.any(|wanted| wanted == *line)), "whole and in order");
}

#[test]
fn drops_under_a_slow_reader_are_reported_every_few_seconds_and_the_rest_at_the_end() {
    const ROUNDS: usize = 40;
    const LINES: usize = 2000;
    journal::install(LogLevel::Info, LogFormat::Plain);
    let (mut log, container) = pipe().unwrap();
    set_nonblocking(&log).unwrap();
    let mut text = Vec::new();
    let began = Instant::now();
    on_loop(async {
        let output = Output::over(container.as_fd(), container.as_fd(), LIMITS);
        drop(container);
        let attached = journal::attach(output.clone());
        let source = output.source(Stream::Stdout, "queue".to_owned(), OnStall::Drop);
        for _ in 0..ROUNDS {
            // More than the pipe and the queue take, and then a reader that empties both.
            for _ in 0..LINES {
                source.submit([&[b'x'; 99], b"\n"]);
            }
            assert!(output.waiting() > 0);
            until(|| {
                let _ = log.read_to_end(&mut text);
                output.waiting() == 0
            })
            .await;
        }
        let flushed = output.flush(Duration::from_secs(30)).await;
        assert_eq!(flushed.lines, 0);
        drop((source, attached));
    });
    let _ = log.read_to_end(&mut text);
    let text = String::from_utf8(text).unwrap();
    let reports: Vec<usize> = text
        .lines()
        .filter_map(|line| line.split_once(" queue: ")?.1.split_once(" lines (")?.0.parse().ok())
        .collect();
    let arrived = text.lines().filter(|line| line.starts_with("xxx")).count();
    assert_eq!(arrived + reports.iter().sum::<usize>(), ROUNDS * LINES, "{reports:?}");
    // The first at once, the last at the end, and between them one for each interval that has passed.
    let passed = usize::try_from(began.elapsed().as_secs() / REPORT_EVERY.as_secs()).unwrap();
    assert!((2..=2 + passed).contains(&reports.len()), "{reports:?}");
}

#[test]
fn a_writer_of_single_bytes_without_a_line_end_makes_nothing_grow_and_delays_no_other() {
    const BYTES: usize = 40_000;
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let (mut hostile, _) = child(&relays, info("hostile", LogFormat::Plain, OnStall::Block));
        let (mut polite, relay) = child(&relays, info("web", LogFormat::Plain, OnStall::Block));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let bytes = std::thread::spawn(move || {
            let mut written = 0;
            while written < BYTES || !stopped.load(Ordering::Relaxed) {
                hostile.write_all(if written % 2 == 0 { &[0] } else { b"x" }).unwrap();
                written += 1;
            }
            // Its process ends, and a descendant keeps the pipe: the caller.
            (written, hostile)
        });
        for n in 0..200 {
            polite.write_all(format!("web line {n}\n").as_bytes()).unwrap();
            relay.settle().await;
            assert!(relays.output().waiting() <= LIMITS.cap + (256 << 10));
        }
        stop.store(true, Ordering::Relaxed);
        let (written, _held) = joined(bytes).await;
        assert_eq!(relays.live(), 2);
        // Who holds the pipe does not hold the exit.
        assert_eq!(relays.drain(Duration::from_secs(30)).await.lines, 0);
        drop(polite);
        assert!(written >= BYTES);
        WRITTEN.store(written, Ordering::Relaxed);
    });
    let all = reader.join().unwrap();
    let came = all.iter().filter(|byte| matches!(byte, 0 | b'x')).count();
    assert_eq!(came, WRITTEN.load(Ordering::Relaxed));
    // Every line of the other one is whole, between parts of the endless line.
    let text = String::from_utf8_lossy(&all);
    assert!((0..200).all(|n| text.lines().any(|line| line == format!("web line {n}"))));
}

static WRITTEN: AtomicUsize = AtomicUsize::new(0);

#[test]
fn a_blocked_child_goes_on_when_the_log_is_read_again() {
    let (log, container) = pipe().unwrap();
    let written = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&written);
    let mut reader = None;
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let (mut writer, relay) = child(&relays, info("web", LogFormat::Plain, OnStall::Block));
        let thread = std::thread::spawn(move || {
            for n in 0..3000usize {
                writer.write_all(&[b'z'; 99]).unwrap();
                writer.write_all(b"\n").unwrap();
                counter.store(n + 1, Ordering::Relaxed);
            }
        });
        until(|| relays.output().waiting() >= LIMITS.cap / 2).await;
        let (mut last, mut same) = (0, 0);
        until(|| {
            let now = written.load(Ordering::Relaxed);
            same = if now == last { same + 1 } else { 0 };
            last = now;
            same > 20
        })
        .await;
        assert!(last < 3000, "the child must wait");
        reader = Some(reads(log));
        joined(thread).await;
        finished(&relay).await;
        relays.drain(Duration::from_secs(30)).await;
    });
    assert_eq!(reader.unwrap().join().unwrap().len(), 300_000);
}

#[test]
fn a_drain_into_a_stalled_log_ends_at_its_deadline_and_says_what_is_left() {
    let (log, container) = pipe().unwrap();
    on_loop(async {
        let relays = relays(&container);
        let (writer, _) = child(&relays, info("web", LogFormat::Plain, OnStall::Drop));
        joined(writes(writer, numbered("web", 5000))).await;
        let left = relays.drain(Duration::from_millis(30)).await;
        assert!(left.lines > 0 && left.bytes > 0);
        assert_eq!(left.bytes, relays.output().waiting() as u64);
    });
    drop(log);
}
