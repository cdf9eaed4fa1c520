//! PURE: `supervisord.conf` and crontabs in, our TOML out. The files are read by [`crate::cli::import`].
//!
//! The grammar is supervisord's own (supervisor/options.py and datatypes.py), quirks included, so that what it would
//! have run is what comes out; where it would have refused to start, there is a [`Problem`]. What cannot be carried
//! over is a comment in the output, with the reason. `%(ENV_X)s` becomes `${X}`, decided when the container starts.
//!
//! | module | what it is |
//! |---|---|
//! | `ini` | sections, keys, comments, values over several lines |
//! | `text` | `%(…)s`, and values in our notation |
//! | `words` | words of a command, pairs of an environment |
//! | [`glob`] | patterns of `[include]` |
//! | `keys` | values by their types |
//! | `program`, `restart`, `output`, `advice` | one `[program:x]` |
//! | `whole` | every other section |
//! | `cron` | crontabs |
//! | `page` | the result |

#![forbid(unsafe_code)]

mod advice;
mod cron;
pub mod glob;
mod ini;
mod keys;
mod output;
mod page;
mod program;
mod restart;
#[cfg(test)]
mod tests;
mod text;
mod whole;
mod words;

use ini::Ini;
use std::fmt;
use std::path::PathBuf;
use text::{Atom, Scope, expand};

/// A file of supervisord's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct File {
    /// As the user knows it.
    pub name: String,
    /// Its directory, absolute: `%(here)s`.
    pub here: String,
    pub text: String,
}

/// A crontab. Its place tells dialect and user, see [`crate::schedule::crontab`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Crontab {
    pub path: PathBuf,
    pub text: String,
}

/// Everything that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Input {
    /// The file itself, then what it includes, in the order of reading. Not empty.
    pub files: Vec<File>,
    /// Patterns of `[include]` that no file fits.
    pub unmatched: Vec<String>,
    pub crontabs: Vec<Crontab>,
}

/// Why nothing came of it. Shows no value of an environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: String,
    /// From 1.
    pub line: usize,
    pub message: String,
}

impl Problem {
    fn new(file: &File, line: usize, message: String) -> Self {
        Self { file: file.name.clone(), line, message }
    }
}

/// Reads `supervisord.conf:3: …`.
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.file, self.line, self.message)
    }
}

impl std::error::Error for Problem {}

/// The patterns of `[include] files`, relative ones to the file's directory. `env` looks a variable up; the included
/// files must be known now, so one that is not set is a problem.
///
/// # Errors
/// Everything that is wrong with the file as such, or with the patterns.
pub fn includes(main: &File, env: &dyn Fn(&str) -> Option<String>) -> Result<Vec<String>, Vec<Problem>> {
    let (mut ini, mut problems) = (Ini::default(), Vec::new());
    ini.read(0, main, &mut problems);
    ini.finish();
    if !problems.is_empty() {
        return Err(problems);
    }
    let Some(section) = ini.section("include") else { return Ok(Vec::new()) };
    let Some(files) = section.get("files") else {
        return Err(vec![Problem::new(main, section.line, "[include] has no files".to_owned())]);
    };
    let problem = |message: String| vec![Problem::new(main, files.line, format!("files: {message}"))];
    let scope = Scope { words: vec![("here", main.here.clone())], ..Scope::default() };
    let text = expand(&files.text, &scope).map_err(problem)?.text;
    let mut out = String::new();
    for atom in text.0 {
        match atom {
            Atom::Char(char) => out.push(char),
            Atom::Var(name) => {
                let unset = || problem(format!("{name} is not set here: set it for this command"));
                out.push_str(&env(&name).ok_or_else(unset)?);
            }
        }
    }
    Ok(out.split_whitespace().map(str::to_owned).collect())
}

/// The same set-up as a complete `init.toml`.
///
/// # Errors
/// Everything for which supervisord or cron would have refused the files, by place.
pub fn import(input: &Input) -> Result<String, Vec<Problem>> {
    let (mut ini, mut problems) = (Ini::default(), Vec::new());
    for (index, file) in input.files.iter().enumerate() {
        ini.read(index, file, &mut problems);
    }
    ini.finish();
    let mut page = page::Page::new(input);
    let (crons, notes) = cron::read(&input.crontabs, &mut problems);
    whole::read(&ini, input, &mut page, &mut problems);
    page.notes.extend(notes);
    page.add_crons(crons);
    if problems.is_empty() {
        return Ok(page.to_string());
    }
    let mut once: Vec<Problem> = Vec::new();
    for problem in problems {
        if !once.contains(&problem) {
            once.push(problem);
        }
    }
    Err(once)
}
