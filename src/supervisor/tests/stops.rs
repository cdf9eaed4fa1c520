//! Scenarios: the stop of the container, its order, its budget, and those who do not obey.

use super::super::*;
use super::plans::*;
use super::script::Script;
use crate::config::plan::{ServicePlan, StopScope};

/// PHP-FPM and one worker, both RUNNING at 2 s.
fn up() -> Script {
    let mut script = Script::new(&[fpm(), queue(1)], &[cron("schedule")]);
    script.play(
        "0     boot               => spawn php-fpm
         0     spawned php-fpm    => probe php-fpm
         0.1   ready php-fpm      => unprobe php-fpm; spawn queue
         0.1   spawned queue
         2     due schedule       => spawn schedule#1
         2     spawned schedule#1",
    );
    script
}

#[test]
fn dependents_stop_first_and_the_code_is_zero() {
    up().play(
        "9     exit schedule#1 0
         10    stop               => count orphans; TERM queue
           = queue STOPPING, php-fpm RUNNING
         10    orphans 0
         11    exit queue 0       => QUIT php-fpm
           ! info queue: stopped in 1s, was up for 10s
         12    exit php-fpm 0     => count orphans
         12    orphans 0          => exit 0
           ! everything stopped in 2s, exit code 0",
    );
}

#[test]
fn a_hanging_worker_does_not_take_the_time_of_php_fpm() {
    up().play(
        "9     exit schedule#1 0
         10    stop               => count orphans; TERM queue
         10    orphans 0
         14.8  -                  => QUIT php-fpm
         20    exit php-fpm 0
         22    -                  => TERM orphans
         22    orphans 0
         33    -                  => TERM queue group
         34    -                  => kill queue
           ! warn queue: killed: it did not stop within 24s of SIGTERM
         34    exit queue KILL    => KILL orphans
         34    orphans 0          => exit 0",
    );
}

#[test]
fn everything_is_killed_at_the_end_of_the_budget_and_it_ends_whatever_happens() {
    up().play(
        "10    stop               => count orphans; TERM queue
         10    orphans 1
         14.8  -                  => QUIT php-fpm
         22    -                  => TERM schedule#1 group; TERM orphans
         22    orphans 1
         33    -                  => TERM php-fpm group; TERM queue group
         34    -                  => kill php-fpm; kill queue; kill schedule#1; KILL orphans
         34    orphans 1
         34.5  -                  => exit 0
           ! error not everything stopped in 24s, left behind: php-fpm, queue, schedule, orphans (1); exit code 0
           ",
    );
}

#[test]
fn a_service_has_its_own_limit_within_the_budget() {
    let plan = ServicePlan { stop_timeout: Some(secs(5)), stop_scope: StopScope::Group, ..service("cat") };
    Script::new(&[plan], &[]).play(
        "0     boot               => spawn cat
         0     spawned cat
         2     stop               => count orphans; TERM cat group
         2     orphans 0
         7     -                  => kill cat
         7     exit cat KILL      => count orphans
         7     orphans 0          => exit 0",
    );
}

#[test]
fn runs_have_half_of_the_budget_to_finish_and_no_further_one_starts() {
    up().play(
        "10    stop               => count orphans; TERM queue
         10    due schedule
         10    orphans 0
         10    exit queue 0       => QUIT php-fpm
         10    exit php-fpm 0
         20    exit schedule#1 0  => count orphans
         20    orphans 0          => exit 0",
    );
}

#[test]
fn background_tasks_of_a_run_get_its_grace() {
    up().play(
        "10    stop               => count orphans; TERM queue
         10    orphans 0
         10    exit queue 0       => QUIT php-fpm
         10    exit php-fpm 0
         11    exit schedule#1 0 left => count orphans
         11    orphans 2
           ! waiting at most 23s for orphans (2)
         15    orphans 1
         22    -                  => TERM orphans
         22    orphans 1
         23    orphans 0          => exit 0",
    );
}

#[test]
fn leftovers_of_a_stop_get_the_rest_of_its_time() {
    let cat = ServicePlan { stop_timeout: Some(secs(5)), ..service("cat") };
    Script::new(&[cat], &[]).play(
        "0     boot               => spawn cat
         0     spawned cat
         2     stop               => count orphans; TERM cat
         2     orphans 0
         3     exit cat 0 left    => TERM cat group
         7     -                  => kill cat
           ! warn cat: killed: what it left behind did not stop within 5s of SIGTERM
         7.01  empty cat          => count orphans
         7.01  orphans 0          => exit 0",
    );
}

#[test]
fn nothing_restarts_once_the_stop_began() {
    up().play(
        "9     exit schedule#1 0
         10    stop               => count orphans; TERM queue
         10    orphans 0
         10    exit php-fpm 1
           = php-fpm STOPPED
           ! warn php-fpm: exited 1 after 10s, before the stop came to it
         12    exit queue 1       => count orphans
         12    orphans 0          => exit 0",
    );
}

#[test]
fn a_pending_restart_is_dropped() {
    Script::new(&[service("cat")], &[]).play(
        "0     boot               => spawn cat
         0     nospawn cat 71
           = cat BACKOFF
         0.1   stop               => count orphans
           = cat STOPPED
         0.1   orphans 0          => exit 0",
    );
}

#[test]
fn a_process_that_never_became_its_program_is_no_longer_waited_for() {
    Script::new(&[service("cat"), service("dog")], &[cron("job")]).play(
        "0     boot               => spawn cat; spawn dog
         0     spawned cat
         1     due job            => spawn job#1
         1     spawned job#1
         2     stop               => count orphans; TERM cat
         2     spawned dog        => TERM dog
         2     nospawn cat 127
         2     orphans 0
         2     nospawn job#1 127
         2     nospawn dog 126    => exit 0",
    );
}

#[test]
fn a_process_that_appears_during_the_stop_is_stopped_at_once() {
    Script::new(&[service("cat")], &[cron("job")]).play(
        "0     boot               => spawn cat
         1     due job            => spawn job#1
         2     stop               => count orphans
         2     orphans 0
         2     spawned cat        => TERM cat
         2     exit cat TERM
         14    -                  => TERM orphans
         14    orphans 0
         26    -
         26    spawned job#1      => kill job#1
         26    exit job#1 KILL    => KILL orphans
         26    orphans 0          => exit 0",
    );
}

#[test]
fn a_second_request_hurries_and_a_third_kills() {
    up().play(
        "10    stop               => count orphans; TERM queue
         10    orphans 1
         12    stop               => TERM php-fpm group; TERM queue group; TERM schedule#1 group; TERM orphans
         12    orphans 1
         13    exit schedule#1 TERM
         14    stop               => kill php-fpm; kill queue; KILL orphans
         14    exit php-fpm KILL
         14    exit queue KILL    => KILL orphans
         14    orphans 0          => exit 0
           ! everything stopped in 4s",
    );
}

#[test]
fn a_second_request_alone_kills_after_five_seconds() {
    up().play(
        "9     exit schedule#1 0
         10    stop               => count orphans; TERM queue
         10    orphans 0
         12    stop               => TERM php-fpm group; TERM queue group
         17    -                  => kill php-fpm; kill queue
         17.5  -                  => exit 0",
    );
}

#[test]
fn the_first_request_does_not_hurry_a_stop_that_a_failure_began() {
    let job = ServicePlan { essential: true, restart: crate::config::plan::Restart::Never, ..service("job") };
    Script::new(&[job, service("cat")], &[]).play(
        "0     boot               => spawn job; spawn cat
         0     spawned job
         0     spawned cat
         5     exit job 3         => count orphans; TERM cat
         5     orphans 0
         6     stop
         7     stop               => TERM cat group
         7     exit cat TERM      => TERM orphans
         7     orphans 0          => exit 3",
    );
}

#[test]
fn a_stop_before_boot_is_over_at_once() {
    Script::new(&[fpm()], &[]).play(
        "0     stop               => count orphans
         0     boot
         0     orphans 0          => exit 0
         1     boot
         1     stop
         1     spawned php-fpm",
    );
}

#[test]
fn a_stop_without_a_budget_kills_at_once() {
    let mut core = Supervisor::new(&[service("cat")], &[], Duration::ZERO, 1);
    let cat = Id::Service { unit: 0, instance: 0 };
    core.handle(Event::Boot, Mono::default());
    core.handle(Event::Spawned { id: cat, pid: 9 }, Mono::default());
    let actions = core.handle(Event::Stop, Mono::default());
    assert!(actions.contains(&Action::KillGroup { id: cat }), "{actions:?}");
    assert!(core.next_deadline().unwrap().since_origin() <= millis(50));
}

#[test]
fn the_status_is_one_line_for_each() {
    let script = up();
    assert_eq!(
        script.core.snapshot(Mono::new(secs(10))).to_string(),
        "php-fpm                  RUNNING   pid 101, up for 10s\n\
         queue                    RUNNING   pid 102, up for 9.9s\n\
         schedule                 cron      1 run for 8s"
    );
}

#[test]
fn a_run_that_holds_up_the_stop_is_named() {
    up().play(
        "10    stop               => count orphans; TERM queue
         10    orphans 0
         11    exit queue 0       => QUIT php-fpm
         12    exit php-fpm 0
           ! waiting at most 10s for cron runs to finish: schedule
         15    exit schedule#1 0  => count orphans
         15    orphans 0          => exit 0",
    );
}

#[test]
fn what_has_had_term_with_its_group_does_not_get_it_again() {
    let cat = ServicePlan { stop_timeout: Some(secs(5)), stop_scope: StopScope::Group, ..service("cat") };
    Script::new(&[cat, queue(1)], &[]).play(
        "0     boot               => spawn cat; spawn queue
         0     spawned cat
         0     spawned queue
         2     stop               => count orphans; TERM queue; TERM cat group
         2     orphans 0
         3     exit cat 0 left
         4     exit queue 0 left  => TERM queue group
         7     -                  => kill cat
         7.01  empty cat
         14    -                  => TERM orphans
         14    orphans 0
         20    stop               => TERM queue group
         20.1  empty queue        => TERM orphans
         20.1  orphans 0          => exit 0",
    );
}

#[test]
fn the_main_process_that_dies_of_the_last_term_takes_its_group_with_it_without_another() {
    Script::new(&[service("cat")], &[]).play(
        "0     boot               => spawn cat
         0     spawned cat
         2     stop               => count orphans; TERM cat
         2     orphans 0
         25    -                  => TERM cat group
         25.1  exit cat TERM left
         26    -                  => kill cat; KILL orphans
         26    orphans 0
         26.01 empty cat          => KILL orphans
         26.01 orphans 0          => exit 0",
    );
}
