//! Scenarios: requests, runs on request, pauses.

use super::super::*;
use super::plans::*;
use super::script::Script;
use crate::config::plan::{CronPlan, GiveUp, Overlap, Restart, Signal, Then};

/// Two services that are RUNNING, one after the other.
fn up(one: ServicePlan, other: ServicePlan) -> Script {
    let mut script = Script::new(&[one, other], &[]);
    script.play(
        "0  boot          => spawn one; spawn other
         0  spawned one
         0  spawned other
         1  -
           = one RUNNING, other RUNNING",
    );
    script
}

#[test]
fn what_somebody_stops_stays_down_until_somebody_starts_it() {
    let essential = ServicePlan { essential: true, ..service("one") };
    up(essential, service("other")).play(
        "10   ask stop one       => TERM one
           = one STOPPING
           ! info one: stopping: asked to
         10.2 ask stop one
         11   exit one 0
           = one STOPPED
           ! info one: stopped in 1s
         900  ask stop one
           = one STOPPED
         901  ask start one      => spawn one
         901  spawned one
         901  ask start one
         902  -
           = one RUNNING",
    );
}

#[test]
fn a_container_whose_services_were_all_stopped_goes_on() {
    let essential = ServicePlan { essential: true, ..service("one") };
    up(essential, service("other")).play(
        "10   ask stop all        => TERM other; TERM one
         11   exit one 0
         11   exit other 0
           = one STOPPED, other STOPPED
         99   ask start all       => spawn one; spawn other
         99   spawned one
         99   spawned other
         110  stop                => count orphans; TERM other; TERM one
         110  ask start all
         110  ask restart one",
    );
}

#[test]
fn nobody_fails_with_what_was_stopped_and_nobody_waits_for_it() {
    let dependent = ServicePlan { requires: vec!["one".into()], ..service("other") };
    let mut script = Script::new(&[service("one"), dependent], &[]);
    script.play(
        "0    boot             => spawn one
         0    spawned one
         1    -                => spawn other
         1    spawned other
         9    ask stop one     => TERM one
         9    exit one 0
         10   exit other 1     => spawn other
         10   spawned other
         20   ask restart other => TERM other
           ! info other: restarting: asked to
         20   exit other 0     => spawn other
           ! starting it again
         20   spawned other
         30   ask restart all  => TERM other; spawn one
         30   exit other TERM
           = other STOPPED
         30   spawned one
         31   -                => spawn other",
    );
}

#[test]
fn a_stop_that_takes_too_long_ends_with_kill() {
    let plan = ServicePlan { stop_timeout: Some(secs(5)), ..service("one") };
    up(plan, service("other")).play(
        "10   ask stop one     => TERM one
         14   -                => TERM one group
         15   -                => kill one
         15   exit one KILL
           = one STOPPED
           ! ended by SIGKILL after 5s",
    );
}

#[test]
fn a_start_forgets_failures_and_brings_up_what_failed_for_good() {
    let give_up = Some(GiveUp { restarts: 1, within: secs(600), then: Then::Stay });
    up(ServicePlan { give_up, ..service("one") }, service("other")).play(
        "5    exit one 1       => spawn one
         5    spawned one
         5.1  exit one 1
           = one FATAL
         20   ask start one    => spawn one
         20   spawned one
         22   exit one 1       => spawn one
           ! restarting at once
         22   nospawn one 127
           = one FATAL
         30   ask stop one
           = one STOPPED
           ! stays down: asked to
         31   ask restart one  => spawn one",
    );
}

#[test]
fn a_pending_restart_is_brought_forward_or_dropped() {
    up(service("one"), service("other")).play(
        "5    exit one 1       => spawn one
         5    nospawn one 71
           = one BACKOFF
         5.2  ask start one    => spawn one
         5.2  nospawn one 71
           = one BACKOFF
         5.3  ask stop one
           = one STOPPED
         99   ask restart one  => spawn one",
    );
}

#[test]
fn a_start_while_it_stops_starts_it_again_and_a_stop_takes_that_back() {
    up(service("one"), service("other")).play(
        "5    ask stop one     => TERM one
         5    ask start one
         6    exit one 0       => spawn one
         6    spawned one
         8    ask restart one  => TERM one
         8    ask stop one
         9    exit one 0
           = one STOPPED",
    );
}

#[test]
fn a_signal_is_sent_and_nothing_else() {
    let never = ServicePlan { restart: Restart::Never, ..service("other") };
    up(service("one"), never).play(
        "5    ask USR1 one     => USR1 one
           ! info one: sent SIGUSR1: asked to
         6    ask HUP one      => HUP one
         6    exit one HUP     => spawn one
           ! warn one: killed by SIGHUP after 6s; restarting at once
         6    nospawn one 71
         6    ask USR1 one
           ! SIGUSR1 not sent: it has no process",
    );
}

#[test]
fn a_run_that_ends_of_a_signal_that_somebody_asked_for_is_no_riddle() {
    let mut script = Script::new(&[], &[cron("job")]);
    script.play(
        "0    boot
         1    run job           => spawn job#1
         1    spawned job#1
         2    ask KILL job#1    => KILL job#1
         2    exit job#1 KILL
           ! warn job#1: killed by SIGKILL after 1s",
    );
    let last = script.core.snapshot(script.now()).crons[0].last_exit.clone();
    assert_eq!(last.unwrap().0, "killed by SIGKILL after 1s");
}

#[test]
fn restarts_are_counted_by_cause() {
    let mut script = up(service("one"), service("other"));
    script.play(
        "100  exit one 0            => spawn one
         100  nospawn one 71
         100.5 -                    => spawn one",
    );
    script.play(
        "101  spawned one
         200  exit one KILL oom     => spawn one
         200  spawned one
         300  exit one TERM         => spawn one
         300  spawned one
         400  reload                => TERM one; TERM other
         400  exit one TERM         => spawn one
         400  spawned one
         500  ask restart one       => TERM one
         500  exit one 0            => spawn one",
    );
    let snapshot = script.core.snapshot(script.now());
    let causes: Vec<(&str, u32)> =
        snapshot.instances[0].restarts.by_cause().map(|(cause, count)| (cause.name(), count)).collect();
    assert_eq!(causes, [("exit", 1), ("signal", 1), ("oom", 1), ("reload", 1), ("request", 1), ("start", 1)]);
    assert_eq!(snapshot.instances[0].restarts.total(), 6);
}

#[test]
fn a_run_on_request_follows_the_overlap_rule_and_ignores_a_pause() {
    let entry = CronPlan { overlap: Overlap::Skip, jitter: secs(50), ..cron("job") };
    let mut script = Script::new(&[], &[entry]);
    script.play(
        "0    boot
         1    run job           => spawn job#1
         1    spawned job#1
         2    run job
           ! info job#1: skipped one run
         3    pause
         4    exit job#1 0
         5    due job
           ! not run while the container is paused
         65   due job
         70   run job           => spawn job#2
         70   spawned job#2
         71   ask USR1 job#2    => USR1 job#2
         72   ask stop job#2    => TERM job#2 group
           ! info job#2: stopping: asked to
         72   ask restart job#2
         72   exit job#2 TERM
         80   resume
         90   stop              => count orphans
         90   run job
           ! not run: the container stops",
    );
    let outcomes = script.core.snapshot(script.now()).crons[0].outcomes;
    assert_eq!((outcomes.ok, outcomes.failed, outcomes.timeout, outcomes.skipped), (1, 0, 0, 3));
}

#[test]
fn runs_are_counted_by_outcome() {
    let entry = CronPlan { timeout: Some(secs(10)), ..cron("job") };
    let mut script = Script::new(&[], &[entry]);
    script.play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         70   -                 => TERM job#1 group
         70   exit job#1 0
         80   due job           => spawn job#2
         80   nospawn job#2 127
         90   due job           => spawn job#3
         90   spawned job#3
         91   exit job#3 255
         92   due job           => spawn job#4
         92   spawned job#4
         93   exit job#4 0",
    );
    let outcomes = script.core.snapshot(script.now()).crons[0].outcomes;
    assert_eq!((outcomes.ok, outcomes.failed, outcomes.timeout, outcomes.skipped), (1, 2, 1, 0));
}

#[test]
fn what_waits_for_its_turn_is_not_run_once_paused() {
    let late = CronPlan { jitter: secs(50), ..cron("late") };
    let mut script = Script::new(&[], &[late, CronPlan { overlap: Overlap::Queue, ..cron("next") }]);
    script.play(
        "0    boot
         60   due late
         60   due next          => spawn next#1
         60   spawned next#1
         60   due next
         60   pause
         61   exit next#1 0
         300  resume
         999  orphans 0",
    );
    assert_eq!(
        script.core.snapshot(script.now()).crons.iter().map(|cron| cron.outcomes.skipped).sum::<u64>(),
        2
    );
}

/// A worker that knows a pause.
fn worker(instances: u16) -> ServicePlan {
    let (pause_signal, resume_signal) = (Some(Signal::USR2), Signal::from_number(18));
    ServicePlan { name: "one".into(), after: vec![], pause_signal, resume_signal, ..queue(instances) }
}

#[test]
fn a_pause_is_passed_on_to_what_is_running() {
    up(worker(1), service("other")).play(
        "5    pause             => USR2 one
         5    pause
         7    resume            => CONT one
         7    resume
         8    exit one 1        => spawn one
         8    spawned one
         8.5  pause
         9    -                 => USR2 one
           = one RUNNING
         10   ask stop one      => TERM one
         11   exit one 0
           = one STOPPED
         12   resume
         12   ask start one     => spawn one",
    );
}

#[test]
fn what_ends_while_paused_stays_down_until_it_is_resumed() {
    up(worker(1), service("other")).play(
        "5    pause             => USR2 one
         8    exit one 12
           = one STOPPED
           ! stays down until it is resumed
         9    ask start one
         9    ask restart one
         9    exit other 1      => spawn other
         9    spawned other
         60   reload            => TERM other
         60   exit other 0      => spawn other
         60   spawned other
         70   resume            => spawn one",
    );
}

#[test]
fn a_restart_while_paused_waits_for_the_end_of_the_pause() {
    up(worker(1), service("other")).play(
        "5    pause             => USR2 one
         6    ask restart one   => TERM one
         7    exit one 0
           = one STOPPED
         8    stop              => count orphans; TERM other",
    );
}
