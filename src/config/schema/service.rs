//! `[service.NAME]` and `[cron.NAME]`.

use super::probe::{Live, Ready};
use super::{MAX_INSTANCES, WarmUp};
use crate::config::plan::{KillMode, LogFormat, OnStall, Overlap, Restart, StopScope, Then};
use crate::config::values::{At, Command, Count, Dur, Maybe, Mode, Named, Plain, Sig, Word};
use serde::Deserialize;

/// A program that is kept running.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Service {
    /// `false` leaves the service out.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub enabled: Option<bool>,
    /// The roles it runs in. Without `--role` or `INIT_ROLE` everything runs; with one, what lists it or lists none.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["web"]])))]
    pub roles: Option<Vec<At<String>>>,
    /// The program and its arguments. It must stay in the foreground.
    #[cfg_attr(test, schemars(extend("examples" = [["php-fpm", "-F"]])))]
    pub command: Option<At<Command>>,
    /// Who runs it. Not given, it is the top-level `user`; for PHP-FPM, nginx and Apache it is `root`, whose master runs its
    /// workers as another user itself.
    #[cfg_attr(test, schemars(extend("examples" = ["root"])))]
    pub user: Option<At<Plain>>,
    /// Where it runs. Not given, it is the top-level `work-dir`.
    #[cfg_attr(test, schemars(extend("examples" = ["/var/www/html"])))]
    pub work_dir: Option<At<String>>,
    /// Variables over those of the top level.
    #[cfg_attr(test, schemars(extend("examples" = [{"LOG_CHANNEL": "stderr"}])))]
    pub env: Option<Named<Plain>>,
    /// How many run side by side, 1 to 1000.
    #[cfg_attr(test, schemars(extend("default" = 1)))]
    pub instances: Option<At<Count<1, MAX_INSTANCES>>>,
    /// Its permanent failure ends the container with its exit code.
    #[cfg_attr(test, schemars(extend("default" = false, "examples" = [true])))]
    pub essential: Option<bool>,
    /// Services that must be up before this one starts: ready, where they have a probe. They stop after it. One
    /// that does not run in this role is not waited for.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["nginx"]], "x-live" = false)))]
    pub after: Option<Vec<At<String>>>,
    /// As `after`; and when one of them fails for good, so does this one.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["nginx"]], "x-live" = false)))]
    pub requires: Option<Vec<At<String>>>,
    /// When it is started again after it ended.
    #[cfg_attr(test, schemars(extend("default" = "always")))]
    pub restart: Option<Word<Restart>>,
    /// The delays between restarts while it keeps ending soon after its start, whatever its exit code.
    pub backoff: Option<At<Backoff>>,
    /// When init stops to restart it: after too many restarts within a time, or after more attempts in a row than that which did
    /// not get ready, however long each took. `"none"`: never. The default is none, and for an essential service
    /// `{ restarts = 5, within = "2m", then = "exit" }`.
    pub give_up: Option<At<Maybe<GiveUp>>>,
    /// How long it must live to count as RUNNING, where it has no `ready`.
    #[cfg_attr(test, schemars(extend("default" = "1s")))]
    pub start_grace: Option<At<Dur>>,
    /// The time between the starts of two instances, so that they do not all boot at once.
    #[cfg_attr(test, schemars(extend("default" = "250ms")))]
    pub stagger: Option<At<Dur>>,
    /// What a stop sends. The default is what lets the program finish its work where it is known (`QUIT` for PHP-FPM and nginx,
    /// `WINCH` for Apache), and `TERM` otherwise.
    #[cfg_attr(test, schemars(extend("examples" = ["QUIT"])))]
    pub stop_signal: Option<At<Sig>>,
    /// Who gets it: the main process alone, or its whole process group. KILL always goes to the group. The default
    /// is `main` for programs that stop their own children (PHP-FPM, nginx, Apache, Horizon, Octane, RoadRunner, FrankenPHP, Caddy,
    /// supercronic), and `group` otherwise.
    #[cfg_attr(test, schemars(extend("examples" = ["main"])))]
    pub stop_scope: Option<Word<StopScope>>,
    /// Which processes end with an instance, before it is started again and when it is stopped. `all` finds daemons in
    /// sessions of their own by the variable `INIT_INSTANCE`, which init sets and they inherit. With `group` such a daemon
    /// outlives the instance, one more after each restart, until the container stops.
    #[cfg_attr(test, schemars(extend("default" = "all")))]
    pub kill_mode: Option<Word<KillMode>>,
    /// From the stop signal to KILL. Not given, or `"none"`: all that the top-level `stop-timeout` leaves.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["20s"])))]
    pub stop_timeout: Option<At<Maybe<Dur>>>,
    /// What a reload sends to the main process; `"none"`: a reload restarts the instances one by one. The default
    /// is `none`, and for a service with `fpm` `USR2`.
    #[cfg_attr(test, schemars(extend("examples" = ["USR2"])))]
    pub reload_signal: Option<At<Maybe<Sig>>>,
    /// How long a reload that restarts instances waits for one to end before KILL: a worker may finish its job. A stop
    /// of the container does not wait so long.
    #[cfg_attr(test, schemars(extend("default" = "10m")))]
    pub reload_timeout: Option<At<Dur>>,
    /// What `init pause` sends to the main process of each instance that is RUNNING. One that ends while paused stays
    /// down until `init resume`. `"none"`: the service does not take part in a pause.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["USR2"])))]
    pub pause_signal: Option<At<Maybe<Sig>>>,
    /// What `init resume` sends to those that were paused. It goes with `pause-signal`.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["CONT"])))]
    pub resume_signal: Option<At<Maybe<Sig>>>,
    /// How to find out that it is ready; `"none"`: `start-grace` decides.
    pub ready: Option<At<Maybe<Ready>>>,
    /// How to find out that it still works once it is RUNNING. One that does not is restarted as one that failed. Not
    /// given, or `"none"`: only its end counts.
    pub live: Option<At<Maybe<Live>>>,
    /// For PHP-FPM: files that are compiled before it counts as ready; `"none"`: none.
    pub warm_up: Option<At<Maybe<WarmUp>>>,
    /// For PHP-FPM: what init adds to its configuration. `{}` takes all the defaults.
    pub fpm: Option<At<Maybe<Fpm>>>,
    /// Another format than that of `[log]`.
    #[cfg_attr(test, schemars(extend("examples" = ["prefix"])))]
    pub log_format: Option<Word<LogFormat>>,
    /// Another `on-stall` than that of `[log]`.
    #[cfg_attr(test, schemars(extend("examples" = ["drop"])))]
    pub on_stall: Option<Word<OnStall>>,
    /// Soft limit of open files. Not given, it is init's own.
    #[cfg_attr(test, schemars(extend("examples" = [65536])))]
    pub open_files: Option<At<u64>>,
    /// File mode creation mask, in octal.
    #[cfg_attr(test, schemars(extend("default" = "0022")))]
    pub umask: Option<Mode>,
}

/// Delays between restarts: `initial`, then each time `factor` longer, up to `max`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Backoff {
    /// The first delay, 10 ms or longer.
    #[cfg_attr(test, schemars(extend("default" = "500ms")))]
    pub initial: Option<At<Dur>>,
    /// How much longer each next delay is, 1 or more.
    #[cfg_attr(test, schemars(extend("default" = 2.0)))]
    pub factor: Option<At<f64>>,
    /// The longest delay.
    #[cfg_attr(test, schemars(extend("default" = "60s")))]
    pub max: Option<At<Dur>>,
    /// The share of the delay that is random, 0 to 1.
    #[cfg_attr(test, schemars(extend("default" = 0.2)))]
    pub jitter: Option<At<f64>>,
    /// The uptime after which earlier failures are forgotten, 100 ms or longer.
    #[cfg_attr(test, schemars(extend("default" = "60s")))]
    pub reset_after: Option<At<Dur>>,
}

/// How many restarts within which time are too many, and what then.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct GiveUp {
    /// So many restarts, 1000 at most.
    #[cfg_attr(test, schemars(extend("default" = 5)))]
    pub restarts: Option<At<u32>>,
    /// Within this time.
    #[cfg_attr(test, schemars(extend("default" = "2m")))]
    pub within: Option<At<Dur>>,
    /// What giving up means. The default is `exit` for an essential service and `stay` for others.
    #[cfg_attr(test, schemars(extend("examples" = ["exit"])))]
    pub then: Option<Word<Then>>,
}

/// What init adds to PHP-FPM's own configuration, in a file in `state-dir` that it passes by `-y`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Fpm {
    /// PHP-FPM's main configuration. Not given, it is the first that exists of the usual places.
    #[cfg_attr(test, schemars(extend("examples" = ["/usr/local/etc/php-fpm.conf"])))]
    pub config: Option<At<String>>,
    /// How long requests may go on after a stop signal, unless the image's own configuration says so. PHP-FPM's
    /// default is 0, which cuts them off. Not given, it is two seconds less than the service's `stop-timeout`.
    #[cfg_attr(test, schemars(extend("examples" = ["20s"])))]
    pub process_control_timeout: Option<At<Dur>>,
    /// `ping.path` of every pool that sets none.
    #[cfg_attr(test, schemars(extend("default" = "/-/fpm-ping")))]
    pub ping_path: Option<At<String>>,
    /// `pm.status_path` of every pool that sets none: what `/metrics` asks for.
    #[cfg_attr(test, schemars(extend("default" = "/-/fpm-status")))]
    pub status_path: Option<At<String>>,
    /// `true`: the status is asked for on a socket of its own in `state-dir`, which answers while every worker is
    /// busy too. PHP 8.0 or later: an older one does not start with it. Under a root init, a master of another user
    /// makes none there.
    #[cfg_attr(test, schemars(extend("default" = false, "examples" = [true])))]
    pub status_socket: Option<bool>,
}

/// A program that runs on a schedule.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Cron {
    /// `false` leaves the entry out.
    #[cfg_attr(test, schemars(extend("default" = true)))]
    pub enabled: Option<bool>,
    /// The roles it runs in. Without `--role` or `INIT_ROLE` everything runs; with one, what lists it or lists none.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["scheduler"]])))]
    pub roles: Option<Vec<At<String>>>,
    /// When it runs: minute, hour, day of month, month, day of week; with seconds in front, six fields; or `@hourly`
    /// and its like. Never at boot, and never twice for one minute.
    #[cfg_attr(test, schemars(extend("examples" = ["* * * * *"])))]
    pub schedule: Option<At<String>>,
    /// The zone of the schedule, such as `Europe/Berlin`. Not given, it is UTC.
    #[cfg_attr(test, schemars(extend("examples" = ["Europe/Berlin"])))]
    pub time_zone: Option<At<String>>,
    /// The program and its arguments.
    #[cfg_attr(test, schemars(extend("examples" = [["php", "artisan", "schedule:run", "--no-interaction"]])))]
    pub command: Option<At<Command>>,
    /// Who runs it. Not given, it is the top-level `user`.
    #[cfg_attr(test, schemars(extend("examples" = ["www-data"])))]
    pub user: Option<At<Plain>>,
    /// Where it runs. Not given, it is the top-level `work-dir`.
    #[cfg_attr(test, schemars(extend("examples" = ["/var/www/html"])))]
    pub work_dir: Option<At<String>>,
    /// Variables over those of the top level.
    #[cfg_attr(test, schemars(extend("examples" = [{"LOG_CHANNEL": "stderr"}])))]
    pub env: Option<Named<Plain>>,
    /// What happens when it is due while an earlier run goes on.
    #[cfg_attr(test, schemars(extend("default" = "allow")))]
    pub overlap: Option<Word<Overlap>>,
    /// The most runs at a time with `overlap = "allow"`, 1 or more.
    #[cfg_attr(test, schemars(extend("default" = 10)))]
    pub max_running: Option<At<Count<1, { u16::MAX }>>>,
    /// After which a run is stopped. Not given, or `"none"`: never.
    #[cfg_attr(test, schemars(extend("default" = "none", "examples" = ["10m"])))]
    pub timeout: Option<At<Maybe<Dur>>>,
    /// The greatest random delay of a run.
    #[cfg_attr(test, schemars(extend("default" = "0s")))]
    pub jitter: Option<At<Dur>>,
    /// What a stop or the timeout sends to the run's whole process group.
    #[cfg_attr(test, schemars(extend("default" = "TERM")))]
    pub stop_signal: Option<At<Sig>>,
    /// Another format than that of `[log]`.
    #[cfg_attr(test, schemars(extend("examples" = ["prefix"])))]
    pub log_format: Option<Word<LogFormat>>,
    /// Another `on-stall` than that of `[log]`.
    #[cfg_attr(test, schemars(extend("examples" = ["drop"])))]
    pub on_stall: Option<Word<OnStall>>,
    /// File mode creation mask, in octal.
    #[cfg_attr(test, schemars(extend("default" = "0022")))]
    pub umask: Option<Mode>,
}
