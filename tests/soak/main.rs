//! Soak: random kills and load at a real PHP-FPM and real queue workers under the real `init`, PID 1 of its namespace.
//!
//! What must hold however long it lasts: memory, descriptors and threads of init are flat and no zombie stays; no request
//! is lost that was not in a process that was killed, or came while PHP-FPM was down on purpose; each job is done, and
//! done once unless its worker was killed; each line of the log arrives once, whole and in order; the stop is clean.
//!
//! Twenty seconds are one of the tests. An hour, and the same order of actions once more:
//!
//! ```text
//! PHP_INIT_SOAK=3600 tests/run --test soak
//! PHP_INIT_SOAK=3600 PHP_INIT_SEED=42 tests/run --test soak
//! ```
//!
//! | file | what |
//! |---|---|
//! | `stage` | the container, how it is asked and signalled, and what is known of it |
//! | `act`, `abuse` | what is done to it |
//! | `load`, `jobs`, `lines` | requests, jobs, log lines: where they come from, and what must hold for them |
//! | `ledger` | PURE: which losses are explained by what was killed |
//! | `vitals` | what init takes of the machine |
//! | `*.php` | what runs in the container besides the sample application |

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests start real processes"
)]

mod abuse;
mod act;
mod jobs;
mod ledger;
mod lines;
mod load;
#[path = "../simulate/luck.rs"]
#[allow(dead_code, reason = "made for tests/simulate, which uses all of it")]
mod luck;
#[path = "../life/procs.rs"]
#[allow(dead_code, reason = "made for tests/life, which uses all of it")]
mod procs;
mod stage;
#[path = "../support/mod.rs"]
mod support;
mod vitals;

use act::names;
use jobs::Jobs;
use load::{Served, Want};
use luck::Luck;
use php_init::control::protocol::{Request, Status};
use stage::{PATIENCE, RESTLESS, Stage};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::sandbox::NEEDS;
use support::{eventually, need};
use vitals::Vitals;

/// Seconds without `PHP_INIT_SOAK`, and the most that it may say.
const SECONDS: (u64, u64) = (20, 6 * 3600);

/// What is resident is for the most part the program's own pages, which come and go with the page cache: told, and no
/// measure. What is anonymous is what can leak.
const ANY: usize = usize::MAX / 2;

/// What the second half may have more than the first, in the middle: of a short run, in which the allocator has not met its
/// worst moment yet, and of one of ten minutes or more.
const YOUNG: Vitals = Vitals { resident: ANY, anonymous: 4096, descriptors: 16, threads: 0 };
const DRIFT: Vitals = Vitals { resident: ANY, anonymous: 512, descriptors: 4, threads: 0 };

/// The same of what is most, which depends on which actions fall together: 32 clients of the control socket, each with its
/// buffers, on top of a reload.
const PEAK: Vitals = Vitals { resident: ANY, anonymous: 8192, descriptors: 64, threads: 1 };

/// What may be more at rest than before anything was done: what the allocator keeps of its worst moment.
const REST: Vitals = Vitals { resident: ANY, anonymous: 8192, descriptors: 0, threads: 0 };

/// Ends the load, whatever becomes of the test.
struct Over<'a>(&'a Stage);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.over.store(true, Ordering::Relaxed);
        self.0.output.stalled.store(false, Ordering::Relaxed);
        if thread::panicking() {
            eprintln!("--- the container's log ---\n{}", self.0.output.tail());
        }
    }
}

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text:?}: no number")))
}

#[test]
fn random_kills_lose_nothing_but_what_was_in_a_killed_process() {
    if !need(NEEDS) {
        return;
    }
    let seconds = variable("PHP_INIT_SOAK").unwrap_or(SECONDS.0).clamp(1, SECONDS.1);
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().subsec_nanos();
    let seed = variable("PHP_INIT_SEED").unwrap_or_else(|| clock().into());
    println!("soak of {seconds} s: PHP_INIT_SEED={seed} repeats the order of its actions");

    let (stage, reader) = Stage::start();
    let stage = &stage;
    let over = Over(stage);
    let (first, _) = rest(stage, None);
    let (served, jobs) = (Served::default(), Jobs::default());
    let (samples, zombies) = soak(stage, &served, &jobs, seconds, seed);
    assert_eq!(stage.troubles(), Vec::<String>::new());
    stage.over.store(false, Ordering::Relaxed);

    jobs::drain(stage);
    let (last, open) = rest(stage, Some(first));
    let status = stage.status().unwrap();
    let stop = stop(stage, &served, &jobs);
    reader.join().unwrap();
    drop(over);

    let told = verdict(stage, &served, &jobs, &status);
    println!("{told}");
    let (one, two) = vitals::halves(&samples);
    println!("{}", figures(first, last, (one, two), zombies));
    println!("  stop         {:.1} s, exit code 0", stop.as_secs_f64());
    let drift = if seconds < 600 { YOUNG } else { DRIFT };
    let grown =
        [two.median.above(one.median, drift), two.most.above(one.most, PEAK), last.above(first, REST)];
    assert!(grown.iter().all(Option::is_none), "init grows: {grown:#?}; it has open {open:#?}");
}

/// Load and actions for so long, or until something is wrong: what was seen of init, and its most zombies.
fn soak(stage: &Stage, served: &Served, jobs: &Jobs, seconds: u64, seed: u64) -> (Vec<Vitals>, usize) {
    thread::scope(|scope| {
        let over = Over(stage);
        for number in 0..load::CLIENTS {
            scope.spawn(move || served.client(stage, Luck::of(seed, [10, number, 0, 0])));
        }
        scope.spawn(|| jobs.client(stage, served, Luck::of(seed, [11, 0, 0, 0])));
        for number in 0..act::COUNT {
            scope.spawn(move || {
                // An actor that panics ends the run, too.
                let _over = Over(stage);
                act::live(stage, seed, number);
            });
        }
        let samples = scope.spawn(|| vitals::watch(stage));
        let end = stage.now() + Duration::from_secs(seconds);
        while stage.now() < end && stage.pause(Duration::from_secs(5).min(end.saturating_sub(stage.now()))) {
            let unexplained = stage.ledger.lock().unwrap().judge().unexplained;
            if !unexplained.is_empty() {
                stage.trouble(format!("lost without a reason: {unexplained:#?}"));
            }
            if let Some(fault) = stage.output.chatty.lock().unwrap().has_faults() {
                stage.trouble(format!("a line: {fault}"));
            }
        }
        drop(over);
        samples.join().unwrap()
    })
}

/// Stops what never rests, and looks at init once nothing is left of it and, at the end, no more descriptors are open than
/// in `first`; then starts it again. With the names of what is open.
fn rest(stage: &Stage, first: Option<Vitals>) -> (Vitals, Vec<String>) {
    eventually("init answers", PATIENCE, || stage.status());
    ["php-fpm", "queue"].iter().for_each(|service| stage.up(service));
    // One generation of caches is there from now on, as it will be at the end.
    stage.order(&Request::Reload);
    stage.order(&Request::Stop { names: names(&RESTLESS) });
    eventually("nothing is left but what should run", PATIENCE, || stage.strays().is_empty().then_some(()));
    // Between two runs of the cron entry, and when the caches of earlier reloads are gone.
    let until = Instant::now() + PATIENCE;
    let mut looks = Vec::new();
    let least = loop {
        thread::sleep(Duration::from_millis(100));
        looks.push((Vitals::of(stage.init), vitals::open(stage.init)));
        let least = looks.iter().min_by_key(|(one, _)| (one.descriptors, one.anonymous)).unwrap();
        let enough = first.is_none_or(|first| least.0.descriptors <= first.descriptors);
        if looks.len() > 30 && (enough || Instant::now() > until) {
            break least.clone();
        }
    };
    // Two of them fail at once, as they should.
    stage.ask(&Request::Start { names: names(&RESTLESS) }).unwrap();
    least
}

/// Stops the container with requests and jobs in flight: how long it took.
fn stop(stage: &Stage, served: &Served, jobs: &Jobs) -> Duration {
    let began = jobs::number(stage, "select count(*) from events where kind = 'job-started'");
    for number in 0..3 {
        let name = format!("last-{number}");
        assert!(jobs.dispatch(stage, served, &name, 4.0), "no request is lost while nothing is done");
    }
    eventually("the last jobs are begun", PATIENCE, || {
        let now = jobs::number(stage, "select count(*) from events where kind = 'job-started'");
        (now == began + 3).then_some(())
    });
    let (begun, answered) = (served.begun(), served.answered());
    thread::scope(|scope| {
        let requests: Vec<_> = (0..3).map(|_| scope.spawn(|| served.ask(stage, &Want::slow(2500)))).collect();
        eventually("they are in flight", PATIENCE, || (served.begun() == begun + 3).then_some(()));
        let asked = Instant::now();
        stage.signal(stage.init, "TERM");
        assert_eq!(stage.wait(PATIENCE), 0, "the exit code");
        let took = asked.elapsed();
        assert!(requests.into_iter().all(|request| request.join().unwrap()), "a request is lost at the stop");
        assert_eq!(served.answered(), answered + 3);
        took
    })
}

/// What became of requests, jobs and lines, in words; fails the test where something is lost.
fn verdict(stage: &Stage, served: &Served, jobs: &Jobs, status: &Status) -> String {
    let lost = stage.ledger.lock().unwrap().judge();
    let killed = stage.killed.lock().unwrap().clone();
    let (undone, again) = jobs.verdict(&jobs::events(stage), &killed);
    let pids: BTreeSet<i32> = killed.iter().map(|(pid, _)| *pid).collect();
    let chatty = stage.output.chatty.lock().unwrap();
    let written = |run: &str| {
        let text = std::fs::read_to_string(stage.volume("tmp").join(format!("chatty.{run}")));
        text.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
    };
    let faults = chatty.verdict(&pids, written);
    let (lines, runs) = chatty.count();
    let deeds = stage.deeds.lock().unwrap();
    let mut text = format!("  actions      {}\n", deeds.values().sum::<usize>());
    deeds.iter().for_each(|(name, count)| text += &format!("    {count:>6}     {name}\n"));
    text += &format!(
        "  requests     {} answered; lost: {} in a killed worker, {} in the workers of a killed master,\n               \
         {} while FPM was down, {} for no reason\n",
        served.answered(),
        lost.with_worker,
        lost.with_master,
        lost.while_down,
        lost.unexplained.len()
    );
    text += &format!("  jobs         {} done; {again} of them begun again after a kill\n", jobs.count());
    text += &format!("  lines        {lines} of {runs} processes, {} bytes in all\n", status.log.bytes);
    let runs: u64 = status.crons.iter().flat_map(|cron| cron.outcomes.values()).sum();
    text += &format!("  cron runs    {runs}\n");
    assert!(runs > 0, "{text}");
    let mut restarts: Vec<String> = Vec::new();
    for service in ["php-fpm", "queue", "chatty", "crashes", "leaves-orphans"] {
        let of = status.services.iter().filter(|one| one.service == service);
        restarts.push(format!("{service} {}", of.map(|one| one.restarts).sum::<u64>()));
    }
    text += &format!("  restarts     {}; {} orphans reaped", restarts.join(", "), status.orphans_reaped);
    assert!(lost.unexplained.is_empty(), "{text}\n{:#?}", lost.unexplained);
    assert!(undone.is_empty(), "{text}\n{undone:#?}");
    assert!(faults.is_empty(), "{text}\n{faults:#?}");
    assert_eq!(status.log.dropped_lines, 0, "{text}");
    text
}

fn figures(
    first: Vitals,
    last: Vitals,
    (one, two): (vitals::Range, vitals::Range),
    zombies: usize,
) -> String {
    let row = |name: &str, of: fn(Vitals) -> usize| {
        format!(
            "  {name:<12} {} before and {} after; in the middle of both halves {} and {}, at most {} and {}\n",
            of(first),
            of(last),
            of(one.median),
            of(two.median),
            of(one.most),
            of(two.most)
        )
    };
    let mut text = row("resident kB", |one| one.resident);
    text += &row("anonymous kB", |one| one.anonymous);
    text += &row("descriptors", |one| one.descriptors);
    text += &row("threads", |one| one.threads);
    text + &format!("  zombies      {zombies} at most, none of them for long")
}
