//! Looks at the container for `init doctor`: the facts that [`crate::doctor`] judges.
//!
//! Nothing is changed. PHP and PHP-FPM are asked as children, each once, under a time limit, as the user that the plan
//! runs them as; the one thing that is written is the preflight's probe file, which is removed at once. Whatever
//! cannot be asked is a fact too.

mod app;
mod ask;
mod fpm;
mod machine;
mod paths;

use super::board::Board;
use super::shell::Shell;
use super::signals::Signals;
use super::tail::Tail;
use super::{Boot, Mode, clock, journal};
use crate::config::plan::{LogFormat, LogLevel, Plan};
use crate::doctor::facts::{Facts, Told};
use crate::doctor::read;
use crate::doctor::words::{self, file_name};
use crate::sys;
use crate::sys::init::Became;
use ask::Question;
use std::io;
use std::time::Duration;

/// PHP itself answers in 30 ms; a cold EFS may take seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// Gathers everything.
///
/// # Errors
/// The system refused a descriptor, or the event loop.
pub fn inspect(plan: Plan) -> io::Result<Facts> {
    journal::install(LogLevel::Error, LogFormat::Plain);
    // No subreaper, no limits, no dumpable flag: this process is none's init.
    let role =
        Became { pid1: sys::init::is_pid1(), reaps_orphans: false, open_files: None, warnings: Vec::new() };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let local = tokio::task::LocalSet::new();
    runtime.block_on(local.run_until(async {
        let mode = Mode::OneOff { command: Vec::new(), boot: Boot::Never };
        // Nobody asks this process anything.
        let board = Board::new(clock::now(), Tail::new(0));
        let mut shell = Shell::new(plan, &mode, role, Signals::new(true)?, board)?;
        journal::configure(LogLevel::Error, LogFormat::Plain);
        Ok(gather(&mut shell).await)
    }))
}

async fn gather(shell: &mut Shell) -> Facts {
    let mut facts = Facts {
        php: php(shell).await,
        system: machine::system(shell),
        processes: machine::processes(),
        ..Facts::default()
    };
    (facts.fpm, facts.fpm_php) = fpm::ask(shell).await;
    let sockets = facts.fpm.told().map(fpm::socket_directories).unwrap_or_default();
    facts.paths = paths::look(shell, &sockets);
    facts.laravel = app::look(shell, facts.php.told().is_some()).await;
    facts
}

/// The PHP that workers and boot steps are run with.
fn php_of(plan: &Plan) -> String {
    let is_php = |word: &str| file_name(word).starts_with("php") && !file_name(word).starts_with("php-fpm");
    let programs = words::commands(plan).filter_map(|(_, command)| command.first().cloned());
    programs.into_iter().find(|word| is_php(word)).unwrap_or_else(|| "php".to_owned())
}

async fn php(shell: &mut Shell) -> Told<crate::doctor::facts::Ini> {
    let program = php_of(&shell.plan);
    let script = read::ini_script();
    let argv = [program.as_str(), "-d", "display_errors=0", "-r", script.as_str()];
    match ask::ask(shell, &Question::new(&argv, PATIENCE)).await {
        Ok(answer) => match read::ini(&answer.stdout) {
            Some(mut ini) => {
                // What the question itself sets is no fact.
                ini.values.remove("display_errors");
                Told::Told(ini)
            }
            None => Told::Failed(format!("{program} did not tell of itself: {}", answer.ending)),
        },
        Err(why) => Told::Failed(why),
    }
}
