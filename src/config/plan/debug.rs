//! `Debug` of a plan, for failing tests and for nobody's log: shapes where there may be secrets.
//!
//! Every pattern is exhaustive, so a new field is either shown or hidden, and never forgotten.

use super::{CronPlan, Env, FilePlan, MigratePlan, Plan, ProbePlan, ReloadPlan, ServicePlan, StepPlan};
use std::fmt;

/// Something is there.
struct Hidden;

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The names of variables.
struct Names<'a>(&'a Env);

impl fmt::Debug for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.0.keys().map(|name| (name, Hidden))).finish()
    }
}

/// The program, and how many arguments it gets.
struct Program<'a>(&'a [String]);

impl fmt::Debug for Program<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (program, arguments) = self.0.split_at(self.0.len().min(1));
        f.debug_list().entries(program).entries(arguments.iter().map(|_| Hidden)).finish()
    }
}

/// `s3://***`: what kind of place it is.
struct Scheme<'a>(&'a str);

impl fmt::Debug for Scheme<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.split_once("://").map_or(String::new(), |(scheme, _)| format!("{scheme}://"));
        write!(f, "{scheme}***")
    }
}

/// Whether it is there.
struct There<'a>(&'a Option<String>);

impl fmt::Debug for There<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map(|_| Hidden).fmt(f)
    }
}

macro_rules! debug {
    ($type:ident { $($shown:ident)* } hides { $($hidden:ident: $how:ident)+ }) => {
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self { $($shown,)* $($hidden,)+ } = self;
                let mut text = f.debug_struct(stringify!($type));
                $(text.field(stringify!($shown), $shown);)*
                $(text.field(stringify!($hidden), &$how($hidden));)+
                text.finish()
            }
        }
    };
}

debug!(Plan {
    preset config_file role state_dir work_dir user stop_timeout pass_env writable directories crontabs log health ecs control files
    boot reload migrate services crons
} hides { env: Names });

debug!(FilePlan {
    path format mode owner required timeout max_size require_keys certificate decrypt region path_style refresh on_change
} hides { source: Scheme endpoint: There });

debug!(ReloadPlan {} hides { caches: Names });

debug!(StepPlan { name user work_dir timeout verify umask } hides { command: Program env: Names });

debug!(MigratePlan { user lock_timeout lock_code timeout } hides { command: Program env: Names });

debug!(ServicePlan {
    name user work_dir instances essential after requires restart backoff give_up start_grace stagger stop_signal
    stop_scope kill_mode stop_timeout reload_signal reload_timeout pause_signal
    resume_signal ready live fpm log_format on_stall open_files umask
} hides { command: Program env: Names });

debug!(CronPlan {
    name schedule time_zone user work_dir overlap max_running timeout jitter stop_signal log_format on_stall umask
} hides { command: Program env: Names });

impl fmt::Debug for ProbePlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FastCgi { address, path } => {
                f.debug_struct("FastCgi").field("address", address).field("path", path).finish()
            }
            Self::Tcp { address } => f.debug_struct("Tcp").field("address", address).finish(),
            Self::Unix { path } => f.debug_struct("Unix").field("path", path).finish(),
            Self::Http { address, path, host, status } => {
                // A query may hold a token.
                let path = path.split('?').next().unwrap_or_default();
                let mut text = f.debug_struct("Http");
                text.field("address", address).field("path", &path);
                text.field("host", host).field("status", status).finish()
            }
            Self::Command { command } => {
                f.debug_struct("Command").field("command", &Program(command)).finish()
            }
            Self::Notify => f.write_str("Notify"),
            Self::NotifyFd { fd } => f.debug_struct("NotifyFd").field("fd", fd).finish(),
        }
    }
}
