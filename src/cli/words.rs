//! The words of the command line: every command, its options, what it takes. Help, completions and suggestions are
//! made of this table, and the commands that talk to a running init are read by it.

use lexopt::{Arg, Parser};
use std::collections::BTreeMap;
use std::ffi::OsString;

/// One command.
#[derive(Clone, Copy, Debug)]
pub struct Command {
    pub name: &'static str,
    /// In a few words, for completions.
    pub about: &'static str,
    pub options: &'static [Flag],
    pub takes: Takes,
}

/// One option.
#[derive(Clone, Copy, Debug)]
pub struct Flag {
    pub long: &'static str,
    pub short: Option<char>,
    /// What its value is called; `None`: it has none.
    pub value: Option<&'static str>,
}

/// What follows the options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    Nothing,
    /// Names of instances, of cron entries too with `crons`.
    Names {
        crons: bool,
    },
    Signal,
    Job,
    Files,
    Of(&'static [&'static str]),
    /// Text of the user's own.
    Text,
}

const fn flag(long: &'static str) -> Flag {
    Flag { long, short: None, value: None }
}

const fn short(long: &'static str, short: char) -> Flag {
    Flag { long, short: Some(short), value: None }
}

const fn takes(long: &'static str, value: &'static str) -> Flag {
    Flag { long, short: None, value: Some(value) }
}

const LINES: Flag = Flag { long: "lines", short: Some('n'), value: Some("N") };
const FOLLOW: Flag = short("follow", 'f');

/// Of every command that talks to a running init.
pub const REACH: &[Flag] = &[takes("socket", "PATH"), takes("config", "FILE"), takes("timeout", "TIME")];

const NAMES: Takes = Takes::Names { crons: false };

const fn command(name: &'static str, about: &'static str, options: &'static [Flag], takes: Takes) -> Command {
    Command { name, about, options, takes }
}

/// Commands that ask the running init, with their options but [`REACH`].
pub const REMOTE: &[Command] = &[
    command(
        "health",
        "healthy or not, 0 or 1",
        &[takes("level", "LEVEL"), short("quiet", 'q')],
        Takes::Nothing,
    ),
    command(
        "status",
        "the state of every service and cron entry",
        &[
            flag("json"),
            short("watch", 'w'),
            takes("interval", "TIME"),
            flag("timeline"),
            takes("svg", "FILE"),
        ],
        Takes::Names { crons: true },
    ),
    command("start", "start services", &[], NAMES),
    command("stop", "stop services, until they are started", &[], NAMES),
    command("restart", "restart services", &[], NAMES),
    command("signal", "send a signal to services", &[], Takes::Signal),
    command("reload", "take in changed configuration and files", &[], Takes::Nothing),
    command("logs", "the last lines of services", &[FOLLOW, LINES], Takes::Names { crons: true }),
    command("events", "what init has done", &[FOLLOW, LINES, flag("json")], Takes::Nothing),
    command("run", "run a cron entry now", &[flag("no-wait")], Takes::Job),
    command("pause", "hold the schedule and the workers", &[], Takes::Nothing),
    command("resume", "go on after a pause", &[], Takes::Nothing),
];

/// The other commands.
pub const LOCAL: &[Command] = &[
    command(
        "doctor",
        "name what will break or hurt",
        &[
            flag("json"),
            flag("quiet"),
            takes("config", "FILE"),
            takes("preset", "NAME"),
            takes("role", "ROLE"),
        ],
        Takes::Nothing,
    ),
    command(
        "check",
        "validate the configuration",
        &[
            takes("config", "FILE"),
            takes("preset", "NAME"),
            takes("role", "ROLE"),
            flag("no-host"),
            flag("print-config"),
            takes("print-preset", "NAME"),
            flag("print-schema"),
        ],
        Takes::Files,
    ),
    command(
        "cron",
        "the next runs of a schedule",
        &[
            Flag { long: "count", short: Some('n'), value: Some("COUNT") },
            takes("tz", "ZONE"),
            takes("from", "TIME"),
        ],
        Takes::Text,
    ),
    command("import", "translate a supervisord.conf", &[], Takes::Files),
    command("completions", "completions for a shell", &[], Takes::Of(&["bash", "zsh", "fish"])),
    command("help", "help on a topic", &[], Takes::Of(&["exit-codes", "signals"])),
    command("version", "the version", &[], Takes::Nothing),
];

/// Options without a command: those of a boot.
pub const BOOT: &[Flag] = &[
    takes("config", "FILE"),
    takes("preset", "NAME"),
    takes("role", "ROLE"),
    flag("migrate"),
    flag("no-boot"),
    short("help", 'h'),
    short("version", 'V'),
];

/// Every command by its name.
pub fn commands() -> impl Iterator<Item = &'static Command> {
    REMOTE.iter().chain(LOCAL)
}

/// The command of this name that asks the running init.
pub fn remote(name: &str) -> Option<&'static Command> {
    REMOTE.iter().find(|command| command.name == name)
}

/// A command line as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    options: BTreeMap<&'static str, String>,
    pub words: Vec<String>,
    pub help: bool,
}

impl Read {
    /// The option was given.
    pub fn has(&self, long: &str) -> bool {
        self.options.contains_key(long)
    }

    /// What it was given; the last one counts.
    pub fn value(&self, long: &str) -> Option<&str> {
        self.options.get(long).map(String::as_str)
    }
}

/// Reads what follows the command.
pub fn read(command: &Command, args: Vec<OsString>) -> Result<Read, String> {
    let mut read = Read::default();
    let mut parser = Parser::from_args(args);
    let known = || command.options.iter().chain(REACH);
    while let Some(arg) = parser.next().map_err(|error| error.to_string())? {
        let found = match arg {
            Arg::Short('h') | Arg::Long("help") => {
                read.help = true;
                continue;
            }
            Arg::Value(word) => {
                read.words.push(text(word)?);
                continue;
            }
            Arg::Long(name) => known().find(|flag| flag.long == name),
            Arg::Short(letter) => known().find(|flag| flag.short == Some(letter)),
        };
        let Some(flag) = found else { return Err(arg.unexpected().to_string()) };
        let value = match flag.value {
            Some(_) => text(parser.value().map_err(|error| error.to_string())?)?,
            None => String::new(),
        };
        read.options.insert(flag.long, value);
    }
    let too_many = match command.takes {
        Takes::Nothing => read.words.first(),
        Takes::Job => read.words.get(1),
        _ => None,
    };
    match too_many {
        Some(word) if !read.help => Err(format!("unexpected argument {word:?}")),
        _ => Ok(read),
    }
}

fn text(word: OsString) -> Result<String, String> {
    word.into_string().map_err(|word| format!("{word:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(name: &str, args: &[&str]) -> Result<Read, String> {
        read(remote(name).unwrap(), args.iter().map(OsString::from).collect())
    }

    #[test]
    fn options_stand_anywhere_and_in_every_form() {
        let read = line("logs", &["queue:1", "-fn5", "--socket=/s", "--", "-x"]).unwrap();
        assert_eq!(read.words, ["queue:1", "-x"]);
        assert_eq!((read.value("lines"), read.value("socket")), (Some("5"), Some("/s")));
        assert!(read.has("follow") && !read.help);
        assert!(line("stop", &["x", "-h"]).unwrap().help);
    }

    #[test]
    fn what_no_command_takes_is_an_error() {
        for (name, args, why) in [
            ("reload", &["x"][..], "\"x\""),
            ("run", &["a", "b"], "\"b\""),
            ("status", &["--follow"], "--follow"),
            ("status", &["-n"], "-n"),
            ("logs", &["-n"], "-n"),
            ("logs", &["--follow=yes"], "--follow"),
        ] {
            let error = line(name, args).unwrap_err();
            assert!(error.contains(why), "{name} {args:?}: {error}");
        }
    }
}
