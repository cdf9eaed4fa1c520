//! What a directory tree of root's is: path, kind, owner, mode, size, time and content of everything in it.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

/// One file. The number of links is left out: where fs.protected_hardlinks is 0, anybody may add one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    kind: &'static str,
    uid: u32,
    gid: u32,
    mode: u32,
    size: u64,
    modified: (i64, i64),
    content: u64,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, uid, gid, mode, size, .. } = self;
        write!(f, "{kind} {mode:04o} {uid}:{gid}, {size} bytes, content {:x}", self.content)
    }
}

pub type Manifest = BTreeMap<PathBuf, Entry>;

pub fn entry(path: &Path) -> Option<Entry> {
    let data = path.symlink_metadata().ok()?;
    let kind = data.file_type();
    let mut hasher = DefaultHasher::new();
    if kind.is_file() && data.len() < 1 << 20 {
        fs::read(path).unwrap_or_default().hash(&mut hasher);
    } else if kind.is_symlink() {
        fs::read_link(path).unwrap_or_default().hash(&mut hasher);
    }
    Some(Entry {
        kind: match kind {
            _ if kind.is_dir() => "directory",
            _ if kind.is_file() => "file",
            _ if kind.is_symlink() => "symlink",
            _ if kind.is_fifo() => "FIFO",
            _ if kind.is_socket() => "socket",
            _ => "device",
        },
        uid: data.uid(),
        gid: data.gid(),
        mode: data.mode() & 0o7777,
        size: data.len(),
        modified: (data.mtime(), data.mtime_nsec()),
        content: hasher.finish(),
    })
}

/// Everything in `directory`, itself included.
pub fn of(directory: &Path) -> Manifest {
    let mut all = Manifest::new();
    for path in walk(directory) {
        if let Some(entry) = entry(&path) {
            all.insert(path, entry);
        }
    }
    all
}

/// The paths in a tree, without following links. What disappears meanwhile is left out.
pub fn walk(directory: &Path) -> Vec<PathBuf> {
    let mut found = vec![directory.to_owned()];
    let mut at = 0;
    while at < found.len() {
        if found[at].symlink_metadata().is_ok_and(|data| data.is_dir()) {
            let entries = fs::read_dir(&found[at]).into_iter().flatten().flatten();
            found.extend(entries.map(|entry| entry.path()));
        }
        at += 1;
    }
    found
}

/// What has changed, in words.
pub fn differences(before: &Manifest, after: &Manifest) -> Vec<String> {
    let mut all = Vec::new();
    for (path, entry) in after {
        match before.get(path) {
            None => all.push(format!("{} is new: {entry}", path.display())),
            Some(old) if old != entry => all.push(format!("{} was {old} and is {entry}", path.display())),
            Some(_) => {}
        }
    }
    let gone = before.keys().filter(|path| !after.contains_key(*path));
    all.extend(gone.map(|path| format!("{} is gone", path.display())));
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn every_change_of_a_tree_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "one").unwrap();
        let before = of(dir.path());
        assert_eq!(differences(&before, &of(dir.path())), [""; 0]);
        fs::write(&file, "two").unwrap();
        assert_eq!(differences(&before, &of(dir.path())).len(), 1, "content");
        let before = of(dir.path());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert_eq!(differences(&before, &of(dir.path())).len(), 1, "mode");
        let before = of(dir.path());
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink("/etc", dir.path().join("new")).unwrap();
        // The directory itself has another time.
        assert_eq!(differences(&before, &of(dir.path())).len(), 3);
    }
}
