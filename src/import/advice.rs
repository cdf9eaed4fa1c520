//! What is known of programs that people run under supervisord. Never more than a comment.

use super::keys::Keys;
use super::program::Service;
use super::text::Text;
use crate::config::plan::Signal;
use crate::config::programs::habit_of;

/// Adds what there is to say about the command, and whether it is a crond.
pub(super) fn give(keys: &Keys<'_>, made: &mut Service, words: &[Text]) {
    let words: Vec<String> = words.iter().map(Text::ours).collect();
    let base = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let program = words.first().map(base).unwrap_or_default();
    let says = |wanted: &str| words.iter().any(|word| word == wanted);
    let habit = habit_of(&words).filter(|habit| habit.stop_signal != Signal::TERM);
    if let Some(habit) = habit {
        if !keys.has("stopsignal") {
            made.notes.push(format!(
                "note: stops on {}, which lets {} finish; supervisord sent TERM, which cuts them off",
                habit.stop_signal, habit.work
            ));
        } else if !made.lines.iter().any(|(key, _)| *key == "stop-signal") {
            made.lines.push(("stop-signal", format!("\"{}\"", Signal::TERM)));
            made.notes.push(format!(
                "advice: without stop-signal it stops on {}, which lets {} finish",
                habit.stop_signal, habit.work
            ));
        }
    }
    if program.starts_with("php-fpm") {
        made.notes.push(
            "advice: fpm = {} sets process_control_timeout and a ping page, ready = { fastcgi = \"127.0.0.1:9000\" } waits for it; \
             essential = true ends the container with it"
                .to_owned(),
        );
        if !words.iter().any(|word| word == "-F" || word == "--nodaemonize" || word.starts_with("-F")) {
            made.notes
                .push("advice: add -F, unless the image's configuration says daemonize = no".to_owned());
        }
    } else if says("queue:work") || says("horizon") {
        if !words.iter().any(|word| word.starts_with("--max-time") || word == "horizon") {
            made.notes.push(
                "advice: --max-time=3600 ends the worker between two jobs once an hour and frees its memory; init starts it again"
                    .to_owned(),
            );
        }
    } else if says("schedule:work") {
        made.notes.push(
            "advice: init has a scheduler: [cron.schedule], schedule = \"* * * * *\", command = [\"php\", \"artisan\", \"schedule:run\"]"
                .to_owned(),
        );
    }
    let crond = ["cron", "crond", "supercronic", "go-crond"].contains(&program.as_str())
        || (program == "busybox" && words.get(1).is_some_and(|word| word == "crond"));
    if crond {
        made.crond = true;
        made.notes.push(
            "advice: init has a scheduler, so no crond is needed: crontabs = [\"/etc/crontabs/www-data\"] runs a file as it is, and \
             init import takes crontabs after supervisord.conf"
                .to_owned(),
        );
    }
}
