//! One life of the container beside its tenants, from the boot to the end, and what must hold for it.

use crate::container::{self, ANSWER, As, Container, STOP};
use crate::luck::Luck;
use crate::procs;
use crate::tenant::report::Deeds;
use crate::tenant::{FREEZE, GENTLE, QUIET, RACED, Role, WAIT};
use php_init::control::client::ClientError;
use php_init::control::protocol::{Level, Outcome, Phase, Reply, Request};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// All fetches and boot steps at their limits, on a busy machine.
const BOOT: Duration = Duration::from_secs(90);
/// What the machine may add to a budget of init's: other tests run beside this one.
const SLACK: Duration = Duration::from_secs(15);
/// The same for what a command left behind, which init ends after a grace of the plan's whole stop.
const SWEEP: Duration = Duration::from_secs(7);
/// What init may take of the machine at any moment. It is built without optimization here.
const ANONYMOUS: usize = 48 << 10;
const DESCRIPTORS: usize = 256;
/// A fault in init itself, and the end of a panic. An abort or a wrong access of init's own would be a negative code: one
/// of a command, which a tenant may signal with ABRT and SEGV, is passed on as 128 and more.
const NEVER: [i32; 2] = [70, 101];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Services,
    /// Nothing but a boot and a stop, with a race for the moments between system calls of init.
    Boot,
    Migration,
    OneOff,
}

/// What is decided about a life before it begins.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub number: u64,
    pub kind: Kind,
    /// A neighbour is there from the boot on. Otherwise the application's own directories are mended first, and the boot
    /// must succeed whatever was left elsewhere.
    pub noisy: bool,
    /// The volumes are new.
    pub fresh: bool,
    pub who: As,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Outcomes {
    pub troubles: Vec<String>,
    pub deeds: Deeds,
    /// The boot failed with this code, as it may beside a neighbour.
    pub refused: Option<i32>,
    pub text: String,
}

struct Life<'a> {
    container: &'a mut Container,
    plan: Plan,
    luck: Luck,
    troubles: Vec<String>,
    text: String,
}

/// Lives it.
pub fn live(container: &mut Container, plan: Plan, luck: Luck) -> Outcomes {
    let mut life = Life { container, plan, luck, troubles: Vec::new(), text: String::new() };
    let refused = life.run();
    life.container.stop_neighbour();
    let deeds = Deeds::take(&life.container.volumes.path("tmp/report"));
    life.judge(&deeds);
    let Life { troubles, text, .. } = life;
    Outcomes { troubles, deeds, refused, text }
}

impl Life<'_> {
    fn trouble(&mut self, what: String) {
        self.troubles.push(what);
    }

    /// The code of a boot that was refused.
    fn run(&mut self) -> Option<i32> {
        let Plan { number, kind, noisy, .. } = self.plan;
        let deaf = if self.luck.one_in(2) { "deaf" } else { "" };
        let how = match kind {
            Kind::Services => "",
            Kind::Boot => self.luck.pick(&RACED),
            Kind::Migration | Kind::OneOff => GENTLE,
        };
        if noisy {
            self.container.ask_tenants(number, &[how, deaf]);
            self.container.start_neighbour();
            thread::sleep(Duration::from_millis(self.luck.below(300)));
        } else {
            self.container.volumes.heal();
            self.container.ask_tenants(number, &[how, deaf, WAIT]);
        }
        let began = Instant::now();
        match kind {
            Kind::Services | Kind::Boot => self.container.start(&[]),
            Kind::Migration => self.container.start(&["--migrate"]),
            Kind::OneOff => {
                let words = self.container.one_off();
                self.container.start(&words.iter().map(String::as_str).collect::<Vec<_>>());
            }
        }
        match kind {
            Kind::Services => self.services(began),
            Kind::Boot => self.boot(began).map_or_else(|code| code, |()| self.stop(how)),
            Kind::Migration | Kind::OneOff => self.command(began),
        }
    }

    fn services(&mut self, began: Instant) -> Option<i32> {
        if let Err(code) = self.boot(began) {
            return code;
        }
        self.container.ask_tenants(self.plan.number, &[]);
        let _ = write!(self.text, ", booted in {:.1} s", began.elapsed().as_secs_f64());
        let (init, who) = (self.container.init, self.plan.who);
        let (over, seen) = (AtomicBool::new(false), Mutex::new(Vec::new()));
        thread::scope(|scope| {
            scope.spawn(|| watch(init, who, &over, &seen));
            self.operate();
            over.store(true, Ordering::Relaxed);
        });
        self.troubles.extend(seen.into_inner().unwrap());
        if self.troubles.is_empty() {
            self.rest();
        }
        if self.troubles.is_empty() {
            let how = if self.luck.one_in(3) { FREEZE } else { "" };
            return self.stop(how);
        }
        None
    }

    /// Waits until services run. `Err`: init has ended, or the boot hangs.
    fn boot(&mut self, began: Instant) -> Result<(), Option<i32>> {
        loop {
            if let Some(code) = self.container.ended() {
                return Err(self.refused(code));
            }
            if self.is_up() {
                return Ok(());
            }
            if began.elapsed() > BOOT {
                let whereabouts = self.container.whereabouts();
                let status = self.container.status().map(|status| status.phase);
                self.trouble(format!(
                    "the boot is not over after {BOOT:?}, status {status:?}: {whereabouts}"
                ));
                return Err(None);
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_up(&self) -> bool {
        match self.plan.who {
            As::Root => self.container.status().is_ok_and(|status| status.phase == Phase::Running),
            // Its socket is the tenant's, too; a service that runs is as good.
            As::Tenant => self.container.volumes.path("tmp/report/application/0").exists(),
        }
    }

    /// A boot ended by itself.
    fn refused(&mut self, code: i32) -> Option<i32> {
        let _ = write!(self.text, ", boot refused with {code}");
        // Without root, even the state directory is the tenant's to break.
        let may_fail = self.plan.noisy || self.plan.who == As::Tenant && !self.plan.fresh;
        let legitimate = may_fail && code > 0 && !NEVER.contains(&code);
        if !legitimate {
            self.trouble(format!("the boot ended with {code}"));
        }
        Some(code)
    }

    /// What an operator does, at random moments, while tenants do what they can.
    fn operate(&mut self) {
        let count = 2 + self.luck.below(4);
        let mut last = "";
        for _ in 0..count {
            thread::sleep(Duration::from_millis(100 + self.luck.below(600)));
            last = self.operation();
            if !self.troubles.is_empty() {
                break;
            }
        }
        let _ = write!(self.text, ", {count} operations (last: {last})");
    }

    fn operation(&mut self) -> &'static str {
        if self.plan.who == As::Tenant {
            let signal = self.luck.pick(&["HUP", "USR1", "USR2"]);
            self.container.signal(signal);
            return signal;
        }
        let names = |name: &str| vec![name.to_owned()];
        let (name, request) = match self.luck.below(12) {
            0..=2 => ("reload", Request::Reload),
            3 => {
                self.container.signal("HUP");
                ("HUP", Request::Health { level: Level::Alive })
            }
            4 => ("restart of PHP-FPM", Request::Restart { names: names("php-fpm") }),
            5 => ("restart of the tenant", Request::Restart { names: names("tenant") }),
            6 => ("restart of all", Request::Restart { names: names("all") }),
            7 => ("stop of the tool", Request::Stop { names: names("tool") }),
            8 => ("start of all", Request::Start { names: names("all") }),
            9 => ("run", Request::Run { name: "second".into(), wait: true }),
            10 => ("events", Request::Events { lines: 100, follow: false }),
            _ => ("logs", Request::Logs { names: Vec::new(), lines: 1000, follow: false }),
        };
        match self.container.ask(&request) {
            // That something could not be done is an answer.
            Ok(Reply::Done { results }) => {
                if let Some(Outcome { text, .. }) =
                    results.iter().find(|one| NEVER.contains(&one.code.into()))
                {
                    self.trouble(format!("{name}: {text}"));
                }
            }
            Ok(_) | Err(ClientError::Refused(..)) => {}
            // What is not done while tenants stop and kill it may take longer; who asks anew is answered.
            Err(ClientError::Silent(..)) if self.container.status().is_ok() => {}
            Err(error) => {
                let whereabouts = self.container.whereabouts();
                self.trouble(format!("{name}: {error}; {whereabouts}"));
            }
        }
        name
    }

    /// While tenants rest, init answers and has nothing open that is gone.
    fn rest(&mut self) {
        self.container.ask_tenants(self.plan.number, &[QUIET]);
        if self.plan.who == As::Root
            && let Err(error) = self.container.status()
        {
            let whereabouts = self.container.whereabouts();
            self.trouble(format!("status: {error}; {whereabouts}"));
        }
        let init = self.container.init;
        let deleted = || container::open(init).into_iter().filter(|path| path.ends_with(" (deleted)"));
        let began = Instant::now();
        while deleted().next().is_some() && began.elapsed() < ANSWER {
            thread::sleep(Duration::from_millis(50));
        }
        let left: Vec<String> = deleted().collect();
        let latest = std::fs::read_dir(self.container.volumes.path("tmp/report/application"));
        let latest = latest.map_or(0, Iterator::count).saturating_sub(1) as u64;
        let behind = || container::left_behind(init, Role::Application, latest);
        while !behind().is_empty() && began.elapsed() < ANSWER {
            thread::sleep(Duration::from_millis(50));
        }
        if !behind().is_empty() {
            self.trouble(format!("left behind by earlier tenants, before {latest}: {:?}", behind()));
        }
        if !left.is_empty() {
            self.trouble(format!("init keeps open what is gone: {left:?}"));
        }
    }

    /// Stops the container while tenants do this.
    fn stop(&mut self, how: &str) -> Option<i32> {
        self.container.ask_tenants(self.plan.number, &[how]);
        thread::sleep(Duration::from_millis(300 + self.luck.below(700)));
        let log = self.container.volumes.path("tmp/keeper/log");
        let _ = std::fs::remove_file(&log);
        let frozen = how == FREEZE && self.keeper_is_stopped();
        let began = Instant::now();
        self.container.signal("TERM");
        let code = self.end(STOP + SLACK);
        let how = if how.is_empty() { how } else { &format!("({how}) ") };
        let _ = write!(self.text, ", stopped {how}in {:.1} s", began.elapsed().as_secs_f64());
        if code.is_some_and(|code| code != 0) {
            self.trouble(format!("the stop ended with {code:?}"));
        }
        if code.is_some() && frozen && !log.exists() {
            self.trouble("a service that was stopped by SIGSTOP was killed without a chance to end".into());
        }
        None
    }

    /// Everything of the application's user is stopped, and the service that notes each TERM is among it.
    fn keeper_is_stopped(&self) -> bool {
        let keepers = || -> Vec<(i32, char)> {
            let all = procs::descendants(self.container.init).into_iter();
            let keeper = |one: &procs::Proc| procs::command(one.pid).contains("/tmp/keeper/log");
            // One that is traced goes on when its tracer says so, and another signal that waits may be what ends it.
            let alone = |pid: i32| {
                let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
                ["TracerPid:\t0\n", "SigPnd:\t0000000000000000\n", "ShdPnd:\t0000000000000000\n"]
                    .iter()
                    .all(|line| status.contains(line))
            };
            all.filter(keeper).filter(|one| alone(one.pid)).map(|one| (one.pid, one.state)).collect()
        };
        let before = keepers();
        thread::sleep(Duration::from_millis(500));
        matches!(before[..], [(_, 'T')]) && keepers() == before
    }

    /// Waits for the end.
    fn end(&mut self, within: Duration) -> Option<i32> {
        let began = Instant::now();
        loop {
            if let Some(code) = self.container.ended() {
                return Some(code);
            }
            if began.elapsed() > within {
                let whereabouts = self.container.whereabouts();
                self.trouble(format!("init does not end within {within:?}: {whereabouts}"));
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// A one-off or a migration: it ends by itself, and what it leaves behind does not hold that up for longer than the
    /// grace of init's.
    fn command(&mut self, began: Instant) -> Option<i32> {
        let report = self.container.volumes.path("tmp/report/command/0");
        let code = loop {
            if let Some(code) = self.container.ended() {
                break code;
            }
            let done = written(&report).is_some_and(|age| age > STOP + SWEEP);
            if done || began.elapsed() > BOOT {
                let whereabouts = self.container.whereabouts();
                self.trouble(format!("{:?} is not over: {whereabouts}", self.plan.kind));
                return None;
            }
            thread::sleep(Duration::from_millis(10));
        };
        let _ = write!(self.text, ", {:.1} s", began.elapsed().as_secs_f64());
        if !report.exists() {
            return self.refused(code);
        }
        let _ = write!(self.text, ", exit code {code}");
        // Another tenant may have killed it.
        if code != 0 && (code <= 128 || NEVER.contains(&code)) {
            self.trouble(format!("{:?} ended with {code}", self.plan.kind));
        }
        None
    }

    /// What must hold whatever was done.
    fn judge(&mut self, deeds: &Deeds) {
        let secrets = &self.container.secrets;
        let mut found = Vec::new();
        for (canary, role, place) in &deeds.seen {
            // Without root, everybody is the application's user.
            let role_here = if self.plan.who == As::Tenant { Role::Application } else { *role };
            if !secrets.may_know(role_here, canary) {
                found.push(format!("{} saw {canary} in {place}", role.name()));
            }
        }
        let logged = self.container.tail.canaries();
        found.extend(
            logged.iter().filter(|one| !secrets.is_public(one)).map(|one| format!("the log has {one}")),
        );
        found.extend(self.container.volumes.damage());
        self.troubles.extend(found);
        let _ = write!(self.text, ", {} actions", deeds.total());
    }
}

/// How long ago a file was written last.
fn written(path: &Path) -> Option<Duration> {
    path.metadata().ok()?.modified().ok()?.elapsed().ok()
}

/// Looks at the container until it is over: nothing of a tenant is root's, and init stays small.
fn watch(init: i32, who: As, over: &AtomicBool, seen: &Mutex<Vec<String>>) {
    let mut suspects: Vec<String> = Vec::new();
    while !over.load(Ordering::Relaxed) {
        let now = container::roots_processes(init);
        // Twice: one that changes its user has not done so yet.
        let stayed: Vec<String> = now.iter().filter(|one| suspects.contains(one)).cloned().collect();
        let (memory, descriptors) = (container::anonymous(init), container::open(init).len());
        let mut seen = seen.lock().unwrap();
        if seen.is_empty() {
            seen.extend(stayed.into_iter().map(|one| format!("root's process of {who:?}: {one}")));
            if memory > ANONYMOUS || descriptors > DESCRIPTORS {
                seen.push(format!("init has {memory} kB and {descriptors} descriptors"));
            }
        }
        drop(seen);
        suspects = now;
        thread::sleep(Duration::from_millis(100));
    }
}
