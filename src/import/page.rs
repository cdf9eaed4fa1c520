//! The result: services and cron entries with their comments, and the head that is about all of them.

use super::Input;
use super::cron::Entry;
use super::program::Service;
use super::text::{Text, quote};
use crate::config::values::show_duration;
use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

/// Columns of a line of comment.
const WIDTH: usize = 116;
/// The longest name, see `config::resolve::check::name`.
const LONGEST_NAME: usize = 64;

/// What is true of many programs and told once, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Remark {
    Files,
    Streams,
    Words,
    Home,
    Done,
    GiveUp,
    After,
    Names,
    NoDirectory,
    Shell,
}

impl Remark {
    const fn text(self) -> &'static str {
        match self {
            Self::Files => {
                "output: without a logfile of its own, a program's output went to files in supervisord's childlogdir. \
                 Here it goes to the container's stdout and stderr"
            }
            Self::Streams => {
                "redirect_stderr: each stream goes to the container's own, so stderr is not mixed into stdout"
            }
            Self::Words => {
                "variables in a command are one word each, whatever they hold; supervisord divided their values into words, too"
            }
            Self::Home => {
                "HOME, USER and LOGNAME are those of each program's user; supervisord left them as they were, root's \
                 mostly. env = { HOME = \"/root\" } would keep that"
            }
            Self::Done => {
                "restart = \"on-failure\": a program that exits with 0 is done, also within startsecs, where supervisord tried \
                 it again"
            }
            Self::GiveUp => {
                "give-up stands for startretries: so many failed starts, and the program stays FATAL while the others go on. \
                 Crashes count however long the program ran, if they come that close together"
            }
            Self::After => {
                "after stands for priority: programs of a lower one start first and stop last. init waits until they are \
                 RUNNING, supervisord did not"
            }
            Self::Names => {
                "names: there are no groups and no process_name. What supervisorctl called group:name_00 is called \
                 name here, its instances name:0, name:1…"
            }
            Self::NoDirectory => {
                "programs without a directory ran where supervisord was started. Here that is work-dir, and without one the \
                 container's working directory, or /var/www/html where that exists"
            }
            Self::Shell => {
                "crontabs: cron starts commands in their user's home directory, init in work-dir unless the crontab sets HOME"
            }
        }
    }
}

/// Everything that is written in the end.
#[derive(Debug)]
pub(super) struct Page {
    sources: Vec<String>,
    pub remarks: Vec<Remark>,
    /// Comments on sections that have no counterpart.
    pub notes: Vec<String>,
    pub user: Option<Text>,
    pub work_dir: Option<Text>,
    pub env: Vec<(String, Text)>,
    pub services: Vec<Service>,
    crons: Vec<Entry>,
    names: BTreeSet<String>,
}

impl Page {
    pub fn new(input: &Input) -> Self {
        let files = input.files.iter().map(|file| file.name.clone());
        let crontabs = input.crontabs.iter().map(|crontab| crontab.path.display().to_string());
        Self {
            sources: files.chain(crontabs).collect(),
            remarks: Vec::new(),
            notes: Vec::new(),
            user: None,
            work_dir: None,
            env: Vec::new(),
            services: Vec::new(),
            crons: Vec::new(),
            names: BTreeSet::new(),
        }
    }

    pub fn remark(&mut self, remark: Remark) {
        if !self.remarks.contains(&remark) {
            self.remarks.push(remark);
        }
    }

    /// A name that ours may have, like the wanted one, and no one's yet.
    pub fn name(&mut self, wanted: &str) -> String {
        let letter =
            |char: char| if char.is_ascii_alphanumeric() || "-_.".contains(char) { char } else { '-' };
        let name: String = wanted.chars().map(letter).collect();
        let name = name.trim_start_matches(['-', '_', '.']);
        let name = if name.is_empty() { "program" } else { name };
        let name: String = name.chars().take(LONGEST_NAME).collect();
        let stem: String = name.chars().take(LONGEST_NAME.saturating_sub(5)).collect();
        let free = |name: &String| !self.names.contains(name);
        let name = Some(name)
            .filter(free)
            .or_else(|| (2..).map(|number: u32| format!("{stem}-{number}")).find(free))
            .unwrap_or(stem);
        self.names.insert(name.clone());
        name
    }

    /// Cron entries, named after the services were.
    pub fn add_crons(&mut self, crons: Vec<Entry>) {
        for mut entry in crons {
            entry.name = self.name(&entry.name);
            if entry.by_shell {
                self.remark(Remark::Shell);
            }
            self.crons.push(entry);
        }
    }

    /// The whole stop: each service is told within the first fifth of it (see `supervisor::stop`), so a quarter more
    /// than the longest leaves it its own time, and a second for the end.
    fn stop_timeout(&self) -> Duration {
        let longest = self.services.iter().map(|service| service.stop_seconds).max().unwrap_or(0);
        let whole = longest.saturating_add(longest.div_ceil(4)).saturating_add(2);
        Duration::from_secs(whole.max(25))
    }

    fn head(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        comment(f, &format!("Made by \"init import\" of {}.", self.sources.join(", ")))?;
        comment(f, "\"init check --config FILE\" says whether it is valid where it is to run.")?;
        comment(f, "")?;
        let mut remarks = self.remarks.clone();
        remarks.sort();
        if !self.services.is_empty() {
            comment(f, "What differs for all programs:")?;
            let group = "- a program's children are killed with it, and no SUPERVISOR_… variables are set";
            comment(f, group)?;
        }
        for remark in remarks {
            comment(f, &format!("- {}", remark.text()))?;
        }
        if !self.services.is_empty() {
            comment(f, "")?;
            comment(
                f,
                "advice: as with supervisord, the container goes on when a program is FATAL. essential = true ends it \
                 instead, so that the platform replaces it. The presets (init check --print-preset laravel) also fetch .env, run \
                 artisan optimize and wait for readiness.",
            )?;
        }
        writeln!(f)
    }

    fn top(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "preset = \"none\"")?;
        let stop = self.stop_timeout();
        let limit = if stop > Duration::from_secs(120) { "; ECS allows 120 s at most" } else { "" };
        comment(
            f,
            &format!("The platform must allow the container longer than this (ECS: stopTimeout){limit}."),
        )?;
        writeln!(f, "stop-timeout = {}", quote(&show_duration(stop)))?;
        if let Some(user) = &self.user {
            writeln!(f, "user = {}", user.toml())?;
        }
        if let Some(dir) = &self.work_dir {
            writeln!(f, "work-dir = {}", dir.toml())?;
        }
        if !self.env.is_empty() {
            writeln!(f, "\n[env]")?;
            pairs(f, &self.env)?;
        }
        for note in &self.notes {
            writeln!(f)?;
            comment(f, note)?;
        }
        Ok(())
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.head(f)?;
        self.top(f)?;
        for service in &self.services {
            writeln!(f)?;
            comment(f, &service.title)?;
            writeln!(f, "[service.{}]", key(&service.name))?;
            body(f, &service.lines, &service.notes)?;
            if !service.env.is_empty() {
                writeln!(f, "[service.{}.env]", key(&service.name))?;
                pairs(f, &service.env)?;
            }
        }
        for entry in &self.crons {
            writeln!(f)?;
            comment(f, &entry.title)?;
            writeln!(f, "[cron.{}]", key(&entry.name))?;
            body(f, &entry.lines, &entry.notes)?;
            if !entry.env.is_empty() {
                writeln!(f, "[cron.{}.env]", key(&entry.name))?;
                pairs(f, &entry.env)?;
            }
        }
        Ok(())
    }
}

/// `key = value` lines, aligned, and the comments below them.
fn body(f: &mut fmt::Formatter<'_>, lines: &[(&'static str, String)], notes: &[String]) -> fmt::Result {
    let width = lines.iter().map(|(key, _)| key.len()).max().unwrap_or(0);
    for (key, value) in lines {
        writeln!(f, "{key:<width$} = {value}")?;
    }
    notes.iter().try_for_each(|note| comment(f, note))
}

fn pairs(f: &mut fmt::Formatter<'_>, pairs: &[(String, Text)]) -> fmt::Result {
    pairs.iter().try_for_each(|(name, value)| writeln!(f, "{} = {}", key(name), value.toml()))
}

/// A TOML key, in quotes where it needs them.
fn key(name: &str) -> String {
    let bare =
        !name.is_empty() && name.chars().all(|char| char.is_ascii_alphanumeric() || "-_".contains(char));
    if bare { name.to_owned() } else { quote(name) }
}

/// A comment, over several lines where it is long. TOML allows no control characters in it.
fn comment(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let clean: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    let mut line = String::from("#");
    for word in clean.split(' ').filter(|word| !word.is_empty()) {
        if line.len() > 1 && line.chars().count().saturating_add(word.chars().count()) >= WIDTH {
            writeln!(f, "{line}")?;
            line = String::from("#  ");
        }
        line.push(' ');
        line.push_str(word);
    }
    writeln!(f, "{line}")
}
