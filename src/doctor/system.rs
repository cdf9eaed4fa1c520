//! The container: powers, limits, variables, time zone.

use super::facts::{Facts, System};
use super::words::list;
use super::{Check, Finding};
use crate::config::plan::Plan;
use crate::config::secret::looks_secret;

static POWERS: Check = Check {
    id: "capabilities",
    what: "root has the capabilities that init needs: SETUID, SETGID, KILL, CHOWN, DAC_OVERRIDE",
    why: "without the first three nothing can be run as the application's user, or be stopped; without CHOWN its files and log pipes are not its own",
    fix: "docker run: `--cap-add`; or run the container as the application's user, which needs none (`--user 33:33`)",
};
static ROOT_APP: Check = Check {
    id: "app-user",
    what: "the application does not run as root",
    why: "a hole in it is a hole as root",
    fix: "init.toml: `user = \"www-data\"`",
};
static FILES: Check = Check {
    id: "limit-open-files",
    what: "the soft limit of open files is at least 1024",
    why: "PHP-FPM and workers run out of descriptors under load",
    fix: "docker run: `--ulimit nofile=65536:65536`; task definition: `ulimits`",
};
static PROC: Check = Check {
    id: "proc",
    what: "/proc is mounted",
    why: "descendants that leave their group are not found at a stop, and /proc/self/fd/2 is no log",
    fix: "the runtime's configuration: mount proc at /proc",
};
static ZONE: Check = Check {
    id: "time-zone-data",
    what: "there is data for the zone of `TZ`",
    why: "programs of the C library take UTC for a zone that they have no file of; PHP and init bring their own data",
    fix: "Dockerfile: `RUN apk add tzdata`, or `apt-get install -y tzdata`",
};
static SECRETS: Check = Check {
    id: "env-secrets",
    what: "variables of the container that look like secrets",
    why: "they are in the environment of every process, in `docker inspect`, and, where written out, in the task definition",
    fix: "move them into the .env that init fetches; or task definition: `secrets` instead of `environment`",
};
static WITHHELD: Check = Check {
    id: "env-withheld",
    what: "variables that init keeps from the application",
    why: "they are credentials for init itself; an application that relies on them finds none",
    fix: "init.toml: `pass-env = [\"NAME\"]`, or a task role",
};

static BINARY: Check = Check {
    id: "binary-readable",
    what: "the application may execute init's program and not read it",
    why: "without root, init and the application are one user, who may look into a process whose program it may read: into its memory and its environment, with what init withholds, in the moment before it shuts itself off",
    fix: "Dockerfile: `COPY --chmod=0711 init /usr/bin/init`",
};
static DUMPS: Check = Check {
    id: "suid-dumpable",
    what: "a process that changed its user leaves no core dump: fs.suid_dumpable is 0, or kernel.core_pattern writes no file and starts no program",
    why: "who makes such a process crash has its memory, with every secret in it, written where others may find it",
    fix: "the host: `sysctl fs.suid_dumpable=0`; nothing in a container may set it",
};

pub const CHECKS: &[&Check] =
    &[&POWERS, &ROOT_APP, &FILES, &PROC, &ZONE, &SECRETS, &WITHHELD, &BINARY, &DUMPS];

/// Bits of linux/capability.h: what nothing works without, and what less works without.
const NEEDED: &[(u32, &str)] = &[(5, "KILL"), (6, "SETGID"), (7, "SETUID")];
const USEFUL: &[(u32, &str)] = &[(0, "CHOWN"), (1, "DAC_OVERRIDE")];

pub fn check(facts: &Facts, _plan: &Plan) -> Vec<Finding> {
    let system = &facts.system;
    let mut found = vec![powers(facts)];
    found.push(match system.app_is_root {
        true => ROOT_APP.hurts("it runs as root"),
        false => ROOT_APP.ok(system.app.as_str()),
    });
    found.push(match system.open_files {
        Some(limit) if limit < 1024 => FILES.hurts(format!("{limit}")),
        Some(limit) => FILES.ok(format!("{limit}")),
        None if system.proc_mounted => FILES.ok("no limit"),
        None => FILES.unchecked("there is no /proc"),
    });
    found.push(match system.proc_mounted {
        true => PROC.ok("mounted"),
        false => PROC.hurts("there is no /proc, or that of another PID namespace"),
    });
    found.push(match &system.tz {
        None => ZONE.ok("TZ is not set: UTC"),
        Some(zone) if system.tz_file => ZONE.ok(zone),
        Some(zone) => ZONE.note(format!("TZ is {zone}, and /usr/share/zoneinfo has no such file")),
    });
    // The token's file and the address of the role are no secrets themselves.
    let secret = |name: &&String| {
        looks_secret(name)
            && !name.starts_with("AWS_CONTAINER_")
            && !name.ends_with("_FILE")
            && *name != "GPG_KEYS"
    };
    let secrets: Vec<&String> = system.env.iter().filter(secret).collect();
    found.push(match secrets.is_empty() {
        true => SECRETS.ok("none"),
        false => SECRETS.note(list(&secrets)),
    });
    found.push(match system.withheld.is_empty() {
        true => WITHHELD.ok("none"),
        false => WITHHELD.note(list(&system.withheld)),
    });
    found.push(match &system.readable_binary {
        Some(path) if !system.app_is_root => {
            BINARY.note(format!("{} may read {}", system.app, path.display()))
        }
        _ => BINARY.ok("it may not be read"),
    });
    found.push(dumps(system));
    found
}

fn dumps(system: &System) -> Finding {
    // A bare name is a file in the directory of the process; with 2 the kernel writes none there (core(5)).
    let written = system.core_pattern.starts_with(['/', '|']);
    match system.suid_dumpable {
        None => DUMPS.unchecked("/proc/sys/fs/suid_dumpable cannot be read"),
        Some(0) => DUMPS.ok("0"),
        Some(2) if !written => DUMPS.ok(format!("2, and core_pattern is {}", system.core_pattern)),
        Some(value) => DUMPS.hurts(format!("{value}, and core_pattern is {}", system.core_pattern)),
    }
}

fn powers(facts: &Facts) -> Finding {
    if facts.system.uid != 0 {
        return POWERS.ok(format!("none is needed: uid {}", facts.system.uid));
    }
    let Some(effective) = facts.system.capabilities else {
        return POWERS.unchecked("/proc/self/status cannot be read");
    };
    let lacking = |wanted: &[(u32, &'static str)]| -> Vec<&'static str> {
        wanted.iter().filter(|(bit, _)| effective >> bit & 1 == 0).map(|(_, name)| *name).collect()
    };
    let (needed, useful) = (lacking(NEEDED), lacking(USEFUL));
    let add =
        |names: &[&str]| names.iter().map(|name| format!("`--cap-add {name}`")).collect::<Vec<_>>().join(" ");
    match (needed.is_empty() || facts.system.app_is_root, useful.is_empty()) {
        (false, _) => {
            let all = [needed, useful].concat();
            POWERS.breaks(format!("root lacks {}", list(&all))).with_fix(format!("docker run: {}", add(&all)))
        }
        (true, false) => POWERS
            .hurts(format!("root lacks {}", list(&useful)))
            .with_fix(format!("docker run: {}", add(&useful))),
        (true, true) => POWERS.ok("all there"),
    }
}
