//! The reader of the container's output, and what must hold for the lines of `chatty.php`: each once, whole, in order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead as _, BufReader, PipeReader};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// Lines of everybody else that are shown when the test fails.
const TAIL: usize = 5000;

const PREFIX: &[u8] = b"[chatty] ";

/// One process of the chatty service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Run {
    /// Whole lines so far.
    lines: u64,
    /// It said that it had written so many, as its last words.
    end: Option<u64>,
    /// A piece of the next line: the process was killed in the middle of it.
    torn: bool,
}

/// All lines of the chatty service so far.
#[derive(Debug, Default)]
pub struct Checker {
    runs: BTreeMap<String, Run>,
    current: Option<String>,
    faults: Vec<String>,
}

impl Checker {
    /// Takes a line in, without the prefix and the line feed.
    fn take(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let words: Vec<&str> = text.split(' ').collect();
        let fault = match words[..] {
            ["chatty", run, "end", count] => self.end(run, count),
            ["chatty", run, number, length, payload] if whole(number, length, payload) => {
                self.line(run, number)
            }
            _ => self.torn(&text),
        };
        if let Err(why) = fault {
            let shown: String = text.chars().take(200).collect();
            self.faults.push(format!("{why}: {shown:?}"));
        }
    }

    fn run(&mut self, run: &str) -> Result<&mut Run, &'static str> {
        if self.current.as_deref() != Some(run) {
            if self.runs.contains_key(run) {
                return Err("a line of an earlier process");
            }
            self.current = Some(run.to_owned());
        }
        let run = self.runs.entry(run.to_owned()).or_default();
        if run.torn || run.end.is_some() { Err("a line after the last one") } else { Ok(run) }
    }

    fn line(&mut self, run: &str, number: &str) -> Result<(), &'static str> {
        let run = self.run(run)?;
        let expected = run.lines + 1;
        run.lines = number.parse().unwrap_or(0);
        if run.lines == expected { Ok(()) } else { Err("out of order, or lost") }
    }

    fn end(&mut self, run: &str, count: &str) -> Result<(), &'static str> {
        let run = self.run(run)?;
        run.end = count.parse().ok();
        if run.end == Some(run.lines) { Ok(()) } else { Err("its last lines are lost") }
    }

    /// A piece of the next line may come of a process that was killed, as the last of it.
    fn torn(&mut self, text: &str) -> Result<(), &'static str> {
        let current = self.current.clone().and_then(|name| Some((name.clone(), self.runs.get_mut(&name)?)));
        let Some((name, run)) = current else { return Err("torn") };
        let begins = format!("chatty {name} ");
        let piece =
            if text.len() < begins.len() { begins.starts_with(text) } else { text.starts_with(&begins) };
        if !piece || std::mem::replace(&mut run.torn, true) { Err("torn") } else { Ok(()) }
    }

    /// What is wrong. `written` tells how many lines a process wrote whole; those in `killed`, by pid, may end in any line.
    pub fn verdict(&self, killed: &BTreeSet<i32>, written: impl Fn(&str) -> u64) -> Vec<String> {
        let mut faults = self.faults.clone();
        for (name, run) in &self.runs {
            let pid = name.split('-').next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            let counted = written(name);
            let all = match run.end {
                Some(_) => !run.torn && run.lines == counted,
                // It may have been killed between the line and its count.
                None => killed.contains(&pid) && (counted..=counted + 1).contains(&run.lines),
            };
            if !all {
                faults.push(format!("process {name} wrote {counted} lines, and of it came {run:?}"));
            }
        }
        faults
    }

    /// Lines and processes.
    pub fn count(&self) -> (u64, usize) {
        (self.runs.values().map(|run| run.lines).sum(), self.runs.len())
    }

    pub fn has_faults(&self) -> Option<&String> {
        self.faults.first()
    }
}

fn whole(number: &str, length: &str, payload: &str) -> bool {
    let (Ok(number), Ok(length)) = (number.parse::<u64>(), length.parse::<usize>()) else { return false };
    let letter = b'a' + u8::try_from(number % 26).unwrap_or(0);
    payload.len() == length && payload.bytes().all(|byte| byte == letter)
}

/// What the container wrote.
#[derive(Clone, Default)]
pub struct Output {
    pub chatty: Arc<Mutex<Checker>>,
    tail: Arc<Mutex<VecDeque<String>>>,
    /// Nobody reads while this is set.
    pub stalled: Arc<AtomicBool>,
}

impl Output {
    /// Reads to the end, on a thread.
    pub fn read(&self, from: PipeReader) -> JoinHandle<()> {
        let output = self.clone();
        std::thread::spawn(move || {
            let mut from = BufReader::with_capacity(1 << 16, from);
            let mut line = Vec::new();
            while from.read_until(b'\n', &mut line).is_ok_and(|bytes| bytes > 0) {
                output.take(line.strip_suffix(b"\n").unwrap_or(&line));
                line.clear();
                while output.stalled.load(Ordering::Relaxed) {
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        })
    }

    fn take(&self, line: &[u8]) {
        if let Some(line) = line.strip_prefix(PREFIX) {
            return self.chatty.lock().unwrap().take(line);
        }
        let mut tail = self.tail.lock().unwrap();
        if tail.len() == TAIL {
            tail.pop_front();
        }
        tail.push_back(String::from_utf8_lossy(line).chars().take(300).collect());
    }

    /// The last lines of everybody but the chatty service.
    pub fn tail(&self) -> String {
        self.tail.lock().unwrap().iter().map(|line| format!("{line}\n")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is wrong with these lines of process 7, which was killed or not and wrote so many.
    fn faults(lines: &[&str], killed: bool, written: u64) -> usize {
        let mut checker = Checker::default();
        lines.iter().for_each(|line| checker.take(line.as_bytes()));
        let killed = if killed { BTreeSet::from([7]) } else { BTreeSet::new() };
        checker.verdict(&killed, |_| written).len()
    }

    #[test]
    fn whole_lines_in_order_are_fine_up_to_the_last_words_or_a_kill() {
        let lines = ["chatty 7-1 1 2 bb", "chatty 7-1 2 0 ", "chatty 7-1 end 2"];
        assert_eq!(faults(&lines, false, 2), 0);
        assert_eq!(faults(&lines[..2], true, 2), 0);
        assert_eq!(faults(&lines[..2], true, 1), 0, "killed before it counted");
        assert_eq!(faults(&["chatty 7-1 1 2 bb", "chatty 7-1 2 5 cc"], true, 1), 0, "killed within a line");
    }

    #[test]
    fn lines_that_are_lost_torn_doubled_or_late_are_not() {
        assert_eq!(faults(&["chatty 7-1 1 2 bb"], false, 1), 1, "nobody killed it");
        assert_eq!(faults(&["chatty 7-1 1 2 bb"], true, 3), 1, "lost at the end");
        assert_eq!(faults(&["chatty 7-1 1 2 bb", "chatty 7-1 end 2"], false, 2), 2, "lost at the end");
        assert_eq!(faults(&["chatty 7-1 2 2 cc"], true, 2), 1, "lost at the beginning");
        assert_eq!(faults(&["chatty 7-1 1 2 bb", "chatty 7-1 1 2 bb"], true, 1), 1, "twice");
        let torn = ["chatty 7-1 1 2 bb", "chatty 7-1 2 3 c", "c", "chatty 7-1 3 0 "];
        assert!(faults(&torn, true, 3) > 0, "torn in the middle");
        let late = ["chatty 7-1 1 2 bb", "chatty 7-2 1 2 bb", "chatty 7-1 2 0 "];
        assert!(faults(&late, true, 2) > 0, "of an earlier process");
        assert!(faults(&["chatty 7-1 1 2 bX"], true, 0) > 0, "another letter");
    }
}
