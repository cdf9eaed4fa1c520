//! `[service.NAME]`.

use super::build::Builder;
use super::{graph, probe};
use crate::config::plan::{
    Backoff, FpmPlan, GiveUp, KillMode, ReadyPlan, Restart, ServicePlan, Signal, StopScope, Then,
};
use crate::config::programs::habit_of;
use crate::config::schema;
use crate::config::values::{At, Command, Count, Dur, Maybe, Sig, show_duration};
use std::time::Duration;

const START_GRACE: Duration = Duration::from_secs(1);
/// Eight workers boot over two seconds instead of at once.
const STAGGER: Duration = Duration::from_millis(250);
/// A queue worker ends after its job; Laravel kills a job after a minute unless told otherwise, and people tell it minutes.
const RELOAD_TIMEOUT: Duration = Duration::from_secs(600);
pub use crate::config::schema::MAX_INSTANCES;
pub const PING_PATH: &str = "/-/fpm-ping";
const STATUS_PATH: &str = "/-/fpm-status";
/// What FPM is given to end by itself before KILL: its own escalation takes a second after its timeout, see
/// php-src sapi/fpm/fpm_process_ctl.c.
const FPM_MARGIN: Duration = Duration::from_secs(2);
/// The defaults that [`schema::Service::umask`] names.
pub const UMASK: u32 = 0o022;

/// The plan of the service `name`, which may wait for the services `present`.
pub fn service(
    builder: &mut Builder<'_>,
    name: &At<String>,
    service: At<schema::Service>,
    present: &[&str],
) -> Option<ServicePlan> {
    let service = service.value;
    if service.command.is_none() {
        let header = format!("[service.{}]", name.value);
        let text = format!("{header} has no command: {}", builder.preset_with(&header));
        builder.missing(name.loc, text);
    }
    let essential = service.essential.unwrap_or(false);
    let [after, requires] = [("after", &service.after), ("requiring", &service.requires)]
        .map(|(key, list)| graph::dependencies(builder, &name.value, key, list.as_deref(), present));
    let stop_timeout = stop_timeout(builder, service.stop_timeout);
    let fpm = service.fpm.and_then(|at| at.value.0).map(|fpm| self::fpm(builder, fpm, stop_timeout));
    let habit = service.command.as_ref().and_then(|At { value: Command(argv), .. }| habit_of(argv));
    let (stop_signal, stop_scope, reload_signal) = match (&fpm, habit) {
        (Some(_), _) => (Signal::QUIT, StopScope::Main, Some(Signal::USR2)),
        (None, Some(habit)) => (habit.stop_signal, habit.stop_scope, habit.reload_signal),
        (None, None) => (Signal::TERM, StopScope::Group, None),
    };
    let root = || habit.filter(|habit| habit.starts_as_root).map(|_| "root".to_owned());
    let (pause_signal, resume_signal) = pause(builder, service.pause_signal, service.resume_signal);
    let ready = service.ready.and_then(|at| at.value.0.map(|ready| (at.loc, ready)));
    let ready = ready.and_then(|(loc, ready)| probe::ready(builder, loc, ready, fpm.as_ref()));
    let warm_up = service.warm_up.and_then(|at| at.value.0.map(|warm_up| (at.loc, warm_up)));
    let warm_up = warm_up.and_then(|(loc, given)| probe::warm_up(builder, loc, given, ready.as_ref()));
    let ready = ready.map(|ready| ReadyPlan { warm_up, ..ready });
    let live = service.live.and_then(|at| at.value.0.map(|live| (at.loc, live)));
    let live = live.and_then(|(loc, live)| probe::live(builder, loc, live, fpm.as_ref()));
    Some(ServicePlan {
        name: name.value.clone(),
        user: builder.user(service.user).or_else(root),
        work_dir: builder.work_dir(service.work_dir),
        env: builder.env(service.env),
        instances: instances(builder, service.instances.as_ref()),
        essential,
        after,
        requires,
        restart: service.restart.map_or(Restart::Always, |word| word.0),
        backoff: backoff(builder, service.backoff.map(|at| at.value).unwrap_or_default()),
        give_up: give_up(builder, service.give_up, essential),
        start_grace: service.start_grace.map_or(START_GRACE, |at| at.value.0),
        stagger: service.stagger.map_or(STAGGER, |at| at.value.0),
        stop_signal: stop_signal_of(builder, service.stop_signal, stop_signal),
        stop_scope: service.stop_scope.map_or(stop_scope, |word| word.0),
        kill_mode: service.kill_mode.map_or(KillMode::All, |word| word.0),
        stop_timeout,
        reload_signal: service.reload_signal.map_or(reload_signal, |at| at.value.0.map(|sig| sig.0)),
        reload_timeout: builder.above_zero(service.reload_timeout, RELOAD_TIMEOUT),
        pause_signal,
        resume_signal,
        ready,
        live,
        fpm,
        log_format: service.log_format.map(|word| word.0),
        on_stall: service.on_stall.map(|word| word.0),
        open_files: service.open_files.map(|at| at.value),
        umask: service.umask.map_or(UMASK, |mode| mode.0),
        command: service.command.map(|At { value: Command(argv), .. }| argv)?,
    })
}

fn stop_timeout(builder: &mut Builder<'_>, given: Option<At<Maybe<Dur>>>) -> Option<Duration> {
    let At { loc, value } = given?;
    let part = value.0?.0;
    builder.within_stop(loc, "stop-timeout", part);
    Some(part)
}

fn instances(builder: &mut Builder<'_>, given: Option<&At<Count<1, MAX_INSTANCES>>>) -> u16 {
    let Some(At { loc, value: Count(count) }) = given else { return 1 };
    if *count == 0 {
        builder.error(*loc, "instances is 1 or more; \"enabled = false\" leaves a service out");
    }
    *count
}

/// KILL and STOP cannot be caught: the first is no request, the second stops nothing for good.
pub fn stop_signal_of(builder: &mut Builder<'_>, given: Option<At<Sig>>, default: Signal) -> Signal {
    let Some(given) = given else { return default };
    let Sig(signal) = given.value;
    // 19 is STOP.
    if signal.number() == 19 {
        builder.error(given.loc, "STOP suspends a process and does not end it: use TERM, QUIT or INT");
    }
    signal
}

/// The signals of a pause: both or none, and none that cannot be caught. A process that STOP has frozen does not obey a
/// stop signal, and stands still in the middle of its work.
fn pause(
    builder: &mut Builder<'_>,
    pause: Option<At<Maybe<Sig>>>,
    resume: Option<At<Maybe<Sig>>>,
) -> (Option<Signal>, Option<Signal>) {
    let signal = |given: Option<At<Maybe<Sig>>>| given.and_then(|at| Some((at.loc, at.value.0?.0)));
    let (pause, resume) = (signal(pause), signal(resume));
    for (loc, given) in [pause, resume].into_iter().flatten() {
        // 19 is STOP.
        if given == Signal::KILL || given.number() == 19 {
            let text =
                format!("{given} cannot be caught: name a signal that the program handles, such as USR2");
            builder.error(loc, text);
        }
    }
    match (pause, resume) {
        (Some((loc, _)), None) => {
            builder.error(loc, "pause-signal needs resume-signal: say what ends the pause")
        }
        (None, Some((loc, _))) => builder.error(loc, "resume-signal needs pause-signal: nothing pauses it"),
        _ => {}
    }
    (pause.map(|(_, signal)| signal), resume.map(|(_, signal)| signal))
}

fn backoff(builder: &mut Builder<'_>, given: schema::Backoff) -> Backoff {
    let max_loc = given.max.as_ref().or(given.initial.as_ref()).map(|at| at.loc).unwrap_or_default();
    let backoff = Backoff {
        initial: builder.at_least("initial", given.initial, Backoff::LEAST_DELAY, Duration::from_millis(500)),
        max: builder.above_zero(given.max, Duration::from_secs(60)),
        factor: given.factor.as_ref().map_or(2.0, |at| at.value),
        jitter: given.jitter.as_ref().map_or(0.2, |at| at.value),
        reset_after: builder.at_least(
            "reset-after",
            given.reset_after,
            Backoff::LEAST_RESET,
            Duration::from_secs(60),
        ),
    };
    if let Some(factor) = given.factor.filter(|at| !(1.0..=1000.0).contains(&at.value)) {
        builder.error(factor.loc, "factor is 1 to 1000: below 1 the delays would shrink");
    }
    if let Some(jitter) = given.jitter.filter(|at| !(0.0..=1.0).contains(&at.value)) {
        builder.error(jitter.loc, "jitter is a share, 0 to 1");
    }
    if backoff.max < backoff.initial {
        let (initial, max) = (show_duration(backoff.initial), show_duration(backoff.max));
        builder.error(max_loc, format!("the longest delay ({max}) is shorter than the first ({initial})"));
    }
    backoff
}

fn give_up(
    builder: &mut Builder<'_>,
    given: Option<At<Maybe<schema::GiveUp>>>,
    essential: bool,
) -> Option<GiveUp> {
    let given = match given {
        None if essential => schema::GiveUp::default(),
        None => return None,
        Some(At { loc, value }) => {
            let value = value.0?;
            if essential && value.then.as_ref().is_some_and(|word| word.0 == Then::Stay) {
                builder.error(
                    loc,
                    "an essential service that gives up ends the container: write then = \"exit\"",
                );
            }
            value
        }
    };
    if let Some(restarts) = given.restarts.as_ref().filter(|at| at.value > GiveUp::MOST_RESTARTS) {
        let text = format!(
            "restarts is at most {}: for a service that never gives up, leave give-up out",
            GiveUp::MOST_RESTARTS
        );
        builder.error(restarts.loc, text);
    }
    Some(GiveUp {
        restarts: given.restarts.map_or(5, |at| at.value),
        within: builder.above_zero(given.within, Duration::from_secs(120)),
        then: given.then.map_or(if essential { Then::Exit } else { Then::Stay }, |word| word.0),
    })
}

fn fpm(builder: &mut Builder<'_>, given: schema::Fpm, stop_timeout: Option<Duration>) -> FpmPlan {
    let budget = stop_timeout.unwrap_or(builder.stop_timeout);
    let rest = Duration::from_secs(budget.saturating_sub(FPM_MARGIN).as_secs());
    if let Some(At { loc, value: Dur(timeout) }) = &given.process_control_timeout {
        builder.within_stop(*loc, "process-control-timeout", *timeout);
        if timeout.subsec_millis() != 0 {
            builder.error(*loc, "process-control-timeout is in whole seconds: PHP-FPM counts no others");
        }
    }
    for (key, path) in [("ping-path", &given.ping_path), ("status-path", &given.status_path)] {
        if let Some(path) = path.as_ref().filter(|path| !path.value.starts_with('/')) {
            builder.error(path.loc, format!("{key} begins with \"/\""));
        }
    }
    let work_dir = builder.paths.work_dir.clone();
    FpmPlan {
        config: given.config.map(|path| builder.path(&path, &work_dir)),
        process_control_timeout: builder
            .above_zero(given.process_control_timeout, rest.max(Duration::from_secs(1))),
        ping_path: given.ping_path.map_or(PING_PATH.to_owned(), |at| at.value),
        status_path: given.status_path.map_or(STATUS_PATH.to_owned(), |at| at.value),
        status_socket: given.status_socket.unwrap_or(false),
    }
}
