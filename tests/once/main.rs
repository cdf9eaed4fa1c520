//! `init -- CMD`: what tini and dumb-init are for, with real processes, as PID 1 and not.

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

mod codes;
mod context;
mod orphans;
mod peers;
mod refused;
mod signals;
mod terminal;
