//! `ready` and `live` of a service.

use crate::config::plan::{LiveNotify, ReadyNotify};
use crate::config::values::{At, Codes, Command, Count, Dur, Word};
use serde::Deserialize;

/// A probe: one of `fastcgi`, `tcp`, `unix`, `http` and `command`, tried until it answers; or `notify` or `notify-fd`, by
/// which the service tells of itself.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ready {
    /// `host:port` or `/path/to.sock`, asked for `path` as a web server would. Any complete answer is ready.
    #[cfg_attr(test, schemars(extend("examples" = ["127.0.0.1:9000"])))]
    pub fastcgi: Option<At<String>>,
    /// What `fastcgi` asks for. Not given, it is the `ping-path` of `fpm`.
    #[cfg_attr(test, schemars(extend("default" = "/-/fpm-ping")))]
    pub path: Option<At<String>>,
    /// `host:port` that must accept a connection.
    #[cfg_attr(test, schemars(extend("examples" = ["127.0.0.1:8080"], "x-live" = false)))]
    pub tcp: Option<At<String>>,
    /// A socket that must accept a connection.
    #[cfg_attr(test, schemars(extend("examples" = ["/run/app.sock"], "x-live" = false)))]
    pub unix: Option<At<String>>,
    /// A URL that must answer a GET with `status`, in time. The host is `localhost` or an IP address, since no names are
    /// resolved, or a socket as nginx writes it: `http://unix:/run/app.sock:/health`. Not `https`: what is asked is in this
    /// container.
    #[cfg_attr(test, schemars(extend("examples" = ["http://127.0.0.1:8080/health"], "x-live" = false)))]
    pub http: Option<At<String>>,
    /// What `http` must answer: a status, a range, or several with commas, such as `"200,204"`. Not given, it is
    /// `"200-399"`. Redirects are not followed.
    #[cfg_attr(test, schemars(extend("examples" = ["200-299"], "x-live" = false)))]
    pub status: Option<At<Codes>>,
    /// The `Host` header of `http`. Not given, it is the URL's own host.
    #[cfg_attr(test, schemars(extend("examples" = ["www.example.com"], "x-live" = false)))]
    pub host: Option<At<String>>,
    /// A program that must exit 0 within `timeout`, after which it is killed. It runs as the service's user, in its
    /// directory and with its environment; its last line on stderr is told as the reason.
    #[cfg_attr(test, schemars(extend("examples" = [["php", "artisan", "app:ready"]], "x-live" = false)))]
    pub command: Option<At<Command>>,
    /// The service tells by itself.
    #[cfg_attr(test, schemars(extend("examples" = ["socket"], "x-live" = false)))]
    pub notify: Option<At<Word<ReadyNotify>>>,
    /// The service writes a line feed to this descriptor, 3 to 255, as under s6. What it writes before is ignored.
    #[cfg_attr(test, schemars(extend("examples" = [3], "x-live" = false)))]
    pub notify_fd: Option<At<Count<3, 255>>>,
    /// The time between two attempts. Who takes long is asked less often: the time grows to a tenth of what has passed, up to a
    /// second.
    #[cfg_attr(test, schemars(extend("default" = "50ms")))]
    pub interval: Option<At<Dur>>,
    /// Of one attempt.
    #[cfg_attr(test, schemars(extend("default" = "1s")))]
    pub timeout: Option<At<Dur>>,
    /// So many attempts in a row must succeed.
    #[cfg_attr(test, schemars(extend("default" = 1)))]
    pub successes: Option<At<u32>>,
    /// After which a service that is not ready is restarted as failed.
    #[cfg_attr(test, schemars(extend("default" = "30s")))]
    pub deadline: Option<At<Dur>>,
}

/// A probe: one of `fastcgi`, `tcp`, `unix`, `http` and `command`, tried again and again; or `notify`, by which the
/// service tells of itself. A listener whose queue is full, and a PHP-FPM whose workers are all busy, is degraded, not dead:
/// that is told and counted, and nothing is restarted.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Live {
    /// As in `ready`. The ping is answered by a worker: no answer in time is degraded, unless the processes are stopped.
    #[cfg_attr(test, schemars(extend("examples" = ["127.0.0.1:9000"])))]
    pub fastcgi: Option<At<String>>,
    /// What `fastcgi` asks for. Not given, it is the `ping-path` of `fpm`.
    #[cfg_attr(test, schemars(extend("default" = "/-/fpm-ping")))]
    pub path: Option<At<String>>,
    /// `host:port` that must accept a connection.
    #[cfg_attr(test, schemars(extend("examples" = ["127.0.0.1:8080"], "x-live" = false)))]
    pub tcp: Option<At<String>>,
    /// A socket that must accept a connection.
    #[cfg_attr(test, schemars(extend("examples" = ["/run/app.sock"], "x-live" = false)))]
    pub unix: Option<At<String>>,
    /// As in `ready`. Here no answer in time is a failure, so ask for what needs no worker of a busy PHP-FPM.
    #[cfg_attr(test, schemars(extend("examples" = ["http://127.0.0.1:8080/health"], "x-live" = false)))]
    pub http: Option<At<String>>,
    /// What `http` must answer. Not given, it is `"200-399"`.
    #[cfg_attr(test, schemars(extend("examples" = ["200-299"], "x-live" = false)))]
    pub status: Option<At<Codes>>,
    /// The `Host` header of `http`. Not given, it is the URL's own host.
    #[cfg_attr(test, schemars(extend("examples" = ["www.example.com"], "x-live" = false)))]
    pub host: Option<At<String>>,
    /// As in `ready`.
    #[cfg_attr(test, schemars(extend("examples" = [["php", "artisan", "app:live"]], "x-live" = false)))]
    pub command: Option<At<Command>>,
    /// The service tells by itself, again and again: WATCHDOG_USEC tells it the `interval`.
    #[cfg_attr(test, schemars(extend("examples" = ["watchdog"], "x-live" = false)))]
    pub notify: Option<At<Word<LiveNotify>>>,
    /// The time between two attempts; of `notify`, the time within which the service must tell again.
    #[cfg_attr(test, schemars(extend("default" = "10s")))]
    pub interval: Option<At<Dur>>,
    /// Of one attempt.
    #[cfg_attr(test, schemars(extend("default" = "5s")))]
    pub timeout: Option<At<Dur>>,
    /// So many attempts that fail in a row restart it.
    #[cfg_attr(test, schemars(extend("default" = 3)))]
    pub failures: Option<At<u32>>,
    /// So many that succeed in a row after a failure make it alive again.
    #[cfg_attr(test, schemars(extend("default" = 1)))]
    pub successes: Option<At<u32>>,
}
