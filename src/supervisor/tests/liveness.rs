//! Scenarios: the liveness probe, and readiness that wants several answers.

use super::plans::*;
use super::script::Script;
use crate::config::plan::{LivePlan, ReadyPlan, Restart, ServicePlan, Signal};

fn watched() -> ServicePlan {
    ServicePlan { live: Some(live()), ..service("web") }
}

const UP: &str = "0 boot => spawn web\n 0 spawned web\n 1 - => watch web";

fn up(plan: ServicePlan) -> Script {
    let mut script = Script::new(&[plan], &[]);
    script.play(UP);
    script
}

#[test]
fn failures_in_a_row_restart_it_as_a_failure() {
    let mut script = up(watched());
    script.play(
        "10   sick web
         20   sick web
         30   alive web
         40   sick web
         50   sick web
         60   sick web          => unwatch web; TERM web
           = web STOPPING
           ! warn web: liveness probe failed 3 times: no answer; sent SIGTERM to it
         61   sick web
         62   exit web 0        => spawn web
           ! warn web: liveness probe failed 3 times: no answer; restarting at once
         62   spawned web
         62   sick web
         63   -                 => watch web
         64   sick web
         65   sick web
         66   sick web          => unwatch web; TERM web
         67   exit web 0
           = web BACKOFF
           ! liveness probe failed 3 times: no answer; restarting in 1s (2 failures in a row)",
    );
    let status = &script.core.snapshot(script.now()).instances[0];
    let causes: Vec<_> = status.restarts.by_cause().map(|(cause, count)| (cause.name(), count)).collect();
    assert_eq!((causes.as_slice(), status.alive), ([("liveness", 1)].as_slice(), Some(false)));
}

#[test]
fn it_is_alive_once_its_probe_has_said_so() {
    let plan = LivePlan { successes: 2, failures: 2, ..live() };
    let mut script = up(ServicePlan { live: Some(plan), ..service("web") });
    let alive = |script: &Script| script.core.snapshot(script.now()).instances[0].alive;
    assert_eq!(alive(&script), None);
    script.play("10 alive web");
    assert_eq!(alive(&script), None);
    script.play("20 alive web\n 30 sick web");
    assert_eq!(alive(&script), Some(true), "one failure is no verdict");
    // One success does not make up for a failure.
    script.play("40 alive web\n 50 sick web => unwatch web; TERM web");
    assert_eq!(alive(&script), Some(false));
    script.play("51 exit web 0 => spawn web");
    assert_eq!(alive(&script), None, "the next run has not been asked");
}

#[test]
fn one_run_is_enough_for_never() {
    let never = ServicePlan { restart: Restart::Never, ..watched() };
    let mut script = Script::new(&[never, service("other")], &[]);
    script.play(
        "0  boot => spawn web; spawn other
         0  spawned web
         0  spawned other
         1  -    => watch web
         2  sick web
         3  sick web
         4  sick web    => unwatch web; TERM web
         5  exit web 0
           = web EXITED
           ! error web: liveness probe failed 3 times: no answer",
    );
}

#[test]
fn nobody_is_asked_during_a_stop_a_pause_or_after_the_end() {
    let (pause_signal, resume_signal) = (Some(Signal::USR2), Signal::from_number(18));
    up(ServicePlan { pause_signal, resume_signal, ..watched() }).play(
        "2    sick web
         3    sick web
         4    pause            => unwatch web; USR2 web
         5    sick web
         6    resume           => CONT web; watch web
         7    sick web
         8    exit web 1       => unwatch web; spawn web
         8    spawned web
         9    -                => watch web
         10   stop             => unwatch web; count orphans; TERM web
         11   sick web",
    );
}

#[test]
fn ready_may_want_several_successes_in_a_row() {
    let ready = ReadyPlan { successes: 3, ..ready(secs(30)) };
    let plan = ServicePlan { ready: Some(ready), ..service("web") };
    Script::new(&[plan], &[]).play(
        "0    boot             => spawn web
         0    spawned web      => probe web
         1    ready web
         2    ready web
         3    notready web
         4    ready web
         5    ready web
           = web STARTING
         6    ready web        => unprobe web
           = web RUNNING",
    );
}
