//! When a program runs again: `autorestart`, `exitcodes`, `startsecs`, `startretries`.
//!
//! supervisord counts a run that ends within `startsecs` as a failed start, whatever `autorestart` says: after the n-th
//! in a row it waits n seconds, and after more than `startretries` the program is FATAL (supervisor/process.py,
//! `transition`). Any longer run ends in EXITED, from where `autorestart` decides, at once.

use super::keys::{AutoRestart, Given, Keys};
use super::page::{Page, Remark};
use super::program::{LONGEST, Service};
use crate::config::values::show_duration;
use std::time::Duration;

/// More than the supervisor remembers: as good as no limit.
const UNLIMITED: u64 = 1000;
/// The longest delay between restarts.
const SLOWEST: u64 = 60;

pub(super) fn read(keys: &mut Keys<'_>, made: &mut Service, page: &mut Page) {
    let policy = match keys.autorestart() {
        Given::Value(policy) => policy,
        Given::Later(_) => {
            let note = "not carried over: autorestart comes from a variable. Ours takes restart = \"${VAR}\" with always, on-failure \
                or never; always is what stands for true";
            made.notes.push(note.to_owned());
            AutoRestart::Always
        }
    };
    let seconds = match keys.number::<i64>("startsecs", 1) {
        Given::Value(seconds) => Given::Value(u64::try_from(seconds).unwrap_or(0).min(LONGEST)),
        Given::Later(text) => Given::Later(text),
    };
    let restart = match policy {
        AutoRestart::Always => "always",
        AutoRestart::Never => "never",
        AutoRestart::Unexpected => unexpected(keys, made),
    };
    made.lines.push(("restart", format!("\"{restart}\"")));
    let retries = match keys.number::<i64>("startretries", 3) {
        Given::Value(retries) => Given::Value(u64::try_from(retries).unwrap_or(0)),
        Given::Later(text) => Given::Later(text),
    };
    let quick = seconds != Given::Value(0);
    if restart == "on-failure" && quick {
        page.remark(Remark::Done);
    }
    if restart == "never" && quick && retries != Given::Value(0) {
        made.notes.push(
            "differs: restart = \"never\" runs it once; supervisord tried again, up to startretries times, when it ended within \
             startsecs"
                .to_owned(),
        );
    }
    let shown = match &seconds {
        Given::Value(seconds) => show_duration(Duration::from_secs(*seconds)),
        Given::Later(text) => format!("{}s", text.ours()),
    };
    made.lines.push(("start-grace", format!("\"{shown}\"")));
    if restart != "never" {
        delays(made, &seconds, &shown, &retries, page);
    }
}

/// Ours knows one expected code, 0.
fn unexpected(keys: &mut Keys<'_>, made: &mut Service) -> &'static str {
    let Given::Value(codes) = keys.exit_codes() else {
        made.notes.push(
            "not carried over: exitcodes comes from a variable; 0 is the one code that ends it here"
                .to_owned(),
        );
        return "on-failure";
    };
    let restart = if codes.contains(&0) { "on-failure" } else { "always" };
    let others: Vec<String> = codes.iter().filter(|code| **code != 0).map(u8::to_string).collect();
    if !others.is_empty() {
        made.notes.push(format!(
            "not carried over: exitcodes: {} ended it for good in supervisord; here it is started again after {}",
            others.join(", "),
            if others.len() == 1 { "it" } else { "them" }
        ));
    }
    restart
}

fn delays(made: &mut Service, seconds: &Given<u64>, shown: &str, retries: &Given<u64>, page: &mut Page) {
    if *seconds == Given::Value(0) {
        let note = "note: with startsecs = 0 supervisord started it again at once and without end; init waits longer each time \
            while it ends within a minute (backoff)";
        made.notes.push(note.to_owned());
        return;
    }
    let most = retries.value().unwrap_or(SLOWEST).clamp(1, SLOWEST);
    let max = show_duration(Duration::from_secs(most));
    made.lines.push((
        "backoff",
        format!(
            "{{ initial = \"1s\", factor = 2.0, max = \"{max}\", jitter = 0.0, reset-after = \"{shown}\" }}"
        ),
    ));
    let give_up = |restarts: &str, within: u64| {
        let within = show_duration(Duration::from_secs(within));
        format!("{{ restarts = {restarts}, within = \"{within}\", then = \"stay\" }}")
    };
    match retries {
        Given::Value(retries) if *retries > UNLIMITED => {
            made.notes.push(format!(
                "note: startretries = {retries} is as good as no limit, so there is no give-up"
            ));
        }
        Given::Value(retries) => {
            let within = window(*retries, most, seconds.value().unwrap_or(1));
            made.lines.push(("give-up", give_up(&retries.to_string(), within)));
            page.remark(Remark::GiveUp);
        }
        Given::Later(text) => {
            made.lines.push(("give-up", give_up(&text.toml(), 120)));
            page.remark(Remark::GiveUp);
        }
    }
}

/// Seconds from the first failed start to the one that is too many, with a second to spare for each.
fn window(retries: u64, most: u64, seconds: u64) -> u64 {
    let mut delay = 1_u64;
    let mut whole = 1_u64;
    for _ in 0..retries {
        whole = whole.saturating_add(delay.min(most)).saturating_add(seconds).saturating_add(1);
        delay = delay.saturating_mul(2).min(most);
    }
    whole.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_holds_all_tries() {
        // Delays of 1, 2 and 3 seconds, three runs of a second, a second to spare for each and one for the whole.
        assert_eq!(window(3, 3, 1), 13);
        assert_eq!(window(0, 1, 1), 1);
        assert_eq!(window(1000, 60, LONGEST), LONGEST);
    }
}
