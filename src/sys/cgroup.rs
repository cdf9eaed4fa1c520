//! The kernel's count of out-of-memory kills in this container.
//!
//! A process that the kernel kills for want of memory ends by KILL, as one that init kills; the counter of
//! its memory cgroup tells them apart. v2 has it in `memory.events`, v1 (Linux 4.13 and later) in
//! `memory.oom_control`; both as a line `oom_kill N`, and v2's counts the cgroups below as well.

use super::kernel;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// An open counter. Reading it is one system call.
#[derive(Debug)]
pub struct OomCounter(File);

impl OomCounter {
    /// Finds the counter of the cgroup that this process is in. `None`: there is no memory cgroup, or it is
    /// not mounted.
    pub fn open() -> Option<Self> {
        let own = kernel::read("/proc/self/cgroup").ok()?;
        Self::open_in(&own, Path::new("/sys/fs/cgroup"))
    }

    /// `own` is the text of /proc/self/cgroup, `mount` where the hierarchies are.
    fn open_in(own: &str, mount: &Path) -> Option<Self> {
        let files = candidates(own, mount).into_iter().filter_map(|path| kernel::open(path).ok().map(Self));
        files.into_iter().find(|counter| counter.read().is_some())
    }

    /// How many processes were killed since the cgroup was made.
    pub fn read(&self) -> Option<u64> {
        let mut text = [0; 1024];
        let length = self.0.read_at(&mut text, 0).ok()?;
        count(std::str::from_utf8(text.get(..length)?).ok()?)
    }
}

/// Where the counter may be. With a cgroup namespace, and in Docker without one, the container's own cgroup
/// is mounted at the root, although /proc/self/cgroup may name the host's path; so both are tried.
fn candidates(own: &str, mount: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut add = |root: PathBuf, path: &str, file: &str| {
        let own = root.join(path.trim_start_matches('/')).join(file);
        files.push(own);
        files.push(root.join(file));
    };
    // `hierarchy:controllers:path`, cgroups(7).
    let lines: Vec<(&str, &str)> = own
        .lines()
        .filter_map(|line| line.split_once(':').and_then(|(_, rest)| rest.split_once(':')))
        .collect();
    if let Some((_, path)) = lines.iter().find(|(names, _)| names.split(',').any(|name| name == "memory")) {
        add(mount.join("memory"), path, "memory.oom_control");
    }
    if let Some((_, path)) = lines.iter().find(|(names, _)| names.is_empty()) {
        add(mount.to_owned(), path, "memory.events");
        // Where v1 and v2 are mounted side by side.
        add(mount.join("unified"), path, "memory.events");
    }
    files
}

fn count(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")).and_then(|count| count.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    const V1: &str = "9:name=systemd:/\n4:cpu,memory:/docker/abc\n0::/\n";
    const V2: &str = "0::/ecs/task\n";

    #[test]
    fn both_versions_have_the_line() {
        assert_eq!(count("low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n"), Some(2));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\noom_kill 5\n"), Some(5));
        assert_eq!(count("oom_kill_disable 0\nunder_oom 0\n"), None, "before Linux 4.13");
    }

    #[test]
    fn the_containers_own_cgroup_comes_before_the_root_of_the_mount() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert!(OomCounter::open_in(V2, root.path()).is_none());
        put("memory.events", "oom_kill 1\n");
        assert_eq!(OomCounter::open_in(V2, root.path()).unwrap().read(), Some(1));
        put("ecs/task/memory.events", "oom_kill 2\n");
        let counter = OomCounter::open_in(V2, root.path()).unwrap();
        assert_eq!(counter.read(), Some(2));
        put("ecs/task/memory.events", "oom_kill 3\n");
        assert_eq!(counter.read(), Some(3), "the open file is read anew");
        put("memory/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
        assert_eq!(OomCounter::open_in(V1, root.path()).unwrap().read(), Some(4));
    }
}
