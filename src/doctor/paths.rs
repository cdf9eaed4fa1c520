//! Paths that are written: whether they can be, on what, and how much room is left.

use super::facts::{Facts, PathFacts, Purpose, StateDir};
use super::words::size;
use super::{Check, Finding};
use crate::config::plan::{FileFormat, Plan};
use std::path::Path;

static WRITABLE: Check = Check {
    id: "path-writable",
    what: "every path of the plan that must be writable is; found out by writing",
    why: "the boot ends with 73, or the application fails at its first write",
    fix: "Dockerfile: `chown` the path before `VOLUME`",
};
static FULL: Check = Check {
    id: "path-space",
    what: "there is room left, bytes and inodes",
    why: "caches, sessions, logs and uploads fail once it is used up",
    fix: "task definition: a larger `ephemeralStorage` or tmpfs `size`; remove what fills it",
};
static NETWORK: Check = Check {
    id: "path-network",
    what: "caches are not on a network file system",
    why: "each include of a cached view or configuration is a round trip to EFS or NFS, and a hang of it hangs PHP",
    fix: "task definition: a volume or tmpfs of the task itself for this path; EFS for uploads alone",
};
static SECRETS: Check = Check {
    id: "path-secrets",
    what: "`.env` lies in memory",
    why: "on a disk it outlives the container until the disk is wiped",
    fix: "task definition, `linuxParameters`: `\"tmpfs\": [{ \"containerPath\": \"/opt/php\", \"size\": 16, \"mountOptions\": [\"mode=0755\"] }]`",
};
static STATE_DIR: Check = Check {
    id: "state-dir",
    what: "as root: `state-dir` is root's alone, and so is every directory above it",
    why: "root's children read PHP-FPM's drop-in and private keys there: who can replace them is root",
    fix: "`chown root` and `chmod go-w` what is named; or a tmpfs at `state-dir`",
};
static EXPOSED: Check = Check {
    id: "root-configuration",
    what: "as root: the application cannot change what processes of root's read: `init.toml`, PHP-FPM's configuration, `nginx.conf`, root's crontabs",
    why: "who can change it can have root run a program",
    fix: "`chown root` and `chmod go-w` what is named",
};
static NO_EXEC: Check = Check {
    id: "path-noexec",
    what: "the application's directory allows execution",
    why: "scripts and binaries in it (vendor/bin, wkhtmltopdf) cannot be executed",
    fix: "the mount: without the option `noexec`",
};
static ROOT: Check = Check {
    id: "root-read-only",
    what: "the root file system is read-only",
    why: "what can be written can be changed by whoever breaks in; Security Hub asks for it (ECS.5)",
    fix: "task definition: `\"readonlyRootFilesystem\": true`; docker run: `--read-only`",
};

pub const CHECKS: &[&Check] = &[&WRITABLE, &FULL, &NETWORK, &STATE_DIR, &EXPOSED, &SECRETS, &NO_EXEC, &ROOT];

/// Less is told; much less is as good as nothing.
const LITTLE: u64 = 64 << 20;
const NOTHING: u64 = 1 << 20;

pub fn check(facts: &Facts, plan: &Plan) -> Vec<Finding> {
    let mut found = Vec::new();
    for path in facts.paths.iter().filter(|path| path.purpose != Purpose::Socket) {
        found.push(writable(path));
        found.extend(room(path));
        found.extend(network(path, plan));
    }
    found.push(match &facts.system.state_dir {
        StateDir::OneUser => STATE_DIR.ok("init is not root"),
        StateDir::RootsAlone => STATE_DIR.ok("root's alone"),
        StateDir::Foreign(why) if facts.processes.init.is_some() => STATE_DIR.hurts(why),
        StateDir::Foreign(why) => STATE_DIR.note(format!("{why}; the boot takes it over")),
        StateDir::Replaceable(why) => STATE_DIR.breaks(why),
    });
    found.extend(facts.system.exposed.iter().map(|line| {
        let (seen, fix) = line.rsplit_once(": ").unwrap_or((line, EXPOSED.fix));
        EXPOSED.hurts(seen).with_fix(format!("`{fix}`"))
    }));
    if facts.system.exposed.is_empty() {
        found.push(EXPOSED.ok(if facts.system.uid == 0 { "root's alone" } else { "init is not root" }));
    }
    secrets(facts, plan, &mut found);
    no_exec(facts, plan, &mut found);
    found.push(match facts.system.root_read_only {
        Some(true) => ROOT.ok("ro"),
        Some(false) => ROOT.note("/ is writable"),
        None => ROOT.unchecked("/proc/self/mountinfo cannot be read"),
    });
    found
}

fn writable(path: &PathFacts) -> Finding {
    let shown = path.path.display();
    match &path.refused {
        None => WRITABLE.ok(format!("{shown} ({}{})", path.file_system, options(path))),
        Some(_) if path.mended => WRITABLE.ok(format!("{shown}: the boot makes it, or hands it over")),
        Some(why) => {
            let (seen, fix) = why.split_once(": ").unwrap_or((why, WRITABLE.fix));
            WRITABLE.breaks(seen).with_fix(fix)
        }
    }
}

fn options(path: &PathFacts) -> String {
    let told = ["ro", "noexec"].into_iter().filter(|option| path.options.contains(*option));
    told.fold(String::new(), |text, option| format!("{text}, {option}"))
}

fn room(path: &PathFacts) -> Option<Finding> {
    let (space, shown) = (path.space?, path.path.display());
    let seen = format!("{shown}: {} of {} left", size(space.bytes_free), size(space.bytes));
    let few = space.inodes > 0 && space.inodes_free < space.inodes / 50;
    Some(match space.bytes_free {
        // A small tmpfs is meant to be small: what counts is the share that is left.
        0..NOTHING if space.bytes_free < space.bytes / 20 => FULL.breaks(seen),
        0..LITTLE if space.bytes_free < space.bytes / 10 => FULL.hurts(seen),
        _ if few => FULL.hurts(format!("{shown}: {} of {} inodes left", space.inodes_free, space.inodes)),
        _ => FULL.ok(seen),
    })
}

fn is_network(file_system: &str) -> bool {
    file_system.starts_with("nfs")
        || matches!(file_system, "cifs" | "smb3" | "fuse.s3fs" | "fuse.mount-s3" | "9p")
}

/// Uploads may be on EFS; what every request reads should not be.
fn network(path: &PathFacts, plan: &Plan) -> Option<Finding> {
    let storage = plan.work_dir.join("storage");
    let hot = path.path == storage
        || path.path.ends_with("bootstrap/cache")
        || path.path == plan.state_dir
        || path.path == Path::new("/tmp");
    let shown = path.path.display();
    hot.then(|| match is_network(&path.file_system) {
        true => NETWORK.hurts(format!("{shown} is on {}", path.file_system)),
        false => NETWORK.ok(format!("{shown}: {}", path.file_system)),
    })
}

fn secrets(facts: &Facts, plan: &Plan, found: &mut Vec<Finding>) {
    let placed = plan
        .files
        .iter()
        .any(|file| file.format == FileFormat::Dotenv && file.path.starts_with(&plan.state_dir));
    let state = facts.paths.iter().find(|path| path.purpose == Purpose::State);
    let (true, Some(state)) = (placed, state) else { return };
    found.push(match state.file_system.as_str() {
        memory @ ("tmpfs" | "ramfs") => SECRETS.ok(memory),
        "" => SECRETS.unchecked("/proc/self/mountinfo cannot be read"),
        other => SECRETS.note(format!("{} is on {other}", state.path.display())),
    });
}

fn no_exec(facts: &Facts, plan: &Plan, found: &mut Vec<Finding>) {
    let inside = facts.paths.iter().find(|path| {
        path.options.contains("noexec")
            && plan.work_dir.starts_with(&path.mount)
            && path.mount != Path::new("/")
    });
    found.push(match inside {
        Some(path) => NO_EXEC.note(format!("{} is mounted noexec", path.mount.display())),
        None => NO_EXEC.ok("allowed"),
    });
}
