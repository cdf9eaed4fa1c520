//! `init`, `init --migrate`, `init [--no-boot] -- CMD…`: boot, then supervise, migrate or run one command.

use crate::config;
use crate::config::suggest::nearest;
use crate::runtime::{self, Boot, Mode};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What the command line asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Run {
    config: Option<PathBuf>,
    preset: Option<String>,
    role: Option<String>,
    mode: Mode,
}

/// A command line that cannot be run.
#[derive(Debug, PartialEq, Eq)]
pub enum UsageError {
    UnknownCommand(String),
    Option(String),
    Both,
    NothingAfterDashes,
    NoBootAlone,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(word) => {
                let commands: Vec<&str> = super::words::commands().map(|command| command.name).collect();
                if commands.contains(&word.as_str()) {
                    return write!(
                        f,
                        "cannot read the command line: \"{word}\" comes first, and its options after it: 'init {word} …'"
                    );
                }
                write!(f, "cannot run command \"{word}\": init has no such command")?;
                if let Some(near) = nearest(word, &commands) {
                    return write!(f, ": did you mean \"{near}\"? To run a program write 'init -- {word}'");
                }
                write!(f, "; to run a program write 'init -- {word}'")
            }
            Self::Option(why) => write!(f, "cannot read the command line: {why}"),
            Self::Both => {
                f.write_str("cannot both migrate and run a command: give --migrate or -- CMD, not both")
            }
            Self::NoBootAlone => f.write_str(
                "cannot choose the boot of anything but a command: write 'init --no-boot -- CMD' or 'init --boot -- CMD'",
            ),
            Self::NothingAfterDashes => f.write_str("cannot run an empty command: write it after --"),
        }
    }
}

/// Reads the arguments of a run. `env` gives RUN_MIGRATIONS; INIT_CONFIG and INIT_ROLE are for [`config::load_from`].
///
/// # Errors
/// [`UsageError`] names what is wrong with the command line.
pub fn parse(args: Vec<OsString>, env: &dyn Fn(&str) -> Option<String>) -> Result<Run, UsageError> {
    let (options, command) = match args.iter().position(|arg| arg == "--") {
        Some(at) => {
            let command = args.get(at.saturating_add(1)..).unwrap_or_default().to_vec();
            if command.is_empty() {
                return Err(UsageError::NothingAfterDashes);
            }
            (args.get(..at).unwrap_or_default().to_vec(), Some(command))
        }
        None => (args, None),
    };
    let set = |name: &str| env(name).filter(|value| !value.is_empty());
    let (mut config, mut preset, mut role, mut migrate, mut boot) = (None, None, None, false, Boot::Alone);
    let mut parser = lexopt::Parser::from_args(options);
    let wrong = |error: lexopt::Error| UsageError::Option(error.to_string());
    while let Some(arg) = parser.next().map_err(wrong)? {
        match arg {
            lexopt::Arg::Long("config") => config = Some(parser.value().map_err(wrong)?.into()),
            lexopt::Arg::Long("preset") => preset = Some(text(&mut parser)?),
            lexopt::Arg::Long("role") => role = Some(text(&mut parser)?),
            lexopt::Arg::Long("migrate") => migrate = true,
            lexopt::Arg::Long("no-boot") => boot = Boot::Never,
            lexopt::Arg::Long("boot") => boot = Boot::Always,
            lexopt::Arg::Value(word) => {
                return Err(UsageError::UnknownCommand(word.to_string_lossy().into_owned()));
            }
            other => return Err(wrong(other.unexpected())),
        }
    }
    let mode = match command {
        Some(_) if migrate => return Err(UsageError::Both),
        Some(command) => Mode::OneOff { command, boot },
        None if boot != Boot::Alone => return Err(UsageError::NoBootAlone),
        None if migrate || set("RUN_MIGRATIONS").is_some() => Mode::Migrate,
        None => Mode::Supervise,
    };
    Ok(Run { config, preset, role, mode })
}

fn text(parser: &mut lexopt::Parser) -> Result<String, UsageError> {
    let value = parser.value().map_err(|error| UsageError::Option(error.to_string()))?;
    value.into_string().map_err(|value| UsageError::Option(format!("{value:?} is not UTF-8")))
}

impl Run {
    /// Boots and runs to the end; the exit code of the container.
    pub fn execute(self) -> u8 {
        let Self { config, preset, role, mode } = self;
        let options = config::Options { config, preset, role };
        // init leaves it once it has its configuration, and a reload means the same one.
        let current_dir = std::env::current_dir().ok();
        runtime::run(mode, move |progress| {
            let env = |name: &str| std::env::var(name).ok();
            let at = |path: &std::path::Path| progress.at(path);
            config::load_from(&options, &env, current_dir.as_deref(), &at).map(|loaded| loaded.plan)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str], env: &[(&str, &str)]) -> Result<Run, UsageError> {
        parse(args.iter().map(OsString::from).collect(), &|name| {
            env.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_mode_follows_the_words_then_the_environment() {
        assert_eq!(read(&[], &[]).unwrap().mode, Mode::Supervise);
        assert_eq!(read(&["--migrate"], &[]).unwrap().mode, Mode::Migrate);
        assert_eq!(read(&[], &[("RUN_MIGRATIONS", "1")]).unwrap().mode, Mode::Migrate);
        assert_eq!(read(&[], &[("RUN_MIGRATIONS", "")]).unwrap().mode, Mode::Supervise);
        let command = vec![OsString::from("php"), OsString::from("--version")];
        assert_eq!(
            read(&["--", "php", "--version"], &[("RUN_MIGRATIONS", "1")]).unwrap().mode,
            Mode::OneOff { command, boot: Boot::Alone }
        );
    }

    #[test]
    fn options_are_read_in_both_forms() {
        let run = read(&["--role", "web", "--config=/a", "--preset=php"], &[]).unwrap();
        assert_eq!((run.role.as_deref(), run.preset.as_deref()), (Some("web"), Some("php")));
        assert_eq!(run.config, Some("/a".into()));
    }

    #[test]
    fn only_a_command_goes_without_boot() {
        let command = vec![OsString::from("sh")];
        assert_eq!(
            read(&["--no-boot", "--", "sh"], &[]).unwrap().mode,
            Mode::OneOff { command, boot: Boot::Never }
        );
        let command = vec![OsString::from("--no-boot")];
        assert_eq!(
            read(&["--", "--no-boot"], &[]).unwrap().mode,
            Mode::OneOff { command, boot: Boot::Alone }
        );
        assert_eq!(read(&["--no-boot"], &[]), Err(UsageError::NoBootAlone));
        assert_eq!(read(&["--boot"], &[]), Err(UsageError::NoBootAlone));
        let command = vec![OsString::from("sh")];
        let mode = read(&["--boot", "--", "sh"], &[]).unwrap().mode;
        assert_eq!(mode, Mode::OneOff { command, boot: Boot::Always });
        assert_eq!(read(&["--no-boot"], &[("RUN_MIGRATIONS", "1")]), Err(UsageError::NoBootAlone));
        assert_eq!(read(&["--no-boot", "--migrate"], &[]), Err(UsageError::NoBootAlone));
        assert_eq!(read(&["--no-boot", "--"], &[]), Err(UsageError::NothingAfterDashes));
        assert!(read(&["--no-boot=yes", "--", "sh"], &[]).is_err());
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert_eq!(read(&["--migrate", "--", "x"], &[]), Err(UsageError::Both));
        assert_eq!(read(&["--"], &[]), Err(UsageError::NothingAfterDashes));
        assert_eq!(read(&["php"], &[]), Err(UsageError::UnknownCommand("php".into())));
        for (word, meant) in
            [("chekc", "check"), ("satus", "status"), ("restrat", "restart"), ("log", "logs")]
        {
            let error = UsageError::UnknownCommand(word.into()).to_string();
            assert!(error.contains(&format!("did you mean \"{meant}\"?")), "{error}");
        }
        assert!(!UsageError::UnknownCommand("php".into()).to_string().contains("did you mean"));
        assert!(read(&["--rôle"], &[]).unwrap_err().to_string().contains("--rôle"));
        assert!(read(&["--role"], &[]).is_err());
    }
}
