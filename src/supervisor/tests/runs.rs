//! Scenarios: overlap, jitter, timeouts and leftovers of cron runs.

use super::plans::*;
use super::script::Script;
use crate::config::plan::{CronPlan, Overlap};
use crate::supervisor::{Action, Event, Mono};

fn entry(overlap: Overlap) -> CronPlan {
    CronPlan { overlap, max_running: 2, ..cron("job") }
}

#[test]
fn allow_runs_side_by_side_up_to_its_cap() {
    Script::new(&[], &[entry(Overlap::Allow)]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         120  due job           => spawn job#2
         120  spawned job#2
         180  due job
           ! warn job#1: not started: 2 runs go on already (max-running), the oldest for 2m
         200  exit job#1 0
           ! debug job#1: exited 0 after 2m20s
         240  due job           => spawn job#3",
    );
}

#[test]
fn skip_leaves_a_run_out() {
    Script::new(&[], &[entry(Overlap::Skip)]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         120  due job
           ! info job#1: skipped one run: this one has gone on for 1m
         130  exit job#1 0
         180  due job           => spawn job#2",
    );
}

#[test]
fn queue_keeps_one_run_for_later() {
    Script::new(&[], &[entry(Overlap::Queue)]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         120  due job
         180  due job
           ! another waits already
         190  exit job#1 0      => spawn job#2
         190  spawned job#2
         200  exit job#2 0
         240  due job           => spawn job#3",
    );
}

#[test]
fn replace_stops_the_earlier_run_first() {
    Script::new(&[], &[entry(Overlap::Replace)]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         120  due job           => TERM job#1 group
           ! info job#1: stopping after 1m: the next run replaces it
         125  due job
         130  -                 => kill job#1
         130  exit job#1 KILL left => kill job#1
         130.1 empty job#1      => spawn job#2
         130.1 spawned job#2
         140  exit job#2 0
         180  due job           => spawn job#3",
    );
}

#[test]
fn a_run_beyond_its_timeout_is_stopped_with_its_group() {
    let plan = CronPlan { timeout: Some(secs(30)), ..cron("job") };
    Script::new(&[], &[plan]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         90   -                 => TERM job#1 group
           ! warn job#1: stopping: it ran for 30s, beyond its timeout
         91   exit job#1 TERM left
         100  -                 => kill job#1
         100  empty job#1",
    );
}

#[test]
fn a_timeout_is_extended_by_what_a_freeze_took_and_by_nothing_else() {
    let plan = CronPlan { timeout: Some(secs(30)), ..cron("job") };
    Script::new(&[], std::slice::from_ref(&plan)).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         80   frozen 15
         85   frozen 2
         107  -                 => TERM job#1 group
           ! warn job#1: stopping: it ran for 47s, beyond its timeout",
    );
    // A deadline that is told of late by itself is no freeze: the machine is busy.
    let mut script = Script::new(&[], &[plan]);
    script.play("0 boot\n 60 due job => spawn job#1\n 60 spawned job#1");
    let actions = script.core.handle(Event::Deadline, Mono::new(secs(95)));
    assert!(actions.iter().any(|action| matches!(action, Action::Stop { .. })), "{actions:?}");
}

#[test]
fn what_a_finished_run_leaves_behind_is_left_alone() {
    Script::new(&[], &[entry(Overlap::Skip)]).play(
        "0    boot
         60   due job           => spawn job#1
         60   spawned job#1
         61   exit job#1 0 left
         120  due job           => spawn job#2
         120  empty job#1",
    );
}

#[test]
fn jitter_delays_a_run_and_loses_none() {
    let plan = CronPlan { jitter: secs(20), ..cron("job") };
    let mut script = Script::new(&[], &[plan]);
    script.play("0 boot\n 60 due job");
    let at = script.core.next_deadline().unwrap().since_origin();
    assert!(at > secs(60) && at <= secs(80), "{at:?}");
    script.play(
        "60    due job           => spawn job#1
         60    spawned job#1",
    );
    let at = script.core.next_deadline().unwrap().since_origin().as_secs_f64();
    script.play(&format!("{at} - => spawn job#2"));
}

#[test]
fn a_failed_run_is_told_and_tried_no_more() {
    Script::new(&[], &[cron("job")]).play(
        "0    boot
         60   due job           => spawn job#1
         60   nospawn job#1 127
           ! warn job#1: this run could not be started (code 127)
         90   due job           => spawn job#2
         90   spawned job#2
         90   nospawn job#2 126
           ! warn job#2: this run could not be started (code 126)
         120  due job           => spawn job#3
         120  spawned job#3
         121  exit job#3 255
           ! warn job#3: exited 255 after 1s: PHP fatal error
         122  exit job#3 255
         122  spawned job#3
         122  nospawn job#3 127
         122  exit job#99 0",
    );
}

#[test]
fn rare_runs_tell_of_their_success_and_frequent_ones_do_not() {
    Script::new(&[], &[cron("job")]).play(
        "0     boot
         3600  due job           => spawn job#1
         3600  spawned job#1
         3601  exit job#1 0
           ! info job#1: exited 0 after 1s
         7200  due job           => spawn job#2
         7200  spawned job#2
         7201  exit job#2 0
           ! info job#2: exited 0
         7260  due job           => spawn job#3
         7260  spawned job#3
         7261  exit job#3 0
           ! debug job#3: exited 0",
    );
}
