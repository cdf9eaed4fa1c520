//! Why a process ended, in words that help whoever is paged at night.
//!
//! The kernel tells a code or a signal. What it means depends on the program: SIGKILL is a job's own timeout in a
//! queue worker (Laravel `Worker::kill`), 12 its memory limit, 78 a configuration or address problem in PHP-FPM
//! (php-src sapi/fpm/fpm/fpm.h), 0 after a blink a lost database.

use super::event::ExitStatus;
use super::words::Words;
use crate::config::plan::Signal;
use std::time::Duration;

/// A success after less than this is no success for a program that should stay.
const BLINK: Duration = Duration::from_secs(5);

/// What kind of program a command starts, as far as its endings differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Program {
    Fpm,
    /// A Laravel queue worker; Horizon's own are its children.
    Worker,
    /// Any other `php` command line.
    Php,
    Nginx,
    Other,
}

impl Program {
    /// Tells by the command, also through wrappers such as `sh -c "exec php artisan …"`.
    pub fn of(command: &[String]) -> Self {
        let mut words = command.iter().flat_map(|argument| argument.split_whitespace());
        let names = words.clone().map(|word| word.rsplit('/').next().unwrap_or(word));
        if words.any(|word| word == "queue:work" || word == "queue:listen") {
            return Self::Worker;
        }
        let mut program = Self::Other;
        for name in names {
            match name {
                _ if name.starts_with("php-fpm") || name.starts_with("php") && name.contains("fpm") => {
                    return Self::Fpm;
                }
                "nginx" => program = Self::Nginx,
                "php" | "artisan" => return Self::Php,
                _ if versioned(name) => return Self::Php,
                _ => {}
            }
        }
        program
    }
}

/// `php8.2`, `php84`.
fn versioned(name: &str) -> bool {
    let version = name.strip_prefix("php").unwrap_or("");
    !version.is_empty() && version.chars().all(|c| c.is_ascii_digit() || c == '.')
}

/// One ending.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ending {
    pub program: Program,
    pub status: ExitStatus,
    /// The cgroup's oom_kill counter has risen.
    pub oom: bool,
    pub uptime: Duration,
}

impl Ending {
    /// What happened, and after how long: `exited 0 after 300ms: often a lost database connection`.
    pub fn words(self) -> String {
        match self.hint() {
            Some(hint) => format!("{}: {hint}", self.asked()),
            None => self.asked(),
        }
    }

    /// The same of a process that was told to end: nobody has to guess why it did.
    pub fn asked(self) -> String {
        let what = match self.status {
            ExitStatus::Code(code) => format!("exited {code}"),
            ExitStatus::Signal(signal) => format!("killed by SIG{signal}"),
        };
        format!("{what} after {}", Words(self.uptime))
    }

    fn hint(self) -> Option<&'static str> {
        // A shell or a master that lost its child to the OOM killer passes the death on as 137.
        let killed = self.status.code() == 137;
        if self.oom {
            return Some(if killed {
                "out of memory: the kernel's OOM killer struck, the container is at its memory limit"
            } else {
                "the kernel's OOM killer struck in this container just before: it is at its memory limit"
            });
        }
        match self.status {
            ExitStatus::Code(code) => self.code_hint(code),
            ExitStatus::Signal(signal) => self.signal_hint(signal),
        }
    }

    fn code_hint(self, code: u8) -> Option<&'static str> {
        Some(match (self.program, code) {
            (Program::Worker, 0) if self.uptime < BLINK => {
                "often a lost database or queue connection, which a worker leaves with success"
            }
            (Program::Fpm, 0) if self.uptime < BLINK => "it went into the background: run it with -F",
            (Program::Nginx, 0) if self.uptime < BLINK => {
                "it went into the background: run it with -g 'daemon off;'"
            }
            (Program::Worker, 12) => "memory limit reached, the worker's --memory (128 MB unless set)",
            (Program::Worker | Program::Php, 1) => {
                "an error that PHP or the application reports in the lines above"
            }
            (Program::Worker | Program::Php, 255) => {
                "PHP fatal error, see the lines above or the application's log"
            }
            (Program::Fpm, 64) => "php-fpm does not know an option of its command line",
            (Program::Fpm, 70) => {
                "php-fpm could not start in the background or replace itself on a reload, its own lines above say why"
            }
            (Program::Fpm, 78) => "configuration or address problem, php-fpm's own lines above say which",
            (Program::Nginx, 1) => "configuration or address problem, nginx's own lines above say which",
            (_, 126) => "the program was found but may not be executed",
            (_, 127) => "a program was not found",
            (Program::Worker, 137) => {
                "a job ran past its --timeout, or something outside killed the worker under this shell"
            }
            (_, 137) => "something below this process was killed by SIGKILL",
            (_, 139) => "something below this process crashed with SIGSEGV",
            _ => return None,
        })
    }

    fn signal_hint(self, signal: Signal) -> Option<&'static str> {
        Some(match (self.program, signal.number()) {
            (Program::Worker, 9) => "a job ran past its --timeout, or something outside killed it",
            (_, 9) => "not by init and not out of memory, so by something outside",
            (Program::Fpm | Program::Worker | Program::Php, 11) => {
                "a crash inside PHP or one of its extensions; try without opcache.jit and the newest extensions"
            }
            (_, 11) => "a crash inside the program",
            (_, 4) => "the program is built for another processor",
            (_, 6) => "it aborted itself, see its lines above",
            (_, 7) => "a mapped file was cut short, or /dev/shm is full",
            (_, 31) => "the container's seccomp profile forbids a system call that it made",
            (_, 24) => "processor time limit reached",
            (_, 25) => "file size limit reached",
            (_, 1 | 2 | 3 | 15) => "the signal did not come from init",
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn program(command: &str) -> Program {
        Program::of(&command.split(',').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn programs_are_told_by_their_command() {
        assert_eq!(program("php-fpm,-F"), Program::Fpm);
        assert_eq!(program("/usr/sbin/php-fpm8.2,--nodaemonize"), Program::Fpm);
        assert_eq!(program("php,artisan,queue:work,--tries=3"), Program::Worker);
        assert_eq!(program("sh,-c,exec php artisan queue:work"), Program::Worker);
        assert_eq!(program("/usr/bin/php8.4,artisan,reverb:start"), Program::Php);
        assert_eq!(program("./artisan,horizon"), Program::Php);
        assert_eq!(program("nginx,-g,daemon off;"), Program::Nginx);
        assert_eq!(program("phpunit"), Program::Other);
        assert_eq!(program(""), Program::Other);
        assert_eq!(Program::of(&[]), Program::Other);
    }

    fn words(program: Program, status: ExitStatus, oom: bool, millis: u64) -> String {
        Ending { program, status, oom, uptime: Duration::from_millis(millis) }.words()
    }

    #[test]
    fn every_ending_that_php_people_meet_has_its_own_words() {
        use ExitStatus::{Code, Signal as By};
        let signal = |number| By(Signal::from_number(number).unwrap());
        for (program, status, oom, needle) in [
            (Program::Worker, By(Signal::KILL), false, "--timeout"),
            (Program::Worker, By(Signal::KILL), true, "out of memory"),
            (Program::Worker, Code(12), false, "memory limit"),
            (Program::Worker, Code(0), false, "lost database"),
            (Program::Php, Code(255), false, "PHP fatal error"),
            (Program::Fpm, Code(78), false, "address problem"),
            (Program::Fpm, Code(70), false, "php-fpm could not"),
            (Program::Fpm, Code(0), false, "run it with -F"),
            (Program::Nginx, Code(0), false, "daemon off"),
            (Program::Fpm, By(Signal::KILL), false, "something outside"),
            (Program::Other, Code(137), true, "out of memory"),
            (Program::Fpm, Code(1), true, "OOM killer"),
            (Program::Php, signal(11), false, "SIGSEGV"),
            (Program::Other, signal(31), false, "seccomp"),
            (Program::Other, By(Signal::TERM), false, "did not come from init"),
        ] {
            let text = words(program, status, oom, 300);
            assert!(text.contains(needle) && text.contains("after 300ms"), "{program:?} {status:?}: {text}");
        }
    }

    #[test]
    fn an_ordinary_ending_is_told_without_a_guess() {
        assert_eq!(words(Program::Worker, ExitStatus::Code(0), false, 3_600_000), "exited 0 after 1h");
        assert_eq!(words(Program::Other, ExitStatus::Code(3), false, 42_000), "exited 3 after 42s");
    }
}
