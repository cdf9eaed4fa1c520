//! PURE: what will hurt in this container, from facts that were gathered.
//!
//! [`Facts`] are what was seen, a [`Finding`] is what follows from it; nothing here looks at the machine
//! ([`crate::runtime::inspect`] does). Every kind of finding is a [`Check`] in the file of its area, with the words of
//! README's table, which a test keeps fresh.
//!
//! | file | what it is |
//! |---|---|
//! | `facts.rs` | what was seen: names and numbers, no secret |
//! | `read.rs` | the answers of PHP, PHP-FPM and the kernel as facts |
//! | `words.rs` | what a command of the plan is: a worker, the scheduler, its options |
//! | `php.rs`, `fpm.rs`, `pools.rs`, `laravel.rs`, `dotenv.rs`, `queue.rs`, `paths.rs`, `system.rs`, `process.rs`, `ecs.rs` | the checks of one area |
//! | `report.rs` | findings as text, JSON and README's table |
#![forbid(unsafe_code)]

mod dotenv;
mod ecs;
pub mod facts;
mod fpm;
mod laravel;
mod paths;
mod php;
mod pools;
mod process;
mod queue;
pub mod read;
pub mod report;
mod system;
#[cfg(test)]
mod tests;
pub mod words;

pub use dotenv::read as read_env;

use crate::config::plan::Plan;
use facts::Facts;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something will not work, or lose work: the exit code says so.
    Breaks,
    Hurts,
    Note,
    NotChecked,
    Ok,
}

impl Severity {
    /// As it is printed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Breaks => "breaks",
            Self::Hurts => "hurts",
            Self::Note => "note",
            Self::NotChecked => "not-checked",
            Self::Ok => "ok",
        }
    }
}

/// One thing that is looked at. The texts are README's.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Stable: scripts may know it.
    pub id: &'static str,
    pub what: &'static str,
    pub why: &'static str,
    pub fix: &'static str,
}

/// What one check came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    pub check: &'static Check,
    pub severity: Severity,
    pub seen: String,
    /// Instead of the check's own, where this case has a more exact one.
    pub fix: Option<String>,
}

impl Check {
    fn found(&'static self, severity: Severity, seen: impl Into<String>) -> Finding {
        Finding { check: self, severity, seen: seen.into(), fix: None }
    }

    fn breaks(&'static self, seen: impl Into<String>) -> Finding {
        self.found(Severity::Breaks, seen)
    }

    fn hurts(&'static self, seen: impl Into<String>) -> Finding {
        self.found(Severity::Hurts, seen)
    }

    fn note(&'static self, seen: impl Into<String>) -> Finding {
        self.found(Severity::Note, seen)
    }

    fn ok(&'static self, seen: impl Into<String>) -> Finding {
        self.found(Severity::Ok, seen)
    }

    /// `why` it could not be looked at.
    fn unchecked(&'static self, why: impl Into<String>) -> Finding {
        self.found(Severity::NotChecked, why)
    }
}

impl Finding {
    fn with_fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The remedy of this very case.
    pub fn fix(&self) -> &str {
        self.fix.as_deref().unwrap_or(self.check.fix)
    }
}

/// The checks of one area.
pub struct Area {
    pub title: &'static str,
    pub checks: &'static [&'static Check],
    examine: fn(&Facts, &Plan) -> Vec<Finding>,
}

/// In the order of the report.
pub const AREAS: &[Area] = &[
    Area { title: "PHP", checks: php::CHECKS, examine: php::check },
    Area { title: "PHP-FPM", checks: fpm::CHECKS, examine: fpm::check },
    Area { title: "PHP-FPM's pools", checks: pools::CHECKS, examine: pools::check },
    Area { title: "Laravel", checks: laravel::CHECKS, examine: laravel::check },
    Area { title: "The .env file", checks: dotenv::CHECKS, examine: dotenv::check },
    Area { title: "Queue and schedule", checks: queue::CHECKS, examine: queue::check },
    Area { title: "Files", checks: paths::CHECKS, examine: paths::check },
    Area { title: "The container", checks: system::CHECKS, examine: system::check },
    Area { title: "Processes", checks: process::CHECKS, examine: process::check },
    Area { title: "The platform", checks: ecs::CHECKS, examine: ecs::check },
];

/// All findings, by area.
pub fn examine(facts: &Facts, plan: &Plan) -> Vec<(&'static str, Vec<Finding>)> {
    AREAS.iter().map(|area| (area.title, (area.examine)(facts, plan))).collect()
}

/// Whether anything of it breaks.
pub fn breaks(areas: &[(&'static str, Vec<Finding>)]) -> bool {
    areas.iter().flat_map(|(_, findings)| findings).any(|finding| finding.severity == Severity::Breaks)
}
