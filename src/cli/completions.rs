//! `init completions bash|zsh|fish`: what the shell offers after `init`, made of the table of [`words`]. The names
//! of services come from the running init, asked quietly each time.

use super::remote::Lookup;
use super::say;
use super::words::{self, BOOT, Command, Flag, REACH, REMOTE, Takes};
use crate::config::load::PRESETS;
use crate::config::socket;
use crate::config::{Options, suggest};
use crate::control::client::Connection;
use crate::control::protocol::{Reply, Request, Status};
use crate::exit;
use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

const HELP: &str = "\
Usage: init completions bash|zsh|fish

Prints the completions of a shell: commands, options, and the names of services
and cron entries, for which the running init is asked.

  -h, --help  this text

Exits 0, 64 when the command line is wrong.

Example:
  $ source <(init completions bash)
  $ init completions zsh > \"${fpath[1]}/_init\"
  $ init completions fish > ~/.config/fish/completions/init.fish
";

const SHELLS: &[&str] = &["bash", "zsh", "fish"];
/// Nobody waits longer for the tab key.
const PATIENCE: Duration = Duration::from_millis(300);
const SIGNALS: &str = "HUP INT QUIT USR1 USR2 TERM CONT WINCH STOP KILL";

/// Runs `init completions` with the arguments after that word; the exit code.
pub fn run(args: Vec<OsString>, env: Lookup<'_>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    let words: Vec<&str> = args.iter().map(|arg| arg.to_str().unwrap_or("?")).collect();
    let text = match words.as_slice() {
        ["-h" | "--help", ..] | [_, "-h" | "--help"] => HELP.to_owned(),
        ["bash"] => bash(),
        ["zsh"] => zsh(),
        ["fish"] => fish(),
        // For the scripts, not for people.
        ["names"] => ask(env, true),
        ["services"] => ask(env, false),
        ["jobs"] => {
            asked(env).map_or_else(String::new, |status| offered(status.crons.iter().map(|cron| &cron.name)))
        }
        [] => return wrong(err, "the shell is missing: bash, zsh or fish"),
        [other, ..] => {
            let hint = suggest::hint(other, SHELLS, "shells");
            return wrong(err, &format!("unknown shell {other:?}: {hint}"));
        }
    };
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    exit::OK
}

fn wrong(err: &mut dyn Write, why: &str) -> u8 {
    say(
        err,
        format_args!("init completions: cannot read the command line: {why}; see init completions --help"),
    );
    exit::USAGE
}

/// The status, or nothing and no word about it.
fn asked(env: Lookup<'_>) -> Option<Box<Status>> {
    let given = env("INIT_SOCKET").filter(|path| !path.is_empty()).map(PathBuf::from);
    let path = given.unwrap_or_else(|| socket::find(&Options::default(), env).path);
    match Connection::ask(&path, &Request::Status, PATIENCE).ok()?.reply().ok()? {
        Reply::Status(status) => Some(status),
        _ => None,
    }
}

/// The names of services and their instances; with `all` those of cron entries too.
fn ask(env: Lookup<'_>, all: bool) -> String {
    let Some(status) = asked(env) else { return String::new() };
    let services = status.services.iter().flat_map(|service| [&service.service, &service.name]);
    let crons = status.crons.iter().map(|cron| &cron.name).filter(|_| all);
    offered(services.chain(crons))
}

/// The names, a line each. One that no configuration can give is left out: a shell reads what is printed here, and a
/// user's Enter runs what it has completed.
fn offered<'a>(names: impl Iterator<Item = &'a String>) -> String {
    let is_name = |name: &&String| {
        name.starts_with(|c: char| c.is_ascii_alphanumeric())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.:".contains(c))
    };
    let names: BTreeSet<&String> = names.filter(is_name).collect();
    names.iter().map(|name| format!("{name}\n")).collect()
}

/// What the value of an option may be, where it is one of a few words.
fn choices(option: &str) -> Option<String> {
    let presets = PRESETS.iter().map(|(name, _)| *name);
    match option {
        "level" => Some("alive ready".to_owned()),
        "preset" => Some(presets.chain(["none"]).collect::<Vec<_>>().join(" ")),
        "print-preset" => Some(presets.collect::<Vec<_>>().join(" ")),
        _ => None,
    }
}

/// Options whose value is one of a few words, each with these words.
fn chosen() -> impl Iterator<Item = (&'static str, String)> {
    ["level", "preset", "print-preset"].into_iter().filter_map(|name| Some((name, choices(name)?)))
}

fn remote(command: &Command) -> bool {
    REMOTE.iter().any(|other| other.name == command.name)
}

fn flags(command: &Command) -> impl Iterator<Item = &Flag> {
    command.options.iter().chain(if remote(command) { REACH } else { &[] })
}

/// `--follow -f --lines -n`.
fn options(flags: impl Iterator<Item = impl std::borrow::Borrow<Flag>>) -> String {
    let mut words = Vec::new();
    for flag in flags {
        let flag = flag.borrow();
        words.push(format!("--{}", flag.long));
        words.extend(flag.short.map(|letter| format!("-{letter}")));
    }
    words.join(" ")
}

fn names() -> String {
    words::commands().map(|command| command.name).collect::<Vec<_>>().join(" ")
}

fn bash() -> String {
    let mut out = String::from(
        "# Completions of init for bash.\n\
         # Offers those of its arguments that begin with what was typed. Nothing expands them, as compgen -W would.\n\
         _init_offer() {\n\
         \x20   local word\n\
         \x20   for word; do\n\
         \x20       [[ $word == \"$cur\"* && $word != *[![:alnum:]_.:-]* ]] && COMPREPLY+=(\"${word#\"$colon\"}\")\n\
         \x20   done\n\
         }\n\
         # Offers names of the running init.\n\
         _init_ask() {\n\
         \x20   local -a names\n\
         \x20   mapfile -t names < <(init completions \"$1\" 2>/dev/null)\n\
         \x20   _init_offer \"${names[@]}\"\n\
         }\n\
         _init_files() {\n\
         \x20   compopt -o filenames 2>/dev/null\n\
         \x20   mapfile -t COMPREPLY < <(compgen -f -- \"$cur\")\n\
         }\n\
         _init() {\n\
         \x20   local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} line=${COMP_LINE:0:COMP_POINT}\n\
         \x20   local command=${COMP_WORDS[1]} colon=\n\
         \x20   COMPREPLY=()\n\
         \x20   # bash takes queue:1 for three words; what stands before the colon must not be offered again.\n\
         \x20   local whole=${line##* }\n\
         \x20   [[ $whole == *:* ]] && colon=${whole%:*}: cur=$whole\n\
         \x20   case $prev in\n\
         \x20       --socket|--config|--svg) _init_files; return ;;\n",
    );
    for (option, words) in chosen() {
        // Writing to a string cannot fail, here and below.
        let _ = writeln!(out, "        --{option}) _init_offer {words}; return ;;");
    }
    out.push_str("    esac\n    if ((COMP_CWORD == 1)); then\n");
    let _ = writeln!(out, "        _init_offer {} {}", names(), options(BOOT.iter()));
    out.push_str("    else\n        case $command in\n");
    for command in words::commands() {
        let takes = match command.takes {
            Takes::Names { crons: true } => "; _init_ask names".to_owned(),
            Takes::Names { crons: false } => " all; _init_ask services".to_owned(),
            Takes::Job => "; _init_ask jobs".to_owned(),
            Takes::Signal => format!(" all {SIGNALS}; _init_ask services"),
            Takes::Of(words) => format!(" {}", words.join(" ")),
            Takes::Files => "; [[ $cur == -* ]] || _init_files".to_owned(),
            Takes::Nothing | Takes::Text => String::new(),
        };
        let _ = writeln!(
            out,
            "            {}) _init_offer {} --help{takes} ;;",
            command.name,
            options(flags(command))
        );
    }
    out.push_str("        esac\n    fi\n}\ncomplete -F _init init\n");
    out
}

fn zsh() -> String {
    let mut out =
        String::from("#compdef init\n# Completions of init for zsh.\n_init() {\n    local -a commands\n");
    out.push_str("    commands=(\n");
    for command in words::commands() {
        let _ = writeln!(out, "        '{}:{}'", command.name, command.about);
    }
    out.push_str("    )\n    if ((CURRENT == 2)); then\n        _describe command commands\n");
    let _ = writeln!(out, "        compadd -- {}", options(BOOT.iter()));
    out.push_str(
        "        return\n    fi\n    case $words[CURRENT-1] in\n\
         \x20       --socket|--config|--svg) _files; return ;;\n",
    );
    for (option, words) in chosen() {
        let _ = writeln!(out, "        --{option}) compadd -- {words}; return ;;");
    }
    out.push_str("    esac\n    case $words[2] in\n");
    for command in words::commands() {
        let takes = match command.takes {
            Takes::Names { crons: true } => {
                "compadd -- ${(f)\"$(init completions names 2>/dev/null)\"}; ".to_owned()
            }
            Takes::Names { crons: false } => {
                "compadd -- all ${(f)\"$(init completions services 2>/dev/null)\"}; ".to_owned()
            }
            Takes::Job => "compadd -- ${(f)\"$(init completions jobs 2>/dev/null)\"}; ".to_owned(),
            Takes::Signal => format!(
                "if ((CURRENT == 3)); then compadd -- {SIGNALS}; else compadd -- all ${{(f)\"$(init completions services 2>/dev/null)\"}}; fi; "
            ),
            Takes::Of(words) => format!("compadd -- {}; ", words.join(" ")),
            Takes::Files => "_files; ".to_owned(),
            Takes::Nothing | Takes::Text => String::new(),
        };
        let _ = writeln!(
            out,
            "        {}) {takes}compadd -- {} --help ;;",
            command.name,
            options(flags(command))
        );
    }
    // Sourced, it registers itself; in $fpath, zsh calls it.
    out.push_str(
        "    esac\n}\nif [[ $funcstack[1] == _init ]]; then _init \"$@\"; else compdef _init init; fi\n",
    );
    out
}

fn fish() -> String {
    let mut out = String::from("# Completions of init for fish.\ncomplete -c init -f\n");
    for command in words::commands() {
        let (name, about) = (command.name, command.about);
        let _ = writeln!(out, "complete -c init -n __fish_use_subcommand -a {name} -d '{about}'");
        let seen = format!("-n '__fish_seen_subcommand_from {name}'");
        for flag in flags(command) {
            let short = flag.short.map(|letter| format!(" -s {letter}")).unwrap_or_default();
            let value = match (flag.long, choices(flag.long)) {
                ("socket" | "config" | "svg", _) => " -r -F".to_owned(),
                (_, Some(words)) => format!(" -x -a '{words}'"),
                _ if flag.value.is_some() => " -x".to_owned(),
                _ => String::new(),
            };
            let _ = writeln!(out, "complete -c init {seen} -l {}{short}{value}", flag.long);
        }
        let takes = match command.takes {
            Takes::Names { crons: true } => "(init completions names 2>/dev/null)".to_owned(),
            Takes::Names { crons: false } => "all (init completions services 2>/dev/null)".to_owned(),
            Takes::Job => "(init completions jobs 2>/dev/null)".to_owned(),
            Takes::Signal => format!("{SIGNALS} all (init completions services 2>/dev/null)"),
            Takes::Of(words) => words.join(" "),
            Takes::Files => {
                let _ = writeln!(out, "complete -c init {seen} -F");
                continue;
            }
            Takes::Nothing | Takes::Text => continue,
        };
        let _ = writeln!(out, "complete -c init {seen} -a '{takes}'");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_and_option_is_offered_by_every_shell() {
        for (shell, text, dashes) in [("bash", bash(), "--"), ("zsh", zsh(), "--"), ("fish", fish(), "-l ")] {
            for command in words::commands() {
                assert!(text.contains(command.name), "{shell} {}", command.name);
                assert!(!command.about.contains(['\'', ':']), "{} is quoted", command.about);
                for flag in flags(command) {
                    assert!(text.contains(&format!("{dashes}{}", flag.long)), "{shell} --{}", flag.long);
                }
            }
        }
    }

    #[test]
    fn without_an_init_nothing_is_said() {
        let env = |name: &str| (name == "INIT_SOCKET").then(|| "/nonexistent/s".to_owned());
        for word in ["names", "services", "jobs"] {
            let (mut out, mut err) = (Vec::new(), Vec::new());
            assert_eq!(run(vec![word.into()], &env, &mut out, &mut err), 0);
            assert!(out.is_empty() && err.is_empty());
        }
    }
}
