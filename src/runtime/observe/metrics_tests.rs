use super::*;
use crate::control::protocol::{LogCounters, Reloaded, Run, Span};

fn pairs<V: Clone>(list: &[(&str, V)]) -> BTreeMap<String, V> {
    list.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

fn status() -> Status {
    let web = Service {
        name: "php-fpm".into(),
        service: "php-fpm".into(),
        state: "RUNNING".into(),
        wanted: true,
        uptime_ms: Some(1500),
        since_ms: 1400,
        alive: Some(true),
        degraded: Some("every worker is busy".into()),
        degraded_attempts: Some(3),
        ..Service::default()
    };
    let queue = Service {
        name: "queue:1".into(),
        service: "queue".into(),
        instance: 1,
        state: "BACKOFF".into(),
        wanted: true,
        restarts: 5,
        restarts_by_cause: pairs(&[("exit", 3), ("oom", 1)]),
        failures: 2,
        retry_in_ms: Some(750),
        ..Service::default()
    };
    let cron = Cron {
        name: "sche\"dule".into(),
        next_ms: Some(1_795_303_680_500),
        running: vec![Run::default()],
        lag_ms: Some(3),
        last_took_ms: Some(2100),
        last_ago_ms: Some(60_000),
        outcomes: pairs(&[("ok", 7), ("failed", 1)]),
        ..Cron::default()
    };
    Status {
        version: "0.1.0".into(),
        phase: Phase::Running,
        uptime_ms: 61_500,
        preset: "laravel".into(),
        ready: true,
        services: vec![web, queue],
        crons: vec![cron],
        orphans_reaped: 4,
        log: LogCounters { lines: 10, bytes: 1000, dropped_lines: 2 },
        last_reload: Some(Reloaded { ok: true, ago_ms: 2000, text: String::new() }),
        ecs: pairs(&[
            ("task", "abc".to_owned()),
            ("launch-type", "FARGATE".to_owned()),
            ("protected", "true".to_owned()),
        ]),
        ..Status::default()
    }
}

fn timeline() -> Timeline {
    let span =
        |name: &str, kind, start_ms, end_ms, ok| Span { name: name.into(), kind, start_ms, end_ms, ok };
    Timeline {
        spans: vec![
            span("optimize", SpanKind::Step, 10, Some(1010), true),
            span("env", SpanKind::Fetch, 0, Some(5), false),
            span("env", SpanKind::Fetch, 6, Some(9), true),
            span("queue", SpanKind::Service, 1011, None, true),
        ],
        total_ms: 1200,
    }
}

fn pools() -> Vec<Pool> {
    let told = Told { accepted: 5, active: 4, idle: 3, children_reached: 8, ..Told::default() };
    let pool = |name: &str, told| Pool { service: "php-fpm".into(), name: name.into(), told };
    vec![pool("api", None), pool("www", Some(told))]
}

fn text() -> String {
    let own = Own {
        now_ms: 1_795_303_680_000,
        resident_bytes: Some(2_097_152),
        open_files: Some(12),
        cpu_seconds: Some(0.25),
    };
    render(&status(), &timeline(), &pools(), &own)
}

#[test]
fn everything_that_is_known_is_told() {
    let text = text();
    for line in [
        "php_init_build_info{version=\"0.1.0\",preset=\"laravel\"} 1",
        "php_init_phase{php_init_phase=\"running\"} 1",
        "php_init_phase{php_init_phase=\"stopping\"} 0",
        "php_init_uptime_seconds 61.5",
        "php_init_orphans_reaped_total 4",
        "php_init_service_state{service=\"queue\",instance=\"1\",php_init_service_state=\"BACKOFF\"} 1",
        "php_init_service_state{service=\"queue\",instance=\"1\",php_init_service_state=\"RUNNING\"} 0",
        "php_init_service_restarts_total{service=\"php-fpm\",instance=\"0\",cause=\"other\"} 0",
        "php_init_service_restarts_total{service=\"queue\",instance=\"1\",cause=\"exit\"} 3",
        "php_init_service_restarts_total{service=\"queue\",instance=\"1\",cause=\"other\"} 1",
        "php_init_service_backoff_seconds{service=\"queue\",instance=\"1\"} 0.75",
        "php_init_service_failures_in_a_row{service=\"queue\",instance=\"1\"} 2",
        "php_init_service_alive{service=\"php-fpm\",instance=\"0\"} 1",
        "php_init_service_degraded{service=\"php-fpm\",instance=\"0\"} 1",
        "php_init_service_degraded_probes_total{service=\"php-fpm\",instance=\"0\"} 3",
        "php_init_cron_next_run_timestamp_seconds{cron=\"sche\\\"dule\"} 1795303680.5",
        "php_init_cron_last_run_duration_seconds{cron=\"sche\\\"dule\"} 2.1",
        "php_init_cron_runs_total{cron=\"sche\\\"dule\",outcome=\"failed\"} 1",
        "php_init_log_dropped_lines_total 2",
        "php_init_fpm_up{service=\"php-fpm\",pool=\"api\"} 0",
        "php_init_fpm_processes{service=\"php-fpm\",pool=\"www\",state=\"active\"} 4",
        "php_init_fpm_max_children_reached_total{service=\"php-fpm\",pool=\"www\"} 8",
        "php_init_boot_step_duration_seconds{kind=\"step\",step=\"optimize\"} 1",
        "php_init_boot_step_duration_seconds{kind=\"fetch\",step=\"env\"} 0.003",
        "php_init_boot_step_ok{kind=\"fetch\",step=\"env\"} 1",
        "php_init_ecs_task_info{launch_type=\"FARGATE\",task=\"abc\"} 1",
        "php_init_ecs_task_protected 1",
        "php_init_last_reload_ok 1",
        "process_open_fds 12",
        "process_cpu_seconds_total 0.25",
        "process_start_time_seconds 1795303618.5",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
    assert!(!text.contains("service_backoff_seconds{service=\"php-fpm\""), "it is not in BACKOFF");
    assert!(!text.contains("step=\"queue\""), "what goes on has no duration");
    assert!(text.ends_with("\n# EOF\n"));
}

#[test]
fn no_family_comes_twice_and_no_sample_either() {
    let text = text();
    let mut seen = std::collections::HashSet::new();
    for line in text.lines().filter(|line| !line.starts_with("# UNIT") && !line.starts_with("# HELP")) {
        let key = line.rsplit_once(' ').map_or(line, |(key, _)| key);
        assert!(seen.insert(key), "{line}");
    }
}
