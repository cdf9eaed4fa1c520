//! Plans for tests: plain values, to be changed by struct update.

use crate::config::plan::*;
use std::time::Duration;

pub fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

pub fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Restarts always without jitter, has no probe, a grace of one second, no dependencies.
pub fn service(name: &str) -> ServicePlan {
    ServicePlan {
        name: name.to_owned(),
        command: vec!["sleep".to_owned(), "infinity".to_owned()],
        user: None,
        work_dir: None,
        env: Env::new(),
        instances: 1,
        essential: false,
        after: Vec::new(),
        requires: Vec::new(),
        restart: Restart::Always,
        backoff: Backoff {
            initial: millis(500),
            factor: 2.0,
            max: secs(60),
            jitter: 0.0,
            reset_after: secs(60),
        },
        give_up: None,
        start_grace: secs(1),
        stagger: Duration::ZERO,
        stop_signal: Signal::TERM,
        stop_scope: StopScope::Main,
        kill_mode: KillMode::All,
        stop_timeout: None,
        reload_signal: None,
        reload_timeout: secs(600),
        pause_signal: None,
        resume_signal: None,
        ready: None,
        live: None,
        fpm: None,
        log_format: None,
        on_stall: None,
        open_files: None,
        umask: 0o022,
    }
}

/// PHP-FPM as the preset has it: essential, QUIT to the master, a FastCGI probe.
pub fn fpm() -> ServicePlan {
    ServicePlan {
        command: words("php-fpm -F"),
        essential: true,
        stop_signal: Signal::QUIT,
        reload_signal: Some(Signal::USR2),
        ready: Some(ready(secs(30))),
        ..service("php-fpm")
    }
}

/// A queue worker after PHP-FPM.
pub fn queue(instances: u16) -> ServicePlan {
    ServicePlan {
        command: words("php artisan queue:work --max-time=3600"),
        instances,
        after: vec!["php-fpm".to_owned()],
        ..service("queue")
    }
}

pub fn ready(deadline: Duration) -> ReadyPlan {
    let probe = ProbePlan::FastCgi { address: "127.0.0.1:9000".to_owned(), path: "/-/fpm-ping".to_owned() };
    ReadyPlan { probe, interval: millis(50), timeout: secs(1), deadline, successes: 1, warm_up: None }
}

/// `schedule:run` every minute, side by side up to ten.
pub fn cron(name: &str) -> CronPlan {
    CronPlan {
        name: name.to_owned(),
        schedule: "* * * * *".to_owned(),
        time_zone: None,
        command: words("php artisan schedule:run"),
        user: None,
        work_dir: None,
        env: Env::new(),
        overlap: Overlap::Allow,
        max_running: 10,
        timeout: None,
        jitter: Duration::ZERO,
        stop_signal: Signal::TERM,
        log_format: None,
        on_stall: None,
        umask: 0o022,
    }
}

pub fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

pub fn live() -> LivePlan {
    let probe = ProbePlan::Tcp { address: "127.0.0.1:80".to_owned() };
    LivePlan { probe, interval: secs(10), timeout: secs(1), failures: 3, successes: 1 }
}
