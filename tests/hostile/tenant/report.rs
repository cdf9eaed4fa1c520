//! What a tenant did: one line an action, in a file of its own, written at once since anybody may kill it.

use super::{REPORTS, Role};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// The file of one process.
pub struct Report(File);

impl Report {
    /// A new file, and how many processes of this role had one before in this life of the container.
    pub fn open(role: Role) -> (Self, u64) {
        for number in 0.. {
            let path = Path::new(REPORTS).join(role.name()).join(number.to_string());
            match File::create_new(&path) {
                Ok(file) => return (Self(file), number),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => panic!("cannot make {}: {error}", path.display()),
            }
        }
        unreachable!()
    }

    pub fn did(&mut self, action: &str, refusal: Option<&io::Error>) {
        let outcome = refusal.map_or("done".to_owned(), |error| format!("refused: {error}"));
        self.line(&format!("did\t{action}\t{outcome}"));
    }

    pub fn saw(&mut self, canary: &str, place: &str) {
        self.line(&format!("saw\t{canary}\t{place}"));
    }

    fn line(&mut self, text: &str) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
        let _ = self.0.write_all(format!("{now}\t{text}\n").as_bytes());
    }
}

/// What all tenants did in a life of the container.
#[derive(Debug, Default)]
pub struct Deeds {
    /// By action: how often it was done, and refused.
    pub counts: BTreeMap<String, (usize, usize)>,
    /// Canary, role, place.
    pub seen: Vec<(String, Role, String)>,
    /// All lines with their role, by time.
    pub lines: Vec<String>,
    /// How many processes of each role there were.
    pub processes: BTreeMap<&'static str, usize>,
}

impl Deeds {
    /// Reads and removes the reports below this directory.
    pub fn take(reports: &Path) -> Self {
        let mut deeds = Self::default();
        for (role, name) in Role::ALL {
            let files = fs::read_dir(reports.join(name)).into_iter().flatten().flatten();
            for file in files {
                *deeds.processes.entry(name).or_default() += 1;
                let text = fs::read_to_string(file.path()).unwrap();
                text.lines().for_each(|line| deeds.line(role, line));
                fs::remove_file(file.path()).unwrap();
            }
        }
        deeds.lines.sort();
        deeds
    }

    fn line(&mut self, role: Role, line: &str) {
        // The last one may be torn by a kill.
        let [time, kind, what, rest] = line.split('\t').collect::<Vec<_>>()[..] else { return };
        self.lines.push(format!("{time} {} {kind} {what}: {rest}", role.name()));
        if kind == "saw" {
            self.seen.push((what.to_owned(), role, rest.to_owned()));
            return;
        }
        let count = self.counts.entry(what.to_owned()).or_default();
        if rest == "done" { count.0 += 1 } else { count.1 += 1 }
    }

    pub fn total(&self) -> usize {
        self.counts.values().map(|(done, refused)| done + refused).sum()
    }
}
