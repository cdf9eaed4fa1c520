//! The hostile tenant: processes of the application's user, and of another user of the container, that do everything
//! they can beside a real init and a real PHP-FPM.
//!
//! What must hold in each life of the container, whatever they do: init answers, and ends within its budget with the
//! right code; it changes, reads and hands over nothing that the plan does not say; no secret is seen by who must not know
//! it; nothing that is a tenant's runs as root; and the next boot succeeds with what was left in the volumes.
//!
//! Half a minute is one of the tests. An hour, and the same order of actions once more:
//!
//! ```text
//! PHP_INIT_HOSTILE=3600 tests/run --test hostile
//! PHP_INIT_HOSTILE=3600 PHP_INIT_SEED=42 tests/run --test hostile
//! ```
//!
//! | file | what |
//! |---|---|
//! | `tenant/` | the tenants: this program once more, in the container |
//! | `container` | the container: its plan, how it is started, asked and looked at |
//! | `life` | one life of it, and what must hold |
//! | `volumes`, `manifest` | its file systems, root's files in them, and what has changed |
//! | `canary`, `tail` | secrets that are recognized wherever they turn up; the log |

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests start real processes"
)]

mod canary;
mod container;
mod life;
#[path = "../simulate/luck.rs"]
#[allow(dead_code, reason = "made for tests/simulate, which uses all of it")]
mod luck;
mod manifest;
#[path = "../life/procs.rs"]
#[allow(dead_code, reason = "made for tests/life, which uses all of it")]
mod procs;
#[path = "../support/mod.rs"]
mod support;
mod tail;
mod tenant;
mod volumes;

use container::{As, Container};
use life::{Kind, Plan};
use luck::Luck;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::need;
use support::sandbox::NEEDS;
use tenant::Role;

/// Seconds without `PHP_INIT_HOSTILE`, and the most that it may say.
const SECONDS: (u64, u64) = (30, 6 * 3600);
/// So many lives share their volumes.
const LIVES: u64 = 6;
/// No more lives than this for the sake of what was not tried yet.
const MOST_LIVES: u64 = 60;
/// Shown of a life that failed.
const ACTIONS: usize = 60;
const LINES: usize = 120;

#[test]
fn tenants_beside_init_as_root() {
    campaign("tenants_beside_init_as_root", As::Root, 1);
}

/// Here the application's user is init's own, and may do to init's files whatever it likes.
#[test]
fn tenants_beside_init_as_their_own_user() {
    campaign("tenants_beside_init_as_their_own_user", As::Tenant, 3);
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: no number")))
}

/// Lives, one after the other, for the time that is given divided by `part`.
fn campaign(test: &'static str, who: As, part: u64) {
    if tenant::is_one() || !need(&[NEEDS, &["setsid", "mount"]].concat()) {
        return;
    }
    let seconds = variable("PHP_INIT_HOSTILE").unwrap_or(SECONDS.0).clamp(1, SECONDS.1) / part;
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = variable("PHP_INIT_SEED").unwrap_or_else(|| clock().into());
    println!("{test}, {seconds} s: PHP_INIT_SEED={seed} repeats the order of its actions");
    // What is mounted is this thread's, and gone with it.
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNS).unwrap();
    let private = Command::new("mount").args(["--make-rprivate", "/"]).status().unwrap();
    assert!(private.success());

    let end = Instant::now() + Duration::from_secs(seconds);
    let (mut all, mut turn) = (Sum::default(), 0);
    // On a slow machine the time may be over before everything was tried.
    let goes_on = |all: &Sum, turn: u64| {
        Instant::now() < end || turn < LIVES || (turn < MOST_LIVES && all.missing(who).is_some())
    };
    while goes_on(&all, turn) {
        let mut container = Container::new(test, who, seed.wrapping_add(turn));
        for _ in 0..LIVES {
            lives(&mut container, test, who, seed, turn, &mut all);
            turn += 1;
            if !goes_on(&all, turn) {
                break;
            }
        }
    }
    println!("{}", all.verdict(who));
}

/// One life; and another one where a boot was refused beside a neighbour, which then must succeed.
fn lives(container: &mut Container, test: &'static str, who: As, seed: u64, turn: u64, all: &mut Sum) {
    let mut luck = Luck::of(seed, [2, turn, 0, 0]);
    let kind = match turn % LIVES {
        1 | 4 => Kind::Boot,
        2 => Kind::Migration,
        5 => Kind::OneOff,
        _ => Kind::Services,
    };
    let noisy = kind == Kind::Boot || luck.one_in(2);
    // The second of a turn is the one after a refusal.
    let mut plan = Plan { number: turn * 2, kind, noisy, fresh: false, who };
    loop {
        let outcomes = life::live(container, plan, luck.clone());
        let Plan { number, noisy, .. } = plan;
        let beside = if noisy { "beside a neighbour" } else { "after mending" };
        println!("  life {number}: {kind:?} {beside}{}", outcomes.text);
        if !outcomes.troubles.is_empty() {
            let actions = &outcomes.deeds.lines;
            let last = actions[actions.len().saturating_sub(ACTIONS)..].join("\n");
            let log = container.tail.lines(LINES);
            let troubles = outcomes.troubles.join("\n  ");
            panic!(
                "life {number} of PHP_INIT_SEED={seed}:\n  {troubles}\n--- the last of the tenants' actions ---\n{last}\n\
                 --- the container's log ---\n{log}"
            );
        }
        all.add(&outcomes);
        if outcomes.refused.is_none() {
            return;
        }
        let fresh = who == As::Tenant;
        if fresh {
            *container = Container::new(test, who, seed.wrapping_add(turn));
        }
        plan = Plan { number: plan.number + 1, noisy: false, fresh, ..plan };
    }
}

/// All lives so far.
#[derive(Default)]
struct Sum {
    lives: usize,
    refused: usize,
    counts: BTreeMap<String, (usize, usize)>,
    processes: BTreeMap<&'static str, usize>,
    /// Canaries by the name of the secret, with the role that saw it.
    seen: BTreeSet<(String, &'static str)>,
}

impl Sum {
    fn add(&mut self, outcomes: &life::Outcomes) {
        self.lives += 1;
        self.refused += usize::from(outcomes.refused.is_some());
        for (name, (done, refused)) in &outcomes.deeds.counts {
            let count = self.counts.entry(name.clone()).or_default();
            *count = (count.0 + done, count.1 + refused);
        }
        for (role, count) in &outcomes.deeds.processes {
            *self.processes.entry(role).or_default() += count;
        }
        let seen = outcomes.deeds.seen.iter();
        self.seen.extend(seen.map(|(canary, role, _)| (canary::name(canary).to_owned(), role.name())));
    }

    /// What was done, in words. Fails the test where something never happened, for that would prove nothing.
    fn verdict(&self, who: As) -> String {
        let mut text = format!("  {} lives, {} boots refused\n", self.lives, self.refused);
        text += &format!("  tenants      {:?}\n  secrets seen {:?}\n", self.processes, self.seen);
        for (name, (done, refused)) in &self.counts {
            text += &format!("    {done:>6} done {refused:>6} refused  {name}\n");
        }
        let missing = self.missing(who);
        assert!(missing.is_none(), "{text}{}", missing.unwrap_or_default());
        text
    }

    /// What has not happened yet: actions, tenants, and finds of what they are allowed to find.
    fn missing(&self, who: As) -> Option<String> {
        let actions = tenant::actions().into_iter().filter(|name| !self.counts.contains_key(*name));
        let optional = |role: &Role| *role == Role::Stranger && who == As::Tenant;
        let roles = Role::ALL.into_iter().filter(|(role, _)| !optional(role)).map(|(_, name)| name);
        let roles = roles.filter(|name| !self.processes.contains_key(name));
        let finds = ["decoy", "env"].into_iter();
        let finds = finds.filter(|name| !self.seen.contains(&((*name).to_owned(), "application")));
        let all: Vec<&str> = actions.chain(roles).chain(finds).collect();
        (!all.is_empty()).then(|| format!("never tried, run or seen: {all:?}"))
    }
}
