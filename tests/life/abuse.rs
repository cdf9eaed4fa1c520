//! Hostile and broken clients of the control socket: a service that is killed again and again is restarted each time, and
//! init neither grows nor keeps a descriptor.

use crate::client::{connect, health, raw, socket, status};
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::support::{eventually, need};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

/// How often the service is killed meanwhile.
const KILLS: usize = 12;

/// What init may grow by while it is abused, in kB: the buffers of 32 clients, and what the allocator keeps of them.
const GROWTH: u64 = 8 << 10;

const CONFIG: &str = r#"
    [service.web]
    command = ["sleep", "1001"]
    start-grace = "1ms"
    backoff = { initial = "10ms", max = "20ms", jitter = 0.0, reset-after = "100ms" }
    give-up = "none"
    [service.flood]
    command = ["sh", "-c", "while :; do seq 100000 100500; sleep 0.02; done"]
    start-grace = "1ms"
"#;

fn resident(pid: i32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(pid: i32) -> usize {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

/// Runs `abuse` again and again on a thread of its own while the service is killed.
fn while_abused(abuse: impl Fn(&Path) + Sync) {
    if !need(NEEDS) {
        return;
    }
    let mut container = Container::new(CONFIG).start();
    let path = socket(&container);
    let running = || (status(&path).services.iter().all(|one| one.state == "RUNNING")).then_some(());
    eventually("all run", PATIENCE, running);
    let (fds, memory) = (descriptors(container.pid()), resident(container.pid()));
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let abuser = scope.spawn(|| {
            let mut rounds = 0;
            while rounds == 0 || !over.load(Ordering::Relaxed) {
                abuse(&path);
                rounds += 1;
            }
        });
        for round in 0..KILLS {
            let pid = container.one("sleep 1001");
            kill(pid, "KILL");
            eventually(&format!("restart {round}"), PATIENCE, || {
                container.running("sleep 1001").iter().any(|new| *new != pid).then_some(())
            });
            assert!(
                resident(container.pid()) <= memory + GROWTH,
                "{} kB of {memory}",
                resident(container.pid())
            );
        }
        over.store(true, Ordering::Relaxed);
        abuser.join().unwrap();
    });
    assert!(health(&path, "alive").healthy);
    eventually("every client's descriptor is closed", PATIENCE, || {
        (descriptors(container.pid()) <= fds).then_some(())
    });
    let grown = resident(container.pid()).saturating_sub(memory);
    assert!(grown <= GROWTH, "{grown} kB more than {memory}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

fn say(path: &Path, bytes: &[u8]) -> Option<UnixStream> {
    let mut stream = UnixStream::connect(path).ok()?;
    // init may have had enough of it.
    let _ = stream.write_all(bytes);
    Some(stream)
}

#[test]
fn a_thousand_connections() {
    while_abused(|path| {
        for _ in 0..4 {
            let held: Vec<_> = (0..250).filter_map(|_| say(path, b"")).collect();
            // Somebody who means it gets an answer all the same.
            assert!(health(path, "alive").healthy);
            drop(held);
        }
    });
}

#[test]
fn lines_that_never_end() {
    while_abused(|path| {
        let held: Vec<_> = (0..40).filter_map(|_| say(path, b"{\"v\":1,\"request\":")).collect();
        assert!(health(path, "alive").healthy);
        drop(held);
    });
}

#[test]
fn a_line_of_ten_megabytes() {
    let line = vec![b'x'; 10 << 20];
    while_abused(|path| {
        let answer = raw(path, &line);
        assert!(answer.is_empty() || answer.contains("longer than 4096 bytes"), "{answer}");
    });
}

#[test]
fn readers_of_a_flood_that_do_not_read() {
    while_abused(|path| {
        let follow = b"{\"v\":1,\"request\":\"logs\",\"names\":[],\"lines\":4000000000,\"follow\":true}\n";
        let held: Vec<_> = (0..40).filter_map(|_| say(path, follow)).collect();
        assert!(health(path, "alive").healthy);
        // One that reads a little is told what it missed, or served.
        let mut stream = connect(path);
        stream.write_all(follow).unwrap();
        let mut some = [0; 4096];
        assert!(stream.read(&mut some).unwrap() > 0);
        drop(held);
    });
}

#[test]
fn garbage_nuls_and_deep_nesting() {
    let deep = format!("{{\"v\":1,\"request\":{}", "[".repeat(4000));
    let flat = format!("{}\n", "{\"v\":".repeat(800));
    let noise: Vec<u8> = (0..4000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let samples: [&[u8]; 8] = [
        b"\0\0\0\0\n",
        b"\n\n\n\n",
        b"\xff\xfe\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"{\"v\":1,\"request\":\"stop\",\"names\":[\"\\u0000\"]}\n",
        deep.as_bytes(),
        flat.as_bytes(),
        &noise,
    ];
    while_abused(|path| {
        for sample in samples {
            let mut stream = connect(path);
            let _ = stream.write_all(sample);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut answer = String::new();
            let _ = stream.read_to_string(&mut answer);
            assert!(answer.is_empty() || answer.starts_with("{\"reply\":\"error\""), "{answer}");
        }
    });
}

#[test]
fn clients_that_leave_at_every_point() {
    let requests = [
        "{\"v\":1,\"request\":\"status\"}\n",
        "{\"v\":1,\"request\":\"logs\",\"names\":[],\"lines\":50,\"follow\":true}\n",
        "{\"v\":1,\"request\":\"restart\",\"names\":[\"flood\"]}\n",
    ];
    while_abused(|path| {
        for request in requests {
            for end in (0..=request.len()).step_by(3).chain([request.len()]) {
                drop(say(path, &request.as_bytes()[..end]));
            }
            if let Some(mut stream) = say(path, request.as_bytes()) {
                let _ = stream.read(&mut [0; 1]);
            }
        }
    });
}
