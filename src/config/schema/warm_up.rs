//! `warm-up` of a service.

use super::MOST_PARALLEL;
use crate::config::values::{At, Count, Dur};
use serde::Deserialize;

/// Files that are compiled into PHP-FPM's opcache after it has started and before it counts as ready, by a script that
/// init asks the pool to run. It needs `ready = { fastcgi = … }`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct WarmUp {
    /// Files, and directories whose `.php` files are meant, relative to `work-dir`. What begins with a dot is left out.
    #[cfg_attr(test, schemars(extend("examples" = [["app", "vendor"]])))]
    pub paths: Option<Vec<At<String>>>,
    /// Files and directories of these that are left out.
    #[cfg_attr(test, schemars(extend("default" = [], "examples" = [["vendor/bin"]])))]
    pub exclude: Option<Vec<At<String>>>,
    /// The most time it takes. What is left then is compiled when it is asked for, as ever.
    #[cfg_attr(test, schemars(extend("default" = "10s")))]
    pub budget: Option<At<Dur>>,
    /// How many requests share the files, 1 to 64. Each takes a worker of the pool.
    #[cfg_attr(test, schemars(extend("default" = 4)))]
    pub parallel: Option<At<Count<1, MOST_PARALLEL>>>,
}
