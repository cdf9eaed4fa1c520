//! Real processes: what a review found, each case a test that failed before.
//!
//! Here init is not PID 1 but a subreaper, in a directory of its own.

#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests start real processes"
)]

#[path = "../support/mod.rs"]
mod support;

mod fetch;
mod init;
mod migrate;
mod supervise;
mod terminal;
