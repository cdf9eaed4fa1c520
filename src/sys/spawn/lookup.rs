//! PATH, searched in the parent, so that "not found" needs no fork.
//!
//! The parent decides only what is certain for everybody: a file that is not there, that is a directory, or
//! that nobody may execute. Whether *this* user may execute it is the kernel's to say, so the child tries
//! every candidate in turn, as execvp(3) does.

use super::{Command, SpawnError};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Docker's own default, for an environment without PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

enum Verdict {
    /// Worth an exec.
    Perhaps,
    Missing,
    Unusable(String),
}

/// The files to try, in order; at least one. Relative ones are relative to the command's directory.
pub(super) fn candidates(command: &Command) -> Result<Vec<PathBuf>, SpawnError> {
    let program = command.program();
    let name = command.argv.first().map(OsString::as_os_str).unwrap_or_default();
    if name.is_empty() {
        return Err(SpawnError::Invalid { program, why: "the command is empty".into() });
    }
    if name.as_bytes().contains(&b'/') {
        return direct(program, Path::new(name), &command.dir);
    }
    let path = command.env.iter().find(|(key, _)| key == "PATH").map(|(_, value)| value.as_os_str());
    let path = path.filter(|path| !path.is_empty()).unwrap_or(OsStr::new(DEFAULT_PATH));
    let mut found = Vec::new();
    let mut unusable = None;
    // An empty element means the current directory: execvp(3). "./x" says so to execve.
    for element in path.as_bytes().split(|byte| *byte == b':') {
        let element = if element.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(element) };
        let file = Path::new(element).join(name);
        match examine(&command.dir.join(&file)) {
            Verdict::Perhaps => found.push(file),
            Verdict::Missing => {}
            Verdict::Unusable(why) => {
                unusable.get_or_insert_with(|| format!("{} {why}", file.display()));
            }
        }
    }
    match (found.is_empty(), unusable) {
        (false, _) => Ok(found),
        (true, Some(why)) => Err(SpawnError::NotExecutable { program, why }),
        (true, None) => Err(SpawnError::NotFound {
            program,
            why: format!(
                "it is in none of the directories of PATH ({}): install it in the image, or write its full path",
                path.to_string_lossy()
            ),
        }),
    }
}

fn direct(program: String, name: &Path, dir: &Path) -> Result<Vec<PathBuf>, SpawnError> {
    let file = dir.join(name);
    if name.is_relative() && !dir.is_dir() {
        // The directory is the fault; the child says so.
        return Ok(vec![name.to_owned()]);
    }
    match examine(&file) {
        Verdict::Perhaps => Ok(vec![name.to_owned()]),
        Verdict::Unusable(why) => Err(SpawnError::NotExecutable { program, why: format!("it {why}") }),
        Verdict::Missing => {
            let why = match std::fs::read_link(&file) {
                Ok(target) => format!("it is a symbolic link to {}, which is not there", target.display()),
                Err(_) if name.is_relative() => format!("there is no such file in {}", dir.display()),
                Err(_) => "there is no such file".into(),
            };
            Err(SpawnError::NotFound { program, why })
        }
    }
}

fn examine(file: &Path) -> Verdict {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.is_dir() => Verdict::Unusable("is a directory".into()),
        Ok(metadata) if metadata.permissions().mode() & 0o111 == 0 => {
            let mode = metadata.permissions().mode() & 0o7777;
            Verdict::Unusable(format!(
                "has no execute permission (mode {mode:04o}): chmod +x it in the image"
            ))
        }
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Verdict::Missing
        }
        // Not searchable for init, perhaps for the child.
        Ok(_) | Err(_) => Verdict::Perhaps,
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

    fn search(program: &str, path: &str, dir: &Path) -> Result<Vec<PathBuf>, (u8, String)> {
        let mut command = Command::new([program]);
        command.env = vec![("PATH".into(), path.into())];
        command.dir = dir.to_owned();
        candidates(&command).map_err(|error| (error.code(), error.to_string()))
    }

    #[test]
    fn path_is_the_childs_and_its_relative_parts_start_at_its_directory() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        file(&dir.join("a/tool"), 0o755);
        file(&dir.join("b/tool"), 0o700);
        file(&dir.join("c/tool"), 0o644);
        let absolute = format!("{0}/nothing:{0}/c:{0}/a:{0}/b", dir.display());
        assert_eq!(
            search("tool", &absolute, Path::new("/")).unwrap(),
            [dir.join("a/tool"), dir.join("b/tool")]
        );
        assert_eq!(search("tool", "a:b", dir).unwrap(), [Path::new("a/tool"), Path::new("b/tool")]);
        assert_eq!(search("tool", ":x", &dir.join("a")).unwrap(), [Path::new("./tool")]);
        assert_eq!(search("./a/tool", "", dir).unwrap(), [Path::new("./a/tool")]);
        let shell = search("sh", "", Path::new("/")).unwrap();
        assert!(shell.contains(&PathBuf::from("/bin/sh")), "{shell:?}");
    }

    #[test]
    fn what_is_not_there_and_what_nobody_may_execute_are_told_apart() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path();
        file(&dir.join("plain"), 0o644);
        fs::create_dir(dir.join("directory")).unwrap();
        std::os::unix::fs::symlink("/gone", dir.join("link")).unwrap();
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
            ("", 126, "the command is empty"),
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
