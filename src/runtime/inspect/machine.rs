//! What the kernel and the environment tell: powers, limits, variables, processes.

use super::super::exposed::exposed;
use super::super::shell::Shell;
use crate::doctor::facts::{Processes, StateDir, System};
use crate::doctor::read;
use crate::files;
use crate::files::{DirectoryError, Owner};
use crate::sys::proc::{Process, Snapshot};
use crate::sys::users::Identity;
use crate::sys::{Pid, kernel, users};
use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Where a crond would look.
const CRONTABS: &[&str] = &["/etc/crontabs", "/var/spool/cron/crontabs", "/etc/cron.d"];
/// Larger ones are none.
const MOST: u64 = 1 << 20;

pub fn system(shell: &mut Shell) -> System {
    let app = shell.identity(None).ok().flatten();
    let uid = users::own_uid();
    let var = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let status = kernel::read("/proc/self/status").unwrap_or_default();
    let limits = read::limits(&kernel::read("/proc/self/limits").unwrap_or_default());
    let mounts = read::mounts(&kernel::read("/proc/self/mountinfo").unwrap_or_default());
    let tz = var("TZ").map(|zone| zone.trim_start_matches(':').to_owned());
    let zone_file = |zone: &String| {
        zone == "UTC" || zone.starts_with('/') || files::is_file(&Path::new("/usr/share/zoneinfo").join(zone))
    };
    let exec = ["/var/lib/amazon", "/var/log/amazon"].map(PathBuf::from);
    let kernel =
        |name: &str| kernel::read(Path::new("/proc/sys").join(name)).unwrap_or_default().trim().to_owned();
    System {
        uid,
        state_dir: state_dir(shell, uid),
        exposed: exposed(&shell.plan, uid, app.as_ref()),
        readable_binary: readable_binary(app.as_ref()),
        suid_dumpable: kernel("fs/suid_dumpable").parse().ok(),
        core_pattern: kernel("kernel/core_pattern"),
        app: app.as_ref().map_or_else(|| format!("uid {uid}"), ToString::to_string),
        app_is_root: app.as_ref().map_or(uid == 0, |app| app.is_root()),
        proc_mounted: Snapshot::take().is_ok(),
        capabilities: read::mask(&status, "CapEff"),
        open_files: limits.get("Max open files").copied(),
        max_processes: limits.get("Max processes").copied().filter(|_| uid != 0),
        pids_max: cgroup(&["pids.max", "pids/pids.max"]),
        memory: memory(),
        root_read_only: read::mount_of(&mounts, Path::new("/")).map(|root| root.options.contains("ro")),
        env: std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()).collect(),
        withheld: shell.environment.withheld().to_vec(),
        app_env: var("APP_ENV"),
        tz_file: tz.as_ref().is_some_and(zone_file),
        tz,
        crontabs: crontabs(),
        agent_stop_timeout: var("ECS_CONTAINER_STOP_TIMEOUT"),
        exec_refused: exec.into_iter().filter(|path| files::probe_writable(path, None).is_err()).collect(),
    }
}

fn state_dir(shell: &Shell, uid: u32) -> StateDir {
    if uid != 0 {
        return StateDir::OneUser;
    }
    match files::is_roots_alone(&shell.plan.state_dir) {
        Ok(()) => StateDir::RootsAlone,
        Err(error @ DirectoryError::Foreign { .. }) => StateDir::Foreign(error.to_string()),
        // The boot makes it: what is above it was in order.
        Err(error) if error.io().is_some_and(|why| why.kind() == ErrorKind::NotFound) => StateDir::RootsAlone,
        Err(error) => StateDir::Replaceable(error.to_string()),
    }
}

/// This program, if the application may read it.
fn readable_binary(app: Option<&Identity>) -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let opened = files::as_user(app, || files::open(&program, Owner::Anyone)).ok()?;
    opened.is_ok().then_some(program)
}

/// A number of the container's own cgroup, which is mounted at the root of the hierarchy or below it.
fn cgroup(names: &[&str]) -> Option<u64> {
    let own = kernel::read("/proc/self/cgroup").unwrap_or_default();
    let below = own.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").trim_start_matches('/');
    let root = Path::new("/sys/fs/cgroup");
    let places = [root.join(below), root.to_owned()];
    let mut files = places.iter().flat_map(|place| names.iter().map(move |name| place.join(name)));
    // `max` is no limit.
    files.find_map(|file| kernel::read(file).ok()?.trim().parse().ok())
}

/// The least of the container's limit and the machine's memory: on Fargate the machine is the task's.
fn memory() -> Option<u64> {
    let limit = cgroup(&["memory.max", "memory/memory.limit_in_bytes"]);
    let total = read::memory_total(&kernel::read("/proc/meminfo").unwrap_or_default());
    limit.into_iter().chain(total).min()
}

fn crontabs() -> Vec<PathBuf> {
    let paths = CRONTABS
        .iter()
        .map(Path::new)
        .flat_map(|dir| files::list(dir).unwrap_or_default().into_iter().map(|name| dir.join(name)));
    let text = |path: &PathBuf| files::read_text(path, Owner::Anyone, MOST);
    let found: BTreeSet<PathBuf> =
        paths.take(100).filter(|path| text(path).is_ok_and(|text| read::has_cron_entry(&text))).collect();
    found.into_iter().collect()
}

/// Who runs here beside this process and its own children.
pub fn processes() -> Processes {
    let own = Pid::current();
    if own.raw() == 1 {
        return Processes { alone: true, ..Processes::default() };
    }
    let Ok(snapshot) = Snapshot::take() else { return Processes::default() };
    let all = snapshot.processes();
    let comm = |pid: Pid| all.iter().find(|one| one.pid == pid).map(|one| one.comm.clone());
    let mine = snapshot.descendants(own);
    let others: Vec<&Process> =
        all.iter().filter(|one| one.pid != own && !one.zombie && !mine.contains(one)).collect();
    // A session of docker exec, with the doctor in it, is nobody's stray.
    let name = comm(own).unwrap_or_default();
    let init = others.iter().find(|one| one.comm == name).map(|one| one.pid);
    let below = init.map(|init| snapshot.descendants(init)).unwrap_or_default();
    let shown = |one: &&&Process| format!("{} ({})", one.comm, one.pid);
    let is_stray = |one: &&&Process| one.comm.starts_with("php") && !below.contains(one);
    let is_supervisor = |one: &&&Process| {
        matches!(one.comm.as_str(), "supervisord" | "crond" | "cron" | "s6-svscan" | "runsvdir" | "monit")
    };
    Processes {
        alone: false,
        pid1: Pid::new(1).and_then(comm),
        pid1_catches: kernel::read("/proc/1/status").ok().and_then(|status| read::mask(&status, "SigCgt")),
        init: init.map(Pid::raw),
        strays: others.iter().filter(is_stray).map(|one| shown(&one)).collect(),
        supervisors: others.iter().filter(is_supervisor).map(|one| shown(&one)).collect(),
        fpm_masters: others
            .iter()
            .filter(|one| {
                one.comm.starts_with("php-fpm") && init.is_some_and(|init| one.parent == init.raw())
            })
            .count(),
    }
}
