//! `init import supervisord.conf [CRONTAB…]`: the same set-up as an `init.toml`. Reads the files and what they
//! include; [`crate::import`] does the rest.

use crate::exit;
use crate::files;
use crate::import::{self, Crontab, File, Input, Problem, glob};
use lexopt::{Arg, Parser};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Component, Path, PathBuf};

/// Looks a variable of the environment up.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The largest file that is read, in bytes.
const MAX: u64 = 1 << 20;

const HELP: &str = "\
Usage: init import SUPERVISORD.CONF [CRONTAB…]

Prints the same set-up as an init.toml. What cannot be carried over is a
comment in it, with the reason; so is what would be better done otherwise.

Files of [include] are read, %(ENV_X)s becomes ${X}. Whose crontab it is, and
whether it has a column for users, is told by its place: /etc/crontab,
/etc/cron.d/*, crontabs/www-data, or any other name.

Options:
  -h, --help  print this help

Exits 65 when a file cannot be parsed (file:line: what is wrong), 66 when one
cannot be read, 64 when the command line is wrong.

Example:
  $ init import /etc/supervisord.conf /etc/crontabs/www-data > init.toml
  $ init check --config init.toml
";

/// Why nothing was printed.
#[derive(Debug)]
enum ImportError {
    /// The command line is wrong.
    Usage(String),
    /// A file cannot be read.
    Read(PathBuf, io::Error),
    /// A file is not what it should be.
    Problems(Vec<Problem>),
    /// The output could not be written.
    Write(io::Error),
}

impl ImportError {
    fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => exit::USAGE,
            Self::Read(_, error)
                if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::FileTooLarge) =>
            {
                exit::DATA
            }
            Self::Read(..) => exit::NO_INPUT,
            Self::Problems(_) => exit::DATA,
            Self::Write(_) => exit::OS,
        }
    }
}

impl fmt::Display for ImportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(text) => {
                write!(f, "init: cannot read the command line: {text}; see init import --help")
            }
            Self::Read(path, error) if error.kind() == io::ErrorKind::InvalidData => {
                write!(f, "{}:1: {error}", path.display())
            }
            Self::Read(path, error) => {
                write!(f, "init: cannot read {}: {}", path.display(), crate::sys::words(error))
            }
            Self::Problems(problems) => {
                let lines: Vec<String> = problems.iter().map(Problem::to_string).collect();
                f.write_str(&lines.join("\n"))
            }
            Self::Write(error) => write!(f, "init: cannot write the result: {error}"),
        }
    }
}

impl From<lexopt::Error> for ImportError {
    fn from(error: lexopt::Error) -> Self {
        Self::Usage(error.to_string())
    }
}

/// Runs `init import` with the arguments after that word. The configuration goes to `out`, errors to `err`; `env` is
/// asked for variables in `[include]` alone. Returns the exit code.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    env: Lookup<'_>,
    out: &mut dyn Write,
    err: &mut dyn Write,
) -> u8 {
    let done = paths(args).and_then(|paths| match paths {
        None => Ok(HELP.to_owned()),
        Some((main, crontabs)) => convert(&main, &crontabs, env),
    });
    let written = done.and_then(|text| {
        out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(ImportError::Write)
    });
    match written {
        Ok(()) => exit::OK,
        // `init import … | head`: the reader has what it wanted.
        Err(ImportError::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => exit::OK,
        Err(error) => {
            // Where errors cannot be written, the exit code has to do.
            let _unwritable = writeln!(err, "{error}");
            error.code()
        }
    }
}

/// `supervisord.conf` and the crontabs; `None` when the help is asked for.
fn paths(args: impl IntoIterator<Item = OsString>) -> Result<Option<(PathBuf, Vec<PathBuf>)>, ImportError> {
    let mut paths = Vec::new();
    let mut parser = Parser::from_args(args);
    while let Some(arg) = parser.next()? {
        match arg {
            Arg::Short('h') | Arg::Long("help") => return Ok(None),
            Arg::Value(path) => paths.push(PathBuf::from(path)),
            other => return Err(other.unexpected().into()),
        }
    }
    let mut paths = paths.into_iter();
    let main = paths.next();
    let main = main
        .ok_or_else(|| ImportError::Usage("the file is missing, such as /etc/supervisord.conf".to_owned()))?;
    Ok(Some((main, paths.collect())))
}

fn convert(main: &Path, crontabs: &[PathBuf], env: Lookup<'_>) -> Result<String, ImportError> {
    let mut input = Input { files: vec![file(main)?], ..Input::default() };
    let Some(first) = input.files.first() else { return Err(ImportError::Problems(Vec::new())) };
    let patterns = import::includes(first, env).map_err(ImportError::Problems)?;
    // supervisord looks below the file's directory, which is the same; names stay as the user gave them.
    let base = main.parent().unwrap_or(Path::new("")).to_owned();
    for pattern in patterns {
        let found = find(&base.join(&pattern));
        if found.is_empty() {
            input.unmatched.push(pattern);
        }
        for path in found {
            input.files.push(file(&path)?);
        }
    }
    for path in crontabs {
        input.crontabs.push(Crontab { path: path.clone(), text: text(path)? });
    }
    import::import(&input).map_err(ImportError::Problems)
}

fn file(path: &Path) -> Result<File, ImportError> {
    let text = text(path)?;
    let absolute = std::path::absolute(path).map_err(|error| ImportError::Read(path.to_owned(), error))?;
    let here = absolute.parent().unwrap_or(Path::new("/")).display().to_string();
    Ok(File { name: path.display().to_string(), here, text })
}

fn text(path: &Path) -> Result<String, ImportError> {
    files::read_given(path, MAX).map_err(|error| ImportError::Read(path.to_owned(), error))
}

/// The files that fit a pattern, sorted as supervisord sorts them. What cannot be listed has none.
fn find(pattern: &Path) -> Vec<PathBuf> {
    let mut found = vec![PathBuf::new()];
    for part in pattern.components() {
        let name = part.as_os_str().to_string_lossy();
        if !matches!(part, Component::Normal(_)) || !glob::is_pattern(&name) {
            found.iter_mut().for_each(|path| path.push(part));
            found.retain(|path| files::exists(path));
            continue;
        }
        found = found.iter().flat_map(|directory| listed(directory, &name)).collect();
    }
    found.sort();
    found
}

fn listed(directory: &Path, pattern: &str) -> Vec<PathBuf> {
    let here = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let names = files::list(here).unwrap_or_default().into_iter();
    names
        .filter(|name| glob::matches(pattern, &name.to_string_lossy()))
        .map(|name| directory.join(name))
        .collect()
}
