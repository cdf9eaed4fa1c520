//! Where a program is looked for, and what is wrong with what is there.
//!
//! A start only lists the candidates and touches no file: the child tries them in turn, with its user's rights, as execvp(3)
//! does. [`Wanted::look_up`] looks at the files before anything starts and decides only what is certain for everybody: a file that
//! is not there, that is no regular file, or that nobody may execute.

use super::report::Kind;
use super::{Command, SpawnError};
use crate::sys::look;
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Docker's own default, for an environment without PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A program as a command names it, and where it is looked for.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    name: OsString,
    /// `None`: the name has a slash and is the path.
    path: Option<OsString>,
    /// Relative candidates begin here.
    pub(super) dir: PathBuf,
}

/// What is at a candidate's path.
pub(super) enum Verdict {
    /// Worth an exec.
    Perhaps,
    Missing,
    /// A symbolic link to this, which is not there.
    Link(String),
    Directory,
    Special,
    /// Nobody may execute it.
    NoPermission(u16),
}

impl Verdict {
    /// Of something that is there.
    pub(super) fn of_mode(kind: Kind, mode: u16) -> Self {
        match kind {
            Kind::Directory => Self::Directory,
            Kind::Special => Self::Special,
            _ if mode & 0o111 == 0 => Self::NoPermission(mode),
            _ => Self::Perhaps,
        }
    }

    fn of_file(file: &Path) -> Self {
        match look::metadata(file) {
            Ok(data) => {
                let kind = match data.file_type() {
                    kind if kind.is_dir() => Kind::Directory,
                    kind if kind.is_file() => Kind::File,
                    _ => Kind::Special,
                };
                // Twelve bits.
                Self::of_mode(kind, (data.permissions().mode() & 0o7777) as u16)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                match std::fs::read_link(file) {
                    Ok(target) => Self::Link(target.display().to_string()),
                    Err(_) => Self::Missing,
                }
            }
            // Not searchable for init, perhaps for the child.
            Err(_) => Self::Perhaps,
        }
    }
}

impl Wanted {
    pub(super) fn of(command: &Command) -> Self {
        let name = command.argv.first().cloned().unwrap_or_default();
        let path = (!name.as_bytes().contains(&b'/')).then(|| {
            let path = command.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value);
            path.filter(|path| !path.is_empty()).cloned().unwrap_or_else(|| DEFAULT_PATH.into())
        });
        Self { name, path, dir: command.dir.clone() }
    }

    /// The files to try, in order; at least one. Relative ones are relative to the command's directory.
    pub(super) fn candidates(&self) -> Vec<PathBuf> {
        let Some(path) = &self.path else { return vec![PathBuf::from(&self.name)] };
        // An empty element means the current directory: execvp(3). "./x" says so to execve.
        let directory = |element: &[u8]| match element {
            b"" => PathBuf::from("."),
            element => PathBuf::from(OsStr::from_bytes(element)),
        };
        path.as_bytes()
            .split(|byte| *byte == b':')
            .map(|element| directory(element).join(&self.name))
            .collect()
    }

    /// One of the candidates, by its place.
    pub(super) fn candidate(&self, place: u16) -> PathBuf {
        self.candidates().into_iter().nth(usize::from(place)).unwrap_or_else(|| PathBuf::from(&self.name))
    }

    pub(super) fn absolute(&self, file: &Path) -> PathBuf {
        self.dir.join(file.strip_prefix(".").unwrap_or(file))
    }

    pub(super) fn program(&self) -> String {
        self.name.to_string_lossy().into_owned()
    }

    pub(super) fn check_name(&self) -> Result<(), SpawnError> {
        if self.name.is_empty() {
            return Err(SpawnError::Invalid { program: String::new(), why: "the command is empty".into() });
        }
        Ok(())
    }

    /// Looks at the candidates, with init's own rights.
    pub(super) fn look_up(&self) -> Result<(), SpawnError> {
        self.check_name()?;
        if self.path.is_none() && Path::new(&self.name).is_relative() && !look::is_directory(&self.dir) {
            // The directory is the fault; the child says so.
            return Ok(());
        }
        let mut refused = None;
        for file in self.candidates() {
            let verdict = Verdict::of_file(&self.dir.join(&file));
            let is_missing = matches!(verdict, Verdict::Missing);
            let Some(error) = self.refuse(&file, verdict) else { return Ok(()) };
            // What is there and unusable says more than what is not there.
            if refused.as_ref().is_none_or(|(missing, _)| *missing && !is_missing) {
                refused = Some((is_missing, error));
            }
        }
        refused.map_or(Ok(()), |(_, error)| Err(error))
    }

    /// Why `file`, one of the candidates, cannot be the program.
    pub(super) fn refuse(&self, file: &Path, verdict: Verdict) -> Option<SpawnError> {
        let program = self.program();
        let subject = if self.path.is_some() { file.display().to_string() } else { "it".to_owned() };
        Some(match verdict {
            Verdict::Perhaps => return None,
            Verdict::Missing => {
                let why = match &self.path {
                    Some(path) => format!(
                        "it is in none of the directories of PATH ({}): install it in the image, or write its full path",
                        path.to_string_lossy()
                    ),
                    None if file.is_relative() => format!("there is no such file in {}", self.dir.display()),
                    None => "there is no such file".into(),
                };
                SpawnError::NotFound { program, why }
            }
            Verdict::Link(target) => {
                let why = format!("{subject} is a symbolic link to {target}, which is not there");
                SpawnError::NotFound { program, why }
            }
            Verdict::Directory => {
                SpawnError::NotExecutable { program, why: format!("{subject} is a directory") }
            }
            Verdict::Special => {
                let why = format!("{subject} is no regular file but a FIFO, a socket or a device");
                SpawnError::NotExecutable { program, why }
            }
            Verdict::NoPermission(mode) => {
                let why = format!(
                    "{subject} has no execute permission (mode {mode:04o}): chmod +x it in the image"
                );
                SpawnError::NotExecutable { program, why }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn file(path: &Path, mode: u32) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "#!/bin/sh\n").unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn wanted(program: &str, path: &str, dir: &Path) -> Wanted {
        let mut command = Command::new([program]);
        command.env = vec![("PATH".into(), path.into())];
        command.dir = dir.to_owned();
        Wanted::of(&command)
    }

    fn search(program: &str, path: &str, dir: &Path) -> Result<(), (u8, String)> {
        wanted(program, path, dir).look_up().map_err(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn path_is_the_childs_and_its_relative_parts_start_at_its_directory() {
        let candidates = |program, path| wanted(program, path, Path::new("/dir")).candidates();
        assert_eq!(candidates("tool", "/a:b:"), ["/a/tool", "b/tool", "./tool"].map(PathBuf::from));
        assert_eq!(candidates("./a/tool", "/a"), [PathBuf::from("./a/tool")]);
        assert!(candidates("sh", "").contains(&PathBuf::from("/bin/sh")));
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        file(&dir.join("a/tool"), 0o700);
        file(&dir.join("c/tool"), 0o644);
        let absolute = format!("{0}/nothing:{0}/c:{0}/a", dir.display());
        for (program, path, dir) in [
            ("tool", &*absolute, Path::new("/")),
            ("tool", "a:b", dir),
            ("tool", ":x", &dir.join("a")),
            ("./a/tool", "", dir),
            ("sh", "", Path::new("/")),
        ] {
            assert_eq!(search(program, path, dir), Ok(()), "{program} {path}");
        }
    }

    #[test]
    fn what_is_not_there_and_what_nobody_may_execute_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        file(&dir.join("plain"), 0o644);
        fs::create_dir(dir.join("directory")).unwrap();
        std::os::unix::fs::symlink("/gone", dir.join("link")).unwrap();
        nix::unistd::mkfifo(&dir.join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        let path = dir.display().to_string();
        for (program, code, words) in [
            ("no-such-tool", 127, "none of the directories of PATH"),
            ("./no-such-tool", 127, "no such file in"),
            ("/no/such/tool", 127, "there is no such file"),
            ("./plain/below", 127, "no such file in"),
            ("./link", 127, "symbolic link to /gone, which is not there"),
            ("plain", 126, "has no execute permission (mode 0644)"),
            ("./plain", 126, "has no execute permission"),
            ("directory", 126, "is a directory"),
            ("./directory", 126, "is a directory"),
            ("./fifo", 126, "is no regular file"),
        ] {
            let (found, text) = search(program, &path, dir).unwrap_err();
            assert_eq!(found, code, "{program:?}: {text}");
            assert!(text.contains(words), "{program:?}: {text}");
        }
    }

    #[test]
    fn a_missing_directory_is_left_for_the_child_to_tell() {
        assert!(search("./tool", "", Path::new("/no/such/dir")).is_ok());
    }
}
