//! What services write: nothing is torn, lost or doubled; and streams of every kind, closed and stalled ones too.

use crate::container::{Container, NEEDS, Output, PATIENCE, Place, kill, writable};
use crate::support::{eventually, need};
use std::io::Read as _;
use std::os::unix::net::UnixStream;
use std::time::Duration;

#[test]
fn a_service_of_another_user_may_open_its_stdout_and_stderr_anew() {
    if !need(NEEDS) {
        return;
    }
    for format in ["plain", "prefix", "json"] {
        let mut container = Container::new(&format!(
            r#"
            log.format = "{format}"
            [service.reopens]
            command = ["sh", "-c", """
                id -un > /dev/stderr && echo to self > /proc/self/fd/2 && echo to stdout > /dev/stdout
                echo append >> /dev/stderr; exec sleep 1000"""]
            user = "www-data"
            "#
        ))
        .start();
        for text in ["www-data", "to self", "to stdout", "append"] {
            container.says(text, 1);
        }
        assert!(!container.log().contains("denied"), "{}", container.log());
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

const LINES: usize = 200;
const LENGTH: usize = 100_000;

/// Writes its lines, of one letter and each with its number. Now and then it loses the processor amid a line, as under
/// a CPU quota: after much of a line, and after the end of one and a little of the next. `b` has a small pipe, as a
/// machine with many of them gives.
const SPEW: &str = r#"#!/usr/bin/perl
my ($letter, $lines, $length, $to) = @ARGV;
open(my $out, '>&=', $to eq 'err' ? 2 : 1);
sub put { my ($at, $text) = (0, @_); $at += syswrite($out, $text, length($text) - $at, $at) while $at < length $text }
fcntl($out, 1031, 8192) if $letter eq 'b'; # F_SETPIPE_SZ
my $text = '';
for my $n (1 .. $lines) {
    my $line = $letter . sprintf('%05d ', $n) . ($letter x $length) . "\n";
    $text .= $line;
    next if $n % 50 == 24;
    my $rest = $n % 50 == 0 ? length($line) - 30_000 : $n % 50 == 25 ? length($line) - 1_700 : 0;
    if ($rest) {
        put(substr($text, 0, -$rest));
        select(undef, undef, undef, 0.3);
        $text = substr($text, -$rest);
    }
    put($text);
    $text = '';
}
"#;

/// Runs the two services to their end; what came out.
fn two_writers(format: &str) -> Vec<u8> {
    let service = |letter: &str, to: &str| {
        format!(
            "[service.{letter}]\ncommand = [\"@DIR/spew\", \"{letter}\", \"{LINES}\", \"{LENGTH}\", \"{to}\"]\n\
             restart = \"never\"\n"
        )
    };
    let config = format!("log.format = \"{format}\"\n{}{}", service("a", "out"), service("b", "err"));
    let mut container = Container::new(&config).script("spew", SPEW).start();
    assert_eq!(container.wait(PATIENCE * 2), 0, "{}", container.log().len());
    // Both streams are one pipe, and the thread that reads it is behind.
    eventually("the last line of init's is there", PATIENCE, || {
        let all = container.bytes();
        let tail = String::from_utf8_lossy(&all[all.len().saturating_sub(1000)..]).into_owned();
        tail.contains("exit code 0").then_some(all)
    })
}

/// Checks one message of a service, and that its number is the next.
fn check(seen: &mut [usize; 2], order: &mut String, message: &[u8]) {
    let letter = message[0];
    let number: usize = std::str::from_utf8(&message[1..6]).unwrap().parse().unwrap();
    let seen = &mut seen[usize::from(letter - b'a')];
    assert_eq!(number, *seen + 1, "every line once and in order");
    *seen = number;
    assert_eq!(message.len(), 7 + LENGTH);
    assert!(message[7..].iter().all(|byte| *byte == letter), "torn");
    order.push(char::from(letter));
}

fn two_services_never_tear_a_line(format: &str, message: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    if !need(NEEDS) {
        return;
    }
    let all = two_writers(format);
    let (mut seen, mut order) = ([0, 0], String::new());
    for line in all.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        if let Some(message) = message(line) {
            check(&mut seen, &mut order, &message);
        }
    }
    assert_eq!(seen, [LINES, LINES]);
    assert!(order.contains("ab") && order.contains("ba"), "they did not write at the same time: {order}");
}

fn is_own(line: &[u8]) -> bool {
    line.starts_with(b"20") && line.windows(6).any(|window| window == b" init ")
}

#[test]
fn two_services_with_long_lines_never_tear_them_in_plain() {
    two_services_never_tear_a_line("plain", |line| (!is_own(line)).then(|| line.to_vec()));
}

#[test]
fn two_services_with_long_lines_never_tear_them_in_prefix() {
    two_services_never_tear_a_line("prefix", |line| {
        let rest = line.strip_prefix(b"[a] ").or(line.strip_prefix(b"[b] ")).map(<[u8]>::to_vec);
        assert!(rest.is_some() || is_own(line), "{}", String::from_utf8_lossy(&line[..80]));
        rest
    });
}

#[test]
fn two_services_with_long_lines_never_tear_them_in_json() {
    two_services_never_tear_a_line("json", |line| {
        let object: serde_json::Value = serde_json::from_slice(line).unwrap();
        let message = object["message"].as_str().unwrap();
        let stream = object["stream"].as_str()?;
        assert_eq!(
            (object["service"].as_str().unwrap(), stream == "stderr"),
            (&message[..1], message.starts_with('b'))
        );
        Some(message.as_bytes().to_vec())
    });
}

/// Floods stdout from the start, then says so in a file, and stays.
const FLOOD: &str = "#!/usr/bin/perl\nmy $line = ('x' x 999) . \"\\n\"; syswrite(STDOUT, $line) for 1 .. $ARGV[0];\n\
    open(F, '>', '@DIR/flooded'); close F; sleep 1000 while 1";

#[test]
fn while_nobody_reads_the_log_a_crash_is_restarted_and_a_stop_ends_in_time() {
    if !need(NEEDS) {
        return;
    }
    for place in [Place::Pid1, Place::Subreaper] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut container = Container::new(
            r#"
            stop-timeout = "5s"
            [service.flood]
            command = ["@DIR/flood", "1000000000"]
            [service.web]
            command = ["sleep", "1000"]
            start-grace = "1ms"
            "#,
        )
        .script("flood", FLOOD)
        .place(place)
        .output(Output::To(writer.into()))
        .start();
        let flood = container.one("flood");
        eventually("the pipe is full and the flood waits", PATIENCE, || {
            crate::procs::sleeps_in(flood).contains("pipe").then_some(())
        });
        for _ in 0..5 {
            let old = container.one("sleep 1000");
            kill(old, "KILL");
            eventually("it is restarted", PATIENCE, || {
                container.running("sleep 1000").first().copied().filter(|new| *new != old)
            });
        }
        let (code, took) = container.stop(PATIENCE);
        assert_eq!(code, 0);
        assert!(took < Duration::from_secs(5), "{took:?}");
        assert_eq!(container.survivors(), [""; 0]);
        drop(reader);
    }
}

#[test]
fn with_drop_a_stalled_log_holds_nobody_up_and_what_is_lost_is_told() {
    if !need(NEEDS) {
        return;
    }
    let (mut reader, writer) = std::io::pipe().unwrap();
    let mut container = Container::new(
        r#"
        [service.flood]
        command = ["@DIR/flood", "3000"]
        on-stall = "drop"
        "#,
    )
    .script("flood", FLOOD)
    .output(Output::To(writer.into()))
    .start();
    eventually("the flood was not held up", PATIENCE, || container.file("flooded").exists().then_some(()));
    let read = std::thread::spawn(move || {
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        all
    });
    // It may take a moment until init has seen that the log is read again.
    let (code, _) = container.stop(PATIENCE);
    assert_eq!(code, 0);
    let all = read.join().unwrap();
    let told: usize = all
        .lines()
        .filter_map(|line| line.split_once("flood: ")?.1.split_once(" lines (")?.0.parse::<usize>().ok())
        .sum();
    let came = all.lines().filter(|line| line.starts_with("xxx")).count();
    assert!(told > 0 && came + told == 3000, "{came} came and {told} were dropped");
    assert!(all.lines().filter(|line| line.starts_with("xxx")).all(|line| line.len() == 999));
}

#[test]
fn closed_standard_streams_are_no_reason_to_fail() {
    if !need(NEEDS) {
        return;
    }
    for closed in ["<&-", ">&-", "2>&-", "<&- >&-", ">&- 2>&-", "<&- >&- 2>&-"] {
        for place in [Place::Pid1, Place::Subreaper] {
            let script = format!("exec \"$@\" {closed}");
            let mut container = Container::new(
                r#"
                [service.web]
                command = ["sh", "-c", "echo to stdout; echo to stderr >&2; cat; echo $$$$ > @DIR/up; exec sleep 1000"]
                "#,
            )
            .wrapped(&["sh", "-c", &script, "sh"])
            .place(place)
            .start();
            eventually("the service is up", PATIENCE, || {
                container.text("up").ends_with('\n').then(|| container.one("sleep 1000"))
            });
            if !closed.contains("2>") {
                container.says("to stderr", 1);
            }
            assert_eq!(container.stop(PATIENCE).0, 0, "{closed}");
            assert_eq!(container.survivors(), [""; 0], "{closed}");
        }
    }
}

#[test]
fn a_file_as_the_log_gets_every_line_in_order() {
    if !need(NEEDS) {
        return;
    }
    let service = r#"
        [service.counts]
        command = ["sh", "-c", "for n in 1 2 3 4 5 6 7 8 9; do echo line $$n; done; exec sleep 1000"]
    "#;
    let container = Container::new(service);
    let log = container.file("log");
    let mut container = container.output(Output::To(writable(&log))).start();
    eventually("the lines are there", PATIENCE, || container.text("log").contains("line 9").then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
    let text = container.text("log");
    let lines: String = text.lines().filter_map(|line| line.strip_prefix("line ")).collect();
    assert_eq!(lines, "123456789", "{text}");
    assert!(text.ends_with("exit code 0\n"), "{text}");
}

#[test]
fn a_full_disk_or_a_reader_that_is_gone_under_the_log_ends_nobody() {
    if !need(NEEDS) {
        return;
    }
    let gone = || {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        writer.into()
    };
    let outputs: [fn() -> std::os::fd::OwnedFd; 2] = [|| writable("/dev/full".as_ref()), gone];
    for output in outputs {
        let mut container = Container::new(
            r#"
            [service.web]
            command = ["sh", "-c", "echo to stdout; echo up > @DIR/up; exec sleep 1000"]
            "#,
        )
        .output(Output::StdoutTo(output()))
        .start();
        eventually("the service is up", PATIENCE, || container.file("up").exists().then_some(()));
        container.says("cannot write to stdout", 1);
        container.one("sleep 1000");
        assert_eq!(container.stop(PATIENCE).0, 0);
    }
}

#[test]
fn each_stream_of_a_service_leads_to_the_same_stream_of_the_container() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sh", "-c", "echo one; echo two >&2; printf half"]
        restart = "never"
        "#,
    )
    .output(Output::Pipes)
    .start();
    assert_eq!(container.wait(PATIENCE), 0);
    eventually("both were read", PATIENCE, || container.errors().contains("exit code 0").then_some(()));
    assert_eq!(container.log(), "one\nhalf\n");
    assert!(container.errors().contains("\ntwo\n"), "{}", container.errors());
}

#[test]
fn a_socket_as_the_log_takes_the_lines_of_any_user() {
    if !need(NEEDS) {
        return;
    }
    let (mut reader, writer) = UnixStream::pair().unwrap();
    let mut container = Container::new(
        r#"
        [service.web]
        command = ["sh", "-c", "echo to stdout; echo reopened > /dev/stderr; echo up > @DIR/up; exec sleep 1000"]
        user = "www-data"
        "#,
    )
    .output(Output::To(writer.into()))
    .start();
    eventually("the service is up", PATIENCE, || container.file("up").exists().then_some(()));
    assert_eq!(container.stop(PATIENCE).0, 0);
    let mut all = String::new();
    reader.read_to_string(&mut all).unwrap();
    assert!(
        all.contains("to stdout\n") && all.contains("reopened\n") && all.ends_with("exit code 0\n"),
        "{all}"
    );
}

#[test]
fn with_inherit_a_service_writes_to_the_containers_own_streams_which_block_as_ever() {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(
        r#"
        log.format = "inherit"
        [service.web]
        command = ["sh", "-c", "echo by itself; exec sleep 1000"]
        "#,
    )
    .start();
    container.says("by itself", 1);
    container.says("web: started", 1);
    let (service, init) = (container.one("sleep 1000"), container.pid());
    let leads_to = |pid: i32| std::fs::read_link(format!("/proc/{pid}/fd/1")).unwrap();
    assert_eq!(leads_to(service), leads_to(init));
    let info = std::fs::read_to_string(format!("/proc/{service}/fdinfo/1")).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
    assert_eq!(flags & 0o4000, 0, "O_NONBLOCK would cost the service lines");
    assert_eq!(container.stop(PATIENCE).0, 0);
}
