//! `init check`: validates the configuration and says what would run. Starts, fetches and writes nothing.

use crate::config::expand::is_plain_reference;
use crate::config::load::{self, JSON_SCHEMA, Loaded, Options, PRESETS};
use crate::config::plan::{Plan, ProbePlan, ServicePlan};
use crate::config::secret::looks_secret;
use crate::config::values::show_duration;
use crate::config::{ConfigError, print, resolve};
use crate::exit;
use crate::runtime::crontabs;
use std::ffi::OsString;
use std::io::{self, Write};

/// Looks a variable of the environment up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

const USAGE: &str = "\
Usage: init check [OPTION…]

Validates the configuration and says what would run, without doing any of it.

  --config FILE        the file instead of INIT_CONFIG or /etc/init.toml
  --preset NAME        the preset instead of the file's or the directory's
  --role ROLE          only what runs in this role (several with commas) instead of INIT_ROLE
  --print-config       print the resolved configuration as TOML, with every default; secrets are not shown
  --print-preset NAME  print a preset as it is embedded: laravel, wordpress, php, nginx
  --print-schema       print the JSON Schema of the configuration, for editors

Exits 0 when it is valid, 78 when it is not, 64 when the command line is wrong.

Example:
  $ init check --config init.toml --print-config
";

/// What is to be done.
enum Wanted {
    Summary,
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
        Wanted::Summary | Wanted::Config => match checked(&options, env, matches!(wanted, Wanted::Config)) {
            Ok(text) => text,
            Err(errors) => {
                report(&errors, err);
                return exit::CONFIG;
            }
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
    let mut wanted = Wanted::Summary;
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => options.config = Some(parser.value()?.into()),
            Arg::Long("role") => options.role = Some(parser.value()?.string()?),
            Arg::Long("preset") => options.preset = Some(parser.value()?.string()?),
            Arg::Long("print-config") => wanted = Wanted::Config,
            Arg::Long("print-preset") => wanted = Wanted::Preset(parser.value()?.string()?),
            Arg::Long("print-schema") => wanted = Wanted::Schema,
            Arg::Long("help") | Arg::Short('h') => wanted = Wanted::Help,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok((options, wanted))
}

fn checked(options: &Options, env: Lookup<'_>, print_config: bool) -> Result<String, Vec<ConfigError>> {
    let loaded = load::load(options, env)?;
    let crontabs =
        crontabs::of_image(&loaded.plan).filter_map(|path| crontabs::read(path, env("TZ").as_deref()).err());
    let wrong: Vec<ConfigError> = crontabs.flatten().map(ConfigError::anywhere).collect();
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let as_written = resolve::as_written(&loaded.layers, env, load::role(options, env).as_deref())?;
    if print_config {
        return Ok(print::print(&as_written, &loaded.plan));
    }
    let mut text = Vec::new();
    // Writing to a vector cannot fail.
    let _ = summary(&mut text, &loaded, &as_written);
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Writes `errors` as they are shown to users, with a count at the end.
pub fn report(errors: &[ConfigError], err: &mut dyn Write) {
    for error in errors {
        let _ = writeln!(err, "{error}\n");
    }
    let what = match errors.len() {
        1 => "1 problem".to_owned(),
        count => format!("{count} problems"),
    };
    let _ = writeln!(err, "the configuration has {what}; nothing was started");
}

/// The plan in a page. Commands and variables are shown as written, so that no secret shows.
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
        let command = shown(&service.command);
        line(out, "service", &format!("{}{count}  {command}  ({})", service.name, notes.join(", ")))?;
    }
    Ok(())
}

fn probe(probe: &ProbePlan) -> String {
    match probe {
        ProbePlan::FastCgi { address, .. } => format!("fastcgi {address}"),
        ProbePlan::Tcp { address } => format!("tcp {address}"),
        ProbePlan::Unix { path } => path.display().to_string(),
        // A query may hold a token.
        ProbePlan::Http { address, path, .. } => {
            format!("http {address}{}", path.split('?').next().unwrap_or_default())
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

#[cfg(test)]
mod tests {
    use super::*;

    fn check(args: &[&str], env: &[(&str, &str)]) -> (u8, String, String) {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let env =
            |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let code = run(args.iter().map(OsString::from), &env, &mut out, &mut err);
        (code, String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap())
    }

    fn file(text: &str) -> (tempfile::TempDir, String) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("init.toml");
        std::fs::write(&path, text).unwrap();
        let path = path.to_str().unwrap().to_owned();
        (dir, path)
    }

    #[test]
    fn a_valid_file_is_summed_up() {
        let (_dir, path) = file(
            "preset = 'laravel'\nwork-dir = '/app'\nenv = { API_TOKEN = 'hunter2' }\n[service.a]\ncommand = ['x', '--password=hunter2', '--token=${T:-}']\nafter = ['queue']",
        );
        let (code, out, err) = check(
            &["--config", &path],
            &[("CONFIG_BUCKET", "b"), ("QUEUE_WORKERS", "3"), ("APP_ENV", "staging")],
        );
        assert_eq!((code, err.as_str()), (0, ""));
        for wanted in [
            "(preset laravel, role all)",
            "s3://b/staging/.env → /opt/php/.env",
            "API_TOKEN=***",
            "queue ×3",
            "essential, ready on fastcgi 127.0.0.1:9000, stops on QUIT",
            "schedule  * * * * * (UTC)",
            "optimize",
        ] {
            assert!(out.contains(wanted), "{wanted} in\n{out}");
        }
        assert!(!out.contains("hunter2"));
        let at = |text: &str| out.find(text).unwrap();
        assert!(at("  php-fpm") < at("queue ×3") || at("service    php-fpm") < at("service    queue"));
        assert!(at("service    queue") < at("service    a"));
    }

    #[test]
    fn an_invalid_file_is_78_with_all_its_problems() {
        let (_dir, path) = file("preset = 'php'\ncolor = 1\n[service.x]\ncomand = ['x']\n");
        let (code, out, err) = check(&["--config", &path], &[]);
        assert_eq!((code, out.as_str()), (78, ""));
        assert!(err.contains(":2:1: unknown key \"color\" at the top level"), "{err}");
        assert!(
            err.contains(":4:1: unknown key \"comand\" in [service.x]: did you mean \"command\"?"),
            "{err}"
        );
        assert!(err.contains("2 problems"), "{err}");
    }

    #[test]
    fn a_file_that_is_named_must_exist() {
        let (code, _, err) = check(&["--config", "/nonexistent/init.toml"], &[]);
        assert_eq!(code, 78);
        assert!(err.contains("cannot read /nonexistent/init.toml: No such file"), "{err}");
        let (code, _, err) = check(&[], &[("INIT_CONFIG", "/nonexistent/b.toml")]);
        assert_eq!(code, 78);
        assert!(err.contains("/nonexistent/b.toml"), "{err}");
        assert!(!err.contains("os error"), "{err}");
        // What `docker run -v /typing/error.toml:/etc/init.toml` makes.
        let (code, _, err) = check(&["--config", "/tmp"], &[]);
        assert!(code == 78 && err.contains("Docker makes one where the file to mount is not"), "{err}");
    }

    #[test]
    fn the_command_line_is_checked() {
        for args in [&["--colour"][..], &["x"], &["--config"], &["--print-preset", "yii"]] {
            let (code, out, err) = check(args, &[]);
            assert_eq!((code, out.as_str()), (64, ""), "{args:?}");
            assert!(err.starts_with("init check: "), "{err}");
        }
        assert_eq!(check(&["--help"], &[]).0, 0);
    }

    #[test]
    fn presets_and_schema_are_printed() {
        for (name, text) in PRESETS {
            assert_eq!(check(&["--print-preset", name], &[]), (0, (*text).to_owned(), String::new()));
        }
        assert!(check(&["--print-schema"], &[]).1.contains("\"$schema\""));
    }

    #[test]
    fn print_config_shows_no_secret_and_loads_again() {
        let (_dir, path) = file(
            "preset = 'none'\nenv = { A = '${DB_PASSWORD}', B = 'x${API}' }\n[service.a]\ncommand = ['x', '--p=${DB_PASSWORD}']\n",
        );
        let env = [("DB_PASSWORD", "hunter2"), ("API", "s3cr3t")];
        let (code, out, _) = check(&["--config", &path, "--print-config"], &env);
        assert_eq!(code, 0);
        assert!(!out.contains("hunter2") && !out.contains("s3cr3t"), "{out}");
        let (_dir, again) = file(&out);
        let (code, second, err) = check(&["--config", &again, "--print-config"], &env);
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(second.lines().skip(1).collect::<Vec<_>>(), out.lines().skip(1).collect::<Vec<_>>());
    }

    #[test]
    fn an_unknown_role_lists_the_known_ones() {
        let (_dir, path) = file("preset = 'laravel'");
        for (args, env) in [
            (vec!["--config", &path, "--role", "wrk"], vec![]),
            (vec!["--config", &path], vec![("INIT_ROLE", "wrk")]),
        ] {
            let (code, _, err) = check(&args, &env);
            assert_eq!(code, 78);
            assert!(
                err.contains(
                    "has the role \"wrk\": did you mean \"worker\"? the roles are scheduler, web, worker"
                ) || err.contains("has the role \"wrk\": the roles are scheduler, web, worker"),
                "{err}"
            );
        }
    }

    #[test]
    fn crontab_files_are_checked_too() {
        let (dir, crontab) = file("* * * * * true\n5/15 * * * * true\n");
        let (_config, path) = file(&format!("preset = 'none'\ncrontabs = ['{crontab}', '/nowhere']\n"));
        let (code, _, err) = check(&["--config", &path], &[]);
        assert_eq!(code, 78);
        assert!(err.contains(":2:1: minute \"5/15\" steps"), "{err}");
        assert!(err.contains("cannot read crontab /nowhere: no such file or directory"), "{err}");
        assert!(err.contains("2 problems"), "{err}");
        drop(dir);
        // One that is fetched is not there yet.
        let (_config, path) = file(
            "preset = 'none'\ncrontabs = ['/nowhere']\n[[file]]\nname = 'c'\nsource = '/elsewhere'\npath = '/nowhere'\n",
        );
        assert_eq!(check(&["--config", &path], &[]).0, 0);
    }
}
