//! `init doctor`: looks at the container and names what will hurt.

use crate::config::load::{self, Options};
use crate::doctor::report::{self, Style};
use crate::doctor::{breaks, examine};
use crate::exit;
use crate::runtime::inspect::inspect;
use crate::sys;
use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write};

/// Looks a variable of the environment up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

const HELP: &str = "\
Usage: init doctor [OPTION…]

Looks at this container and names what will break or hurt, why, and what to
write where: PHP's extensions and settings, PHP-FPM's configuration as it will
be in effect, Laravel's cache, queue and .env, mounts, limits, capabilities,
the stop. README explains every finding.

Nothing is changed and nothing is booted. PHP and PHP-FPM are asked for their
settings, as the users of the plan and within a time limit; a path is probed by
writing a file that is removed at once. No value of .env is shown.

  --config FILE  the file instead of INIT_CONFIG or /etc/init.toml
  --preset NAME  the preset instead of the file's or the directory's
  --role ROLE    only what runs in this role (several with commas)
  --json         one JSON object: {\"version\":1,\"counts\":…,\"findings\":[…]}
  --quiet        only what breaks or hurts
  -h, --help     this text

Exits 0 when nothing will break, 1 when something will, 78 when the
configuration is not valid, 64 when the command line is wrong, 71 when the
system refused.

Examples:
  docker exec CONTAINER init doctor
  docker run --rm --entrypoint init IMAGE doctor
  init doctor --json | jq '.findings[] | select(.severity == \"breaks\").id'
";

#[derive(Default)]
struct Wanted {
    options: Options,
    json: bool,
    quiet: bool,
    help: bool,
}

/// Runs `init doctor` with the arguments after `doctor`; returns the exit code.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    env: Lookup<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let wanted = match parse(args) {
        Ok(wanted) => wanted,
        Err(message) => {
            let _ =
                writeln!(err, "init doctor: cannot read the command line: {message}; see init doctor --help");
            return exit::USAGE;
        }
    };
    if wanted.help {
        let _ = write!(out, "{HELP}");
        return exit::OK;
    }
    let (plan, layers) = match load::load(&wanted.options, env) {
        Ok(loaded) => (loaded.plan, loaded.layers),
        Err(errors) => {
            super::check::report(&errors, err);
            return exit::CONFIG;
        }
    };
    let facts = match inspect(plan.clone()) {
        Ok(facts) => facts,
        Err(error) => {
            let _ = writeln!(err, "init doctor: cannot look at the container: {}", sys::words(&error));
            return exit::OS;
        }
    };
    let mut found = examine(&facts, &plan);
    for finding in found.iter_mut().flat_map(|(_, findings)| findings) {
        finding.seen = layers.hide(&finding.seen, env);
        finding.fix = finding.fix.as_deref().map(|fix| layers.hide(fix, env));
    }
    let text = if wanted.json {
        format!("{}\n", report::json(&found, wanted.quiet))
    } else {
        // The rule of https://no-color.org: any value that is not empty.
        let plain = env("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = !plain && io::stdout().is_terminal();
        report::text(&found, Style { colour, quiet: wanted.quiet })
    };
    // A reader that went away (`| head`) changes nothing of the verdict.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if breaks(&found) { exit::FAILED } else { exit::OK }
}

fn parse(args: impl IntoIterator<Item = OsString>) -> Result<Wanted, lexopt::Error> {
    use lexopt::{Arg, ValueExt};
    let mut parser = lexopt::Parser::from_args(args);
    let mut wanted = Wanted::default();
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Long("config") => wanted.options.config = Some(parser.value()?.into()),
            Arg::Long("role") => wanted.options.role = Some(parser.value()?.string()?),
            Arg::Long("preset") => wanted.options.preset = Some(parser.value()?.string()?),
            Arg::Long("json") => wanted.json = true,
            Arg::Long("quiet") | Arg::Short('q') => wanted.quiet = true,
            Arg::Long("help") | Arg::Short('h') => wanted.help = true,
            _ => return Err(arg.unexpected()),
        }
    }
    Ok(wanted)
}
