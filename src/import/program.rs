//! One `[program:x]` as services of ours.

use super::keys::{Given, Keys};
use super::page::{Page, Remark};
use super::text::{Expanded, Text, quote};
use super::words::{is_operator, pairs, split};
use super::{advice, output, restart};
use crate::config::signal::Signal;
use crate::config::values::show_duration;
use std::collections::BTreeMap;
use std::time::Duration;

/// As many instances as a service may have.
const MOST: u32 = 1000;
/// Seconds beyond which no time is meant: thirty days.
pub(super) const LONGEST: u64 = 30 * 86_400;
const STOPWAIT: u64 = 10;

/// One service, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Service {
    /// Where it comes from.
    pub title: String,
    pub name: String,
    pub lines: Vec<(&'static str, String)>,
    pub notes: Vec<String>,
    pub env: Vec<(String, Text)>,
    /// Its `stopwaitsecs`.
    pub stop_seconds: u64,
    /// The priority of its group or, without one, its own; then its own.
    pub priority: (i64, i64),
    /// For equal priorities.
    pub group: String,
    pub enabled: bool,
    /// It is a crond, which init makes unnecessary.
    pub crond: bool,
}

/// The group that a program is in.
#[derive(Clone, Debug)]
pub(super) struct Group {
    pub name: String,
    pub priority: i64,
}

/// What the whole file says about every program.
#[derive(Clone, Debug, Default)]
pub(super) struct Common {
    pub env: Vec<(String, Text)>,
    pub umask: Option<u32>,
    pub open_files: Option<u64>,
    pub work_dir: bool,
}

/// Keys of `[program:x]` that are read here or in [`restart`] and [`output`].
const KEYS: &[&str] = &[
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "autorestart",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "user",
    "redirect_stderr",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
    "environment",
    "directory",
    "umask",
    "serverurl",
];

/// The services of one section: one with instances or, where each instance has a command of its own, several.
pub(super) fn services(
    keys: &mut Keys<'_>,
    group: Option<&Group>,
    common: &Common,
    page: &mut Page,
) -> Vec<Service> {
    let program = keys.section.name.split_once(':').map_or("", |(_, name)| name).trim().to_owned();
    if program.contains([' ', ':', '/']) || program.is_empty() {
        keys.problem("name", "a program's name is not empty and has no space, colon or slash");
        return Vec::new();
    }
    let group_name = group.map_or(program.as_str(), |group| group.name.as_str()).to_owned();
    keys.scope.words = vec![("program_name", program.clone()), ("group_name", group_name.clone())];
    keys.scope.env = common.env.iter().cloned().collect();
    let (count, start) = (keys.number::<u32>("numprocs", 1), keys.number::<i32>("numprocs_start", 0));
    if count.value().is_some_and(|count| count > MOST) {
        keys.problem("numprocs", format_args!("init runs at most {MOST} of one service"));
        return Vec::new();
    }
    let named_by_number =
        keys.section.get("process_name").is_some_and(|value| value.text.contains("%(process_num)"));
    if count.value().is_some_and(|count| count > 1) && !named_by_number {
        keys.problem("process_name", "with numprocs above 1 supervisord wants %(process_num)d in it");
        return Vec::new();
    }
    let start = i64::from(start.value().unwrap_or(0));
    let number = |keys: &mut Keys<'_>, number: i64| {
        let numprocs = count.value().map(|count| ("numprocs", i64::from(count)));
        keys.scope.numbers = std::iter::once(("process_num", number)).chain(numprocs).collect();
    };
    number(keys, start);
    let numbered = ["command", "environment", "directory"]
        .into_iter()
        .any(|key| keys.section.get(key).is_some_and(|value| value.text.contains("%(process_num)")));
    let own = numbered && count.value().is_some_and(|count| count > 1);
    let mut services = Vec::new();
    if own {
        for instance in (start..).take(count.value().unwrap_or(1) as usize) {
            number(keys, instance);
            let name =
                keys.text("process_name").and_then(|name| name.plain()).unwrap_or_else(|| program.clone());
            services.extend(service(keys, &name, &Given::Value(1), group, common, page));
        }
    } else {
        services.extend(service(keys, &program, &count, group, common, page));
    }
    if numbered && count.value().is_none() {
        keys.problem("numprocs", "a variable, but the command differs by %(process_num): write the number");
    }
    services
}

/// One service.
fn service(
    keys: &mut Keys<'_>,
    name: &str,
    count: &Given<u32>,
    group: Option<&Group>,
    common: &Common,
    page: &mut Page,
) -> Option<Service> {
    let file = keys.files.get(keys.section.file).map_or("", |file| file.name.as_str());
    let title = format!("[{}] of {file}, line {}", keys.section.name, keys.section.line);
    let priority = priority(keys);
    let mut made = Service {
        title,
        name: name.to_owned(),
        lines: Vec::new(),
        notes: Vec::new(),
        env: environment(keys),
        stop_seconds: STOPWAIT,
        priority: (group.map_or(priority, |group| group.priority), priority),
        group: group.map_or_else(|| name.to_owned(), |group| group.name.clone()),
        enabled: true,
        crond: false,
    };
    // The program's own variables are known to the keys below, as in supervisord.
    let own: BTreeMap<String, Text> = made.env.iter().cloned().collect();
    let before = keys.scope.env.clone();
    keys.scope.env.extend(own);
    let words = command(keys, &mut made, page);
    keys.scope.env = before;
    let words = words?;
    identity(keys, &mut made, common, page);
    counts(keys, &mut made, count);
    restart::read(keys, &mut made, page);
    stop(keys, &mut made);
    output::read(keys, &mut made, page);
    advice::give(keys, &mut made, &words);
    leftovers(keys, &mut made, page);
    Some(made)
}

fn priority(keys: &mut Keys<'_>) -> i64 {
    match keys.number::<i64>("priority", 999) {
        Given::Value(priority) => priority,
        Given::Later(_) => {
            keys.problem(
                "priority",
                "it comes from a variable, which cannot be carried over: write the number",
            );
            999
        }
    }
}

/// Variables of a section. A name that no environment can hold is a problem.
pub(super) fn environment(keys: &mut Keys<'_>) -> Vec<(String, Text)> {
    let Some(text) = keys.text("environment") else { return Vec::new() };
    let pairs = match pairs(&text) {
        Ok(pairs) => pairs,
        Err(message) => {
            keys.problem("environment", message);
            return Vec::new();
        }
    };
    for (name, _) in &pairs {
        if name.is_empty() || name.contains(|char: char| char == '=' || char.is_whitespace()) {
            keys.problem("environment", format_args!("{name:?} cannot be the name of a variable"));
        }
    }
    pairs
}

/// The command's words; `None` when there are none, which is told.
fn command(keys: &mut Keys<'_>, made: &mut Service, page: &mut Page) -> Option<Vec<Text>> {
    if !keys.has("command") {
        keys.problem("command", "it is missing: supervisord wants to know what to run");
        return None;
    }
    let Expanded { text, .. } = keys.expanded("command")?;
    let words = match split(&text) {
        Ok(words) if words.first().is_none_or(|word| word.0.is_empty()) => Err("it is empty".to_owned()),
        other => other,
    };
    let words = match words {
        Ok(words) => words,
        Err(message) => {
            keys.problem("command", message);
            return None;
        }
    };
    if words.iter().any(|word| word.plain().is_none()) {
        page.remark(Remark::Words);
    }
    let operators: Vec<String> =
        words.iter().filter_map(Text::plain).filter(|word| is_operator(word)).collect();
    if !operators.is_empty() {
        made.notes.push(format!(
            "note: {} in the command is an argument and nothing else, as it was in supervisord, which used no shell either: \
             write [\"sh\", \"-c\", \"exec …\"] if a shell was meant",
            operators.join(" ")
        ));
    }
    let list: Vec<String> = words.iter().map(Text::toml).collect();
    made.lines.push(("command", format!("[{}]", list.join(", "))));
    Some(words)
}

/// User, directory, mask, limits.
fn identity(keys: &mut Keys<'_>, made: &mut Service, common: &Common, page: &mut Page) {
    if let Some(user) = keys.user() {
        made.lines.push(("user", user.toml()));
        if user.plain().as_deref() != Some("root") {
            page.remark(Remark::Home);
        }
    }
    match keys.text("directory").map(Text::trim) {
        Some(directory) => {
            if directory.0.is_empty() {
                keys.problem("directory", "it is empty");
            }
            made.lines.push(("work-dir", directory.toml()));
        }
        None if !common.work_dir => page.remark(Remark::NoDirectory),
        None => {}
    }
    if let Some(umask) = keys.umask("umask").or(common.umask).filter(|umask| *umask != 0o022) {
        made.lines.push(("umask", format!("\"{umask:04o}\"")));
    }
    if let Some(files) = common.open_files {
        made.lines.push(("open-files", files.to_string()));
    }
}

/// `numprocs` and `autostart`.
fn counts(keys: &mut Keys<'_>, made: &mut Service, count: &Given<u32>) {
    match count {
        Given::Value(0) => {
            made.enabled = false;
            made.notes.push("numprocs = 0: it never ran".to_owned());
        }
        Given::Value(1) => {}
        Given::Value(count) => made.lines.push(("instances", count.to_string())),
        Given::Later(text) => made.lines.push(("instances", text.toml())),
    }
    match keys.flag("autostart", true) {
        Given::Value(true) => {}
        Given::Value(false) => {
            made.enabled = false;
            made.notes.push(
                "not carried over: autostart = false leaves the program for supervisorctl to start; here it is left out. \
                 For a task by hand there is init -- COMMAND, for another container a role"
                    .to_owned(),
            );
        }
        Given::Later(text) => {
            made.lines.push(("enabled", text.toml()));
            made.notes.push(
                "note: autostart was a variable. Where it is false, the service is left out and cannot be started by hand".to_owned(),
            );
        }
    }
    if !made.enabled {
        made.lines.retain(|(key, _)| *key != "enabled");
        made.lines.push(("enabled", "false".to_owned()));
    }
}

fn stop(keys: &mut Keys<'_>, made: &mut Service) {
    match keys.signal("stopsignal") {
        // STOP and CONT end nothing; ours refuses the first.
        Given::Value(signal) if signal.number() == 19 => {
            made.notes.push(
                "not carried over: stopsignal = STOP suspends a program and never ends it; TERM does"
                    .to_owned(),
            );
        }
        Given::Value(signal) if signal == Signal::TERM => {}
        Given::Value(signal) => made.lines.push(("stop-signal", format!("\"{signal}\""))),
        Given::Later(text) => made.lines.push(("stop-signal", text.toml())),
    }
    let (stop, kill) = (keys.flag("stopasgroup", false), keys.flag("killasgroup", false));
    match &stop {
        Given::Value(group) => {
            if *group && keys.has("killasgroup") && kill.value() == Some(false) {
                keys.problem("killasgroup", "supervisord refuses false beside stopasgroup = true");
            }
            made.lines.push(("stop-scope", if *group { "\"group\"" } else { "\"main\"" }.to_owned()));
        }
        Given::Later(_) => made.notes.push(
            "not carried over: stopasgroup comes from a variable; the whole group gets the stop signal. stop-scope = \"main\" would \
             keep it to the main process"
                .to_owned(),
        ),
    }
    match keys.number::<i64>("stopwaitsecs", 10) {
        Given::Value(seconds) => {
            let seconds = u64::try_from(seconds).unwrap_or(0).clamp(1, LONGEST);
            made.stop_seconds = seconds;
            let shown = show_duration(Duration::from_secs(seconds));
            made.lines.push(("stop-timeout", format!("\"{shown}\"")));
        }
        Given::Later(text) => {
            made.lines.push(("stop-timeout", quote(&format!("{}s", text.ours()))));
            made.notes.push(
                "note: stopwaitsecs was a variable; the top-level stop-timeout must be longer than it"
                    .to_owned(),
            );
        }
    }
}

/// Keys without a counterpart, and keys that supervisord does not know either.
fn leftovers(keys: &mut Keys<'_>, made: &mut Service, page: &mut Page) {
    if keys.has("process_name") || made.group != made.name {
        page.remark(Remark::Names);
    }
    if keys.has("serverurl") {
        made.notes.push("not carried over: serverurl, the address of a supervisord".to_owned());
    }
    for (key, _) in &keys.section.keys {
        if !KEYS.contains(&key.as_str()) && !key.starts_with("socket") {
            made.notes.push(format!(
                "not carried over: {key}, which supervisord does not know and ignores as well"
            ));
        }
    }
}
