//! What is known of programs that people run under supervisord. Never more than a comment.

use super::keys::Keys;
use super::program::Service;
use super::text::Text;

/// Adds what there is to say about the command, and whether it is a crond.
pub(super) fn give(keys: &Keys<'_>, made: &mut Service, words: &[Text]) {
    let words: Vec<String> = words.iter().map(Text::ours).collect();
    let base = |word: &String| word.rsplit('/').next().unwrap_or_default().to_owned();
    let program = words.first().map(base).unwrap_or_default();
    let says = |wanted: &str| words.iter().any(|word| word == wanted);
    let quit = !keys.has("stopsignal");
    if program.starts_with("php-fpm") {
        let signal =
            if quit { "stop-signal = \"QUIT\" lets requests finish, which TERM cuts off; " } else { "" };
        made.notes.push(format!(
            "advice: {signal}fpm = {{}} sets process_control_timeout and a ping page, ready = {{ fastcgi = \"127.0.0.1:9000\" }} waits \
             for it; essential = true ends the container with it"
        ));
        if !words.iter().any(|word| word == "-F" || word == "--nodaemonize" || word.starts_with("-F")) {
            made.notes
                .push("advice: add -F, unless the image's configuration says daemonize = no".to_owned());
        }
    } else if program == "nginx" && quit {
        made.notes.push(
            "advice: stop-signal = \"QUIT\" lets nginx's requests finish, which TERM cuts off".to_owned(),
        );
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
