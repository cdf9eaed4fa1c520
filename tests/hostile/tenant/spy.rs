//! Everything that can be read, searched for secrets.

use super::Tenant;
use super::process::others;
use super::swap::ROOTS;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// The most of one file, and of the memory of one process.
const FILE: u64 = 256 << 10;
const REGION: u64 = 2 << 20;
const MEMORY: u64 = 16 << 20;

/// Reads without hanging at a FIFO.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY;
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).ok()?;
    let mut bytes = Vec::new();
    // What came before an error counts.
    let _ = file.take(FILE).read_to_end(&mut bytes);
    Some(bytes)
}

fn look(tenant: &mut Tenant, pid: i32) {
    for name in ["environ", "cmdline", "maps", "auxv", "stat", "wchan"] {
        let path = format!("/proc/{pid}/{name}");
        if let Some(bytes) = read(Path::new(&path)) {
            tenant.see(&bytes, &place(pid, name));
        }
    }
}

/// Who it was, for whoever reads the report.
fn place(pid: i32, name: &str) -> String {
    let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ");
    format!("{name} of {pid} {}", command.chars().take(80).collect::<String>())
}

/// What /proc tells of everybody, and what everybody has open.
pub fn processes(tenant: &mut Tenant) -> io::Result<()> {
    for pid in others() {
        look(tenant, pid);
        for entry in fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten() {
            let target = fs::read_link(entry.path()).unwrap_or_default();
            // A pipe would be emptied, a terminal waited for, and what a tenant has found is found no second time.
            if target.is_absolute()
                && !target.starts_with("/dev")
                && !target.starts_with(super::REPORTS)
                && let Some(bytes) = read(&entry.path())
            {
                tenant.see(&bytes, &place(pid, &format!("descriptor {}", target.display())));
            }
        }
    }
    Ok(())
}

/// The writable memory of everybody who does not forbid it.
pub fn memories(tenant: &mut Tenant) -> io::Result<()> {
    let pids = others();
    let mut opened = 0;
    for _ in 0..5 {
        if pids.is_empty() {
            break;
        }
        let pid = tenant.luck.pick(&pids);
        opened += usize::from(memory(tenant, pid).is_some());
    }
    if opened == 0 { Err(io::ErrorKind::PermissionDenied.into()) } else { Ok(()) }
}

fn memory(tenant: &mut Tenant, pid: i32) -> Option<()> {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let memory = File::open(format!("/proc/{pid}/mem")).ok()?;
    let mut total = 0;
    for line in maps.lines() {
        let mut words = line.split(' ');
        let (Some(range), Some(rights)) = (words.next(), words.next()) else { continue };
        let Some((from, to)) = range.split_once('-') else { continue };
        let ends = (u64::from_str_radix(from, 16), u64::from_str_radix(to, 16));
        let (Ok(from), Ok(to)) = ends else { continue };
        let length = (to - from).min(REGION);
        if !rights.starts_with("rw") || total + length > MEMORY {
            continue;
        }
        total += length;
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        tenant.see(&bytes[..read], &place(pid, "memory"));
    }
    Some(())
}

/// Processes that were not there a moment ago: between fork, change of user and exec, some are less protected.
pub fn newborn(tenant: &mut Tenant) -> io::Result<()> {
    let end = Instant::now() + Duration::from_millis(150);
    let mut known: BTreeSet<i32> = others().into_iter().collect();
    while Instant::now() < end {
        let now: BTreeSet<i32> = others().into_iter().collect();
        let new: Vec<i32> = now.difference(&known).copied().collect();
        for pid in new {
            look(tenant, pid);
            memory(tenant, pid);
        }
        // One that was looked at before its exec is looked at again.
        known = now.iter().copied().filter(|pid| known.contains(pid) || tenant.luck.one_in(3)).collect();
    }
    Ok(())
}

/// Every file.
pub fn files(tenant: &mut Tenant) -> io::Result<()> {
    let mut directories: Vec<_> = ROOTS.iter().map(|root| Path::new(root).to_owned()).collect();
    let mut left = 500;
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            left -= 1;
            let path = entry.path();
            let Ok(kind) = entry.file_type() else { continue };
            if left == 0 {
                return Ok(());
            }
            if kind.is_dir() {
                directories.push(path);
            } else if kind.is_file()
                && !path.starts_with(super::REPORTS)
                && let Some(bytes) = read(&path)
            {
                tenant.see(&bytes, &path.display().to_string());
            }
        }
    }
    Ok(())
}
