//! Scenarios: another plan in the place of the one that is supervised.

use super::super::*;
use super::plans::*;
use super::script::Script;
use crate::config::plan::{Backoff, GiveUp, Signal, Then};

fn up(services: &[ServicePlan]) -> Script {
    let mut script = Script::new(services, &[cron("job")]);
    let spawns: Vec<String> = services.iter().map(|service| format!("spawn {}", service.name)).collect();
    script.play(&format!("0 boot => {}", spawns.join("; ")));
    for service in services {
        script.play(&format!("0 spawned {}", service.name));
    }
    script.play("1 -");
    script
}

fn signalled(name: &str) -> ServicePlan {
    ServicePlan { reload_signal: Some(Signal::USR2), ..service(name) }
}

#[test]
fn what_is_gone_ends_in_its_manner_and_what_is_new_starts() {
    let [one, two] = [signalled("one"), signalled("two")];
    let mut script = up(&[one.clone(), two.clone()]);
    let new = ServicePlan { after: vec!["one".into()], ..signalled("new") };
    script.replan(10.0, &[one, two, new], &[cron("job")], "-two", "USR2 one; TERM two; spawn new").play(
        "10   spawned new
         11   due job          => spawn job#1
         12   exit two 0
         13   reload           => USR2 one; USR2 new
         13   ask start two
         14   exit two 0",
    );
    let names: Vec<String> =
        script.core.snapshot(script.now()).instances.into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["one", "new"]);
}

#[test]
fn what_is_gone_may_finish_its_job_and_a_stop_of_the_container_cuts_that_short() {
    let [one, two] = [signalled("one"), signalled("two")];
    let mut script = up(&[one.clone(), two.clone()]);
    script.replan(10.0, &[one, two], &[cron("job")], "-two", "USR2 one; TERM two").play(
        "500  stop             => count orphans; TERM one
         500  exit one 0
         500  orphans 0
         523  -                => TERM two group
         524  -                => kill two
         524  exit two KILL    => KILL orphans
         524  orphans 0        => exit 0",
    );
}

#[test]
fn instances_grow_and_shrink() {
    let plan = |instances| ServicePlan { instances, ..signalled("web") };
    let mut script = Script::new(&[plan(1)], &[]);
    script
        .play("0 boot => spawn web\n 0 spawned web\n 1 -")
        .replan(5.0, &[plan(3)], &[], "", "USR2 web:0; spawn web:1; spawn web:2")
        .play("5 spawned web:1\n 5 spawned web:2\n 6 -")
        .replan(7.0, &[plan(1)], &[], "", "TERM web:1; TERM web:2; USR2 web")
        .play("8 exit web:1 0")
        .replan(9.0, &[plan(2)], &[], "", "USR2 web:0; spawn web:1")
        .play("9 spawned web:1\n 10 exit web:2 0\n 11 exit web:1 1 => spawn web:1");
    assert_eq!(script.core.snapshot(script.now()).instances.len(), 2);
}

#[test]
fn what_changed_is_replaced_one_instance_after_the_other_whatever_its_signal() {
    let plan = ServicePlan { instances: 2, ..signalled("web") };
    let mut script = Script::new(std::slice::from_ref(&plan), &[]);
    script
        .play("0 boot => spawn web:0; spawn web:1\n 0 spawned web:0\n 0 spawned web:1\n 1 -")
        .replan(5.0, &[plan], &[], "web", "TERM web:0")
        .play(
            "300  exit web:0 0     => spawn web:0
             300  spawned web:0
             301  -                => TERM web:1
             302  ask stop web:1
             302  exit web:1 0
               = web:1 STOPPED",
        );
}

#[test]
fn a_reload_waits_for_an_instance_as_long_as_it_may() {
    let one = ServicePlan { reload_timeout: secs(60), stop_timeout: Some(secs(5)), ..service("one") };
    up(&[one.clone(), signalled("two")]).play("10 reload => USR2 two; TERM one").play(
        "69   -                => TERM one group
         70   -                => kill one",
    );
    up(&[one, signalled("two")]).play(
        "10   reload           => USR2 two; TERM one
         20   ask stop one
         24   -                => TERM one group
         25   -                => kill one",
    );
}

/// The successor cannot start before what is left has ended, and that may be deaf to TERM.
#[test]
fn what_a_reloaded_instance_leaves_behind_gets_the_time_of_a_stop() {
    let one = ServicePlan { reload_timeout: secs(600), stop_timeout: Some(secs(5)), ..service("one") };
    up(&[one]).play(
        "10    reload           => TERM one
         100   exit one 0 left  => TERM one group
         101   -
           ! info one: has ended; SIGKILL to what it left behind unless that ends within 4s
         105   -                => kill one
           ! warn one: killed: what it left behind did not stop within
         105.1 empty one        => spawn one",
    );
}

#[test]
fn what_failed_tries_again_under_a_plan_that_can_help() {
    let give_up = Some(GiveUp { restarts: 0, within: secs(60), then: Then::Stay });
    let one = ServicePlan { give_up, ..service("one") };
    let two = ServicePlan { requires: vec!["one".into()], ..service("two") };
    let three = signalled("three");
    let services = [one, two, three];
    let mut script = Script::new(&services, &[]);
    script
        .play(
            "0   boot          => spawn one; spawn three
             0   spawned three
             0   nospawn one 127
               = one FATAL, two FATAL",
        )
        .replan(5.0, &services, &[], "", "USR2 three")
        .play("  = one FATAL, two FATAL")
        .replan(6.0, &services, &[], "one", "USR2 three; spawn one")
        .play("6 spawned one\n = two STOPPED\n 7 - => spawn two");
}

#[test]
fn new_values_count_for_what_lives() {
    let one = service("one");
    let backoff = Backoff { initial: secs(7), ..one.backoff };
    let other = ServicePlan { backoff, stop_signal: Signal::QUIT, ..signalled("one") };
    let mut script = up(&[one, signalled("two")]);
    script.replan(10.0, &[other, signalled("two")], &[cron("job")], "", "USR2 one; USR2 two").play(
        "11   exit one 1       => spawn one
             11   nospawn one 71
               ! restarting in 14s
             25   -                => spawn one
             25   spawned one
             25   ask stop one     => QUIT one",
    );
}

#[test]
fn probes_follow_the_plan() {
    let probed = ServicePlan { ready: Some(ready(secs(30))), ..signalled("web") };
    let watched = ServicePlan { live: Some(live()), ..signalled("web") };
    Script::new(std::slice::from_ref(&probed), &[])
        .play("0 boot => spawn web\n 0 spawned web => probe web")
        .replan(1.5, std::slice::from_ref(&watched), &[], "", "unprobe web; watch web")
        .replan(3.0, &[probed], &[], "", "unwatch web; USR2 web")
        .play("4 exit web 1 => spawn web\n 4 spawned web => probe web")
        .replan(5.0, &[watched], &[], "", "unprobe web; watch web");
}

#[test]
fn what_somebody_stopped_stays_down_under_another_plan() {
    let plan = |instances| ServicePlan { instances, ..signalled("web") };
    Script::new(&[plan(1)], &[cron("job")])
        .play("0 boot => spawn web\n 0 spawned web\n 2 ask stop web => TERM web\n 2 exit web 0")
        .replan(5.0, &[plan(3)], &[cron("job")], "web", "")
        .play("6 ask start web => spawn web:0; spawn web:1; spawn web:2");
}

#[test]
fn a_pause_goes_on_under_another_plan() {
    let cont = Signal::from_number(18);
    let worker = ServicePlan { pause_signal: Some(Signal::USR2), resume_signal: cont, ..service("one") };
    let plain = ServicePlan { reload_signal: Some(Signal::parse("HUP").unwrap()), ..service("one") };
    let services = [worker.clone(), signalled("two")];
    up(&services)
        .play("5 pause => USR2 one")
        .replan(6.0, &services, &[cron("job")], "two", "TERM one; TERM two")
        .play("6 exit one 0\n = one STOPPED\n 6 exit two 0 => spawn two\n 6 spawned two\n 6 due job")
        .replan(8.0, &[plain.clone(), signalled("two")], &[cron("job")], "", "USR2 two; spawn one")
        .play("8 spawned one\n 9 -")
        .replan(10.0, &[worker, signalled("two")], &[cron("job")], "", "USR2 two; TERM one")
        .play("10 exit one 0\n 11 resume => spawn one");
}

#[test]
fn an_entry_that_is_gone_is_not_due_and_its_run_ends_by_itself() {
    let mut script = Script::new(&[signalled("web")], &[cron("job")]);
    script
        .play("0 boot => spawn web\n 0 spawned web\n 1 due job => spawn job#1\n 1 spawned job#1")
        .replan(2.0, &[signalled("web")], &[cron("job")], "-job", "USR2 web")
        .play("60 due job\n 60 run job\n ! not run: the configuration has it no more\n 61 exit job#1 0");
    assert!(script.core.snapshot(script.now()).crons.is_empty());
    script
        .replan(70.0, &[signalled("web")], &[cron("job")], "", "USR2 web")
        .play("80 due job => spawn job#2");
}

#[test]
fn nothing_is_left_when_the_new_plan_has_nothing() {
    let mut script = Script::new(&[signalled("web")], &[]);
    script
        .play("0 boot => spawn web\n 0 spawned web")
        .replan(2.0, &[signalled("web")], &[], "-web", "TERM web; count orphans")
        .play("3 exit web 0 => count orphans\n 3 orphans 0 => exit 0");
}

#[test]
fn no_plan_is_taken_over_during_a_stop() {
    let mut script = up(&[signalled("one"), signalled("two")]);
    script
        .play("5 stop => count orphans; TERM two; TERM one")
        .replan(6.0, &[signalled("one"), signalled("two"), service("new")], &[cron("job")], "-two one", "")
        .play("7 exit one 0 => \n 7 exit two 0 => count orphans\n 7 orphans 0 => exit 0");
}

#[test]
fn php_fpm_is_told_to_stop_once_more_while_it_may_be_replacing_itself() {
    let up = "0    spawned php-fpm      => probe php-fpm
              0.1  ready php-fpm        => unprobe php-fpm";
    Script::new(&[fpm()], &[])
        .play(&format!("0 boot => spawn php-fpm\n{up}"))
        .replan(5.0, &[fpm()], &[], "", "USR2 php-fpm")
        .play(
            "5.2  ask stop php-fpm     => QUIT php-fpm
             6.2  -                    => QUIT php-fpm
             20   exit php-fpm 0
               = php-fpm STOPPED
             21   ask start php-fpm    => spawn php-fpm
             21   spawned php-fpm      => probe php-fpm
             21.1 ready php-fpm        => unprobe php-fpm
             22   ask restart php-fpm  => QUIT php-fpm
             25   exit php-fpm 0       => spawn php-fpm",
        );
    let other = [ServicePlan { stop_signal: Signal::QUIT, ..signalled("web") }];
    Script::new(&other, &[])
        .play("0 boot => spawn web\n 0 spawned web\n 1 -")
        .replan(5.0, &other, &[], "", "USR2 web")
        .play("5.2 ask stop web => QUIT web\n 9 exit web 0");
}
