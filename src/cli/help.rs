//! `init --help`, `init help TOPIC`, and the help of the commands that talk to a running init.

use crate::exit;
use std::io::Write;

const MAIN: &str = "\
init: PID 1 for PHP containers.

Usage:
  init [OPTIONS]                boot, then supervise
  init [OPTIONS] --migrate      boot, run the migration, exit with its verdict
  init [OPTIONS] -- CMD [ARG…]  boot, run CMD as the application's user, exit
                                with its code

In a running container ('init status --help' and the like tell more):
  init health                   healthy or not, for HEALTHCHECK: 0 or 1
  init status [NAME…]           every service and cron entry; --watch, --json
  init status --timeline        the boot as bars; --svg FILE as a picture
  init start|stop|restart NAME… services by NAME, NAME:N or all
  init signal SIG NAME…         send them a signal
  init reload                   take in changed configuration and files
  init logs [-f] [NAME…]        the last lines that services wrote
  init events [-f]              what init did
  init run JOB                  run a cron entry now, exit with its code
  init pause | resume           hold the schedule and the workers; go on

Anywhere:
  init check [OPTIONS] [FILE]   validate the configuration and print the plan
  init doctor                   name what will break or hurt in this container
  init cron 'EXPR' [OPTIONS]    print the next runs of a schedule
  init import FILE [CRONTAB…]   print a supervisord.conf and crontabs as an
                                init.toml
  init completions SHELL        completions for bash, zsh or fish
  init help exit-codes|signals  what each code and signal means

Options:
  --config FILE   read FILE instead of /etc/init.toml (also INIT_CONFIG)
  --preset NAME   laravel, wordpress, php, nginx or none, instead of the one
                  that fits the directory
  --role ROLE     only the services and cron entries of this role (also
                  INIT_ROLE)
  --migrate       as RUN_MIGRATIONS set to a non-empty value
  --no-boot       with -- CMD only: fetch nothing and run no boot step, to look
                  at a container that does not boot; so it is anyway where
                  another init runs in the container (docker exec)
  --boot          with -- CMD only: boot also where another init runs
  -h, --help      this text; 'init check --help' and the like tell more
  -V, --version   the version

Examples:
  init --role worker
  init -- php artisan tinker
  init --no-boot -- sh
  init check --print-config
  init status --watch
";

const SIGNALS: &str = "\
TERM INT QUIT WINCH PWR   stop: every service gets its own stop signal, in order, within stop-timeout.
                          A second one stops waiting for the order, a third one kills. At a terminal WINCH is a change
                          of the window's size, and nothing else.
HUP USR2                  reload: read the configuration, fetch files and run the boot steps once more, beside what
                          runs. Then services with a reload-signal get it (php-fpm: USR2), and the others are restarted
                          one instance after the other. When anything fails, everything stays as it was.
USR1                      log the state of every service and cron entry.

In one-off mode (init -- CMD) every signal is forwarded to CMD but CHLD, PIPE, TTIN, TTOU, those of a fault (ILL, TRAP,
ABRT, BUS, FPE, SEGV, SYS), and 32 to 34, which belong to the C library. In migrate mode a stop signal is forwarded
once.
";

/// What every command that talks to a running init understands.
const REACH: &str = "
Where init is:
  --socket PATH   its socket (also INIT_SOCKET); else [control] socket or
                  state-dir of the configuration say it: /opt/php/init.sock
  --config FILE   that configuration, where init was started with --config
  --timeout TIME  how long to wait for it to answer (5s)
  -h, --help      this text
";

const HEALTH: &str = "\
Usage: init health [--level alive|ready] [--timeout TIME] [--quiet]

Is the container healthy? Prints one line that says why, and exits 0 or 1, as
Docker wants it. Made for HEALTHCHECK: it starts no PHP and no shell.

Options:
  --level LEVEL   ready (the default): every essential service, and every other
                  one with a probe, is RUNNING and answers its probes.
                  alive: init answers, and nothing essential has failed for
                  good; for whatever kills what is unhealthy at once
  -q, --quiet     print nothing
  --timeout TIME  how long init may take to answer (1s); after it, unhealthy
  --socket PATH   its socket (also INIT_SOCKET); else [control] socket or
                  state-dir of the configuration say it: /opt/php/init.sock
  --config FILE   that configuration, where init was started with --config
  -h, --help      this text

Exits 0 when healthy, else 1: also when no init answers, or the command line is
wrong.

Example, in a Dockerfile:
  HEALTHCHECK --interval=10s --start-period=60s CMD [\"/usr/bin/init\", \"health\"]
";

const STATUS: &str = "\
Usage: init status [NAME…] [--json] [--watch [--interval TIME]]
       init status --timeline [--json] | --svg FILE

Shows every service and cron entry: state, pid, uptime, restarts, how it ended
last, when it is started next. NAME is a service, an instance (NAME:N) or a cron
entry. In a pipe each takes one line.

Options:
  --json           one JSON object in a line, whose fields stay
  -w, --watch      again and again, until Ctrl-C
  --interval TIME  how often (1s)
  --timeline       the boot as bars: fetches, steps, services until ready
  --svg FILE       the boot as a picture; - is standard output
";

const STATUS_EXITS: &str = "
Exits 0 when everything that should run is RUNNING, 3 when something is not, 64
for a name that does not exist, 69 when no init answers.

Example:
  $ init status queue
  queue:0  RUNNING   pid 31, uptime 0:05:09
  queue:1  BACKOFF   next start in 3s, last exited 1 after 200ms
";

const VERB_EXITS: &str = "
Exits 0 when all of it was done, else with the code of the first that was not:
64 for a name that does not exist, 1 for what failed; 69 when no init answers.
";

const START: &str = "\
Usage: init start NAME…

Starts services that are down, also those that were stopped by hand or given
up (FATAL). NAME is a service, an instance (NAME:N) or all.
";

const STOP: &str = "\
Usage: init stop NAME…

Stops services, each in its own manner, and keeps them down until 'init start'.
Returns when they have ended. NAME is a service, an instance (NAME:N) or all.
";

const RESTART: &str = "\
Usage: init restart NAME…

Stops services, each in its own manner, and starts them again. For PHP-FPM
'init reload' loses no request. NAME is a service, an instance (NAME:N) or all.
";

const SIGNAL: &str = "\
Usage: init signal SIGNAL NAME…

Sends a signal to the main process of services, and nothing else. SIGNAL is
such as USR1, SIGHUP, RTMIN+3 or 12. NAME is a service, an instance (NAME:N) or
all.
";

const RELOAD: &str = "\
Usage: init reload

Reads the configuration again, fetches files that have changed, runs the boot
steps, then reloads the services without losing a request. When anything fails
everything stays as it was. HUP to init does the same.
";

const LOGS: &str = "\
Usage: init logs [-f] [-n LINES] [NAME…]

Shows the last lines that services and cron runs wrote, of all without a NAME.
NAME is a service, an instance (NAME:N) or a cron entry.

Options:
  -f, --follow    go on with those to come, until Ctrl-C
  -n, --lines N   how many (100)
";

const EVENTS: &str = "\
Usage: init events [-f] [-n LINES] [--json]

Shows what happened and what init did about it: starts, ends, restarts, reloads.

Options:
  -f, --follow    go on with those to come, until Ctrl-C
  -n, --lines N   how many (100)
  --json          one JSON object a line
";

const RUN: &str = "\
Usage: init run JOB [--no-wait]

Runs a cron entry now, whatever its schedule says; its overlap rule holds.
Waits for it to end.

Options:
  --no-wait       return when it has been started
";

const PAUSE: &str = "\
Usage: init pause

Holds the schedule, and tells the services with a pause signal (queue workers)
to take no further job, until 'init resume'. The web goes on.
";

const RESUME: &str = "\
Usage: init resume

Goes on after 'init pause': the schedule runs, workers take jobs again.
";

const READ_EXITS: &str = "
Exits 0, 64 for a name that does not exist, 69 when no init answers.
";

const RUN_EXITS: &str = "
Exits with the job's own code (128+n for signal n); 64 for a name that does not
exist, 69 when no init answers.
";

/// The help of a command that talks to a running init.
pub fn of(command: &str) -> String {
    let (text, exits, example) = match command {
        "health" => return HEALTH.to_owned(),
        "status" => return format!("{STATUS}{REACH}{STATUS_EXITS}"),
        "start" => (START, VERB_EXITS, "init start queue:1"),
        "stop" => (STOP, VERB_EXITS, "init stop queue mail"),
        "restart" => (RESTART, VERB_EXITS, "init restart all"),
        "signal" => (SIGNAL, VERB_EXITS, "init signal USR1 nginx"),
        "reload" => (RELOAD, VERB_EXITS, "init reload"),
        "logs" => (LOGS, READ_EXITS, "init logs -f -n 20 queue"),
        "events" => (EVENTS, READ_EXITS, "init events -f --json"),
        "run" => (RUN, RUN_EXITS, "init run schedule"),
        "pause" => (PAUSE, VERB_EXITS, "init pause && init status"),
        _ => (RESUME, VERB_EXITS, "init resume"),
    };
    format!("{text}{REACH}{exits}\nExample:\n  $ {example}\n")
}

/// Prints the help of `topic`, the main page without one; the exit code.
pub fn topic(topic: Option<&str>, out: &mut dyn Write, err: &mut dyn Write) -> u8 {
    match topic {
        None => super::say(out, format_args!("{}", MAIN.trim_end())),
        Some("signals") => super::say(out, format_args!("{}", SIGNALS.trim_end())),
        Some("exit-codes") => {
            for (code, meaning) in exit::TABLE {
                super::say(out, format_args!("{code:>6}  {meaning}"));
            }
        }
        Some(command) if super::words::remote(command).is_some() => {
            super::say(out, format_args!("{}", of(command).trim_end()));
        }
        Some(other) => {
            super::say(
                err,
                format_args!("init: no help on \"{other}\": try exit-codes, signals, or init {other} --help"),
            );
            return exit::USAGE;
        }
    }
    exit::OK
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::words::{REACH as FLAGS, REMOTE, commands};

    #[test]
    fn every_option_of_the_table_is_in_its_help_and_the_other_way_round() {
        for command in REMOTE {
            let text = of(command.name);
            let flags: Vec<String> =
                command.options.iter().chain(FLAGS).map(|flag| format!("--{}", flag.long)).collect();
            for flag in &flags {
                assert!(text.contains(flag.as_str()), "{}: {flag}", command.name);
            }
            let letters = |c: char| !c.is_ascii_alphabetic() && c != '-';
            for word in text.split(letters).filter(|word| word.starts_with("--") && word.len() > 2) {
                let known = flags.iter().any(|flag| flag == word);
                // A Dockerfile's own.
                let docker = ["--help", "--interval", "--start-period"].contains(&word);
                assert!(known || docker, "{}: {word}", command.name);
            }
        }
    }

    #[test]
    fn every_command_is_on_the_main_page() {
        for command in commands().filter(|command| command.name != "version") {
            let line = MAIN.lines().any(|line| {
                line.trim_start().strip_prefix("init ").is_some_and(|rest| {
                    rest.split(|c: char| !c.is_ascii_alphabetic()).any(|word| word == command.name)
                })
            });
            assert!(line, "{}", command.name);
        }
        let widest = MAIN.lines().map(|line| line.chars().count()).max();
        assert!(widest <= Some(80), "{widest:?}");
    }
}
