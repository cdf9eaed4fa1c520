//! `[[file]]`, `[[boot]]`, `[migrate]`, `[cron.NAME]`, and names across them.

use super::build::Builder;
use super::check;
use super::pairs::{self, Pairs};
use super::service::{UMASK, stop_signal_of};
use crate::config::plan::{
    CronPlan, FileFormat, FilePlan, MigratePlan, OnChange, Overlap, ReloadPlan, Signal, StepPlan,
};
use crate::config::schema::{Boot, Cron, File, Migrate, Reload, Service};
use crate::config::suggest;
use crate::config::values::{self, At, Dur, Maybe, Named, Plain};
use std::time::Duration;

const FETCH_TIMEOUT: Duration = Duration::from_secs(20);
const MAX_SIZE: u64 = 1 << 20;
/// For the application's user and group alone: `.env` is all secrets.
const FILE_MODE: u32 = 0o440;
const STEP_TIMEOUT: Duration = Duration::from_secs(60);
/// `artisan optimize` writes config.php, which holds every secret, with the process's own mask.
const BOOT_UMASK: u32 = 0o027;
const LOCK_TIMEOUT: Duration = Duration::from_secs(600);
/// EX_TEMPFAIL of sysexits.h.
const LOCK_CODE: u8 = 75;
const MAX_RUNNING: u16 = 10;

/// Names of services and cron entries share one space: a name in a log line must mean one thing.
pub fn unique_names(builder: &mut Builder<'_>, services: &Named<Service>, crons: &Named<Cron>) {
    for (name, _) in &services.0 {
        builder.check(name.loc, check::name(&name.value));
    }
    for (name, _) in &crons.0 {
        builder.check(name.loc, check::name(&name.value));
        if services.0.iter().any(|(service, _)| service.value == name.value) {
            let text =
                format!("there is a service \"{}\" already: give the cron entry another name", name.value);
            builder.error(name.loc, text);
        }
    }
}

pub fn pass_env(builder: &mut Builder<'_>, names: Option<Vec<At<String>>>) -> Vec<String> {
    let mut out = Vec::new();
    for name in names.unwrap_or_default() {
        let stem = name.value.strip_suffix('*').unwrap_or(&name.value);
        if stem.contains('*') {
            builder.error(name.loc, "\"*\" is for the end of a name");
        } else if !stem.is_empty() {
            builder.check(name.loc, check::variable(stem));
        }
        out.push(name.value);
    }
    out
}

pub fn files(builder: &mut Builder<'_>, files: Option<Vec<At<File>>>) -> Vec<FilePlan> {
    let mut out: Vec<FilePlan> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    let mut pairs = Pairs::default();
    for At { loc, value: file } in files.unwrap_or_default() {
        let mut twice = false;
        if let Some(name) = &file.name {
            builder.check(name.loc, check::name(&name.value));
            if names.contains(&name.value) {
                twice = true;
                let text = format!("there is a file \"{}\" already", builder.show(name));
                builder.error(name.loc, text);
            }
            names.push(name.value.clone());
        }
        let (Some(source), Some(path)) = (&file.source, &file.path) else {
            let key = if file.source.is_none() {
                "source: say where it comes from"
            } else {
                "path: say where to put it"
            };
            builder.missing(loc, format!("[[file]] has no {key}"));
            continue;
        };
        builder.check(source.loc, check::source(&source.value));
        let state_dir = builder.paths.state_dir.clone();
        let target = builder.path(path, &state_dir);
        if !twice && out.iter().any(|other| other.path == target) {
            builder.error(path.loc, "another [[file]] has this path already");
        }
        pairs.add(&file, &target);
        out.push(self::file(builder, &file, source.value.clone(), target));
    }
    pairs.resolve(builder, &mut out);
    pairs::in_order(out)
}

fn file(builder: &mut Builder<'_>, file: &File, source: String, path: std::path::PathBuf) -> FilePlan {
    let format = file.format.map(|word| word.0).unwrap_or_default();
    let mode = file.mode.as_ref().map_or(FILE_MODE, |at| at.value.0);
    if let Some(given) = file.mode.as_ref().filter(|_| format == FileFormat::Dotenv && mode & 0o007 != 0) {
        builder.error(
            given.loc,
            "this mode shows the secrets of a dotenv file to everyone: write \"0440\" or \"0400\"",
        );
    }
    if let Some(keys) =
        file.require_keys.as_ref().filter(|keys| !keys.is_empty() && format != FileFormat::Dotenv)
    {
        let loc = keys.first().map_or(Default::default(), |key| key.loc);
        builder.error(loc, "require-keys is for files with format = \"dotenv\"");
    }
    let max_size = file.max_size.as_ref().map_or(MAX_SIZE, |at| at.value.0);
    if let Some(given) = file.max_size.as_ref().filter(|at| at.value.0 == 0) {
        builder.error(given.loc, "max-size is 1B or more");
    }
    if let Some(endpoint) = &file.endpoint
        && !["http://", "https://", "${"].iter().any(|start| endpoint.value.starts_with(start))
    {
        builder.error(endpoint.loc, "an endpoint begins with \"https://\" or \"http://\"");
    }
    FilePlan {
        source,
        path,
        format,
        mode,
        owner: file.owner.clone().map(|Plain(owner)| owner),
        required: file.required.unwrap_or(true),
        timeout: builder.above_zero(file.timeout.clone(), FETCH_TIMEOUT),
        max_size,
        require_keys: file.require_keys.iter().flatten().map(|key| key.value.clone()).collect(),
        certificate: None,
        decrypt: super::decrypt::decrypt(builder, file.decrypt.clone()),
        endpoint: file.endpoint.as_ref().map(|at| at.value.clone()),
        region: file.region.clone(),
        path_style: file.path_style,
        refresh: limit(builder, file.refresh.clone()),
        on_change: on_change(builder, file.on_change.clone()),
    }
}

fn on_change(builder: &mut Builder<'_>, given: Option<values::OnChange>) -> OnChange {
    let notify = match given {
        None | Some(values::OnChange::Reload) => return OnChange::Reload,
        Some(values::OnChange::Nothing) => return OnChange::Nothing,
        Some(values::OnChange::Signal(notify)) => notify,
    };
    let service = notify.service;
    if !builder.declared.contains(&service.value) {
        let known: Vec<&str> = builder.declared.iter().map(String::as_str).collect();
        let hint = suggest::hint(&service.value, &known, "services");
        let text = format!("there is no service \"{}\": {hint}", builder.show(&service));
        builder.error(service.loc, text);
    }
    OnChange::Signal { signal: notify.signal.value.0, service: service.value }
}

pub fn reload(builder: &mut Builder<'_>, reload: Reload) -> ReloadPlan {
    let mut plan = ReloadPlan::default();
    for (name, value) in reload.caches.unwrap_or_default().0 {
        builder.check(name.loc, check::variable(&name.value));
        let At { loc, value } = value.value;
        if value.is_empty() || value.starts_with('/') || value.split('/').any(|part| part == "..") {
            builder.error(loc, "a path of a cache is relative and stays within the generation's directory");
        }
        plan.caches.insert(name.value, value);
    }
    plan
}

pub fn boot(builder: &mut Builder<'_>, steps: Option<Vec<At<Boot>>>) -> Vec<StepPlan> {
    let mut out: Vec<StepPlan> = Vec::new();
    for At { loc, value: step } in steps.unwrap_or_default() {
        let Some(name) = step.name else {
            builder.missing(loc, "[[boot]] has no name: give it one for messages".into());
            continue;
        };
        builder.check(name.loc, check::name(&name.value));
        if out.iter().any(|other| other.name == name.value) {
            let text = format!("there is a boot step \"{}\" already", builder.show(&name));
            builder.error(name.loc, text);
        }
        let Some(command) = step.command else {
            let text = format!("[[boot]] \"{}\" has no command: say what to run", builder.show(&name));
            builder.missing(loc, text);
            continue;
        };
        out.push(StepPlan {
            name: name.value,
            command: command.value.0,
            user: builder.user(step.user),
            work_dir: builder.work_dir(step.work_dir),
            env: builder.env(step.env),
            timeout: builder.above_zero(step.timeout, STEP_TIMEOUT),
            verify: step.verify.and_then(|word| word.0).map(|word| word.0),
            umask: step.umask.map_or(BOOT_UMASK, |mode| mode.0),
        });
    }
    out
}

pub fn migrate(builder: &mut Builder<'_>, migrate: At<Migrate>) -> Option<MigratePlan> {
    let At { loc, value: migrate } = migrate;
    let Some(command) = migrate.command else {
        builder.missing(loc, "[migrate] has no command: say what to run".into());
        return None;
    };
    let argv = command.value.0;
    // A bare --isolated exits 0 when another process holds the lock: the deploy would go on without its migration.
    // See laravel/framework src/Illuminate/Console/Command.php, `execute`.
    let isolated = argv.iter().find_map(|word| word.strip_prefix("--isolated"));
    let named = isolated.and_then(|rest| rest.strip_prefix('=')).and_then(|code| code.parse::<u8>().ok());
    let lock_code = migrate.lock_code.as_ref().map(|at| at.value).or(named).unwrap_or(LOCK_CODE);
    match (isolated, named) {
        // Printed as written, the code may be a reference still.
        (Some(rest), None) if !rest.contains("${") => builder.error(
            command.loc,
            format!(
                "--isolated without a code exits 0 when another process is migrating, as if it had migrated: \
                 write --isolated={lock_code}"
            ),
        ),
        (Some(_), Some(0)) => builder.error(command.loc, "--isolated=0 cannot be told from success"),
        (Some(_), Some(code)) if code != lock_code => {
            let at = migrate.lock_code.as_ref().map_or(command.loc, |at| at.loc);
            builder.error(at, format!("lock-code is {lock_code}, but the command says --isolated={code}"));
        }
        _ => {}
    }
    if let Some(at) = migrate.lock_code.filter(|at| at.value == 0) {
        builder.error(at.loc, "lock-code 0 cannot be told from success");
    }
    Some(MigratePlan {
        command: argv,
        user: builder.user(migrate.user),
        env: builder.env(migrate.env),
        lock_timeout: migrate.lock_timeout.map_or(LOCK_TIMEOUT, |at| at.value.0),
        lock_code,
        timeout: limit(builder, migrate.timeout),
    })
}

/// A time limit, of which `"none"` is for ever.
fn limit(builder: &mut Builder<'_>, given: Option<At<Maybe<Dur>>>) -> Option<Duration> {
    let At { loc, value } = given?;
    let limit = value.0?.0;
    if limit.is_zero() {
        let text = format!("{} must be longer than 0; \"none\" is for ever", builder.subject(loc));
        builder.error(loc, text);
    }
    Some(limit)
}

pub fn cron(builder: &mut Builder<'_>, name: &At<String>, cron: At<Cron>) -> Option<CronPlan> {
    let cron = cron.value;
    if cron.schedule.is_none() || cron.command.is_none() {
        let header = format!("[cron.{}]", name.value);
        let text = match cron.command {
            None => format!("{header} has no command: {}", builder.preset_with(&header)),
            Some(_) => format!("{header} has no schedule: say when to run"),
        };
        builder.missing(name.loc, text);
    }
    if let Some(schedule) = &cron.schedule {
        let zone = cron.time_zone.as_ref().map(|at| at.value.as_str());
        match (check::check_schedule(&schedule.value, zone), &cron.time_zone) {
            (Ok(()), _) => {}
            (Err((None, message)), Some(zone)) => {
                let message = format!("{}: {message}", builder.subject(zone.loc));
                builder.error(zone.loc, message);
            }
            (Err((column, message)), _) => {
                let column = column.unwrap_or(0);
                let rest = schedule.value.get(column..).unwrap_or_default();
                let width = if column == 0 { rest.len() } else { rest.find(' ').unwrap_or(rest.len()) };
                let message = format!("{}: {message}", builder.subject(schedule.loc));
                builder.error_within(schedule, column, column.saturating_add(width), message);
            }
        }
    }
    if let Some(max) = cron.max_running.as_ref().filter(|at| at.value.0 == 0) {
        builder.error(max.loc, "max-running is 1 or more; \"enabled = false\" leaves the entry out");
    }
    Some(CronPlan {
        name: name.value.clone(),
        time_zone: cron.time_zone.map(|at| at.value),
        user: builder.user(cron.user),
        work_dir: builder.work_dir(cron.work_dir),
        env: builder.env(cron.env),
        overlap: cron.overlap.map_or(Overlap::Allow, |word| word.0),
        max_running: cron.max_running.map_or(MAX_RUNNING, |at| at.value.0),
        timeout: limit(builder, cron.timeout),
        jitter: cron.jitter.map_or(Duration::ZERO, |at| at.value.0),
        stop_signal: stop_signal_of(builder, cron.stop_signal, Signal::TERM),
        log_format: cron.log_format.map(|word| word.0),
        on_stall: cron.on_stall.map(|word| word.0),
        umask: cron.umask.map_or(UMASK, |mode| mode.0),
        schedule: cron.schedule.map(|at| at.value)?,
        command: cron.command.map(|at| at.value.0)?,
    })
}
