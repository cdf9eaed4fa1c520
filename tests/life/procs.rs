//! What /proc says, as the machine sees it: pids here are the machine's, not those of the container.

use std::fs;

/// One process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proc {
    pub pid: i32,
    pub parent: i32,
    pub state: char,
    pub comm: String,
}

/// Every process of the machine.
pub fn all() -> Vec<Proc> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter_map(read).collect()
}

/// One process; `None` when it is gone.
pub fn read(pid: i32) -> Option<Proc> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (head, tail) = stat.rsplit_once(')')?;
    let mut fields = tail.split_whitespace();
    let state = fields.next()?.chars().next()?;
    let parent = fields.next()?.parse().ok()?;
    Some(Proc { pid, parent, state, comm: head.split_once('(')?.1.to_owned() })
}

/// Children, their children and so on, zombies included.
pub fn descendants(root: i32) -> Vec<Proc> {
    let all = all();
    let mut family = vec![root];
    let mut found = Vec::new();
    let mut at = 0;
    while at < family.len() {
        let parent = family[at];
        for process in all.iter().filter(|process| process.parent == parent) {
            family.push(process.pid);
            found.push(process.clone());
        }
        at += 1;
    }
    found
}

/// Arguments of a process, joined by spaces.
pub fn command(pid: i32) -> String {
    let raw = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&raw).trim_end_matches('\0').replace('\0', " ")
}

/// Those below `root` whose command line contains `text`.
pub fn running(root: i32, text: &str) -> Vec<i32> {
    let living = descendants(root).into_iter().filter(|process| process.state != 'Z');
    living.map(|process| process.pid).filter(|pid| command(*pid).contains(text)).collect()
}

/// Processes anywhere on the machine whose environment contains `mark`.
pub fn marked(mark: &str) -> Vec<i32> {
    let has = |pid: i32| {
        let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
        environment.windows(mark.len()).any(|window| window == mark.as_bytes())
    };
    all().into_iter().map(|process| process.pid).filter(|pid| has(*pid)).collect()
}

/// Where in the kernel the process sleeps.
pub fn sleeps_in(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/wchan")).unwrap_or_default()
}

/// How often the process, with all its threads, was put on a processor.
pub fn switches(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let count = |text: String| -> u64 {
        let lines = text.lines().filter(|line| line.contains("ctxt_switches"));
        lines.map(|line| line.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
    };
    threads.map(|thread| count(fs::read_to_string(thread.unwrap().path().join("status")).unwrap())).sum()
}
