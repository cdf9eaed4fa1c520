//! The nearest valid word for one that is not valid.

use crate::typo::distance;

/// Words of supervisord, systemd and cron that people bring along, and what they are called here.
const FOREIGN: &[(&str, &str)] = &[
    ("numprocs", "instances"),
    ("processes", "instances"),
    ("replicas", "instances"),
    ("autorestart", "restart"),
    ("startretries", "give-up"),
    ("startsecs", "start-grace"),
    ("stopsignal", "stop-signal"),
    ("stopwaitsecs", "stop-timeout"),
    ("environment", "env"),
    ("directory", "work-dir"),
    ("cwd", "work-dir"),
    ("workdir", "work-dir"),
    ("depends-on", "after"),
    ("exec", "command"),
    ("cmd", "command"),
    ("critical", "essential"),
    ("timezone", "time-zone"),
    ("tz", "time-zone"),
    ("readiness", "ready"),
    ("liveness", "live"),
    ("healthcheck", "live"),
    ("url", "http"),
    ("retries", "failures"),
    ("failure-threshold", "failures"),
    ("success-threshold", "successes"),
    ("period", "interval"),
    ("warning", "warn"),
    ("src", "source"),
    ("dest", "path"),
];

/// The word of `valid` that is nearest to `word`, if one is near enough to be what was meant.
pub fn nearest<'a>(word: &str, valid: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace(['_', ' '], "-");
    if let Some((_, ours)) = FOREIGN.iter().find(|(foreign, _)| *foreign == word)
        && let Some(found) = valid.iter().find(|candidate| *candidate == ours)
    {
        return Some(found);
    }
    let limit = (word.chars().count() / 3).clamp(1, 4);
    valid
        .iter()
        .map(|candidate| (distance(&word, &candidate.to_lowercase()), *candidate))
        .filter(|(edits, _)| *edits <= limit)
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, candidate)| candidate)
}

/// How an unknown `word` is told: with the nearest of `valid`, or with all of them.
pub fn hint(word: &str, valid: &[&str], what: &str) -> String {
    match nearest(word, valid) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None if valid.is_empty() => format!("there are no {what}"),
        None => format!("the {what} are {}", valid.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_slips_and_foreign_words_are_recognised() {
        let keys = ["command", "instances", "restart", "stop-timeout", "env"];
        assert_eq!(nearest("comand", &keys), Some("command"));
        assert_eq!(nearest("stop_timeout", &keys), Some("stop-timeout"));
        assert_eq!(nearest("numprocs", &keys), Some("instances"));
        assert_eq!(nearest("restrat", &keys), Some("restart"));
        assert_eq!(nearest("Env", &keys), Some("env"));
        assert_eq!(nearest("colour", &keys), None);
        assert_eq!(nearest("xyz", &keys), None);
    }

    #[test]
    fn without_a_near_word_all_are_told() {
        assert_eq!(hint("zzz", &["a", "b"], "keys"), "the keys are a, b");
        assert_eq!(hint("zzz", &[], "roles"), "there are no roles");
    }
}
