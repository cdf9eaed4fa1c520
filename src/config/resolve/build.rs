//! From the schema to the plan: defaults, and checks of what the types cannot say.

use super::merge::{Expansion, Merged, Paths, narrow, raw, tidy};
use super::{Layers, check, entries, graph, observe, runs_in, service};
use crate::config::error::ConfigError;
use crate::config::expand::has_reference;
use crate::config::load::PRESETS;
use crate::config::plan::{ControlPlan, Env, LogPlan, Plan, ServicePlan};
use crate::config::schema::{Config, Control, Log, Service};
use crate::config::secret::hide_value;
use crate::config::told;
use crate::config::tree::{Loc, Node, Source, error_at};
use crate::config::values::{At, Dur, Named, Plain, Size, show_duration, show_size};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Below ECS's default `stopTimeout` of 30 s, with time to flush logs and exit.
const STOP_TIMEOUT: Duration = Duration::from_secs(25);
/// Holds a 100 kB line; fits a CloudWatch event of 256 KiB even with JSON's escapes around it.
const MAX_LINE: u64 = 128 << 10;
const MAX_LINE_RANGE: std::ops::RangeInclusive<u64> = 1 << 10..=16 << 20;
/// Some thousand lines.
const LOG_TAIL: u64 = 64 << 10;
const LOG_TAIL_MAX: u64 = 16 << 20;
/// The control socket in the state directory.
const SOCKET: &str = "init.sock";

/// Collects errors while the plan is built.
pub struct Builder<'a> {
    sources: &'a [Source],
    root: &'a Node,
    errors: &'a mut Vec<ConfigError>,
    /// There were errors before: a key that seems to be missing may be one of them.
    incomplete: bool,
    pub paths: &'a Paths,
    /// Names of all services, of whatever role.
    pub declared: &'a [String],
    /// Texts with values of variables in them: no message shows any of it.
    expanded: &'a [Expansion],
    /// The preset below all.
    preset: &'a str,
    /// Why it is this one, where nobody chose it.
    why_preset: Option<String>,
    /// The plan is made to be printed: texts are still to be expanded, and have been checked.
    prints: bool,
    pub stop_timeout: Duration,
}

impl Builder<'_> {
    /// Reports what is wrong at `loc`, with nothing of a variable's value.
    pub fn error(&mut self, loc: Loc, message: impl Into<String>) {
        let within =
            |whole: Loc| whole.layer == loc.layer && whole.start <= loc.start && loc.end <= whole.end;
        let mut message = message.into();
        for Expansion { value, written, .. } in self.expanded.iter().filter(|found| within(found.loc)) {
            message = hide_value(&message, value, written);
        }
        self.errors.push(error_at(self.sources, loc, message));
    }

    /// Whether a text is still to be expanded, so that nothing can be said of it.
    pub fn is_open(&self, text: &str) -> bool {
        self.prints && has_reference(text)
    }

    /// Reports bytes `start..end` of the string at `at`.
    pub fn error_within(&mut self, at: &At<String>, start: usize, end: usize, message: impl Into<String>) {
        let loc = narrow(self.sources, at.loc, &at.value, start, end);
        self.error(loc, message);
    }

    /// The key at `loc` and its table, to begin a sentence with.
    pub fn subject(&self, loc: Loc) -> String {
        told::subject(self.root, loc).unwrap_or_else(|| "this".to_owned())
    }

    /// What to do about `[service.NAME]`, `[cron.NAME]` without a command: it may be meant for another preset than this one.
    pub fn preset_with(&self, header: &str) -> String {
        let others = PRESETS.iter().filter(|(_, text)| text.lines().any(|line| line == header));
        let others: Vec<String> = others.map(|(name, _)| format!("preset = \"{name}\"")).collect();
        if others.is_empty() {
            return "say what to run".to_owned();
        }
        let why = self.why_preset.as_ref().map_or_else(String::new, |why| format!(", chosen since {why}"));
        format!(
            "the preset is \"{}\"{why}, and has none; say what to run, or choose one that has it: {}",
            self.preset,
            others.join(" or ")
        )
    }

    /// Reports `complaint`, if there is one.
    pub fn check(&mut self, loc: Loc, complaint: Option<String>) {
        if let Some(message) = complaint {
            self.error(loc, message);
        }
    }

    /// Reports a key that must be there.
    pub fn missing(&mut self, loc: Loc, message: String) {
        if !self.incomplete {
            self.error(loc, message);
        }
    }

    /// How a string is quoted in a message: as written, when it was written with `${VAR}`.
    pub fn show(&self, at: &At<String>) -> String {
        let raw = raw(self.sources, at.loc);
        if raw.contains("${") { raw.trim_matches(['"', '\'']).to_owned() } else { at.value.clone() }
    }

    /// An absolute path; `base` is what a relative one is relative to.
    pub fn path(&mut self, text: &At<String>, base: &Path) -> PathBuf {
        if text.value.is_empty() {
            let what = format!("{} is an empty path", self.subject(text.loc));
            self.error(text.loc, what);
        }
        self.check(text.loc, check::no_parent(&text.value));
        // Whether it is relative is not known before it is expanded.
        if self.is_open(&text.value) && text.value.starts_with("${") {
            return PathBuf::from(&text.value);
        }
        tidy(&base.join(&text.value))
    }

    pub fn paths(&mut self, list: Option<Vec<At<String>>>, base: &Path) -> Vec<PathBuf> {
        let mut out: Vec<PathBuf> = Vec::new();
        for text in list.unwrap_or_default() {
            let path = self.path(&text, base);
            if !out.contains(&path) {
                out.push(path);
            }
        }
        out
    }

    pub fn work_dir(&mut self, text: Option<At<String>>) -> Option<PathBuf> {
        let base = self.paths.work_dir.clone();
        text.map(|text| self.path(&text, &base))
    }

    pub fn user(&mut self, user: Option<At<Plain>>) -> Option<String> {
        let user = user?;
        self.check(user.loc, check::user(&user.value.0));
        Some(user.value.0)
    }

    pub fn env(&mut self, env: Option<Named<Plain>>) -> Env {
        let mut out = Env::new();
        for (name, value) in env.unwrap_or_default().0 {
            self.check(name.loc, check::variable(&name.value));
            out.insert(name.value, value.value.0);
        }
        out
    }

    /// A duration that must not be zero.
    pub fn above_zero(&mut self, given: Option<At<Dur>>, default: Duration) -> Duration {
        let Some(given) = given else { return default };
        if given.value.0.is_zero() {
            let text = format!("{} must be longer than 0", self.subject(given.loc));
            self.error(given.loc, text);
        }
        given.value.0
    }

    /// A duration of at least `least`.
    pub fn at_least(
        &mut self,
        key: &str,
        given: Option<At<Dur>>,
        least: Duration,
        default: Duration,
    ) -> Duration {
        let Some(At { loc, value: Dur(value) }) = given else { return default };
        if value < least {
            self.error(loc, format!("{key} is {} or longer", show_duration(least)));
        }
        value
    }

    fn stop_timeout(&mut self, given: Option<At<Dur>>) -> Duration {
        let stop_timeout = self.above_zero(given, STOP_TIMEOUT);
        self.stop_timeout = stop_timeout;
        stop_timeout
    }

    fn absolute(&mut self, key: &str, text: Option<&At<String>>) {
        let Some(text) = text else { return };
        if !text.value.starts_with('/') {
            self.error(text.loc, format!("{key} is an absolute path: it begins with \"/\""));
        }
        self.check(text.loc, check::no_parent(&text.value));
    }

    fn log(&mut self, log: Log) -> LogPlan {
        let max_line = log.max_line.map_or(MAX_LINE, |given| {
            let Size(bytes) = given.value;
            if !MAX_LINE_RANGE.contains(&bytes) {
                let (least, most) = (show_size(*MAX_LINE_RANGE.start()), show_size(*MAX_LINE_RANGE.end()));
                self.error(given.loc, format!("max-line is {least} to {most}"));
            }
            bytes
        });
        LogPlan {
            format: log.format.map(|word| word.0).unwrap_or_default(),
            level: log.level.map(|word| word.0).unwrap_or_default(),
            on_stall: log.on_stall.map(|word| word.0).unwrap_or_default(),
            max_line: usize::try_from(max_line).unwrap_or(usize::MAX),
        }
    }

    fn control(&mut self, control: Control, state_dir: &Path) -> ControlPlan {
        let socket = match control.socket {
            None => Some(tidy(&state_dir.join(SOCKET))),
            Some(At { loc, value }) => value.0.map(|value| self.path(&At { loc, value }, state_dir)),
        };
        let log_tail = control.log_tail.map_or(LOG_TAIL, |given| {
            let Size(bytes) = given.value;
            if bytes > LOG_TAIL_MAX {
                self.error(given.loc, format!("log-tail is at most {}", show_size(LOG_TAIL_MAX)));
            }
            bytes
        });
        ControlPlan { socket, log_tail: usize::try_from(log_tail).unwrap_or(usize::MAX) }
    }

    /// A part of the stop, which must fit into the whole of it.
    pub fn within_stop(&mut self, loc: Loc, what: &str, part: Duration) {
        if part > self.stop_timeout {
            let (part, whole) = (show_duration(part), show_duration(self.stop_timeout));
            self.error(
                loc,
                format!(
                    "{what} ({part}) is longer than the whole stop ({whole}): raise the top-level stop-timeout, \
                     and the platform's (ECS: stopTimeout)"
                ),
            );
        }
    }
}

/// Builds the plan for `wanted` roles. With errors, the plan is not to be used.
pub fn build(
    layers: &Layers,
    config: Config,
    merged: &Merged,
    wanted: &[&str],
    errors: &mut Vec<ConfigError>,
) -> Plan {
    build_for(layers, config, merged, wanted, false, errors)
}

/// Builds the plan that is printed, of what [`build`] found right. `merged` has what runs in `wanted` roles alone.
pub fn printed(layers: &Layers, config: Config, merged: &Merged, wanted: &[&str]) -> Plan {
    let role = (!wanted.is_empty()).then(|| wanted.join(","));
    Plan { role, ..build_for(layers, config, merged, &[], true, &mut Vec::new()) }
}

fn build_for(
    layers: &Layers,
    config: Config,
    merged: &Merged,
    wanted: &[&str],
    prints: bool,
    errors: &mut Vec<ConfigError>,
) -> Plan {
    let mut builder = Builder {
        sources: &layers.sources,
        root: &merged.root,
        preset: &layers.preset,
        why_preset: layers.why_preset(),
        incomplete: !errors.is_empty(),
        errors,
        paths: &merged.paths,
        declared: &merged.services,
        expanded: &merged.expanded,
        prints,
        stop_timeout: STOP_TIMEOUT,
    };
    builder.absolute("work-dir", config.work_dir.as_ref());
    builder.absolute("state-dir", config.state_dir.as_ref());
    let work_dir = tidy(&merged.paths.work_dir);
    let services = config.service.unwrap_or_default();
    let crons = config.cron.unwrap_or_default();
    entries::unique_names(&mut builder, &services, &crons);
    graph::circles(&mut builder, &services);
    let stop_timeout = builder.stop_timeout(config.stop_timeout);
    let services = self::services(&mut builder, &services, wanted);
    let crons = crons
        .0
        .iter()
        .filter_map(|(name, cron)| {
            let plan = entries::cron(&mut builder, name, cron.clone());
            plan.filter(|_| runs_here(cron.value.roles.as_deref(), wanted))
        })
        .collect();
    Plan {
        preset: layers.preset.clone(),
        config_file: None,
        role: (!wanted.is_empty()).then(|| wanted.join(",")),
        state_dir: tidy(&merged.paths.state_dir),
        user: builder.user(config.user),
        stop_timeout,
        env: builder.env(config.env),
        pass_env: entries::pass_env(&mut builder, config.pass_env),
        writable: builder.paths(config.writable, &work_dir),
        directories: builder.paths(config.directories, &work_dir),
        crontabs: builder.paths(config.crontabs, &work_dir),
        log: builder.log(config.log.unwrap_or_default()),
        control: builder.control(config.control.unwrap_or_default(), &tidy(&merged.paths.state_dir)),
        health: observe::health(&mut builder, config.health.unwrap_or_default()),
        ecs: observe::ecs(&mut builder, config.ecs.unwrap_or_default()),
        files: entries::files(&mut builder, config.file),
        boot: entries::boot(&mut builder, config.boot),
        reload: entries::reload(&mut builder, config.reload.unwrap_or_default()),
        migrate: config.migrate.and_then(|migrate| entries::migrate(&mut builder, migrate)),
        services,
        crons,
        work_dir,
    }
}

/// The services of the `wanted` roles. Those of other roles are checked all the same.
fn services(builder: &mut Builder<'_>, services: &Named<Service>, wanted: &[&str]) -> Vec<ServicePlan> {
    let present: Vec<&str> = services
        .0
        .iter()
        .filter(|(_, service)| runs_here(service.value.roles.as_deref(), wanted))
        .map(|(name, _)| name.value.as_str())
        .collect();
    services
        .0
        .iter()
        .filter_map(|(name, service)| {
            let plan = service::service(builder, name, service.clone(), &present);
            plan.filter(|_| present.contains(&name.value.as_str()))
        })
        .collect()
}

fn runs_here(roles: Option<&[At<String>]>, wanted: &[&str]) -> bool {
    let roles: Vec<&str> = roles.unwrap_or_default().iter().map(|role| role.value.as_str()).collect();
    runs_in(&roles, wanted)
}
