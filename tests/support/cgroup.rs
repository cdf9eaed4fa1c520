//! A control group of a test's own, for as long as the value lives: version 2, or version 1 with version 2 beside it.
//!
//! It is made at the top of what is mounted at /sys/fs/cgroup, and what the machine gives to children there is all that
//! it has: nothing of the machine is changed. Frozen is always version 2, whose groups can be killed while they are.

use super::eventually;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

const ROOT: &str = "/sys/fs/cgroup";
/// Behind it comes the pid of the test.
const PREFIX: &str = "php-init-test-";
const PATIENCE: Duration = Duration::from_secs(20);

/// Gone when it is dropped, with everything in it.
#[derive(Debug)]
pub struct Cgroup {
    pids: PathBuf,
    memory: PathBuf,
    /// The one of version 2.
    freezer: PathBuf,
}

impl Cgroup {
    /// # Errors
    /// Not root, nothing is mounted, or a controller is missing.
    pub fn new() -> io::Result<Self> {
        let name = format!("{PREFIX}{}", std::process::id());
        let below = |hierarchy: &str| Path::new(ROOT).join(hierarchy).join(&name);
        let both = Path::new(ROOT).join("unified").is_dir();
        let group = if both {
            Self { pids: below("pids"), memory: below("memory"), freezer: below("unified") }
        } else {
            Self { pids: below(""), memory: below(""), freezer: below("") }
        };
        for directory in group.directories() {
            sweep(directory);
            fs::create_dir(directory)?;
        }
        for file in [group.pids.join("pids.max"), group.memory_limit(), group.freezer.join("cgroup.freeze")] {
            fs::metadata(file)?;
        }
        Ok(group)
    }

    fn directories(&self) -> Vec<&PathBuf> {
        let mut all = vec![&self.pids, &self.memory, &self.freezer];
        all.dedup();
        all
    }

    fn memory_limit(&self) -> PathBuf {
        let first = self.memory.join("memory.max");
        if first.exists() { first } else { self.memory.join("memory.limit_in_bytes") }
    }

    /// A program that moves itself into the group and executes what follows it.
    pub fn enter(&self) -> Vec<String> {
        let into: String = self.directories().iter().fold(String::new(), |script, directory| {
            format!("{script}echo 0 > {}/cgroup.procs; ", directory.display())
        });
        ["sh", "-ec", &format!("{into}exec \"$@\""), "sh"].map(String::from).to_vec()
    }

    /// May be less than there are: then there is no other until enough have gone.
    pub fn limit_processes(&self, most: usize) {
        fs::write(self.pids.join("pids.max"), most.to_string()).unwrap();
    }

    pub fn processes(&self) -> usize {
        fs::read_to_string(self.pids.join("pids.current")).unwrap().trim().parse().unwrap()
    }

    /// In bytes, swap included where there is any.
    pub fn limit_memory(&self, most: u64) {
        fs::write(self.memory_limit(), most.to_string()).unwrap();
        // Version 2 counts swap apart, version 1 with the rest.
        for (file, limit) in [("memory.swap.max", 0), ("memory.memsw.limit_in_bytes", most)] {
            let file = self.memory.join(file);
            if file.exists() {
                fs::write(file, limit.to_string()).unwrap();
            }
        }
    }

    /// How many processes the kernel has ended in it for want of memory.
    pub fn kills(&self) -> u64 {
        let events = self.memory.join("memory.events");
        let counters = if events.exists() { events } else { self.memory.join("memory.oom_control") };
        let text = fs::read_to_string(counters).unwrap();
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")).unwrap().parse().unwrap()
    }

    /// Stops everything in it, which nobody in it can see.
    pub fn freeze(&self) {
        fs::write(self.freezer.join("cgroup.freeze"), "1").unwrap();
        let frozen = || {
            let events = fs::read_to_string(self.freezer.join("cgroup.events")).unwrap();
            events.contains("frozen 1").then_some(())
        };
        eventually("everything is frozen", PATIENCE, frozen);
    }

    pub fn thaw(&self) {
        fs::write(self.freezer.join("cgroup.freeze"), "0").unwrap();
    }

    fn kill(&self) {
        let _ = fs::write(self.freezer.join("cgroup.kill"), "1");
        let _ = fs::write(self.freezer.join("cgroup.freeze"), "0");
    }
}

/// Removes what tests that were killed left beside `directory`; where anything lives in it the kernel refuses.
fn sweep(directory: &Path) {
    let parent = directory.parent().unwrap();
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if maker.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let deadline = std::time::Instant::now() + PATIENCE;
        // What has ended leaves when it is reaped, the kernel says busy until then.
        while self
            .directories()
            .iter()
            .any(|directory| directory.exists() && fs::remove_dir(directory).is_err())
        {
            self.kill();
            if std::time::Instant::now() > deadline {
                eprintln!("left behind: {self:?}");
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
