//! PURE: status and timeline as OpenMetrics.
//!
//! Names begin with `php_init_`; those of the process itself are the ones that every client library has.

use super::exposition::{Exposition, Kind};
use super::fpm_status::{Pool, Told};
use super::own::Own;
use crate::control::protocol::{Cron, Phase, Service, SpanKind, Status, Timeline};
use std::collections::BTreeMap;

/// supervisord's words.
const STATES: [&str; 7] = ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL"];
const PHASES: [Phase; 6] =
    [Phase::Booting, Phase::Migrating, Phase::OneOff, Phase::Running, Phase::Reloading, Phase::Stopping];

/// Everything that is known, as text.
pub fn render(status: &Status, timeline: &Timeline, pools: &[Pool], own: &Own) -> String {
    let mut out = Exposition::default();
    whole(&mut out, status);
    services(&mut out, &status.services);
    crons(&mut out, &status.crons);
    logs(&mut out, status);
    fpm(&mut out, pools);
    boot(&mut out, timeline);
    ecs(&mut out, &status.ecs);
    process(&mut out, status, own);
    out.finish()
}

fn whole(out: &mut Exposition, status: &Status) {
    out.family(Kind::Info, "php_init_build", "The running init.")
        .sample(&[("version", &status.version), ("preset", &status.preset)], 1);
    let phases: Vec<&str> = PHASES.iter().map(|phase| phase_name(*phase)).collect();
    out.family(Kind::StateSet, "php_init_phase", "What the container is doing.").states(
        &[],
        &phases,
        phase_name(status.phase),
    );
    out.family(Kind::Gauge, "php_init_uptime_seconds", "Since init began.")
        .sample(&[], seconds(status.uptime_ms));
    out.family(Kind::Gauge, "php_init_ready", "Whether /readyz says yes.")
        .sample(&[], u8::from(status.ready));
    out.family(Kind::Gauge, "php_init_paused", "Whether the schedule and the workers are paused.")
        .sample(&[], u8::from(status.paused));
    out.family(Kind::Counter, "php_init_orphans_reaped", "Processes without a parent that init has reaped.")
        .sample(&[], status.orphans_reaped);
}

fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Booting => "booting",
        Phase::Migrating => "migrating",
        Phase::OneOff => "one-off",
        Phase::Running => "running",
        Phase::Reloading => "reloading",
        Phase::Stopping => "stopping",
    }
}

/// Milliseconds as seconds.
#[expect(clippy::cast_precision_loss, reason = "exact for three hundred thousand years")]
fn seconds(ms: u64) -> f64 {
    ms as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "exact for three hundred thousand years")]
fn moment(ms: i64) -> f64 {
    ms as f64 / 1000.0
}

/// The labels of each instance.
fn of_each(services: &[Service]) -> impl Iterator<Item = (Vec<(&'static str, String)>, &Service)> {
    services.iter().map(|service| {
        (vec![("service", service.service.clone()), ("instance", service.instance.to_string())], service)
    })
}

fn borrowed<'a>(labels: &'a [(&'static str, String)]) -> Vec<(&'a str, &'a str)> {
    labels.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn services(out: &mut Exposition, services: &[Service]) {
    let mut family = out.family(Kind::StateSet, "php_init_service_state", "The state of each instance.");
    for (labels, service) in of_each(services) {
        family.states(&borrowed(&labels), &STATES, &service.state);
    }
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Service) -> Option<f64>| {
        let mut family = out.family(Kind::Gauge, name, help);
        for (labels, service) in of_each(services) {
            family.maybe(&borrowed(&labels), value(service));
        }
    };
    let switch = |on: bool| Some(f64::from(u8::from(on)));
    gauge("php_init_service_wanted", "Whether the instance should be up.", &|service| switch(service.wanted));
    gauge("php_init_service_uptime_seconds", "Since the instance's process was started.", &|service| {
        service.uptime_ms.map(seconds)
    });
    gauge("php_init_service_state_age_seconds", "Since the instance has been in its state.", &|service| {
        Some(seconds(service.since_ms))
    });
    gauge(
        "php_init_service_backoff_seconds",
        "Until the next start of an instance in BACKOFF.",
        &|service| service.retry_in_ms.map(seconds),
    );
    gauge("php_init_service_failures_in_a_row", "Failures since the last good run.", &|service| {
        Some(f64::from(service.failures))
    });
    gauge("php_init_service_alive", "The verdict of the liveness probe.", &|service| {
        service.alive.and_then(switch)
    });
    gauge("php_init_service_degraded", "Whether it answers, but not as well as it should.", &|service| {
        switch(service.degraded.is_some())
    });
    let mut family = out.family(
        Kind::Counter,
        "php_init_service_degraded_probes",
        "Liveness probes that found the instance degraded.",
    );
    for (labels, service) in of_each(services) {
        family.maybe(&borrowed(&labels), service.degraded_attempts);
    }
    restarts(out, services);
}

fn restarts(out: &mut Exposition, services: &[Service]) {
    let mut family =
        out.family(Kind::Counter, "php_init_service_restarts", "Starts after the first one, by cause.");
    for (labels, service) in of_each(services) {
        let mut labels = borrowed(&labels);
        for (cause, count) in &service.restarts_by_cause {
            labels.push(("cause", cause));
            family.sample(&labels, count);
            labels.pop();
        }
        // What no cause is known of.
        let known = service.restarts_by_cause.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
        let rest = service.restarts.saturating_sub(known);
        if rest > 0 || service.restarts_by_cause.is_empty() {
            labels.push(("cause", "other"));
            family.sample(&labels, rest);
        }
    }
}

fn crons(out: &mut Exposition, crons: &[Cron]) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&Cron) -> Option<f64>| {
        let mut family = out.family(Kind::Gauge, name, help);
        for cron in crons {
            family.maybe(&[("cron", &cron.name)], value(cron));
        }
    };
    gauge("php_init_cron_running", "Runs that go on.", &|cron| {
        Some(f64::from(u32::try_from(cron.running.len()).unwrap_or(u32::MAX)))
    });
    gauge("php_init_cron_next_run_timestamp_seconds", "When the entry is due next.", &|cron| {
        cron.next_ms.map(moment)
    });
    gauge("php_init_cron_last_run_lag_seconds", "How late the last run started.", &|cron| {
        cron.lag_ms.map(seconds)
    });
    gauge("php_init_cron_last_run_duration_seconds", "How long the last run took.", &|cron| {
        cron.last_took_ms.map(seconds)
    });
    gauge("php_init_cron_last_run_age_seconds", "Since the last run ended.", &|cron| {
        cron.last_ago_ms.map(seconds)
    });
    let mut family = out.family(Kind::Counter, "php_init_cron_runs", "Runs by outcome.");
    for cron in crons {
        for (outcome, count) in &cron.outcomes {
            family.sample(&[("cron", &cron.name), ("outcome", outcome)], count);
        }
    }
}

fn logs(out: &mut Exposition, status: &Status) {
    let log = status.log;
    out.family(Kind::Counter, "php_init_log_lines", "Lines of processes that were relayed.")
        .sample(&[], log.lines);
    out.family(Kind::Counter, "php_init_log_bytes", "Bytes of processes that were relayed.")
        .sample(&[], log.bytes);
    out.family(
        Kind::Counter,
        "php_init_log_dropped_lines",
        "Lines that were lost, since the log was not read.",
    )
    .sample(&[], log.dropped_lines);
}

fn fpm(out: &mut Exposition, pools: &[Pool]) {
    let labels = |pool: &Pool| [("service", pool.service.clone()), ("pool", pool.name.clone())];
    let mut up = out.family(Kind::Gauge, "php_init_fpm_up", "Whether the pool told its status in time.");
    for pool in pools {
        up.sample(&borrowed(&labels(pool)), u8::from(pool.told.is_some()));
    }
    let mut processes = out.family(Kind::Gauge, "php_init_fpm_processes", "Workers of the pool.");
    for pool in pools {
        let own = labels(pool);
        for (state, count) in pool.told.iter().flat_map(|told| [("active", told.active), ("idle", told.idle)])
        {
            let labels: Vec<_> = borrowed(&own).into_iter().chain([("state", state)]).collect();
            processes.sample(&labels, count);
        }
    }
    let mut each = |kind: Kind, name: &str, help: &str, value: &dyn Fn(&Told) -> u64| {
        let mut family = out.family(kind, name, help);
        for pool in pools {
            family.maybe(&borrowed(&labels(pool)), pool.told.as_ref().map(value));
        }
    };
    use Kind::{Counter, Gauge};
    each(Gauge, "php_init_fpm_max_active_processes", "The most workers that were busy at a time.", &|told| {
        told.most_active
    });
    each(Gauge, "php_init_fpm_listen_queue", "Requests that wait for a worker.", &|told| told.queue);
    each(Gauge, "php_init_fpm_max_listen_queue", "The most requests that waited at a time.", &|told| {
        told.most_queue
    });
    each(Gauge, "php_init_fpm_listen_queue_limit", "How many requests may wait.", &|told| told.queue_limit);
    each(Gauge, "php_init_fpm_uptime_seconds", "Since the pool was started or reloaded.", &|told| told.since);
    each(Counter, "php_init_fpm_accepted_connections", "Requests that the pool has accepted.", &|told| {
        told.accepted
    });
    each(Counter, "php_init_fpm_max_children_reached", "How often pm.max_children was reached.", &|told| {
        told.children_reached
    });
    each(Counter, "php_init_fpm_slow_requests", "Requests beyond request_slowlog_timeout.", &|told| {
        told.slow
    });
}

fn boot(out: &mut Exposition, timeline: &Timeline) {
    // By name: a file may be fetched twice, and no two samples may have the same labels.
    let mut last = BTreeMap::new();
    for span in &timeline.spans {
        last.insert((kind_name(span.kind), span.name.as_str()), span);
    }
    let mut durations =
        out.family(Kind::Gauge, "php_init_boot_step_duration_seconds", "How long a part of the boot took.");
    for ((kind, name), span) in &last {
        let took = span.end_ms.map(|end| seconds(end.saturating_sub(span.start_ms)));
        durations.maybe(&[("kind", kind), ("step", name)], took);
    }
    let mut oks = out.family(Kind::Gauge, "php_init_boot_step_ok", "Whether a part of the boot ended well.");
    for ((kind, name), span) in last.iter().filter(|(_, span)| span.end_ms.is_some()) {
        oks.sample(&[("kind", kind), ("step", name)], u8::from(span.ok));
    }
    out.family(
        Kind::Gauge,
        "php_init_boot_duration_seconds",
        "From init's start until all was ready, or until now.",
    )
    .sample(&[], seconds(timeline.total_ms));
}

fn kind_name(kind: SpanKind) -> &'static str {
    match kind {
        SpanKind::Init => "init",
        SpanKind::Fetch => "fetch",
        SpanKind::Step => "step",
        SpanKind::Service => "service",
    }
}

fn ecs(out: &mut Exposition, facts: &BTreeMap<String, String>) {
    let protected = facts.get("protected").map(|text| u8::from(text == "true"));
    out.family(Kind::Gauge, "php_init_ecs_task_protected", "Whether the task is protected from scale-in.")
        .maybe(&[], protected);
    let names: Vec<(String, &String)> = facts
        .iter()
        .filter(|(name, _)| *name != "protected")
        .map(|(name, value)| (name.replace('-', "_"), value))
        .collect();
    let labels: Vec<(&str, &str)> =
        names.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if !labels.is_empty() {
        out.family(Kind::Info, "php_init_ecs_task", "What ECS tells of the task.").sample(&labels, 1);
    }
}

fn process(out: &mut Exposition, status: &Status, own: &Own) {
    if let Some(reload) = &status.last_reload {
        out.family(Kind::Gauge, "php_init_last_reload_ok", "Whether the last reload went well.")
            .sample(&[], u8::from(reload.ok));
        out.family(Kind::Gauge, "php_init_last_reload_age_seconds", "Since the last reload.")
            .sample(&[], seconds(reload.ago_ms));
    }
    out.family(Kind::Gauge, "process_resident_memory_bytes", "init's own memory.")
        .maybe(&[], own.resident_bytes);
    out.family(Kind::Gauge, "process_open_fds", "init's own open files.").maybe(&[], own.open_files);
    out.family(Kind::Counter, "process_cpu_seconds", "init's own processor time.")
        .maybe(&[], own.cpu_seconds);
    let started =
        i64::try_from(status.uptime_ms).ok().map(|uptime| moment(own.now_ms.saturating_sub(uptime)));
    out.family(Kind::Gauge, "process_start_time_seconds", "When init began.").maybe(&[], started);
}

#[cfg(test)]
#[path = "metrics_tests.rs"]
mod tests;
