//! A plan as TOML that loads back to the same plan.
//!
//! Every decision is written out, defaults too, over `preset = "none"`, in the order of the schema. What it never
//! shows is the value of a secret:
//!
//! * Where a value of a variable would stand, its `${VAR}` does. Loaded in the same environment it gives the same plan.
//!   No such value can be printed: the plan that [`super::resolve::as_written`] gives has none in any of its texts.
//! * A value of `env` that is written out under a name that looks secret (see [`super::secret`]) is replaced by
//!   `${NAME:?…}`. This is the one thing that does not load back: it fails instead of being silently wrong.
//!
//! All else is shown resolved: defaults, relative paths, numbers and durations, whatever they were given by.

mod tables;

use super::expand::is_plain_reference;
use super::plan::{
    Backoff, ControlPlan, CronPlan, EcsPlan, Env, FilePlan, FpmPlan, GiveUp, HealthPlan, LogPlan,
    MigratePlan, OnChange, Plan, ServicePlan, Signal, StepPlan,
};
use super::secret::looks_secret;
use super::values::{show_duration, show_mode, show_size, show_word};
use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

/// Prints `plan` as [`super::resolve::as_written`] gives it, with the lock code of the resolved plan.
pub fn print(as_written: &Plan, resolved: &Plan) -> String {
    let mut out = Out::default();
    top_level(&mut out, as_written);
    log(&mut out, &as_written.log);
    control(&mut out, &as_written.control);
    health(&mut out, &as_written.health);
    ecs(&mut out, &as_written.ecs);
    for file in &as_written.files {
        self::file(&mut out, file);
    }
    for step in &as_written.boot {
        self::step(&mut out, step);
    }
    if !as_written.reload.caches.is_empty() {
        out.header("[reload]");
        let caches = as_written.reload.caches.iter();
        let pairs: Vec<String> =
            caches.map(|(name, path)| format!("{} = {}", key(name), text(path))).collect();
        out.line("caches", format!("{{ {} }}", pairs.join(", ")));
    }
    if let (Some(migrate), Some(resolved)) = (&as_written.migrate, &resolved.migrate) {
        self::migrate(&mut out, migrate, resolved.lock_code);
    }
    for service in &as_written.services {
        self::service(&mut out, service);
    }
    for cron in &as_written.crons {
        self::cron(&mut out, cron);
    }
    out.0
}

/// Lines of `key = value`.
#[derive(Default)]
struct Out(String);

impl Out {
    fn line(&mut self, key: &str, value: impl std::fmt::Display) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.0, "{key} = {value}");
    }

    fn header(&mut self, header: &str) {
        let _ = writeln!(self.0, "\n{header}");
    }

    fn text(&mut self, key: &str, value: &str) {
        self.line(key, text(value));
    }

    fn optional(&mut self, key: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn path(&mut self, key: &str, value: Option<&Path>) {
        if let Some(value) = value {
            self.text(key, &value.display().to_string());
        }
    }

    fn duration(&mut self, key: &str, value: Duration) {
        self.text(key, &show_duration(value));
    }

    fn limit(&mut self, key: &str, value: Option<Duration>) {
        self.text(key, &value.map_or("none".to_owned(), show_duration));
    }

    fn list<'a>(&mut self, key: &str, values: impl Iterator<Item = &'a str>) {
        let values: Vec<String> = values.map(text).collect();
        self.line(key, format!("[{}]", values.join(", ")));
    }

    fn command(&mut self, argv: &[String]) {
        self.line("command", list(argv));
    }

    fn env(&mut self, env: &Env) {
        if !env.is_empty() {
            self.line("env", env_table(env));
        }
    }
}

/// A TOML string. Texts of the plan are still to be expanded.
fn text(value: &str) -> String {
    toml::Value::String(value.to_owned()).to_string()
}

/// A command as TOML.
fn list(argv: &[String]) -> String {
    let words: Vec<String> = argv.iter().map(|word| text(word)).collect();
    format!("[{}]", words.join(", "))
}

/// A bare key where it can be one.
fn key(name: &str) -> String {
    let bare = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-');
    if bare { name.to_owned() } else { text(name) }
}

fn env_table(env: &Env) -> String {
    let pairs: Vec<String> = env
        .iter()
        .map(|(name, value)| {
            let shown = match looks_secret(name) && !is_plain_reference(value) && !value.is_empty() {
                true => format!("${{{name}:?is not printed, since it looks like a secret}}"),
                false => value.clone(),
            };
            format!("{} = {}", key(name), text(&shown))
        })
        .collect();
    format!("{{ {} }}", pairs.join(", "))
}

fn top_level(out: &mut Out, plan: &Plan) {
    let role = plan.role.as_ref().map_or(String::new(), |role| format!(", for the role {role}"));
    let _ = writeln!(out.0, "# The resolved plan, over the preset \"{}\"{role}.", plan.preset);
    out.text("preset", "none");
    out.path("state-dir", Some(&plan.state_dir));
    out.path("work-dir", Some(&plan.work_dir));
    out.optional("user", plan.user.as_deref());
    out.duration("stop-timeout", plan.stop_timeout);
    out.env(&plan.env);
    out.list("pass-env", plan.pass_env.iter().map(String::as_str));
    for (key, paths) in
        [("writable", &plan.writable), ("directories", &plan.directories), ("crontabs", &plan.crontabs)]
    {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        out.list(key, paths.iter().map(String::as_str));
    }
}

fn log(out: &mut Out, log: &LogPlan) {
    out.header("[log]");
    out.text("format", show_word(log.format));
    out.text("level", show_word(log.level));
    out.text("on-stall", show_word(log.on_stall));
    out.text("max-line", &show_size(u64::try_from(log.max_line).unwrap_or(u64::MAX)));
}

fn control(out: &mut Out, control: &ControlPlan) {
    out.header("[control]");
    match &control.socket {
        Some(socket) => out.path("socket", Some(socket)),
        None => out.text("socket", "none"),
    }
    out.text("log-tail", &show_size(u64::try_from(control.log_tail).unwrap_or(u64::MAX)));
}

fn file(out: &mut Out, file: &FilePlan) {
    out.header("[[file]]");
    out.text("source", &file.source);
    out.path("path", Some(&file.path));
    out.text("format", show_word(file.format));
    out.text("mode", &show_mode(file.mode));
    out.optional("owner", file.owner.as_deref());
    out.line("required", file.required);
    out.duration("timeout", file.timeout);
    out.text("max-size", &show_size(file.max_size));
    out.list("require-keys", file.require_keys.iter().map(String::as_str));
    out.path("certificate", file.certificate.as_deref());
    if let Some(plan) = &file.decrypt {
        out.line("decrypt", tables::decrypt(plan));
    }
    if let Some(endpoint) = &file.endpoint {
        out.line("endpoint", text(endpoint));
    }
    out.optional("region", file.region.as_deref());
    if let Some(path_style) = file.path_style {
        out.line("path-style", path_style);
    }
    out.limit("refresh", file.refresh);
    match &file.on_change {
        OnChange::Reload => out.text("on-change", "reload"),
        OnChange::Nothing => out.text("on-change", "none"),
        OnChange::Signal { signal, service } => {
            let (signal, service) = (text(&signal.to_string()), text(service));
            out.line("on-change", format!("{{ signal = {signal}, service = {service} }}"));
        }
    }
}

fn step(out: &mut Out, step: &StepPlan) {
    out.header("[[boot]]");
    out.text("name", &step.name);
    out.command(&step.command);
    out.optional("user", step.user.as_deref());
    out.path("work-dir", step.work_dir.as_deref());
    out.env(&step.env);
    out.duration("timeout", step.timeout);
    out.optional("verify", step.verify.map(show_word));
    out.text("umask", &show_mode(step.umask));
}

fn migrate(out: &mut Out, migrate: &MigratePlan, lock_code: u8) {
    out.header("[migrate]");
    out.command(&migrate.command);
    out.optional("user", migrate.user.as_deref());
    out.env(&migrate.env);
    out.duration("lock-timeout", migrate.lock_timeout);
    out.line("lock-code", lock_code);
    out.limit("timeout", migrate.timeout);
}

fn service(out: &mut Out, service: &ServicePlan) {
    out.header(&format!("[service.{}]", key(&service.name)));
    out.command(&service.command);
    out.optional("user", service.user.as_deref());
    out.path("work-dir", service.work_dir.as_deref());
    out.env(&service.env);
    out.line("instances", service.instances);
    out.line("essential", service.essential);
    out.list("after", service.after.iter().map(String::as_str));
    out.list("requires", service.requires.iter().map(String::as_str));
    out.text("restart", show_word(service.restart));
    out.line("backoff", backoff(&service.backoff));
    match &service.give_up {
        Some(give_up) => out.line("give-up", self::give_up(give_up)),
        None => out.text("give-up", "none"),
    }
    out.duration("start-grace", service.start_grace);
    out.duration("stagger", service.stagger);
    out.text("stop-signal", &service.stop_signal.to_string());
    out.text("stop-scope", show_word(service.stop_scope));
    out.text("kill-mode", show_word(service.kill_mode));
    out.limit("stop-timeout", service.stop_timeout);
    let signal = |signal: Option<Signal>| signal.map_or("none".into(), |signal| signal.to_string());
    out.text("reload-signal", &signal(service.reload_signal));
    out.duration("reload-timeout", service.reload_timeout);
    out.text("pause-signal", &signal(service.pause_signal));
    out.text("resume-signal", &signal(service.resume_signal));
    if let Some(ready) = &service.ready {
        out.line("ready", tables::ready(ready));
        if let Some(plan) = &ready.warm_up {
            out.line("warm-up", tables::warm_up(plan));
        }
    }
    if let Some(live) = &service.live {
        out.line("live", tables::live(live));
    }
    if let Some(fpm) = &service.fpm {
        out.line("fpm", self::fpm(fpm));
    }
    out.optional("log-format", service.log_format.map(show_word));
    out.optional("on-stall", service.on_stall.map(show_word));
    if let Some(open_files) = service.open_files {
        out.line("open-files", open_files);
    }
    out.text("umask", &show_mode(service.umask));
}

fn health(out: &mut Out, health: &HealthPlan) {
    out.header("[health]");
    out.optional("listen", health.listen.as_deref());
    out.line("expose", health.expose);
}

fn ecs(out: &mut Out, ecs: &EcsPlan) {
    out.header("[ecs]");
    out.list("scale-in-protection", ecs.protected.iter().map(String::as_str));
    out.duration("release-after", ecs.release_after);
    out.duration("max-job", ecs.max_job);
}

fn backoff(backoff: &Backoff) -> String {
    format!(
        "{{ initial = {}, factor = {:?}, max = {}, jitter = {:?}, reset-after = {} }}",
        text(&show_duration(backoff.initial)),
        backoff.factor,
        text(&show_duration(backoff.max)),
        backoff.jitter,
        text(&show_duration(backoff.reset_after)),
    )
}

fn give_up(give_up: &GiveUp) -> String {
    format!(
        "{{ restarts = {}, within = {}, then = {} }}",
        give_up.restarts,
        text(&show_duration(give_up.within)),
        text(show_word(give_up.then)),
    )
}

fn fpm(fpm: &FpmPlan) -> String {
    let config = fpm
        .config
        .as_ref()
        .map_or(String::new(), |path| format!("config = {}, ", text(&path.display().to_string())));
    format!(
        "{{ {config}process-control-timeout = {}, ping-path = {}, status-path = {}, status-socket = {} }}",
        text(&show_duration(fpm.process_control_timeout)),
        text(&fpm.ping_path),
        text(&fpm.status_path),
        fpm.status_socket,
    )
}

fn cron(out: &mut Out, cron: &CronPlan) {
    out.header(&format!("[cron.{}]", key(&cron.name)));
    out.text("schedule", &cron.schedule);
    out.optional("time-zone", cron.time_zone.as_deref());
    out.command(&cron.command);
    out.optional("user", cron.user.as_deref());
    out.path("work-dir", cron.work_dir.as_deref());
    out.env(&cron.env);
    out.text("overlap", show_word(cron.overlap));
    out.line("max-running", cron.max_running);
    out.limit("timeout", cron.timeout);
    out.duration("jitter", cron.jitter);
    out.text("stop-signal", &cron.stop_signal.to_string());
    out.optional("log-format", cron.log_format.map(show_word));
    out.optional("on-stall", cron.on_stall.map(show_word));
    out.text("umask", &show_mode(cron.umask));
}
