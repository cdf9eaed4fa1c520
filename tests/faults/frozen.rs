//! The freezer stops everything in the container at once, as `docker pause` does, and lets it go on later.
//!
//! Clocks go on meanwhile, so that at the thaw every deadline is over and nobody had the time to keep it.

use crate::client;
use crate::container::{Container, NEEDS, PATIENCE, kill};
use crate::limits::inside;
use crate::processes::{PLACES, the};
use crate::support::cgroup::Cgroup;
use crate::support::{eventually, need};
use php_init::control::protocol::Service;
use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::{Duration, Instant, SystemTime};

fn can() -> bool {
    need(&[NEEDS, &["cgroup"]].concat())
}

fn freeze_for(group: &Cgroup, time: Duration) {
    group.freeze();
    let began = Instant::now();
    eventually("it was frozen for long enough", PATIENCE, || (began.elapsed() >= time).then_some(()));
    group.thaw();
}

fn services(container: &Container) -> Vec<Service> {
    client::status(&client::socket(container)).services
}

/// Answers 200 to everything, a while after it was asked, and writes a line for each.
const SLOW: &str = r#"
use IO::Socket::INET;
$SIG{PIPE} = "IGNORE";
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $ARGV[0], Listen => 9, ReuseAddr => 1) or die;
while (my $client = $server->accept) {
    my $request = <$client>;
    select undef, undef, undef, 0.3;
    print $client "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    close $client;
    open my $asked, ">>", "@DIR/asked"; print $asked "x\n"; close $asked;
}
"#;

/// Tells that it lives, five times as often as it has to.
const TELLS: &str = r#"
use Socket;
my $name = pack_sockaddr_un("\0" . substr $ENV{NOTIFY_SOCKET}, 1);
socket my $socket, AF_UNIX, SOCK_DGRAM, 0;
send $socket, "READY=1", 0, $name;
for (;;) {
    send $socket, "WATCHDOG=1", 0, $name;
    open my $told, ">>", "@DIR/told"; print $told "x\n"; close $told;
    select undef, undef, undef, 0.2;
}
"#;

#[test]
fn a_thaw_restarts_nothing_that_is_well() {
    if !can() {
        return;
    }
    let group = Cgroup::new().unwrap();
    // Free until now, and given to nobody else so soon.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let container = Container::new(&format!(
        r#"
        [service.slow]
        command = ["perl", "@DIR/slow", "{port}"]
        ready = {{ http = "http://127.0.0.1:{port}/" }}
        live = {{ http = "http://127.0.0.1:{port}/", interval = "20ms", timeout = "3s", failures = 1 }}
        [service.command]
        command = ["sleep", "1000"]
        start-grace = "1ms"
        live = {{ command = ["sh", "-c", "sleep 0.3; echo >> @DIR/run"], interval = "20ms", timeout = "3s", failures = 1 }}
        [service.tells]
        command = ["perl", "@DIR/tells"]
        ready = {{ notify = "socket" }}
        live = {{ notify = "watchdog", interval = "3s", failures = 1 }}
        "#
    ));
    let container = container.script("slow", SLOW).script("tells", TELLS);
    let mut container = inside(&group, container).start();
    let seen = |least: &[usize]| {
        let now: Vec<usize> =
            ["asked", "run", "told"].map(|name| container.text(name).lines().count()).into();
        now.iter().zip(least).all(|(now, least)| now >= least).then_some(now)
    };
    let before = eventually("all of them are probed", PATIENCE, || seen(&[4, 2, 2]));
    let pids: Vec<_> = services(&container).iter().map(|service| service.pid).collect();
    freeze_for(&group, Duration::from_millis(4500));
    let more: Vec<usize> = before.iter().map(|count| count + 6).collect();
    eventually("all of them are probed again", PATIENCE, || seen(&more));
    let after = services(&container);
    assert_eq!(after.iter().map(|service| service.pid).collect::<Vec<_>>(), pids, "{}", container.log());
    assert!(after.iter().all(|service| service.restarts == 0), "{after:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn what_is_frozen_while_it_starts_may_still_get_ready_and_a_run_may_still_end() {
    if !can() {
        return;
    }
    let group = Cgroup::new().unwrap();
    let container = Container::new(
        r#"
        [service.starts]
        command = ["sleep", "1000"]
        ready = { command = ["test", "-e", "@DIR/go"], deadline = "5s" }
        [cron.waits]
        schedule = "0 0 1 1 *"
        command = ["sh", "-c", "touch @DIR/waits; until test -e @DIR/go; do sleep 0.05; done"]
        timeout = "5s"
        "#,
    );
    let mut container = inside(&group, container).start();
    let socket = client::socket(&container);
    let run = client::outcomes(&socket, r#""request":"run","name":"waits","wait":false"#);
    assert!(run[0].ok, "{run:?}");
    // A freeze in the middle of a turn of the event loop is not seen: init is to wait by then.
    eventually("the run has begun", PATIENCE, || container.file("waits").exists().then_some(()));
    freeze_for(&group, Duration::from_millis(6500));
    std::fs::write(container.file("go"), "").unwrap();
    container.says("starts: ready after", 1);
    let entry = || client::status(&socket).crons.remove(0);
    let outcomes =
        eventually("the run has ended", PATIENCE, || Some(entry()).filter(|entry| entry.last_exit.is_some()));
    assert_eq!(outcomes.outcomes["ok"], 1, "{outcomes:?} {}", container.log());
    assert_eq!(services(&container)[0].restarts, 0, "{}", container.log());
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_boot_step_that_was_frozen_has_its_time_anew_also_in_a_reload() {
    if !can() {
        return;
    }
    let group = Cgroup::new().unwrap();
    let container = Container::new(
        r#"
        [[file]]
        source = "@DIR/source"
        path = "@DIR/state/file"
        [[boot]]
        name = "step"
        command = ["sh", "-c", "touch @DIR/begun; until test -e @DIR/go; do sleep 0.05; done"]
        timeout = "4s"
        [service.web]
        command = ["sleep", "1000"]
        "#,
    );
    let mut container = inside(&group, container.script("source", "first")).start();
    let frozen = || {
        eventually("the step runs", PATIENCE, || container.file("begun").exists().then_some(()));
        freeze_for(&group, Duration::from_secs(5));
        std::fs::write(container.file("go"), "").unwrap();
    };
    frozen();
    container.says("web: started", 1);
    for name in ["begun", "go"] {
        std::fs::remove_file(container.file(name)).unwrap();
    }
    std::fs::write(container.file("source"), "second").unwrap();
    container.signal("HUP");
    frozen();
    container.says("reloaded in", 1);
    assert_eq!(container.text("state/file"), "second");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn runs_that_a_frozen_container_missed_do_not_come_all_at_once() {
    if !can() {
        return;
    }
    let group = Cgroup::new().unwrap();
    let container = Container::new(
        "[cron.second]\nschedule = \"* * * * * *\"\ncommand = [\"sh\", \"-c\", \"date +%s >> @DIR/runs\"]\noverlap = \"allow\"\n",
    );
    let mut container = inside(&group, container).start();
    let lines = |least: usize| {
        let text = container.text("runs");
        let lines: Vec<u64> = text.lines().map(|line| line.parse().unwrap()).collect();
        (lines.len() >= least).then_some(lines)
    };
    let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
    let before = eventually("it runs", PATIENCE, || lines(2)).len();
    group.freeze();
    let frozen_at = now();
    eventually("six seconds have gone by", PATIENCE, || (now() >= frozen_at + 6).then_some(()));
    let thawed_at = now();
    group.thaw();
    container.says("runs were missed", 1);
    let all = eventually("it runs again", PATIENCE, || lines(before + 4));
    assert!(all.iter().all(|at| *at <= frozen_at || *at >= thawed_at), "{frozen_at} to {thawed_at}: {all:?}");
    let mut each = BTreeMap::new();
    all.iter().for_each(|at| *each.entry(at).or_insert(0) += 1);
    // One that is late on a busy machine, and the next one in time.
    assert!(each.values().all(|runs| *runs <= 2), "{each:?}");
    assert_eq!(container.stop(PATIENCE).0, 0);
}

#[test]
fn a_stop_that_came_while_everything_was_frozen_is_in_order_after_the_thaw() {
    if !can() {
        return;
    }
    let group = Cgroup::new().unwrap();
    let container = Container::new(
        r#"
        stop-timeout = "5s"
        [service.web]
        command = ["sh", "-c", "trap 'sleep 0.3; echo in order; exit 0' TERM; echo up; while :; do sleep 0.05; done"]
        stop-scope = "main"
        "#,
    );
    let mut container = inside(&group, container).start();
    container.says("up\n", 1);
    group.freeze();
    container.signal("TERM");
    let began = Instant::now();
    eventually("the budget is over", PATIENCE, || (began.elapsed() >= Duration::from_secs(3)).then_some(()));
    group.thaw();
    assert_eq!(container.wait(PATIENCE), 0);
    let log = container.log();
    assert!(log.contains("in order\n") && !log.contains("SIGKILL"), "{log}");
    assert_eq!(container.survivors(), [""; 0]);
}

#[test]
fn a_short_freeze_at_its_deadline_does_not_give_a_step_its_whole_time_again() {
    if !need(NEEDS) {
        return;
    }
    for place in PLACES {
        let mut container = Container::new(
            r#"
            [[boot]]
            name = "step"
            command = ["sleep", "1001"]
            timeout = "4s"
            [service.web]
            command = ["true"]
            "#,
        )
        .place(place)
        .start();
        the(&container, "sleep 1001");
        let began = Instant::now();
        let passes = |millis| {
            eventually("time passes", PATIENCE, || {
                (began.elapsed() >= Duration::from_millis(millis)).then_some(())
            })
        };
        passes(3500);
        kill(container.pid(), "STOP");
        passes(4500);
        kill(container.pid(), "CONT");
        assert_eq!(container.wait(PATIENCE), 124);
        // A second was lost at most; another four would make it more than eight.
        assert!(began.elapsed() < Duration::from_secs(8), "{:?}\n{}", began.elapsed(), container.log());
    }
}
