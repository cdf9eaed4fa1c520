//! What is done to the container: three actors, each with an order of actions that the seed alone decides.
//!
//! The first looks after PHP-FPM, the second after the queue, the third after everything else, so that an action waits
//! for the end of the last one of its own actor, and falls together with those of the others.

use crate::abuse;
use crate::load::{Served, Want};
use crate::luck::Luck;
use crate::stage::Stage;
use php_init::control::protocol::{Level, Reply, Request};
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An action: how often compared to the others, what it is called, what it does.
type Action = (u64, &'static str, fn(&Stage, &mut Luck));

/// Three lists; the longest that an actor waits between two actions.
const ACTORS: [(&[Action], Duration); 3] = [
    (WEB, Duration::from_millis(1500)),
    (QUEUE, Duration::from_millis(2000)),
    (REST, Duration::from_millis(1500)),
];

pub const COUNT: usize = ACTORS.len();

const WEB: &[Action] = &[
    (30, "FPM worker killed", |stage, luck| {
        one(&stage.workers(), luck).into_iter().for_each(|pid| stage.kill_worker(pid));
    }),
    (8, "FPM master killed", |stage, luck| {
        let master = one(&stage.children("php-fpm: master"), luck);
        master.into_iter().for_each(|pid| stage.down(true, || stage.kill(pid)));
    }),
    (15, "FPM worker frozen", |stage, luck| freeze(stage, &stage.workers(), luck)),
    (8, "FPM master frozen", |stage, luck| freeze(stage, &stage.children("php-fpm: master"), luck)),
    (8, "FPM restarted", |stage, _| {
        stage.down(false, || stage.order(&Request::Restart { names: names(&["php-fpm"]) }));
    }),
    (5, "FPM stopped and started", |stage, luck| {
        stage.down(false, || stop_and_start(stage, "php-fpm", luck));
    }),
    (12, "memory burst", |stage, luck| {
        Served::default().ask(stage, &Want::burst(luck.below(120), luck.below(300)));
    }),
];

const QUEUE: &[Action] = &[
    (35, "queue worker killed", |stage, luck| {
        one(&stage.children("queue:work"), luck).into_iter().for_each(|pid| stage.kill_known(pid));
    }),
    (20, "queue worker frozen", |stage, luck| freeze(stage, &stage.children("queue:work"), luck)),
    (15, "queue worker restarted", |stage, luck| {
        stage.order(&Request::Restart { names: names(&[&format!("queue:{}", luck.below(3))]) });
    }),
    (5, "queue restarted", |stage, _| stage.order(&Request::Restart { names: names(&["queue"]) })),
    (10, "queue worker stopped and started", |stage, luck| {
        let name = format!("queue:{}", luck.below(3));
        stop_and_start(stage, &name, luck);
    }),
    (8, "pause and resume", |stage, luck| {
        stage.order(&Request::Pause);
        stage.pause(Duration::from_millis(luck.below(1000)));
        stage.order(&Request::Resume);
    }),
];

const REST: &[Action] = &[
    (8, "reload", |stage, _| stage.order(&Request::Reload)),
    (5, "HUP to init", |stage, _| stage.signal(stage.init, "HUP")),
    (5, "USR2 to init", |stage, _| stage.signal(stage.init, "USR2")),
    (5, "USR1 to init", |stage, _| stage.signal(stage.init, "USR1")),
    (6, "init frozen", |stage, luck| freeze(stage, &[stage.init], luck)),
    (10, "crashing service killed", |stage, luck| kill(stage, "exit 3", luck)),
    (8, "service with orphans killed", |stage, luck| kill(stage, "setsid", luck)),
    (6, "chatty service killed", |stage, luck| kill(stage, "chatty.php", luck)),
    (6, "chatty service frozen", |stage, luck| freeze(stage, &stage.children("chatty.php"), luck)),
    (6, "chatty service restarted", |stage, _| {
        stage.order(&Request::Restart { names: names(&["chatty"]) });
    }),
    (8, "log not read", |stage, luck| {
        stage.output.stalled.store(true, Ordering::Relaxed);
        stage.pause(Duration::from_millis(luck.below(1000)));
        stage.output.stalled.store(false, Ordering::Relaxed);
    }),
    (15, "control socket abused", abuse::control),
    (10, "metrics read", abuse::scrape),
    (6, "cron entry run", |stage, _| {
        // It fails every other time, as it should.
        let run = stage.ask(&Request::Run { name: "second".into(), wait: true });
        if !matches!(run, Ok(Reply::Done { .. })) {
            stage.trouble(format!("run: {run:?}"));
        }
    }),
    (10, "health asked", |stage, _| match stage.ask(&Request::Health { level: Level::Alive }) {
        Ok(Reply::Health(health)) if health.healthy => {}
        other => stage.trouble(format!("health: {other:?}")),
    }),
];

/// Actor `number` of [`COUNT`], until it is over.
pub fn live(stage: &Stage, seed: u64, number: usize) {
    let (actions, pause) = ACTORS[number];
    let all: u64 = actions.iter().map(|(weight, ..)| weight).sum();
    for turn in 0.. {
        // Of its own, so that what became of earlier actions changes nothing.
        let mut luck = Luck::of(seed, [number as u64, turn, 0, 0]);
        if !stage.pause(Duration::from_millis(luck.below(pause.as_millis() as u64))) {
            return;
        }
        let mut at = luck.below(all);
        let (_, name, act) = actions.iter().find(|(weight, ..)| take(&mut at, *weight)).unwrap();
        act(stage, &mut luck);
        *stage.deeds.lock().unwrap().entry(name).or_default() += 1;
    }
}

/// The point `at` is within this weight; else it is moved on.
fn take(at: &mut u64, weight: u64) -> bool {
    let within = *at < weight;
    *at = at.saturating_sub(weight);
    within
}

fn one(pids: &[i32], luck: &mut Luck) -> Option<i32> {
    (!pids.is_empty()).then(|| luck.pick(pids))
}

fn kill(stage: &Stage, command: &str, luck: &mut Luck) {
    one(&stage.children(command), luck).into_iter().for_each(|pid| stage.kill_known(pid));
}

fn freeze(stage: &Stage, pids: &[i32], luck: &mut Luck) {
    let time = Duration::from_millis(luck.below(1200));
    one(pids, luck).into_iter().for_each(|pid| stage.freeze(pid, time));
}

fn stop_and_start(stage: &Stage, name: &str, luck: &mut Luck) {
    stage.order(&Request::Stop { names: names(&[name]) });
    stage.pause(Duration::from_millis(luck.below(500)));
    stage.order(&Request::Start { names: names(&[name]) });
}

pub fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}
