//! `init fetch` against a real S3 server that verifies signatures.
//!
//! The server is s3s over a directory, in process; faults come from a scripted server in front of it. The child is the
//! real binary with an empty environment; its job holds what a test sets. Every run is searched for secrets and every failure
//! must leave an empty directory (`child.rs`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail by panicking")]
#![allow(clippy::disallowed_methods, reason = "tests start and time processes themselves")]

mod child;
mod credentials;
mod faults;
mod network;
mod object;
mod server;
