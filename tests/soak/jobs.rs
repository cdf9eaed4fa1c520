//! Jobs: put on the queue by requests, and what must hold for those whose request was answered.
//!
//! Each is done; one whose worker was killed is begun again, and any other is begun once and done once.

use crate::load::{Served, Want};
use crate::luck::Luck;
use crate::stage::{PATIENCE, Stage};
use crate::support::eventually;
use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

/// What was begun longer before its worker was killed had ended: more than any job takes.
const LONGEST: f64 = 15.0;
/// From the moment before the signal until the process is gone.
const DYING: f64 = 5.0;

/// What the application wrote down: `job-started` or `job-done`, of which job, by whom, when by the wall clock.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub kind: String,
    pub job: String,
    pub pid: i32,
    pub at: f64,
}

/// The names of those that were put on the queue.
#[derive(Debug, Default)]
pub struct Jobs(Mutex<Vec<String>>);

impl Jobs {
    /// Puts one on the queue; its request may be lost.
    pub fn dispatch(&self, stage: &Stage, served: &Served, name: &str, seconds: f64) -> bool {
        let queued = served.ask(stage, &Want::job(name, seconds));
        if queued {
            self.0.lock().unwrap().push(name.to_owned());
        }
        queued
    }

    /// Puts jobs on the queue until it is over.
    pub fn client(&self, stage: &Stage, served: &Served, mut luck: Luck) {
        for number in 0_u64.. {
            let seconds = luck.below(100) as f64 / 100.0;
            if !stage.pause(Duration::from_millis(luck.below(700))) {
                return;
            }
            self.dispatch(stage, served, &format!("job-{number}"), seconds);
        }
    }

    pub fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    /// What is wrong, by the events of all and the workers that were killed; and how many were begun again.
    pub fn verdict(&self, events: &[Event], killed: &[(i32, f64)]) -> (Vec<String>, usize) {
        verdict(&self.0.lock().unwrap(), events, killed)
    }
}

fn verdict(names: &[String], events: &[Event], killed: &[(i32, f64)]) -> (Vec<String>, usize) {
    let victims = victims(events, killed);
    let mut by_job: BTreeMap<&str, Vec<&Event>> = BTreeMap::new();
    for event in events {
        by_job.entry(&event.job).or_default().push(event);
    }
    let (mut faults, mut again) = (Vec::new(), 0);
    for name in names {
        let mine = by_job.get(name.as_str()).map(Vec::as_slice).unwrap_or_default();
        let count = |kind: &str, of_victims: bool| {
            let these = mine.iter().filter(|event| event.kind == kind);
            these.filter(|event| !of_victims || victims.contains(&(event.pid, &event.job))).count()
        };
        let (started, begun_in_vain) = (count("job-started", false), count("job-started", true));
        let (done, done_in_vain) = (count("job-done", false), count("job-done", true));
        again += started.saturating_sub(1);
        let once = started == begun_in_vain + 1 && done == done_in_vain + 1;
        // The last that a worker did before it was killed may have been to take the finished job off the queue.
        let finished = started == begun_in_vain && done_in_vain > 0 && done == done_in_vain;
        if !once && !finished {
            faults.push(format!("{name}: {started} starts, {begun_in_vain} in killed workers: {mine:?}"));
        }
    }
    (faults, again)
}

/// The last job that each killed worker had begun, with its pid.
fn victims<'a>(events: &'a [Event], killed: &[(i32, f64)]) -> BTreeSet<(i32, &'a String)> {
    let last = |(pid, at): &(i32, f64)| {
        let time = at - LONGEST..at + DYING;
        let begun =
            |event: &&Event| event.kind == "job-started" && event.pid == *pid && time.contains(&event.at);
        events.iter().rfind(begun).map(|event| (*pid, &event.job))
    };
    killed.iter().filter_map(last).collect()
}

/// Runs PHP on the application's database; what it prints.
fn query(stage: &Stage, sql: &str) -> String {
    let script = "$db = new PDO('sqlite:' . $argv[1]); \
        foreach ($db->query($argv[2], PDO::FETCH_NUM) as $row) echo implode(' ', $row), \"\\n\";";
    let database = stage.volume("storage/app/demo.sqlite");
    let output = Command::new("php").args(["-r", script]).arg(database).arg(sql).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// One number of the application's database.
pub fn number(stage: &Stage, sql: &str) -> u64 {
    query(stage, sql).trim().parse().unwrap()
}

/// Waits until the queue is empty.
pub fn drain(stage: &Stage) {
    eventually("the queue is empty", PATIENCE, || {
        std::thread::sleep(Duration::from_millis(200));
        (number(stage, "select count(*) from jobs") == 0).then_some(())
    });
}

/// All events of jobs.
pub fn events(stage: &Stage) -> Vec<Event> {
    let text = query(stage, "select kind, note, pid, at from events where kind like 'job-%' order by id");
    let event = |line: &str| {
        let [kind, job, pid, at] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        let (kind, job) = (kind.to_owned(), job.to_owned());
        Event { kind, job, pid: pid.parse().unwrap(), at: at.parse().unwrap() }
    };
    text.lines().map(event).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with the job of these events, `(kind, pid, at)`, when worker 9 was killed at 10.
    fn faults(events: &[(&str, i32, f64)]) -> usize {
        let event = |(kind, pid, at): &(&str, i32, f64)| Event {
            kind: format!("job-{kind}"),
            job: "a".into(),
            pid: *pid,
            at: *at,
        };
        let events: Vec<Event> = events.iter().map(event).collect();
        verdict(&["a".into()], &events, &[(9, 10.0)]).0.len()
    }

    #[test]
    fn a_worker_that_went_on_to_another_job_had_finished_the_first() {
        let event = |kind: &str, job: &str, pid: i32, at: f64| Event {
            kind: format!("job-{kind}"),
            job: job.into(),
            pid,
            at,
        };
        let events = [
            event("started", "a", 9, 8.0),
            event("done", "a", 9, 8.5),
            event("started", "b", 9, 9.0),
            event("started", "a", 8, 12.0),
            event("done", "a", 8, 13.0),
        ];
        assert_eq!(verdict(&["a".into()], &events, &[(9, 10.0)]).0.len(), 1, "begun twice");
    }

    #[test]
    fn a_job_is_begun_again_only_where_its_worker_was_killed() {
        assert_eq!(faults(&[("started", 8, 1.0), ("done", 8, 2.0)]), 0);
        assert_eq!(faults(&[("started", 9, 9.5), ("started", 8, 25.0), ("done", 8, 26.0)]), 0);
        assert_eq!(faults(&[("started", 9, 9.5), ("done", 9, 9.9)]), 0, "done, and off the queue");
        let twice = [("started", 9, 9.5), ("done", 9, 9.9), ("started", 8, 25.0), ("done", 8, 26.0)];
        assert_eq!(faults(&twice), 0, "done, but not off the queue");

        assert_eq!(faults(&[]), 1, "lost on the queue");
        assert_eq!(faults(&[("started", 8, 1.0)]), 1, "lost in a worker that nobody killed");
        assert_eq!(faults(&[("started", 9, 9.5)]), 1, "not begun again");
        assert_eq!(faults(&[("started", 8, 9.5), ("started", 7, 25.0), ("done", 7, 26.0)]), 1, "begun twice");
        assert_eq!(faults(&[("started", 8, 1.0), ("done", 8, 2.0), ("done", 8, 2.1)]), 1, "done twice");
        assert_eq!(faults(&[("started", 9, 16.0)]), 1, "killed before");
    }
}
