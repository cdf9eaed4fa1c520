//! Boot with real processes: preflight, files, steps, the stop at any moment, the migration.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests: real processes, and a test that cannot go on stops there"
)]

#[path = "../support/harness.rs"]
mod harness;
#[path = "../support/mod.rs"]
mod support;

mod app;
mod doctor;
mod ecs;
mod encrypted;
mod files;
mod lease;
mod migrate;
mod preflight;
mod state_dir;
mod steps;
mod stops;
