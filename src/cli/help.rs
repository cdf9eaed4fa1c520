//! `init --help` and `init help TOPIC`.

use crate::exit;
use std::io::Write;

const MAIN: &str = "\
init: PID 1 for PHP containers.

Usage:
  init [OPTIONS]                boot, then supervise
  init [OPTIONS] --migrate      boot, run the migration, exit with its verdict
  init [OPTIONS] -- CMD [ARG…]  boot, run CMD as the application's user, exit with its code
  init check [OPTIONS]          validate the configuration and print the plan; no side effects
  init cron 'EXPR' [OPTIONS]    print the next runs of a schedule
  init import FILE [CRONTAB…]   print a supervisord.conf and crontabs as an init.toml
  init help exit-codes|signals  what each code and signal means

Options:
  --config FILE   read FILE instead of /etc/init.toml (also INIT_CONFIG)
  --preset NAME   laravel, wordpress, php or none, instead of the one that fits the directory
  --role ROLE     only the services and cron entries of this role (also INIT_ROLE)
  --migrate       as RUN_MIGRATIONS set to a non-empty value
  --no-boot       with -- CMD only: fetch nothing and run no boot step, to look at a container that does not boot
  -h, --help      this text; 'init check --help' and the like tell more
  -V, --version   the version

Examples:
  init --role worker
  init -- php artisan tinker
  init --no-boot -- sh
  init check --print-config
  init import /etc/supervisord.conf /etc/crontabs/www-data > init.toml
";

const SIGNALS: &str = "\
TERM INT QUIT WINCH PWR   stop: every service gets its own stop signal, in order, within stop-timeout.
                          A second one stops waiting for the order, a third one kills. At a terminal WINCH is a change
                          of the window's size, and nothing else.
HUP USR2                  reload: read the configuration, fetch files and run the boot steps once more, beside what runs.
                          Then services with a reload-signal get it (php-fpm: USR2), and the others are restarted one
                          instance after the other. When anything fails, everything stays as it was.
USR1                      log the state of every service and cron entry.

In one-off mode (init -- CMD) every signal is forwarded to CMD. In migrate mode a stop signal is forwarded once.
";

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
        Some(other) => {
            super::say(err, format_args!("init: no help on \"{other}\": try exit-codes or signals"));
            return exit::USAGE;
        }
    }
    exit::OK
}
