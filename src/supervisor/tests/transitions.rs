//! The table of every state and every event, kept in `transitions.snap` as documentation that cannot rot.
//!
//! Each situation is reached by a short script; each event is then handed to a copy of it. A stale table fails the
//! test; `PHP_INIT_BLESS=1` writes it anew.

use super::super::*;
use super::plans::*;
use super::script::{Names, Script};
use crate::config::plan::{
    CronPlan, GiveUp, KillMode, Overlap, Restart, ServicePlan, Signal, StopScope, Then,
};
use std::fmt::Write as _;
use std::path::Path;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/supervisor/transitions.snap");

const HEAD: &str = "\
# What every state makes of every event. Written by a test: PHP_INIT_BLESS=1 cargo test transitions
#
# Services: `it` has a probe (ready within 30s), stops with QUIT to its main process within 5s, gives up after 2
# restarts, has a liveness probe (3 failures) and takes part in a pause (USR2, CONT); `other` is a plain service that keeps the container alive. Cron entry: `job`, overlap as the heading says.
# A line: event -> state of `it` (or runs of `job`) afterwards: actions. `.` is: nothing changes. Deadline: the next
# one of the situation, whosever it is. Notices are left out.
";

fn subject() -> ServicePlan {
    let give_up = Some(GiveUp { restarts: 2, within: secs(3600), then: Then::Stay });
    ServicePlan {
        ready: Some(ready(secs(30))),
        live: Some(live()),
        pause_signal: Some(Signal::USR2),
        resume_signal: Signal::from_number(18),
        stop_signal: Signal::QUIT,
        stop_scope: StopScope::Main,
        kill_mode: KillMode::All,
        stop_timeout: Some(secs(5)),
        give_up,
        ..service("it")
    }
}

const STARTED: &str = "0 boot => spawn it; spawn other\n 0 spawned other\n 0 spawned it => probe it";
const READY: &str = "2 ready it => unprobe it; watch it";

const STOPPED: &str = "3 ask stop it => unwatch it; QUIT it";
const PAUSED: &str = "3 pause => unwatch it; USR2 it";

/// Name, the plan of the subject, and the script that leads there.
type Situation<T> = (&'static str, T, &'static str);

fn steps(steps: &[&str]) -> &'static str {
    steps.join("\n").leak()
}

/// `it` before and while it is up.
fn rising() -> Vec<Situation<ServicePlan>> {
    let graceful = || ServicePlan { ready: None, ..subject() };
    let waits = ServicePlan { after: vec!["other".into()], ..subject() };
    let oneshot = ServicePlan { restart: Restart::Never, ..subject() };
    let by_signal = ServicePlan { reload_signal: Some(Signal::USR2), ..subject() };
    vec![
        ("STOPPED, before boot", subject(), ""),
        ("STOPPED, waits for other", waits, "0 boot => spawn other\n 0 spawned other"),
        ("STOPPED, the container stops", subject(), "0 stop => count orphans"),
        ("STARTING, asked for", subject(), "0 boot => spawn it; spawn other\n 0 spawned other\n 1 -"),
        ("STARTING, being probed", subject(), steps(&[STARTED, "1 -"])),
        ("STARTING, in its grace", graceful(), "0 boot => spawn it; spawn other\n 0 spawned it"),
        ("RUNNING", subject(), steps(&[STARTED, READY])),
        ("RUNNING, with a reload signal", by_signal, steps(&[STARTED, READY])),
        ("RUNNING, restart = never", oneshot, steps(&[STARTED, READY])),
        (
            "RUNNING, its liveness probe failed twice",
            subject(),
            steps(&[STARTED, READY, "3 sick it\n 4 sick it"]),
        ),
        ("RUNNING, paused", subject(), steps(&[STARTED, READY, PAUSED])),
        ("STARTING, while paused", subject(), steps(&[STARTED, "1 -", "1 pause"])),
        ("STOPPED, held by a pause", subject(), steps(&[STARTED, READY, PAUSED, "4 exit it 0"])),
    ]
}

/// `it` after a failure, and on its way down.
fn falling() -> Vec<Situation<ServicePlan>> {
    vec![
        ("BACKOFF", subject(), steps(&[STARTED, "1 -", "1.1 exit it 1 => unprobe it"])),
        (
            "BACKOFF, its leftovers are being killed",
            subject(),
            steps(&[STARTED, READY, "3 exit it KILL left => kill it; unwatch it"]),
        ),
        (
            "BACKOFF, failed for the second time",
            subject(),
            steps(&[STARTED, READY, "3 exit it 1 => unwatch it; spawn it", "3 nospawn it 71"]),
        ),
        (
            "STARTING, failed twice already",
            subject(),
            steps(&[
                STARTED,
                READY,
                "3 exit it 1 => unwatch it; spawn it",
                "3 nospawn it 71",
                "4 - => spawn it",
                "4 spawned it => probe it",
            ]),
        ),
        ("STOPPING, was not ready in time", subject(), steps(&[STARTED, "30 - => unprobe it; QUIT it"])),
        (
            "STOPPING, to reload",
            subject(),
            steps(&[STARTED, READY, "9 reload => unwatch it; QUIT it; TERM other"]),
        ),
        ("STOPPING, by request", subject(), steps(&[STARTED, READY, STOPPED])),
        ("STOPPED, by request", subject(), steps(&[STARTED, READY, STOPPED, "4 exit it 0"])),
        (
            "STOPPING, its liveness probe failed",
            subject(),
            steps(&[STARTED, READY, "3 sick it\n 4 sick it\n 5 sick it => unwatch it; QUIT it"]),
        ),
        (
            "STOPPING, the container stops",
            subject(),
            steps(&[
                STARTED,
                READY,
                "9 stop => unwatch it; count orphans; TERM other; QUIT it",
                "9 orphans 0",
            ]),
        ),
        (
            "STOPPING, its leftovers have TERM",
            subject(),
            steps(&[
                STARTED,
                READY,
                "9 reload => unwatch it; QUIT it; TERM other",
                "10 exit it 0 left => TERM it group",
            ]),
        ),
        (
            "STOPPING, killed",
            subject(),
            steps(&[
                STARTED,
                READY,
                "9 stop => unwatch it; count orphans; TERM other; QUIT it",
                "9 orphans 0",
                "13 - => TERM it group",
                "14 - => kill it",
            ]),
        ),
        (
            "EXITED",
            ServicePlan { restart: Restart::OnFailure, ..subject() },
            steps(&[STARTED, "1 -", "1.1 exit it 0 => unprobe it"]),
        ),
        (
            "FATAL",
            ServicePlan {
                give_up: Some(GiveUp { restarts: 0, within: secs(60), then: Then::Stay }),
                ..subject()
            },
            steps(&[STARTED, "1 -", "1.1 exit it 1 => unprobe it"]),
        ),
    ]
}

fn runs() -> Vec<Situation<CronPlan>> {
    let entry = |overlap| CronPlan { overlap, timeout: Some(secs(300)), ..cron("job") };
    const ONE: &str =
        "0 boot => spawn other\n 0 spawned other\n 60 due job => spawn job#1\n 60 spawned job#1";
    vec![
        ("job, before boot", entry(Overlap::Allow), ""),
        ("job, no run", entry(Overlap::Allow), "0 boot => spawn other"),
        ("job, a run asked for", entry(Overlap::Allow), "0 boot => spawn other\n 60 due job => spawn job#1"),
        ("job, a run, allow", entry(Overlap::Allow), ONE),
        ("job, as many runs as allowed", CronPlan { max_running: 1, ..entry(Overlap::Allow) }, ONE),
        ("job, a run, skip", entry(Overlap::Skip), ONE),
        ("job, a run, queue", entry(Overlap::Queue), ONE),
        ("job, a run and one queued", entry(Overlap::Queue), steps(&[ONE, "61 due job"])),
        ("job, a run, replace", entry(Overlap::Replace), ONE),
        (
            "job, a run being replaced",
            entry(Overlap::Replace),
            steps(&[ONE, "61 due job => TERM job#1 group"]),
        ),
        ("job, a run beyond its timeout", entry(Overlap::Allow), steps(&[ONE, "360 - => TERM job#1 group"])),
        (
            "job, a run, the container stops",
            entry(Overlap::Queue),
            steps(&[ONE, "70 stop => count orphans; TERM other", "70 orphans 0"]),
        ),
    ]
}

/// The events as the table names them.
fn events(id: Id, deadline: Option<Mono>) -> Vec<(&'static str, Event)> {
    let exited = |status, oom, leftovers| Event::Exited { id, status, oom, leftovers };
    let ask = |verb| Event::Ask { target: Target::One(id), verb };
    let mut events = vec![
        ("boot", Event::Boot),
        ("spawned", Event::Spawned { id, pid: 900 }),
        ("spawn failed 71", Event::SpawnFailed { id, fault: SpawnFault { code: 71 } }),
        ("spawn failed 127", Event::SpawnFailed { id, fault: SpawnFault { code: 127 } }),
        ("exited 0", exited(ExitStatus::Code(0), false, false)),
        ("exited 1", exited(ExitStatus::Code(1), false, false)),
        ("killed, oom, leftovers", exited(ExitStatus::Signal(Signal::KILL), true, true)),
        ("group empty", Event::GroupEmpty { id }),
        ("probe ok", Event::Probe { id, ok: true }),
        ("probe not ok", Event::Probe { id, ok: false }),
        ("due", Event::CronDue { unit: 0 }),
        ("liveness ok", Event::Live { id, ok: true, why: None }),
        ("liveness not ok", Event::Live { id, ok: false, why: None }),
        ("asked to start", ask(Verb::Start)),
        ("asked to stop", ask(Verb::Stop)),
        ("asked to restart", ask(Verb::Restart)),
        ("asked to send USR1", ask(Verb::Signal(Signal::parse("USR1").unwrap()))),
        ("run now", Event::RunNow { unit: 0 }),
        ("pause", Event::Pause),
        ("resume", Event::Resume),
        ("reload", Event::Reload),
        ("stop", Event::Stop),
        ("orphans 0", Event::Orphans { alive: 0 }),
        ("orphans 2", Event::Orphans { alive: 2 }),
        ("frozen for 5 s", Event::Frozen { lost: secs(5) }),
    ];
    if let Some(deadline) = deadline {
        let name = format!("deadline, {}", words::Words(deadline.since_origin()));
        events.push((name.leak(), Event::Deadline));
    }
    events
}

/// What another plan makes of `it`: gone, changed, or with another delay and nothing else.
fn plans(
    core: &Supervisor,
    services: &[ServicePlan],
    now: Mono,
) -> Vec<(&'static str, Supervisor, Vec<Action>)> {
    let same = Replan {
        services,
        retired: &[],
        changed: &[],
        crons: &[cron("job")],
        retired_crons: &[],
        stop_timeout: secs(25),
    };
    let replans = [
        ("plan without it", Replan { retired: &[0], ..same }),
        ("plan that changes it", Replan { changed: &[0], ..same }),
        ("plan as before", same),
    ];
    let after = |(name, plan): (&'static str, Replan<'_>)| {
        let mut core = core.clone();
        let actions = core.replan(&plan, now);
        (name, core, actions)
    };
    replans.into_iter().map(after).collect()
}

fn table(out: &mut String, title: &str, services: &[ServicePlan], crons: &[CronPlan], script: &str, id: Id) {
    let mut situation = Script::new(services, crons);
    situation.play(script);
    let names = Names::new(services, crons);
    let now = situation.now();
    let state = |core: &Supervisor, now| match core.state(id) {
        Some((state, _)) => state.to_string(),
        None if matches!(id, Id::Service { .. }) => "gone".to_owned(),
        None => format!("{} runs", core.snapshot(now).crons[0].runs.len()),
    };
    let before = state(&situation.core, now);
    let _ = writeln!(out, "\n## {title}");
    let mut rows = Vec::new();
    for (name, event) in events(id, situation.core.next_deadline()) {
        let mut core = situation.core.clone();
        let now = if event == Event::Deadline { core.next_deadline().unwrap() } else { now };
        let actions = core.handle(event, now);
        rows.push((name, core, actions, now));
    }
    if matches!(id, Id::Service { .. }) {
        let plans = plans(&situation.core, services, now);
        rows.extend(plans.into_iter().map(|(name, core, actions)| (name, core, actions, now)));
    }
    for (name, core, actions, now) in rows {
        let actions = names.actions(&actions).join("; ");
        let after = state(&core, now);
        let line = match (after == before, actions.as_str()) {
            (true, "") => format!("{name:<24} ."),
            (_, "") => format!("{name:<24} -> {after}"),
            (_, actions) => format!("{name:<24} -> {after}: {actions}"),
        };
        let _ = writeln!(out, "{line}");
    }
}

#[test]
fn every_state_and_every_event_are_in_the_table() {
    let mut snap = HEAD.to_owned();
    for (title, plan, script) in rising().into_iter().chain(falling()) {
        let id = Id::Service { unit: 0, instance: 0 };
        table(&mut snap, title, &[plan, service("other")], &[cron("job")], script, id);
    }
    for (title, plan, script) in runs() {
        let id = Id::Run { unit: 0, run: 1 };
        table(&mut snap, title, &[service("other")], &[plan], script, id);
    }
    for state in ["STOPPED", "STARTING", "RUNNING", "BACKOFF", "STOPPING", "EXITED", "FATAL"] {
        assert!(snap.contains(&format!("\n## {state}")), "{state} has no table");
    }
    if std::env::var_os("PHP_INIT_BLESS").is_some() {
        std::fs::write(PATH, &snap).unwrap();
    }
    let kept = std::fs::read_to_string(Path::new(PATH)).unwrap_or_default();
    let changed = snap.lines().zip(kept.lines()).find(|(new, old)| new != old);
    assert!(kept == snap, "transitions.snap is stale: {changed:?}; PHP_INIT_BLESS=1 writes it anew");
}
