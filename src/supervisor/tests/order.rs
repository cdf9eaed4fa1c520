//! Scenarios: who waits for whom at the start, and what a failure does to those who depend on it.

use super::super::*;
use super::plans::*;
use super::script::Script;
use crate::config::plan::{GiveUp, Restart, Then};

fn hopeless(plan: ServicePlan) -> ServicePlan {
    let give_up = Some(GiveUp { restarts: 0, within: secs(60), then: Then::Stay });
    ServicePlan { give_up, essential: false, ..plan }
}

#[test]
fn a_service_starts_when_what_it_waits_for_is_ready() {
    let last = ServicePlan { after: vec!["queue".into()], ..service("last") };
    Script::new(&[last, queue(2), fpm()], &[]).play(
        "0     boot               => spawn php-fpm
         0     spawned php-fpm    => probe php-fpm
         4     ready php-fpm      => unprobe php-fpm; spawn queue:0; spawn queue:1
         4     spawned queue:0
         4     spawned queue:1
         4.5   exit queue:0 1
         5     -                  => spawn queue:0; spawn last
           = queue:1 RUNNING",
    );
}

#[test]
fn a_restart_does_not_wait_for_the_others_again() {
    Script::new(&[fpm(), queue(1)], &[]).play(
        "0     boot                   => spawn php-fpm
         0     spawned php-fpm        => probe php-fpm
         1     ready php-fpm          => unprobe php-fpm; spawn queue
         1     spawned queue
         9     exit php-fpm 1 left    => kill php-fpm
         9     exit queue 1           => spawn queue",
    );
}

#[test]
fn after_only_orders_and_goes_on_when_the_other_can_never_be_up() {
    Script::new(&[hopeless(fpm()), queue(1)], &[]).play(
        "0     boot               => spawn php-fpm
         0     nospawn php-fpm 127 => spawn queue
           = php-fpm FATAL, queue STARTING",
    );
}

#[test]
fn requires_makes_the_failure_of_the_other_its_own() {
    let dependent = ServicePlan { requires: vec!["php-fpm".into()], ..service("nginx") };
    let further = ServicePlan { requires: vec!["nginx".into()], ..service("further") };
    Script::new(&[hopeless(fpm()), dependent, further, service("cat")], &[]).play(
        "0     boot                => spawn php-fpm; spawn cat
         0     spawned php-fpm     => probe php-fpm
         0     spawned cat
         0.1   exit php-fpm 78     => unprobe php-fpm
           = php-fpm FATAL, nginx FATAL, further FATAL, cat STARTING
           ! error php-fpm: exited 78 after 100ms: configuration or address problem
           ! error nginx: it requires php-fpm, which failed for good; it stays down",
    );
}

#[test]
fn requires_stops_a_running_dependent_when_the_other_fails_for_good() {
    let dependent = ServicePlan { requires: vec!["php-fpm".into()], essential: true, ..service("nginx") };
    Script::new(&[hopeless(fpm()), dependent], &[cron("schedule")]).play(
        "0     boot                => spawn php-fpm
         0     spawned php-fpm     => probe php-fpm
         0.1   ready php-fpm       => unprobe php-fpm; spawn nginx
         0.1   spawned nginx
         5     exit php-fpm 78     => TERM nginx
           = php-fpm FATAL, nginx STOPPING
           ! error nginx: stopping: it requires php-fpm, which failed for good
         6     exit nginx 0        => count orphans
           = nginx FATAL
           ! nginx is essential and failed for good: stopping the container with exit code 78
         6     orphans 0           => exit 78",
    );
}

#[test]
fn a_one_shot_that_ended_well_satisfies_those_who_require_it() {
    let warm = ServicePlan { restart: Restart::Never, ..service("warm") };
    let dependent = ServicePlan { requires: vec!["warm".into()], ..service("nginx") };
    Script::new(&[warm, dependent], &[]).play(
        "0     boot                => spawn warm
         0     spawned warm
         0.5   exit warm 0         => spawn nginx
           = warm EXITED, nginx STARTING",
    );
}

#[test]
fn a_one_shot_that_failed_does_not() {
    let warm = ServicePlan { restart: Restart::Never, ..service("warm") };
    let dependent = ServicePlan { requires: vec!["warm".into()], ..service("nginx") };
    Script::new(&[warm, dependent], &[]).play(
        "0     boot                => spawn warm
         0     spawned warm
         0.5   exit warm 9         => count orphans
           = warm EXITED, nginx FATAL
         0.5   orphans 0           => exit 9",
    );
}
