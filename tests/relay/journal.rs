//! init's own lines, from `tracing` to the container's stderr.

use crate::support::{LIMITS, child, info, on_loop, reads, relays, until, writes};
use php_init::config::plan::{LogFormat, LogLevel, OnStall};
use php_init::runtime::journal;
use std::io::pipe;
use std::time::Duration;

/// One test: level and format belong to the whole process.
#[test]
fn events_become_lines_of_the_chosen_format_and_level() {
    journal::install(LogLevel::Info, LogFormat::Plain);
    let (log, container) = pipe().unwrap();
    let reader = reads(log);
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let _attached = journal::attach(relays.output().clone());
        tracing::info!("php-fpm: ready after {}ms", 38);
        tracing::debug!("not shown");
        tracing::warn!(path = "/a b\n", count = 3, "two\nlines");
        relays.output().flush(Duration::from_secs(30)).await;
    });
    let text = String::from_utf8(reader.join().unwrap()).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(
        lines,
        ["init INFO  php-fpm: ready after 38ms", "init WARN  two\\nlines path=\"/a b\\n\" count=3"],
        "{text}"
    );
}

#[test]
fn own_lines_wait_their_turn_but_are_never_refused_for_a_services_flood() {
    journal::install(LogLevel::Info, LogFormat::Plain);
    let (log, container) = pipe().unwrap();
    let mut reader = None;
    on_loop(async {
        let relays = relays(&container);
        drop(container);
        let _attached = journal::attach(relays.output().clone());
        let (writer, _) = child(&relays, info("flood", LogFormat::Plain, OnStall::Block));
        let flood = writes(writer, b"yes\n".repeat(100_000));
        until(|| relays.output().waiting() >= LIMITS.cap / 2).await;
        for n in 0..50 {
            tracing::warn!("number {n}");
        }
        reader = Some(reads(log));
        crate::support::joined(flood).await;
        relays.drain(Duration::from_secs(30)).await;
    });
    let text = String::from_utf8(reader.unwrap().join().unwrap()).unwrap();
    let own: Vec<&str> = text.lines().filter(|line| line.contains("number")).collect();
    assert_eq!(own.len(), 50);
    assert!(own.iter().enumerate().all(|(n, line)| line.ends_with(&format!(" number {n}"))));
    assert_eq!(text.lines().filter(|line| *line == "yes").count(), 100_000);
}

#[test]
fn what_init_drops_of_its_own_lines_is_told_to_the_last_one() {
    const LINES: usize = 6000;
    journal::install(LogLevel::Info, LogFormat::Plain);
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    // A file is written by a thread; while it has one short line, the queue fills to the brim.
    on_loop(async {
        let relays = relays(std::fs::File::create(&file).unwrap());
        let _attached = journal::attach(relays.output().clone());
        for n in 0..LINES {
            tracing::info!("n{n:04}");
            if n % 1000 == 0 {
                tokio::task::yield_now().await;
            }
        }
        relays.drain(Duration::from_secs(30)).await;
    });
    let text = std::fs::read_to_string(&file).unwrap();
    let told: usize = text
        .lines()
        .filter_map(|line| line.split_once("WARN  init: ")?.1.split_once(" line")?.0.parse::<usize>().ok())
        .sum();
    let came = text.lines().filter(|line| line.contains("INFO  n")).count();
    assert!(told > 0 && came + told == LINES, "{came} lines and {told} that were dropped");
}
