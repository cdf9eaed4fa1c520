//! `[health]` and `[ecs]`.

use crate::config::values::{At, Dur};
use serde::Deserialize;

/// Health and metrics over HTTP, for whoever cannot run `init health`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Health {
    /// Where `/livez`, `/readyz` and `/metrics` are answered: `host:port` of the loopback, or the path of a socket.
    /// Not given, there is no listener.
    #[cfg_attr(test, schemars(extend("examples" = ["127.0.0.1:9180"])))]
    pub listen: Option<At<String>>,
    /// `true`: `listen` may be an address that others than this container reach. What is answered names services and
    /// their states to everyone who asks.
    #[cfg_attr(test, schemars(extend("default" = false, "examples" = [true])))]
    pub expose: Option<bool>,
}

/// What init does where it runs as a task of ECS.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Ecs {
    /// Services of Laravel's queue workers: while one of them is at a job, the task is protected from being chosen by
    /// a scale-in or a deployment. Read from the lines that a worker writes for each job, so it must not run with
    /// `--quiet`. The task role needs `ecs:UpdateTaskProtection`.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["queue"]], "x-live" = false)))]
    pub scale_in_protection: Option<Vec<At<String>>>,
    /// For how long no worker must have had a job before the protection is lifted. Jobs in quick succession then
    /// cost no more than one request to ECS.
    #[cfg_attr(test, schemars(extend("default" = "1m")))]
    pub release_after: Option<At<Dur>>,
    /// A job that has not ended by then does not protect the task any longer, 1m to 2d.
    #[cfg_attr(test, schemars(extend("default" = "1h")))]
    pub max_job: Option<At<Dur>>,
}
