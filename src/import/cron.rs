//! Crontabs as `[cron.NAME]`, by [`crate::schedule::crontab`]'s reading of them.

use super::keys::is_user_letter;
use super::text::{Text, quote};
use super::{Crontab, File, Problem};
use crate::config::plan::CronPlan;
use crate::schedule::crontab;

/// One cron entry, ready to be written.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// The line that it comes from.
    pub title: String,
    /// As it would like to be called.
    pub name: String,
    pub lines: Vec<(&'static str, String)>,
    pub notes: Vec<String>,
    pub env: Vec<(String, Text)>,
    /// It starts where cron would not have started it.
    pub by_shell: bool,
}

/// All entries of all crontabs, and notes on files that have none.
pub(super) fn read(crontabs: &[Crontab], problems: &mut Vec<Problem>) -> (Vec<Entry>, Vec<String>) {
    let (mut entries, mut alone) = (Vec::new(), Vec::new());
    for file in crontabs {
        let shown = file.path.display().to_string();
        let (text, reboots) = without_reboot(&file.text);
        match crontab::plans(&file.path, &text) {
            Err(errors) => {
                let named = File { name: shown.clone(), ..File::default() };
                problems.extend(errors.into_iter().map(|e| Problem::new(&named, e.line, e.text)));
            }
            Ok((plans, notes)) => {
                let wrong = plans.iter().filter_map(|plan| Some((line_of(plan), complaint(plan)?)));
                let named = File { name: shown.clone(), ..File::default() };
                problems.extend(wrong.map(|(line, text)| Problem::new(&named, line, text)));
                let mut made: Vec<Entry> = plans.into_iter().map(|plan| entry(plan, &shown)).collect();
                let remarks = notes
                    .into_iter()
                    .map(|note| format!("note: {shown}, line {}: {}", note.line, note.text))
                    .chain(reboots.into_iter().map(|line| {
                        format!(
                            "not carried over: {shown}, line {line}: @reboot runs something when the container starts: that is a [[boot]] \
                             step, or a service with restart = \"never\""
                        )
                    }));
                // A file with nothing else in it still has something to tell.
                match made.first_mut() {
                    Some(first) => first.notes.extend(remarks),
                    None => alone.extend(remarks),
                }
                entries.extend(made);
            }
        }
    }
    (entries, alone)
}

fn line_of(plan: &CronPlan) -> usize {
    plan.name.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(1)
}

/// What our configuration refuses, though cron does not.
fn complaint(plan: &CronPlan) -> Option<String> {
    if plan.user.as_ref().is_some_and(|user| !user.chars().all(is_user_letter)) {
        return Some("the user is no name or number of a user".to_owned());
    }
    let odd = |name: &&String| name.is_empty() || name.contains(|c: char| c == '=' || c.is_whitespace());
    plan.env.keys().find(odd).map(|name| format!("{name:?} cannot be the name of a variable"))
}

/// The text with its `@reboot` lines empty, and their numbers.
fn without_reboot(text: &str) -> (String, Vec<usize>) {
    let mut numbers = Vec::new();
    let lines: Vec<&str> = text
        .split('\n')
        .zip(1..)
        .map(|(line, number)| {
            let reboot = line.split_whitespace().next() == Some("@reboot");
            if reboot {
                numbers.push(number);
            }
            if reboot { "" } else { line }
        })
        .collect();
    (lines.join("\n"), numbers)
}

fn entry(plan: CronPlan, shown: &str) -> Entry {
    let (stem, line) = plan.name.rsplit_once(':').unwrap_or((&plan.name, "1"));
    let simple = match plan.command.as_slice() {
        [_, flag, command] if flag == "-c" => artisan(command),
        _ => None,
    };
    let mut notes = Vec::new();
    if simple.as_ref().is_some_and(|simple| simple.quiet) {
        notes.push(
            "note: its output went to /dev/null; here it goes to the container's log, as that of any other"
                .to_owned(),
        );
    }
    if plan.user.is_none() {
        notes.push(
            "note: whose crontab it was is not told by its place: it runs as the top-level user".to_owned(),
        );
    }
    let work_dir = simple.as_ref().and_then(|simple| simple.directory.clone());
    let work_dir = work_dir.or_else(|| plan.work_dir.as_ref().map(|dir| dir.display().to_string()));
    let name = simple.as_ref().map_or_else(|| format!("{stem}-{line}"), |simple| simple.name.clone());
    let command = simple.map_or(plan.command, |simple| simple.command);
    let words: Vec<String> = command.iter().map(|word| literal(word)).collect();
    let mut lines = vec![("schedule", literal(&plan.schedule))];
    // Without a zone of its own, a crontab followed the container's TZ; when there is none, that is UTC.
    lines.push(("time-zone", plan.time_zone.map_or_else(|| quote("${TZ:-}"), |zone| literal(&zone))));
    lines.push(("command", format!("[{}]", words.join(", "))));
    lines.extend(plan.user.map(|user| ("user", literal(&user))));
    let by_shell = work_dir.is_none();
    lines.extend(work_dir.map(|dir| ("work-dir", literal(&dir))));
    let env = plan.env.into_iter().map(|(name, value)| (name, Text::literal(&value))).collect();
    let title = format!("{shown}, line {line}");
    Entry { title, name, lines, notes, env, by_shell }
}

fn literal(text: &str) -> String {
    Text::literal(text).toml()
}

/// A line that needs no shell.
struct Simple {
    name: String,
    command: Vec<String>,
    directory: Option<String>,
    /// What it printed was thrown away.
    quiet: bool,
}

/// The line of Laravel's documentation, `cd /app && php artisan schedule:run >> /dev/null 2>&1`, and its like.
fn artisan(command: &str) -> Option<Simple> {
    let mut rest = command.trim();
    let mut quiet = false;
    let silences = ["2>&1", "&>/dev/null", ">/dev/null"];
    while let Some(at) = rest.rfind('>').map(|at| start_of_redirect(rest, at)) {
        let redirect: String = rest.get(at..)?.split_whitespace().collect();
        let redirect = redirect.replace(">>", ">");
        let redirect = redirect.strip_prefix(['1', '2']).filter(|r| *r == ">/dev/null").unwrap_or(&redirect);
        if !silences.contains(&redirect) {
            return None;
        }
        quiet |= redirect != "2>&1";
        rest = rest.get(..at)?.trim_end();
    }
    let mut directory = None;
    if let Some(after) = rest.strip_prefix("cd ") {
        let (dir, after) = after.split_once("&&")?;
        directory = Some(dir.trim().to_owned()).filter(|dir| dir.starts_with('/') && is_plain(dir));
        // A relative one, or one that a shell would change, is left to the shell.
        directory.as_ref()?;
        rest = after.trim();
    }
    let words: Vec<String> = rest.split_whitespace().map(str::to_owned).collect();
    let [php, artisan, task, ..] = words.as_slice() else { return None };
    let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
    let known =
        base(php).starts_with("php") && base(artisan) == "artisan" && words.iter().all(|word| is_plain(word));
    let name = match task.as_str() {
        "schedule:run" => "schedule".to_owned(),
        // Anything else may want its output thrown away.
        task if !quiet => task.replace(':', "-"),
        _ => return None,
    };
    known.then_some(Simple { name, command: words, directory, quiet })
}

/// From the `>` at `at` back to the start of its redirection.
fn start_of_redirect(text: &str, at: usize) -> usize {
    let before = text.get(..at).unwrap_or_default();
    let operators = before.trim_end_matches(['>', '&']);
    let digit = operators.trim_end_matches(['1', '2']);
    let own = digit.ends_with(char::is_whitespace) || digit.is_empty();
    if own { digit.len() } else { operators.len() }
}

/// A word that a shell takes as it is.
fn is_plain(word: &str) -> bool {
    !word.is_empty() && word.chars().all(|char| char.is_ascii_alphanumeric() || "/_.=:,@%+-".contains(char))
}
