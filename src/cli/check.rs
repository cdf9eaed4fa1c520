//! `init check`: validates the configuration, looks up what it needs of this container, and says what would run. Starts,
//! fetches and writes nothing.

use crate::config::expand::is_plain_reference;
use crate::config::load::{self, JSON_SCHEMA, Loaded, Options, PRESETS};
use crate::config::plan::{Plan, ProbePlan, ServicePlan};
use crate::config::programs::{Habit, habit_of};
use crate::config::secret::looks_secret;
use crate::config::values::show_duration;
use crate::config::{ConfigError, print, resolve};
use crate::exit;
use crate::runtime::{Mode, needs};
use crate::sys::users::own_uid;
use std::ffi::OsString;
use std::io::{self, Write};

/// Looks a variable of the environment up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

const USAGE: &str = "\
Usage: init check [OPTION…] [FILE]

Validates the configuration and says what would run, without doing any of it:
users, programs, directories and crontabs are looked up as a boot does.

  FILE, --config FILE  the file instead of INIT_CONFIG or /etc/init.toml
  --no-host            check the file alone, for a machine on which it is not to
                       run
  --preset NAME        the preset instead of the file's or the directory's
  --role ROLE          only what runs in this role (several with commas),
                       instead of INIT_ROLE
  --print-config       print the resolved configuration as TOML, with every
                       default and ${VAR} for values of variables; nothing is
                       looked up
  --print-preset NAME  print a preset as it is embedded: laravel, wordpress,
                       php, nginx
  --print-schema       print the JSON Schema of the configuration, for editors

Exits 0 when init would start, else with init's own code: 78 when the file is
invalid, 127 when a program is missing (init help exit-codes); 64 when the
command line is wrong.

Examples:
  $ init check
  $ init check --no-host init.toml
";

/// What is to be done.
enum Wanted {
    /// With what the container lacks, where `host` is true.
    Summary {
        host: bool,
    },
    Config,
    Preset(String),
    Schema,
    Help,
}

/// Runs `init check` with the arguments after `check`; returns the exit code.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    env: Lookup<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let (options, wanted) = match parse(args) {
        Ok(parsed) => parsed,
        Err(message) => {
            let _ =
                writeln!(err, "init check: cannot read the command line: {message}; see init check --help");
            return exit::USAGE;
        }
    };
    let text = match wanted {
        Wanted::Help => USAGE.to_owned(),
        Wanted::Schema => JSON_SCHEMA.to_owned(),
        Wanted::Preset(name) => match PRESETS.iter().find(|(known, _)| *known == name) {
            Some((_, text)) => (*text).to_owned(),
            None => {
                let names: Vec<&str> = PRESETS.iter().map(|(name, _)| *name).collect();
                let _ =
                    writeln!(err, "init check: there is no preset \"{name}\": they are {}", names.join(", "));
                return exit::USAGE;
            }
        },
        Wanted::Summary { .. } | Wanted::Config => match checked(&options, env, &wanted, err) {
            Ok(text) => text,
            Err(code) => return code,
        },
    };
    // A reader that went away (`| head`) is no fault of the configuration.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    exit::OK
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<(Options, Wanted), lexopt::Error> {
    use lexopt::{Arg, ValueExt};
    let mut parser = lexopt::Parser::from_args(args);
    let mut options = Options::default();
    let mut wanted = Wanted::Summary { host: true };
    let mut host = true;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => options.config = Some(parser.value()?.into()),
            Arg::Value(file) if options.config.is_none() => options.config = Some(file.into()),
            Arg::Long("no-host") => host = false,
            Arg::Long("role") => options.role = Some(parser.value()?.string()?),
            Arg::Long("preset") => options.preset = Some(parser.value()?.string()?),
            Arg::Long("print-config") => wanted = Wanted::Config,
            Arg::Long("print-preset") => wanted = Wanted::Preset(parser.value()?.string()?),
            Arg::Long("print-schema") => wanted = Wanted::Schema,
            Arg::Long("help") | Arg::Short('h') => wanted = Wanted::Help,
            _ => return Err(arg.unexpected()),
        }
    }
    if let Wanted::Summary { .. } = wanted {
        wanted = Wanted::Summary { host };
    }
    Ok((options, wanted))
}

/// What is to be printed; or the code to exit with, when all that is wrong has been written to `err`.
fn checked(options: &Options, env: Lookup<'_>, wanted: &Wanted, err: &mut dyn Write) -> Result<String, u8> {
    let invalid = |errors: Vec<ConfigError>, err: &mut dyn Write| {
        report(&errors, err);
        exit::CONFIG
    };
    let loaded = load::load(options, env).map_err(|errors| invalid(errors, err))?;
    let role = load::role(options, env);
    let printed = resolve::as_written(&loaded.layers, env, role.as_deref());
    let printed = printed.map_err(|errors| invalid(errors, err))?;
    let problems = match wanted {
        Wanted::Summary { host: true } => needs::of_container(&loaded.plan, own_uid()),
        Wanted::Summary { host: false } => {
            needs::nothing(&loaded.plan, &Mode::Supervise).into_iter().collect()
        }
        _ => return Ok(print::print(&printed, &loaded.plan)),
    };
    if let Some(first) = problems.first() {
        for problem in &problems {
            let _ = writeln!(err, "{}\n", loaded.layers.hide(&problem.text, env));
        }
        let _ = writeln!(err, "{}; nothing was started", count(problems.len()));
        return Err(first.code);
    }
    let mut text = Vec::new();
    // Writing to a vector cannot fail.
    let _ = summary(&mut text, &loaded, &printed);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

fn count(problems: usize) -> String {
    if problems == 1 { "1 problem".to_owned() } else { format!("{problems} problems") }
}

/// Writes `errors` as they are shown to users, with a count at the end.
pub fn report(errors: &[ConfigError], err: &mut dyn Write) {
    for error in errors {
        let _ = writeln!(err, "{error}\n");
    }
    let _ = writeln!(err, "the configuration has {}; nothing was started", count(errors.len()));
}

/// The plan in a page, as it is printed: no value of a variable is in it.
fn summary(out: &mut dyn Write, loaded: &Loaded, plan: &Plan) -> io::Result<()> {
    match &loaded.file {
        Some(file) => write!(out, "{} is valid", file.display())?,
        None => write!(out, "no configuration file, which is valid")?,
    }
    writeln!(out, " (preset {}, role {})", plan.preset, plan.role.as_deref().unwrap_or("all"))?;
    writeln!(out)?;
    line(out, "work-dir", &plan.work_dir.display().to_string())?;
    line(out, "state-dir", &plan.state_dir.display().to_string())?;
    line(out, "user", plan.user.as_deref().unwrap_or("as init"))?;
    line(out, "stop", &format!("within {}", show_duration(plan.stop_timeout)))?;
    for (name, value) in &plan.env {
        let shown = if looks_secret(name) { "***" } else { value.as_str() };
        line(out, "env", &format!("{name}={shown}"))?;
    }
    for path in &plan.writable {
        line(out, "writable", &path.display().to_string())?;
    }
    steps(out, plan)?;
    services(out, plan)?;
    if let Some(listen) = &plan.health.listen {
        line(out, "health", &format!("/livez, /readyz and /metrics on {listen}"))?;
    }
    if !plan.ecs.protected.is_empty() {
        line(out, "ecs", &format!("no scale-in while {} has a job", plan.ecs.protected.join(" or ")))?;
    }
    for cron in &plan.crons {
        let zone = cron.time_zone.as_deref().unwrap_or("UTC");
        line(out, "cron", &format!("{}  {} ({zone})  {}", cron.name, cron.schedule, shown(&cron.command)))?;
    }
    for path in &plan.crontabs {
        line(out, "crontab", &path.display().to_string())?;
    }
    Ok(())
}

fn line(out: &mut dyn Write, what: &str, text: &str) -> io::Result<()> {
    writeln!(out, "  {what:<10} {text}")
}

/// A command in one line. What is written out behind an option that sounds like a secret is hidden.
fn shown(argv: &[String]) -> String {
    let words: Vec<String> = argv
        .iter()
        .map(|word| match word.split_once('=') {
            Some((option, value)) if looks_secret(option) && !is_plain_reference(value) => {
                format!("{option}=***")
            }
            _ if word.is_empty() || word.contains(char::is_whitespace) => format!("{word:?}"),
            _ => word.clone(),
        })
        .collect();
    words.join(" ")
}

fn steps(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    for file in &plan.files {
        let required = if file.required { "" } else { " (optional)" };
        line(out, "file", &format!("{} → {}{required}", file.source, file.path.display()))?;
    }
    for step in &plan.boot {
        let verified = if step.verify.is_some() { ", verified" } else { "" };
        let limit = show_duration(step.timeout);
        line(out, "boot", &format!("{}  {}  (within {limit}{verified})", step.name, shown(&step.command)))?;
    }
    if let Some(migrate) = &plan.migrate {
        line(out, "migrate", &format!("{}  (with --migrate)", shown(&migrate.command)))?;
    }
    Ok(())
}

fn services(out: &mut dyn Write, plan: &Plan) -> io::Result<()> {
    for service in ordered(&plan.services) {
        let count = if service.instances == 1 { String::new() } else { format!(" ×{}", service.instances) };
        let mut notes = Vec::new();
        if service.essential {
            notes.push("essential".to_owned());
        }
        let waits: Vec<&str> = service.after.iter().chain(&service.requires).map(String::as_str).collect();
        if !waits.is_empty() {
            notes.push(format!("after {}", waits.join(", ")));
        }
        notes.extend(service.ready.iter().map(|ready| format!("ready on {}", probe(&ready.probe))));
        notes.extend(service.live.iter().map(|live| format!("alive by {}", probe(&live.probe))));
        notes.push(format!("stops on {}", service.stop_signal));
        notes.extend(cut_off(service));
        let command = shown(&service.command);
        line(out, "service", &format!("{}{count}  {command}  ({})", service.name, notes.join(", ")))?;
    }
    Ok(())
}

/// What a stop would cut off, as the service is configured, and how not to.
fn cut_off(service: &ServicePlan) -> Option<String> {
    let habit = habit_of(&service.command)?;
    let Habit { name, work, stop_signal, stop_scope, .. } = habit;
    if service.stop_signal != *stop_signal {
        return Some(format!("which cuts off {work}: {name} finishes them on {stop_signal}"));
    }
    (service.stop_scope != *stop_scope).then(|| {
        format!("sent to its whole group, which cuts off {work}: stop-scope = \"main\" leaves them to {name}")
    })
}

fn probe(probe: &ProbePlan) -> String {
    match probe {
        ProbePlan::FastCgi { address, .. } => format!("fastcgi {address}"),
        ProbePlan::Tcp { address } => format!("tcp {address}"),
        ProbePlan::Unix { path } => path.display().to_string(),
        // A query may hold a token.
        ProbePlan::Http { address, path, .. } => {
            let url = format!("{address}{path}");
            format!("http {}", url.split('?').next().unwrap_or_default())
        }
        ProbePlan::Command { command } => shown(command),
        ProbePlan::Notify => "its notification".to_owned(),
        ProbePlan::NotifyFd { fd } => format!("a line on descriptor {fd}"),
    }
}

/// In the order of their starts: what another waits for comes first, else the order of the file.
fn ordered(services: &[ServicePlan]) -> Vec<&ServicePlan> {
    let mut rest: Vec<&ServicePlan> = services.iter().collect();
    let mut out: Vec<&ServicePlan> = Vec::new();
    while !rest.is_empty() {
        let started = |name: &String| out.iter().any(|service| service.name == *name);
        let free = |service: &&ServicePlan| service.after.iter().chain(&service.requires).all(started);
        // The plan has no circles, so one is always free.
        let next = rest.iter().position(free).unwrap_or(0);
        let service = rest.remove(next);
        out.push(service);
    }
    out
}
