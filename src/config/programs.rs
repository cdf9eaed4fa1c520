//! What is known of programs that people run: how they want to be stopped, and as whom they start.
//!
//! A service's own keys win over all of it. Nothing is known of a program behind a wrapper (`sh -c`, `env`).

use crate::config::plan::{Signal, StopScope};
use std::path::Path;

/// How a program behaves.
#[derive(Debug, PartialEq, Eq)]
pub struct Habit {
    /// What it is called in a sentence.
    pub name: &'static str,
    /// What lets it finish its work.
    pub stop_signal: Signal,
    /// `Main`: it tells its own children, and a signal to them as well would cut off their work.
    pub stop_scope: StopScope,
    /// What makes it read its configuration again without an interruption.
    pub reload_signal: Option<Signal>,
    /// Its master binds ports or opens logs as root, and runs what is exposed as another user itself.
    pub starts_as_root: bool,
    /// What TERM, or a signal to its whole group, would cut off.
    pub work: &'static str,
}

const fn habit(name: &'static str, stop_signal: Signal, work: &'static str) -> Habit {
    Habit { name, stop_signal, stop_scope: StopScope::Main, reload_signal: None, starts_as_root: false, work }
}

/// php-fpm(8): QUIT is a graceful stop, USR2 a reload of workers, binary and configuration.
static PHP_FPM: Habit = Habit {
    reload_signal: Some(Signal::USR2),
    starts_as_root: true,
    ..habit("PHP-FPM", Signal::QUIT, "requests")
};
/// nginx(8): QUIT shuts down gracefully, TERM at once.
static NGINX: Habit = Habit {
    reload_signal: Some(Signal::HUP),
    starts_as_root: true,
    ..habit("nginx", Signal::QUIT, "requests")
};
/// httpd, "Stopping and Restarting": WINCH is graceful-stop. USR1, graceful, would leave mod_php its environment, so a reload
/// restarts it.
static APACHE: Habit = Habit { starts_as_root: true, ..habit("Apache", Signal::WINCH, "requests") };
/// Horizon's master passes TERM on to its supervisors and waits for their workers (Laravel\Horizon\MasterSupervisor).
static HORIZON: Habit = habit("Horizon", Signal::TERM, "jobs");
static OCTANE: Habit = habit("Octane", Signal::TERM, "requests");
static ROAD_RUNNER: Habit = habit("RoadRunner", Signal::TERM, "requests");
static FRANKEN_PHP: Habit = habit("FrankenPHP", Signal::TERM, "requests");
static CADDY: Habit = habit("Caddy", Signal::TERM, "requests");
/// It waits for the jobs that run.
static SUPERCRONIC: Habit = habit("supercronic", Signal::TERM, "jobs");

/// What is known of the program of a command.
pub fn habit_of(command: &[String]) -> Option<&'static Habit> {
    let program = file_name(command.first()?);
    let version = |rest: &str| rest.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte));
    match program {
        "nginx" | "openresty" => Some(&NGINX),
        // Both scripts of the official images execute httpd in their place.
        "apache2" | "httpd" | "apache2-foreground" | "httpd-foreground" => Some(&APACHE),
        "rr" => Some(&ROAD_RUNNER),
        "frankenphp" => Some(&FRANKEN_PHP),
        "caddy" => Some(&CADDY),
        "supercronic" => Some(&SUPERCRONIC),
        _ if program.strip_prefix("php-fpm").is_some_and(version) => Some(&PHP_FPM),
        _ if program.strip_prefix("php").is_some_and(version) => match artisan(command)? {
            "horizon" => Some(&HORIZON),
            "octane:start" => Some(&OCTANE),
            _ => None,
        },
        _ => None,
    }
}

/// The command after `artisan`, such as `queue:work`.
pub fn artisan(command: &[String]) -> Option<&str> {
    let at = command.iter().position(|word| file_name(word) == "artisan")?;
    command.get(at.checked_add(1)?..)?.iter().map(String::as_str).find(|word| !word.starts_with('-'))
}

/// The last part of a path.
pub fn file_name(word: &str) -> &str {
    Path::new(word).file_name().and_then(|name| name.to_str()).unwrap_or(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_known_by_their_names() {
        for (command, name) in [
            ("php-fpm -F", Some("PHP-FPM")),
            ("/usr/sbin/php-fpm8.4 -F", Some("PHP-FPM")),
            ("php-fpm83 -F", Some("PHP-FPM")),
            ("nginx -g daemon-off", Some("nginx")),
            ("/usr/local/bin/apache2-foreground", Some("Apache")),
            ("php artisan horizon", Some("Horizon")),
            (
                "php8.4 -d memory_limit=1G /var/www/html/artisan horizon --environment=production",
                Some("Horizon"),
            ),
            ("php artisan octane:start", Some("Octane")),
            ("php artisan --no-ansi horizon", Some("Horizon")),
            ("frankenphp run", Some("FrankenPHP")),
            ("php artisan queue:work", None),
            ("php artisan horizon:purge", None),
            ("php horizon", None),
            ("php-fpm-healthcheck", None),
            ("phpunit", None),
            ("sh -c nginx", None),
            ("", None),
        ] {
            let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
            assert_eq!(habit_of(&command).map(|habit| habit.name), name, "{command:?}");
        }
        assert_eq!(habit_of(&[]), None);
    }
}
