//! The command line as a user types it: helps, versions, usage errors, `check`, `cron`, the commands that ask a running
//! init, and the one table of codes.

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

mod check;
mod cron;
mod remote;
mod usage;
