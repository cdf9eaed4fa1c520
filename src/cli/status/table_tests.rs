//! What the table looks like, line by line.

use super::table::{Moment, render};
use crate::cli::look::Look;
use crate::control::protocol::{Cron, LogCounters, Phase, Reloaded, Run, Service, Status};
use jiff::tz::TimeZone;

/// 2026-11-22T13:59:20 in Berlin.
const NOW: i64 = 1_795_352_360_000;

fn moment() -> Moment {
    Moment { now_ms: NOW, zone: TimeZone::get("Europe/Berlin").unwrap() }
}

fn terminal(width: usize) -> Look {
    Look { terminal: true, width: Some(width), ..Look::PLAIN }
}

fn service(name: &str, state: &str) -> Service {
    let up = matches!(state, "RUNNING" | "STARTING" | "STOPPING");
    Service {
        name: name.into(),
        service: name.into(),
        state: state.into(),
        wanted: true,
        since_ms: 310_000,
        pid: up.then_some(12),
        uptime_ms: up.then_some(310_000),
        ..Service::default()
    }
}

fn services() -> Vec<Service> {
    vec![
        Service { degraded: Some("every worker is busy".into()), ..service("php-fpm", "RUNNING") },
        Service {
            restarts: 4,
            restarts_by_cause: [("exit".into(), 3), ("oom".into(), 1)].into(),
            last_exit: Some("killed by SIGKILL after 3m05s: out of memory: the kernel's OOM killer struck, the container is at its memory limit".into()),
            ..service("queue:0", "RUNNING")
        },
        Service {
            retry_in_ms: Some(3200),
            failures: 2,
            restarts: 2,
            restarts_by_cause: [("exit".into(), 2)].into(),
            last_exit: Some("exited 1 after 200ms".into()),
            ..service("queue:1", "BACKOFF")
        },
        Service { waits_for: Some("php-fpm".into()), ..service("mail", "STOPPED") },
        Service {
            wanted: false,
            last_exit: Some("killed by SIGTERM after 2h04m".into()),
            ..service("reverb", "STOPPED")
        },
        Service { alive: Some(false), paused: true, ..service("horizon", "RUNNING") },
    ]
}

fn crons() -> Vec<Cron> {
    vec![
        Cron {
            name: "schedule".into(),
            schedule: "* * * * *".into(),
            next_ms: Some(NOW + 40_000),
            running: vec![Run { pid: Some(99), age_ms: 3200 }],
            last_exit: Some("exited 0 after 1.4s".into()),
            last_ago_ms: Some(18_000),
            outcomes: [("ok".into(), 120)].into(),
            ..Cron::default()
        },
        Cron {
            name: "report".into(),
            schedule: "30 6 * * mon-fri".into(),
            next_ms: Some(NOW + 59_440_000),
            last_exit: Some("exited 1 after 12s".into()),
            last_ago_ms: Some(86_400_000),
            lag_ms: Some(12_000),
            outcomes: [("ok".into(), 3), ("failed".into(), 1)].into(),
            ..Cron::default()
        },
    ]
}

fn status() -> Status {
    Status {
        v: 1,
        version: "0.2.0".into(),
        pid: 1,
        phase: Phase::Running,
        uptime_ms: 7_450_000,
        preset: "laravel".into(),
        role: Some("worker".into()),
        paused: true,
        services: services(),
        crons: crons(),
        orphans_reaped: 1,
        log: LogCounters { lines: 12_345, bytes: 1_234_567, dropped_lines: 2 },
        last_reload: Some(Reloaded { ok: true, ago_ms: 185_000, text: "1 file changed".into() }),
        ecs: [("family".into(), "shop".into()), ("zone".into(), "eu-west-1a".into())].into(),
        ..Status::default()
    }
}

#[test]
fn a_terminal_of_80_columns() {
    let expected = "\
init 0.2.0: running, not ready, up 2:04:10, role worker, preset laravel, pid 1,
  paused

php-fpm   RUNNING   pid 12, uptime 0:05:10, degraded: every worker is busy
queue:0   RUNNING   pid 12, uptime 0:05:10, 4 restarts (3 exit, 1 oom),
                    last killed by SIGKILL after 3m05s: out of memory: the
                    kernel's OOM killer struck, the container is at its memory
                    limit
queue:1   BACKOFF   next start in 3.2s, 2 failures in a row, 2 restarts (exit),
                    last exited 1 after 200ms
mail      STOPPED   waits for php-fpm
reverb    STOPPED   for 5m10s, last killed by SIGTERM after 2h04m
horizon   RUNNING   pid 12, uptime 0:05:10, paused, its liveness probe fails

schedule  cron      pid 99, running for 3.2s, next 14:00 (in 40s): * * * * *,
                    last exited 0 after 1.4s (18s ago)
report    cron      next Mon 23 Nov 06:30 (in 16h30m): 30 6 * * mon-fri,
                    last exited 1 after 12s (1d ago), started 12s late, 1 failed

reload    done 3m05s ago: 1 file changed
ecs       family shop, zone eu-west-1a
log       12345 lines relayed, 1.2 MB, 2 lines dropped
reaped    1 orphan
";
    assert_eq!(render(&status(), false, &terminal(80), &moment()), expected);
}

#[test]
fn a_pipe_gets_a_line_for_each_and_no_colours() {
    let text = render(&status(), false, &Look::PLAIN, &moment());
    for name in ["php-fpm", "queue:0", "queue:1", "mail", "schedule", "report"] {
        assert_eq!(text.lines().filter(|line| line.starts_with(name)).count(), 1, "{name}\n{text}");
    }
    assert!(!text.lines().any(|line| line.starts_with(' ')) && !text.contains('\u{1b}'), "{text}");
    let chosen = render(&status(), true, &Look::PLAIN, &moment());
    assert!(chosen.starts_with("php-fpm ") && !chosen.contains("init 0.2.0"), "{chosen}");
}

#[test]
fn colours_change_nothing_else() {
    let coloured = render(&status(), false, &Look { colour: true, ..terminal(80) }, &moment());
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    let tidy = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
    assert_eq!(tidy(&plain), tidy(&render(&status(), false, &terminal(80), &moment())));
    assert!(coloured.contains("\u{1b}[32mRUNNING"), "{coloured}");
}

#[test]
fn no_terminal_is_too_narrow_and_no_line_too_wide() {
    for width in [20, 33, 40, 60, 79, 132] {
        let text = render(&status(), false, &terminal(width), &moment());
        for line in text.lines().filter(|line| line.chars().count() > width) {
            // Only one word that is wider itself, or a name with its state.
            assert!(width < 33, "{width}: {line}");
        }
    }
}

#[test]
fn what_init_says_cannot_drive_the_terminal() {
    let evil = "\u{1b}[2J\u{1b}]0;x\u{7}\r\n\u{9b}H\u{202e}";
    let mut status = status();
    let text = || evil.to_owned();
    status.version = text();
    status.preset = text();
    status.role = Some(text());
    status.ecs = [(text(), text())].into();
    status.last_reload = Some(Reloaded { ok: false, ago_ms: 1, text: text() });
    for service in &mut status.services {
        service.name = text();
        service.state = text();
        service.last_exit = Some(text());
        service.degraded = Some(text());
        service.restarts_by_cause = [(text(), 1), (text() + "2", 1)].into();
        service.restarts = 2;
    }
    status.services[3].waits_for = Some(text());
    for cron in &mut status.crons {
        cron.name = text();
        cron.schedule = text();
        cron.last_exit = Some(text());
        cron.outcomes = [(text(), 1)].into();
    }
    let shown = render(&status, false, &terminal(80), &moment());
    let letters = |c: char| !c.is_control() && c != '\u{202e}' || c == '\n';
    assert!(shown.chars().all(letters), "{shown:?}");
}

#[test]
fn the_fields_of_the_json_stay() {
    let status = Status { services: vec![service("a", "RUNNING")], crons: crons()[..1].to_vec(), ..status() };
    let expected = concat!(
        "{\"v\":1,\"version\":\"0.2.0\",\"pid\":1,\"phase\":\"running\",\"uptime_ms\":7450000,\"preset\":\"laravel\",",
        "\"role\":\"worker\",\"paused\":true,\"ready\":false,\"services\":[{\"name\":\"a\",\"service\":\"a\",\"instance\":0,",
        "\"state\":\"RUNNING\",\"wanted\":true,\"essential\":false,\"pid\":12,\"since_ms\":310000,\"uptime_ms\":310000,",
        "\"restarts\":0,\"restarts_by_cause\":{},\"failures\":0,\"paused\":false}],\"crons\":[{\"name\":\"schedule\",",
        "\"schedule\":\"* * * * *\",\"next_ms\":1795352400000,\"running\":[{\"pid\":99,\"age_ms\":3200}],",
        "\"last_exit\":\"exited 0 after 1.4s\",\"last_ago_ms\":18000,\"outcomes\":{\"ok\":120}}],\"orphans_reaped\":1,",
        "\"log\":{\"lines\":12345,\"bytes\":1234567,\"dropped_lines\":2},\"last_reload\":{\"ok\":true,\"ago_ms\":185000,",
        "\"text\":\"1 file changed\"},\"ecs\":{\"family\":\"shop\",\"zone\":\"eu-west-1a\"}}"
    );
    assert_eq!(serde_json::to_string(&status).unwrap(), expected);
}
