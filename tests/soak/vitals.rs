//! What init itself takes of the machine, and that it is flat: memory, descriptors, threads, zombies.

use crate::procs;
use crate::stage::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// How often is looked.
const EVERY: Duration = Duration::from_millis(500);

/// A zombie of init's that is older than this is one that it does not reap. A stopped init reaps nobody for a second.
const ZOMBIE: Duration = Duration::from_secs(5);

/// One look at init.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// In kB.
    pub resident: usize,
    pub anonymous: usize,
    pub descriptors: usize,
    pub threads: usize,
}

impl Vitals {
    pub fn of(pid: i32) -> Self {
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let kilobytes = |name: &str| -> usize {
            let line = rollup.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
        };
        let entries = |of: &str| fs::read_dir(format!("/proc/{pid}/{of}")).map_or(0, Iterator::count);
        Self {
            resident: kilobytes("Rss:"),
            anonymous: kilobytes("Anonymous:"),
            descriptors: entries("fd"),
            threads: entries("task"),
        }
    }

    fn each(self) -> [usize; 4] {
        [self.resident, self.anonymous, self.descriptors, self.threads]
    }

    fn from(each: [usize; 4]) -> Self {
        let [resident, anonymous, descriptors, threads] = each;
        Self { resident, anonymous, descriptors, threads }
    }

    /// What is more than in `first` by more than `bound`.
    pub fn above(self, first: Self, bound: Self) -> Option<String> {
        let grown = self.each().iter().zip(first.each()).zip(bound.each()).any(|((x, y), z)| *x > y + z);
        grown.then(|| format!("{self:?} is above {first:?} by more than {bound:?}"))
    }
}

/// What a process has open.
pub fn open(pid: i32) -> Vec<String> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some(fs::read_link(entry.path()).ok()?.display().to_string())).collect()
}

/// The greatest and the middle of each.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    pub most: Vitals,
    pub median: Vitals,
}

fn range(samples: &[Vitals]) -> Range {
    let sorted = |n: usize| {
        let mut values: Vec<usize> = samples.iter().map(|one| one.each()[n]).collect();
        values.sort_unstable();
        values
    };
    let pick = |at: fn(&[usize]) -> Option<&usize>| {
        Vitals::from([0, 1, 2, 3].map(|n| at(&sorted(n)).copied().unwrap_or(0)))
    };
    Range { most: pick(|all| all.last()), median: pick(|all| all.get(all.len() / 2)) }
}

/// The first half after a tenth of warming up, and the second.
pub fn halves(samples: &[Vitals]) -> (Range, Range) {
    let warm = &samples[samples.len() / 10..];
    let (first, second) = warm.split_at(warm.len() / 2);
    (range(first), range(second))
}

/// Looks until it is over; that a zombie stays is trouble. The most that there were of them at a time, too.
pub fn watch(stage: &Stage) -> (Vec<Vitals>, usize) {
    let (mut samples, mut most) = (Vec::new(), 0);
    let mut since: BTreeMap<i32, Duration> = BTreeMap::new();
    while stage.pause(EVERY) {
        samples.push(Vitals::of(stage.init));
        let zombies: Vec<i32> = procs::all()
            .into_iter()
            .filter(|one| one.state == 'Z' && one.parent == stage.init)
            .map(|one| one.pid)
            .collect();
        most = most.max(zombies.len());
        since.retain(|pid, _| zombies.contains(pid));
        for pid in zombies {
            let now = stage.now();
            if now - *since.entry(pid).or_insert(now) > ZOMBIE {
                stage.trouble(format!("zombie {pid} is not reaped: {:?}", procs::read(pid)));
            }
        }
    }
    (samples, most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_found_in_the_second_half_and_not_in_the_warm_up() {
        let sample = |descriptors: usize| Vitals { descriptors, ..Vitals::default() };
        let bound = sample(2);
        let grown = |values: &[usize]| {
            let samples: Vec<Vitals> = values.iter().map(|value| sample(*value)).collect();
            let (first, second) = halves(&samples);
            second.median.above(first.median, bound).is_some()
        };
        assert!(!grown(&[1, 9, 9, 9, 9, 9, 9, 9, 9, 9]));
        assert!(!grown(&[9, 8, 9, 9, 8, 9, 9, 11, 9, 11]));
        assert!(grown(&[1, 1, 2, 3, 4, 5, 6, 7, 8, 9]));
    }
}
