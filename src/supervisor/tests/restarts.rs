//! Scenarios: readiness, the restart policy, giving up, what a failure means for the container.

use super::super::*;
use super::plans::*;
use super::script::Script;
use crate::config::plan::{Backoff, GiveUp, Restart, StopScope, Then};

#[test]
fn a_service_with_a_probe_is_running_when_the_probe_says_so() {
    Script::new(&[fpm()], &[]).play(
        "0     boot              => spawn php-fpm
         0     spawned php-fpm   => probe php-fpm
           = php-fpm STARTING
           ! info php-fpm: started, pid 101
         0.05  notready php-fpm
         0.12  ready php-fpm     => unprobe php-fpm
           = php-fpm RUNNING
           ! info php-fpm: ready after 120ms
         0.2   ready php-fpm",
    );
}

#[test]
fn a_service_without_a_probe_is_running_after_its_grace() {
    Script::new(&[service("cat")], &[]).play(
        "0  boot           => spawn cat
         0  spawned cat
         1  -
           = cat RUNNING",
    );
}

#[test]
fn what_a_freeze_took_is_added_to_the_time_to_get_ready() {
    Script::new(&[fpm()], &[]).play(
        "0     boot              => spawn php-fpm
         0     spawned php-fpm   => probe php-fpm
         25    frozen 24
           ! info php-fpm: the container was frozen for 24s
         54    -                 => unprobe php-fpm; QUIT php-fpm
           ! warn php-fpm: not ready within 30s",
    );
}

#[test]
fn a_service_that_never_gets_ready_is_stopped_and_started_again() {
    Script::new(&[fpm()], &[]).play(
        "0     boot              => spawn php-fpm
         0     spawned php-fpm   => probe php-fpm
         30    -                 => unprobe php-fpm; QUIT php-fpm
           = php-fpm STOPPING
           ! warn php-fpm: not ready within 30s
         54    -                 => TERM php-fpm group
         55    -                 => kill php-fpm
         55    exit php-fpm KILL
           = php-fpm BACKOFF
           ! restarting in 500ms
         55.5  -                 => spawn php-fpm",
    );
}

#[test]
fn a_crash_of_a_running_service_costs_no_backoff_and_the_next_ones_do() {
    Script::new(&[service("cat")], &[]).play(
        "0    boot            => spawn cat
         0    spawned cat
         5    exit cat 1      => spawn cat
           ! warn cat: exited 1 after 5s; restarting at once
         5    spawned cat
         7    exit cat 1
           = cat BACKOFF
           ! restarting in 1s (2 failures in a row)
         8    -               => spawn cat
         8    spawned cat
         8.3  exit cat 1
           ! restarting in 2s (3 failures in a row)
         10.3 -               => spawn cat
         10.3 spawned cat
         70.3 exit cat 1      => spawn cat
           ! exited 1 after 1m; restarting at once",
    );
}

#[test]
fn a_lost_database_is_a_loop_of_fast_successes_and_backs_off() {
    let worker = ServicePlan { after: vec![], ..queue(1) };
    Script::new(&[worker], &[]).play(
        "0    boot            => spawn queue
         0    spawned queue
         0.3  exit queue 0
           ! warn queue: exited 0 after 300ms: often a lost database
           ! restarting in 500ms
         0.8  -               => spawn queue
         0.8  spawned queue
         1.1  exit queue 0
         2.1  -               => spawn queue
         2.1  spawned queue
         2.4  exit queue 0
         4.4  -               => spawn queue",
    );
}

#[test]
fn a_worker_that_recycles_itself_restarts_at_once_and_counts_for_nothing() {
    let limit = GiveUp { restarts: 0, within: secs(86_400), then: Then::Exit };
    let worker = ServicePlan { after: vec![], give_up: Some(limit), ..queue(1) };
    let mut script = Script::new(&[worker], &[]);
    script.play("0 boot => spawn queue");
    for hour in 0..24 {
        let (start, end) = (hour * 3600, (hour + 1) * 3600);
        script.play(&format!(
            "{start} spawned queue
             {end} exit queue 0 => spawn queue
               ! info queue: exited 0 after 1h; restarting"
        ));
    }
}

#[test]
fn leftovers_are_killed_before_the_restart() {
    Script::new(&[fpm()], &[]).play(
        "0     boot                    => spawn php-fpm
         0     spawned php-fpm         => probe php-fpm
         0.1   ready php-fpm           => unprobe php-fpm
         9     exit php-fpm KILL left  => kill php-fpm
           = php-fpm BACKOFF
         9.01  empty php-fpm           => spawn php-fpm
         9.01  spawned php-fpm         => probe php-fpm
         9.02  empty php-fpm
           = php-fpm STARTING",
    );
}

#[test]
fn leftovers_that_survive_kill_hold_the_restart_up_for_two_seconds() {
    Script::new(&[fpm()], &[]).play(
        "0     boot                    => spawn php-fpm
         0     spawned php-fpm         => probe php-fpm
         0.1   exit php-fpm 70 left    => unprobe php-fpm; kill php-fpm
         2.1   -                       => spawn php-fpm
           ! warn php-fpm: processes that it left behind survive SIGKILL",
    );
}

#[test]
fn a_program_that_cannot_be_started_is_tried_again() {
    Script::new(&[service("cat")], &[]).play(
        "0    boot            => spawn cat
         0    nospawn cat 71
           = cat BACKOFF
           ! warn cat: could not be started (code 71); restarting in 500ms
         0.5  -               => spawn cat
         0.5  nospawn cat 127
         1.5  -               => spawn cat",
    );
}

/// The fork succeeded and the exec did not: the process was there, but never became the program.
#[test]
fn a_process_that_never_became_its_program_is_one_that_could_not_be_started() {
    let once = ServicePlan { restart: Restart::Never, ..service("once") };
    Script::new(&[fpm(), once, service("cat")], &[]).play(
        "0    boot               => spawn php-fpm; spawn once; spawn cat
         0    spawned php-fpm    => probe php-fpm
         0    spawned once
         0    spawned cat
         0.1  nospawn php-fpm 127 => unprobe php-fpm
           = php-fpm BACKOFF
           ! warn php-fpm: could not be started: the program, or the interpreter that it names, was not found; restarting in
         0.1  nospawn once 126
           = once FATAL
           ! error once: could not be started: the program may not be executed there or as that user; it stays down
         0.2  nospawn cat 71
           = cat BACKOFF
           ! warn cat: could not be started (code 71); restarting in 500ms
         0.3  nospawn cat 71
         0.6  -                  => spawn php-fpm",
    );
}

#[test]
fn on_failure_and_never_end_in_exited() {
    let gentle = ServicePlan { restart: Restart::OnFailure, ..service("gentle") };
    let once = ServicePlan { restart: Restart::Never, ..service("once") };
    Script::new(&[gentle, once, service("cat")], &[]).play(
        "0    boot            => spawn gentle; spawn once; spawn cat
         0    spawned gentle
         0    spawned once
         0    spawned cat
         5    exit gentle 3   => spawn gentle
         5    spawned gentle
         6    exit gentle 0
         6    exit once 3
           = gentle EXITED, once EXITED, cat RUNNING
           ! error once: exited 3 after 6s",
    );
}

fn quitter(then: Then) -> ServicePlan {
    let give_up = Some(GiveUp { restarts: 2, within: secs(60), then });
    ServicePlan { give_up, ..service("cat") }
}

const GIVES_UP: &str = "
         0    boot            => spawn cat; spawn dog
         0    spawned cat
         0    spawned dog
         0.1  exit cat 7
         0.6  -               => spawn cat
         0.6  spawned cat
         0.7  exit cat 7
         1.7  -               => spawn cat
         1.7  spawned cat";

#[test]
fn giving_up_with_stay_leaves_the_rest_running() {
    Script::new(&[quitter(Then::Stay), service("dog")], &[]).play(GIVES_UP).play(
        "1.8  exit cat 7
           = cat FATAL, dog RUNNING
           ! error cat: exited 7 after 100ms; giving up, more than 2 restarts in 1m
         900  exit dog 0      => spawn dog",
    );
}

#[test]
fn giving_up_with_exit_stops_the_container_with_the_code_of_the_service() {
    Script::new(&[quitter(Then::Exit), service("dog")], &[]).play(GIVES_UP).play(
        "1.8  exit cat 7      => count orphans; TERM dog
           ! error cat failed for good: stopping the container with exit code 7
         1.8  orphans 0
         2    exit dog 0      => count orphans
         2    orphans 0       => exit 7",
    );
}

/// Three attempts do not fit into the minute of the limit.
#[test]
fn a_service_that_is_never_ready_in_time_is_given_up_however_long_that_takes() {
    let give_up = Some(GiveUp { restarts: 2, within: secs(60), then: Then::Exit });
    Script::new(&[ServicePlan { give_up, ..fpm() }], &[]).play(
        "0     boot              => spawn php-fpm
         0     spawned php-fpm   => probe php-fpm
         30    -                 => unprobe php-fpm; QUIT php-fpm
         30.1  exit php-fpm 0
           = php-fpm BACKOFF
         30.6  -                 => spawn php-fpm
         30.6  spawned php-fpm   => probe php-fpm
         60.6  -                 => unprobe php-fpm; QUIT php-fpm
         60.7  exit php-fpm 0
         61.7  -                 => spawn php-fpm
         61.7  spawned php-fpm   => probe php-fpm
         91.7  -                 => unprobe php-fpm; QUIT php-fpm
         91.8  exit php-fpm 0    => count orphans
           = php-fpm FATAL
           ! giving up, it was not ready in 3 attempts in a row
         91.8  orphans 0         => exit 1",
    );
}

#[test]
fn a_death_by_signal_and_a_loop_of_successes_give_a_failing_code_too() {
    for (ending, code) in [("SEGV", 139), ("0", 1)] {
        let give_up = Some(GiveUp { restarts: 0, within: secs(60), then: Then::Exit });
        Script::new(&[ServicePlan { give_up, ..service("cat") }], &[]).play(&format!(
            "0    boot              => spawn cat
             0    spawned cat
             0.1  exit cat {ending} => count orphans
             0.1  orphans 0         => exit {code}"
        ));
    }
}

#[test]
fn an_essential_service_that_ended_for_good_ends_the_container_with_its_code() {
    for code in [0, 3] {
        let plan = ServicePlan { essential: true, restart: Restart::Never, ..service("job") };
        Script::new(&[plan, service("cat")], &[cron("schedule")]).play(&format!(
            "0  boot            => spawn job; spawn cat
             0  spawned job
             0  spawned cat
             9  exit job {code} => count orphans; TERM cat
             9  orphans 0
             9  exit cat TERM   => count orphans
             9  orphans 0       => exit {code}"
        ));
    }
}

#[test]
fn an_essential_service_without_a_limit_never_gives_up() {
    let mut script = Script::new(&[fpm()], &[]);
    script.play("0 boot => spawn php-fpm");
    let mut now = 0.0;
    for _ in 0..200 {
        script.play(&format!("{now} nospawn php-fpm 71\n = php-fpm BACKOFF"));
        now = script.core.next_deadline().unwrap().since_origin().as_secs_f64();
        script.play(&format!("{now} - => spawn php-fpm"));
    }
}

#[test]
fn an_essential_service_ends_the_container_when_its_last_instance_has_ended() {
    let plan = ServicePlan { essential: true, restart: Restart::Never, instances: 2, ..service("job") };
    Script::new(&[plan], &[cron("schedule")]).play(
        "0  boot             => spawn job:0; spawn job:1
         0  spawned job:0
         0  spawned job:1
         5  exit job:1 4
           = job:0 RUNNING, job:1 EXITED
         9  exit job:0 0     => count orphans
         9  orphans 0        => exit 4",
    );
}

#[test]
fn the_container_stops_by_itself_when_nothing_is_left() {
    let once = |name| ServicePlan { restart: Restart::Never, ..service(name) };
    Script::new(&[once("one"), once("two"), once("three")], &[]).play(
        "0  boot             => spawn one; spawn two; spawn three
         0  spawned one
         0  spawned two
         0  spawned three
         1  exit three 0
         2  exit two 5
         3  exit one 6       => count orphans
           ! no service is left and there is no cron entry: stopping with exit code 5
         3  orphans 0        => exit 5",
    );
}

#[test]
fn with_a_cron_entry_there_is_always_something_left() {
    let once = ServicePlan { restart: Restart::Never, ..service("once") };
    Script::new(&[once], &[cron("schedule")]).play(
        "0  boot             => spawn once
         0  spawned once
         1  exit once 0
         60 due schedule     => spawn schedule#1",
    );
}

#[test]
fn instances_start_staggered_and_restart_without_delay() {
    let plan = ServicePlan { stagger: millis(250), after: vec![], ..queue(3) };
    Script::new(&[plan], &[]).play(
        "0     boot             => spawn queue:0
         0     spawned queue:0
         0.25  -                => spawn queue:1
         0.25  spawned queue:1
         0.5   -                => spawn queue:2
         0.5   spawned queue:2
         9     exit queue:1 1   => spawn queue:1
         9     spawned queue:1
         9.1   exit queue:2 1
         9.25  -                => spawn queue:2",
    );
}

#[test]
fn the_stagger_keeps_instances_apart_and_not_an_instance_from_itself() {
    let plan = ServicePlan { stagger: secs(10), after: vec![], ..queue(2) };
    Script::new(&[plan], &[]).play(
        "0     boot             => spawn queue:0
         0     spawned queue:0
         10    -                => spawn queue:1
         10    spawned queue:1
         15    exit queue:1 1   => spawn queue:1
         15    spawned queue:1
         17    exit queue:0 1
         25    -                => spawn queue:0",
    );
}

#[test]
fn a_reload_sends_the_signal_or_restarts_one_instance_after_the_other() {
    let workers = ServicePlan { after: vec![], stop_scope: StopScope::Group, ..queue(2) };
    Script::new(&[fpm(), workers], &[]).play(
        "0     boot              => spawn php-fpm; spawn queue:0; spawn queue:1
         0     spawned php-fpm   => probe php-fpm
         0     spawned queue:0
         0     spawned queue:1
         0.1   ready php-fpm     => unprobe php-fpm
         50    reload            => USR2 php-fpm; TERM queue:0 group
         58    exit queue:0 0    => spawn queue:0
           ! info queue:0: stopped in 8s, was up for 58s; starting it again
         58    spawned queue:0
         59    -                 => TERM queue:1 group
           = queue:0 RUNNING, queue:1 STOPPING
         60    exit queue:1 0    => spawn queue:1
         60    spawned queue:1
         61    -
           = queue:1 RUNNING
         62    exit queue:1 1    => spawn queue:1",
    );
}

#[test]
fn a_reload_goes_no_further_than_an_instance_that_fails_for_good() {
    let give_up = Some(GiveUp { restarts: 0, within: secs(60), then: Then::Stay });
    let workers = ServicePlan { after: vec![], give_up, ..queue(3) };
    Script::new(&[workers], &[]).play(
        "0     boot              => spawn queue:0; spawn queue:1; spawn queue:2
         0     spawned queue:0
         0     spawned queue:1
         0     spawned queue:2
         50    reload            => TERM queue:0
         50    exit queue:0 0    => spawn queue:0
         50    spawned queue:0
         50.1  exit queue:0 255
           = queue:0 FATAL, queue:1 RUNNING, queue:2 RUNNING
           ! the reload ends here, 2 more keep running as they are
         900   reload            => TERM queue:1",
    );
}

#[test]
fn jitter_spreads_the_restarts_and_the_seed_decides_it() {
    let delays = |seed| {
        let backoff = Backoff { jitter: 0.5, ..service("cat").backoff };
        let plan = ServicePlan { backoff, instances: 20, ..service("cat") };
        let mut core = Supervisor::new(&[plan], &[], secs(25), seed);
        core.handle(Event::Boot, Mono::default());
        let fault = SpawnFault { code: 71 };
        for instance in 0..20 {
            core.handle(Event::SpawnFailed { id: Id::Service { unit: 0, instance }, fault }, Mono::default());
        }
        let snapshot = core.snapshot(Mono::default());
        snapshot.instances.iter().map(|status| status.retry_in.unwrap()).collect::<Vec<_>>()
    };
    let first = delays(1);
    assert_eq!(first, delays(1));
    assert_ne!(first, delays(2));
    assert!(first.iter().all(|delay| (millis(250)..=millis(500)).contains(delay)));
}

#[test]
fn what_is_told_together_leads_to_what_it_leads_to_one_by_one() {
    let plan = ServicePlan { instances: 20, ..service("cat") };
    let fault = SpawnFault { code: 71 };
    let id = |instance| Id::Service { unit: 0, instance };
    let news = |instance: u16| match instance % 3 {
        0 => Event::SpawnFailed { id: id(instance), fault },
        _ => Event::Spawned { id: id(instance), pid: i32::from(instance) + 2 },
    };
    let begin = || {
        let mut core = Supervisor::new(std::slice::from_ref(&plan), &[], secs(25), 1);
        core.handle(Event::Boot, Mono::default());
        core
    };
    let (mut one_by_one, mut together) = (begin(), begin());
    let mut actions = [Vec::new(), Vec::new()];
    for instance in 0..20 {
        one_by_one.handle_all([news(instance)], Mono::default(), &mut actions[0]);
    }
    together.handle_all((0..20).map(news), Mono::default(), &mut actions[1]);
    assert!(actions[0].len() >= 20, "{:?}", actions[0]);
    assert_eq!(actions[0], actions[1]);
    assert_eq!(one_by_one.next_deadline(), together.next_deadline());
    let story = |core: &Supervisor| core.snapshot(Mono::default()).to_string();
    assert_eq!(story(&one_by_one), story(&together));
}
