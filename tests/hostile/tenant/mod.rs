//! The tenant: a process of the application's user, or of another user of the container, that means harm.
//!
//! It is this test's own program, started in the container with `TENANT_ROLE` in its environment. What it does next is
//! decided by the seed, the life of the container, its role and how often it was started in that life.
//!
//! | file | what |
//! |---|---|
//! | `report` | what it did, line by line, in a file of its own |
//! | `swap` | files and directories replaced by something else |
//! | `race` | replacements in a loop, for the moment between two system calls of init |
//! | `process` | signals, ptrace, forks, sessions, daemons |
//! | `flood` | the notify socket, the control socket, the health listener, its own output |
//! | `spy` | /proc and every file, searched for secrets |
//! | `fill` | file systems without room or inodes |

mod fill;
mod flood;
mod process;
mod race;
pub mod report;
mod spy;
mod swap;

use crate::luck::Luck;
use report::Report;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

pub const ROLE: &str = "TENANT_ROLE";
/// Whose descendant a process is: the role, and how often it was started before.
pub const OF: &str = "TENANT_OF";
pub const SEED: &str = "TENANT_SEED";

/// Where the container has the tenant's program and its reports.
pub const PROGRAM: &str = "/tmp/root/tenant";
pub const REPORTS: &str = "/tmp/report";

/// Words of the test to its tenants: the number of the container's life, then any of these.
pub const PHASE: &str = "/tmp/phase";
/// Do nothing.
pub const QUIET: &str = "quiet";
/// The boot is to succeed: what a step of it left behind does nothing yet.
pub const WAIT: &str = "wait";
/// Stop every process, once, and do nothing.
pub const FREEZE: &str = "freeze";
/// Race for the moment between two system calls of init, as one of [`RACED`] says, and do nothing else.
pub const RACE: &str = "race";
pub const RACED: [&str; 3] = ["race directory", "race parent", "race socket"];
/// Leave processes alone that would never end: nobody is stopped or traced.
pub const GENTLE: &str = "gentle";

pub const STORAGE: &str = "/var/www/html/storage";

/// An action: how often compared to the others, what it is called, what it does. An error means that the kernel or init
/// refused it, which counts as tried.
type Action = (u64, &'static str, fn(&mut Tenant) -> io::Result<()>);

/// What a neighbour can do that shares nothing but the volumes.
const FILES: &[Action] = &[
    (6, "symlink to a file of root's", |tenant| swap::put(tenant, swap::Kind::RootLink)),
    (3, "symlink into /dev or /proc", |tenant| swap::put(tenant, swap::Kind::KernelLink)),
    (6, "FIFO", |tenant| swap::put(tenant, swap::Kind::Fifo)),
    (1, "device", |tenant| swap::put(tenant, swap::Kind::Device)),
    (3, "socket", |tenant| swap::put(tenant, swap::Kind::Socket)),
    (3, "huge file", |tenant| swap::put(tenant, swap::Kind::Huge)),
    (3, "directory", |tenant| swap::put(tenant, swap::Kind::Directory)),
    (2, "hard link to a file of root's", |tenant| swap::put(tenant, swap::Kind::HardLink)),
    (4, "poisoned content", |tenant| swap::put(tenant, swap::Kind::Poison)),
    (6, "poisoned PHP-FPM configuration", swap::poison_fpm),
    (6, "FIFO at a name of init's", swap::fifo_at_own_name),
    (2, "all names of a probe", swap::probe_names),
    (3, "directory made a symlink", swap::link_directory),
    (9, "put back", swap::put_back),
    (1, "file system filled", fill::blocks),
    (1, "inodes used up", fill::inodes),
    (2, "generation filled", fill::generation),
];

/// For the moment between two system calls of init.
const RACES: &[Action] = &[
    (1, "race for a directory", race::directory),
    (1, "race for a parent", race::parent),
    (1, "race for a socket", race::socket),
];

/// What only a process of the container can do.
const PROCESSES: &[Action] = &[
    (5, "STOP", |tenant| process::signal(tenant, "STOP")),
    (5, "CONT", |tenant| process::signal(tenant, "CONT")),
    (2, "KILL", |tenant| process::signal(tenant, "KILL")),
    (2, "TERM", |tenant| process::signal(tenant, "TERM")),
    (3, "another signal", |tenant| process::signal(tenant, "")),
    (3, "ptrace", process::trace),
    (3, "forks", process::forks),
    (2, "session", process::session),
    (1, "daemon", process::daemon),
    (1, "processes deaf to TERM", process::deaf),
    (1, "fork loop", process::fork_loop),
    (4, "notify flood", flood::notify),
    (2, "notify with descriptors", flood::notify_descriptors),
    (2, "control connections", |tenant| flood::connections(tenant, flood::CONTROL)),
    (2, "control requests", |tenant| flood::requests(tenant, flood::CONTROL)),
    (2, "health connections", |tenant| flood::connections(tenant, flood::HEALTH)),
    (2, "health requests", |tenant| flood::requests(tenant, flood::HEALTH)),
    (2, "half a line", |_| flood::output(flood::Output::Half)),
    (2, "NULs", |_| flood::output(flood::Output::Nuls)),
    (2, "long line", |_| flood::output(flood::Output::Long)),
    (2, "many lines", |_| flood::output(flood::Output::Many)),
    (6, "/proc read", spy::processes),
    (3, "memory read", spy::memories),
    (6, "newborn processes read", spy::newborn),
    (3, "files read", spy::files),
];

/// Who the tenant is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A service of the plan, as the application's user.
    Application,
    /// A service of the plan, as another user.
    Stranger,
    /// A daemon that a boot step left, as the application's user.
    Leftover,
    /// The one-off or the migration. It does a few things, leaves processes and exits 0.
    Command,
    /// In another container with the same volumes, as the application's user.
    Neighbour,
}

impl Role {
    pub const ALL: [(Self, &'static str); 5] = [
        (Self::Application, "application"),
        (Self::Stranger, "stranger"),
        (Self::Leftover, "leftover"),
        (Self::Command, "command"),
        (Self::Neighbour, "neighbour"),
    ];

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(role, _)| *role == self).unwrap().1
    }
}

/// The names of all actions.
pub fn actions() -> BTreeSet<&'static str> {
    FILES.iter().chain(RACES).chain(PROCESSES).map(|(_, name, _)| *name).collect()
}

/// One process of a tenant.
pub struct Tenant {
    role: Role,
    incarnation: u64,
    luck: Luck,
    report: Report,
    /// What it started and has not waited for.
    children: Vec<Child>,
    held: Vec<UnixStream>,
    /// What was exchanged with what: the place, and where the earlier thing is now.
    swapped: Vec<(PathBuf, PathBuf)>,
    seen: BTreeSet<String>,
}

/// True in a process that was started as a tenant; it returns when it is over.
pub fn is_one() -> bool {
    let Ok(name) = std::env::var(ROLE) else { return false };
    let (role, _) = Role::ALL.into_iter().find(|(_, known)| *known == name).unwrap();
    if role == Role::Leftover && std::env::var_os("TENANT_DAEMON").is_none() {
        process::become_daemon();
        return true;
    }
    process::limit();
    Tenant::new(role).live();
    true
}

/// The number of the container's life, and what is asked of tenants.
fn phase() -> (u64, Vec<String>) {
    let text = std::fs::read_to_string(PHASE).unwrap_or_default();
    let mut words = text.split_whitespace().map(str::to_owned);
    (words.next().and_then(|life| life.parse().ok()).unwrap_or(0), words.collect())
}

fn is_asked(word: &str) -> bool {
    phase().1.iter().any(|asked| asked == word)
}

impl Tenant {
    fn new(role: Role) -> Self {
        let (report, incarnation) = Report::open(role);
        let number = Role::ALL.iter().position(|(one, _)| *one == role).unwrap() as u64;
        let (life, _) = phase();
        let seed = std::env::var(SEED).unwrap().parse().unwrap();
        let luck = Luck::of(seed, [number, life, incarnation, 0]);
        let (children, held, swapped) = (Vec::new(), Vec::new(), Vec::new());
        Self { role, incarnation, luck, report, children, held, swapped, seen: BTreeSet::new() }
    }

    fn live(mut self) {
        flood::ready();
        let mut frozen = false;
        for turn in 0_u64.. {
            if is_asked(FREEZE) {
                if !frozen && self.role == Role::Application {
                    process::freeze_all(&mut self);
                    frozen = true;
                }
            } else if !(is_asked(QUIET) || self.role == Role::Leftover && is_asked(WAIT)) {
                self.act(&self.actions());
            }
            let reaped = self.children.extract_if(.., |child| matches!(child.try_wait(), Ok(Some(_))));
            reaped.for_each(drop);
            if self.role == Role::Command && turn >= 30 {
                // What is left behind must not hold the end of the container up.
                for _ in 0..3 {
                    let _ = process::deaf(&mut self);
                    let _ = process::fork_loop(&mut self);
                }
                return;
            }
            std::thread::sleep(Duration::from_millis(self.luck.below(25)));
        }
    }

    /// What it may choose from at the moment.
    fn actions(&self) -> Vec<Action> {
        match self.role {
            _ if is_asked(RACE) => {
                let asked = |name: &str| name.split(' ').next_back().is_some_and(is_asked);
                RACES.iter().filter(|(_, name, _)| asked(name)).copied().collect()
            }
            Role::Neighbour => [FILES, RACES].concat(),
            _ => [FILES, RACES, PROCESSES].concat(),
        }
    }

    fn act(&mut self, actions: &[Action]) {
        let all: u64 = actions.iter().map(|(weight, ..)| weight).sum();
        let mut at = self.luck.below(all);
        for (weight, name, act) in actions {
            if at < *weight {
                let outcome = act(self);
                self.report.did(name, outcome.as_ref().err());
                return;
            }
            at -= weight;
        }
    }

    /// Tells of the canaries in these bytes.
    fn see(&mut self, bytes: &[u8], place: &str) {
        for canary in crate::canary::find(bytes) {
            if self.seen.insert(canary.clone()) {
                self.report.saw(&canary, place);
            }
        }
    }
}
